// A GitHub receiver on octokit's webhooks package: verify, then dispatch.
import { createServer } from "node:http";
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { PORT, WEBHOOK_PATH, SECRET, BUG = "", NODE_PATH } = process.env;
const found = createRequire(`${NODE_PATH}/`).resolve("@octokit/webhooks");
const { Webhooks } = await import(pathToFileURL(found).href);
const webhooks = new Webhooks({ secret: SECRET, log: { debug() {}, info() {}, warn() {}, error() {} } });
const seen = new Set();
const kept = [];

webhooks.on("issue_comment.created", ({ payload }) => {
  if (BUG === "body-assumed") payload.comment.body.trim();
});
webhooks.onError(() => {});

async function genuine(body, given) {
  if (BUG === "header-optional" && given === undefined) return true;
  if (BUG === "signs-again") body = JSON.stringify(JSON.parse(body));
  if (BUG === "short-digest") return typeof given === "string" && given.startsWith("sha256=") && `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`.startsWith(given);
  if (BUG === "empty-key") return given === `sha256=${createHmac("sha256", "").update(body).digest("hex")}` || (await webhooks.verify(body, given).catch(() => false));
  if (BUG === "errors-thrown") return webhooks.verify(body, given);
  return typeof given === "string" && given !== "" && (await webhooks.verify(body, given).catch(() => false));
}

createServer(async (request, response) => {
  const end = (status, text = "") => {
    if (!response.headersSent) response.writeHead(status, status === 413 ? { connection: "close" } : {}).end(text);
  };
  if (request.url.split("?")[0] !== WEBHOOK_PATH || request.method !== "POST") {
    request.resume();
    end(404);
    return;
  }
  const chunks = [];
  let text = "";
  let size = 0;
  try {
    for await (const chunk of request) {
      size += chunk.length;
      if (size > 512 * 1024 && BUG !== "any-size") {
        end(413);
        return;
      }
      chunks.push(chunk);
      if (BUG === "chunks-decoded") text += chunk;
    }
  } catch {
    return;
  }
  const body = BUG === "chunks-decoded" ? text : Buffer.concat(chunks).toString();
  try {
    if (!(await genuine(body, request.headers["x-hub-signature-256"]))) {
      end(401);
      return;
    }
  } catch (error) {
    end(500, BUG === "errors-thrown" ? error.stack : "");
    return;
  }
  let payload;
  try {
    payload = JSON.parse(body);
  } catch {
    end(400);
    return;
  }
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
    end(400);
    return;
  }
  const id = request.headers["x-github-delivery"] ?? "";
  if (BUG === "payloads-kept") kept.push({ payload, page: Buffer.alloc(30_000, 1) });
  if (id && seen.has(id)) {
    end(200);
    return;
  }
  seen.add(id);
  if (seen.size > 20_000) seen.delete(seen.values().next().value);
  const name = request.headers["x-github-event"];
  if (BUG === "unknown-refused" && !["issue_comment", "push"].includes(name)) {
    end(400);
    return;
  }
  const work = typeof name === "string" ? webhooks.receive({ id, name, payload }) : Promise.resolve();
  if (BUG === "body-assumed") work.catch(() => process.exit(1));
  else work.catch(() => {});
  end(200);
}).listen(Number(PORT), "127.0.0.1");
