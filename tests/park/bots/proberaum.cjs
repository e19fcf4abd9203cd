// Proberaum: ein deutscher Bot, der Probenräume vergibt; grammY mit webhookCallback und eigenem Adapter.
// Sitzungen je Chat und Nutzer, ein Menü, das an Ort und Stelle bearbeitet wird, Stundenguthaben, Hauswarte, Gruppenplan.
"use strict";
const http = require("node:http");
const crypto = require("node:crypto");
const { Bot, GrammyError, HttpError, InlineKeyboard, session, webhookCallback } = require("grammy");

const PORT = Number(process.env.PORT || 8080);
const PFAD = process.env.WEBHOOK_PATH || "/webhook";
const GEHEIMNIS = process.env.SECRET || "";
const TOKEN = process.env.BOT_TOKEN || "1:x";
const API = (process.env.BOT_API || "https://api.telegram.org").replace(/\/+$/, "");
const ADMIN = Number(process.env.ADMIN_ID || 0);
const BUG = process.env.BUG || "";

const MAX_KOERPER = 1 << 20;
const MAX_WARTEND = 150;
const STUNDEN = [10, 12, 14, 16, 18, 20];
const PREIS = 2;
const START_GUTHABEN = 10;
const PAUSEN = [400, 900, 2000, 4000];

// ---------------------------------------------------------------- Gedächtnis

class Begrenzt extends Map {
  constructor(grenze) {
    super();
    this.grenze = grenze;
  }
  set(schluessel, wert) {
    this.delete(schluessel);
    super.set(schluessel, wert);
    if (this.size > this.grenze) this.delete(this.keys().next().value);
    return this;
  }
}

const nutzer = new Begrenzt(5000); // id -> {id, name, stunden, band, instrument}
const warte = new Set();
const raeume = new Map([[1, "Keller"], [2, "Dachboden"], [3, "Studio"]].map(([id, name]) => [id, { id, name, gesperrt: false }]));
const buchungen = new Map(); // id -> {id, raum, tag, stunde, wer, notiz, wartende}
const belegt = new Map(); // "raum|tag|stunde" -> id
const angebote = new Begrenzt(1000); // Buchung -> an wen
const umgezogen = new Begrenzt(1000);
const chatRollen = new Begrenzt(1000);
let letzte = 0;

const warten = (ms) => new Promise((fertig) => setTimeout(fertig, ms));
const sauber = (text, grenze) => Array.from(String(text).replace(/[\u0000-\u001f\u007f\ud800-\udfff]+/gu, " ").trim()).slice(0, grenze).join("");
const zahl = (text) => (/^#?[0-9]{1,9}$/.test(text || "") ? Number(text.replace("#", "")) : 0);
const kennung = (text) => (/^[0-9]{1,15}$/.test(text || "") ? Number(text) : 0);
const heute = (plus = 0) => new Date(Date.now() + plus * 86400000).toISOString().slice(0, 10);
const tage = () => [0, 1, 2, 3, 4, 5, 6].map(heute);
const alsTag = (text) => (text === undefined || text === "" || text === "heute" ? heute() : text === "morgen" ? heute(1) : tage().includes(text) ? text : "");

function merke(wer) {
  const alt = nutzer.get(wer.id);
  const einer = alt || { id: wer.id, stunden: START_GUTHABEN, band: "", instrument: "" };
  einer.name = sauber(wer.first_name || "", 40) || `Nutzer ${wer.id}`;
  nutzer.set(wer.id, einer);
  return einer;
}
const nameVon = (id) => nutzer.get(id)?.band || nutzer.get(id)?.name || `Nutzer ${id}`;

// ---------------------------------------------------------------- Rechte

function rolle(ctx) {
  if (BUG === "wart-im-chat") {
    // nicht bei jedem Befehl neu nachsehen
    const seine = rolleVon(ctx.from.id);
    if (seine !== "nutzer") chatRollen.set(ctx.chat?.id, seine);
    return chatRollen.get(ctx.chat?.id) ?? seine;
  }
  return rolleVon(ctx.from.id);
}
const rolleVon = (id) => (id === ADMIN ? "admin" : warte.has(id) ? "wart" : "nutzer");
const istWart = (ctx) => ["admin", "wart"].includes(rolle(ctx));

// ---------------------------------------------------------------- Bot API

const bot = new Bot(TOKEN, {
  client: { apiRoot: API, ...(BUG === "ohne-frist" ? {} : { timeoutSeconds: 8 }) },
  botInfo: {
    id: Number(TOKEN.split(":")[0]) || 1,
    is_bot: true,
    first_name: "Proberaum",
    username: "proberaum_bot",
    can_join_groups: true,
    can_read_all_group_messages: false,
    supports_inline_queries: false,
  },
});

bot.api.config.use(async (weiter, methode, daten, signal) => {
  let versuch = 0;
  let geduld = 0;
  for (;;) {
    const ziel = umgezogen.get(daten.chat_id);
    const jetzt = ziel ? { ...daten, chat_id: ziel } : daten;
    let antwort;
    try {
      antwort = await weiter(methode, jetzt, signal);
    } catch (fehler) {
      if (versuch >= PAUSEN.length) throw fehler;
      await warten(PAUSEN[versuch++]);
      continue;
    }
    if (antwort.ok) return antwort;
    const neu = antwort.parameters?.migrate_to_chat_id;
    if (Number.isSafeInteger(neu) && neu !== jetzt.chat_id && geduld < 5) {
      umgezogen.set(daten.chat_id, neu);
      geduld += 1;
      continue;
    }
    if (antwort.error_code === 429) {
      const genannt = BUG === "wartezeit-undefiniert" ? antwort.retry_after : antwort.parameters?.retry_after ?? 1;
      if (genannt > 300 || geduld >= 5) return antwort;
      geduld += 1;
      await warten(genannt * 1000 + 100);
      continue;
    }
    if (antwort.error_code < 500 || versuch >= PAUSEN.length) return antwort;
    await warten(PAUSEN[versuch++]);
  }
});

let unterwegs = 0;
/** Eine Nachricht an einen anderen Chat, auf die niemand wartet. */
function melde(chat, text, tasten) {
  if (unterwegs >= 3000) return;
  unterwegs += 1;
  bot.api
    .sendMessage(chat, text, tasten ? { reply_markup: tasten } : {})
    .catch((fehler) => console.error(`nicht zugestellt an ${chat}: ${fehler.message}`))
    .finally(() => (unterwegs -= 1));
}

/** Antwortet in so vielen Teilen wie nötig. */
async function sage(ctx, text, tasten) {
  const zeichen = Array.from(text);
  for (let i = 0; i < Math.max(1, zeichen.length) && i < 8000; i += 2000) {
    const ende = i + 2000 >= zeichen.length;
    await ctx.api.sendMessage(ctx.chat?.id ?? ctx.from.id, zeichen.slice(i, i + 2000).join("") || "…", ende && tasten ? { reply_markup: tasten } : {});
  }
}

/** Setzt den Inhalt der Nachricht, unter der die Taste stand. */
async function ersetze(ctx, text, tasten) {
  const nachricht = ctx.callbackQuery.message;
  if (!nachricht || nachricht.date === 0) return sage(ctx, text, tasten);
  try {
    await ctx.api.editMessageText(nachricht.chat.id, nachricht.message_id, text, tasten ? { reply_markup: tasten } : {});
  } catch (fehler) {
    if (!(fehler instanceof GrammyError) || fehler.error_code !== 400) throw fehler;
    if (!/not modified/i.test(fehler.description)) await sage(ctx, text, tasten);
  }
}

async function quittiere(ctx, text) {
  try {
    await ctx.answerCallbackQuery(text ? { text: text.slice(0, 190) } : {});
  } catch (fehler) {
    console.error(`Taste: ${fehler.message}`);
  }
}

// ---------------------------------------------------------------- Reihenfolge und Fehler

const gesehen = new Begrenzt(20000);
const ketten = new Map();
const wartend = new Map();
const schluessel = (ctx) => (BUG === "ohne-chat" ? ctx.chat.id : ctx.chat?.id ?? ctx.from?.id ?? 0);

bot.use(async (ctx, next) => {
  if (BUG === "knopf-doppelt" && !ctx.message) return next(); // nur Nachrichten kommen doppelt
  if (gesehen.has(ctx.update.update_id)) return;
  gesehen.set(ctx.update.update_id, true);
  await next();
});

bot.use(async (ctx, next) => {
  const k = schluessel(ctx);
  const vorher = ketten.get(k) || Promise.resolve();
  const klage = (fehler) => console.error(`Update ${ctx.update.update_id}: ${fehler.message}`);
  const weg = () => ketten.get(k) === job && ketten.delete(k);
  wartend.set(k, (wartend.get(k) || 0) + 1);
  const job = BUG === "kette-gerissen" ? vorher.then(next).then(weg) : vorher.then(next).catch(klage).then(weg);
  ketten.set(k, job);
  await job.catch(klage);
  const rest = wartend.get(k) - 1;
  if (rest > 0) wartend.set(k, rest);
  else wartend.delete(k);
});

bot.use(async (ctx, next) => {
  try {
    await next();
  } catch (fehler) {
    if (fehler instanceof GrammyError && [401, 403].includes(fehler.error_code)) throw fehler; // da hört niemand zu
    console.error(`Update ${ctx.update.update_id}: ${fehler instanceof GrammyError || fehler instanceof HttpError ? fehler.message : fehler.stack}`);
    if (fehler instanceof HttpError || fehler.error_code >= 429) await warten(1500);
    if (ctx.from) await sage(ctx, "Das hat leider nicht geklappt. Bitte versuche es noch einmal.");
  }
});

// ---------------------------------------------------------------- Sitzungen

const sitzungen = new Begrenzt(3000);
const LEER = { schritt: "", nr: 0, entwurf: {} };
bot.use(
  session({
    getSessionKey: (ctx) => (ctx.from ? `${ctx.chat?.id ?? ctx.from.id}:${ctx.from.id}` : undefined),
    initial: () => (BUG === "entwurf-geteilt" ? { ...LEER } : { schritt: "", nr: 0, entwurf: {} }),
    storage: {
      read: (k) => sitzungen.get(k),
      write: (k, wert) => (wert.schritt ? sitzungen.set(k, wert) : sitzungen.delete(k)),
      delete: (k) => sitzungen.delete(k),
    },
  }),
);

// ---------------------------------------------------------------- Buchen

const zeile = (b) => `#${b.id} ${raeume.get(b.raum).name}, ${b.tag} ${b.stunde} Uhr — ${nameVon(b.wer)}${b.notiz ? ` (${b.notiz})` : ""}`;

function raeumeAuf() {
  for (const b of buchungen.values()) if (b.tag < heute() || buchungen.size > 2000) loesche(b);
}
function loesche(b) {
  buchungen.delete(b.id);
  belegt.delete(`${b.raum}|${b.tag}|${b.stunde}`);
  angebote.delete(b.id);
}

async function buche(ctx, raum, tag, stunde) {
  const wer = merke(ctx.from);
  if (!raeume.has(raum)) return "Diesen Raum gibt es nicht. Siehe /raeume.";
  if (raeume.get(raum).gesperrt) return "Dieser Raum ist gerade gesperrt.";
  if (!tag || !STUNDEN.includes(stunde)) return `So geht es: /buchen RAUM TAG STUNDE, zum Beispiel /buchen 1 ${heute(1)} 18. Tage: die nächsten sieben; Stunden: ${STUNDEN.join(", ")}.`;
  raeumeAuf();
  const platz = `${raum}|${tag}|${stunde}`;
  if (belegt.has(platz)) return `Da ist schon belegt: ${zeile(buchungen.get(belegt.get(platz)))}`;
  if (wer.stunden < PREIS) return `Dein Guthaben reicht nicht: ${wer.stunden} Stunden.`;
  if (BUG === "doppelt-gebucht") await ctx.api.sendChatAction(ctx.chat?.id ?? ctx.from.id, "typing"); // es soll lebendig wirken
  letzte += 1;
  wer.stunden -= PREIS;
  const b = { id: letzte, raum, tag, stunde, wer: wer.id, notiz: "", wartende: new Set() };
  buchungen.set(b.id, b);
  belegt.set(platz, b.id);
  return `Gebucht: ${zeile(b)}. Dir bleiben ${wer.stunden} Stunden.`;
}

function storniere(b) {
  loesche(b);
  const besitzer = nutzer.get(b.wer);
  if (besitzer) besitzer.stunden += PREIS;
  for (const id of b.wartende) if (id !== b.wer) melde(id, `Frei geworden: ${raeume.get(b.raum).name}, ${b.tag} ${b.stunde} Uhr.`);
  return `Storniert: ${raeume.get(b.raum).name}, ${b.tag} ${b.stunde} Uhr.`;
}

const freie = (tag) =>
  [...raeume.values()].map((r) => {
    const stunden = STUNDEN.filter((s) => !belegt.has(`${r.id}|${tag}|${s}`));
    return `${r.id} ${r.name}: ${r.gesperrt ? "gesperrt" : stunden.join(", ") || "nichts frei"}`;
  });

// ---------------------------------------------------------------- Befehle

const HILFE = `Ich vergebe die Probenräume.
/menue - buchen mit Tasten
/raeume - welche Räume es gibt
/frei TAG - was an einem Tag frei ist
/buchen RAUM TAG STUNDE - einen Raum buchen
/meine - deine Buchungen
/storno NR - eine Buchung absagen
/notiz NR - eine Notiz an deine Buchung schreiben
/abgeben NR NUTZER - deine Buchung jemandem anbieten
/warten NR - Bescheid bekommen, wenn eine Buchung frei wird
/guthaben - deine Stunden
/schenken NUTZER STUNDEN - Stunden verschenken
/profil - Bandname und Instrument angeben
/plan - wer wann probt (auch in Gruppen)
/abbrechen - ein angefangenes Gespräch beenden
Für Hauswarte:
/verwaltung - Tasten für die Räume
/gutschrift NUTZER STUNDEN - Stunden gutschreiben
/sperren RAUM, /oeffnen RAUM
/ansage TEXT - allen Bescheid sagen
Für die Leitung:
/wart NUTZER - zum Hauswart machen oder nicht mehr
/statistik - Zahlen`;
const NUR_WART = "Das dürfen nur Hauswarte.";
const NUR_ADMIN = "Das darf nur die Leitung.";

const worte = (ctx) => (typeof ctx.match === "string" ? ctx.match : "").trim().split(/\s+/).filter(Boolean);

bot.use(async (ctx, next) => {
  if (!ctx.from || ctx.channelPost || ctx.editedMessage || ctx.editedChannelPost) return;
  if (ctx.message || ctx.callbackQuery) {
    merke(ctx.from);
    await next();
  }
});

const befehl = (name, tun) => bot.command(name, tun);

befehl(["start", "hilfe", "help"], (ctx) => sage(ctx, HILFE));
befehl("raeume", (ctx) => sage(ctx, [...raeume.values()].map((r) => `${r.id} ${r.name}${r.gesperrt ? " (gesperrt)" : ""}`).join("\n")));
befehl("frei", async (ctx) => {
  const tag = alsTag(worte(ctx)[0]);
  await sage(ctx, tag ? `Frei am ${tag}:\n${freie(tag).join("\n")}` : `Nenne einen der nächsten sieben Tage, zum Beispiel /frei ${heute(1)}.`);
});
befehl("buchen", async (ctx) => {
  const [raum, tag, stunde] = worte(ctx);
  await sage(ctx, await buche(ctx, zahl(raum), tag ? alsTag(tag) : "", zahl(stunde)));
});
befehl("meine", async (ctx) => {
  const eigene = [...buchungen.values()].filter((b) => b.wer === ctx.from.id);
  if (!eigene.length) return sage(ctx, "Du hast nichts gebucht.");
  const tasten = new InlineKeyboard();
  for (const b of eigene.slice(-8)) tasten.text(`#${b.id} absagen`, `st:${b.id}`).row();
  await sage(ctx, eigene.map(zeile).join("\n"), tasten);
});
befehl("storno", async (ctx) => {
  const b = buchungen.get(zahl(worte(ctx)[0]));
  if (!b) return sage(ctx, "Diese Buchung gibt es nicht. Deine stehen unter /meine.");
  if (b.wer !== ctx.from.id && !istWart(ctx)) return sage(ctx, "Das ist nicht deine Buchung.");
  await sage(ctx, storniere(b));
});
befehl("notiz", async (ctx) => {
  const b = buchungen.get(zahl(worte(ctx)[0]));
  if (!b) return sage(ctx, "So geht es: /notiz NR");
  if (b.wer !== ctx.from.id) return sage(ctx, "Das ist nicht deine Buchung.");
  ctx.session.schritt = "notiz";
  ctx.session.nr = b.id;
  await sage(ctx, "Was soll in der Notiz stehen?");
});
befehl("abgeben", async (ctx) => {
  const [nr, an] = worte(ctx);
  const b = buchungen.get(zahl(nr));
  const ziel = kennung(an);
  if (!b || !ziel) return sage(ctx, "So geht es: /abgeben NR NUTZER (die Nummer steht unter dessen /guthaben)");
  if (b.wer !== ctx.from.id) return sage(ctx, "Das ist nicht deine Buchung.");
  if (!nutzer.has(ziel) || ziel === ctx.from.id) return sage(ctx, "Den kenne ich nicht; er muss mir erst schreiben.");
  angebote.set(b.id, ziel);
  melde(ziel, `${nameVon(ctx.from.id)} bietet dir an: ${zeile(b)}`, new InlineKeyboard().text("Annehmen", `an:${b.id}`));
  await sage(ctx, `Angeboten: ${nameVon(ziel)}.`);
});
befehl("warten", async (ctx) => {
  const b = buchungen.get(zahl(worte(ctx)[0]));
  await sage(ctx, b ? stelleAn(b, ctx.from.id) : "So geht es: /warten NR (die Nummern stehen im /plan)");
});
befehl("guthaben", (ctx) => sage(ctx, `Du bist Nutzer ${ctx.from.id} und hast ${nutzer.get(ctx.from.id).stunden} Stunden.`));
befehl("schenken", async (ctx) => {
  const [an, viel] = worte(ctx);
  const [ich, du, stunden] = [nutzer.get(ctx.from.id), nutzer.get(kennung(an)), zahl(viel)];
  if (!stunden) return sage(ctx, "So geht es: /schenken NUTZER STUNDEN");
  if (!du || du === ich) return sage(ctx, "Den kenne ich nicht; er muss mir erst schreiben.");
  if (ich.stunden < stunden) return sage(ctx, `So viel hast du nicht: ${ich.stunden} Stunden.`);
  ich.stunden -= stunden;
  du.stunden += stunden;
  melde(du.id, `${ich.name} schenkt dir ${stunden} Stunden.`);
  await sage(ctx, `Verschenkt: ${stunden} Stunden an ${du.name}. Dir bleiben ${ich.stunden}.`);
});
befehl("profil", async (ctx) => {
  ctx.session.schritt = "band";
  await sage(ctx, "Wie heißt deine Band?");
});
befehl("plan", async (ctx) => {
  raeumeAuf();
  const liste = [...buchungen.values()].sort((a, b) => (a.tag + a.stunde < b.tag + b.stunde ? -1 : 1));
  await sage(ctx, liste.slice(0, 60).map(zeile).join("\n") || "Noch probt niemand.");
});
befehl("abbrechen", async (ctx) => {
  const gab = ctx.session.schritt;
  ctx.session.schritt = "";
  await sage(ctx, gab ? "Abgebrochen." : "Da war nichts angefangen.");
});

befehl("verwaltung", async (ctx) => {
  if (!istWart(ctx)) return sage(ctx, NUR_WART);
  await sage(ctx, "Räume:", raumTasten());
});
befehl("gutschrift", async (ctx) => {
  if (!istWart(ctx)) return sage(ctx, NUR_WART);
  const [an, viel] = worte(ctx);
  const [du, stunden] = [nutzer.get(kennung(an)), zahl(viel)];
  if (!du || !stunden || stunden > 500) return sage(ctx, "So geht es: /gutschrift NUTZER STUNDEN (höchstens 500, jemand, der mir schon schrieb)");
  du.stunden = Math.min(9999, du.stunden + stunden);
  if (du.id !== ctx.from.id) melde(du.id, `Dir wurden ${stunden} Stunden gutgeschrieben.`);
  await sage(ctx, `${du.name} hat jetzt ${du.stunden} Stunden.`);
});
befehl(["sperren", "oeffnen"], async (ctx) => {
  if (!istWart(ctx)) return sage(ctx, NUR_WART);
  const raum = raeume.get(zahl(worte(ctx)[0]));
  if (!raum) return sage(ctx, "So geht es: /sperren RAUM oder /oeffnen RAUM");
  raum.gesperrt = /^\/sperren/.test(ctx.message.text);
  await sage(ctx, `${raum.name} ist jetzt ${raum.gesperrt ? "gesperrt" : "offen"}.`);
});
befehl("ansage", async (ctx) => {
  if (!istWart(ctx)) return sage(ctx, NUR_WART);
  const text = sauber(ctx.match || "", 500);
  if (!text) return sage(ctx, "So geht es: /ansage TEXT");
  const alle = [...nutzer.keys()].filter((id) => id !== ctx.from.id).slice(-300);
  alle.forEach((id, i) => setTimeout(() => melde(id, `Ansage: ${text}`), i * 40));
  await sage(ctx, `Die Ansage geht an ${alle.length} Leute.`);
});
befehl("wart", async (ctx) => {
  if (rolle(ctx) !== "admin") return sage(ctx, NUR_ADMIN);
  const id = kennung(worte(ctx)[0]);
  if (!id || id === ADMIN) return sage(ctx, "So geht es: /wart NUTZER");
  if (warte.has(id)) warte.delete(id);
  else if (warte.size < 200) warte.add(id);
  await sage(ctx, `${nameVon(id)} ist ${warte.has(id) ? "jetzt Hauswart" : "kein Hauswart mehr"}.`);
});
befehl("statistik", async (ctx) => {
  if (rolle(ctx) !== "admin") return sage(ctx, NUR_ADMIN);
  await sage(ctx, `${nutzer.size} Nutzer, ${warte.size} Hauswarte, ${buchungen.size} Buchungen.`);
});

// ---------------------------------------------------------------- das Menü

const raumTasten = () => {
  const tasten = new InlineKeyboard();
  for (const r of raeume.values()) tasten.text(`${r.name} ${r.gesperrt ? "öffnen" : "sperren"}`, `vw:${r.id}`).row();
  return tasten;
};
const menueRaeume = (wer) => {
  const tasten = new InlineKeyboard();
  for (const r of raeume.values()) tasten.text(r.name, `m:${wer}:r:${r.id}`);
  return tasten;
};
const menueTage = (wer, raum) => {
  const tasten = new InlineKeyboard();
  tage().forEach((tag, i) => (i % 3 === 2 ? tasten.text(tag.slice(5), `m:${wer}:t:${raum}:${tag}`).row() : tasten.text(tag.slice(5), `m:${wer}:t:${raum}:${tag}`)));
  return tasten.row().text("Zurück", `m:${wer}:z`);
};
const menueStunden = (wer, raum, tag) => {
  const tasten = new InlineKeyboard();
  for (const s of STUNDEN) tasten.text(belegt.has(`${raum}|${tag}|${s}`) ? `(${s})` : `${s}`, `m:${wer}:s:${raum}:${tag}:${s}`);
  return tasten.row().text("Zurück", `m:${wer}:r:${raum}`);
};

befehl("menue", (ctx) => sage(ctx, "Welcher Raum?", menueRaeume(ctx.from.id)));

bot.callbackQuery(/^m:([0-9]{1,15}):([rtsz])(?::([0-9]{1,3}))?(?::([0-9-]{10}))?(?::([0-9]{1,2}))?$/, async (ctx) => {
  const [, wer, art, raum, tag, stunde] = ctx.match;
  if (Number(wer) !== ctx.from.id) return quittiere(ctx, "Das ist nicht dein Menü; öffne deines mit /menue.");
  await quittiere(ctx);
  const r = raeume.get(Number(raum));
  if (art === "z" || !r) return ersetze(ctx, "Welcher Raum?", menueRaeume(wer));
  if (art === "r" || !tage().includes(tag)) return ersetze(ctx, `${r.name}: welcher Tag?`, menueTage(wer, r.id));
  if (art === "t") return ersetze(ctx, `${r.name} am ${tag}: ab wann?`, menueStunden(wer, r.id, tag));
  await ersetze(ctx, await buche(ctx, r.id, tag, Number(stunde)), menueRaeume(wer));
});
bot.callbackQuery(/^st:([0-9]{1,9})$/, async (ctx) => {
  const b = buchungen.get(Number(ctx.match[1]));
  if (!b) return quittiere(ctx, "Diese Buchung gibt es nicht mehr.");
  if (BUG !== "storno-knopf" && b.wer !== ctx.from.id && !istWart(ctx)) return quittiere(ctx, "Das ist nicht deine Buchung.");
  await quittiere(ctx);
  await ersetze(ctx, storniere(b));
});
bot.callbackQuery(/^an:([0-9]{1,9})$/, async (ctx) => {
  const b = buchungen.get(Number(ctx.match[1]));
  if (!b || angebote.get(b.id) !== ctx.from.id) return quittiere(ctx, "Dieses Angebot gilt nicht (mehr) für dich.");
  angebote.delete(b.id);
  const vorher = b.wer;
  b.wer = ctx.from.id;
  melde(vorher, `${nameVon(b.wer)} hat angenommen: ${zeile(b)}`);
  await quittiere(ctx);
  await ersetze(ctx, `Jetzt deine: ${zeile(b)}`, new InlineKeyboard().text("Absagen", `st:${b.id}`));
});
bot.callbackQuery(/^vw:([0-9]{1,3})$/, async (ctx) => {
  if (!istWart(ctx)) return quittiere(ctx, NUR_WART);
  const raum = raeume.get(Number(ctx.match[1]));
  if (!raum) return quittiere(ctx, "Diesen Raum gibt es nicht.");
  raum.gesperrt = !raum.gesperrt;
  await quittiere(ctx);
  await ersetze(ctx, `${raum.name} ist jetzt ${raum.gesperrt ? "gesperrt" : "offen"}.`, raumTasten());
});
bot.on("callback_query", (ctx) => quittiere(ctx, "Diese Taste kenne ich nicht."));

function stelleAn(b, wer) {
  if (b.wer === wer) return "Das ist deine eigene Buchung.";
  if (b.wartende.delete(wer)) return `Du wartest nicht mehr auf #${b.id}.`;
  if (b.wartende.size >= 50) return "Auf diese Buchung warten schon zu viele.";
  b.wartende.add(wer);
  return `Ich sage dir Bescheid, wenn #${b.id} frei wird.`;
}

// ---------------------------------------------------------------- Gespräche

bot.on("message", async (ctx) => {
  const s = ctx.session;
  const text = ctx.message.text;
  if (text?.startsWith("/")) return sage(ctx, "Diesen Befehl kenne ich nicht. Siehe /hilfe.");
  if (!s.schritt) {
    if (ctx.chat.type === "private") await sage(ctx, "Mit /hilfe siehst du, was ich kann.");
    return;
  }
  const sauberer = sauber(text || "", 60);
  if (!sauberer) return sage(ctx, "Bitte schreib es als Text, oder /abbrechen.");
  if (s.schritt === "notiz") {
    const b = buchungen.get(s.nr);
    s.schritt = "";
    if (!b || b.wer !== ctx.from.id) return sage(ctx, "Diese Buchung gibt es nicht mehr.");
    b.notiz = sauberer;
    return sage(ctx, `Notiert: ${zeile(b)}`);
  }
  if (s.schritt === "band") {
    s.entwurf.band = sauberer;
    s.schritt = "instrument";
    return sage(ctx, "Und was spielst du?");
  }
  const ich = nutzer.get(ctx.from.id);
  ich.band = s.entwurf.band;
  ich.instrument = sauberer;
  s.schritt = "";
  await sage(ctx, `Gespeichert: ${ich.band}, ${ich.instrument}.`);
});

// ---------------------------------------------------------------- Webhook

function echt(kopf) {
  if (BUG === "geheimnis-fehlt" && kopf === undefined) return true; // ältere Webhooks haben noch keines
  const hash = (was) => crypto.createHash("sha256").update(was).digest();
  return crypto.timingSafeEqual(hash(String(kopf ?? "")), hash(GEHEIMNIS)) && GEHEIMNIS !== "";
}

const adapter = (update, res) => ({
  update: Promise.resolve(update),
  end: () => res.end(),
  respond: (json) => res.writeHead(200, { "Content-Type": "application/json" }).end(json),
  unauthorized: () => res.writeHead(401).end(),
});
const behandle = webhookCallback(bot, adapter, { onTimeout: "return", timeoutMilliseconds: 5000 });

function lies(req) {
  return new Promise((fertig, fehler) => {
    const teile = [];
    let laenge = 0;
    req.on("data", (teil) => {
      laenge += teil.length;
      if (laenge > MAX_KOERPER) fehler(Object.assign(new Error("zu groß"), { status: 413 }));
      else teile.push(teil);
    });
    req.on("end", () => fertig(Buffer.concat(teile).toString("utf8")));
    req.on("error", fehler);
  });
}

const istId = (wert) => Number.isSafeInteger(wert) && wert !== 0;
/** Ob ein Update so aussieht, dass man damit arbeiten kann. */
function brauchbar(update) {
  for (const art of ["message", "callback_query"]) {
    const was = update[art];
    if (was === undefined) continue;
    if (typeof was !== "object" || was === null || !istId(was.from?.id)) return false;
    const nachricht = art === "message" ? was : was.message;
    if (art === "callback_query" && (typeof was.id !== "string" || (was.data !== undefined && typeof was.data !== "string"))) return false;
    if (nachricht === undefined) continue;
    if (typeof nachricht !== "object" || nachricht === null || !istId(nachricht.chat?.id)) return false;
    if (nachricht.text !== undefined && typeof nachricht.text !== "string") return false;
    if (nachricht.entities !== undefined && (!Array.isArray(nachricht.entities) || nachricht.entities.some((e) => typeof e !== "object" || e === null || typeof e.type !== "string"))) return false;
  }
  return true;
}

const server = http.createServer(async (req, res) => {
  const ende = (status, kopf = {}) => res.headersSent || res.writeHead(status, kopf).end();
  try {
    if (req.method !== "POST" || req.url.split("?")[0] !== PFAD) return ende(404);
    if (!echt(req.headers["x-telegram-bot-api-secret-token"])) return ende(401, { Connection: "close" });
    let update;
    try {
      update = JSON.parse(await lies(req));
    } catch (fehler) {
      return ende(fehler.status || 400, { Connection: "close" });
    }
    if (typeof update !== "object" || update === null || Array.isArray(update) || !Number.isSafeInteger(update.update_id)) return ende(400);
    if (!brauchbar(update)) return ende(200);
    const chat = update.message?.chat.id ?? update.callback_query?.message?.chat.id;
    if ((wartend.get(chat) || 0) >= MAX_WARTEND) return ende(429, { "Retry-After": "5" });
    await behandle(update, res);
    ende(200);
  } catch (fehler) {
    console.error(`Webhook: ${fehler.stack}`);
    ende(500);
  }
});
server.requestTimeout = 20000;
server.listen(PORT, () => console.error(`Proberaum hört auf ${PORT}`));
