// Klinika: a surgery's appointments in Ukrainian, on grammY (sessions, composers, an API transformer) behind plain node:http.
// Everything lies in memory. The webhook acknowledges at once; every chat has a queue of its own.
"use strict";

const http = require("node:http");
const crypto = require("node:crypto");
const { Bot, InlineKeyboard, GrammyError, HttpError, session } = require("grammy");

const PORT = Number(process.env.PORT || 8080);
const SHLIAKH = process.env.WEBHOOK_PATH || "/webhook";
const SEKRET = process.env.SECRET || "";
const TOKEN = process.env.BOT_TOKEN || "1:x";
const API = (process.env.BOT_API || "https://api.telegram.org").replace(/\/+$/, "");
const ADMIN_ID = Number(process.env.ADMIN_ID || 0);
const BUG = process.env.BUG || "";

const MEZHA = { tilo: 1 << 20, cherha: 200, chaty: 5000, bachene: 20000, slotiv: 3000, vizytiv: 3, notatok: 20, liudei: 20000 };
const PAUZY = [500, 1000, 2000, 4000, 8000, 12000];
const DEN = 86400000;
const DOVIDKA = `Запис до лікарів:
/likari – які є лікарі
/vilni – вільні години, із записом
/zapys НОМЕР [скарга] – записатися одразу
/moi – мої записи: перенести, скасувати
/notatka НОМЕР [текст] – нотатки до запису (їх бачите лише ви та лікар)
/kartka – ваша картка
/cherha ЛІКАР – лист очікування (ще раз – вийти)
/rodyna НОМЕР ІМ'Я – записати когось від цієї групи
/stop – припинити введення
Лікарям: /slot ДД.ММ ГГ:ХХ, /den
Адміністрації: /likar ID ФАХ, /zvit`;

// A map that forgets what was written first.
class Obmezhena extends Map {
  constructor(mezha) {
    super();
    this.mezha = mezha;
  }
  set(kliuch, znachennia) {
    this.delete(kliuch);
    super.set(kliuch, znachennia);
    if (this.size > this.mezha) this.delete(this.keys().next().value);
    return this;
  }
}

const pauza = (ms) => new Promise((dali) => setTimeout(dali, ms));
const chysto = (tekst, mezha) =>
  [...String(tekst ?? "").replace(/[\p{Cc}\p{Cs}\s]+/gu, " ").trim()].slice(0, mezha).join("").trim();
const chyslo = (tekst) => (/^#?[0-9]{1,15}$/.test(tekst ?? "") ? Number(tekst.replace("#", "")) : 0);

// ---------------------------------------------------------------- what the surgery knows

const likari = new Map([[ADMIN_ID, "терапевт"]]);
const sloty = new Map(); // id -> { id, likar, chas, vizyt }
const vizyty = new Obmezhena(5000); // id -> { id, slot, patsiient, imia, chat, skarha, notatky, stan }
const chekaiut = new Map(); // doctor -> [patient]
const kartky = new Obmezhena(MEZHA.liudei); // user -> { imia, narodzhennia }
const imena = new Obmezhena(MEZHA.liudei);
let ostanniiSlot = 0;
let ostanniiVizyt = 0;

const imia = (id) => kartky.get(id)?.imia || imena.get(id) || `пацієнт ${id}`;
const hodyna = new Intl.DateTimeFormat("uk-UA", { dateStyle: "short", timeStyle: "short", timeZone: "UTC" });
const dnem = new Intl.DateTimeFormat("uk-UA", { dateStyle: "long", timeZone: "UTC" });

function novyiSlot(likar, chas) {
  const slot = { id: ++ostanniiSlot, likar, chas, vizyt: 0 };
  sloty.set(slot.id, slot);
  return slot;
}

const ranok = Math.floor(Date.now() / DEN) * DEN + DEN;
for (let den = 0; den < 5; den++) {
  for (let god = 9; god < 17; god++) novyiSlot(ADMIN_ID, ranok + den * DEN + god * 3600000);
}

// As if it were asked from the staff's directory.
async function ieLikarem(id) {
  return likari.has(id);
}

const vlasnyi = (vizyt, id) => vizyt.patsiient === id || sloty.get(vizyt.slot)?.likar === id;
const diinyi = (id) => {
  const vizyt = vizyty.get(id);
  return vizyt && vizyt.stan === "заплановано" ? vizyt : undefined;
};
const riadokSlota = (s) => `#${s.id} ${hodyna.format(s.chas)}, ${imia(s.likar)} (${likari.get(s.likar) ?? "лікар"})`;
const riadokVizytu = (v) => `№${v.id} ${riadokSlota(sloty.get(v.slot))}: ${v.imia}, ${v.stan}`;
const vilni = () =>
  [...sloty.values()].filter((s) => !s.vizyt && likari.has(s.likar) && s.chas > Date.now()).sort((a, b) => a.chas - b.chas);

function tekstKartky(id) {
  const kartka = kartky.get(id);
  if (!kartka) return `${imia(id)}, картки немає`;
  return `${kartka.imia}, народження: ${dnem.format(kartka.narodzhennia)}`;
}

function dataNarodzhennia(tekst) {
  const chastyny = /^([0-9]{2})\.([0-9]{2})\.([0-9]{4})$/.exec(tekst);
  if (!chastyny) return null;
  const [, d, m, r] = chastyny;
  const data = new Date(`${r}-${m}-${d}T00:00:00Z`);
  if (BUG === "neisnuiucha-data") return data;
  const taSama = !Number.isNaN(data.getTime()) && data.getUTCDate() === Number(d);
  return taSama && data.getTime() < Date.now() && data.getUTCFullYear() >= 1900 ? data : null;
}

// ---------------------------------------------------------------- Telegram

const bot = new Bot(TOKEN, {
  client: { apiRoot: API, ...(BUG === "bez-taimautu" ? {} : { timeoutSeconds: 8 }) },
  botInfo: { id: Number(TOKEN.split(":")[0]), is_bot: true, first_name: "Клініка", username: "klinika_bot" },
});

const pereizd = new Obmezhena(1000);
const movchaty = new Obmezhena(5000); // chat -> until when Telegram wants to hear nothing for it

bot.api.config.use(async (prev, method, payload, signal) => {
  const pauzy = BUG === "povtor-obrobky" ? [] : payload?.chat_id === undefined ? PAUZY.slice(0, 2) : PAUZY;
  let nevdach = 0;
  let chekan = 0;
  for (;;) {
    const chat = pereizd.get(payload?.chat_id) ?? payload?.chat_id;
    while (chat !== undefined && (movchaty.get(chat) ?? 0) > Date.now()) await pauza(movchaty.get(chat) - Date.now() + 20);
    let vidpovid;
    try {
      vidpovid = await prev(method, chat === undefined ? payload : { ...payload, chat_id: chat }, signal);
      if (vidpovid?.ok) return vidpovid;
    } catch (pomylka) {
      if (nevdach >= pauzy.length) throw pomylka;
      await pauza(pauzy[nevdach++]);
      continue;
    }
    const novyi = vidpovid?.parameters?.migrate_to_chat_id;
    if (Number.isSafeInteger(novyi) && novyi !== chat && chekan++ < 5) {
      pereizd.set(payload.chat_id, novyi);
      continue;
    }
    const kod = vidpovid?.error_code;
    if (kod === 429 && chekan++ < 6) {
      const sekund = Math.max(1, Number(vidpovid.parameters?.retry_after) || 1);
      if (sekund > 300) return vidpovid;
      if (chat !== undefined) movchaty.set(chat, Date.now() + sekund * 1000 + 100);
      else await pauza(sekund * 1000 + 100);
      continue;
    }
    if ((kod >= 400 && kod < 500) || nevdach >= pauzy.length) return vidpovid;
    await pauza(pauzy[nevdach++]);
  }
});

let vDorozi = 0;

// Tells somebody else, for which nobody waits.
function povidomyty(chat, tekst, knopky, zatrymka = 0) {
  if (!chat || vDorozi >= 5000) return;
  vDorozi++;
  pauza(zatrymka)
    .then(() => bot.api.sendMessage(chat, tekst, { reply_markup: knopky }))
    .catch((pomylka) => console.error("не доставлено", chat, pomylka.message))
    .finally(() => vDorozi--);
}

const misce = (ctx) => ctx.chat?.id ?? ctx.from.id;
const skazaty = (ctx, tekst, knopky) => bot.api.sendMessage(misce(ctx), tekst, { reply_markup: knopky });
const pyshe = (ctx) => bot.api.sendChatAction(misce(ctx), "typing").catch((pomylka) => console.error("typing", pomylka.message));

async function zaminyty(ctx, tekst, knopky) {
  const povidomlennia = ctx.callbackQuery?.message;
  if (povidomlennia?.date) {
    try {
      await bot.api.editMessageText(povidomlennia.chat.id, povidomlennia.message_id, tekst, { reply_markup: knopky });
      return;
    } catch (pomylka) {
      if (!(pomylka instanceof GrammyError) || pomylka.error_code !== 400) throw pomylka;
    }
  }
  await skazaty(ctx, tekst, knopky);
}

// ---------------------------------------------------------------- what can happen to an appointment

async function zapysaty(ctx, nomer, skarha, dlia = "", chat = 0) {
  const kolyIe = () => {
    const slot = sloty.get(nomer);
    return slot && !slot.vizyt && likari.has(slot.likar) && slot.chas > Date.now() ? slot : undefined;
  };
  if (BUG !== "podviinyi-zapys") await pyshe(ctx);
  const slot = kolyIe();
  if (!slot) return "Ця година вже зайнята або її немає. Див. /vilni";
  const uzhe = [...vizyty.values()].filter((v) => v.patsiient === ctx.from.id && v.stan === "заплановано");
  if (uzhe.length >= MEZHA.vizytiv) return `У вас уже ${uzhe.length} записи. Спершу скасуйте якийсь: /moi`;
  if (BUG === "podviinyi-zapys") await pyshe(ctx);
  const vizyt = {
    id: ++ostanniiVizyt,
    slot: slot.id,
    patsiient: ctx.from.id,
    imia: dlia || imia(ctx.from.id),
    chat,
    skarha,
    notatky: [],
    stan: "заплановано",
  };
  vizyty.set(vizyt.id, vizyt);
  slot.vizyt = vizyt.id;
  povidomyty(slot.likar, `Новий запис №${vizyt.id} на ${hodyna.format(slot.chas)}: ${dlia || tekstKartky(ctx.from.id)}. ${skarha}`);
  return `Записано: ${riadokVizytu(vizyt)}`;
}

function zvilnyty(slot) {
  if (!slot) return;
  slot.vizyt = 0;
  const cherha = chekaiut.get(slot.likar) ?? [];
  for (const patsiient of cherha.splice(0, 10)) {
    povidomyty(patsiient, `Звільнилася година: ${riadokSlota(slot)}`, new InlineKeyboard().text("Записатися", `z:${slot.id}`));
  }
}

function skasuvaty(ctx, nomer) {
  const vizyt = diinyi(nomer);
  if (!vizyt) return "Такого запису немає.";
  if (!vlasnyi(vizyt, ctx.from.id)) return "Це не ваш запис.";
  vizyt.stan = "скасовано";
  const slot = sloty.get(vizyt.slot);
  zvilnyty(slot);
  for (const komu of new Set([slot?.likar, vizyt.patsiient, vizyt.chat])) {
    if (komu !== ctx.from.id && komu !== misce(ctx)) povidomyty(komu, `Запис №${vizyt.id} скасовано (${imia(ctx.from.id)}).`);
  }
  return `Запис №${vizyt.id} скасовано.`;
}

function mozhnaPerenesty(ctx, nomer) {
  const vizyt = diinyi(nomer);
  if (!vizyt) return "Такого запису немає.";
  if (BUG !== "perenesty-chuzhe" && !vlasnyi(vizyt, ctx.from.id)) return "Це не ваш запис.";
  return vizyt;
}

function perenesty(ctx, nomer, naSlot) {
  const vizyt = mozhnaPerenesty(ctx, nomer);
  if (typeof vizyt === "string") return vizyt;
  const novyi = sloty.get(naSlot);
  if (!novyi || novyi.vizyt || novyi.chas < Date.now()) return "Ця година вже зайнята. Див. /vilni";
  const staryi = sloty.get(vizyt.slot);
  novyi.vizyt = vizyt.id;
  vizyt.slot = novyi.id;
  zvilnyty(staryi);
  for (const komu of new Set([novyi.likar, vizyt.patsiient, vizyt.chat])) {
    if (komu !== ctx.from.id && komu !== misce(ctx)) povidomyty(komu, `Запис №${vizyt.id} перенесено: ${riadokSlota(novyi)}`);
  }
  return `Перенесено: ${riadokVizytu(vizyt)}`;
}

// ---------------------------------------------------------------- sessions

const POROZHNIA = { krok: "", slot: 0, imia: "" };
const skhovyshche = new Obmezhena(5000);
bot.use(
  session({
    initial: () => (BUG === "spilna-sesiia" ? POROZHNIA : { ...POROZHNIA }),
    getSessionKey: (ctx) => (ctx.from ? `${misce(ctx)}:${ctx.from.id}` : undefined),
    storage: {
      read: (kliuch) => skhovyshche.get(kliuch),
      write: (kliuch, znachennia) => void skhovyshche.set(kliuch, znachennia),
      delete: (kliuch) => void skhovyshche.delete(kliuch),
    },
  }),
);
bot.use((ctx, next) => {
  if (ctx.from) imena.set(ctx.from.id, chysto(ctx.from.first_name, 40) || `пацієнт ${ctx.from.id}`);
  return next();
});

const tekst = bot.on("message:text");
function komanda(nazva, ...obrobka) {
  tekst.hears(new RegExp(`^/(?:${nazva})(?:@\\w+)?(?:\\s|$)`), ...obrobka);
}
const slova = (ctx) => ctx.msg.text.trim().split(/\s+/).slice(1);

// ---------------------------------------------------------------- for everybody

komanda("start|help", (ctx) => skazaty(ctx, DOVIDKA));
komanda("stop", async (ctx) => {
  const bulo = ctx.session.krok;
  ctx.session.krok = "";
  await skazaty(ctx, bulo ? "Гаразд, припинено." : "Немає чого припиняти.");
});

komanda("likari", (ctx) =>
  skazaty(ctx, ["Лікарі:", ...[...likari].slice(0, 40).map(([id, fakh]) => `${id} – ${imia(id)}, ${fakh}`)].join("\n")),
);

komanda("vilni", async (ctx) => {
  await pyshe(ctx);
  const ie = vilni().slice(0, 10);
  const knopky = new InlineKeyboard();
  for (const s of ie) knopky.text(`#${s.id} ${hodyna.format(s.chas)}`, `z:${s.id}`).row();
  if (ie.length) await skazaty(ctx, ["Вільні години:", ...ie.map(riadokSlota)].join("\n"), knopky);
  else await skazaty(ctx, "Вільних годин немає. Станьте в чергу: /cherha");
});

komanda("zapys", async (ctx) => {
  const [nomer, ...skarha] = slova(ctx);
  if (!chyslo(nomer)) return skazaty(ctx, "Так: /zapys НОМЕР [скарга], номер див. у /vilni");
  await skazaty(ctx, await zapysaty(ctx, chyslo(nomer), chysto(skarha.join(" "), 200)));
});

komanda("rodyna", async (ctx) => {
  if (ctx.chat.type === "private") return skazaty(ctx, "Це команда для групи, наприклад сімейної.");
  const [nomer, ...kogo] = slova(ctx);
  const dlia = chysto(kogo.join(" "), 40);
  if (!chyslo(nomer) || !dlia) return skazaty(ctx, "Так: /rodyna НОМЕР ІМ'Я");
  await skazaty(ctx, await zapysaty(ctx, chyslo(nomer), "", dlia, ctx.chat.id));
});

komanda("moi", async (ctx) => {
  const hrupa = ctx.chat.type !== "private";
  const svoi = [...vizyty.values()]
    .filter((v) => v.stan === "заплановано" && (hrupa ? v.chat === ctx.chat.id : v.patsiient === ctx.from.id))
    .slice(-8);
  const knopky = new InlineKeyboard();
  for (const v of svoi) knopky.text(`Перенести №${v.id}`, `p:${v.id}`).text(`Скасувати №${v.id}`, `s:${v.id}`).row();
  if (svoi.length) await skazaty(ctx, ["Записи:", ...svoi.map(riadokVizytu)].join("\n"), knopky);
  else await skazaty(ctx, "Записів немає. Див. /vilni");
});

komanda("notatka", async (ctx) => {
  const [nomer, ...reshta] = slova(ctx);
  const vizyt = vizyty.get(chyslo(nomer));
  if (!vizyt) return skazaty(ctx, "Так: /notatka НОМЕР [текст], номер запису див. у /moi");
  if (!vlasnyi(vizyt, ctx.from.id)) return skazaty(ctx, "Нотатки бачать лише пацієнт і лікар.");
  if (ctx.chat.type !== "private") return skazaty(ctx, "Нотатки – лише в особистій розмові.");
  const dodaty = chysto(reshta.join(" "), 150);
  if (dodaty) {
    if (vizyt.notatky.length >= MEZHA.notatok) return skazaty(ctx, "Нотаток уже забагато.");
    vizyt.notatky.push(`${imia(ctx.from.id)}: ${dodaty}`);
    const inshyi = ctx.from.id === vizyt.patsiient ? sloty.get(vizyt.slot)?.likar : vizyt.patsiient;
    if (inshyi !== ctx.from.id) povidomyty(inshyi, `Нова нотатка до запису №${vizyt.id}`);
  }
  await skazaty(ctx, [`Запис №${vizyt.id}. ${vizyt.skarha}`, `Нотаток: ${vizyt.notatky.length}`, ...vizyt.notatky].join("\n"));
});

komanda("kartka", async (ctx) => {
  if (ctx.chat.type !== "private") return skazaty(ctx, "Картка – лише в особистій розмові.");
  if (kartky.has(ctx.from.id)) {
    return skazaty(ctx, `Ваша картка: ${tekstKartky(ctx.from.id)}`, new InlineKeyboard().text("Змінити", "k"));
  }
  ctx.session.krok = "imia";
  await skazaty(ctx, "Як вас звати?");
});

komanda("cherha", async (ctx) => {
  const likar = chyslo(slova(ctx)[0]);
  if (!likari.has(likar)) return skazaty(ctx, "Так: /cherha ЛІКАР, номер див. у /likari");
  const cherha = chekaiut.get(likar) ?? [];
  chekaiut.set(likar, cherha);
  const de = cherha.indexOf(ctx.from.id);
  if (de >= 0) {
    cherha.splice(de, 1);
    return skazaty(ctx, "Ви вийшли з листа очікування.");
  }
  if (cherha.length >= 300) return skazaty(ctx, "Черга повна.");
  cherha.push(ctx.from.id);
  await skazaty(ctx, `Ви в листі очікування: ${imia(likar)}, місце ${cherha.length}.`);
});

// ---------------------------------------------------------------- for doctors and the administration

async function tilkyLikar(ctx, next) {
  const mozhe = BUG === "bez-await" ? ieLikarem(ctx.from.id) : await ieLikarem(ctx.from.id);
  if (!mozhe) return skazaty(ctx, "Це лише для лікарів.");
  await next();
}
const tilkyAdmin = (ctx, next) => (ctx.from.id === ADMIN_ID ? next() : skazaty(ctx, "Це лише для адміністрації."));

komanda("slot", tilkyLikar, async (ctx) => {
  const chastyny = /^([0-9]{1,2})\.([0-9]{1,2}) ([0-9]{1,2}):([0-9]{2})$/.exec(slova(ctx).join(" "));
  if (!chastyny) return skazaty(ctx, "Так: /slot ДД.ММ ГГ:ХХ");
  const [d, m, g, x] = chastyny.slice(1).map(Number);
  const zaraz = new Date();
  let chas = Date.UTC(zaraz.getUTCFullYear(), m - 1, d, g, x);
  if (chas < Date.now()) chas = Date.UTC(zaraz.getUTCFullYear() + 1, m - 1, d, g, x);
  if (m < 1 || m > 12 || g > 23 || x > 59 || new Date(chas).getUTCDate() !== d) return skazaty(ctx, "Такого дня чи часу немає.");
  if ([...sloty.values()].some((s) => s.likar === ctx.from.id && s.chas === chas)) return skazaty(ctx, "Ця година у вас уже є.");
  if (sloty.size >= MEZHA.slotiv) return skazaty(ctx, "Розклад повний.");
  const slot = novyiSlot(ctx.from.id, chas);
  zvilnyty(slot);
  await skazaty(ctx, `Додано: ${riadokSlota(slot)}`);
});

komanda("den", tilkyLikar, async (ctx) => {
  if (ctx.chat.type !== "private") return skazaty(ctx, "Список – лише в особистій розмові.");
  const usi = [...vizyty.values()].filter((v) => v.stan === "заплановано" && sloty.get(v.slot)?.likar === ctx.from.id);
  usi.sort((a, b) => sloty.get(a.slot).chas - sloty.get(b.slot).chas);
  const knopky = new InlineKeyboard();
  for (const v of usi.slice(0, 12)) knopky.text(`Нагадати №${v.id}`, `n:${v.id}`).text(`Прийнято №${v.id}`, `g:${v.id}`).row();
  const riadky = usi.slice(0, 12).map((v) => `${riadokVizytu(v)} ${v.skarha}`);
  await skazaty(ctx, riadky.length ? ["Найближчі записи:", ...riadky].join("\n") : "До вас ніхто не записаний.", knopky);
});

komanda("likar", tilkyAdmin, async (ctx) => {
  const [nomer, ...reshta] = slova(ctx);
  const id = chyslo(nomer);
  const fakh = chysto(reshta.join(" "), 40);
  if (!imena.has(id)) return skazaty(ctx, "Так: /likar ID ФАХ (без фаху – зняти); людина має спершу написати мені");
  if (fakh && likari.size >= 200) return skazaty(ctx, "Лікарів уже досить.");
  if (fakh) likari.set(id, fakh);
  else likari.delete(id);
  povidomyty(id, fakh ? `Тепер ви лікар: ${fakh}. Див. /slot і /den` : "Ви більше не лікар у цій клініці.");
  await skazaty(ctx, fakh ? `${imia(id)} – тепер лікар: ${fakh}.` : `${imia(id)} більше не лікар.`);
});

komanda("zvit", tilkyAdmin, (ctx) => {
  const skilky = (stan) => [...vizyty.values()].filter((v) => v.stan === stan).length;
  return skazaty(
    ctx,
    `Звіт: лікарів ${likari.size}, людей ${imena.size}, годин вільно ${vilni().length}. ` +
      ["заплановано", "прийнято", "скасовано"].map((stan) => `${stan} ${skilky(stan)}`).join(", "),
  );
});

// ---------------------------------------------------------------- buttons

function knopka(vzirets, obrobka) {
  bot.callbackQuery(vzirets, async (ctx) => {
    await ctx.answerCallbackQuery().catch((pomylka) => console.error("кнопка", pomylka.message));
    await obrobka(ctx, ...ctx.match.slice(1).map(Number));
  });
}

knopka(/^z:([0-9]{1,9})$/, async (ctx, nomer) => {
  const slot = sloty.get(nomer);
  if (!slot || slot.vizyt) return skazaty(ctx, "Ця година вже зайнята. Див. /vilni");
  ctx.session.krok = "skarha";
  ctx.session.slot = nomer;
  await skazaty(ctx, `${riadokSlota(slot)}\nНа що скаржитеся? (одним реченням; /stop – передумати)`);
});
knopka(/^s:([0-9]{1,9})$/, (ctx, nomer) => zaminyty(ctx, skasuvaty(ctx, nomer)));
knopka(/^p:([0-9]{1,9})$/, async (ctx, nomer) => {
  const vizyt = mozhnaPerenesty(ctx, nomer);
  if (typeof vizyt === "string") return skazaty(ctx, vizyt);
  const knopky = new InlineKeyboard();
  for (const s of vilni().slice(0, 8)) knopky.text(`На ${hodyna.format(s.chas)}`, `n:${nomer}:${s.id}`).row();
  await skazaty(ctx, `На коли перенести запис №${nomer}?`, knopky);
});
knopka(/^n:([0-9]{1,9}):([0-9]{1,9})$/, (ctx, nomer, slot) => zaminyty(ctx, perenesty(ctx, nomer, slot)));
knopka(/^([ng]):([0-9]{1,9})$/, async (ctx, _, nomer) => {
  const vizyt = diinyi(nomer);
  if (!vizyt) return skazaty(ctx, "Такого запису вже немає.");
  const slot = sloty.get(vizyt.slot);
  if (slot?.likar !== ctx.from.id) return skazaty(ctx, "Це може лише лікар цього запису.");
  if (ctx.match[1] === "n") {
    povidomyty(vizyt.chat || vizyt.patsiient, `Нагадуємо: ${riadokVizytu(vizyt)}`);
    return skazaty(ctx, `Нагадано: №${nomer}.`);
  }
  vizyt.stan = "прийнято";
  povidomyty(vizyt.patsiient, `Дякуємо за візит №${nomer}! Будьте здорові.`);
  await zaminyty(ctx, `№${nomer} прийнято.`);
});
knopka(/^k$/, async (ctx) => {
  ctx.session.krok = "imia";
  await skazaty(ctx, "Як вас звати?");
});
bot.on("callback_query", async (ctx) => {
  await ctx.answerCallbackQuery().catch((pomylka) => console.error("кнопка", pomylka.message));
  await skazaty(ctx, "Ця кнопка вже не діє.");
});

// ---------------------------------------------------------------- step by step

const kroky = {
  async skarha(ctx, skazane) {
    ctx.session.krok = "";
    await skazaty(ctx, await zapysaty(ctx, ctx.session.slot, skazane));
  },
  async imia(ctx, skazane) {
    ctx.session.imia = [...skazane].slice(0, 40).join("");
    ctx.session.krok = "data";
    await skazaty(ctx, "Дата народження? (ДД.ММ.РРРР)");
  },
  async data(ctx, skazane) {
    const narodzhennia = dataNarodzhennia(skazane);
    if (!narodzhennia) return skazaty(ctx, "Такої дати немає. Напишіть ДД.ММ.РРРР, наприклад 24.08.1991, або /stop");
    ctx.session.krok = "";
    kartky.set(ctx.from.id, { imia: ctx.session.imia, narodzhennia });
    await skazaty(ctx, `Картку збережено: ${tekstKartky(ctx.from.id)}`);
  },
};

tekst.filter((ctx) => ctx.msg.text.startsWith("/"), (ctx) => skazaty(ctx, "Такої команди немає. Див. /help"));
bot.on("message", async (ctx) => {
  const skazane = chysto(ctx.msg.text, 150);
  if (Object.hasOwn(kroky, ctx.session.krok)) {
    if (skazane) return kroky[ctx.session.krok](ctx, skazane);
    if (ctx.chat.type === "private") return skazaty(ctx, "Будь ласка, напишіть текстом, або /stop");
  }
  if (ctx.chat.type === "private") await skazaty(ctx, "Не зрозуміло. Див. /help");
});

// ---------------------------------------------------------------- queues and the webhook

const cherhy = new Map();
const bachene = new Obmezhena(MEZHA.bachene);
const tymchasova = (e) => e instanceof HttpError || (e instanceof GrammyError && (e.error_code >= 500 || e.error_code === 429));

async function odne(chat, update) {
  for (let sproba = 0; ; sproba++) {
    try {
      return await bot.handleUpdate(update);
    } catch (obgortka) {
      const pomylka = obgortka.error ?? obgortka;
      console.error("чат", chat, String(pomylka?.message).slice(0, 300));
      if (BUG === "povtor-obrobky" && sproba < 5 && tymchasova(pomylka)) {
        await pauza(PAUZY[sproba]);
        continue;
      }
      if (BUG === "neisnuiucha-data" && pomylka instanceof RangeError) return;
      if (tymchasova(pomylka)) povidomyty(chat, "Вибачте, відповідь не дійшла. Спробуйте ще раз.", undefined, 20000);
      else if (!(pomylka instanceof GrammyError)) povidomyty(chat, "Вибачте, щось пішло не так. Спробуйте ще раз.");
      return;
    }
  }
}

async function pratsiuvaty(chat) {
  const cherha = cherhy.get(chat);
  while (cherha.length) {
    const update = cherha.shift();
    if (BUG === "chas-vyishov") await Promise.race([odne(chat, update), pauza(700)]); // nobody should wait for a slow one
    else await odne(chat, update);
  }
  cherhy.delete(chat);
}

const ieId = (id) => Number.isSafeInteger(id) && id !== 0;
const obiekt = (x) => typeof x === "object" && x !== null && !Array.isArray(x);

// The chat of an update that concerns us, otherwise undefined.
function chatOnovlennia(update) {
  if (BUG === "nevidomyi-vyd") {
    const podiia = update.message || update.callback_query;
    return podiia.chat ? podiia.chat.id : podiia.message ? podiia.message.chat.id : podiia.from.id;
  }
  const podiia = update.message ?? update.callback_query;
  if (!obiekt(podiia) || !obiekt(podiia.from) || !ieId(podiia.from.id)) return undefined;
  if (update.callback_query && !update.message) {
    if (typeof podiia.data !== "string" || typeof podiia.id !== "string") return undefined;
    if (podiia.message === undefined) return podiia.from.id;
  } else if (podiia.text !== undefined && typeof podiia.text !== "string") return undefined;
  const { chat } = update.message ?? podiia.message ?? {};
  return obiekt(chat) && ieId(chat.id) ? chat.id : undefined;
}

async function prochytaty(zapyt) {
  const chastyny = [];
  let rozmir = 0;
  for await (const chastyna of zapyt) {
    rozmir += chastyna.length;
    if (rozmir > MEZHA.tilo) return null;
    chastyny.push(chastyna);
  }
  try {
    const update = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chastyny)));
    return obiekt(update) && Number.isSafeInteger(update.update_id) ? update : null;
  } catch {
    return null;
  }
}

function vidpovisty(res, kod, zaholovky = {}) {
  if (!res.headersSent) res.writeHead(kod, zaholovky).end();
}

function dovireno(zapyt) {
  const dano = Buffer.from(String(zapyt.headers["x-telegram-bot-api-secret-token"] ?? ""), "latin1");
  const treba = Buffer.from(SEKRET);
  return dano.length === treba.length && crypto.timingSafeEqual(dano, treba);
}

async function pryiniaty(zapyt, res) {
  if (zapyt.method !== "POST" || zapyt.url.split("?")[0] !== SHLIAKH) return vidpovisty(res, 404, { Connection: "close" });
  if (!dovireno(zapyt)) {
    vidpovisty(res, 401, { Connection: "close" });
    if (BUG !== "401-bez-return") return;
  }
  const update = await prochytaty(zapyt);
  if (!update) return vidpovisty(res, 400, { Connection: "close" });
  const chat = chatOnovlennia(update);
  if (chat === undefined) return vidpovisty(res, 200);
  if ((cherhy.get(chat)?.length ?? 0) >= MEZHA.cherha || cherhy.size >= MEZHA.chaty) {
    return vidpovisty(res, 429, { "Retry-After": "3" });
  }
  if (!bachene.has(update.update_id)) {
    bachene.set(update.update_id, true);
    if (cherhy.has(chat)) cherhy.get(chat).push(update);
    else {
      cherhy.set(chat, [update]);
      pratsiuvaty(chat);
    }
  }
  vidpovisty(res, 200);
}

const server = http.createServer((zapyt, res) => {
  pryiniaty(zapyt, res).catch((pomylka) => {
    console.error("запит", pomylka.message);
    vidpovisty(res, zapyt.complete ? 500 : 400, { Connection: "close" });
  });
});
server.requestTimeout = 20000;
server.listen(PORT, "127.0.0.1");
