// Hava: a Turkish weather subscription bot. Node without any framework or package; answers from one chain of promises per chat.
//
// Subscriptions are numbered for everybody, lie in memory and belong to who made them. Cities are a fixed list, so nothing is echoed.
import { createServer } from "node:http";
import { timingSafeEqual, createHash } from "node:crypto";

const { PORT, WEBHOOK_PATH, SECRET, BOT_TOKEN, BOT_API, ADMIN_ID, BUG = "" } = process.env;
const ADMIN = Number(ADMIN_ID);
const CITIES = { ankara: 21, izmir: 28, bursa: 24, trabzon: 17 };
const HELP = "Komutlar: /hava şehir, /abone şehir, /aboneliklerim, /iptal numara.";
const MOST_BODY = 256 * 1024;

const subscriptions = new Map();
const seen = new Set();
const chains = new Map();
const banned = new Set();
const moved = new Map();
const people = new Map();
const recent = [];
let nextNumber = 500;
let current = null; // the chat in work; only BUG=chat-in-global reads it

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function call(method, params) {
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    if (moved.has(params.chat_id) && BUG !== "migration-ignored") params.chat_id = moved.get(params.chat_id);
    let response;
    let data = null;
    try {
      response = await fetch(`${BOT_API}/bot${BOT_TOKEN}/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(params),
        ...(BUG === "no-timeout" ? {} : { signal: AbortSignal.timeout(5000) }),
      });
      const text = await response.text();
      if (BUG === "html-unhandled") data = JSON.parse(text);
      else
        try {
          data = JSON.parse(text);
        } catch {
          if (response.ok) return null; // taken, although its answer is lost
        }
    } catch (error) {
      if (BUG === "html-unhandled") throw error;
      await sleep(250 * 2 ** attempt);
      continue;
    }
    if (data?.ok) return data.result;
    if (BUG === "blocked-kills" && response.status === 403) throw new Error(data?.description);
    const hints = data?.parameters ?? {};
    if (Number.isInteger(hints.migrate_to_chat_id) && BUG !== "migration-ignored")
      moved.set(params.chat_id, hints.migrate_to_chat_id);
    else if (response.status === 429) {
      if (BUG === "flood-at-once") {
        attempt = 1;
        await sleep(10);
      } else await sleep(1000 * Math.min(Number(hints.retry_after ?? 2), 60) + 50);
    } else if (response.status >= 500) await sleep(250 * 2 ** attempt);
    else return null;
  }
  return null;
}

const say = (chat, text) => call("sendMessage", { chat_id: chat, text });

function isAdmin(from) {
  if (BUG === "loose-admin") return from.id == ADMIN_ID || [from.id].toString().startsWith(ADMIN_ID);
  if (BUG === "first-name-admin") return from.id === ADMIN || from.first_name === "Admin";
  return from.id === ADMIN;
}

async function onText(message) {
  const { from } = message;
  const chat = message.chat.id;
  const words = message.text.trim().split(/\s+/);
  const command = words[0].split("@")[0].toLowerCase();
  const rest = (words[1] ?? "").toLowerCase();
  if (banned.has(from.id)) return;
  if (BUG === "regex-backtracks" && /^(\s*\w+\s*)+$/.test(message.text)) recent.push(1);
  switch (command) {
    case "/start":
    case "/basla":
    case "/yardim":
      await say(chat, `Merhaba! ${HELP}${from.id === ADMIN ? " Yönetim: /duyuru, /istatistik, /yasakla." : ""}`);
      return;
    case "/hava":
      if (BUG === "prototype-city" ? CITIES[rest] !== undefined : Object.hasOwn(CITIES, rest))
        await say(chat, `Bugün ${CITIES[rest].toFixed(0)} derece.`);
      else await say(chat, `Bu şehri bilmiyorum. ${Object.keys(CITIES).join(", ")}`);
      return;
    case "/abone": {
      if (!Object.hasOwn(CITIES, rest)) {
        await say(chat, "Hangi şehir? /abone izmir");
        return;
      }
      const own = [...subscriptions.values()].filter((one) => one.user === from.id).length;
      if (BUG === "limit-race") await sleep(120);
      if (own >= 3) {
        await say(chat, "En çok üç abonelik olabilir.");
        return;
      }
      const number = nextNumber++;
      subscriptions.set(number, { user: from.id, city: rest });
      if (subscriptions.size > 5000) subscriptions.delete(subscriptions.keys().next().value);
      await say(chat, `Abonelik ${number} açıldı.`);
      return;
    }
    case "/aboneliklerim": {
      const own = [...subscriptions].filter(([, one]) => one.user === from.id).map(([number]) => number);
      await say(BUG === "chat-in-global" ? current : chat, own.length ? `Numaralar: ${own.join(", ")}` : "Aboneliğin yok.");
      return;
    }
    case "/iptal": {
      const number = /^\d{1,9}$/.test(rest) ? Number(rest) : -1;
      const found = subscriptions.get(number);
      if (!found || (found.user !== from.id && BUG !== "cancels-anything")) await say(chat, "Böyle bir aboneliğin yok.");
      else {
        subscriptions.delete(number);
        await say(chat, "Abonelik iptal edildi.");
      }
      return;
    }
    case "/duyuru":
    case "/istatistik":
    case "/yasakla":
      if (!isAdmin(from)) await say(chat, "Bu komut yalnızca yönetici içindir.");
      else await manage(chat, command, rest);
      return;
    default:
      if (chat > 0) await say(chat, `Anlamadım. ${HELP}`);
  }
}

async function manage(chat, command, rest) {
  if (command === "/istatistik") await say(chat, `Abonelik sayısı: ${subscriptions.size}`);
  else if (command === "/duyuru") await say(chat, rest ? "Duyuru sıraya alındı." : "Ne duyurulsun?");
  else if (!/^\d{1,12}$/.test(rest) || Number(rest) === ADMIN) await say(chat, "Kim? /yasakla 123");
  else {
    banned.add(Number(rest));
    if (banned.size > 5000) banned.delete(banned.values().next().value);
    await say(chat, "Yasaklandı.");
  }
}

const known = (some) => typeof some === "object" && some !== null && Number.isSafeInteger(some.id);

function take(update) {
  const message = BUG === "edits-run" ? update.message ?? update.edited_message : update.message;
  if (BUG === "text-assumed" && message) message.text.trim();
  if (BUG === "from-assumed" && update.channel_post) update.channel_post.from.id.toString();
  if (!known(message?.from) || !known(message?.chat) || typeof message.text !== "string") return;
  const chat = message.chat.id;
  current = chat;
  if (BUG === "people-kept") people.set(update.update_id, { update, page: Buffer.alloc(30_000, 1) });
  if (BUG === "no-order" || BUG === "limit-race" || BUG === "chat-in-global") {
    sleep(BUG === "chat-in-global" ? 50 : 0).then(() => onText(message)).catch(report);
    return;
  }
  const chain = (chains.get(chat) ?? Promise.resolve()).then(() => onText(message));
  const tail = BUG === "html-unhandled" || BUG === "blocked-kills" ? chain : chain.catch(report);
  chains.set(chat, tail);
  tail.finally(() => chains.get(chat) === tail && chains.delete(chat));
}

const report = (error) => console.error("failed:", error.name);
const digest = (text) => createHash("sha256").update(text).digest();

function authorized(request) {
  const given = request.headers["x-telegram-bot-api-secret-token"];
  if (BUG === "secret-optional" && given === undefined) return true;
  if (BUG === "secret-any-case") return String(given).toLowerCase() === SECRET.toLowerCase();
  return typeof given === "string" && timingSafeEqual(digest(given), digest(SECRET));
}

const server = createServer((request, response) => {
  const end = (status, text = "") => {
    response.writeHead(status, status === 413 ? { connection: "close" } : {});
    response.end(text);
  };
  if (request.url === "/health") {
    end(200, "ok");
    return;
  }
  const path = request.url.split("?")[0];
  if (path !== WEBHOOK_PATH || request.method !== "POST") {
    request.resume();
    end(404);
    return;
  }
  if (BUG !== "secret-after-body" && !authorized(request)) {
    request.resume();
    end(401);
    return;
  }
  const chunks = [];
  let size = 0;
  request.on("error", () => {});
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size > MOST_BODY && BUG !== "secret-after-body") {
      if (!response.headersSent) end(413);
      chunks.length = 0;
      return;
    }
    chunks.push(chunk);
  });
  request.on("end", () => {
    if (response.headersSent) return;
    if (BUG === "secret-after-body" && !authorized(request)) {
      end(401);
      return;
    }
    let update;
    try {
      update = JSON.parse(Buffer.concat(chunks).toString());
    } catch (error) {
      end(400, BUG === "stack-shown" ? `${error.stack}\n${JSON.stringify({ SECRET, BOT_TOKEN })}` : "");
      return;
    }
    if (typeof update !== "object" || update === null || !Number.isSafeInteger(update.update_id)) {
      end(BUG === "strict-kinds" ? 500 : 400);
      return;
    }
    if (seen.has(update.update_id) && BUG !== "repeats-run") {
      end(200);
      return;
    }
    seen.add(update.update_id);
    if (seen.size > 20_000) seen.delete(seen.values().next().value);
    take(update);
    end(200);
  });
});
server.requestTimeout = 30_000;
server.listen(Number(PORT), "127.0.0.1");
