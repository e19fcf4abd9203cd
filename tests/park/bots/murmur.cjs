// Murmur: a quiet neighbourhood wall, on bare node:http and fetch, with nothing installed.
// Nobody has a name here but an animal of the day; whispers leave late, from one queue for all; the shared list is one message in each
// chat that is edited for ever, and everybody may change everything on it; much is answered by chance, and some of it softly refused.
"use strict";
const crypto = require("node:crypto");
const http = require("node:http");

const PORT = Number(process.env.PORT || 8080);
const PATH = process.env.WEBHOOK_PATH || "/webhook";
const SECRET = process.env.SECRET || "";
const TOKEN = process.env.BOT_TOKEN || "";
const API = (process.env.BOT_API || "https://api.telegram.org").replace(/\/+$/, "");
const ADMIN_ID = Number(process.env.ADMIN_ID || 0);

const MAX_BODY = 1 << 20;
const MAX_PENDING = 300; // per chat
const BACKOFF = [500, 1000, 2000, 4000, 8000, 15000];
const HOUR = 3_600_000;
const WHISPERS_PER_HOUR = 10;
const PONDERINGS_PER_HOUR = 20;
const LIST_LENGTH = 15;
const SALT = crypto.randomBytes(16);

const MOODS = ["Quiet", "Drowsy", "Curious", "Patient", "Mossy", "Gentle", "Restless", "Merry", "Wandering", "Solemn", "Velvet", "Foggy"];
const ANIMALS = ["Heron", "Badger", "Otter", "Moth", "Hare", "Owl", "Newt", "Fox", "Wren", "Toad", "Lynx", "Stork", "Mole", "Crane", "Vole"];
const FORTUNES = [
  "A door you thought was locked is only heavy.",
  "Somebody nearby has what you are looking for.",
  "Wait for the second answer.",
  "What was lost turns up under something blue.",
  "The long way round is quicker on Tuesdays.",
  "You will be asked for advice. Give little.",
];
const VERDICTS = ["Yes.", "No.", "Probably.", "Hardly.", "Ask again when it rains.", "Only if you bring cake.", "It was never in doubt."];
const SHRUGS = [
  "The oracle is asleep. Perhaps later.",
  "Not today, I am afraid.",
  "The oracle heard you, and would rather not say.",
];

// ------------------------------------------------------------------ small things

const pick = (list) => list[crypto.randomInt(list.length)];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const isId = (value) => Number.isSafeInteger(value) && value !== 0;
const log = (...words) => console.error(...words);

function clean(text, limit) {
  const flat = String(text)
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f]+/g, " ")
    .trim();
  return flat.length <= limit ? flat : flat.slice(0, limit - 1).toWellFormed() + "…";
}

class Recent extends Map {
  // Forgets what was written longest ago.
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

// ------------------------------------------------------------------ the Bot API

class Refused extends Error {
  constructor(code, description) {
    super(`${code}: ${description}`);
    this.code = code;
    this.description = String(description || "");
  }
}

const moved = new Recent(1000);
const lines = new Map(); // chat -> the end of what is said there

async function once(method, payload) {
  // The code and the body of an answer; 599 where there was none that can be understood.
  try {
    const response = await fetch(`${API}/bot${TOKEN}/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(payload),
      signal: AbortSignal.timeout(8000),
    });
    const answer = await response.json();
    if (!answer || typeof answer !== "object") return [599, {}];
    if (answer.ok === true) return [200, answer];
    const code = Number.isInteger(answer.error_code) ? answer.error_code : response.status;
    return [code >= 400 ? code : 599, answer];
  } catch (error) {
    log(`${method} failed: ${error.name}`);
    return [599, {}];
  }
}

async function patiently(method, payload, backoff) {
  let attempt = 0;
  let waits = 0;
  for (;;) {
    const chat = payload.chat_id;
    if (moved.has(chat)) payload = { ...payload, chat_id: moved.get(chat) };
    const [code, answer] = await once(method, payload);
    if (code === 200) return answer.result;
    const parameters = answer.parameters && typeof answer.parameters === "object" ? answer.parameters : {};
    const target = parameters.migrate_to_chat_id;
    if (isId(target) && target !== payload.chat_id && waits < 5) {
      moved.set(payload.chat_id, target);
      waits += 1;
      continue;
    }
    if (code === 429 && waits < 8) {
      const pause = Number.isFinite(parameters.retry_after) && parameters.retry_after > 0 ? parameters.retry_after : 1;
      if (pause > 300) throw new Refused(429, "too many requests");
      waits += 1;
      await sleep(pause * 1000 + 100);
      continue;
    }
    if ((code >= 400 && code < 500) || attempt >= backoff.length) throw new Refused(code, answer.description);
    await sleep(backoff[attempt]);
    attempt += 1;
  }
}

function call(method, payload, backoff = BACKOFF) {
  // In order for each chat, and no chat waits for another.
  const chat = payload.chat_id;
  if (chat === undefined) return patiently(method, payload, backoff.slice(0, 2));
  const before = lines.get(chat) || Promise.resolve();
  const result = before.then(() => patiently(method, payload, backoff));
  const end = result.catch(() => {}).then(() => lines.get(chat) === end && lines.delete(chat));
  lines.set(chat, end);
  return result;
}

const send = (chat, text, keyboard) =>
  call("sendMessage", { chat_id: chat, text, ...(keyboard ? { reply_markup: { inline_keyboard: keyboard } } : {}) });

let underWay = 0;
function later(work, what) {
  // Something for which nobody waits.
  if (underWay >= 3000) return false;
  underWay += 1;
  Promise.resolve()
    .then(work)
    .catch((error) => log(`${what}: ${error.message}`))
    .finally(() => (underWay -= 1));
  return true;
}

let username;
async function myName() {
  if (username === undefined) {
    const [code, answer] = await once("getMe", {});
    if (code === 200 && typeof answer.result?.username === "string") username = answer.result.username.toLowerCase();
  }
  return username || "";
}

// ------------------------------------------------------------------ what is known

const shuffles = new Recent(5000); // user -> how often the alias was changed today
const shuffled = new Recent(5000); // user -> when it was changed last
const spent = new Recent(10000); // kind and user -> when
const listeners = new Recent(2000); // chats that hear whispers
const boards = new Recent(2000); // chat -> { id, busy, dirty }
const pages = new Recent(300); // topic -> { text, by }
const hushed = new Recent(2000);
const seen = new Recent(20000);
let things = []; // the list that is everybody's: { text, by, done }
let revision = 0;
let lastChange = "Nothing has happened yet.";
let lantern = { holder: "nobody", at: 0 };
let curfew = false;
let whispersToday = 0;

function alias(user) {
  const day = new Date().toISOString().slice(0, 10);
  const hash = crypto.createHmac("sha256", SALT).update(`${user}|${day}|${shuffles.get(user) || 0}`).digest();
  return `${MOODS[hash[0] % MOODS.length]} ${ANIMALS[hash[1] % ANIMALS.length]}`;
}

function allowed(kind, user, perHour) {
  // Whether one more is in this hour's quota; if so it is spent.
  const key = `${kind}|${user}`;
  const times = (spent.get(key) || []).filter((at) => Date.now() - at < HOUR);
  if (times.length >= perHour) return false;
  times.push(Date.now());
  spent.set(key, times);
  return true;
}

function left(kind, user, perHour) {
  return perHour - (spent.get(`${kind}|${user}`) || []).filter((at) => Date.now() - at < HOUR).length;
}

// ------------------------------------------------------------------ the list: one message in each chat, edited for ever

function boardText() {
  const rows = things.map((one, index) => `${index + 1}. ${one.done ? "✓ " : ""}${one.text} (${one.by})`);
  return ["Everybody's list", ...(rows.length ? rows : ["(empty)"]), "", `Revision ${revision}. ${lastChange}`].join("\n");
}

const boardKeys = () => [
  [
    { text: "Tick the first", callback_data: "tick" },
    { text: "Shuffle", callback_data: "mix" },
    { text: "Bring it down here", callback_data: "down" },
  ],
];

function refresh(chat) {
  // Changes within a second are shown by one edit.
  const board = boards.get(chat) || { id: 0, text: "", busy: false, dirty: false };
  boards.set(chat, board);
  board.dirty = true;
  if (board.busy) return true;
  board.busy = true;
  return later(async () => {
    try {
      while (board.dirty) {
        await sleep(900);
        board.dirty = false;
        await showBoard(chat, board);
      }
    } finally {
      board.busy = false;
    }
  }, "board");
}

function freshBoard(chat) {
  // The next one is a message of its own, below everything else.
  boards.delete(chat);
  return refresh(chat);
}

async function showBoard(chat, board) {
  const text = boardText();
  if (board.id && text === board.text) return;
  const reply_markup = { inline_keyboard: boardKeys() };
  if (board.id) {
    try {
      await call("editMessageText", { chat_id: chat, message_id: board.id, text, reply_markup });
      board.text = text;
      return;
    } catch (error) {
      if (/not modified/i.test(error.description || "")) return;
      if (error.code !== 400) throw error;
      board.id = 0;
    }
  }
  const message = await send(chat, text, boardKeys());
  if (isId(message?.message_id)) Object.assign(board, { id: message.message_id, text });
}

function changed(chat, what) {
  revision += 1;
  lastChange = what;
  refresh(chat);
}

// ------------------------------------------------------------------ whispers: late, from one queue for all

const whispers = [];
let whispering = false;
function whisper(text) {
  whispers.push(text);
  if (whispering) return;
  whispering = true;
  later(async () => {
    try {
      while (whispers.length) {
        await sleep(1500 + crypto.randomInt(2500));
        const line = whispers.shift();
        for (const chat of [...listeners.keys()]) later(() => send(chat, line), `whisper to ${chat}`);
      }
    } finally {
      whispering = false;
    }
  }, "whispers");
}

// ------------------------------------------------------------------ commands

const HELP = `Murmur, the neighbourhood wall. Nobody has a name here.
/me - who you are today
/reshuffle - be somebody else (once an hour)
/whisper text - tells every listener, a little later (${WHISPERS_PER_HOUR} an hour)
/listen, /deafen - hear whispers here, or no longer
/list - everybody's list; it is one message that I keep up to date
/add text - put something on it
/strike number - take anything off it
/reword number text - word anything anew
/page topic [text] - read a page, or write it; everybody may
/lantern - take the lantern from whoever has it
/coin, /roll, /fortune - chance
/ponder question - the oracle takes its time (${PONDERINGS_PER_HOUR} an hour)
/hush - in groups: I only nod from now on, or speak again
/forgetme - forget what I know about you
What you just write to me I nod at.`;
const ADMIN_HELP = `

For the keeper:
/curfew - no whispers, or whispers again
/sweep - empty the list
/census - how many are here`;

const commands = {
  start: (chat) => send(chat, "Welcome to the wall. You need no name here. /help tells what there is."),
  help: (chat, user) => send(chat, HELP + (user === ADMIN_ID ? ADMIN_HELP : "")),
  me: (chat, user) =>
    send(
      chat,
      `Today you are the ${alias(user)}. You may whisper ${left("whisper", user, WHISPERS_PER_HOUR)} more times within the hour.`,
    ),
  reshuffle(chat, user) {
    if (Date.now() - (shuffled.get(user) || 0) < HOUR) return send(chat, "You only just became somebody else. Enjoy it a while.");
    shuffled.set(user, Date.now());
    shuffles.set(user, (shuffles.get(user) || 0) + 1);
    return send(chat, `From now on you are the ${alias(user)}.`);
  },
  whisper(chat, user, rest) {
    const text = clean(rest, 300);
    if (curfew) return send(chat, "It is curfew. The wall is quiet until the keeper says otherwise.");
    if (!text) return send(chat, "What shall I whisper? /whisper there are plums at the gate");
    if (whispers.length >= 200) return send(chat, "There is so much whispering just now. Later, please.");
    if (!allowed("whisper", user, WHISPERS_PER_HOUR)) return send(chat, "You have whispered enough for this hour.");
    whispersToday += 1;
    whisper(`${alias(user)} whispers: ${text}`);
    return send(chat, `It will go round when its turn comes. Before it: ${whispers.length - 1}.`);
  },
  listen(chat) {
    listeners.set(chat, true);
    return send(chat, "I let you hear the whispers here.");
  },
  deafen(chat) {
    return send(chat, listeners.delete(chat) ? "No more whispers here." : "There were none here anyway.");
  },
  list(chat) {
    return freshBoard(chat);
  },
  add(chat, user, rest) {
    const text = clean(rest, 80);
    if (!text) return send(chat, "What shall I add? /add a ladder");
    if (things.length >= LIST_LENGTH) {
      const gone = things.shift();
      lastChange = `${gone.text} fell off the top.`;
    }
    things.push({ text, by: alias(user), done: false });
    return changed(chat, `${alias(user)} added ${text}.`);
  },
  strike(chat, user, rest) {
    const index = /^[0-9]{1,3}$/.test(rest) ? Number(rest) - 1 : -1;
    if (!things[index]) return send(chat, "There is nothing of that number on the list.");
    const [gone] = things.splice(index, 1);
    return changed(chat, `${alias(user)} struck ${gone.text}.`);
  },
  reword(chat, user, rest) {
    const found = /^([0-9]{1,3})\s+(.+)$/s.exec(rest);
    const one = found && things[Number(found[1]) - 1];
    const text = found ? clean(found[2], 80) : "";
    if (!one || !text) return send(chat, "Like this: /reword 2 a longer ladder");
    const before = one.text;
    Object.assign(one, { text, by: alias(user) });
    return changed(chat, `${alias(user)} made ${before} into ${text}.`);
  },
  page(chat, user, rest) {
    const found = /^(\S{1,40})(?:\s+(.*))?$/s.exec(rest);
    if (!found) return send(chat, "Which page? There are: " + ([...pages.keys()].slice(-30).join(", ") || "none yet"));
    const topic = clean(found[1].toLowerCase(), 40);
    const text = clean(found[2] || "", 500);
    if (!topic) return send(chat, "That is no name for a page.");
    if (text) {
      pages.set(topic, { text, by: alias(user) });
      return send(chat, `The page ${topic} is written anew.`);
    }
    const page = pages.get(topic);
    return send(chat, page ? `${page.text}\n(${page.by} wrote that)` : "Nobody has written that page yet.");
  },
  lantern(chat, user) {
    const before = lantern;
    lantern = { holder: alias(user), at: Date.now() };
    if (before.holder === lantern.holder) return send(chat, "You hold the lantern already. It is warm.");
    return send(chat, `You took the lantern from ${before.holder === "nobody" ? "its hook" : `the ${before.holder}`}.`);
  },
  coin: (chat) => send(chat, crypto.randomInt(60) ? pick(["Heads.", "Tails."]) : "It stands on its edge. How odd."),
  roll: (chat) => send(chat, `A ${crypto.randomInt(6) + 1} and a ${crypto.randomInt(6) + 1}.`),
  fortune: (chat) => send(chat, pick(FORTUNES)),
  ponder(chat, user, rest) {
    if (!rest.trim()) return send(chat, "Ponder what?");
    if (!allowed("ponder", user, PONDERINGS_PER_HOUR)) return send(chat, "The oracle has heard enough from you this hour.");
    if (crypto.randomInt(4) === 0) return send(chat, pick(SHRUGS));
    const taken = later(async () => {
      await sleep(2000 + crypto.randomInt(4000));
      await send(chat, `The oracle has thought about it. ${pick(VERDICTS)}`);
    }, "oracle");
    return send(chat, taken ? "Hm. Give me a moment." : pick(SHRUGS));
  },
  hush(chat) {
    if (chat > 0) return send(chat, "In private I am quiet enough. That is for groups.");
    if (hushed.delete(chat)) return send(chat, "I may speak again.");
    hushed.set(chat, true);
    return send(chat, "I only nod from now on. /hush again and I speak.");
  },
  forgetme(chat, user) {
    shuffles.delete(user);
    listeners.delete(user);
    return send(chat, "You were never here. (This hour's quotas stay spent, and what you gave to all stays everybody's.)");
  },
  curfew(chat) {
    curfew = !curfew;
    return send(chat, curfew ? "Curfew. No more whispers." : "Curfew is over.");
  },
  sweep(chat) {
    things = [];
    return changed(chat, "The keeper swept the list.");
  },
  census: (chat) =>
    send(
      chat,
      `Listeners: ${listeners.size}, boards: ${boards.size}, pages: ${pages.size}, things: ${things.length}, whispers: ${whispersToday}`,
    ),
};
const KEEPER_ONLY = new Set(["curfew", "sweep", "census"]);

// ------------------------------------------------------------------ updates

const nod = (chat, message, emoji) =>
  call("setMessageReaction", { chat_id: chat, message_id: message, reaction: [{ type: "emoji", emoji }] }, BACKOFF.slice(0, 2));

async function handle(update) {
  if (update.callback_query) return pressed(update.callback_query);
  const message = update.message;
  const chat = message.chat.id;
  const user = message.from.id;
  if (isId(message.migrate_to_chat_id)) {
    moved.set(chat, message.migrate_to_chat_id);
    if (listeners.delete(chat)) listeners.set(message.migrate_to_chat_id, true);
    if (hushed.delete(chat)) hushed.set(message.migrate_to_chat_id, true);
    boards.delete(chat);
    return;
  }
  const text = typeof message.text === "string" ? message.text.toWellFormed() : "";
  const found = /^\/([a-z]{2,12})(?:@(\w{1,40}))?(?:\s+(.*))?$/is.exec(text);
  const name = found ? found[1].toLowerCase() : "";
  if (!found || !Object.hasOwn(commands, name)) {
    if (chat < 0) return;
    if (text.startsWith("/")) await send(chat, "That is no word I know. /help lists those I do.");
    else if (isId(message.message_id)) await nod(chat, message.message_id, pick(["👀", "🤔", "👌"]));
    return;
  }
  if (found[2]) {
    const me = await myName();
    if (me && found[2].toLowerCase() !== me) return;
  }
  if (KEEPER_ONLY.has(name) && user !== ADMIN_ID) {
    await send(chat, "Only the keeper does that. No offence meant.");
    return;
  }
  if (hushed.has(chat) && name !== "hush" && !KEEPER_ONLY.has(name)) {
    if (isId(message.message_id)) await nod(chat, message.message_id, "🤫");
    return;
  }
  await commands[name](chat, user, (found[3] || "").trim());
}

async function pressed(query) {
  const user = query.from.id;
  const chat = isId(query.message?.chat?.id) ? query.message.chat.id : user;
  let toast = "";
  if (query.data === "tick") {
    const one = things.find((thing) => !thing.done);
    if (one) one.done = true;
    toast = one ? "Ticked." : "Everything is ticked.";
    if (one) changed(chat, `${alias(user)} ticked ${one.text}.`);
  } else if (query.data === "mix") {
    for (let i = things.length - 1; i > 0; i -= 1) {
      const j = crypto.randomInt(i + 1);
      [things[i], things[j]] = [things[j], things[i]];
    }
    toast = "Shuffled.";
    changed(chat, `${alias(user)} shuffled the list.`);
  } else if (query.data === "down") {
    freshBoard(chat);
  } else {
    toast = "That button does nothing any more.";
  }
  try {
    await call("answerCallbackQuery", { callback_query_id: query.id, ...(toast ? { text: toast } : {}) });
  } catch (error) {
    log(`button not answered: ${error.message}`);
  }
}

const queues = new Map(); // chat -> what waits

function put(chat, update) {
  const queue = queues.get(chat);
  if (queue) {
    if (queue.length >= MAX_PENDING) return false;
    queue.push(update);
    return true;
  }
  queues.set(chat, [update]);
  work(chat).catch((error) => log(`worker: ${error.message}`));
  return true;
}

async function work(chat) {
  const queue = queues.get(chat);
  while (queue.length) {
    try {
      await handle(queue.shift());
    } catch (error) {
      log(`chat ${chat}: ${error.message}`);
      if (!(error instanceof Refused)) later(() => send(chat, "I stumbled over that. Please try again."), "apology");
    }
  }
  queues.delete(chat);
}

function chatOf(update) {
  // The chat whose queue it goes to; nothing for what there is no use for.
  const content = update.callback_query ?? update.message;
  if (!content || typeof content !== "object" || !isId(content.from?.id)) return undefined;
  if (update.callback_query) return isId(content.message?.chat?.id) ? content.message.chat.id : content.from.id;
  return isId(content.chat?.id) ? content.chat.id : undefined;
}

// ------------------------------------------------------------------ the webhook

const digest = (text) => crypto.createHash("sha256").update(text).digest();
const trusted = (given) => typeof given === "string" && crypto.timingSafeEqual(digest(given), digest(SECRET));

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function received(body, response) {
  let update;
  try {
    update = JSON.parse(body);
  } catch {
    return answer(response, 400, { error: "no JSON" });
  }
  if (!update || typeof update !== "object" || !Number.isSafeInteger(update.update_id)) {
    return answer(response, 400, { error: "no update" });
  }
  const chat = chatOf(update);
  if (chat === undefined || seen.has(update.update_id)) return answer(response, 200, {});
  if (!put(chat, update)) return answer(response, 429, { error: "too much for this chat" });
  seen.set(update.update_id, true);
  return answer(response, 200, {});
}

const server = http.createServer((request, response) => {
  if (request.url.split("?")[0] !== PATH) return answer(response, 404, { error: "not here" });
  if (request.method !== "POST") return answer(response, 405, { error: "POST only" });
  if (!trusted(request.headers["x-telegram-bot-api-secret-token"])) {
    response.shouldKeepAlive = false;
    return answer(response, 401, { error: "wrong secret" });
  }
  const chunks = [];
  let size = 0;
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size <= MAX_BODY) chunks.push(chunk);
    else if (!response.headersSent) {
      response.shouldKeepAlive = false;
      answer(response, 413, { error: "too large" });
    } else if (size > 4 * MAX_BODY) request.destroy();
  });
  request.on("end", () => response.headersSent || received(Buffer.concat(chunks).toString("utf8"), response));
  request.on("error", () => {});
  return undefined;
});
server.requestTimeout = 20_000;
server.listen(PORT, "127.0.0.1");
