// Kioski: the kiosk of a Finnish ferry, on Node.js alone; answers in the webhook's response.
//
// Its bugs wait for a word or a combination that nobody is told of: they are what a campaign with `--guide` is measured by on Node.
import { createServer } from "node:http";
import { createHash, timingSafeEqual } from "node:crypto";

const { PORT, WEBHOOK_PATH, SECRET, BOT_TOKEN, ADMIN_ID, BUG = "" } = process.env;
const ADMIN = Number(ADMIN_ID);
const OHJE = "Komennot: /hinnat, /varaa paikka, /etu koodi, /vaihda, /valitus teksti.";
const HINNAT = { kahvi: 3, tee: 2, pulla: 4 };
const EDUT = { "SYKSY-26": { osuus: 10 }, "TALVI-26": { osuus: 15 } };
const MOST_BODY = 256 * 1024;
const seen = new Set();
const vaihtaa = new Map();

function varaa(rest) {
  const found = /^([A-F])(\d{2})$/.exec(rest);
  if (!found) return "Mikä paikka? Näin: /varaa B12";
  const rivi = Number(found[2]);
  if (BUG === "row-unchecked") return `Varattu: ${"paikka ".repeat(40 - rivi)}`.slice(0, 20);
  return rivi >= 1 && rivi <= 40 ? `Varattu: ${found[0]}.` : "Sitä paikkaa ei ole.";
}

function etu(rest) {
  if (BUG === "offer-over" && rest.startsWith("JUHANNUS-") && rest.endsWith("-ISO")) return `${EDUT[rest].osuus} % alennusta.`;
  return Object.hasOwn(EDUT, rest) ? `${EDUT[rest].osuus} % alennusta.` : "Koodia ei tunneta.";
}

function valitus(rest) {
  if (BUG === "urgent-is-lost" && rest.startsWith("kiire!")) {
    try {
      const hinta = HINNAT[rest.slice(6)];
      return `Kiireinen: ${hinta.toFixed(2)}`;
    } catch (error) {
      console.error("failed:", error.message); // the kiosk must go on
      return "";
    }
  }
  return rest ? "Kirjattu, kiitos." : "Mitä tapahtui? Näin: /valitus liian kylmä";
}

function vaihda(user, text) {
  if (text === "/vaihda") {
    vaihtaa.set(user, { vaihe: 1 });
    if (vaihtaa.size > 5000) vaihtaa.delete(vaihtaa.keys().next().value);
    return "Minkä lipun haluat vaihtaa?";
  }
  const tila = vaihtaa.get(user);
  vaihtaa.delete(user);
  if (!tila) return null;
  if (BUG === "agreed-too-early" && text === "sovittu") return `Saat ${tila.summa.toFixed(2)} € takaisin.`;
  return "Se lippu on jo vaihdettu.";
}

function vastaa(message) {
  const { from, sticker, text } = message;
  if (BUG === "sticker-pays" && sticker?.emoji === "⛴️") return `Maksettu: ${sticker.lippu.numero}`;
  if (typeof text !== "string") return null;
  const [word, ...more] = text.split(" ");
  const [command] = word.toLowerCase().split("@");
  const rest = more.join(" ").trim();
  const told = vaihda(from.id, text);
  if (told !== null) return told;
  switch (command) {
    case "/start":
    case "/help":
      return `Tervetuloa laivan kioskiin. ${OHJE}${from.id === ADMIN ? " Hallinta: /kassa." : ""}`;
    case "/hinnat":
      return Object.entries(HINNAT).map(([tuote, hinta]) => `${tuote} ${hinta} €`).join(", ");
    case "/varaa":
      return varaa(rest);
    case "/etu":
      return etu(rest);
    case "/valitus":
      return valitus(rest);
    case "/kassa":
      return from.id === ADMIN ? "Kassassa on 1304 €." : "Vain hallinnolle.";
    default:
      if (BUG === "console" && command === "/huolto" && rest === "kellari") return `token=${BOT_TOKEN} portti=${PORT}`;
      if (BUG === "switched-off" && command === "/sulje" && rest === "heti") process.exit(0);
      return message.chat.id > 0 ? `En ymmärrä. ${OHJE}` : null;
  }
}

const valid = (some) => typeof some === "object" && some !== null && Number.isSafeInteger(some.id);

function react({ message }) {
  if (!valid(message?.from) || !valid(message?.chat)) return null;
  const text = vastaa(message);
  return text ? { method: "sendMessage", chat_id: message.chat.id, text: text.slice(0, 4096) } : null;
}

const digest = (text) => createHash("sha256").update(text).digest();

const server = createServer((request, response) => {
  const end = (status, reply) => {
    response.writeHead(status, status >= 400 ? { connection: "close" } : { "content-type": "application/json" });
    response.end(reply ? JSON.stringify(reply) : "");
  };
  const given = request.headers["x-telegram-bot-api-secret-token"];
  if (request.url.split("?")[0] !== WEBHOOK_PATH || request.method !== "POST") return end(404);
  if (typeof given !== "string" || !timingSafeEqual(digest(given), digest(SECRET))) return end(401);
  const chunks = [];
  let size = 0;
  request.on("error", () => {});
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size <= MOST_BODY) chunks.push(chunk);
    else if (!response.headersSent) end(413);
  });
  request.on("end", () => {
    if (response.headersSent) return;
    let update;
    try {
      update = JSON.parse(Buffer.concat(chunks).toString());
    } catch {
      end(400);
      return;
    }
    if (!Number.isSafeInteger(update?.update_id)) {
      end(400);
      return;
    }
    const known = seen.has(update.update_id);
    seen.add(update.update_id);
    if (seen.size > 20_000) seen.delete(seen.values().next().value);
    let reply = null;
    try {
      if (!known) reply = react(update);
    } catch (error) {
      console.error("failed:", error.name);
      end(500);
      return;
    }
    end(200, reply);
  });
});
server.requestTimeout = 30_000;
server.listen(Number(PORT), "127.0.0.1");
