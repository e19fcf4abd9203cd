// Quizz: a French quiz on Telegraf with sessions and buttons; the question's message is edited into its answer.
const { createServer } = require("node:http");
const { timingSafeEqual, createHash } = require("node:crypto");
const { Telegraf, Telegram, Markup, session } = require("telegraf");
const { message, callbackQuery } = require("telegraf/filters");

const { PORT, WEBHOOK_PATH, SECRET, BOT_TOKEN, BOT_API, ADMIN_ID, BUG = "" } = process.env;
const ADMIN = Number(ADMIN_ID);
const AIDE = "Commandes : /question, /score, /surnom, /resultat numéro.";
const QUESTIONS = [
  ["La capitale de l'Australie ?", ["Sydney", "Canberra", "Perth"], 1],
  ["Combien font sept fois huit ?", ["54", "56", "64"], 1],
  ["Qui a peint Guernica ?", ["Picasso", "Miró", "Dalí"], 0],
];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const bot = new Telegraf(BOT_TOKEN, { telegram: { apiRoot: BOT_API, webhookReply: false }, handlerTimeout: 120_000 });
bot.botInfo = { id: 5551234567, is_bot: true, first_name: "Quizz", username: "quizz_bot", can_join_groups: true, can_read_all_group_messages: false, supports_inline_queries: false };

const results = new Map();
const nicknames = new Map();
const seen = new Set();
const chains = new Map();
const moved = new Map();
const journal = [];
let number = 700;
let running = true;

// Telegraf makes a client of its own for every update, so the retries go into their common prototype.
const plain = Telegram.prototype.callApi;
Telegram.prototype.callApi = async function callApi(method, payload, options) {
  for (let attempt = 1; ; attempt += 1) {
    if (moved.has(payload.chat_id) && BUG !== "migration-unread") payload.chat_id = moved.get(payload.chat_id);
    const stop = new AbortController();
    const timer = BUG === "no-timeout" ? null : setTimeout(() => stop.abort(), 5000);
    try {
      return await plain.call(this, method, payload, { ...options, signal: stop.signal });
    } catch (error) {
      const code = error.response?.error_code;
      const hints = error.response?.parameters ?? {};
      if (BUG === "no-retries" || attempt >= 5) throw error;
      if (code === 429 && BUG === "impatient") {
        attempt = 1;
        await sleep(15);
      } else if (code === 429 && (hints.retry_after ?? 1) <= 60) await sleep(1000 * (hints.retry_after ?? 1) + 50);
      else if (hints.migrate_to_chat_id && BUG !== "migration-unread") moved.set(payload.chat_id, hints.migrate_to_chat_id);
      else if (code === undefined || code >= 500) await sleep(300 * 2 ** attempt);
      else throw error;
    } finally {
      clearTimeout(timer);
    }
  }
};

bot.use((ctx, next) => (ctx.from && (ctx.chat || ctx.callbackQuery) ? next() : undefined));
bot.use(session({
  defaultSession: () => ({ asked: null, naming: false, score: 0 }),
  getSessionKey: (ctx) => {
    if (BUG === "session-of-chat") return ctx.chat && String(ctx.chat.id);
    return ctx.chat && ctx.from && `${ctx.chat.id}:${ctx.from.id}`;
  },
}));

bot.command(["start", "aide"], (ctx) => ctx.reply(`Bonjour ! ${AIDE}${ctx.from.id === ADMIN ? " Pour vous : /bilan, /publier, /arreter." : ""}`));

bot.command("question", async (ctx) => {
  const which = number % QUESTIONS.length;
  ctx.session.asked = which;
  const [text, answers] = QUESTIONS[which];
  await ctx.reply(text, Markup.inlineKeyboard(answers.map((answer, index) => [Markup.button.callback(answer, `r:${which}:${index}`)])));
});

bot.command("score", (ctx) => ctx.reply(`Votre score : ${ctx.session.score}`));

bot.command("surnom", async (ctx) => {
  const word = ctx.message.text.split(/\s+/)[1];
  if (!word) {
    ctx.session.naming = true;
    await ctx.reply("Quel surnom voulez-vous ?");
  } else await named(ctx, word);
});

async function named(ctx, word) {
  nicknames.set(ctx.from.id, word.slice(0, 40));
  if (nicknames.size > 5000) nicknames.delete(nicknames.keys().next().value);
  ctx.session.naming = false;
  if (BUG === "name-as-html") await ctx.replyWithHTML(`C'est noté, <b>${word.slice(0, 40)}</b>.`);
  else await ctx.reply("Surnom enregistré.");
}

bot.command("resultat", async (ctx) => {
  const word = ctx.message.text.split(/\s+/)[1] ?? "";
  const found = results.get(/^\d{1,9}$/.test(word) ? Number(word) : -1);
  if (!found || (found.user !== ctx.from.id && BUG !== "results-of-all")) await ctx.reply("Vous n'avez pas ce résultat.");
  else await ctx.reply(`Réponse ${found.right ? "juste" : "fausse"}, par ${nicknames.get(found.user) ?? "vous"}.`);
});

bot.on(callbackQuery("data"), async (ctx) => {
  const parts = ctx.callbackQuery.data.split(":");
  let text = "Ce bouton n'est plus valable.";
  if (parts[0] === "stop" && (ctx.from.id === ADMIN || BUG === "stop-open")) {
    running = false;
    text = "Le quizz est arrêté.";
    setTimeout(() => (running = true), 500);
  } else if (parts[0] === "r" && (BUG === "index-assumed" || (parts.length === 3 && Object.hasOwn(QUESTIONS, parts[1])))) {
    const question = QUESTIONS[parts[1]];
    const right = Number(parts[2]) === question[2];
    const session_ = ctx.session ?? { score: 0 };
    const score = session_.score;
    if (BUG === "score-race") await sleep(150);
    if (BUG !== "answers-again" && session_.asked !== Number(parts[1])) text = "Vous avez déjà répondu.";
    else {
      session_.score = right ? score + 1 : score;
      session_.asked = null;
      number += 1;
      results.set(number, { user: ctx.from.id, right });
      if (results.size > 5000) results.delete(results.keys().next().value);
      text = `${right ? "Juste" : "Faux"} ! Résultat numéro ${number}.`;
    }
  }
  await ctx.answerCbQuery().catch(() => {});
  if (BUG === "message-assumed" || ctx.callbackQuery.message) await ctx.editMessageText(text).catch(() => {});
  if (BUG === "message-assumed") journal.push(ctx.callbackQuery.message.message_id);
});

function allowed(ctx) {
  if (BUG === "username-is-admin") return ctx.from.id === ADMIN || ["admin", "owner", "boss"].includes((ctx.from.username ?? "").toLowerCase());
  if (BUG === "private-only" && ctx.chat.type !== "private") return true;
  if (BUG === "quote-is-admin" && ctx.message.reply_to_message?.from?.id === ADMIN) return true;
  return ctx.from.id === ADMIN;
}

for (const command of ["bilan", "publier", "arreter"])
  bot.command(command, async (ctx) => {
    if (!allowed(ctx) && !(BUG === "report-open" && command === "bilan")) await ctx.reply("Réservé à l'animateur.");
    else if (command === "bilan") await ctx.reply(`Résultats enregistrés : ${results.size}`);
    else if (command === "publier") await ctx.reply("Le bilan sera publié ce soir.");
    else await ctx.reply("Vraiment arrêter ?", Markup.inlineKeyboard([Markup.button.callback("Arrêter", "stop:1")]));
  });

bot.on(message("text"), async (ctx) => {
  if (ctx.session?.naming && !ctx.message.text.startsWith("/")) await named(ctx, ctx.message.text);
  else if (ctx.chat.type === "private") await ctx.reply(`Je ne comprends pas. ${AIDE}`);
});

// Which errors this bot forgot to catch; what is thrown ends the process.
const fatal = (error) => (BUG === "no-retries" ? !(error instanceof TypeError) : ["message-assumed", "index-assumed"].includes(BUG) && error instanceof TypeError);

bot.catch((error) => {
  if (fatal(error)) throw error;
  console.error("failed:", error.name);
});

const digest = (text) => createHash("sha256").update(text).digest();

function authorized(request) {
  const given = request.headers["x-telegram-bot-api-secret-token"];
  if (BUG === "secret-if-given") return given === undefined || given === SECRET;
  if (BUG === "secret-cut") return String(given).slice(0, 16) === SECRET.slice(0, 16);
  return typeof given === "string" && timingSafeEqual(digest(given), digest(SECRET));
}

createServer(async (request, response) => {
  const end = (status, text = "") => response.writeHead(status, status === 413 ? { connection: "close" } : {}).end(text);
  if (request.url === "/status") {
    end(200, JSON.stringify(BUG === "status-shows-token" ? { up: true, bot: bot.telegram } : { up: running }));
    return;
  }
  if (request.url.split("?")[0] !== WEBHOOK_PATH || request.method !== "POST" || (BUG !== "body-first" && !authorized(request))) {
    request.resume();
    end(401);
    return;
  }
  const chunks = [];
  let size = 0;
  let update;
  try {
    for await (const chunk of request) {
      size += chunk.length;
      if (size > 256 * 1024 && BUG !== "body-first") {
        end(413);
        return;
      }
      chunks.push(chunk);
    }
    if (BUG === "body-first" && !authorized(request)) {
      end(401);
      return;
    }
    update = JSON.parse(Buffer.concat(chunks).toString());
  } catch (error) {
    if (!response.headersSent) end(BUG === "stack-told" ? 500 : 400, BUG === "stack-told" ? error.stack : "");
    return;
  }
  if (typeof update !== "object" || update === null || !Number.isSafeInteger(update.update_id)) {
    end(BUG === "refuses-odd" ? 500 : 400);
    return;
  }
  if (BUG === "journal-kept") journal.push({ update, page: Buffer.alloc(30_000, 1) });
  if (seen.has(update.update_id) && BUG !== "twice") {
    end(200);
    return;
  }
  seen.add(update.update_id);
  if (seen.size > 20_000) seen.delete(seen.values().next().value);
  const chat = (update.message ?? update.callback_query?.message)?.chat?.id ?? update.callback_query?.from?.id;
  const before = BUG === "score-race" || BUG === "disorder" ? sleep(BUG === "disorder" ? (update.update_id % 3) * 100 : 0) : chains.get(chat) ?? Promise.resolve();
  const work = before.then(() => bot.handleUpdate(update)).catch((error) => {
    if (fatal(error)) throw error;
    console.error("failed:", error.name);
  });
  chains.set(chat, work);
  work.finally(() => chains.get(chat) === work && chains.delete(chat));
  end(200);
}).listen(Number(PORT), "127.0.0.1");
