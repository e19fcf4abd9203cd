// Splitter: shares a group's expenses, on grammY with its session plugin, menus of callbacks and an API transformer for retries.
const { createServer } = require("node:http");
const { timingSafeEqual, createHash } = require("node:crypto");
const { Bot, GrammyError, HttpError, InlineKeyboard, session } = require("grammy");

const { PORT, WEBHOOK_PATH, SECRET, BOT_TOKEN, BOT_API, ADMIN_ID, BUG = "" } = process.env;
const ADMIN = Number(ADMIN_ID);
const USAGE = "Use /join, /spent 12.50, /balance, /receipts, /undo number.";
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const bot = new Bot(BOT_TOKEN, {
  client: { apiRoot: BOT_API, timeoutSeconds: BUG === "no-timeout" ? 100_000 : 5 },
  botInfo: { id: 5551234567, is_bot: true, first_name: "Splitter", username: "splitter_bot", can_join_groups: true,
    can_read_all_group_messages: false, supports_inline_queries: false, can_connect_to_business: false, has_main_web_app: false },
});

const moved = new Map();
const receipts = new Map();
const seen = new Set();
const chains = new Map();
const audit = [];
let number = 40;
let open = true;
let lastChat = 0;

bot.api.config.use(async (previous, method, payload, signal) => {
  for (let attempt = 1; ; attempt += 1) {
    if (moved.has(payload.chat_id) && BUG !== "migration-dropped") payload.chat_id = moved.get(payload.chat_id);
    let result;
    try {
      result = await previous(method, payload, signal);
    } catch (error) {
      if (!(error instanceof HttpError) || attempt >= 5 || BUG === "outage-kills") throw error;
      await sleep(300 * 2 ** attempt);
      continue;
    }
    if (result.ok) return result;
    if (BUG === "retry-at-once" && result.error_code === 429) {
      await sleep(5);
      attempt = 1;
    } else if (result.error_code === 429 && attempt < 5 && (result.parameters?.retry_after ?? 1) <= 60)
      await sleep(1000 * (result.parameters?.retry_after ?? 1) + 50);
    else if (result.parameters?.migrate_to_chat_id && attempt < 5 && BUG !== "migration-dropped")
      moved.set(payload.chat_id, result.parameters.migrate_to_chat_id);
    else if (result.error_code >= 500 && attempt < 5 && BUG !== "outage-kills") await sleep(300 * 2 ** attempt);
    else return result;
  }
});

bot.use(session({
  initial: () => ({ members: [], pending: null }),
  getSessionKey: (ctx) => {
    if (BUG === "session-of-all") return "all";
    if (BUG === "session-of-user") return ctx.from && String(ctx.from.id);
    return ctx.chat && String(ctx.chat.id);
  },
}));

const own = (ctx) => [...receipts].filter(([, one]) => one.user === ctx.from.id && one.chat === ctx.chat.id);

bot.chatType(["private", "group", "supergroup"]).command(["start", "help"], (ctx) =>
  ctx.reply(`Hello! ${USAGE}${ctx.from.id === ADMIN ? " For you: /audit, /freeze, /reset." : ""}`));

bot.command("join", async (ctx) => {
  if (!ctx.from) return;
  const { members } = ctx.session;
  if (!members.includes(ctx.from.id)) members.push(ctx.from.id);
  if (members.length > 200) members.shift();
  await ctx.reply(`Members now: ${members.length}.`);
});

bot.command("spent", async (ctx) => {
  if (!ctx.from) return;
  const amount = BUG === "amount-unchecked" ? Number(ctx.match) : /^\d{1,6}([.,]\d{1,2})?$/.test(ctx.match) ? Number(ctx.match.replace(",", ".")) : NaN;
  if (BUG === "amount-unchecked" ? ctx.match === "" : Number.isNaN(amount)) {
    await ctx.reply("How much? /spent 12.50");
    return;
  }
  if (!open) {
    await ctx.reply("The book is frozen.");
    return;
  }
  const mine = number + 1;
  if (BUG === "number-race") await sleep(120); // the rate of exchange is looked up
  number = mine;
  receipts.set(mine, { user: ctx.from.id, chat: ctx.chat.id, cents: Math.round(amount * 100) });
  if (receipts.size > 5000) receipts.delete(receipts.keys().next().value);
  const text = BUG === "amount-unchecked" ? `Receipt ${mine} over ${BigInt(Math.round(amount * 100))} cents.` : `Receipt ${mine} is in the book.`;
  await ctx.reply(text);
});

bot.command("balance", async (ctx) => {
  if (!ctx.from) return;
  const target = BUG === "chat-remembered" ? lastChat : ctx.chat.id;
  const cents = own(ctx).reduce((sum, [, one]) => sum + one.cents, 0);
  await ctx.api.sendMessage(target, `Your receipts come to ${(cents / 100).toFixed(2)}.`);
});

bot.command("receipts", async (ctx) => {
  if (!ctx.from) return;
  const menu = new InlineKeyboard();
  for (const [which] of own(ctx).slice(-6)) menu.text(`Undo ${which}`, `undo/${which}`).row();
  await ctx.reply("Which one goes?", { reply_markup: menu });
});

function undo(user, word) {
  const found = receipts.get(/^\d{1,9}$/.test(word) ? Number(word) : -1);
  if (!found || (found.user !== user && BUG !== "undoes-anything")) return "No such receipt of yours.";
  receipts.delete(Number(word));
  return "Undone.";
}

bot.command("undo", (ctx) => ctx.from && ctx.reply(undo(ctx.from.id, ctx.match)));

bot.on("callback_query:data", async (ctx) => {
  const [action, word] = ctx.callbackQuery.data.split("/");
  let text = "That button is old.";
  if (action === "undo") text = undo(ctx.from.id, BUG === "data-assumed" ? word.trim() : word ?? "");
  else if (action === "reset" && (ctx.from.id === ADMIN || BUG === "button-open")) {
    receipts.clear();
    text = "The book is empty.";
  }
  await ctx.answerCallbackQuery(text).catch(() => {}); // too old: the message still tells
  if (BUG === "message-assumed" || ctx.callbackQuery.message) await ctx.api.editMessageText(ctx.callbackQuery.message.chat.id, ctx.callbackQuery.message.message_id, text).catch(() => {});
});

const allowed = (ctx) => {
  if (BUG === "channel-is-admin" && ctx.senderChat) return true;
  if (BUG === "prefix-is-admin" && String(ctx.from?.id).startsWith(ADMIN_ID)) return true;
  if (BUG === "mention-is-admin" && ctx.msg.text.includes(`@${ctx.me.username}`)) return true;
  return ctx.from?.id === ADMIN;
};

const manage = async (ctx) => {
  if (!allowed(ctx)) {
    await ctx.reply("Only the treasurer may do that.");
    return;
  }
  const word = ctx.msg.text.split(/[\s@]/)[0];
  if (word === "/audit") await ctx.reply(`Receipts in the book: ${receipts.size}.`);
  else if (word === "/freeze") await ctx.reply("Frozen at midnight.");
  else await ctx.reply("Empty the whole book?", { reply_markup: new InlineKeyboard().text("Empty it", "reset/1") });
};
bot.command(["audit", "freeze", "reset"], manage);
if (BUG === "edits-obeyed") bot.on("edited_message:text", (ctx) => ctx.msg.text.startsWith("/audit") && ctx.reply(`Receipts in the book: ${receipts.size}.`));

bot.on("message:text").filter((ctx) => ctx.chat.type === "private", (ctx) => ctx.reply(`I don't know that. ${USAGE}`));
bot.catch((failure) => {
  if (BUG === "outage-kills") throw failure.error;
  const { error } = failure;
  console.error("failed:", error instanceof GrammyError ? error.error_code : error.name);
  if (BUG === "failure-told") return failure.ctx.reply(`Sorry: ${error.message} ${BOT_API}/bot${BOT_TOKEN}`).catch(() => {});
});

// Which errors this bot forgot to catch; what is thrown ends the process.
function fatal(error) {
  if (BUG === "outage-kills") return error instanceof HttpError || error instanceof GrammyError;
  if (BUG === "amount-unchecked") return error instanceof RangeError;
  return ["message-assumed", "data-assumed"].includes(BUG) && error instanceof TypeError;
}

const digest = (text) => createHash("sha256").update(text).digest();
const server = createServer((request, response) => {
  const end = (status, text = "") => {
    if (response.headersSent) return;
    response.writeHead(status, status === 413 ? { connection: "close" } : {});
    response.end(text);
  };
  const given = request.headers["x-telegram-bot-api-secret-token"];
  const known = BUG === "secret-after" || (BUG === "secret-list" ? SECRET.startsWith(given ?? "") : typeof given === "string" && timingSafeEqual(digest(given), digest(SECRET)));
  if (request.url.split("?")[0] !== WEBHOOK_PATH || request.method !== "POST" || !known) {
    request.resume();
    end(known ? 404 : 401);
    return;
  }
  let text = "";
  const chunks = [];
  let size = 0;
  request.on("error", () => {});
  request.on("data", (chunk) => {
    size += chunk.length;
    if (BUG === "chunks-decoded") text += chunk;
    if (size > 256 * 1024) {
      chunks.length = 0;
      end(413);
    } else chunks.push(chunk);
  });
  request.on("end", () => {
    if (response.headersSent) return;
    let update;
    try {
      update = JSON.parse(BUG === "chunks-decoded" ? text : Buffer.concat(chunks).toString());
    } catch (error) {
      end(BUG === "parse-told" ? 500 : 400, BUG === "parse-told" ? error.stack : "");
      return;
    }
    if (BUG === "secret-after" && given !== SECRET) {
      end(401);
      return;
    }
    if (typeof update !== "object" || update === null || !Number.isSafeInteger(update.update_id)) {
      end(400);
      return;
    }
    if (BUG === "audit-kept") audit.push({ update, page: Buffer.alloc(30_000, 1) });
    if (seen.has(update.update_id) && BUG !== "repeats") {
      end(200);
      return;
    }
    seen.add(update.update_id);
    if (seen.size > 20_000) seen.delete(seen.values().next().value);
    const chat = (update.message ?? update.edited_message ?? update.callback_query?.message)?.chat?.id ?? update.callback_query?.from?.id;
    lastChat = update.message?.chat?.id ?? lastChat;
    const before = BUG === "number-race" || BUG === "chat-remembered" ? sleep(BUG === "chat-remembered" ? 60 : 0) : chains.get(chat) ?? Promise.resolve();
    const work = before.then(() => bot.handleUpdate(update)).catch((error) => {
      if (fatal(error.error ?? error)) throw error.error ?? error;
      return bot.errorHandler(error);
    }).catch((error) => {
      if (fatal(error)) throw error;
      console.error("failed:", error.name);
    });
    chains.set(chat, work);
    work.finally(() => chains.get(chat) === work && chains.delete(chat));
    end(200);
  });
});
server.listen(Number(PORT), "127.0.0.1");
