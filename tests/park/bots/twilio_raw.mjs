// A Twilio number on bare node:http: answers with TwiML, orders what its owner writes at Twilio's API.
import { createServer, request as call, get } from "node:http";
import { createHmac, timingSafeEqual } from "node:crypto";

const { PORT, WEBHOOK_PATH, SECRET, BOT_API, BUG = "" } = process.env;
const OWNER = "+15559990001";
const NAME = "Owner";
const OLD = "park-twilio-token-of-last-year-01";
const ACCOUNT = "AC5ef8732a3c49700934481addd5ce1659";
const MEDIA = "https://api.twilio.com/";
const seen = new Set();

const escaped = (text) =>
  // eslint-disable-next-line no-control-regex
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "").replace(/[<>&"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

function signature(secret, url, fields) {
  const names = [...new Set(fields.map(([name]) => name))].sort();
  const values = (name) => [...new Set(fields.filter(([one]) => one === name).map(([, value]) => value))].sort();
  return createHmac("sha1", secret)
    .update(url + names.map((name) => values(name).map((value) => name + value).join("")).join(""), "utf8")
    .digest("base64");
}

function genuine(request, fields) {
  const given = request.headers["x-twilio-signature"];
  if (BUG === "header-optional" && given === undefined) return true;
  if (BUG === "ours-is-enough" && fields.some(([name, value]) => name === "AccountSid" && value === ACCOUNT)) return true;
  const url = `http://${request.headers.host}${request.url}`;
  return [SECRET, ...(BUG === "old-secret" ? [OLD] : [])].some((secret) => {
    const right = Buffer.from(signature(secret, url, fields));
    const told = Buffer.from(given ?? "");
    return (BUG === "length-assumed" || told.length === right.length) && timingSafeEqual(told, right);
  });
}

// Six attempts, later each time; what is refused is given up.
function order(to, text, attempt = 0) {
  let over = false;
  const later = (wait) => {
    if (over || attempt === 5) return;
    over = true;
    setTimeout(() => order(to, text, attempt + 1), wait || 300 * 2 ** attempt);
  };
  const body = new URLSearchParams({ To: to, From: "+15550002233", Body: text }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded", "content-length": Buffer.byteLength(body) };
  const asked = call(`${BOT_API}/2010-04-01/Accounts/${ACCOUNT}/Messages.json`, { method: "POST", headers, timeout: 5000 }, (answer) => {
    answer.resume();
    if (answer.statusCode >= 500 || answer.statusCode === 429) later(1000 * parseInt(answer.headers["retry-after"], 10));
  });
  asked.on("error", () => later());
  asked.on("timeout", () => asked.destroy());
  asked.end(body);
}

function picture(url) {
  if (BUG !== "media-anywhere" && !url.startsWith(MEDIA)) return;
  if (!url.startsWith("http:")) return;
  get(url, { auth: `${ACCOUNT}:${SECRET}`, timeout: 2000 }, (answer) => answer.resume()).on("error", () => {});
}

function firstTime(sid) {
  if (!sid || BUG === "runs-twice") return true;
  const known = seen.has(sid);
  seen.add(sid);
  if (seen.size > 20000) seen.delete(seen.values().next().value);
  return !known;
}

function owner(form) {
  const from = form.get("From") ?? "";
  if (BUG === "name-is-owner") return from === OWNER || form.get("ProfileName") === NAME;
  if (BUG === "number-within") return from.includes(OWNER);
  if (BUG === "caller-first") return (form.get("Caller") ?? from) === OWNER;
  return from === OWNER;
}

function reply(form) {
  if (form.has("CallSid")) return "<Response><Say>Hello.</Say></Response>";
  if (form.has("MessageStatus")) return "";
  const text = BUG === "body-assumed" ? form.get("Body").trim() : (form.get("Body") ?? "").trim();
  const from = form.get("From") ?? "";
  if (BUG === "media-counted") for (let nth = 0; nth < Number(form.get("NumMedia")); nth += 1) picture(form.get(`MediaUrl${nth}`).trim());
  else if (form.has("MediaUrl0")) picture(form.get("MediaUrl0"));
  if (text.startsWith("/order")) {
    if (!owner(form)) return "<Response><Message>Only the owner orders.</Message></Response>";
    if (firstTime(form.get("MessageSid"))) order(from, "The bread is ordered.");
    return "<Response/>";
  }
  if (text && firstTime(form.get("MessageSid"))) order(from, "Thank you, we read it.");
  const said = BUG === "joins-text" ? text : escaped(text);
  return `<Response>${text ? `<Message>You said: ${said}</Message>` : ""}</Response>`;
}

createServer((request, response) => {
  const end = (status, text = "", type = "text/xml") => {
    if (response.headersSent) return;
    response.writeHead(status, { ...(text ? { "content-type": type } : {}), ...(status === 413 ? { connection: "close" } : {}) });
    response.end(text);
  };
  if (request.url.split("?")[0] !== WEBHOOK_PATH || request.method !== "POST") {
    request.resume();
    end(404);
    return;
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
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    if (!genuine(request, [...form])) {
      end(403);
      return;
    }
    try {
      end(200, reply(form), BUG === "as-page" ? "text/html" : "text/xml");
    } catch (error) {
      end(500, String(error), "text/plain");
    }
  });
}).listen(Number(PORT), "127.0.0.1");
