// The same on Express.
const express = require("express");
const { Bot, webhookCallback } = require("grammy");

const bot = new Bot(process.env.BOT_TOKEN, { client: { apiRoot: process.env.BOT_API } });
bot.on("message", (ctx) => ctx.reply(`You said: ${ctx.message.text}`));
bot.on("callback_query", (ctx) => ctx.answerCallbackQuery("ok"));

const app = express();
app.use(express.json());
app.use(webhookCallback(bot, "express", { secretToken: process.env.TELEGRAM_SECRET_TOKEN }));
app.listen(Number(process.env.PORT), "127.0.0.1");
