// An echo bot as Telegraf's documentation writes one: webhookCallback on node:http.
const { createServer } = require("node:http");
const { Telegraf } = require("telegraf");

const bot = new Telegraf(process.env.BOT_TOKEN, { telegram: { apiRoot: process.env.BOT_API } });
bot.on("message", (ctx) => ctx.reply(`You said: ${ctx.message.text}`));
bot.on("callback_query", (ctx) => ctx.answerCbQuery("ok"));

createServer(bot.webhookCallback("/hook", { secretToken: process.env.TELEGRAM_SECRET_TOKEN })).listen(
  Number(process.env.PORT),
  "127.0.0.1",
);
