// A Slack app on bare node:http, written with callbacks: greets in channels, deploys for its owner, reads files that are shared.
const http = require("node:http");
const crypto = require("node:crypto");

const { PORT, WEBHOOK_PATH, SECRET, BOT_API, BUG } = process.env;
const OWNER = "U02PARKOWNR";
const NAME = "park.owner";
const NEXT = "park-slack-secret-of-next-month-1";
const OLD = "park-slack-secret-of-last-year-01";
const api = new URL(BOT_API);
const seen = new Set();

const DONE = "Deploying the release to production.";
const ONLY = "Only the owner of the app can do that.";
// Below what was done for the owner stands how it is undone.
const UNDO = [{ type: "actions", block_id: "release", elements: [{ type: "button", action_id: "undo", value: "17", text: { type: "plain_text", text: "Undo" } }] }];

const TRIES = 6;

function say(channel, text, tried = 1) {
  const body = JSON.stringify({ channel, text });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body), authorization: "Bearer xoxb-park" };
  const again = (pauseS) => tried < TRIES && setTimeout(() => say(channel, text, tried + 1), 1000 * pauseS + 100);
  const later = 0.2 * 2 ** tried;
  const asked = http.request({ host: api.hostname, port: api.port, path: "/api/chat.postMessage", method: "POST", headers, timeout: 5000 }, (answer) => {
    answer.resume();
    if (answer.statusCode === 429 || answer.statusCode >= 500) again(Number(answer.headers["retry-after"]) || later);
  });
  asked.on("error", () => again(later));
  asked.on("timeout", () => asked.destroy());
  asked.end(body);
}

function fetched(text, headers) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return;
  }
  if (url.protocol !== "http:") return;
  http.get(url, { headers, timeout: 2000 }, (answer) => answer.resume()).on("error", () => {});
}

function signed(body, stamp, given, secret) {
  const right = Buffer.from("v0=" + crypto.createHmac("sha256", secret).update(`v0:${stamp}:`).update(body).digest("hex"));
  const told = Buffer.from(given);
  return told.length === right.length && crypto.timingSafeEqual(told, right);
}

function genuine(body, headers) {
  const given = headers["x-slack-signature"];
  const stamp = headers["x-slack-request-timestamp"] || "";
  if (BUG === "header-optional" && !given) return true;
  if (!given || !/^\d{1,11}$/.test(stamp)) return false;
  if (BUG !== "no-timestamp" && Math.abs(Date.now() / 1000 - Number(stamp)) > 300) return false;
  const secrets = [SECRET, ...(BUG === "one-secret" ? [] : [NEXT]), ...(BUG === "old-secret" ? [OLD] : [])];
  return secrets.some((secret) => signed(body, stamp, given, secret));
}

function heard(event) {
  if (BUG === "user-assumed") event.user.startsWith("U");
  if (event.bot_id || (event.subtype && event.subtype !== "file_share")) return;
  for (const file of Array.isArray(event.files) ? event.files : []) {
    const url = String((file && file.url_private) || "");
    if (BUG === "files-anywhere" || url.startsWith("https://files.slack.com/")) fetched(url, { authorization: "Bearer xoxb-park" });
  }
  const text = String(event.text || "");
  const link = /https?:\/\/[^\s>|]+/.exec(text);
  if (link && BUG === "previews") fetched(link[0], {});
  if (text) say(event.channel, "Hello from the build room.");
}

function command(fields) {
  if (fields.get("command") !== "/deploy") return "Nothing to do.";
  let owner = fields.get("user_id") === OWNER;
  if (BUG === "name-is-owner") owner = owner || fields.get("user_name") === NAME;
  if (BUG === "text-is-owner") owner = owner || String(fields.get("text")).includes(OWNER);
  return owner ? DONE : ONLY;
}

function pressed(told) {
  const undone = (Array.isArray(told.actions) ? told.actions : []).some((one) => one && one.action_id === "undo");
  const channel = told.channel && told.channel.id;
  if (!undone || !channel) return;
  const owner = BUG === "press-unchecked" || (told.user && told.user.id === OWNER);
  say(channel, owner ? "The release is undone." : ONLY);
}

http
  .createServer((request, response) => {
    const end = (status, text = "", type = "text/plain") => {
      if (response.headersSent) return;
      response.writeHead(status, { "content-type": type, ...(status === 413 ? { connection: "close" } : {}) });
      response.end(text);
    };
    if (request.url.split("?")[0] !== WEBHOOK_PATH || request.method !== "POST") {
      request.resume();
      return end(404);
    }
    const chunks = [];
    let size = 0;
    request.on("error", () => {});
    request.on("data", (chunk) => {
      size += chunk.length;
      if (size > 256 * 1024) end(413);
      else chunks.push(chunk);
    });
    request.on("end", () => {
      if (response.headersSent) return;
      const body = Buffer.concat(chunks);
      if (!genuine(body, request.headers)) return end(401);
      const text = body.toString();
      let told;
      try {
        if ((request.headers["content-type"] || "").startsWith("application/x-www-form-urlencoded")) {
          const fields = new URLSearchParams(text);
          if (fields.has("command")) {
            const text = command(fields);
            return end(200, JSON.stringify({ text, ...(text === DONE ? { blocks: UNDO } : {}) }), "application/json");
          }
          told = JSON.parse(fields.get("payload"));
          if (told === null || typeof told !== "object") return end(400);
          pressed(told);
          return end(200);
        }
        told = JSON.parse(text);
      } catch {
        return end(400);
      }
      if (told === null || typeof told !== "object" || Array.isArray(told)) return end(400);
      if (told.type === "url_verification") return end(200, String(told.challenge));
      const event = told.event;
      if (told.type === "event_callback" && (event === null || typeof event !== "object")) return end(400);
      const known = seen.has(told.event_id);
      if (told.event_id) seen.add(told.event_id);
      if (seen.size > 20000) seen.delete(seen.values().next().value);
      if (event && event.type === "message" && (!known || BUG === "runs-twice")) {
        if (BUG === "user-assumed") {
          try {
            heard(event);
          } catch (error) {
            return end(500, error.stack);
          }
        } else heard(event);
      }
      end(200);
    });
  })
  .listen(Number(PORT), "127.0.0.1");
