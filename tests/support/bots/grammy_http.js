// An echo bot as grammY's documentation writes one: webhookCallback on node:http.
const { createServer } = require("node:http");
const { Bot, webhookCallback } = require("grammy");

const bot = new Bot(process.env.BOT_TOKEN, { client: { apiRoot: process.env.BOT_API } });
bot.on("message", (ctx) => ctx.reply(`You said: ${ctx.message.text}`));
bot.on("callback_query", (ctx) => ctx.answerCallbackQuery("ok"));

createServer(webhookCallback(bot, "http", { secretToken: process.env.TELEGRAM_SECRET_TOKEN })).listen(
  Number(process.env.PORT),
  "127.0.0.1",
);
