"""Vereinskasse: the cash box of a sports club, on aiogram 3 with an FSM conversation and SQLite, in German.

The webhook notes an update, puts it into the queue of its chat (or, for a button, of its person) and answers at once.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import sqlite3
import tempfile
import time
import weakref
from collections import OrderedDict, deque
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import BaseFilter, Command, CommandObject, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.fsm.strategy import FSMStrategy
from aiogram.methods import AnswerCallbackQuery
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    Message,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
    Update,
)
from aiohttp import web
from pydantic import ValidationError

PORT = int(os.environ.get("PORT", "8080"))
PFAD = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "1:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

GROESSTER_KOERPER = 1 << 20
LAENGSTER_TEXT = 3900  # UTF-16, wie Telegram zählt
WARTENDE_JE_CHAT = 300
WARTENDE = 20_000
GESEHEN = 20_000
MITGLIEDER = 5000
GESPRAECHE = 5000
NEBENHER = 3000
PAUSEN = (0.5, 1, 2, 4, 8, 10)
PREISE = {"wasser": 100, "bier": 200}
WAHL = {"ja": "Ja", "nein": "Nein", "enth": "Enthaltung"}

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
logging.getLogger("aiogram.event").setLevel(logging.WARNING)
log = logging.getLogger("kasse")

# ---------------------------------------------------------------- Datenbank

TABELLEN = """
CREATE TABLE gesehen (lfd INTEGER PRIMARY KEY AUTOINCREMENT, schluessel TEXT UNIQUE);
CREATE TABLE mitglieder (nr INTEGER PRIMARY KEY, tg INTEGER, name TEXT, telefon TEXT, rolle TEXT DEFAULT 'mitglied');
CREATE TABLE konten (tg INTEGER PRIMARY KEY, nr INTEGER);
CREATE TABLE auslagen (id INTEGER PRIMARY KEY, nr INTEGER, cent INTEGER, zweck TEXT, foto TEXT, status TEXT DEFAULT 'offen');
CREATE TABLE zahlungen (id INTEGER PRIMARY KEY, nr INTEGER, cent INTEGER, status TEXT DEFAULT 'offen');
CREATE TABLE striche (nr INTEGER, was TEXT, anzahl INTEGER, PRIMARY KEY (nr, was));
CREATE TABLE umfragen (id INTEGER PRIMARY KEY, nr INTEGER, frage TEXT);
CREATE TABLE stimmen (umfrage INTEGER, nr INTEGER, wahl TEXT, PRIMARY KEY (umfrage, nr));
"""
ordner = tempfile.TemporaryDirectory(prefix="vereinskasse-")
db = sqlite3.connect(Path(ordner.name) / "kasse.db", isolation_level=None)
db.row_factory = sqlite3.Row
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = OFF")
db.executescript(TABELLEN)


def eine(frage: str, *werte) -> sqlite3.Row | None:
    return db.execute(frage, werte).fetchone()


def mitglied(tg: int, name: str = "") -> sqlite3.Row | None:
    """Das Mitglied zu einem Telegram-Konto; wer neu ist, wird aufgenommen."""
    gefunden = eine("SELECT m.* FROM konten k JOIN mitglieder m USING (nr) WHERE k.tg = ?", tg)
    if gefunden is None and eine("SELECT count(*) AS n FROM konten")["n"] < MITGLIEDER:
        rolle = "kassenwart" if tg == ADMIN_ID else "mitglied"
        nr = db.execute("INSERT INTO mitglieder (tg, name, rolle) VALUES (?, ?, ?)", (tg, name, rolle)).lastrowid
        db.execute("INSERT INTO konten VALUES (?, ?)", (tg, nr))
        return mitglied(tg)
    return gefunden


mitglied(ADMIN_ID, "Kassenwart")


def kassenwarte() -> list[int]:
    return [zeile["tg"] for zeile in db.execute("SELECT tg FROM mitglieder WHERE rolle != 'mitglied'")]


# ---------------------------------------------------------------- Texte


def kurz(text: str, grenze: int) -> str:
    """Der Text, auf so viele UTF-16-Einheiten gekürzt."""
    if len(text.encode("utf-16-le")) // 2 <= grenze:
        return text
    return text.encode("utf-16-le")[: 2 * grenze - 2].decode("utf-16-le", "ignore") + "…"


def sauber(text: str | None, grenze: int) -> str:
    return kurz(" ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text or "").split()), grenze)


def ohne_halbe(wert):
    """Dasselbe ohne halbe Zeichen, die weder SQLite noch Telegram nehmen."""
    if isinstance(wert, str):
        return wert.encode("utf-8", "replace").decode()
    if isinstance(wert, list):
        return [ohne_halbe(eins) for eins in wert]
    if isinstance(wert, dict):
        return {ohne_halbe(name): ohne_halbe(eins) for name, eins in wert.items()}
    return wert


def euro(cent: int) -> str:
    return f"{'-' if cent < 0 else ''}{abs(cent) // 100},{abs(cent) % 100:02} €"


def in_cent(text: str | None) -> int | None:
    """Der Betrag in Cent; None, wenn es keiner ist."""
    text = (text or "").replace("€", "").strip()
    if BUG == "betrag-wert":
        try:
            cent = int(Decimal(text.replace(",", ".")) * 100)
        except ValueError:
            return None
        return cent if 0 < cent < 10_000_000 else None
    if not re.fullmatch(r"[0-9]{1,5}([.,][0-9]{1,2})?", text):
        return None
    return int(Decimal(text.replace(",", ".")) * 100) or None


def nummer(text: str | None) -> int:
    text = (text or "").strip().lstrip("#")
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else 0


def tasten(*reihen) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=text, callback_data=daten) for text, daten in reihe] for reihe in reihen
        ]
    )


# ---------------------------------------------------------------- Telegram


class Sitzung(AiohttpSession):
    """Versteht auch Fehlerseiten, die kein JSON sind."""

    def check_response(self, bot, method, status_code, content):
        if status_code >= 500:
            raise TelegramServerError(method=method, message=f"HTTP {status_code}")
        try:
            return super().check_response(bot, method, status_code, content)
        except TelegramRetryAfter:
            raise
        except (ClientDecodeError, TelegramAPIError) as fehler:
            if status_code == 429:
                raise TelegramRetryAfter(method=method, message="HTTP 429", retry_after=1) from fehler
            raise


class Geduld(BaseRequestMiddleware):
    """Ruft in der Reihenfolge des Chats, wartet, wenn Telegram es verlangt, und gibt irgendwann auf."""

    def __init__(self) -> None:
        self.schloesser: weakref.WeakValueDictionary[int, asyncio.Lock] = weakref.WeakValueDictionary()
        self.umgezogen: OrderedDict[int, int] = OrderedDict()

    async def __call__(self, make_request, bot, method):
        chat = getattr(method, "chat_id", None)
        if chat is None:
            return await self.geduldig(make_request, bot, method)
        schloss = self.schloesser.get(chat)
        if schloss is None:
            schloss = self.schloesser[chat] = asyncio.Lock()
        async with schloss:
            return await self.geduldig(make_request, bot, method)

    async def geduldig(self, make_request, bot, method):
        versuch = gewartet = 0
        pausen = PAUSEN[:2] if isinstance(method, AnswerCallbackQuery) else PAUSEN
        while True:
            if getattr(method, "chat_id", None) in self.umgezogen:
                method.chat_id = self.umgezogen[method.chat_id]
            try:
                return await make_request(bot, method)
            except TelegramMigrateToChat as fehler:
                gewartet += 1
                if gewartet > 5 or fehler.migrate_to_chat_id == method.chat_id:
                    raise
                self.umziehen(method.chat_id, fehler.migrate_to_chat_id)
            except TelegramRetryAfter as fehler:
                gewartet += 1
                if BUG == "wartezeit-verschluckt":
                    log.warning("gebremst: %s", fehler)
                    return None
                if gewartet > 6 or fehler.retry_after > 300:
                    raise
                await asyncio.sleep(max(1, fehler.retry_after) + 0.2)
            except (TelegramServerError, TelegramNetworkError):
                if versuch >= len(pausen):
                    raise
                await asyncio.sleep(pausen[versuch])
                versuch += 1

    def umziehen(self, von: int, nach: int) -> None:
        self.umgezogen[von] = nach
        if len(self.umgezogen) > 1000:
            self.umgezogen.popitem(last=False)


geduld = Geduld()
verloren: OrderedDict[int, bool] = OrderedDict()
nebenbei: set[asyncio.Task] = set()


async def sagen(bot: Bot, chat: int, text: str, markup=None, *, foto: str = "") -> None:
    """Sagt etwas in einem Chat; was nicht ankam, wird beim nächsten Mal erwähnt."""
    if chat in verloren:
        text = f"(Eine frühere Nachricht ging leider verloren.)\n{text}"
    try:
        if foto:
            await bot.send_photo(chat, foto, caption=kurz(text, 1000), reply_markup=markup)
        else:
            await bot.send_message(chat, kurz(text, LAENGSTER_TEXT), reply_markup=markup)
        verloren.pop(chat, None)
    except (TelegramBadRequest, TelegramForbiddenError, TelegramNotFound) as fehler:
        log.warning("abgelehnt in %s: %s", chat, fehler)
        if foto:
            await sagen(bot, chat, f"{text}\n(Das Foto lässt sich nicht mehr zeigen.)", markup)
    except AiogramError as fehler:
        log.warning("nicht zugestellt in %s: %s", chat, fehler)
        verloren[chat] = True
        if len(verloren) > MITGLIEDER:
            verloren.popitem(last=False)


def nebenher(bot: Bot, chat: int, text: str, markup=None) -> None:
    """Sagt jemandem etwas, worauf niemand wartet."""
    if len(nebenbei) >= NEBENHER:
        log.warning("zu viel nebenher, nichts an %s", chat)
        return
    aufgabe = asyncio.get_running_loop().create_task(sagen(bot, chat, text, markup))
    nebenbei.add(aufgabe)
    aufgabe.add_done_callback(nebenbei.discard)


def chat_von(cb: CallbackQuery) -> int:
    return cb.message.chat.id if cb.message else cb.from_user.id


async def quittieren(cb: CallbackQuery, hinweis: str | None = None) -> None:
    """Nimmt die Sanduhr vom Knopf."""
    if BUG == "antwort-zu-alt":
        await cb.answer(hinweis, show_alert=bool(hinweis))
        return
    with suppress(AiogramError):
        await cb.answer(hinweis, show_alert=bool(hinweis))


async def neu_zeichnen(cb: CallbackQuery, text: str, markup=None) -> None:
    """Ändert die Nachricht mit dem Knopf; ist sie zu alt dafür, kommt eine neue."""
    if BUG == "alter-knopf":
        with suppress(TelegramAPIError):
            await cb.message.edit_text(kurz(text, LAENGSTER_TEXT), reply_markup=markup)
        return
    if isinstance(cb.message, Message):
        try:
            await cb.message.edit_text(kurz(text, LAENGSTER_TEXT), reply_markup=markup)
            return
        except AiogramError as fehler:
            if "not modified" in str(fehler):
                return
            log.warning("nicht geändert: %s", fehler)
    await sagen(cb.bot, chat_von(cb), text, markup)


# ---------------------------------------------------------------- Rechte


class IstKassenwart(BaseFilter):
    """Der Kassenwart oder seine Vertretung."""

    async def __call__(self, ereignis: Message | CallbackQuery) -> bool:
        wer = mitglied(ereignis.from_user.id, sauber(ereignis.from_user.first_name, 40))
        return wer is not None and wer["rolle"] in {"kassenwart", "vertretung"}


class Bekannt(BaseMiddleware):
    """Reicht das Mitglied an die Handler weiter."""

    async def __call__(self, handler, event, data):
        wer = mitglied(event.from_user.id, sauber(event.from_user.first_name, 40) or "Mitglied")
        if wer is None:
            await sagen(data["bot"], event.from_user.id, "Der Verein nimmt niemanden mehr auf.")
            return None
        data["wer"] = wer
        return await handler(event, data)


class Auslage(StatesGroup):
    """Die Schritte einer Auslage."""

    betrag = State()
    zweck = State()
    beleg = State()
    pruefen = State()


def befehl(*namen: str) -> Command:
    return Command(*namen, ignore_case=True, ignore_mention=True)


allgemein, kasse, rest = Router(name="allgemein"), Router(name="kasse"), Router(name="rest")
kasse.message.filter(IstKassenwart())
if BUG != "knopf-filter":
    kasse.callback_query.filter(IstKassenwart())

HILFE = """Ich führe die Vereinskasse.
/konto - deine Mitgliedsnummer und dein Stand
/anmelden - deine Telefonnummer hinterlegen
/beitrag 25,00 - einen gezahlten Beitrag melden
/strich - Getränk anschreiben
/auslage - Geld zurückfordern, Schritt für Schritt
/auslagen - deine Auslagen
/beleg 3 - eine Auslage mit ihrem Beleg
/zurueckziehen 3 - eine offene Auslage zurückziehen
/umfrage Frage - über eine Anschaffung abstimmen lassen
/umfragen - die letzten Umfragen
/abbrechen - das laufende Gespräch beenden
Für den Kassenwart und seine Vertretung:
/offen - was zu entscheiden ist
/mitglieder - wer dabei ist
/rundruf Text - allen etwas mitteilen
/vertretung 123456 - jemanden zur Vertretung machen (/vertretung aus beendet sie)"""

# ---------------------------------------------------------------- Mitglieder


@allgemein.message(befehl("start", "hilfe", "help"))
async def hilfe(message: Message, bot: Bot) -> None:
    await sagen(bot, message.chat.id, HILFE)


@allgemein.message(befehl("abbrechen"))
async def abbrechen(message: Message, bot: Bot, state: FSMContext) -> None:
    lief = await state.get_state()
    await state.clear()
    await sagen(bot, message.chat.id, "Abgebrochen." if lief else "Es lief nichts.", ReplyKeyboardRemove())


@allgemein.message(befehl("konto"))
async def konto(message: Message, bot: Bot, wer: sqlite3.Row) -> None:
    gezahlt = eine("SELECT coalesce(sum(cent), 0) AS c FROM zahlungen WHERE nr = ? AND status = 'bestätigt'", wer["nr"])
    offen = eine("SELECT count(*) AS n FROM auslagen WHERE nr = ? AND status = 'offen'", wer["nr"])
    text = f"Mitglied Nr. {wer['nr']}, {wer['name']} ({wer['rolle']})\nBeiträge: {euro(gezahlt['c'])}\nStrichliste: {strichliste(wer['nr'])}\nOffene Auslagen: {offen['n']}"
    if message.chat.type == "private":
        text += f"\nTelefon: {wer['telefon'] or 'unbekannt'}"
    await sagen(bot, message.chat.id, text)


@allgemein.message(befehl("anmelden"))
async def anmelden(message: Message, bot: Bot) -> None:
    if message.chat.type != "private":
        await sagen(bot, message.chat.id, "Das machen wir lieber unter vier Augen.")
        return
    knopf = KeyboardButton(text="Meine Nummer teilen", request_contact=True)
    feld = ReplyKeyboardMarkup(keyboard=[[knopf]], resize_keyboard=True, one_time_keyboard=True)
    await sagen(bot, message.chat.id, "Bitte teile deine Nummer mit dem Knopf unten.", feld)


@allgemein.message(F.contact, F.chat.type == "private")
async def kontakt(message: Message, bot: Bot) -> None:
    wessen = message.contact.user_id
    if BUG != "kontakt-fremd" and wessen != message.from_user.id:
        await sagen(bot, message.chat.id, "Das ist nicht deine eigene Nummer.")
        return
    dabei = mitglied(wessen or message.from_user.id, sauber(message.contact.first_name, 40))
    telefon = re.sub(r"[^0-9+]", "", message.contact.phone_number)[:20]
    db.execute("UPDATE mitglieder SET telefon = ? WHERE nr = ?", (telefon, dabei["nr"]))
    db.execute("INSERT OR REPLACE INTO konten VALUES (?, ?)", (message.from_user.id, dabei["nr"]))
    await sagen(
        bot, message.chat.id, f"Danke, {dabei['name']}. Du bist Mitglied Nr. {dabei['nr']}.", ReplyKeyboardRemove()
    )


@allgemein.message(befehl("beitrag"))
async def beitrag(message: Message, bot: Bot, command: CommandObject, wer: sqlite3.Row) -> None:
    cent = in_cent(command.args)
    if cent is None:
        await sagen(bot, message.chat.id, "So geht es: /beitrag 25,00")
        return
    if eine("SELECT count(*) AS n FROM zahlungen WHERE nr = ? AND status = 'offen'", wer["nr"])["n"] >= 20:
        await sagen(bot, message.chat.id, "Es warten schon zu viele Zahlungen von dir auf Bestätigung.")
        return
    nr = db.execute("INSERT INTO zahlungen (nr, cent) VALUES (?, ?)", (wer["nr"], cent)).lastrowid
    knoepfe = tasten([("Bestätigen", f"zahlung:ja:{nr}"), ("Ablehnen", f"zahlung:nein:{nr}")])
    for warte in kassenwarte():
        nebenher(bot, warte, f"{wer['name']} meldet Zahlung {nr} über {euro(cent)}.", knoepfe)
    await sagen(bot, message.chat.id, f"Zahlung {nr} über {euro(cent)} ist gemeldet.")


def strichliste(nr: int) -> str:
    zeilen = db.execute("SELECT was, anzahl FROM striche WHERE nr = ? ORDER BY was", (nr,)).fetchall()
    summe = sum(PREISE[zeile["was"]] * zeile["anzahl"] for zeile in zeilen)
    return ", ".join([*(f"{zeile['anzahl']}× {zeile['was'].title()}" for zeile in zeilen), euro(summe)])


@allgemein.message(befehl("strich"))
async def strich(message: Message, bot: Bot) -> None:
    knoepfe = tasten([(f"{was.title()} {euro(cent)}", f"strich:{was}") for was, cent in PREISE.items()])
    await sagen(bot, message.chat.id, "Was hast du getrunken?", knoepfe)


@allgemein.callback_query(F.data.regexp(r"^strich:(wasser|bier)$"))
async def strich_machen(cb: CallbackQuery, bot: Bot, wer: sqlite3.Row) -> None:
    await quittieren(cb)
    was = cb.data.partition(":")[2]
    db.execute("INSERT INTO striche VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET anzahl = anzahl + 1", (wer["nr"], was))
    await sagen(bot, chat_von(cb), f"{wer['name']}: ein {was.title()} angeschrieben. Stand: {strichliste(wer['nr'])}")


# ---------------------------------------------------------------- Auslagen


@allgemein.message(befehl("auslage"))
async def auslage(message: Message, bot: Bot, state: FSMContext) -> None:
    await state.set_state(Auslage.betrag)
    await state.set_data({})
    await sagen(bot, message.chat.id, "Wie viel hast du ausgelegt? (zum Beispiel 12,50)")


@allgemein.message(befehl("auslagen"))
async def auslagen(message: Message, bot: Bot, wer: sqlite3.Row) -> None:
    zeilen = db.execute("SELECT * FROM auslagen WHERE nr = ? ORDER BY id DESC LIMIT 15", (wer["nr"],))
    liste = [f"{z['id']}: {euro(z['cent'])} für {z['zweck']} ({z['status']})" for z in zeilen]
    await sagen(bot, message.chat.id, "\n".join(liste) or "Du hast keine Auslagen.")


@allgemein.message(befehl("beleg"))
async def beleg(message: Message, bot: Bot, command: CommandObject, wer: sqlite3.Row) -> None:
    eins = eine("SELECT * FROM auslagen WHERE id = ?", nummer(command.args))
    if eins is None or (eins["nr"] != wer["nr"] and wer["rolle"] == "mitglied"):
        await sagen(bot, message.chat.id, "Du hast keine solche Auslage. So geht es: /beleg Nummer")
        return
    text = f"Auslage {eins['id']}: {euro(eins['cent'])} für {eins['zweck']} ({eins['status']})"
    if eins["foto"]:
        await sagen(bot, message.chat.id, text, foto=eins["foto"])
    else:
        await sagen(bot, message.chat.id, f"{text}, ohne Beleg")


@allgemein.message(befehl("zurueckziehen"))
async def zurueckziehen(message: Message, bot: Bot, command: CommandObject, wer: sqlite3.Row) -> None:
    welche = nummer(command.args)
    weg = db.execute(
        "UPDATE auslagen SET status = 'zurückgezogen' WHERE id = ? AND nr = ? AND status = 'offen'", (welche, wer["nr"])
    ).rowcount
    await sagen(
        bot, message.chat.id, f"Auslage {welche} ist zurückgezogen." if weg else "Du hast keine solche offene Auslage."
    )


@allgemein.message(Auslage.betrag, F.text, ~F.text.startswith("/"))
async def auslage_betrag(message: Message, bot: Bot, state: FSMContext) -> None:
    cent = in_cent(message.text)
    if cent is None:
        await sagen(bot, message.chat.id, "Das ist kein Betrag. Bitte so: 12,50")
        return
    await state.update_data(cent=cent)
    await state.set_state(Auslage.zweck)
    await sagen(bot, message.chat.id, f"{euro(cent)}. Wofür war das?")


@allgemein.message(Auslage.zweck, F.text, ~F.text.startswith("/"))
async def auslage_zweck(message: Message, bot: Bot, state: FSMContext) -> None:
    zweck = sauber(message.text, 150)
    if not zweck:
        await sagen(bot, message.chat.id, "Bitte mit Worten: Wofür war das?")
        return
    await state.update_data(zweck=zweck)
    await state.set_state(Auslage.beleg)
    await sagen(bot, message.chat.id, "Schick mir ein Foto vom Beleg, oder schreib: ohne")


@allgemein.message(Auslage.beleg, F.photo | F.document | (F.text.casefold() == "ohne"))
async def auslage_beleg(message: Message, bot: Bot, state: FSMContext) -> None:
    if message.document:
        await sagen(bot, message.chat.id, "Bitte als Foto, nicht als Datei.")
        return
    daten = await state.update_data(foto=message.photo[-1].file_id[:200] if message.photo else "")
    await state.set_state(Auslage.pruefen)
    wer = message.from_user.id
    knoepfe = tasten([("Einreichen", f"einreichen:{wer}"), ("Verwerfen", f"verwerfen:{wer}")])
    mit = "mit Beleg" if daten["foto"] else "ohne Beleg"
    await sagen(bot, message.chat.id, f"{euro(daten['cent'])} für {daten['zweck']}, {mit}. Einreichen?", knoepfe)


@allgemein.message(StateFilter(Auslage), ~F.text.startswith("/"))
async def auslage_anders(message: Message, bot: Bot) -> None:
    await sagen(bot, message.chat.id, "Das passt hier nicht. Antworte auf die letzte Frage, oder /abbrechen.")


@allgemein.callback_query(F.data.regexp(r"^(einreichen|verwerfen):"))
async def einreichen(cb: CallbackQuery, bot: Bot, state: FSMContext, wer: sqlite3.Row) -> None:
    was, _, wessen = cb.data.partition(":")
    if wessen != str(cb.from_user.id):
        await quittieren(cb, "Das ist nicht deine Auslage.")
        return
    daten, stand = await state.get_data(), await state.get_state()
    await state.clear()
    await quittieren(cb)
    if stand != Auslage.pruefen.state:
        await sagen(bot, chat_von(cb), "Hier ist nichts einzureichen. Beginne mit /auslage.")
        return
    if was == "verwerfen":
        await neu_zeichnen(cb, "Verworfen.")
        return
    if eine("SELECT count(*) AS n FROM auslagen WHERE nr = ? AND status = 'offen'", wer["nr"])["n"] >= 20:
        await sagen(bot, chat_von(cb), "Du hast schon zu viele offene Auslagen.")
        return
    nr = db.execute(
        "INSERT INTO auslagen (nr, cent, zweck, foto) VALUES (?, ?, ?, ?)",
        (wer["nr"], daten["cent"], daten["zweck"], daten["foto"]),
    ).lastrowid
    knoepfe = tasten([("Genehmigen", f"auslage:ja:{nr}"), ("Ablehnen", f"auslage:nein:{nr}")])
    for warte in kassenwarte():
        nebenher(bot, warte, f"Auslage {nr} von {wer['name']}: {euro(daten['cent'])} für {daten['zweck']}", knoepfe)
    await neu_zeichnen(cb, f"Auslage {nr} ist eingereicht.")


# ---------------------------------------------------------------- Umfragen


def ergebnis(umfrage: sqlite3.Row) -> str:
    gezaehlt = dict.fromkeys(WAHL, 0)
    for zeile in db.execute("SELECT wahl FROM stimmen WHERE umfrage = ?", (umfrage["id"],)):
        gezaehlt[zeile["wahl"]] += 1
    stand = " · ".join(f"{WAHL[wahl]} {zahl}" for wahl, zahl in gezaehlt.items())
    return f"Umfrage {umfrage['id']}: {umfrage['frage']}\n{stand}"


def stimmzettel(umfrage: int) -> InlineKeyboardMarkup:
    return tasten([(text, f"stimme:{wahl}:{umfrage}") for wahl, text in WAHL.items()])


@allgemein.message(befehl("umfrage"))
async def umfrage_neu(message: Message, bot: Bot, command: CommandObject, wer: sqlite3.Row) -> None:
    frage = sauber(command.args, 200)
    if not frage:
        await sagen(bot, message.chat.id, "So geht es: /umfrage Kaufen wir neue Bälle?")
        return
    nr = db.execute("INSERT INTO umfragen (nr, frage) VALUES (?, ?)", (wer["nr"], frage)).lastrowid
    db.execute("DELETE FROM umfragen WHERE id <= ?", (nr - 500,))
    db.execute("DELETE FROM stimmen WHERE umfrage <= ?", (nr - 500,))
    await sagen(bot, message.chat.id, ergebnis(eine("SELECT * FROM umfragen WHERE id = ?", nr)), stimmzettel(nr))


@allgemein.message(befehl("umfragen"))
async def umfragen(message: Message, bot: Bot) -> None:
    zeilen = db.execute("SELECT * FROM umfragen ORDER BY id DESC LIMIT 8").fetchall()
    knoepfe = tasten(
        *([(f"{text} ({z['id']})", f"stimme:{wahl}:{z['id']}") for wahl, text in WAHL.items()] for z in zeilen)
    )
    await sagen(
        bot, message.chat.id, "\n".join(map(ergebnis, zeilen)) or "Es gibt keine Umfragen.", knoepfe if zeilen else None
    )


@allgemein.callback_query(F.data.regexp(r"^stimme:(ja|nein|enth):[0-9]{1,9}$"))
async def abstimmen(cb: CallbackQuery, bot: Bot, wer: sqlite3.Row) -> None:
    _, wahl, nr = cb.data.split(":")
    umfrage = eine("SELECT * FROM umfragen WHERE id = ?", int(nr))
    if umfrage is None:
        await quittieren(cb, "Diese Umfrage gibt es nicht mehr.")
        return
    if BUG == "stimmen-verloren":
        stimmen = {zeile["nr"]: zeile["wahl"] for zeile in db.execute("SELECT * FROM stimmen WHERE umfrage = ?", (nr,))}
        await quittieren(cb)
        stimmen[wer["nr"]] = wahl
        db.execute("DELETE FROM stimmen WHERE umfrage = ?", (nr,))
        db.executemany("INSERT INTO stimmen VALUES (?, ?, ?)", [(int(nr), *eins) for eins in stimmen.items()])
    else:
        await quittieren(cb)
        db.execute("INSERT OR REPLACE INTO stimmen VALUES (?, ?, ?)", (int(nr), wer["nr"], wahl))
    await neu_zeichnen(cb, ergebnis(umfrage), stimmzettel(int(nr)))


# ---------------------------------------------------------------- Kassenwart


@kasse.message(befehl("offen"))
async def offen(message: Message, bot: Bot) -> None:
    zeilen, knoepfe = ["Zu entscheiden:"], []
    for art, tabelle, zweck in (("auslage", "auslagen", "t.zweck"), ("zahlung", "zahlungen", "'Beitrag'")):
        frage = f"SELECT t.id, t.cent, {zweck} AS zweck, m.name FROM {tabelle} t JOIN mitglieder m USING (nr) WHERE t.status = 'offen' LIMIT 8"
        for z in db.execute(frage).fetchall():
            zeilen.append(f"{art.title()} {z['id']}, {z['name']}: {euro(z['cent'])}, {z['zweck']}")
            ja, nein = f"{art}:ja:{z['id']}", f"{art}:nein:{z['id']}"
            knoepfe.append([(f"{art.title()} {z['id']} ✓", ja), (f"{art.title()} {z['id']} ✗", nein)])
    await sagen(bot, message.chat.id, "\n".join(zeilen), tasten(*knoepfe) if knoepfe else None)


@kasse.callback_query(F.data.regexp(r"^(auslage|zahlung):(ja|nein):[0-9]{1,9}$"))
async def entscheiden(cb: CallbackQuery, bot: Bot, wer: sqlite3.Row) -> None:
    art, wie, nr = cb.data.split(":")
    await quittieren(cb)
    if art == "auslage":
        status, tabelle = ("genehmigt" if wie == "ja" else "abgelehnt"), "auslagen"
    else:
        status, tabelle = ("bestätigt" if wie == "ja" else "abgelehnt"), "zahlungen"
    eins = eine(f"SELECT t.*, m.tg FROM {tabelle} t JOIN mitglieder m USING (nr) WHERE t.id = ?", int(nr))
    neu = db.execute(f"UPDATE {tabelle} SET status = ? WHERE id = ? AND status = 'offen'", (status, int(nr))).rowcount
    if not neu:
        await sagen(bot, chat_von(cb), f"{art.title()} {nr} ist nicht (mehr) offen.")
        return
    text = f"{art.title()} {nr} über {euro(eins['cent'])} wurde von {wer['name']} {status}."
    if eins["tg"] != chat_von(cb):
        nebenher(bot, eins["tg"], text)
    await neu_zeichnen(cb, text)


@kasse.message(befehl("mitglieder"))
async def mitglieder(message: Message, bot: Bot) -> None:
    zahl = eine("SELECT count(*) AS n FROM mitglieder")["n"]
    zeilen = db.execute("SELECT * FROM mitglieder ORDER BY rolle = 'mitglied', nr DESC LIMIT 25")
    liste = [f"Nr. {z['nr']} {z['name']} ({z['tg']}), {z['rolle']}" for z in zeilen]
    await sagen(bot, message.chat.id, "\n".join([f"{zahl} Mitglieder", *liste]))


@kasse.message(befehl("rundruf"))
async def rundruf(message: Message, bot: Bot, command: CommandObject, wer: sqlite3.Row) -> None:
    text = sauber(command.args, 1000)
    if not text:
        await sagen(bot, message.chat.id, "So geht es: /rundruf Text")
        return
    an = [
        z["tg"] for z in db.execute("SELECT tg FROM mitglieder WHERE nr != ? ORDER BY nr DESC LIMIT 500", (wer["nr"],))
    ]
    for einer in an:
        nebenher(bot, einer, f"Rundruf von {wer['name']}: {text}")
    await sagen(bot, message.chat.id, f"Der Rundruf geht an {len(an)} Mitglieder.")


@kasse.message(befehl("vertretung"))
async def vertretung(message: Message, bot: Bot, command: CommandObject, wer: sqlite3.Row) -> None:
    if wer["rolle"] != "kassenwart":
        await sagen(bot, message.chat.id, "Das darf nur der Kassenwart selbst.")
        return
    if (command.args or "").strip().lower() == "aus":
        db.execute("UPDATE mitglieder SET rolle = 'mitglied' WHERE rolle = 'vertretung'")
        await sagen(bot, message.chat.id, "Es gibt keine Vertretung mehr.")
        return
    wen = eine("SELECT * FROM mitglieder WHERE tg = ? AND rolle != 'kassenwart'", nummer(command.args))
    if wen is None:
        await sagen(bot, message.chat.id, "So geht es: /vertretung und die Telegram-Nummer aus /mitglieder, oder aus")
        return
    db.execute(
        "UPDATE mitglieder SET rolle = CASE nr WHEN ? THEN 'vertretung' ELSE 'mitglied' END WHERE rolle != 'kassenwart'",
        (wen["nr"],),
    )
    nebenher(bot, wen["tg"], "Du vertrittst jetzt den Kassenwart.")
    await sagen(bot, message.chat.id, f"{wen['name']} vertritt dich jetzt.")


# ---------------------------------------------------------------- der Rest


@rest.message(befehl("offen", "mitglieder", "rundruf", "vertretung"))
async def verwehrt(message: Message, bot: Bot) -> None:
    await sagen(bot, message.chat.id, "Das darf nur der Kassenwart.")


@rest.message(F.chat.type == "private")
async def unverstanden(message: Message, bot: Bot) -> None:
    await sagen(bot, message.chat.id, "Das verstehe ich nicht. /hilfe zeigt, was ich kann.")


@rest.callback_query()
async def knopf_verwehrt(cb: CallbackQuery) -> None:
    fuer_kasse = (cb.data or "").startswith(("auslage:", "zahlung:"))
    await quittieren(cb, "Das darf nur der Kassenwart." if fuer_kasse else "Dieser Knopf gilt nicht mehr.")


# ---------------------------------------------------------------- Webhook


class Annahme:
    """Nimmt Updates an und lässt sie der Reihe nach bearbeiten."""

    def __init__(self, bot: Bot, dp: Dispatcher) -> None:
        self.bot, self.dp = bot, dp
        self.schlangen: dict[int, deque[Update]] = {}
        self.wartend = 0
        self.arbeiter: set[asyncio.Task] = set()

    def echt(self, anfrage: web.Request) -> bool:
        gegeben = anfrage.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        return hmac.compare_digest(gegeben.encode("utf-8", "surrogateescape"), SECRET.encode())

    def neu(self, update: Update) -> bool:
        """Ob das Update noch nicht da war; danach war es da."""
        schluessel = str(update.update_id)
        if BUG == "knopf-doppelt":
            if update.message is None:
                return True
            schluessel = f"{update.message.chat.id}/{update.message.message_id}"
        eingefuegt = db.execute("INSERT OR IGNORE INTO gesehen (schluessel) VALUES (?)", (schluessel,))
        if eingefuegt.rowcount:
            db.execute("DELETE FROM gesehen WHERE lfd <= ?", (eingefuegt.lastrowid - GESEHEN,))
        return bool(eingefuegt.rowcount)

    async def __call__(self, anfrage: web.Request) -> web.Response:
        erst_pruefen = BUG != "erst-gemerkt"
        if erst_pruefen and not self.echt(anfrage):
            return web.Response(status=401)
        try:
            daten = json.loads(await anfrage.read())
            if not isinstance(daten, dict) or not gueltig(daten.get("update_id")):
                return web.Response(status=400)
            if not (isinstance(daten.get("message"), dict) or isinstance(daten.get("callback_query"), dict)):
                gemeint = daten.keys() & {"message", "callback_query"}
                return web.Response(status=400 if gemeint else 200)
            update = Update.model_validate(ohne_halbe(daten), context={"bot": self.bot})
        except web.HTTPException:
            raise
        except (ValueError, RecursionError, ValidationError):
            return web.Response(status=400)
        if update.message:
            schlange, ids = (
                update.message.chat.id,
                [update.message.chat.id, update.message.from_user and update.message.from_user.id],
            )
        else:
            schlange, ids = update.callback_query.from_user.id, [update.callback_query.from_user.id]
        if not all(eins is None or gueltig(abs(eins)) for eins in ids):
            return web.Response(status=400)
        if self.wartend >= WARTENDE or len(self.schlangen.get(schlange, ())) >= WARTENDE_JE_CHAT:
            return web.Response(status=503, headers={"Retry-After": "2"})
        if not self.neu(update):
            return web.Response()
        if not erst_pruefen and not self.echt(anfrage):
            return web.Response(status=401)
        self.einreihen(schlange, update)
        return web.Response()

    def einreihen(self, schlange: int, update: Update) -> None:
        self.wartend += 1
        if schlange in self.schlangen:
            self.schlangen[schlange].append(update)
            return
        self.schlangen[schlange] = deque([update])
        aufgabe = asyncio.get_running_loop().create_task(self.abarbeiten(schlange))
        self.arbeiter.add(aufgabe)
        aufgabe.add_done_callback(self.arbeiter.discard)

    async def abarbeiten(self, schlange: int) -> None:
        while self.schlangen[schlange]:
            update = self.schlangen[schlange].popleft()
            self.wartend -= 1
            try:
                await self.bearbeiten(update)
            except Exception:
                log.exception("Update %s", update.update_id)
        del self.schlangen[schlange]

    async def bearbeiten(self, update: Update) -> None:
        nachricht = update.message
        if nachricht and nachricht.migrate_to_chat_id:
            geduld.umziehen(nachricht.chat.id, nachricht.migrate_to_chat_id)
            return
        if nachricht and nachricht.from_user is None:
            return
        if nachricht and (nachricht.sender_chat or nachricht.from_user.is_bot):
            if (nachricht.text or "").startswith("/"):
                await sagen(self.bot, nachricht.chat.id, "Bitte schreib als du selbst, nicht anonym.")
            return
        await self.dp.feed_update(self.bot, update)
        while len(self.dp.storage.storage) > GESPRAECHE:
            del self.dp.storage.storage[next(iter(self.dp.storage.storage))]


def gueltig(zahl: object) -> bool:
    return isinstance(zahl, int) and not isinstance(zahl, bool) and 0 <= zahl < 1 << 53


async def main() -> None:
    sitzung = Sitzung(api=TelegramAPIServer.from_base(API), timeout=8, limit=500)
    sitzung.middleware(geduld)
    bot = Bot(TOKEN, session=sitzung)
    strategie = FSMStrategy.GLOBAL_USER if BUG == "zustand-ueberall" else FSMStrategy.USER_IN_CHAT
    dp = Dispatcher(storage=MemoryStorage(), fsm_strategy=strategie)
    for router in (allgemein, kasse, rest):
        router.message.middleware(Bekannt())
        router.callback_query.middleware(Bekannt())
    dp.include_routers(allgemein, kasse, rest)
    app = web.Application(client_max_size=GROESSTER_KOERPER)
    app.router.add_post(PFAD, Annahme(bot, dp))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT).start()
    log.info("bereit seit %s", time.strftime("%H:%M"))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
