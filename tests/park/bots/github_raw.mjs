// A GitHub app on bare node:http: it acknowledges, then greets new issues, deploys for maintainers, forgets what is uninstalled.
import { createServer, request as call } from "node:http";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const { PORT, WEBHOOK_PATH, SECRET, BOT_API, BUG = "" } = process.env;
const OLD = "park-github-secret-of-last-year";
const MAY = new Set(["OWNER", "MEMBER", "COLLABORATOR"]);
const seen = new Map();
const api = new URL(BOT_API);

// Six attempts, later each time; what is refused is given up.
function post(path, body, to = api, headers = {}, attempt = 0) {
  const text = JSON.stringify(body);
  let over = false;
  const later = (wait) => {
    if (over || attempt === 5) return;
    over = true;
    setTimeout(() => post(path, body, to, headers, attempt + 1), wait || 300 * 2 ** attempt);
  };
  const asked = call(
    { host: to.hostname, port: to.port, path, method: "POST", timeout: 5000, headers: { ...headers, "content-type": "application/json", "content-length": Buffer.byteLength(text) } },
    (answer) => {
      answer.resume();
      if (answer.statusCode >= 500 || answer.statusCode === 429) later(1000 * parseInt(answer.headers["retry-after"], 10));
    },
  );
  asked.on("error", () => later());
  asked.on("timeout", () => asked.destroy());
  asked.end(text);
}

function signed(body, given, secret) {
  const right = Buffer.from("sha256=" + createHmac("sha256", secret).update(body).digest("hex"));
  const told = Buffer.from(given ?? "");
  if (BUG === "header-optional" && given === undefined) return true;
  if (BUG === "length-first") return timingSafeEqual(told, right);
  if (BUG === "first-digits") return told.length > 7 && right.subarray(0, told.length).equals(told);
  return told.length === right.length && timingSafeEqual(told, right);
}

function genuine(body, given) {
  return signed(body, given, SECRET) || (BUG === "old-secret" && signed(body, given, OLD));
}

// Whether a body is of the kind that its header names; no signature covers the header.
const fits = {
  installation: (one) => one.installation?.account && !one.comment && !one.issue,
  issues: (one) => one.issue && !one.comment,
  issue_comment: (one) => one.issue && one.comment,
};

function handled(name, one) {
  const repository = one.repository?.full_name;
  const place = `/repos/${repository}/issues/${one.issue?.number}/comments`;
  if (name === "installation" && one.action === "deleted") {
    post("/repos/park/ops/dispatches", { event_type: "forget-installation" });
  } else if (name === "issues" && one.action === "opened") {
    post(place, { body: "Thanks for the report, a maintainer will look at it." });
  } else if (name === "issue_comment" && one.action === "created") {
    if (BUG === "body-assumed") one.comment.body.trim();
    const said = String(one.comment.body ?? "").trim();
    if (BUG === "comments-url" && one.issue.comments_url) {
      const url = new URL(one.issue.comments_url);
      if (url.protocol === "http:") post(url.pathname, { body: "Seen." }, url, { authorization: "Bearer ghs_park_installation_token" });
    }
    if (!said.startsWith("/deploy")) return;
    const who = BUG === "issue-author" ? one.issue : one.comment;
    const may = BUG === "not-none" ? who.author_association !== "NONE" : MAY.has(who.author_association);
    if (may) post(`/repos/${repository}/deployments`, { ref: "main", name: "production", head_sha: "main" });
    else post(place, { body: "Only maintainers deploy." });
  }
}

function again(id, body) {
  const names = BUG === "id-only" ? [id] : [id, createHash("sha256").update(body).digest("hex")];
  const known = names.some((one) => one && seen.has(one));
  for (const one of names) if (one) seen.set(one, true);
  while (seen.size > 20_000) seen.delete(seen.keys().next().value);
  return known && BUG !== "runs-twice";
}

createServer((request, response) => {
  const end = (status) => {
    if (!response.headersSent) response.writeHead(status, status === 413 ? { connection: "close" } : {}).end();
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
    if (size > 512 * 1024) end(413);
    else chunks.push(chunk);
  });
  request.on("end", () => {
    if (response.headersSent) return;
    const body = Buffer.concat(chunks);
    if (!genuine(body, request.headers["x-hub-signature-256"])) return end(401);
    let one;
    try {
      one = JSON.parse(body.toString());
    } catch {
      return end(400);
    }
    if (typeof one !== "object" || one === null || Array.isArray(one)) return end(400);
    const name = String(request.headers["x-github-event"] ?? "");
    const known = Object.hasOwn(fits, name);
    if (BUG === "header-decides" || !known || fits[name](one)) end(200);
    else return end(422);
    if (!known || again(request.headers["x-github-delivery"], body)) return;
    setImmediate(() => {
      if (BUG === "body-assumed") return handled(name, one);
      try {
        handled(name, one);
      } catch (error) {
        console.error("failed:", error.message);
      }
    });
  });
}).listen(Number(PORT), "127.0.0.1");
