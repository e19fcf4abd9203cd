"""Mensa: a canteen's pre-order bot in German, on aiogram 3 (routers, callback factories, FSM) behind aiohttp.

The webhook acknowledges at once; every chat has a queue and a task that lives while there is something in it.
What the canteen knows lies in memory.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import weakref
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import BaseFilter, Command, StateFilter
from aiogram.filters.callback_data import CallbackData
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message, Update, User
from aiogram.utils.keyboard import InlineKeyboardBuilder
from aiohttp import web

PORT = int(os.environ.get("PORT", "8080"))
PFAD = os.environ.get("WEBHOOK_PATH", "/webhook")
GEHEIMNIS = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "1:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_SCHLANGE = 300  # je Chat
MAX_CHATS = 5000
MAX_GESEHEN = 20_000
MAX_LEUTE, MAX_BESTELLUNGEN, MAX_GERICHTE, MAX_RUNDEN = 20_000, 5000, 60, 500
START_GUTHABEN = 2500  # Cent
PAUSEN = (0.5, 1, 2, 4, 8, 12)
HILFE = """Vorbestellen in der Mensa:
/speiseplan – was es heute gibt
/bestellen Nummer [Menge] – gleich bestellen
/bestellungen – deine Bestellungen, mit Storno
/guthaben – dein Guthaben
/senden ID Betrag – jemandem Guthaben schicken
/runde Name – gemeinsam essen gehen
/runden – die Runden in diesem Chat
/abbrechen – Eingabe abbrechen
Küche: /gericht, /kueche, /aufladen ID Betrag
Leitung: /personal ID, /umsatz"""

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("aiogram").setLevel(logging.WARNING)
log = logging.getLogger("mensa")


class Begrenzt(OrderedDict):
    """A dictionary that forgets what was written first."""

    def __init__(self, grenze: int) -> None:
        super().__init__()
        self.grenze = grenze

    def __setitem__(self, schluessel, wert) -> None:
        super().__setitem__(schluessel, wert)
        self.move_to_end(schluessel)
        while len(self) > self.grenze:
            self.popitem(last=False)


# ---------------------------------------------------------------- was die Mensa weiß


@dataclass
class Gericht:
    id: int
    name: str
    preis: int
    rest: int


@dataclass
class Bestellung:
    id: int
    user: int
    gericht: Gericht
    menge: int
    wunsch: str
    status: str = "offen"


@dataclass
class Runde:
    id: int
    name: str
    chat: int
    von: int
    dabei: dict[int, str] = field(default_factory=dict)
    offen: bool = True


@dataclass
class Gast:
    name: str
    guthaben: int = START_GUTHABEN


gerichte: dict[int, Gericht] = {
    1: Gericht(1, "Linseneintopf", 420, 40),
    2: Gericht(2, "Käsespätzle", 550, 60),
    3: Gericht(3, "Maultaschen", 610, 8),
}
bestellungen = Begrenzt(MAX_BESTELLUNGEN)
runden = Begrenzt(MAX_RUNDEN)
leute = Begrenzt(MAX_LEUTE)
personal: set[int] = set()
nummern = {"gericht": 3, "bestellung": 0, "runde": 0}


def naechste(was: str) -> int:
    nummern[was] += 1
    return nummern[was]


def sauber(text: str | None, grenze: int) -> str:
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text or "").strip()[:grenze].strip()


def zahl(text: str) -> int | None:
    treffer = re.fullmatch(r"#?([0-9]{1,10})", text.strip())
    return int(treffer[1]) if treffer else None


def betrag(text: str) -> int | None:
    treffer = re.fullmatch(r"([0-9]{1,3})(?:[.,]([0-9]{1,2}))?\s*€?", text.strip())
    return int(treffer[1]) * 100 + int((treffer[2] or "0").ljust(2, "0")) if treffer else None


def euro(cent: int) -> str:
    return f"{cent // 100},{cent % 100:02d} €"


def gast(user: User) -> Gast:
    if user.id not in leute:
        leute[user.id] = Gast("")
    leute[user.id].name = sauber(user.first_name, 40) or f"Gast {user.id}"
    return leute[user.id]


def name(user: int) -> str:
    return leute[user].name if user in leute else f"Gast {user}"


def zeile(g: Gericht) -> str:
    return f"#{g.id} {g.name}, {euro(g.preis)}, noch {g.rest}"


# ---------------------------------------------------------------- Telegram

sperren: weakref.WeakValueDictionary[int, asyncio.Lock] = weakref.WeakValueDictionary()
umgezogen = Begrenzt(1000)


def sperre(chat: int) -> asyncio.Lock:
    """What keeps the messages to a chat in their order."""
    if BUG == "eine-sperre":
        chat = 0
    gefunden = sperren.get(chat)
    if gefunden is None:
        gefunden = sperren[chat] = asyncio.Lock()
    return gefunden


async def geduldig(anfrage, bot: Bot, methode):
    """Calls Telegram until it works, as often and as slowly as is decent."""
    chat = getattr(methode, "chat_id", None)
    if chat is None:
        return await versuchen(anfrage, bot, methode, PAUSEN[:2])
    async with sperre(chat):
        return await versuchen(anfrage, bot, methode, PAUSEN)


async def versuchen(anfrage, bot: Bot, methode, pausen):
    versuch = gewartet = 0
    if (chat := getattr(methode, "chat_id", None)) in umgezogen:
        methode = methode.model_copy(update={"chat_id": umgezogen[chat]})
    while True:
        try:
            return await anfrage(bot, methode)
        except TelegramRetryAfter as fehler:
            gewartet += 1
            if gewartet > 6 or fehler.retry_after > 300:
                raise
            await asyncio.sleep(1 if BUG == "feste-wartezeit" else max(1, fehler.retry_after) + 0.1)
        except TelegramMigrateToChat as fehler:
            gewartet += 1
            if gewartet > 6:
                raise
            umgezogen[methode.chat_id] = fehler.migrate_to_chat_id
            methode = methode.model_copy(update={"chat_id": fehler.migrate_to_chat_id})
        except ClientDecodeError as fehler:
            if isinstance(fehler.data, dict) and fehler.data.get("ok") is True:
                return None  # angekommen, nur unverständlich beantwortet
            if versuch >= len(pausen):
                raise
            await asyncio.sleep(pausen[versuch])
            versuch += 1
        except (TelegramNetworkError, TelegramServerError, TypeError, ValueError):
            if versuch >= len(pausen):
                raise
            await asyncio.sleep(pausen[versuch])
            versuch += 1
        except TelegramAPIError as fehler:
            gewartet += 1
            if gewartet > 3 or "too many requests" not in str(fehler).lower():
                raise
            await asyncio.sleep(1.1)


nebenher: set[asyncio.Task] = set()


def melden(bot: Bot, chat: int, text: str, knoepfe: InlineKeyboardMarkup | None = None, nach: float = 0) -> None:
    """Tells something to somebody else, for which nobody waits."""
    if len(nebenher) >= 5000:
        log.warning("zu viele Meldungen")
        return

    async def spaeter() -> None:
        try:
            await asyncio.sleep(nach)
            await bot.send_message(chat, text, reply_markup=knoepfe)
        except Exception as fehler:
            log.warning("nicht zugestellt an %s: %s", chat, fehler)

    aufgabe = asyncio.create_task(spaeter())
    nebenher.add(aufgabe)
    aufgabe.add_done_callback(nebenher.discard)


def ort(query: CallbackQuery) -> int:
    return query.message.chat.id if query.message else query.from_user.id


async def zeigen(query: CallbackQuery, text: str, knoepfe: InlineKeyboardMarkup | None = None) -> None:
    """Shows something in place of the message with the button, or below where that cannot be."""
    if BUG == "altes-menue":
        await query.message.edit_text(text, reply_markup=knoepfe)
        return
    if isinstance(query.message, Message):
        try:
            await query.message.edit_text(text, reply_markup=knoepfe)
            return
        except TelegramBadRequest:
            log.info("nicht mehr zu ändern")
    await query.bot.send_message(ort(query), text, reply_markup=knoepfe)


async def still(query: CallbackQuery) -> None:
    try:
        await query.answer()
    except (TelegramAPIError, ClientDecodeError) as fehler:
        log.info("Knopf: %s", fehler)


async def tippt(bot: Bot, chat: int) -> None:
    """Shows that something is coming, where Telegram lets it."""
    try:
        await asyncio.wait_for(bot.send_chat_action(chat, "typing"), 3)
    except (TimeoutError, TelegramAPIError, ClientDecodeError) as fehler:
        log.info("typing: %s", fehler)


# ---------------------------------------------------------------- Rechte, Knöpfe, Zustände


def ist_kueche(user: int) -> bool:
    return user == ADMIN_ID or user in personal


class IstKueche(BaseFilter):
    """Lets the kitchen's staff through."""

    async def __call__(self, ereignis: Message | CallbackQuery) -> bool:
        return ist_kueche(ereignis.from_user.id)


class IstLeitung(BaseFilter):
    """Lets the admin through."""

    async def __call__(self, ereignis: Message | CallbackQuery) -> bool:
        return ereignis.from_user.id == ADMIN_ID


class GerichtKnopf(CallbackData, prefix="g"):
    gericht: int


class MengeKnopf(CallbackData, prefix="m"):
    menge: int


class StornoKnopf(CallbackData, prefix="s"):
    bestellung: int
    user: int


class KuecheKnopf(CallbackData, prefix="k"):
    aktion: str
    nummer: int


if BUG == "doppelpunkt":

    class RundeKnopf(CallbackData, prefix="r"):
        aktion: str
        runde: int
        name: str

else:

    class RundeKnopf(CallbackData, prefix="r"):
        aktion: str
        runde: int


class Bestellen(StatesGroup):
    menge = State()
    wunsch = State()
    ja = State()


class NeuesGericht(StatesGroup):
    name = State()
    preis = State()
    portionen = State()


def knoepfe(*zeilen) -> InlineKeyboardMarkup:
    bau = InlineKeyboardBuilder()
    for eine in zeilen:
        for beschriftung, daten in eine:
            bau.button(text=beschriftung, callback_data=daten)
    bau.adjust(*(len(eine) for eine in zeilen))
    return bau.as_markup()


def befehl(*namen: str) -> Command:
    return Command(*namen, ignore_mention=True)


def argumente(message: Message) -> str:
    teile = (message.text or "").split(maxsplit=1)
    return teile[1].strip() if len(teile) > 1 else ""


def kein_befehl(message: Message) -> bool:
    return not (message.text or "").startswith("/")


# ---------------------------------------------------------------- für alle

alle = Router(name="alle")


@alle.message(befehl("start", "hilfe", "help"))
async def hilfe(message: Message) -> None:
    await message.answer(HILFE)


@alle.message(befehl("abbrechen"))
async def abbrechen(message: Message, state: FSMContext) -> None:
    lief = await state.get_state()
    await state.clear()
    await message.answer("Abgebrochen." if lief else "Es gibt nichts abzubrechen.")


@alle.message(befehl("speiseplan"))
async def speiseplan(message: Message) -> None:
    da = list(gerichte.values())[-20:]
    if not da:
        await message.answer("Heute bleibt die Küche kalt.")
        return
    reihen = [[(f"{g.name[:30]} bestellen", GerichtKnopf(gericht=g.id))] for g in da if g.rest > 0]
    await message.answer("\n".join(["Heute gibt es:", *map(zeile, da)]), reply_markup=knoepfe(*reihen))


async def bestelle(bot: Bot, chat: int, user: User, nummer: int | None, menge: int, wunsch: str = "") -> str:
    """Takes an order; the answer for who ordered."""
    konto = gast(user)
    if BUG != "ueberbucht":
        await tippt(bot, chat)
    gericht = gerichte.get(nummer)
    if gericht is None:
        return "Dieses Gericht gibt es nicht."
    rest = gericht.rest
    if rest < menge:
        return f"Von {gericht.name} sind nur noch {rest} da."
    if konto.guthaben < menge * gericht.preis:
        return f"Dein Guthaben reicht nicht: {euro(konto.guthaben)}."
    if BUG == "ueberbucht":
        await tippt(bot, chat)
    gericht.rest = rest - menge
    konto.guthaben -= menge * gericht.preis
    neue = Bestellung(naechste("bestellung"), user.id, gericht, menge, wunsch)
    bestellungen[neue.id] = neue
    return f"Bestellung #{neue.id}: {menge}× {gericht.name}, {euro(menge * gericht.preis)}. Noch {gericht.rest} übrig."


@alle.message(befehl("bestellen"))
async def bestellen(message: Message) -> None:
    teile = argumente(message).split()
    nummer = zahl(teile[0]) if teile else None
    menge = zahl(teile[1]) if len(teile) > 1 else 1
    if nummer is None or not menge or menge > 9:
        await message.answer("So geht es: /bestellen Nummer [Menge], höchstens 9")
        return
    await message.answer(await bestelle(message.bot, message.chat.id, message.from_user, nummer, menge))


@alle.callback_query(GerichtKnopf.filter())
async def gericht_gewaehlt(query: CallbackQuery, callback_data: GerichtKnopf, state: FSMContext) -> None:
    await still(query)
    gericht = gerichte.get(callback_data.gericht)
    if gericht is None:
        await zeigen(query, "Dieses Gericht gibt es nicht mehr.")
        return
    await state.set_state(Bestellen.menge)
    await state.set_data({"gericht": gericht.id})
    reihe = [(str(n), MengeKnopf(menge=n)) for n in (1, 2, 3)]
    await query.bot.send_message(ort(query), f"{gericht.name}: wie viele Portionen?", reply_markup=knoepfe(reihe))


async def menge_gesetzt(bot: Bot, chat: int, state: FSMContext, menge: int) -> None:
    await state.update_data(menge=menge)
    await state.set_state(Bestellen.wunsch)
    await bot.send_message(chat, "Ein Wunsch dazu? (z. B. ohne Zwiebeln)", reply_markup=knoepfe([("Ohne", "ohne")]))


@alle.callback_query(MengeKnopf.filter(), StateFilter(Bestellen.menge))
async def menge_knopf(query: CallbackQuery, callback_data: MengeKnopf, state: FSMContext) -> None:
    await still(query)
    await menge_gesetzt(query.bot, ort(query), state, min(9, max(1, callback_data.menge)))


@alle.callback_query(F.data == "ohne", StateFilter(Bestellen.wunsch))
async def ohne_wunsch(query: CallbackQuery, state: FSMContext) -> None:
    await still(query)
    await wunsch_gesetzt(query.bot, ort(query), state, "")


async def wunsch_gesetzt(bot: Bot, chat: int, state: FSMContext, wunsch: str) -> None:
    daten = await state.update_data(wunsch=wunsch)
    gericht = gerichte.get(daten.get("gericht"))
    if gericht is None:
        await state.clear()
        await bot.send_message(chat, "Dieses Gericht gibt es nicht mehr.")
        return
    await state.set_state(Bestellen.ja)
    text = f"{daten['menge']}× {gericht.name}" + (f" ({wunsch})" if wunsch else "")
    reihe = [("Verbindlich bestellen", "ja"), ("Doch nicht", "nein")]
    await bot.send_message(chat, f"{text}, {euro(daten['menge'] * gericht.preis)}?", reply_markup=knoepfe(reihe))


@alle.callback_query(F.data.in_({"ja", "nein"}), StateFilter(Bestellen.ja))
async def ja_nein(query: CallbackQuery, state: FSMContext) -> None:
    daten = await state.get_data()
    await state.clear()
    await still(query)
    if query.data == "nein":
        await zeigen(query, "Nichts bestellt.")
        return
    text = await bestelle(
        query.bot, ort(query), query.from_user, daten["gericht"], daten["menge"], daten.get("wunsch", "")
    )
    await zeigen(query, text)


@alle.message(befehl("bestellungen"))
async def meine_bestellungen(message: Message) -> None:
    meine = [b for b in bestellungen.values() if b.user == message.from_user.id][-15:]
    zeilen = [
        f"#{b.id} {b.menge}× {b.gericht.name}" + (f" ({b.wunsch})" if b.wunsch else "") + f": {b.status}" for b in meine
    ]
    reihen = [
        [(f"Stornieren #{b.id}", StornoKnopf(bestellung=b.id, user=b.user))] for b in meine if b.status == "offen"
    ]
    await message.answer("\n".join(zeilen) or "Du hast nichts bestellt.", reply_markup=knoepfe(*reihen[-8:]))


@alle.callback_query(StornoKnopf.filter())
async def stornieren(query: CallbackQuery, callback_data: StornoKnopf) -> None:
    bestellung = bestellungen.get(callback_data.bestellung)
    wer = callback_data.user if BUG == "wer-im-knopf" else query.from_user.id
    if bestellung is None or bestellung.user != wer:
        await still(query)
        await query.bot.send_message(ort(query), "Das ist nicht deine Bestellung.")
        return
    if bestellung.status == "offen":
        bestellung.status = "storniert"
        bestellung.gericht.rest += bestellung.menge
        if bestellung.user in leute:
            leute[bestellung.user].guthaben += bestellung.menge * bestellung.gericht.preis
    await still(query)
    await zeigen(query, f"Bestellung #{bestellung.id}: {bestellung.status}.")


@alle.message(befehl("guthaben"))
async def guthaben(message: Message) -> None:
    konto = gast(message.from_user)
    await message.answer(f"Dein Guthaben: {euro(konto.guthaben)} (deine ID: {message.from_user.id})")


@alle.message(befehl("senden"))
async def senden(message: Message) -> None:
    teile = argumente(message).split()
    an, cent = (zahl(teile[0]), betrag(teile[1])) if len(teile) == 2 else (None, None)
    konto = gast(message.from_user)
    if an is None or not cent:
        await message.answer("So geht es: /senden ID Betrag, z. B. /senden 12345 2,50")
    elif an not in leute or an == message.from_user.id:
        await message.answer("Diesen Gast kenne ich nicht. Er muss mir erst schreiben.")
    elif konto.guthaben < cent:
        await message.answer(f"Dein Guthaben reicht nicht: {euro(konto.guthaben)}.")
    else:
        konto.guthaben -= cent
        leute[an].guthaben += cent
        melden(message.bot, an, f"{konto.name} hat dir {euro(cent)} geschickt.")
        await message.answer(f"{euro(cent)} an {name(an)} gesendet. Dein Guthaben: {euro(konto.guthaben)}")


def runde_text(r: Runde) -> str:
    dabei = ", ".join(list(r.dabei.values())[:30]) or "niemand"
    return f"Runde #{r.id} {r.name} ({'offen' if r.offen else 'geschlossen'}), dabei: {dabei}"


def runde_knopf(aktion: str, r: Runde) -> RundeKnopf:
    if BUG == "doppelpunkt":
        return RundeKnopf(aktion=aktion, runde=r.id, name=r.name)
    return RundeKnopf(aktion=aktion, runde=r.id)


@alle.message(befehl("runde"))
async def runde(message: Message) -> None:
    titel = sauber(argumente(message), 60)
    if not titel:
        await message.answer("So geht es: /runde Name")
        return
    neue = Runde(naechste("runde"), titel, message.chat.id, message.from_user.id)
    neue.dabei[message.from_user.id] = name(message.from_user.id)
    runden[neue.id] = neue
    reihe = [("Mitmachen", runde_knopf("mit", neue)), ("Schließen", runde_knopf("zu", neue))]
    await message.answer(runde_text(neue), reply_markup=knoepfe(reihe))


@alle.message(befehl("runden"))
async def alle_runden(message: Message) -> None:
    da = [r for r in runden.values() if r.chat == message.chat.id and r.offen][-10:]
    reihen = [[(f"Mitmachen #{r.id}", runde_knopf("mit", r))] for r in da]
    await message.answer("\n".join(map(runde_text, da)) or "Hier ist keine Runde offen.", reply_markup=knoepfe(*reihen))


@alle.callback_query(RundeKnopf.filter())
async def runde_gedrueckt(query: CallbackQuery, callback_data: RundeKnopf) -> None:
    r, user = runden.get(callback_data.runde), query.from_user.id
    await still(query)
    if r is None or not r.offen:
        await zeigen(query, "Diese Runde ist vorbei.")
    elif callback_data.aktion == "mit":
        if len(r.dabei) >= 100:
            await query.bot.send_message(ort(query), "Die Runde ist voll.")
            return
        r.dabei[user] = name(user)
        reihe = [("Mitmachen", runde_knopf("mit", r)), ("Schließen", runde_knopf("zu", r))]
        await zeigen(query, runde_text(r), knoepfe(reihe))
    elif user != r.von and not ist_kueche(user):
        await query.bot.send_message(ort(query), "Schließen darf nur, wer die Runde eröffnet hat.")
    else:
        r.offen = False
        for wer in set(r.dabei) - {user}:
            melden(query.bot, wer, f"Es geht los: {r.name}!")
        await zeigen(query, runde_text(r))


# ---------------------------------------------------------------- für die Küche

kueche = Router(name="kueche")
kueche.message.filter(IstKueche())
if BUG != "router-filter":
    kueche.callback_query.filter(IstKueche())


def neues_gericht(titel: str, preis: int, portionen: int) -> str:
    if len(gerichte) >= MAX_GERICHTE:
        return "Der Speiseplan ist voll."
    neues = Gericht(naechste("gericht"), titel, preis, portionen)
    gerichte[neues.id] = neues
    return f"Auf dem Plan: {zeile(neues)}"


@kueche.message(befehl("gericht"))
async def gericht_neu(message: Message, state: FSMContext) -> None:
    text = argumente(message)
    if not text:
        await state.set_state(NeuesGericht.name)
        await message.answer("Wie heißt das Gericht? (Oder gleich: /gericht Name; Preis; Portionen)")
        return
    teile = [*text.split(";"), "", ""]
    titel, preis, portionen = sauber(teile[0], 60), betrag(teile[1]), zahl(teile[2])
    if not titel or not preis or not portionen or portionen > 1000:
        await message.answer("So geht es: /gericht Name; Preis; Portionen")
        return
    await message.answer(neues_gericht(titel, preis, portionen))


@kueche.message(StateFilter(NeuesGericht.name), kein_befehl)
async def gericht_name(message: Message, state: FSMContext) -> None:
    titel = sauber(message.text, 60)
    if not titel:
        await message.answer("Bitte den Namen als Text.")
        return
    await state.update_data(name=titel)
    await state.set_state(NeuesGericht.preis)
    await message.answer("Was kostet es? (z. B. 4,50)")


@kueche.message(StateFilter(NeuesGericht.preis), kein_befehl)
async def gericht_preis(message: Message, state: FSMContext) -> None:
    preis = betrag(message.text or "")
    if not preis:
        await message.answer("Bitte ein Betrag wie 4,50.")
        return
    await state.update_data(preis=preis)
    await state.set_state(NeuesGericht.portionen)
    await message.answer("Wie viele Portionen?")


@kueche.message(StateFilter(NeuesGericht.portionen), kein_befehl)
async def gericht_portionen(message: Message, state: FSMContext) -> None:
    portionen = zahl(message.text or "")
    if not portionen or portionen > 1000:
        await message.answer("Bitte eine Zahl von 1 bis 1000.")
        return
    daten = await state.get_data()
    await state.clear()
    await message.answer(neues_gericht(daten["name"], daten["preis"], portionen))


@kueche.message(befehl("kueche"))
async def kuechenzettel(message: Message) -> None:
    offen = [b for b in bestellungen.values() if b.status == "offen"][:15]
    zeilen = [f"#{b.id} {name(b.user)}: {b.menge}× {b.gericht.name} {b.wunsch[:60]}".strip() for b in offen]
    reihen = [[(f"Abgeholt #{b.id}", KuecheKnopf(aktion="ab", nummer=b.id))] for b in offen[:8]]
    reihen += [
        [(f"Vom Plan: {g.name[:30]}", KuecheKnopf(aktion="weg", nummer=g.id))] for g in list(gerichte.values())[-8:]
    ]
    await message.answer("\n".join(["Offen:", *zeilen]), reply_markup=knoepfe(*reihen))


@kueche.message(befehl("aufladen"))
async def aufladen(message: Message) -> None:
    teile = argumente(message).split()
    an, cent = (zahl(teile[0]), betrag(teile[1])) if len(teile) == 2 else (None, None)
    if an not in leute or not cent or leute[an].guthaben + cent > 50_000:
        await message.answer("So geht es: /aufladen ID Betrag (wer mir schon geschrieben hat; höchstens 500 €)")
        return
    leute[an].guthaben += cent
    melden(message.bot, an, f"Dein Guthaben wurde um {euro(cent)} aufgeladen.")
    await message.answer(f"{name(an)} hat jetzt {euro(leute[an].guthaben)}.")


@kueche.callback_query(KuecheKnopf.filter())
async def kueche_gedrueckt(query: CallbackQuery, callback_data: KuecheKnopf) -> None:
    await still(query)
    nummer = callback_data.nummer
    if callback_data.aktion == "weg":
        weg = gerichte.pop(nummer, None)
        await zeigen(query, f"{weg.name} ist vom Plan." if weg else "Das ist schon vom Plan.")
        return
    bestellung = bestellungen.get(nummer)
    if bestellung is None or bestellung.status != "offen":
        await zeigen(query, "Diese Bestellung ist nicht mehr offen.")
        return
    bestellung.status = "abgeholt"
    melden(query.bot, bestellung.user, f"Guten Appetit! Bestellung #{nummer} ist abgeholt.")
    await zeigen(query, f"Bestellung #{nummer} ist abgeholt.")


# ---------------------------------------------------------------- für die Leitung

leitung = Router(name="leitung")
leitung.message.filter(IstLeitung())


@leitung.message(befehl("personal"))
async def personal_aendern(message: Message) -> None:
    wer = zahl(argumente(message))
    if wer not in leute or (len(personal) >= 200 and wer not in personal):
        await message.answer("So geht es: /personal ID (wer mir schon geschrieben hat)")
        return
    personal.symmetric_difference_update({wer})
    await message.answer(f"{name(wer)} gehört {'jetzt' if wer in personal else 'nicht mehr'} zur Küche.")


@leitung.message(befehl("umsatz"))
async def umsatz(message: Message) -> None:
    zaehlt = [b for b in bestellungen.values() if b.status != "storniert"]
    summe = sum(b.menge * b.gericht.preis for b in zaehlt)
    kueche_ist = ", ".join(f"{name(w)} ({w})" for w in sorted(personal)[:30]) or "niemand"
    await message.answer(f"Umsatz: {euro(summe)} aus {len(zaehlt)} Bestellungen. Küche: {kueche_ist}")


# ---------------------------------------------------------------- was übrig bleibt

rest = Router(name="rest")


@rest.message(befehl("gericht", "kueche", "aufladen"))
async def nur_kueche(message: Message) -> None:
    await message.answer("Das darf nur die Küche.")


@rest.message(befehl("personal", "umsatz"))
async def nur_leitung(message: Message) -> None:
    await message.answer("Das darf nur die Leitung.")


@rest.callback_query(KuecheKnopf.filter())
async def knopf_nur_kueche(query: CallbackQuery) -> None:
    await still(query)
    await query.bot.send_message(ort(query), "Das darf nur die Küche.")


@rest.callback_query()
async def alter_knopf(query: CallbackQuery) -> None:
    await still(query)
    await query.bot.send_message(ort(query), "Dieser Knopf gilt nicht mehr.")


@rest.message(StateFilter(Bestellen.menge), kein_befehl)
async def menge_text(message: Message, state: FSMContext) -> None:
    menge = zahl(message.text or "")
    if not menge or menge > 9:
        await message.answer("Bitte eine Zahl von 1 bis 9.")
        return
    await menge_gesetzt(message.bot, message.chat.id, state, menge)


@rest.message(StateFilter(Bestellen.wunsch), kein_befehl)
async def wunsch_text(message: Message, state: FSMContext) -> None:
    await wunsch_gesetzt(message.bot, message.chat.id, state, sauber(message.text, 100))


@rest.message()
async def unbekannt(message: Message) -> None:
    if not kein_befehl(message):
        await message.answer("Diesen Befehl kenne ich nicht. Siehe /hilfe")
    elif message.chat.type == "private":
        await message.answer("Das habe ich nicht verstanden. Siehe /hilfe")


# ---------------------------------------------------------------- Schlangen und Webhook


def ist_id(wert: object) -> bool:
    return type(wert) is int and 0 < abs(wert) < 1 << 53


def chat_von(daten: dict) -> int | None:
    """The chat to which an update belongs, None where there is nothing to do."""
    inhalt = daten.get("message") or daten.get("callback_query")
    if not isinstance(inhalt, dict) or not isinstance(inhalt.get("from"), dict):
        return None
    message = inhalt if daten.get("message") else inhalt.get("message") or {"chat": inhalt["from"]}
    if not isinstance(message, dict) or not isinstance(message.get("chat"), dict):
        return None
    if not ist_id(message["chat"].get("id")) or not ist_id(inhalt["from"].get("id")):
        return None
    return message["chat"]["id"]


class Mensa:
    """The webhook, the queues and the dispatcher behind them."""

    def __init__(self) -> None:
        sitzung = AiohttpSession(api=TelegramAPIServer.from_base(API), limit=2000, timeout=8)
        sitzung.middleware(geduldig)
        self.bot = Bot(TOKEN, session=sitzung)
        self.speicher = MemoryStorage()
        self.verteiler = Dispatcher(storage=self.speicher)
        self.verteiler.include_routers(kueche, leitung, alle, rest)
        self.schlangen: dict[int, deque] = {}
        self.aufgaben: set[asyncio.Task] = set()
        self.gesehen = Begrenzt(MAX_GESEHEN)
        self.letzte: int | None = None

    def einreihen(self, chat: int, daten: dict) -> None:
        if chat in self.schlangen:
            self.schlangen[chat].append(daten)
            return
        self.schlangen[chat] = deque([daten])
        aufgabe = asyncio.create_task(self.abarbeiten(chat))
        self.aufgaben.add(aufgabe)
        aufgabe.add_done_callback(self.aufgaben.discard)

    async def abarbeiten(self, chat: int) -> None:
        schlange = self.schlangen[chat]
        while schlange:
            daten = schlange.pop() if BUG == "letzter-zuerst" else schlange.popleft()
            try:
                await self.eine(chat, daten)
            except Exception:
                log.exception("Chat %s", chat)
        del self.schlangen[chat]
        while len(self.speicher.storage) > 5000:
            self.speicher.storage.pop(next(iter(self.speicher.storage)))

    async def eine(self, chat: int, daten: dict) -> None:
        try:
            update = Update.model_validate(daten, context={"bot": self.bot})
        except (ValueError, RecursionError):
            log.info("unbekannte Gestalt")
            return
        try:
            gast((update.message or update.callback_query).from_user)
            await self.verteiler.feed_update(self.bot, update)
        except (TelegramAPIError, ClientDecodeError) as fehler:
            log.warning("Chat %s: %s", chat, fehler)
            if isinstance(
                fehler, (TelegramNetworkError, TelegramServerError, TelegramRetryAfter, ClientDecodeError)
            ) and (not isinstance(fehler, TelegramRetryAfter) or fehler.retry_after < 300):
                nach = max(20, getattr(fehler, "retry_after", 0))
                melden(self.bot, chat, "Entschuldigung, das kam nicht durch. Bitte versuche es noch einmal.", nach=nach)
        except ValueError as fehler:
            log.warning("Chat %s: unverständliche Daten: %s", chat, fehler)
            if BUG != "doppelpunkt":
                await self.entschuldigen(update)
        except Exception:
            log.exception("Chat %s", chat)
            await self.entschuldigen(update)

    async def entschuldigen(self, update: Update) -> None:
        text = "Entschuldigung, da ist etwas schiefgegangen. Bitte versuche es noch einmal."
        if update.callback_query:
            await zeigen(update.callback_query, text)
        else:
            await update.message.answer(text)

    def wiederholt(self, update_id: int) -> bool:
        if BUG == "nur-die-letzte":
            gleich, self.letzte = update_id == self.letzte, update_id
            return gleich
        if update_id in self.gesehen:
            return True
        self.gesehen[update_id] = True
        return False

    async def lesen(self, request: web.Request) -> dict | None:
        try:
            daten = json.loads(await asyncio.wait_for(request.read(), 15))
        except (TimeoutError, ValueError, RecursionError):
            return None
        return daten if isinstance(daten, dict) and type(daten.get("update_id")) is int else None

    async def webhook(self, request: web.Request) -> web.Response:
        echt = self.vertraut(request)
        if not echt and BUG != "vor-der-pruefung":
            return web.Response(status=401, headers={"Connection": "close"})
        daten = await self.lesen(request)
        if daten is None:
            return web.Response(status=400 if echt else 401)
        chat = chat_von(daten)
        if chat is None:
            return web.Response(status=200 if echt else 401)
        if len(self.schlangen.get(chat, ())) >= MAX_SCHLANGE or len(self.schlangen) >= MAX_CHATS:
            return web.Response(status=429, headers={"Retry-After": "3"})
        if self.wiederholt(daten["update_id"]):
            return web.Response(status=200 if echt else 401)
        if not echt:
            return web.Response(status=401)
        self.einreihen(chat, daten)
        return web.Response()

    def vertraut(self, request: web.Request) -> bool:
        gegeben = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        return hmac.compare_digest(gegeben.encode("utf-8", "surrogateescape"), GEHEIMNIS.encode())


async def anwendung() -> web.Application:
    mensa = Mensa()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_post(PFAD, mensa.webhook)

    async def schliessen(_: web.Application) -> None:
        await mensa.bot.session.close()

    app.on_cleanup.append(schliessen)
    return app


if __name__ == "__main__":
    web.run_app(anwendung(), host="127.0.0.1", port=PORT, print=None, access_log=None)
