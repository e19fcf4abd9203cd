// Meeple: a club's library of board games, on node:http alone. The first reply travels in the answer to the webhook; whatever goes
// to others, or must wait its turn, goes through an outbox for each chat. Games go by codes made from their titles.
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");
const https = require("node:https");

const PORT = Number(process.env.PORT || 8080);
const PATH = process.env.WEBHOOK_PATH || "/webhook";
const SECRET = process.env.SECRET || "";
const TOKEN = process.env.BOT_TOKEN || "";
const API = (process.env.BOT_API || "https://api.telegram.org").replace(/\/+$/, "");
const ADMIN = Number(process.env.ADMIN_ID || 0);
const BUG = process.env.BUG || "";

const MAX_BODY = 1 << 20;
const MAX_GAMES = 500;
const MAX_OUTBOX = 200; // for each chat
const MAX_CHATS = 2000; // with something in their outbox
const CALL_MS = 8000;
const BACKOFF_MS = [500, 1000, 2000, 4000, 8000];
const LONGEST_WAIT_S = 300;
const DAY_MS = 86_400_000;
const PLAYERS = ["1-2", "3-4", "5+"];
const LENGTHS = ["short", "medium", "long"];
const STARS = ["1", "2", "3", "4", "5"];

const log = (...words) => console.error(new Date().toISOString(), ...words);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const isId = (value) => Number.isSafeInteger(value) && value !== 0;
const clean = (text, limit) =>
  [...String(text ?? "").replace(/[\u0000-\u001f\u007f]+/g, " ").toWellFormed().trim()].slice(0, limit).join("");

/** A map that forgets its oldest entries. */
class Recent extends Map {
  constructor(limit) {
    super();
    this.limit = limit;
  }
  set(key, value) {
    this.delete(key);
    super.set(key, value);
    if (this.size > this.limit) this.delete(this.keys().next().value);
    return this;
  }
}

// ------------------------------------------------------------------ Bot API

const base = new URL(API);
const transport = base.protocol === "https:" ? https : http;
const agent = new transport.Agent({ keepAlive: true, maxSockets: 500 });
const moved = new Recent(1000);

/** One attempt; code 599 stands for an answer that did not come or cannot be read. */
function attempt(method, payload) {
  return new Promise((resolve) => {
    const body = Buffer.from(JSON.stringify(payload));
    const headers = { "content-type": "application/json", "content-length": body.length };
    const request = transport.request(`${API}/bot${TOKEN}/${method}`, { method: "POST", headers, agent, timeout: CALL_MS });
    const tooSlow = () => {
      log(`${method}: no answer in ${CALL_MS} ms`);
      if (BUG !== "timeout-logged") request.destroy(new Error("timeout"));
    };
    const deadline = setTimeout(tooSlow, CALL_MS + 1000);
    const done = (code, answer) => {
      clearTimeout(deadline);
      resolve({ code, answer: answer ?? {} });
    };
    request.on("timeout", tooSlow);
    request.on("error", (error) => {
      log(`${method}: ${error.message}`);
      done(599);
    });
    request.on("response", (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("error", () => done(599));
      response.on("aborted", () => done(599));
      response.on("end", () => {
        try {
          const answer = JSON.parse(Buffer.concat(parts).toString());
          if (answer.ok === true) return done(200, answer);
          const code = Number.isInteger(answer.error_code) ? answer.error_code : response.statusCode;
          done(code >= 400 ? code : 599, answer);
        } catch {
          done(599);
        }
      });
    });
    request.end(body);
  });
}

/** Calls until it succeeds, is refused, or has been tried often enough; throws where it gives up. */
async function call(method, payload, backoff = BACKOFF_MS) {
  for (let failures = 0, waits = 0; ; ) {
    if (moved.has(payload.chat_id)) payload = { ...payload, chat_id: moved.get(payload.chat_id) };
    const { code, answer } = await attempt(method, payload);
    if (code === 200) return answer.result;
    const target = answer.parameters?.migrate_to_chat_id;
    if (isId(target) && target !== payload.chat_id && waits < 5) {
      waits += 1;
      moved.set(payload.chat_id, target);
      continue;
    }
    if (code === 429) {
      const seconds = Number(answer.parameters?.retry_after) || 1;
      if (seconds > LONGEST_WAIT_S || waits >= 5) throw new Error(`${method}: too many requests`);
      waits += 1;
      await sleep(seconds * 1000 + 100);
      continue;
    }
    if (code < 500 || failures >= backoff.length) throw new Error(`${method}: ${code} ${answer.description ?? ""}`);
    await sleep(backoff[failures]);
    failures += 1;
  }
}

const outboxes = new Map();

async function drain(chat) {
  const jobs = outboxes.get(chat);
  while (jobs.length > 0) {
    const { method, payload } = jobs[0];
    if (BUG === "rejection-floats") {
      await call(method, payload);
    } else {
      await call(method, payload).catch((error) => log(`not delivered to ${chat}: ${error.message}`));
    }
    jobs.shift();
  }
  outboxes.delete(chat);
}

/** Puts a call at the end of its chat's outbox. */
function post(chat, method, payload) {
  if (BUG === "outbox-parallel") {
    call(method, payload).catch((error) => log(`not delivered to ${chat}: ${error.message}`));
    return;
  }
  const jobs = outboxes.get(chat);
  if (jobs ? jobs.length >= MAX_OUTBOX : outboxes.size >= MAX_CHATS) {
    log(`outbox of ${chat} is full`);
  } else if (jobs) {
    jobs.push({ method, payload });
  } else {
    outboxes.set(chat, [{ method, payload }]);
    drain(chat);
  }
}

const tell = (chat, text, markup) => post(chat, "sendMessage", { chat_id: chat, text, ...(markup && { reply_markup: markup }) });

// ------------------------------------------------------------------ the library

const games = BUG === "plain-object" ? {} : Object.create(null); // by code
const sessions = new Recent(5000); // "chat:user" -> where a conversation stands
const nights = new Recent(500);
const offers = new Recent(1000);
const keepers = new Set();
let lastId = 0;

const isKeeper = (user) => user.id === ADMIN || keepers.has(user.id);
const nameOf = (user) => clean(user.first_name, 30) || `user ${user.id}`;
const find = (code) => games[String(code).trim().toLowerCase()];
const inline = (...rows) => ({
  inline_keyboard: rows.map((row) => row.map(([text, data]) => ({ text, callback_data: data }))),
});
const keyboard = (...rows) => ({ keyboard: rows.map((row) => row.map((text) => ({ text }))), one_time_keyboard: true, resize_keyboard: true });
const NO_KEYBOARD = { remove_keyboard: true };

function newCode(title) {
  const stem = title.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "").slice(0, 12) || "game";
  let code = stem;
  for (let n = 2; games[code]; n++) code = stem + n;
  return code;
}

function stars(game) {
  const given = [...game.reviews.values()].map((review) => review.stars);
  return given.length ? `${(given.reduce((a, b) => a + b, 0) / given.length).toFixed(1)}★ (${given.length})` : "not rated";
}

function where(game) {
  if (game.holder) return `with ${game.holderName} until ${new Date(game.due).toISOString().slice(0, 10)}`;
  return game.keptFor ? "kept for the next in line" : "on the shelf";
}

const line = (game) => `${game.title} [${game.code}] ${game.players} players, ${game.length}, ${stars(game)}: ${where(game)}`;

function card(game, user) {
  const rows = [];
  if (!game.holder) rows.push([["Borrow", `take:${game.code}`]]);
  else if (game.holder === user.id) rows.push([["Keep a week longer", `more:${game.code}`], ["Give back", `back:${game.code}:${user.id}`]]);
  else rows.push([["Join the waiting list", `wait:${game.code}`]]);
  return {
    text: `${line(game)}\nFrom ${game.ownerName}; ${game.waiting.length} waiting. Share: https://t.me/meeple_bot?start=g_${game.code}`,
    markup: inline(...rows),
  };
}

async function borrow(game, user) {
  if (game.holder === user.id) return `You already have ${game.title}.`;
  if (game.holder) return `${game.title} is out. /wait ${game.code} puts you on the waiting list.`;
  if (game.keptFor && game.keptFor !== user.id && game.keptUntil > Date.now()) return `${game.title} is kept for the next in line.`;
  if (BUG === "borrow-then-book" && game.owner !== user.id) {
    await call("sendMessage", { chat_id: game.owner, text: `${nameOf(user)} borrows your ${game.title}.` }).catch((error) => log(error.message));
  } else if (game.owner !== user.id) {
    tell(game.owner, `${nameOf(user)} borrows your ${game.title}.`);
  }
  Object.assign(game, { holder: user.id, holderName: nameOf(user), due: Date.now() + 14 * DAY_MS, longer: 0, keptFor: 0 });
  game.waiting = game.waiting.filter((one) => one !== user.id);
  return `${game.title} is yours for two weeks. Have fun!`;
}

function offerToNext(game) {
  const next = game.waiting[0];
  game.keptFor = next ?? 0;
  game.keptUntil = Date.now() + 2 * DAY_MS;
  if (next) tell(next, `${game.title} is back, and kept for you for two days.`, inline([["Take it", `take:${game.code}`]]));
}

function giveBack(game, holder) {
  if (!game.holder || game.holder !== holder) return `You do not have ${game.title}.`;
  Object.assign(game, { holder: 0, holderName: "" });
  offerToNext(game);
  return `Thanks, ${game.title} is back on the shelf.`;
}

function joinLine(game, user) {
  if (!game.holder && !game.keptFor) return `${game.title} is on the shelf: /borrow ${game.code}`;
  if (game.holder === user.id) return `You have ${game.title} already.`;
  if (game.waiting.includes(user.id)) return `You are number ${game.waiting.indexOf(user.id) + 1} in line for ${game.title}.`;
  if (game.waiting.length >= 50) return "That line is too long already.";
  game.waiting.push(user.id);
  return `You are number ${game.waiting.length} in line for ${game.title}.`;
}

function page(number) {
  const all = Object.values(games);
  const last = Math.max(0, Math.ceil(all.length / 8) - 1);
  const at = Math.min(Math.max(0, number), last);
  const shown = all.slice(at * 8, at * 8 + 8);
  const turn = [...(at > 0 ? [["«", `page:${at - 1}`]] : []), ...(at < last ? [["»", `page:${at + 1}`]] : [])];
  const rows = [...shown.map((game) => [[game.title, `show:${game.code}`]]), ...(turn.length ? [turn] : [])];
  return { text: shown.map(line).join("\n") || "The shelves are empty. /donate puts something there.", markup: inline(...rows) };
}

function nightText(night) {
  const people = [...night.people.values()].map(({ name, guests }) => (guests ? `${name} +${guests}` : name));
  const seats = [...night.people.values()].reduce((sum, { guests }) => sum + 1 + guests, 0);
  return `Game night: ${night.title}\n${people.join(", ") || "nobody yet"} (${seats})`;
}
const nightButtons = (id) => inline([["I'm in", `in:${id}`], ["+1 guest", `guest:${id}`], ["I'm out", `out:${id}`]]);

// ------------------------------------------------------------------ commands

const MENU = `I look after the club's board games.
/games - the shelves, with buttons
/game code - one game
/donate title - lend the club a game of yours
/borrow code, /giveback code
/mine - what you have, and what you lent
/wait code, /unwait code - the waiting list
/handover code - in reply to somebody: pass a game on
/rate code - one to five stars and a word
/reviews code - what others say
/retire code - take your game back (keepers: any)
/tonight what - announce a game night (in groups)
/nevermind - stop what we were doing
Keepers: /overdue reminds everybody who is late
Admin: /keeper id (or in reply), /stats`;
const UNKNOWN = "No such game. /games shows what there is.";

const commands = new Map(
  Object.entries({
    start(context) {
      const code = /^g_(.+)$/.exec(context.rest)?.[1];
      const game = code && find(code);
      return game ? card(game, context.user) : MENU;
    },
    menu: () => MENU,
    help: () => MENU,
    games: ({ rest }) => page(/^\d{1,3}$/.test(rest) ? Number(rest) - 1 : 0),
    game({ rest, user }) {
      const game = find(rest);
      return game ? card(game, user) : UNKNOWN;
    },
    donate({ rest, user, session }) {
      const title = clean(rest, 60);
      if (!title) return "Like this: /donate Ticket to Ride";
      const all = Object.values(games);
      if (all.length >= MAX_GAMES || all.filter((game) => game.owner === user.id).length >= 25) return "There is no room for more.";
      sessions.set(session, { step: "players", title });
      return { text: `How many play ${title}?`, markup: keyboard(PLAYERS) };
    },
    borrow({ rest, user }) {
      const game = find(rest);
      return game ? borrow(game, user) : UNKNOWN;
    },
    giveback({ rest, user }) {
      const game = find(rest);
      return game ? giveBack(game, user.id) : UNKNOWN;
    },
    mine({ user }) {
      const all = Object.values(games);
      const have = all.filter((game) => game.holder === user.id).slice(0, 10);
      const lent = all.filter((game) => game.owner === user.id);
      const text = [...have.map((game) => `You have ${line(game)}`), ...lent.map((game) => `You lent ${line(game)}`)].join("\n");
      return { text: text || "Nothing of yours is here.", markup: inline(...have.map((game) => [[`Give back ${game.title}`, `back:${game.code}:${user.id}`]])) };
    },
    wait({ rest, user }) {
      const game = find(rest);
      return game ? joinLine(game, user) : UNKNOWN;
    },
    unwait({ rest, user }) {
      const game = find(rest);
      if (!game) return UNKNOWN;
      if (!game.waiting.includes(user.id)) return "You were not in line.";
      game.waiting = game.waiting.filter((one) => one !== user.id);
      if (game.keptFor === user.id) offerToNext(game);
      return `You left the line for ${game.title}.`;
    },
    handover({ rest, user, message }) {
      const game = find(rest);
      const other = message.reply_to_message?.from;
      if (!game || !isId(other?.id) || other.is_bot === true || other.id === user.id) return "Reply to somebody's message with /handover code.";
      if (game.holder !== user.id) return `You do not have ${game.title}.`;
      const id = ++lastId;
      offers.set(id, { code: game.code, from: user.id, to: other.id });
      return { text: `${nameOf(other)}, do you take ${game.title} from ${nameOf(user)}?`, markup: inline([["I take it", `acc:${id}`], ["No thanks", `dec:${id}`]]) };
    },
    rate({ rest, session }) {
      const game = find(rest);
      if (!game) return UNKNOWN;
      sessions.set(session, { step: "stars", code: game.code });
      return { text: `How many stars for ${game.title}?`, markup: keyboard(STARS) };
    },
    reviews({ rest }) {
      const game = find(rest);
      if (!game) return UNKNOWN;
      const said = [...game.reviews.values()].slice(-10).map((review) => `${"★".repeat(review.stars)} ${review.name}: ${review.word || "-"}`);
      return `${game.title}, ${stars(game)}\n${said.join("\n")}`;
    },
    retire({ rest, user }) {
      const game = find(rest);
      if (!game) return UNKNOWN;
      if (game.owner !== user.id && !isKeeper(user) && BUG !== "retire-any") return "Only its owner or a keeper retires a game.";
      delete games[game.code];
      for (const one of game.waiting) tell(one, `${game.title} has left the library.`);
      if (game.owner !== user.id) tell(game.owner, `${nameOf(user)} retired your ${game.title}.`);
      return `${game.title} has left the library.`;
    },
    tonight({ rest, user, chat }) {
      if (chat.type === "private") return "Game nights are for groups.";
      const id = ++lastId;
      const night = { title: clean(rest, 60) || "open table", people: new Map([[user.id, { name: nameOf(user), guests: 0 }]]) };
      nights.set(id, night);
      return { text: nightText(night), markup: nightButtons(id) };
    },
    nevermind({ ended }) {
      return { text: ended ? "Fine, forgotten." : "There was nothing to stop.", markup: NO_KEYBOARD };
    },
    overdue({ user }) {
      if (!isKeeper(user)) return "That is for keepers.";
      const out = Object.values(games).filter((game) => game.holder && game.due < Date.now());
      for (const game of out) tell(game.holder, `${game.title} is overdue. Please bring it back.`);
      return out.length ? `Reminded ${out.length}.` : "Nothing is overdue.";
    },
    keeper({ rest, user, message }) {
      if (user.id !== ADMIN) return "That is for the admin.";
      const id = /^\d{1,15}$/.test(rest) ? Number(rest) : message.reply_to_message?.from?.id;
      if (!isId(id)) return "Like this: /keeper id, or in reply to somebody.";
      if (keepers.size >= 100) return "That is enough keepers.";
      keepers.add(id);
      return `${id} is a keeper now.`;
    },
    stats({ user }) {
      if (user.id !== ADMIN) return "That is for the admin.";
      const all = Object.values(games);
      return `${all.length} games, ${all.filter((game) => game.holder).length} out, ${keepers.size} keepers, ${nights.size} nights`;
    },
  }),
);

/** The next step of a conversation. */
function converse(context, at) {
  const { text, user, session } = context;
  if (at.step === "players" || at.step === "length") {
    const choices = at.step === "players" ? PLAYERS : LENGTHS;
    if (!choices.includes(text)) return { text: "Please choose from the keyboard, or /nevermind.", markup: keyboard(choices) };
    if (at.step === "players") {
      sessions.set(session, { ...at, step: "length", players: text });
      return { text: "And how long does it take?", markup: keyboard(LENGTHS) };
    }
    sessions.delete(session);
    const code = newCode(at.title);
    games[code] = {
      code, title: at.title, players: at.players, length: text, owner: user.id, ownerName: nameOf(user),
      holder: 0, holderName: "", due: 0, longer: 0, keptFor: 0, keptUntil: 0, waiting: [], reviews: new Recent(100),
    };
    return { text: `Thank you! ${at.title} is on the shelf as ${code}.`, markup: NO_KEYBOARD };
  }
  const game = games[at.code];
  if (!game) {
    sessions.delete(session);
    return { text: "That game has left meanwhile.", markup: NO_KEYBOARD };
  }
  if (at.step === "stars") {
    if (!STARS.includes(text)) return { text: "One to five, please, or /nevermind.", markup: keyboard(STARS) };
    sessions.set(session, { ...at, step: "word", stars: Number(text) });
    return { text: "And in a word?", markup: keyboard(["Skip"]) };
  }
  if (!text) return "In a word, please, or Skip.";
  sessions.delete(session);
  game.reviews.set(user.id, { stars: at.stars, word: text === "Skip" ? "" : clean(text, 100), name: nameOf(user) });
  return { text: `Noted: ${game.title} now has ${stars(game)}.`, markup: NO_KEYBOARD };
}

async function onMessage(message) {
  const { from: user, chat } = message;
  if (!isId(user?.id) || !isId(chat?.id)) return undefined;
  const text = BUG === "text-assumed" ? message.text.trim() : typeof message.text === "string" ? message.text.trim() : "";
  const session = `${chat.id}:${user.id}`;
  const at = sessions.get(session);
  const context = { message, user, chat, text, session, rest: "", ended: Boolean(at) };
  const parts = /^\/([A-Za-z_]{1,32})(?:@\w+)?(?:\s+([^]*))?$/.exec(text);
  let reply;
  if (parts) {
    sessions.delete(session);
    const run = commands.get(parts[1].toLowerCase());
    context.rest = (parts[2] ?? "").trim();
    if (run) reply = await run(context);
    else if (chat.type === "private") reply = "I do not know that. See /menu.";
  } else if (at) {
    reply = converse(context, at);
  } else if (chat.type === "private") {
    reply = "I only know commands. See /menu.";
  }
  return reply && respond(chat.id, reply);
}

/** What goes to a chat: in the answer to the webhook, or behind what is still on its way there. */
function respond(chat, reply, edits) {
  const { text, markup } = typeof reply === "string" ? { text: reply } : reply;
  const payload = { chat_id: chat, ...(edits && { message_id: edits }), text, ...(markup && { reply_markup: markup }) };
  const method = edits ? "editMessageText" : "sendMessage";
  if (!outboxes.has(chat) && !moved.has(chat)) return { method, ...payload };
  post(chat, method, payload);
  return undefined;
}

async function onPress(query) {
  const { from: user, data } = query;
  if (!isId(user?.id)) return undefined;
  const chat = isId(query.message?.chat?.id) ? query.message.chat.id : user.id;
  const under = isId(query.message?.chat?.id) && query.message.date !== 0 ? query.message.message_id : undefined;
  const [kind, what = "", who = ""] = typeof data === "string" ? data.split(":") : [""];
  let reply = "That button no longer works.";
  let edits;
  const game = ["show", "take", "more", "back", "wait"].includes(kind) ? find(what) : undefined;
  const night = nights.get(Number(what));
  const offer = offers.get(Number(what));
  if (kind === "page" && /^\d{1,3}$/.test(what)) [reply, edits] = [page(Number(what)), under];
  else if (game && kind === "show") reply = card(game, user);
  else if (game && kind === "take") reply = await borrow(game, user);
  else if (game && kind === "wait") reply = joinLine(game, user);
  else if (game && kind === "back") reply = giveBack(game, BUG === "data-trusted" ? Number(who) : user.id);
  else if (game && kind === "more") {
    if (game.holder !== user.id) reply = `You do not have ${game.title}.`;
    else if (game.longer >= 3) reply = "Three weeks more are the limit.";
    else {
      Object.assign(game, { longer: game.longer + 1, due: game.due + 7 * DAY_MS });
      reply = `You may keep ${game.title} until ${new Date(game.due).toISOString().slice(0, 10)} (${game.longer} of 3).`;
    }
  } else if (night && ["in", "guest", "out"].includes(kind)) {
    const person = night.people.get(user.id) ?? { name: nameOf(user), guests: 0 };
    if (kind === "out") night.people.delete(user.id);
    else if (night.people.size < 60 || night.people.has(user.id)) {
      night.people.set(user.id, { ...person, guests: kind === "guest" ? Math.min(9, person.guests + 1) : person.guests });
    }
    [reply, edits] = [{ text: nightText(night), markup: nightButtons(Number(what)) }, under];
  } else if (offer && ["acc", "dec"].includes(kind)) {
    const passed = games[offer.code];
    if (offer.to !== user.id) reply = "That was not offered to you.";
    else {
      offers.delete(Number(what));
      if (kind === "dec") reply = `${nameOf(user)} does not want it.`;
      else if (!passed || passed.holder !== offer.from) reply = "Too late, it has changed hands.";
      else {
        Object.assign(passed, { holder: user.id, holderName: nameOf(user), due: Date.now() + 14 * DAY_MS, longer: 0 });
        passed.waiting = passed.waiting.filter((one) => one !== user.id);
        reply = `${nameOf(user)} now has ${passed.title}.`;
      }
    }
  }
  if (typeof query.id === "string") {
    call("answerCallbackQuery", { callback_query_id: query.id }, [500]).catch((error) => log(error.message));
  }
  return respond(chat, reply, edits);
}

// ------------------------------------------------------------------ the webhook

const digest = (text) => crypto.createHash("sha256").update(text).digest();
// While a secret is changed, updates that were sent with the previous one still come.
const accepted = [SECRET, process.env.PREVIOUS_SECRET ?? ""].filter((secret) => secret || BUG === "previous-empty").map(digest);
const seen = new Recent(20_000);

function authentic(request) {
  const given = digest(request.headers["x-telegram-bot-api-secret-token"] ?? "");
  return accepted.map((secret) => crypto.timingSafeEqual(secret, given)).includes(true);
}

function read(request) {
  return new Promise((resolve, reject) => {
    const parts = [];
    let size = 0;
    request.on("data", (part) => {
      size += part.length;
      if (size > MAX_BODY) return resolve(undefined);
      parts.push(part);
    });
    request.on("end", () => resolve(Buffer.concat(parts).toString("utf8")));
    request.on("error", reject);
  });
}

/** Whether an update was handled before; from now on it was. */
function repeated(update) {
  if (BUG === "presses-repeat" && !update.message) return false;
  if (seen.has(update.update_id)) return true;
  seen.set(update.update_id, true);
  return false;
}

async function receive(request) {
  if (new URL(request.url, "http://bot").pathname !== PATH) return [404];
  if (request.method !== "POST") return [405];
  if (!authentic(request)) return [401];
  const body = await read(request);
  if (body === undefined) return [413];
  let update;
  try {
    update = JSON.parse(body);
  } catch {
    return [400];
  }
  if (typeof update !== "object" || update === null || !Number.isSafeInteger(update.update_id)) return [400];
  if (repeated(update)) return [200];
  try {
    const reply = update.message ? await onMessage(update.message) : update.callback_query ? await onPress(update.callback_query) : undefined;
    return [200, reply];
  } catch (error) {
    seen.delete(update.update_id); // so that it is delivered again
    log(error.stack);
    return [500];
  }
}

const server = http.createServer((request, response) => {
  receive(request)
    .catch((error) => {
      log(error.message);
      return [400];
    })
    .then(([status, reply]) => {
      if (status === 413) response.setHeader("connection", "close");
      if (reply) response.setHeader("content-type", "application/json");
      response.writeHead(status).end(reply ? JSON.stringify(reply) : "");
    });
});
server.requestTimeout = 15_000;
server.listen(PORT, "127.0.0.1", () => log(`listening on ${PORT}`));
