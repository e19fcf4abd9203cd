"use strict";
// Buurtmarkt: een marktplaats voor de buurt, als Telegram-bot met grammY.
// Advertenties worden stap voor stap gemaakt, buren bieden, de verkoper beslist met knoppen.

const http = require("node:http");
const crypto = require("node:crypto");
const { Bot, GrammyError, InlineKeyboard, webhookCallback } = require("grammy");

const { PORT = "8080", WEBHOOK_PATH = "/webhook", SECRET = "", BOT_TOKEN = "", ADMIN_ID = "0" } = process.env;
const BOT_API = (process.env.BOT_API || "https://api.telegram.org").replace(/\/+$/, "");
const BEHEERDER = Number(ADMIN_ID);
const FOUT = process.env.BUG || "";

const MAX_BODY = 1024 * 1024;
const MAX_GEZIEN = 20000;
const MAX_PER_CHAT = 200;
const MAX_ADVERTENTIES = 2000;
const MAX_PER_VERKOPER = 25;
const MAX_BIEDINGEN = 100;
const MAX_SESSIES = 2000;
const SESSIE_MS = 30 * 60 * 1000;
const PAUZES = [500, 1000, 2000, 4000, 8000, 15000];

const slaap = (ms) => new Promise((klaar) => setTimeout(klaar, ms));
const esc = (s) => (FOUT === "opmaak" ? s : s.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"));
const euro = (cent) => `€ ${(cent / 100).toFixed(2).replace(".", ",")}`;
const schoon = (s, max) =>
  Array.from(s.toWellFormed().replace(/[\u0000-\u001f\u007f]+/g, " ").trim()).slice(0, max).join("");
const meld = (waar, e) => console.error(`${waar}: ${String(e?.message ?? e).replaceAll(BOT_TOKEN, "***")}`);

function centen(tekst) {
  const m = /^€?\s*(\d{1,6})(?:[.,](\d{1,2}))?$/.exec(tekst.trim());
  return m ? Number(m[1]) * 100 + Number((m[2] ?? "0").padEnd(2, "0")) : null;
}
const nummer = (tekst) => (/^#?\d{1,9}$/.test(tekst ?? "") ? Number(tekst.replace("#", "")) : null);

/** Een Map die de langst ongebruikte sleutel vergeet. */
class Beperkt extends Map {
  constructor(max) {
    super();
    this.max = max;
  }
  set(sleutel, waarde) {
    this.delete(sleutel);
    super.set(sleutel, waarde);
    if (this.size > this.max) this.delete(this.keys().next().value);
    return this;
  }
}

/** Werk per sleutel na elkaar, verschillende sleutels door elkaar. */
class Rijen {
  constructor() {
    this.rijen = new Map();
  }
  lengte(sleutel) {
    return this.rijen.get(sleutel)?.aantal ?? 0;
  }
  doe(sleutel, werk) {
    const rij = this.rijen.get(sleutel) ?? { staart: Promise.resolve(), aantal: 0 };
    this.rijen.set(sleutel, rij);
    rij.aantal += 1;
    const uitkomst = rij.staart.then(werk);
    rij.staart = uitkomst
      .catch(() => {})
      .then(() => {
        rij.aantal -= 1;
        if (rij.aantal === 0) this.rijen.delete(sleutel);
      });
    return uitkomst;
  }
}

// ---------------------------------------------------------------- opslag

/** Doet zich voor als een database: lezen en schrijven gaan asynchroon en met kopieën. */
class Tabel {
  constructor() {
    this.regels = new Map();
    this.volgende = 1;
  }
  async lees(nr) {
    await null;
    return this.regels.has(nr) ? structuredClone(this.regels.get(nr)) : undefined;
  }
  async schrijf(nr, regel) {
    await null;
    this.regels.set(nr, structuredClone(regel));
  }
  voegToe(regel) {
    const nr = this.volgende++;
    this.regels.set(nr, { nr, ...regel });
    return nr;
  }
  alle() {
    return [...this.regels.values()];
  }
}

const advertenties = new Tabel();
const sloten = new Rijen();
const sessies = new Beperkt(MAX_SESSIES);
const moderatoren = new Set();
const meldingen = []; // { nr, wie, reden }
let volgendBod = 1;

/** Alleen wie het slot van een advertentie heeft, leest en schrijft haar. */
const metSlot = (nr, werk) => sloten.doe(nr, werk);

function plaats(verkoper, naam, titel, prijs, tekst) {
  if (advertenties.alle().filter((a) => a.verkoper === verkoper && a.status === "open").length >= MAX_PER_VERKOPER) return null;
  if (advertenties.regels.size >= MAX_ADVERTENTIES) {
    const oud = advertenties.alle().find((a) => a.status !== "open") ?? advertenties.alle()[0];
    advertenties.regels.delete(oud.nr);
  }
  return advertenties.voegToe({ verkoper, naam, titel, prijs, tekst, status: "open", biedingen: [] });
}

// ---------------------------------------------------------------- de Bot API

const bot = new Bot(BOT_TOKEN, {
  client: { apiRoot: BOT_API, timeoutSeconds: 8 },
  botInfo: {
    id: Number(BOT_TOKEN.split(":")[0]) || 1,
    is_bot: true,
    first_name: "Buurtmarkt",
    username: process.env.BOT_USERNAME || "buurtmarkt_bot",
    can_join_groups: true,
    can_read_all_group_messages: false,
    supports_inline_queries: false,
  },
});

const verhuisd = new Beperkt(1000); // oude groep -> supergroep
const uitgaand = new Rijen();

/** Eén aanroep met een eigen termijn, ook voor een antwoord dat halverwege blijft steken. */
async function eenKeer(vorige, methode, inhoud) {
  const afbreker = new AbortController();
  let wekker;
  const termijn = new Promise((_, nee) => {
    wekker = setTimeout(() => {
      afbreker.abort();
      nee(Object.assign(new Error(`${methode} duurde te lang`), { name: "HttpError" }));
    }, 9000);
  });
  try {
    return await Promise.race([vorige(methode, inhoud, afbreker.signal), termijn]);
  } finally {
    clearTimeout(wekker);
  }
}

async function volhardend(vorige, methode, inhoud) {
  const pauzes = methode === "answerCallbackQuery" ? PAUZES.slice(0, 2) : PAUZES;
  let poging = 0;
  let wachten = 0;
  for (;;) {
    if (verhuisd.has(inhoud.chat_id)) inhoud = { ...inhoud, chat_id: verhuisd.get(inhoud.chat_id) };
    let antwoord, fout;
    try {
      antwoord = await eenKeer(vorige, methode, inhoud);
      if (antwoord?.ok) return antwoord;
    } catch (e) {
      fout = e;
    }
    const code = Number(antwoord?.error_code) || 0;
    const naar = antwoord?.parameters?.migrate_to_chat_id;
    if (Number.isSafeInteger(naar) && naar !== inhoud.chat_id && wachten++ < 5) {
      verhuisd.set(inhoud.chat_id, naar);
      continue;
    }
    if (code === 429) {
      const seconden = Number(antwoord.parameters?.retry_after) || 1;
      if (seconden > 300 || wachten++ >= 5) return antwoord;
      await slaap(FOUT === "wacht-in-ms" ? seconden : Math.max(1, seconden) * 1000 + 100);
      continue;
    }
    if (code >= 400 && code < 500) return antwoord; // dat wordt met herhalen niet anders
    if (poging >= pauzes.length) {
      if (fout || !antwoord) throw fout ?? new Error("leeg antwoord");
      return antwoord;
    }
    await slaap(pauzes[poging++]);
  }
}

bot.api.config.use((vorige, methode, inhoud) => {
  const chat = inhoud?.chat_id;
  if (chat === undefined) return volhardend(vorige, methode, inhoud ?? {});
  if (uitgaand.lengte(chat) >= 100) return Promise.reject(new Error("te veel berichten in de wacht"));
  return uitgaand.doe(chat, () => volhardend(vorige, methode, inhoud));
});

/** Een bericht aan een andere chat; daar wordt niet op gewacht. */
function bericht(chat, html, extra, alsHetMislukt) {
  const verzonden = bot.api.sendMessage(chat, html, { parse_mode: "HTML", ...extra });
  if (FOUT === "melding-onafgevangen") {
    verzonden.then(() => console.log(`bericht aan ${chat} verzonden`));
    return;
  }
  verzonden.catch((e) => {
    meld(`bericht aan ${chat}`, e);
    alsHetMislukt?.();
  });
}

async function antwoord(ctx, html, extra = {}) {
  const mee = { parse_mode: "HTML", ...extra };
  if (FOUT === "opmaak") return ctx.reply(html, mee);
  try {
    return await ctx.reply(html, mee);
  } catch (e) {
    if (!(e instanceof GrammyError) || e.error_code !== 400) throw e;
    meld("opmaak geweigerd", e);
    const kaal = html.replace(/<\/?[bi]>/g, "").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
    return ctx.reply(kaal, extra);
  }
}

// ---------------------------------------------------------------- volgorde en fouten

const volgorde = new Rijen();
const excuusOnderweg = new Set();

function sleutel(update) {
  const knop = update.callback_query;
  if (knop) return FOUT === "knop-zonder-bericht" ? knop.message.chat.id : (knop.message?.chat?.id ?? knop.from?.id ?? 0);
  return (update.message ?? update.edited_message ?? update.channel_post ?? update.my_chat_member)?.chat?.id ?? 0;
}

/** Wie na alle pogingen niets hoorde, hoort later dat er iets misging. */
function excuus(chat, na) {
  if (na > 600000 || excuusOnderweg.has(chat) || excuusOnderweg.size > 1000) return;
  excuusOnderweg.add(chat);
  slaap(na)
    .then(() => bot.api.sendMessage(chat, "Er ging iets mis. Probeer het over een paar minuten opnieuw."))
    .catch((e) => meld("excuus", e))
    .finally(() => excuusOnderweg.delete(chat));
}

bot.use((ctx, next) => volgorde.doe(sleutel(ctx.update), next));

bot.use(async (ctx, next) => {
  if (!ctx.from || ctx.editedMessage) return;
  try {
    await next();
  } catch (e) {
    meld(`update ${ctx.update.update_id}`, e);
    // Wat Telegram zelf weigert (geblokkeerd, uit de groep gezet), komt met een tweede bericht ook niet aan.
    if (e instanceof GrammyError && e.error_code < 500 && e.error_code !== 429) return;
    const vanTelegram = e?.error_code || e?.name === "HttpError";
    excuus(ctx.chat?.id ?? ctx.from.id, vanTelegram ? Math.max(20, Number(e?.parameters?.retry_after) || 0) * 1000 : 0);
  }
});

// ---------------------------------------------------------------- wie mag wat

function isBeheerder(ctx) {
  if (ctx.from.id === BEHEERDER) return true;
  // Anonieme beheerders schrijven uit naam van de groep zelf.
  if (FOUT === "anoniem-beheer" && ctx.msg?.sender_chat) return ctx.msg.sender_chat.id === ctx.chat?.id;
  return false;
}
const isModerator = (ctx) => isBeheerder(ctx) || moderatoren.has(ctx.from.id);
const naamVan = (ctx) => schoon(String(ctx.from.first_name ?? ""), 40) || `buur ${ctx.from.id}`;

// ---------------------------------------------------------------- advertenties

const sessieSleutel = (ctx) => (FOUT === "sessie-per-chat" ? `${ctx.chat.id}` : `${ctx.chat.id}:${ctx.from.id}`);

function sessie(ctx) {
  const s = sessies.get(sessieSleutel(ctx));
  if (s && Date.now() - s.sinds > SESSIE_MS) {
    sessies.delete(sessieSleutel(ctx));
    return undefined;
  }
  return s;
}

const HULP = [
  "<b>Buurtmarkt</b>",
  "/aanbieden – zet iets te koop (of in één regel: /aanbieden titel; prijs; omschrijving)",
  "/stop – breek het aanbieden af",
  "/lijst – de nieuwste advertenties",
  "/zoek woord – zoek in de advertenties",
  "/bekijk nr – een advertentie met haar biedingen",
  "/mijn – jouw advertenties",
  "/bod nr bedrag – bied op een advertentie",
  "/biedingen – jouw biedingen",
  "/prijs nr bedrag – verander je vraagprijs",
  "/intrekken nr – haal je advertentie weg",
  "/meld nr reden – meld een advertentie aan de moderatoren",
  "/meldingen – open meldingen (moderatoren)",
  "/moderator id – benoem een moderator (beheer)",
  "/verwijder nr – verwijder een advertentie (beheer)",
  "/statistiek – cijfers (beheer)",
].join("\n");

const regel = (a) => `#${a.nr} <b>${esc(a.titel)}</b> – ${euro(a.prijs)} (${a.status})`;
const lijst = (kop, items, leeg) => (items.length ? `${kop}\n${items.slice(0, 10).map(regel).join("\n")}` : leeg);

bot.command(["start", "help"], (ctx) => antwoord(ctx, HULP));

bot.command("aanbieden", async (ctx) => {
  const delen = ctx.match.split(";").map((d) => d.trim());
  if (delen.length >= 2) {
    const prijs = centen(delen[1]);
    const titel = schoon(delen[0], 60);
    if (!titel || prijs === null) return antwoord(ctx, "Zo gaat het: /aanbieden titel; prijs; omschrijving");
    return geplaatst(ctx, { titel, prijs, tekst: schoon(delen.slice(2).join("; "), 500) });
  }
  sessies.set(sessieSleutel(ctx), { stap: "titel", sinds: Date.now() });
  return antwoord(ctx, "Wat bied je aan? Stuur de titel. (Met /stop breek je af.)");
});

bot.command("stop", (ctx) =>
  antwoord(ctx, sessies.delete(sessieSleutel(ctx)) ? "Afgebroken." : "Er was niets om af te breken."));

function geplaatst(ctx, wat) {
  const nr = plaats(ctx.from.id, naamVan(ctx), wat.titel, wat.prijs, wat.tekst);
  if (nr === null) return antwoord(ctx, `Je hebt al ${MAX_PER_VERKOPER} open advertenties.`);
  return antwoord(ctx, `Geplaatst als #${nr}: <b>${esc(wat.titel)}</b> voor ${euro(wat.prijs)}.`);
}

bot.command("lijst", (ctx) =>
  antwoord(ctx, lijst("Nieuw in de buurt:", advertenties.alle().filter((a) => a.status === "open").reverse(), "Er staat nu niets te koop.")));

bot.command("mijn", (ctx) =>
  antwoord(ctx, lijst("Jouw advertenties:", advertenties.alle().filter((a) => a.verkoper === ctx.from.id).reverse(), "Je biedt niets aan.")));

bot.command("zoek", (ctx) => {
  const woord = schoon(ctx.match, 60).toLowerCase();
  if (!woord) return antwoord(ctx, "Waarnaar? Bijvoorbeeld: /zoek fiets");
  const treffers = advertenties.alle().filter((a) => a.status === "open" && `${a.titel} ${a.tekst}`.toLowerCase().includes(woord));
  return antwoord(ctx, lijst(`Gevonden voor «${esc(woord)}»:`, treffers.reverse(), `Niets gevonden voor «${esc(woord)}».`));
});

bot.command("bekijk", async (ctx) => {
  const a = await advertenties.lees(nummer(ctx.match.trim()));
  if (!a) return antwoord(ctx, "Die advertentie bestaat niet.");
  const biedingen = a.biedingen.map((b) => (a.verkoper === ctx.from.id ? `• ${esc(b.naam)}: ${euro(b.bedrag)} (${b.status})` : `• ${euro(b.bedrag)} (${b.status})`));
  const kop = `${regel(a)}\n${esc(a.tekst)}\nVan: ${esc(a.naam)}\nBiedingen: ${a.biedingen.length}`;
  return antwoord(ctx, [kop, ...biedingen.slice(-10)].join("\n"), { reply_markup: new InlineKeyboard().text("Melden", `meld:${a.nr}`) });
});

/** De eigenaar verandert zijn advertentie. */
async function wijzig(ctx, nr, verandering, gelukt) {
  const uitkomst = await metSlot(nr, async () => {
    const a = await advertenties.lees(nr);
    if (!a) return "Die advertentie bestaat niet.";
    if (a.verkoper !== ctx.from.id) return "Dat is niet jouw advertentie.";
    if (a.status !== "open") return "Die advertentie is niet meer open.";
    verandering(a);
    await advertenties.schrijf(nr, a);
    return gelukt;
  });
  return antwoord(ctx, uitkomst);
}

bot.command("prijs", (ctx) => {
  const [nr, bedrag] = ctx.match.trim().split(/\s+/);
  const cent = centen(bedrag ?? "");
  if (nummer(nr) === null || cent === null) return antwoord(ctx, "Zo gaat het: /prijs nr bedrag");
  return wijzig(ctx, nummer(nr), (a) => (a.prijs = cent), `De prijs van #${nummer(nr)} is nu ${euro(cent)}.`);
});

bot.command("intrekken", (ctx) => {
  const nr = nummer(ctx.match.trim());
  if (nr === null) return antwoord(ctx, "Zo gaat het: /intrekken nr");
  return wijzig(ctx, nr, (a) => (a.status = "ingetrokken"), `#${nr} is ingetrokken.`);
});

// ---------------------------------------------------------------- biedingen

bot.command("bod", async (ctx) => {
  const [eerste, tweede] = ctx.match.trim().split(/\s+/);
  const nr = nummer(eerste);
  const bedrag = centen(tweede ?? "");
  if (nr === null || bedrag === null || bedrag === 0) return antwoord(ctx, "Zo gaat het: /bod nr bedrag");
  const bod = { id: volgendBod++, koper: ctx.from.id, naam: naamVan(ctx), bedrag, status: "open" };
  const knoppen = new InlineKeyboard().text("Accepteren", `ja:${nr}:${bod.id}`).text("Weigeren", `nee:${nr}:${bod.id}`);
  const nieuws = (a) => `Bod op #${nr} <b>${esc(a.titel)}</b>: ${euro(bedrag)} van ${esc(bod.naam)}`;
  const doof = () => bericht(ctx.chat.id, `De verkoper van #${nr} kon niet bereikt worden; je bod blijft staan.`);
  const bied = async () => {
    const a = await advertenties.lees(nr);
    if (!a || a.status !== "open") return "Die advertentie is er niet (meer).";
    if (a.verkoper === ctx.from.id) return "Op je eigen advertentie bieden kan niet.";
    if (a.biedingen.length >= MAX_BIEDINGEN) return "Op die advertentie is al te vaak geboden.";
    a.biedingen.push(bod);
    if (FOUT === "bod-verloren") await bot.api.sendMessage(a.verkoper, nieuws(a), { parse_mode: "HTML", reply_markup: knoppen }).catch(doof);
    await advertenties.schrijf(nr, a);
    if (FOUT !== "bod-verloren") bericht(a.verkoper, nieuws(a), { reply_markup: knoppen }, doof);
    return `Je bod van ${euro(bedrag)} op #${nr} staat. De verkoper beslist.`;
  };
  return antwoord(ctx, FOUT === "bod-verloren" ? await bied() : await metSlot(nr, bied));
});

bot.command("biedingen", (ctx) => {
  const mijn = advertenties.alle().flatMap((a) => a.biedingen.filter((b) => b.koper === ctx.from.id).map((b) => `#${a.nr} <b>${esc(a.titel)}</b>: ${euro(b.bedrag)} (${b.status})`));
  return antwoord(ctx, mijn.length ? mijn.slice(-10).join("\n") : "Je hebt nergens op geboden.");
});

bot.callbackQuery(/^(ja|nee):(\d{1,9}):(\d{1,9})$/, async (ctx) => {
  const [, keuze, eerste, tweede] = ctx.match;
  const nr = Number(eerste);
  const uitkomst = await metSlot(nr, async () => {
    const a = await advertenties.lees(nr);
    const bod = a?.biedingen.find((b) => b.id === Number(tweede));
    if (!bod) return { tekst: "Dat bod bestaat niet meer." };
    if (a.verkoper !== ctx.from.id && FOUT !== "bod-knop") return { tekst: "Alleen de verkoper beslist." };
    if (a.status !== "open" || bod.status !== "open") return { tekst: "Daarover is al beslist." };
    bod.status = keuze === "ja" ? "geaccepteerd" : "geweigerd";
    if (keuze === "ja") a.status = "verkocht";
    await advertenties.schrijf(nr, a);
    return { tekst: `Bod op #${nr} ${bod.status}.`, koper: bod.koper, nieuws: `Je bod van ${euro(bod.bedrag)} op #${nr} <b>${esc(a.titel)}</b> is ${bod.status}.` };
  });
  await ctx.answerCallbackQuery({ text: uitkomst.tekst }).catch((e) => meld("knop", e));
  if (!uitkomst.koper) return;
  bericht(uitkomst.koper, uitkomst.nieuws);
  await (ctx.chat ? antwoord(ctx, uitkomst.tekst) : bot.api.sendMessage(ctx.from.id, uitkomst.tekst));
});

// ---------------------------------------------------------------- meldingen en beheer

async function meldAdvertentie(ctx, nr, reden) {
  const a = await advertenties.lees(nr);
  if (!a) return "Die advertentie bestaat niet.";
  if (meldingen.some((m) => m.nr === nr && m.wie === ctx.from.id)) return "Die had je al gemeld.";
  meldingen.push({ nr, wie: ctx.from.id, reden });
  if (meldingen.length > 500) meldingen.shift();
  for (const wie of new Set([BEHEERDER, ...moderatoren])) bericht(wie, `Melding over #${nr} <b>${esc(a.titel)}</b>: ${esc(reden)}`);
  return `Dank je, #${nr} is gemeld.`;
}

bot.command("meld", async (ctx) => {
  const m = /^#?(\d{1,9})\s*([^]*)$/.exec(ctx.match.trim());
  if (!m) return antwoord(ctx, "Zo gaat het: /meld nr reden");
  return antwoord(ctx, await meldAdvertentie(ctx, Number(m[1]), schoon(m[2], 200) || "geen reden"));
});

bot.callbackQuery(/^meld:(\d{1,9})$/, async (ctx) => {
  const uitkomst = await meldAdvertentie(ctx, Number(ctx.match[1]), "via de knop");
  await ctx.answerCallbackQuery({ text: uitkomst }).catch((e) => meld("knop", e));
});

bot.command("meldingen", (ctx) => {
  if (!isModerator(ctx)) return antwoord(ctx, "Dat is voor moderatoren.");
  const regels = meldingen.slice(-10).map((m) => `#${m.nr}: ${esc(m.reden)} (door ${m.wie})`);
  return antwoord(ctx, regels.length ? regels.join("\n") : "Geen open meldingen.");
});

bot.command(["moderator", "verwijder", "statistiek"], async (ctx, next) => {
  if (!isBeheerder(ctx)) return antwoord(ctx, "Dat is voor de beheerder.");
  return next();
});

bot.command("moderator", (ctx) => {
  const wie = /^\d{1,15}$/.test(ctx.match.trim()) ? Number(ctx.match.trim()) : null;
  if (wie === null || moderatoren.size >= 50) return antwoord(ctx, "Zo gaat het: /moderator id (ten hoogste 50)");
  moderatoren.add(wie);
  return antwoord(ctx, `${wie} is nu moderator.`);
});

bot.command("verwijder", async (ctx) => {
  const nr = nummer(ctx.match.trim());
  const a = await metSlot(nr, async () => {
    const gevonden = await advertenties.lees(nr);
    if (gevonden) advertenties.regels.delete(nr);
    return gevonden;
  });
  if (!a) return antwoord(ctx, "Die advertentie bestaat niet.");
  for (let i = meldingen.length - 1; i >= 0; i--) if (meldingen[i].nr === nr) meldingen.splice(i, 1);
  bericht(a.verkoper, `Je advertentie #${nr} <b>${esc(a.titel)}</b> is door de beheerder verwijderd.`);
  return antwoord(ctx, `#${nr} is verwijderd.`);
});

bot.command("statistiek", (ctx) => {
  const alle = advertenties.alle();
  const biedingen = alle.reduce((n, a) => n + a.biedingen.length, 0);
  return antwoord(ctx, `Advertenties: ${alle.length}\nOpen: ${alle.filter((a) => a.status === "open").length}\nBiedingen: ${biedingen}\nMeldingen: ${meldingen.length}\nModeratoren: ${moderatoren.size}`);
});

// ---------------------------------------------------------------- de stappen

bot.callbackQuery(/^plaats:(nu|niet)$/, async (ctx) => {
  const s = ctx.chat && sessie(ctx);
  await ctx.answerCallbackQuery().catch((e) => meld("knop", e));
  if (s?.stap !== "bevestig") return ctx.chat && antwoord(ctx, "Er is niets te plaatsen.");
  sessies.delete(sessieSleutel(ctx));
  return ctx.match[1] === "nu" ? geplaatst(ctx, s) : antwoord(ctx, "Afgebroken.");
});

bot.on("callback_query", (ctx) => ctx.answerCallbackQuery({ text: "Die knop ken ik niet." }).catch((e) => meld("knop", e)));

bot.on("message:text", async (ctx) => {
  const s = sessie(ctx);
  const tekst = ctx.msg.text;
  if (tekst.startsWith("/") || !s) {
    if (ctx.chat.type === "private") await antwoord(ctx, "Dat begrijp ik niet. Zie /help.");
    return;
  }
  if (s.stap === "titel") {
    s.titel = schoon(tekst, 60);
    if (!s.titel) return antwoord(ctx, "Stuur een titel.");
    s.stap = "prijs";
    return antwoord(ctx, `Hoeveel vraag je voor <b>${esc(s.titel)}</b>? (in euro)`);
  }
  if (s.stap === "prijs") {
    const prijs = centen(tekst);
    if (prijs === null) return antwoord(ctx, "Dat is geen bedrag. Bijvoorbeeld: 12,50");
    Object.assign(s, { prijs, stap: "tekst" });
    return antwoord(ctx, "Schrijf er een korte omschrijving bij.");
  }
  Object.assign(s, { tekst: schoon(tekst, 500), stap: "bevestig" });
  const knoppen = new InlineKeyboard().text("Plaatsen", "plaats:nu").text("Annuleren", "plaats:niet");
  return antwoord(ctx, `<b>${esc(s.titel)}</b> – ${euro(s.prijs)}\n${esc(s.tekst)}\nPlaatsen?`, { reply_markup: knoppen });
});

// ---------------------------------------------------------------- webhook

function geheimKlopt(gegeven) {
  const a = Buffer.from(String(gegeven ?? ""), "latin1");
  const b = Buffer.from(SECRET, "latin1");
  if (FOUT === "geheim-ingekort") {
    // timingSafeEqual wil even lange buffers
    const n = Math.min(a.length, b.length);
    return crypto.timingSafeEqual(a.subarray(0, n), b.subarray(0, n));
  }
  const hash = (x) => crypto.createHash("sha256").update(x).digest();
  return crypto.timingSafeEqual(hash(a), hash(b));
}

const isObject = (x) => typeof x === "object" && x !== null && !Array.isArray(x);
const isPersoon = (x) => isObject(x) && Number.isSafeInteger(x.id);

function bruikbaarBericht(m, vanWie) {
  if (!isObject(m) || !isPersoon(m.chat) || (m.from != null && !isPersoon(m.from))) return false;
  for (const veld of ["text", "caption"]) if (m[veld] != null && typeof m[veld] !== "string") return false;
  for (const veld of ["entities", "caption_entities"])
    if (m[veld] != null && !(Array.isArray(m[veld]) && m[veld].every((e) => isObject(e) && Number.isSafeInteger(e.offset) && Number.isSafeInteger(e.length)))) return false;
  if (m.text == null && m.entities != null) return false;
  if (m.sender_chat != null && !isPersoon(m.sender_chat)) return false;
  return !vanWie || m.from != null;
}

/** Of de bot met deze update iets kan; andere worden bevestigd en vergeten. */
function bruikbaar(update) {
  if (update.message != null) return bruikbaarBericht(update.message, true);
  const knop = update.callback_query;
  if (!isObject(knop) || !isPersoon(knop.from) || typeof knop.id !== "string") return false;
  if (knop.data != null && typeof knop.data !== "string") return false;
  return knop.message == null || bruikbaarBericht(knop.message, false);
}

const verwerk = webhookCallback(
  bot,
  (update, res) => ({
    update: Promise.resolve(update),
    end: () => klaar(res, 200),
    respond: (json) => klaar(res, 200, json),
    unauthorized: () => klaar(res, 401),
  }),
  { onTimeout: "return", timeoutMilliseconds: 5000 },
);

function klaar(res, status, tekst = "", koppen = {}) {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, { "content-type": "application/json", ...koppen });
  res.end(tekst);
}

async function body(req) {
  const stukken = [];
  let lengte = 0;
  for await (const stuk of req) {
    lengte += stuk.length;
    if (lengte > MAX_BODY) return null;
    stukken.push(stuk);
  }
  return Buffer.concat(stukken).toString("utf8");
}

const gezien = new Beperkt(MAX_GEZIEN);

async function ontvang(req, res) {
  if (req.url.split("?")[0] !== WEBHOOK_PATH) return klaar(res, 404, "", { connection: "close" });
  if (req.method !== "POST") return klaar(res, 405, "", { allow: "POST", connection: "close" });
  if (!geheimKlopt(req.headers["x-telegram-bot-api-secret-token"])) return klaar(res, 401, "", { connection: "close" });
  const tekst = Number(req.headers["content-length"]) > MAX_BODY ? null : await body(req);
  if (tekst === null) return klaar(res, 413, "", { connection: "close" });
  let update;
  try {
    update = JSON.parse(tekst);
  } catch {
    return klaar(res, 400);
  }
  if (!isObject(update) || !Number.isSafeInteger(update.update_id)) return klaar(res, 400);
  if (!bruikbaar(update)) return klaar(res, 200);
  const id = update.update_id;
  if (gezien.has(id)) {
    await Promise.race([gezien.get(id), slaap(5000)]);
    return klaar(res, 200);
  }
  if (volgorde.lengte(sleutel(update)) >= MAX_PER_CHAT) return klaar(res, 429, "", { "retry-after": "5" });
  if (FOUT === "te-laat-gezien") {
    await verwerk(update, res);
    gezien.set(id, true);
    return;
  }
  const werk = verwerk(update, res);
  gezien.set(id, werk.catch(() => gezien.delete(id)));
  await werk;
}

const server = http.createServer((req, res) => {
  ontvang(req, res).catch((e) => {
    meld("webhook", e);
    klaar(res, 500);
  });
});
server.requestTimeout = 20000;
server.headersTimeout = 10000;
server.listen(Number(PORT), () => console.log(`Buurtmarkt luistert op ${PORT}`));
