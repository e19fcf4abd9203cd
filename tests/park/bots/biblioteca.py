"""Biblioteca di quartiere: catalogo, prenotazioni e prestiti su Telegram (aiogram 3, webhook con aiohttp, SQLite).

Ogni aggiornamento finisce prima nella tabella `arrivi`, poi si risponde 200; un lavoratore per chat li tratta in ordine.
"""

import asyncio
import hmac
import json
import logging
import os
import sqlite3
import tempfile
from collections import OrderedDict
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import BaseFilter, Command, CommandObject, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import BaseStorage
from aiogram.fsm.strategy import FSMStrategy
from aiogram.methods import SendMessage
from aiogram.types import CallbackQuery, ErrorEvent, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update
from aiohttp import web
from pydantic import ValidationError

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
ADMIN_ID = int(os.environ["ADMIN_ID"])
GIORNI, MASSIMO = 30, 5
log = logging.getLogger("biblioteca")

SCHEMA = """
CREATE TABLE IF NOT EXISTS arrivi (seq INTEGER PRIMARY KEY AUTOINCREMENT, update_id INTEGER, chat INTEGER, corpo TEXT, fatto INTEGER DEFAULT 0, prove INTEGER DEFAULT 0);
CREATE INDEX IF NOT EXISTS arrivi_id ON arrivi(update_id);
CREATE INDEX IF NOT EXISTS arrivi_chat ON arrivi(chat, fatto, seq);
CREATE TABLE IF NOT EXISTS lettori (id INTEGER PRIMARY KEY, nome TEXT);
CREATE TABLE IF NOT EXISTS libri (id INTEGER PRIMARY KEY AUTOINCREMENT, titolo TEXT, autore TEXT, copie INTEGER);
CREATE TABLE IF NOT EXISTS prenotazioni (id INTEGER PRIMARY KEY AUTOINCREMENT, libro INTEGER, lettore INTEGER);
CREATE TABLE IF NOT EXISTS prestiti (id INTEGER PRIMARY KEY AUTOINCREMENT, libro INTEGER, lettore INTEGER, scade TEXT, rinnovi INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS proposte (id INTEGER PRIMARY KEY AUTOINCREMENT, lettore INTEGER, titolo TEXT, autore TEXT, stato TEXT DEFAULT 'aperta');
"""


def apri() -> sqlite3.Connection:
    percorso = os.environ.get("DB_PATH")
    provvisorio = not percorso
    if provvisorio:
        maniglia, percorso = tempfile.mkstemp(prefix="biblioteca-", suffix=".sqlite3")
        os.close(maniglia)
    conn = sqlite3.connect(percorso, isolation_level=None)
    conn.row_factory = sqlite3.Row
    conn.execute(f"PRAGMA journal_mode={'MEMORY' if provvisorio else 'WAL'}")
    conn.executescript(SCHEMA)
    if not conn.execute("SELECT 1 FROM libri").fetchone():
        libri = [
            ("Il barone rampante", "Italo Calvino", 3),
            ("La Storia", "Elsa Morante", 1),
            ("Se questo è un uomo", "Primo Levi", 2),
        ]
        conn.executemany("INSERT INTO libri(titolo,autore,copie) VALUES(?,?,?)", libri)
    if provvisorio:
        Path(percorso).unlink()
    return conn


db = apri()


@contextmanager
def transazione():
    """Dentro non si aspetta mai niente: nessun altro può mettersi in mezzo."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def uno(sql, *valori):
    return db.execute(sql, valori).fetchone()


def tutti(sql, *valori):
    return db.execute(sql, valori).fetchall()


# ------------------------------------------------------------------ verso Telegram


class Tenace(BaseRequestMiddleware):
    """Riprova con pause crescenti quel che può riuscire, rispetta retry_after, segue i gruppi che cambiano numero."""

    def __init__(self):
        self.mancate: OrderedDict = OrderedDict()

    async def __call__(self, make_request, bot, method):
        prove = attese = traslochi = 0
        if isinstance(method, SendMessage) and self.mancate.pop(method.chat_id, None):
            method.text = f"(Un mio messaggio è andato perso: se manca qualcosa, riprova.)\n\n{method.text}"[:4096]
        while True:
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as errore:
                attese += 1
                pausa, ultimo = max(errore.retry_after, 1), errore
            except TelegramMigrateToChat as errore:
                traslochi += 1
                if traslochi > 2:
                    raise
                method = method.model_copy(update={"chat_id": errore.migrate_to_chat_id})
                continue
            except ClientDecodeError as errore:
                if isinstance(errore.data, dict) and errore.data.get("ok"):
                    return None  # arrivato, anche se non si capisce la ricevuta
                prove += 1
                pausa, ultimo = min(0.5 * 2 ** (prove - 1), 5), errore
            except (TelegramNetworkError, TelegramServerError) as errore:
                prove += 1
                pausa, ultimo = min(0.5 * 2 ** (prove - 1), 5), errore
            if prove >= 8 or attese >= 5:
                if isinstance(method, SendMessage):
                    self.mancate[method.chat_id] = True
                    while len(self.mancate) > 5000:
                        self.mancate.popitem(last=False)
                raise ultimo
            await asyncio.sleep(pausa)


class Memoria(BaseStorage):
    """Le conversazioni in corso, al massimo mille: la più vecchia cade."""

    def __init__(self):
        self.righe: OrderedDict = OrderedDict()

    def _scrivi(self, key, stato, dati):
        self.righe.pop(key, None)
        if stato is not None or dati:
            self.righe[key] = (stato, dati)
            while len(self.righe) > 1000:
                self.righe.popitem(last=False)

    async def set_state(self, key, state=None):
        self._scrivi(key, state.state if isinstance(state, State) else state, self.righe.get(key, (None, {}))[1])

    async def get_state(self, key):
        return self.righe.get(key, (None, {}))[0]

    async def set_data(self, key, data):
        self._scrivi(key, self.righe.get(key, (None, {}))[0], dict(data))

    async def get_data(self, key):
        return dict(self.righe.get(key, (None, {}))[1])

    async def close(self):
        self.righe.clear()


class Proposta(StatesGroup):
    titolo = State()
    autore = State()
    conferma = State()


sessione = AiohttpSession(
    api=TelegramAPIServer.from_base(os.environ.get("BOT_API", "https://api.telegram.org")),
    timeout=0 if BUG == "timeout-zero" else 6,
    limit=0,
)
sessione.middleware(Tenace())
bot = Bot(os.environ["BOT_TOKEN"], session=sessione)
dp = Dispatcher(storage=Memoria(), fsm_strategy=FSMStrategy.CHAT if BUG == "fsm-chat" else FSMStrategy.USER_IN_CHAT)
pubblico, riservato = Router(), Router()
dp.include_routers(riservato, pubblico)


def lettore_di(message: Message):
    """Di chi si parla: chi ha scritto il messaggio a cui si risponde, altrimenti chi scrive."""
    risposta = message.reply_to_message
    return risposta.from_user if risposta and risposta.from_user else message.from_user


class Bibliotecario(BaseFilter):
    async def __call__(self, message: Message) -> bool:
        chi = lettore_di(message) if BUG == "reply-is-sender" else message.from_user
        return chi is not None and chi.id == ADMIN_ID


def comando(nome: str, *altri: str) -> Command:
    return Command(nome, *altri, ignore_case=True, ignore_mention=True)


def numero(testo: str | None) -> int | None:
    parola = (testo or "").split()[:1]
    if BUG == "isdigit":
        return int(parola[0]) if parola and parola[0].isdigit() else None
    if not parola or not parola[0].isdecimal() or len(parola[0]) > 12:
        return None
    return int(parola[0])


def tasti(*coppie: tuple[str, str]) -> InlineKeyboardMarkup | None:
    righe = [[InlineKeyboardButton(text=testo[:60], callback_data=dati)] for testo, dati in coppie[:30]]
    return InlineKeyboardMarkup(inline_keyboard=righe) if righe else None


def libere(libro: int) -> int:
    riga = uno(
        "SELECT copie - (SELECT count(*) FROM prenotazioni WHERE libro=l.id) - (SELECT count(*) FROM prestiti WHERE libro=l.id)"
        " AS n FROM libri l WHERE id=?",
        libro,
    )
    return riga["n"] if riga else 0


async def chiudi(query: CallbackQuery, testo: str) -> None:
    """Risponde al tasto e scrive nella chat; in mancanza, alla persona."""
    with suppress(AiogramError):  # un tasto vecchio non si può più chiudere
        await query.answer()
    await bot.send_message(query.message.chat.id if query.message else query.from_user.id, testo)


async def diffondi(persone: list[tuple[int, str]]) -> tuple[int, int]:
    """Scrive a molti, nessuno aspetta l'altro; quanti sì e quanti no."""
    if BUG == "fan-out-stops":
        for chi, testo in persone:
            await bot.send_message(chi, testo)
        return len(persone), 0
    esiti = await asyncio.gather(*(bot.send_message(chi, testo) for chi, testo in persone), return_exceptions=True)
    falliti = sum(isinstance(esito, BaseException) for esito in esiti)
    return len(esiti) - falliti, falliti


in_corso: set[asyncio.Task] = set()


def in_fondo(coro) -> None:
    async def protetto():
        try:
            await coro
        except Exception as errore:
            log.warning("in fondo: %s", type(errore).__name__)

    compito = asyncio.create_task(protetto())
    in_corso.add(compito)
    compito.add_done_callback(in_corso.discard)


# ------------------------------------------------------------------ per tutti


@pubblico.message(comando("start", "aiuto", "help"))
async def aiuto(message: Message):
    testo = (
        "Ciao! Comandi: /catalogo, /cerca testo, /libro numero, /prenota numero, /disdici numero, /prenotazioni, /prestiti, "
        "/rinnova numero, /proponi, /annulla, /aiuto"
    )
    if message.from_user and message.from_user.id == ADMIN_ID:
        testo += (
            "\nBibliotecario: /aggiungi copie titolo; autore, /consegna prenotazione, /presta libro (rispondendo al lettore), "
            "/rientro prestito, /sollecita giorni, /proposte, /lettori, /avviso testo"
        )
    await message.answer(testo)


def elenco(righe) -> str:
    return "\n".join(
        f"{r['id']}. {r['titolo']}, {r['autore']} ({max(libere(r['id']), 0)} di {r['copie']} libere)" for r in righe
    )


@pubblico.message(comando("catalogo"))
async def catalogo(message: Message, command: CommandObject):
    pagina = numero(command.args) or 1
    righe = tutti("SELECT * FROM libri ORDER BY id LIMIT 15 OFFSET ?", (pagina - 1) * 15)
    await message.answer(
        elenco(righe) or "Qui non c'è niente.",
        reply_markup=tasti(*((f"Prenota {r['titolo']}", f"pren:{r['id']}") for r in righe)),
    )


@pubblico.message(comando("cerca"))
async def cerca(message: Message, command: CommandObject):
    parola = (command.args or "").strip()[:60]
    if not parola:
        return await message.answer("Che cosa cerco? /cerca testo")
    righe = tutti("SELECT * FROM libri WHERE instr(lower(titolo || ' ' || autore), lower(?)) LIMIT 15", parola)
    await message.answer(elenco(righe) or f"Niente per «{parola}».")


@pubblico.message(comando("libro"))
async def libro(message: Message, command: CommandObject):
    n = numero(command.args)
    riga = n and uno("SELECT * FROM libri WHERE id=?", n)
    if not riga:
        return await message.answer("Non conosco quel libro; vedi /catalogo.")
    await message.answer(elenco([riga]), reply_markup=tasti(("Prenota", f"pren:{riga['id']}")))


async def prenota_libro(chi, n: int | None) -> str:
    riga = n and uno("SELECT * FROM libri WHERE id=?", n)
    if not riga:
        return "Non conosco quel libro; vedi /catalogo."
    with transazione():
        if uno("SELECT 1 FROM prenotazioni WHERE libro=? AND lettore=?", n, chi.id):
            return f"«{riga['titolo']}» è già prenotato per te."
        if uno("SELECT count(*) AS n FROM prenotazioni WHERE lettore=?", chi.id)["n"] >= MASSIMO:
            return f"Hai già {MASSIMO} prenotazioni."
        if libere(n) <= 0:
            return f"«{riga['titolo']}» non ha copie libere."
        nuova = db.execute("INSERT INTO prenotazioni(libro,lettore) VALUES(?,?)", (n, chi.id)).lastrowid
        db.execute("INSERT OR REPLACE INTO lettori VALUES(?,?)", (chi.id, chi.first_name[:40]))
    in_fondo(bot.send_message(ADMIN_ID, f"Prenotazione {nuova}: «{riga['titolo']}» per {chi.first_name[:40]}"))
    return f"Prenotazione {nuova}: «{riga['titolo']}» ti aspetta."


@pubblico.message(comando("prenota"), F.from_user)
async def prenota(message: Message, command: CommandObject):
    await message.answer(await prenota_libro(message.from_user, numero(command.args)))


@pubblico.callback_query(F.data.startswith("pren:"))
async def prenota_tasto(query: CallbackQuery):
    await chiudi(query, await prenota_libro(query.from_user, numero(query.data[5:])))


@pubblico.message(comando("prenotazioni"), F.from_user)
async def prenotazioni(message: Message):
    righe = tutti(
        "SELECT p.id, l.titolo FROM prenotazioni p JOIN libri l ON l.id=p.libro WHERE lettore=?", message.from_user.id
    )
    await message.answer("\n".join(f"{r['id']}. {r['titolo']}" for r in righe) or "Nessuna prenotazione.")


@pubblico.message(comando("disdici"), F.from_user)
async def disdici(message: Message, command: CommandObject):
    n = numero(command.args)
    with transazione():
        via = n and db.execute("DELETE FROM prenotazioni WHERE id=? AND lettore=?", (n, message.from_user.id)).rowcount
    await message.answer(f"Prenotazione {n} disdetta." if via else "Non hai quella prenotazione.")


@pubblico.message(comando("prestiti"), F.from_user)
async def prestiti(message: Message):
    righe = tutti(
        "SELECT p.*, l.titolo FROM prestiti p JOIN libri l ON l.id=p.libro WHERE lettore=?", message.from_user.id
    )
    await message.answer(
        "\n".join(f"{r['id']}. {r['titolo']}, entro il {r['scade']}" for r in righe) or "Nessun prestito.",
        reply_markup=tasti(*((f"Rinnova {r['titolo']}", f"rin:{r['id']}") for r in righe)),
    )


def rinnova_prestito(chi: int, n: int | None, *, dal_tasto: bool) -> str:
    with transazione():
        riga = n and uno("SELECT * FROM prestiti WHERE id=?", n)
        if not riga or (riga["lettore"] != chi and not (BUG == "renew-any" and dal_tasto)):
            return "Non hai quel prestito; vedi /prestiti."
        if riga["rinnovi"] >= 2:
            return "Già rinnovato due volte."
        scade = str(date.fromisoformat(riga["scade"]) + timedelta(days=GIORNI))
        db.execute("UPDATE prestiti SET scade=?, rinnovi=rinnovi+1 WHERE id=?", (scade, n))
    return f"Prestito {n} rinnovato fino al {scade}."


@pubblico.message(comando("rinnova"), F.from_user)
async def rinnova(message: Message, command: CommandObject):
    await message.answer(rinnova_prestito(message.from_user.id, numero(command.args), dal_tasto=False))


@pubblico.callback_query(F.data.startswith("rin:"))
async def rinnova_tasto(query: CallbackQuery):
    await chiudi(query, rinnova_prestito(query.from_user.id, numero(query.data[4:]), dal_tasto=True))


@pubblico.message(comando("annulla"))
async def annulla(message: Message, state: FSMContext):
    await state.clear()
    await message.answer("Annullato.")


@pubblico.message(comando("proponi"), F.from_user)
async def proponi(message: Message, state: FSMContext):
    await state.set_state(Proposta.titolo)
    await message.answer("Che libro manca? Scrivi il titolo, o /annulla.")


@pubblico.message(StateFilter(Proposta.titolo), F.text, ~F.text.startswith("/"))
async def proponi_titolo(message: Message, state: FSMContext):
    await state.update_data(titolo=message.text[:100])
    await state.set_state(Proposta.autore)
    await message.answer(f"«{message.text[:100]}». E l'autore?")


@pubblico.message(StateFilter(Proposta.autore), F.text, ~F.text.startswith("/"))
async def proponi_autore(message: Message, state: FSMContext):
    dati = await state.update_data(autore=message.text[:100])
    await state.set_state(Proposta.conferma)
    await message.answer(f"Propongo «{dati.get('titolo')}» di {dati['autore']}? Rispondi sì o no.")


@pubblico.message(StateFilter(Proposta.conferma), F.text, ~F.text.startswith("/"))
async def proponi_conferma(message: Message, state: FSMContext):
    dati = await state.get_data()
    await state.clear()
    if message.text.strip().lower() not in ("sì", "si", "s", "ok"):
        return await message.answer("Va bene, niente proposta.")
    with transazione():
        if uno("SELECT count(*) AS n FROM proposte WHERE lettore=?", message.from_user.id)["n"] >= 30:
            nuova = None
        else:
            nuova = db.execute(
                "INSERT INTO proposte(lettore,titolo,autore) VALUES(?,?,?)",
                (message.from_user.id, dati.get("titolo"), dati.get("autore")),
            ).lastrowid
    if nuova is None:
        return await message.answer("Hai già fatto trenta proposte, grazie!")
    in_fondo(
        bot.send_message(
            ADMIN_ID,
            f"Proposta {nuova}: «{dati.get('titolo')}» di {dati.get('autore')}",
            reply_markup=tasti(("Accetta", f"acc:{nuova}"), ("Rifiuta", f"rif:{nuova}")),
        )
    )
    await message.answer(f"Proposta {nuova} inviata: «{dati.get('titolo')}» di {dati.get('autore')}.")


# ------------------------------------------------------------------ per il bibliotecario

riservato.message.filter(Bibliotecario())
riservato.callback_query.filter(F.from_user.id == ADMIN_ID)


@riservato.message(comando("aggiungi"))
async def aggiungi(message: Message, command: CommandObject):
    copie, _, resto = (command.args or "").partition(" ")
    titolo, _, autore = resto.partition(";")
    if not numero(copie) or numero(copie) > 99 or not titolo.strip():
        return await message.answer("Così: /aggiungi 2 Titolo; Autore")
    with transazione():
        n = db.execute(
            "INSERT INTO libri(titolo,autore,copie) VALUES(?,?,?)",
            (titolo.strip()[:100], autore.strip()[:100], numero(copie)),
        ).lastrowid
    await message.answer(f"Libro {n} aggiunto.")


def apri_prestito(libro: int, lettore: int) -> str:
    scade = str(date.today() + timedelta(days=GIORNI))
    n = db.execute("INSERT INTO prestiti(libro,lettore,scade) VALUES(?,?,?)", (libro, lettore, scade)).lastrowid
    return f"Prestito {n}, entro il {scade}."


@riservato.message(comando("consegna"))
async def consegna(message: Message, command: CommandObject):
    n = numero(command.args)
    with transazione():
        riga = n and uno("SELECT * FROM prenotazioni WHERE id=?", n)
        if riga:
            db.execute("DELETE FROM prenotazioni WHERE id=?", (n,))
            testo = apri_prestito(riga["libro"], riga["lettore"])
    if not riga:
        return await message.answer("Non c'è quella prenotazione.")
    in_fondo(bot.send_message(riga["lettore"], testo))
    await message.answer(testo)


@riservato.message(comando("presta"))
async def presta(message: Message, command: CommandObject):
    n, chi = numero(command.args), lettore_di(message)
    with transazione():
        testo = apri_prestito(n, chi.id) if n and libere(n) > 0 else "Nessuna copia libera di quel libro."
    await message.answer(testo)


@riservato.message(comando("rientro"))
async def rientro(message: Message, command: CommandObject):
    n = numero(command.args)
    with transazione():
        via = n and db.execute("DELETE FROM prestiti WHERE id=?", (n,)).rowcount
    await message.answer(f"Prestito {n} chiuso." if via else "Non c'è quel prestito.")


async def manda_e_riferisci(persone: list[tuple[int, str]], chat: int) -> None:
    bene, male = await diffondi(persone)
    await bot.send_message(chat, f"Consegnati {bene}, non raggiunti {male}.")


@riservato.message(comando("sollecita"))
async def sollecita(message: Message, command: CommandObject):
    giorni = min(numero(command.args) or 3, 365)
    righe = tutti(
        "SELECT p.*, l.titolo FROM prestiti p JOIN libri l ON l.id=p.libro WHERE scade<=?",
        str(date.today() + timedelta(days=giorni)),
    )
    await message.answer(f"{len(righe)} solleciti in partenza.")
    in_fondo(
        manda_e_riferisci(
            [(r["lettore"], f"Promemoria: «{r['titolo']}» scade il {r['scade']}.") for r in righe], message.chat.id
        )
    )


@riservato.message(comando("avviso"))
async def avviso(message: Message, command: CommandObject):
    if not command.args:
        return await message.answer("Che cosa annuncio?")
    righe = tutti("SELECT id FROM lettori")
    await message.answer(f"Avviso in partenza per {len(righe)}.")
    in_fondo(manda_e_riferisci([(r["id"], f"Avviso: {command.args[:3000]}") for r in righe], message.chat.id))


@riservato.message(comando("lettori"))
async def lettori(message: Message):
    righe = tutti("SELECT * FROM lettori LIMIT 60")
    await message.answer(f"{len(righe)} lettori:\n" + "\n".join(f"{r['id']} {r['nome']}" for r in righe))


@riservato.message(comando("proposte"))
async def proposte(message: Message):
    righe = tutti("SELECT * FROM proposte WHERE stato='aperta' LIMIT 15")
    coppie = [
        (f"{verbo} {r['id']}", f"{chiave}:{r['id']}")
        for r in righe
        for verbo, chiave in (("Accetta", "acc"), ("Rifiuta", "rif"))
    ]
    await message.answer(
        "\n".join(f"{r['id']}. {r['titolo']}, {r['autore']}"[:200] for r in righe) or "Nessuna proposta.",
        reply_markup=tasti(*coppie),
    )


@riservato.callback_query(F.data.regexp(r"^(acc|rif):\d{1,12}$"))
async def decidi(query: CallbackQuery):
    n, accetta = numero(query.data[4:]), query.data.startswith("acc")
    with transazione():
        riga = uno("SELECT * FROM proposte WHERE id=? AND stato='aperta'", n)
        if riga:
            db.execute("UPDATE proposte SET stato=? WHERE id=?", ("accettata" if accetta else "rifiutata", n))
            if accetta:
                db.execute("INSERT INTO libri(titolo,autore,copie) VALUES(?,?,1)", (riga["titolo"], riga["autore"]))
    if riga:
        in_fondo(
            bot.send_message(
                riga["lettore"], f"La tua proposta «{riga['titolo']}» è {'accettata' if accetta else 'rifiutata'}."
            )
        )
    await chiudi(query, f"Proposta {n} decisa." if riga else "Già decisa.")


@pubblico.callback_query()
async def tasto_ignoto(query: CallbackQuery):
    await chiudi(query, "Questo tasto non vale (più) per te.")


@pubblico.message(F.chat.type == "private")
async def altro(message: Message):
    riservati = ("/aggiungi", "/consegna", "/presta", "/rientro", "/sollecita", "/avviso", "/lettori", "/proposte")
    if message.text and message.text.lower().startswith(riservati):
        return await message.answer("Solo per il bibliotecario.")
    await message.answer("Non ho capito; /aiuto mostra i comandi.")


@dp.errors()
async def errore(event: ErrorEvent):
    log.error("aggiornamento %s: %s", event.update.update_id, type(event.exception).__name__)
    if isinstance(event.exception, AiogramError) or BUG == "isdigit":
        return True  # non è arrivato o non si può scrivere: lo dirà il prossimo messaggio
    chat = chat_di(event.update)
    if chat:
        with suppress(AiogramError):
            await bot.send_message(chat, "Qualcosa è andato storto; riprova più tardi.")
    return True


# ------------------------------------------------------------------ da Telegram

lavoratori: dict[int, asyncio.Task] = {}


def chat_di(update: Update) -> int | None:
    if update.callback_query:
        query = update.callback_query
        return query.message.chat.id if query.message else query.from_user.id
    return update.message.chat.id if update.message else None


async def tratta(riga) -> None:
    db.execute("UPDATE arrivi SET prove=prove+1 WHERE seq=?", (riga["seq"],))
    try:
        await dp.feed_update(bot, Update.model_validate_json(riga["corpo"], context={"bot": bot}))
    except Exception as errore_:
        log.exception("arrivo %s: %s", riga["seq"], type(errore_).__name__)
    db.execute("UPDATE arrivi SET fatto=1, corpo=NULL WHERE seq=?", (riga["seq"],))


async def lavora(chat: int) -> None:
    while riga := uno("SELECT * FROM arrivi WHERE chat=? AND fatto=0 AND prove<3 ORDER BY seq LIMIT 1", chat):
        await tratta(riga)
    del lavoratori[chat]


def sveglia(chat: int) -> None:
    if chat not in lavoratori:
        lavoratori[chat] = asyncio.create_task(lavora(chat))


def pulito(valore):
    """Lo stesso senza mezzi caratteri, che nessuno può spedire né conservare."""
    if isinstance(valore, str):
        return valore.encode("utf-8", "replace").decode()
    if isinstance(valore, list):
        return [pulito(uno_) for uno_ in valore]
    return {pulito(k): pulito(v) for k, v in valore.items()} if isinstance(valore, dict) else valore


def permesso(request: web.Request) -> bool:
    dato = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    return hmac.compare_digest(dato.encode("utf-8", "surrogateescape"), SECRET.encode())


async def webhook(request: web.Request) -> web.Response:
    if BUG != "parse-first" and not permesso(request):
        return web.Response(status=401)
    try:
        async with asyncio.timeout(10):
            dati = pulito(json.loads(await request.read()))
        update_id = dati["update_id"]
        if type(update_id) is not int or not 0 <= update_id < 2**52:
            raise ValueError
    except TimeoutError:
        return web.Response(status=408)
    except (ValueError, TypeError, KeyError, RecursionError):
        return web.Response(status=400)
    if BUG == "parse-first" and not permesso(request):
        return web.Response(status=401)
    try:
        update = Update.model_validate(dati, context={"bot": bot})
        corpo = json.dumps(dati)
    except ValidationError:
        if BUG == "validation-uncaught":
            raise
        return web.Response()  # ben formato, ma niente che si conosca: non serve che Telegram lo ripeta
    except (RecursionError, ValueError):
        return web.Response(status=400)
    chat = chat_di(update)
    chi = (
        update.message.from_user
        if update.message
        else update.callback_query.from_user
        if update.callback_query
        else None
    )
    if chat is None or abs(chat) >= 2**52 or (chi is not None and not 0 < chi.id < 2**52):
        return web.Response()
    with transazione():
        if uno("SELECT 1 FROM arrivi WHERE update_id=?" + (" AND fatto=1" if BUG == "seen-at-end" else ""), update_id):
            return web.Response()
        seq = db.execute("INSERT INTO arrivi(update_id,chat,corpo) VALUES(?,?,?)", (update_id, chat, corpo)).lastrowid
        db.execute("DELETE FROM arrivi WHERE fatto=1 AND seq<=?", (seq - 20000,))
    if BUG == "task-per-update":
        in_fondo(tratta(uno("SELECT * FROM arrivi WHERE seq=?", seq)))
    else:
        sveglia(chat)
    return web.Response()


async def avvio(_app):
    for riga in tutti("SELECT DISTINCT chat FROM arrivi WHERE fatto=0 AND prove<3"):
        sveglia(riga["chat"])


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    app = web.Application(client_max_size=512 * 1024)
    app.router.add_post(os.environ.get("WEBHOOK_PATH", "/webhook"), webhook)
    app.on_startup.append(avvio)
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), print=None, access_log=None)
