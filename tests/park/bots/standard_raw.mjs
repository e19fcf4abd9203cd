// A Standard Webhooks receiver on bare node:http: two secrets while one is replaced, each delivery once, invoices kept by their id.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { PORT, WEBHOOK_PATH, SECRET, BUG = "" } = process.env;
const NEXT = "whsec_bmV4dC1tb250aC1vZi10aGUtcGFyay0wMQ==";
const OLD = "whsec_bGFzdC15ZWFyLW9mLXRoZS1wYXJrLTAwMDE=";
const TOLERANCE_S = 300;
const MOST_BODY = 256 * 1024;
const seen = new Set();
const invoices = new Map();
const kept = [];

const key = (secret) => Buffer.from(secret.slice("whsec_".length), "base64");
const keys = [SECRET, NEXT, ...(BUG === "old-secret" ? [OLD] : [])].map(key);

function alike(given, right) {
  if (BUG === "begins-alike") return given.length > 0 && right.startsWith(given);
  const [one, other] = [Buffer.from(given), Buffer.from(right)];
  if (BUG !== "length-assumed" && one.length !== other.length) return false;
  return timingSafeEqual(one, other);
}

function recent(stamp) {
  if (BUG === "no-tolerance") return true;
  if (BUG !== "nan-passes" && !/^\d{1,11}$/.test(stamp)) return false;
  return !(Math.abs(Date.now() / 1000 - parseInt(stamp, 10)) > TOLERANCE_S);
}

function genuine(headers, body) {
  const given = headers["webhook-signature"];
  const id = headers["webhook-id"];
  const stamp = headers["webhook-timestamp"];
  if (BUG === "unsigned-passes" && !given) return true;
  if (!given || !id || !stamp || !recent(stamp)) return false;
  const right = keys.map((one) => createHmac("sha256", one).update(`${id}.${stamp}.`).update(body).digest("base64"));
  let signatures = given.split(" ").filter((one) => one.startsWith("v1,"));
  if (BUG === "first-only") signatures = given.split(" ").slice(0, 1);
  return signatures.some((one) => right.some((wanted) => alike(one.slice(3), wanted)));
}

function happened(event) {
  const data = BUG === "data-assumed" ? event.data : (event.data ?? {});
  const id = BUG === "data-assumed" ? data.id.slice(0, 64) : String(data.id ?? "").slice(0, 64);
  if (event.type === "invoice.paid" && id) invoices.set(id, true);
  if (invoices.size > 10_000) invoices.delete(invoices.keys().next().value);
}

const server = createServer((request, response) => {
  const end = (status) => {
    if (response.headersSent) return;
    response.writeHead(status, { "content-length": 0, ...(status === 413 ? { connection: "close" } : {}) });
    response.end();
  };
  if (request.url.split("?")[0] !== WEBHOOK_PATH || request.method !== "POST") {
    request.resume();
    return end(404);
  }
  const chunks = [];
  let text = "";
  let size = 0;
  request.on("error", () => {});
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size > MOST_BODY && BUG !== "any-size") return end(413);
    chunks.push(chunk);
    if (BUG === "chunks-decoded") text += chunk;
  });
  request.on("end", () => {
    if (response.headersSent) return;
    const body = BUG === "chunks-decoded" ? Buffer.from(text) : Buffer.concat(chunks);
    if (!genuine(request.headers, body)) return end(401);
    let event;
    try {
      event = JSON.parse(body.toString());
    } catch {
      return end(400);
    }
    if (event === null || typeof event !== "object" || Array.isArray(event)) return end(400);
    if (BUG === "events-kept") kept.push({ event, page: Buffer.alloc(30_000, 1) });
    const id = request.headers["webhook-id"];
    if (!seen.has(id)) {
      seen.add(id);
      if (seen.size > 20_000) seen.delete(seen.values().next().value);
      try {
        happened(event);
      } catch {
        return end(500);
      }
    }
    end(204);
  });
});
server.listen(Number(PORT), "127.0.0.1");
