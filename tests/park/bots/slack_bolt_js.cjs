// A Slack app on Bolt for Node: greets, deploys for its owner, keeps a list of wishes.
const { createRequire } = require("node:module");
const http = require("node:http");

const { PORT, WEBHOOK_PATH, SECRET, BOT_API, BUG = "", NODE_PATH } = process.env;
const { App, HTTPReceiver, LogLevel } = createRequire(`${NODE_PATH}/`)("@slack/bolt");
const OWNER = "U02PARKOWNR";
const NAME = "park.owner";
const LONGEST_MS = 1500;
const MOST_BODY = 256 * 1024;
// Below what was done for the owner stands how it is undone.
const UNDO = [{ type: "actions", block_id: "release", elements: [{ type: "button", action_id: "undo", value: "17", text: { type: "plain_text", text: "Undo" } }] }];
const seen = new Set();
const kept = [];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const receiver = new HTTPReceiver({
  signingSecret: SECRET,
  endpoints: WEBHOOK_PATH,
  signatureVerification: BUG !== "unverified",
  unhandledRequestTimeoutMillis: LONGEST_MS,
  // What a listener throws has a code; what Bolt itself stumbles over is an event that is none.
  processEventErrorHandler: async ({ error, response }) => {
    response.writeHead(error.code ? 500 : 400).end();
    return true;
  },
  logLevel: LogLevel.ERROR,
});
const app = new App({
  receiver,
  logLevel: LogLevel.ERROR,
  clientOptions: {
    slackApiUrl: `${BOT_API}/api/`,
    retryConfig: { retries: BUG === "tries-once" ? 0 : 6, factor: 1.5, minTimeout: 400 },
    rejectRateLimitedCalls: BUG === "tries-once",
    timeout: 2000,
  },
  authorize: async () => ({ botToken: "xoxb-park", botId: "B02PARKBOT1", botUserId: "U02PARKBOT1" }),
});
// The receiver of Bolt 4.7 reads members of a payload that is null: nothing catches that, and no answer comes.
process.on("unhandledRejection", () => {});
const listen = receiver.requestListener;
receiver.requestListener = (request, response) => {
  if (Number(request.headers["content-length"]) > MOST_BODY) {
    response.writeHead(413, { connection: "close" }).end();
    return undefined;
  }
  let late;
  request.on("end", () => {
    late = setTimeout(() => response.headersSent || response.writeHead(400).end(), LONGEST_MS + 100);
  });
  response.on("close", () => clearTimeout(late));
  return listen(request, response);
};

function firstTime(body) {
  if (!body.event_id || BUG === "runs-twice") return true;
  const known = seen.has(body.event_id);
  seen.add(body.event_id);
  if (seen.size > 20000) seen.delete(seen.values().next().value);
  return !known;
}

function previewed(text) {
  const link = /http:\/\/[^\s>|]+/.exec(text);
  if (link) http.get(link[0], { timeout: 2000 }, (answer) => answer.resume()).on("error", () => {});
}

app.event("message", async ({ event, body, client }) => {
  if (BUG === "kept") kept.push({ body, page: Buffer.alloc(30_000, 1) });
  if (event.subtype || event.bot_id || !event.channel || !firstTime(body)) return;
  const text = String(event.text || "");
  if (BUG === "previews") previewed(text);
  if (text) await client.chat.postMessage({ channel: event.channel, text: "Good to see you." });
});

app.command(/.*/, async ({ command, ack, client }) => {
  if (BUG === "works-first") await pause(4000);
  if (BUG === "text-assumed") command.text.split(" ");
  if (command.command !== "/deploy") {
    await ack({ text: "Nothing to do." });
    return;
  }
  let owner = command.user_id === OWNER;
  if (BUG === "name-is-owner") owner = owner || command.user_name === NAME;
  if (BUG === "text-is-owner") owner = owner || String(command.text).includes(OWNER);
  await ack();
  const text = owner ? "The release is on its way." : "Only the owner of the app can do that.";
  await client.chat.postMessage({ channel: command.channel_id, text, ...(owner ? { blocks: UNDO } : {}) });
});

app.action("undo", async ({ ack, body, client }) => {
  await ack();
  let owner = body.user.id === OWNER;
  if (BUG === "press-unchecked") owner = true;
  if (BUG === "press-by-name") owner = owner || body.user.username === NAME;
  const channel = body.channel && body.channel.id;
  const text = owner ? "The release was taken back." : "Only the owner of the app can do that.";
  if (channel) await client.chat.postMessage({ channel, text });
});

app.action(/^(?!undo$)/, async ({ ack, body, client }) => {
  if (BUG !== "press-unacknowledged") await ack();
  const channel = body.channel && body.channel.id;
  if (channel) await client.chat.postMessage({ channel, text: "Noted." });
});
for (const heard of ["shortcut", "view"]) app[heard](/.*/, async ({ ack }) => ack());
app.view({ type: "view_closed", callback_id: /.*/ }, async ({ ack }) => ack());
app.options(/.*/, async ({ ack }) => ack({ options: [] }));

app.start({ port: Number(PORT), host: "127.0.0.1" });
