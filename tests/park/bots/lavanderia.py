"""Lavanderia: the bot of a house's shared laundry room, on pyTelegramBotAPI behind Flask, with SQLite.

The webhook parses an update, puts it into the queue of its chat and answers at once; a pool of threads works the queues off.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import sqlite3
import tempfile
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import wraps
from pathlib import Path

import requests
import telebot
from flask import Flask, abort, request
from telebot import apihelper
from telebot.apihelper import ApiHTTPException, ApiInvalidJSONException, ApiTelegramException
from telebot.types import InlineKeyboardButton, InlineKeyboardMarkup
from werkzeug.serving import WSGIRequestHandler

PORTA = int(os.environ.get("PORT", "8080"))
PERCORSO = os.environ.get("WEBHOOK_PATH", "/webhook")
SEGRETO = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "0:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
CUSTODE = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MACCHINE = {1: ("Lavatrice A", 200), 2: ("Lavatrice B", 200), 3: ("Asciugatrice", 150)}
ORE = tuple(range(7, 22, 2))
GIORNI = 7
CREDITO_INIZIALE = 1000  # centesimi
MAX_RICARICA = 100
MAX_ATTIVE = 12  # prenotazioni di un inquilino
MAX_APERTE = 20  # guasti, ricariche o cessioni di un inquilino
MAX_IN_CODA = 500  # aggiornamenti di una chat
PAUSE = (0.5, 1, 2, 4, 8)
SCADENZA = 8  # secondi per una chiamata

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("werkzeug").setLevel(logging.WARNING)
log = logging.getLogger("lavanderia")


class Recenti(OrderedDict):
    """Un dizionario che dimentica il più vecchio."""

    def __init__(self, limite):
        super().__init__()
        self.limite = limite

    def __setitem__(self, chiave, valore):
        super().__setitem__(chiave, valore)
        self.move_to_end(chiave)
        if len(self) > self.limite:
            self.popitem(last=False)


# ---------------------------------------------------------------- verso Telegram

apihelper.API_URL = API + "/bot{0}/{1}"
apihelper.CONNECT_TIMEOUT = 4
apihelper.READ_TIMEOUT = SCADENZA
bot = telebot.TeleBot(TOKEN, threaded=False, skip_pending=False)

chiavi = threading.Lock()
traslochi = Recenti(1000)  # gruppo -> supergruppo
silenzi = Recenti(5000)  # chat -> fino a quando non le si scrive


def spedisci(method, url, params=None, files=None, timeout=None, proxies=None):
    """Manda i parametri nel corpo, non nell'indirizzo, e non aspetta la risposta più di SCADENZA in tutto."""
    sessione = apihelper._get_req_session()
    fine = time.monotonic() + SCADENZA
    with sessione.request(
        "post", url, data=params, files=files, timeout=timeout, proxies=proxies, stream=True
    ) as risposta:
        pezzi = []
        for pezzo in risposta.iter_content(16_384):
            pezzi.append(pezzo)
            if time.monotonic() > fine:
                raise requests.Timeout("risposta troppo lenta")
        risposta._content = b"".join(pezzi)
        if risposta.status_code >= 500:
            risposta.raise_for_status()
        return risposta


apihelper.CUSTOM_REQUEST_SENDER = spedisci


def chiama(metodo, chat, *args, pause=PAUSE, **kwargs):
    """Chiama un metodo dell'API per una chat, con pazienza ma non per sempre."""
    tentativo = attese = 0
    while True:
        with chiavi:
            chat = traslochi.get(chat, chat)
            resto = silenzi.get(chat, 0) - time.monotonic()
        if resto > 0:
            time.sleep(resto)
        try:
            return metodo(chat, *args, **kwargs)
        except ApiTelegramException as errore:
            parametri = errore.result_json.get("parameters")
            parametri = parametri if isinstance(parametri, dict) else {}
            nuova = parametri.get("migrate_to_chat_id")
            if isinstance(nuova, int) and nuova != chat and attese < 5:
                attese += 1
                with chiavi:
                    traslochi[chat] = nuova
                continue
            if errore.error_code == 429:
                attese += 1
                if BUG == "attesa-fissa":
                    if attese > 20:
                        raise
                    time.sleep(1)
                    continue
                secondi = parametri.get("retry_after")
                secondi = max(1, secondi) if isinstance(secondi, (int, float)) else 1
                if attese > 5 or secondi > 120 or not chat:  # un bottone non aspetta
                    raise
                with chiavi:
                    silenzi[chat] = time.monotonic() + secondi + 0.1
                continue
            if isinstance(errore.error_code, int) and 400 <= errore.error_code < 500:
                raise
            guasto = errore
        except (requests.RequestException, ApiHTTPException, ApiInvalidJSONException) as errore:
            guasto = errore
        except (KeyError, TypeError, ValueError) as errore:
            log.warning("risposta dell'API non capita: %r", errore)
            return None
        if tentativo >= len(pause):
            raise guasto
        time.sleep(pause[tentativo])
        tentativo += 1


ERRORI_API = (ApiTelegramException, ApiHTTPException, ApiInvalidJSONException, requests.RequestException)


def tastiera(*righe):
    griglia = InlineKeyboardMarkup()
    for riga in righe:
        griglia.row(*(InlineKeyboardButton(testo, callback_data=dati) for testo, dati in riga))
    return griglia


def invia(chat, testo, bottoni=None):
    """Manda un messaggio; in più parti se è lungo."""
    parti = [testo[i : i + 1900] for i in range(0, min(len(testo), 9000), 1900)] or ["…"]
    try:
        for parte in parti:
            chiama(bot.send_message, chat, parte, reply_markup=bottoni if parte is parti[-1] else None)
    except ERRORI_API as errore:
        log.warning("non consegnato a %s: %s", chat, errore)


def rispondi(chiamata, testo=None):
    """Ferma la rotellina del bottone."""
    code.aggiungi(("bottone", chiamata.id), lambda: _rispondi(chiamata.id, testo))


def _rispondi(ident, testo):
    try:
        chiama(lambda _: bot.answer_callback_query(ident, testo), 0, pause=(1,))
    except ERRORI_API as errore:
        log.warning("answerCallbackQuery: %s", errore)


def avvisa(chat, testo, bottoni=None):
    """Manda un messaggio a qualcun altro, che nessuno aspetta."""
    code.aggiungi(("avvisi", chat), lambda: invia(chat, testo, bottoni))


# ---------------------------------------------------------------- le code


class Code:
    """Una coda per ogni chat: dentro una chat si va in ordine, una chat lenta non ferma le altre."""

    def __init__(self):
        self.code = {}
        self.lucchetto = threading.Lock()
        self.operai = ThreadPoolExecutor(max_workers=256)

    def aggiungi(self, chiave, lavoro):
        with self.lucchetto:
            coda = self.code.get(chiave)
            if coda is not None:
                if len(coda) >= MAX_IN_CODA:
                    log.warning("coda piena: %s", chiave)
                    return False
                coda.append(lavoro)
                return True
            self.code[chiave] = deque([lavoro])
        self.operai.submit(self._svuota, chiave)
        return True

    def _svuota(self, chiave):
        while True:
            with self.lucchetto:
                coda = self.code[chiave]
                if not coda:
                    del self.code[chiave]
                    return
                lavoro = coda.popleft()
            try:
                lavoro()
            except Exception:
                log.exception("errore nella coda %s", chiave)


code = Code()

# ---------------------------------------------------------------- i dati

ARCHIVIO = Path(tempfile.mkdtemp(prefix="lavanderia-")) / "lavanderia.db"


def apri():
    db = sqlite3.connect(ARCHIVIO, timeout=5, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA synchronous = OFF")
    return db


@contextmanager
def lettura():
    with closing(apri()) as db:
        yield db


@contextmanager
def scrittura():
    with closing(apri()) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


with closing(apri()) as _db:
    _db.execute("PRAGMA journal_mode = WAL")
    _db.executescript("""
        CREATE TABLE inquilini (id INTEGER PRIMARY KEY, nome TEXT, utente TEXT, credito INTEGER NOT NULL);
        CREATE TABLE prenotazioni (id INTEGER PRIMARY KEY, macchina INTEGER, giorno TEXT, ora INTEGER,
            inquilino INTEGER, costo INTEGER, stato TEXT DEFAULT 'attiva');
        CREATE TABLE cessioni (id INTEGER PRIMARY KEY, prenotazione INTEGER, da INTEGER, a INTEGER,
            stato TEXT DEFAULT 'proposta');
        CREATE TABLE ricariche (id INTEGER PRIMARY KEY, inquilino INTEGER, importo INTEGER, stato TEXT DEFAULT 'attesa');
        CREATE TABLE guasti (id INTEGER PRIMARY KEY, macchina INTEGER, inquilino INTEGER, testo TEXT, stato TEXT DEFAULT 'aperto');
        CREATE INDEX di_chi ON prenotazioni (inquilino, stato);
    """)
    if BUG != "doppia-prenotazione":
        _db.execute("CREATE UNIQUE INDEX un_turno ON prenotazioni (macchina, giorno, ora) WHERE stato = 'attiva'")


def euro(centesimi):
    return f"{centesimi / 100:.2f} €".replace(".", ",")


def pulito(testo, limite):
    testo = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", str(testo or "")).strip()
    return testo[:limite]


def iscrivi(utente):
    """L'inquilino, che alla prima volta riceve il credito iniziale."""
    nome, alias = pulito(utente.first_name, 40) or f"inquilino {utente.id}", pulito(utente.username, 40).lower()
    with lettura() as db:
        noto = db.execute("SELECT * FROM inquilini WHERE id = ?", (utente.id,)).fetchone()
    if noto and (noto["nome"], noto["utente"]) == (nome, alias):
        return
    with scrittura() as db:
        db.execute(
            "INSERT INTO inquilini VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET nome = excluded.nome, utente = excluded.utente",
            (utente.id, nome, alias, CREDITO_INIZIALE),
        )


def nome_di(db, inquilino):
    riga = db.execute("SELECT nome FROM inquilini WHERE id = ?", (inquilino,)).fetchone()
    return riga["nome"] if riga else f"inquilino {inquilino}"


def trova(db, testo):
    """L'inquilino di un numero o di un @nome."""
    if re.fullmatch(r"[0-9]{1,15}", testo):
        return db.execute("SELECT * FROM inquilini WHERE id = ?", (int(testo),)).fetchone()
    alias = pulito(testo, 40).lstrip("@").lower()
    return db.execute("SELECT * FROM inquilini WHERE utente = ? AND utente <> ''", (alias,)).fetchone()


def numero(testo):
    return int(testo.lstrip("#")) if re.fullmatch(r"#?[0-9]{1,9}", testo or "") else None


NON_NUMERI = ValueError if BUG == "importo-a-parole" else (ValueError, InvalidOperation)


def importo(testo):
    """Un importo in centesimi, da 1 a MAX_RICARICA euro; None se non lo è."""
    try:
        valore = Decimal(testo[:20].replace("€", "").replace(",", ".").strip())
    except NON_NUMERI:
        return None
    if not valore.is_finite() or not 1 <= valore <= MAX_RICARICA:
        return None
    return int(valore * 100)


def turno(riga):
    giorno = date.fromisoformat(riga["giorno"])
    return f"{MACCHINE[riga['macchina']][0]}, {giorno:%d/%m} ore {riga['ora']}"


def passato(giorno, ora):
    return datetime.now() >= datetime(giorno.year, giorno.month, giorno.day, ora) + timedelta(hours=1)  # noqa: DTZ001, DTZ005


# ---------------------------------------------------------------- conversazioni

conversazioni = Recenti(5000)


def chiave(messaggio):
    if BUG == "conversazione-per-utente":
        return messaggio.from_user.id
    return messaggio.chat.id, messaggio.from_user.id


def inizia(chi, passo, **dati):
    with chiavi:
        conversazioni[chi] = (passo, dati, time.monotonic())


def in_corso(messaggio):
    if messaggio.from_user is None or (messaggio.text or "").startswith("/"):
        return None
    with chiavi:
        trovata = conversazioni.get(chiave(messaggio))
    return trovata if trovata and time.monotonic() - trovata[2] < 1800 else None


def finisci(messaggio):
    with chiavi:
        return conversazioni.pop(chiave(messaggio), None)


# ---------------------------------------------------------------- comandi

AIUTO = """Lavanderia condominiale. Ogni lavaggio costa 2,00 €, l'asciugatrice 1,50 €.
/prenota - prenotare una macchina, coi bottoni; oppure /prenota macchina giorno ora, per esempio /prenota 1 2 9
   (macchina 1, 2 o 3; giorno 0 oggi, 1 domani … 6; ore 7, 9, 11 … 21)
/libere giorno - i turni liberi, per esempio /libere 1
/mie - le tue prenotazioni
/disdici n - disdire una prenotazione, con rimborso
/cedi n inquilino - cedere una prenotazione a un altro, per esempio /cedi 3 @anna
/saldo - il tuo credito
/ricarica importo - chiedere al custode una ricarica, per esempio /ricarica 10
/guasto - segnalare un guasto; oppure /guasto macchina descrizione
/guasti - i guasti aperti
/chiudi n - chiudere un guasto che hai segnalato
/annulla - lasciar perdere
Per il custode:
/ricariche - le ricariche da confermare
/accredita inquilino importo - accreditare un importo
/bilancio - i conti della lavanderia"""


def comando(*nomi):
    """Fa di una funzione il gestore di un comando, per chi scrive a nome proprio."""

    def registra(funzione):
        @wraps(funzione)
        def gestore(messaggio):
            if not messaggio.from_user or messaggio.from_user.is_bot or messaggio.sender_chat:
                invia(messaggio.chat.id, "Scrivimi a nome tuo, per favore.")
                return
            iscrivi(messaggio.from_user)
            funzione(messaggio)

        bot.register_message_handler(gestore, commands=list(nomi))
        return funzione

    return registra


def solo_custode(funzione):
    @wraps(funzione)
    def controllata(messaggio):
        if messaggio.from_user.id != CUSTODE:
            invia(messaggio.chat.id, "Solo il custode può farlo.")
            return
        funzione(messaggio)

    return controllata


def argomenti(messaggio):
    return messaggio.text.split()[1:]


@comando("start", "aiuto", "help")
def aiuto(messaggio):
    invia(messaggio.chat.id, AIUTO)


@comando("annulla")
def annulla(messaggio):
    invia(messaggio.chat.id, "Lasciato perdere." if finisci(messaggio) else "Non c'è niente da annullare.")


def quale_macchina(prefisso):
    return tastiera(*([(nome, f"{prefisso}:{n}")] for n, (nome, _) in MACCHINE.items()))


@comando("prenota")
def prenota(messaggio):
    valori = [numero(parola) for parola in argomenti(messaggio)]
    if not valori:
        invia(messaggio.chat.id, "Quale macchina?", quale_macchina("pm"))
    elif len(valori) != 3 or None in valori:
        invia(messaggio.chat.id, "Scrivi /prenota macchina giorno ora, per esempio /prenota 1 2 9")
    else:
        invia(messaggio.chat.id, *prenotazione(messaggio.chat.id, messaggio.from_user.id, *valori))


def prenotazione(chat, inquilino, macchina, fra, ora):
    """Prenota un turno e dice come è andata."""
    if macchina not in MACCHINE or not 0 <= fra < GIORNI or ora not in ORE:
        return ("Macchina 1, 2 o 3; giorno da 0 a 6; ore 7, 9, 11 … 21.",)
    giorno = date.today() + timedelta(days=fra)
    if passato(giorno, ora):
        return ("Quel turno è già passato.",)
    nome, costo = MACCHINE[macchina]
    presa = "SELECT 1 FROM prenotazioni WHERE macchina = ? AND giorno = ? AND ora = ? AND stato = 'attiva'"
    dove = (macchina, giorno.isoformat(), ora)
    with lettura() as db:
        if db.execute(presa, dove).fetchone():
            return (f"{nome} è già occupata il {giorno:%d/%m} alle {ora}.",)
    try:
        chiama(bot.send_chat_action, chat, "typing", pause=())
    except ERRORI_API as errore:
        log.info("sendChatAction: %s", errore)
    with scrittura() as db:
        if BUG != "doppia-prenotazione" and db.execute(presa, dove).fetchone():
            return (f"{nome} è già occupata il {giorno:%d/%m} alle {ora}.",)
        attive = "SELECT count(*) FROM prenotazioni WHERE inquilino = ? AND stato = 'attiva' AND giorno >= ?"
        if db.execute(attive, (inquilino, date.today().isoformat())).fetchone()[0] >= MAX_ATTIVE:
            return ("Hai già troppe prenotazioni.",)
        pagato = db.execute(
            "UPDATE inquilini SET credito = credito - ? WHERE id = ? AND credito >= ?", (costo, inquilino, costo)
        )
        if not pagato.rowcount:
            return ("Il tuo credito non basta: /ricarica importo",)
        ident = db.execute(
            "INSERT INTO prenotazioni (macchina, giorno, ora, inquilino, costo) VALUES (?, ?, ?, ?, ?)",
            (*dove, inquilino, costo),
        ).lastrowid
    return (
        f"Prenotazione n. {ident}: {nome}, {giorno:%d/%m} ore {ora}, {euro(costo)}.",
        tastiera([("Disdici", f"dis:{ident}")]),
    )


@comando("libere")
def libere(messaggio):
    parole = argomenti(messaggio)
    fra = numero(parole[0]) if parole else 0
    if fra is None or fra >= GIORNI:
        invia(messaggio.chat.id, "Quale giorno? 0 è oggi, 6 l'ultimo: /libere 1")
        return
    giorno = date.today() + timedelta(days=fra)
    with lettura() as db:
        righe = db.execute(
            "SELECT macchina, ora FROM prenotazioni WHERE giorno = ? AND stato = 'attiva'", (giorno.isoformat(),)
        ).fetchall()
    prese = {(riga["macchina"], riga["ora"]) for riga in righe}
    testo = [f"Turni liberi il {giorno:%d/%m}:"]
    for macchina, (nome, _) in MACCHINE.items():
        ore = [str(ora) for ora in ORE if (macchina, ora) not in prese and not passato(giorno, ora)]
        testo.append(f"{macchina} {nome}: {', '.join(ore) or 'niente'}")
    invia(messaggio.chat.id, "\n".join(testo))


@comando("mie")
def mie(messaggio):
    with lettura() as db:
        righe = db.execute(
            "SELECT * FROM prenotazioni WHERE inquilino = ? AND stato = 'attiva' ORDER BY giorno, ora LIMIT 30",
            (messaggio.from_user.id,),
        ).fetchall()
    if not righe:
        invia(messaggio.chat.id, "Non hai prenotazioni. /prenota")
        return
    testo = "\n".join(f"n. {riga['id']}: {turno(riga)}" for riga in righe)
    invia(messaggio.chat.id, testo, tastiera(*([(f"Disdici n. {r['id']}", f"dis:{r['id']}")] for r in righe[:8])))


@comando("disdici")
def disdici(messaggio):
    parole = argomenti(messaggio)
    ident = numero(parole[0]) if parole else None
    if ident is None:
        invia(messaggio.chat.id, "Quale prenotazione? /disdici n, il numero è in /mie.")
        return
    invia(messaggio.chat.id, disdetta(messaggio.from_user.id, ident))


def disdetta(inquilino, ident):
    """Disdice una prenotazione, la rimborsa e dice come è andata."""
    with scrittura() as db:
        riga = db.execute("SELECT * FROM prenotazioni WHERE id = ?", (ident,)).fetchone()
        if riga is None or riga["inquilino"] != inquilino:
            return "Non è una tua prenotazione."
        if riga["stato"] != "attiva" and BUG != "rimborso-doppio":
            return f"La prenotazione n. {ident} è già disdetta."
        if passato(date.fromisoformat(riga["giorno"]), riga["ora"]):
            return "Quel turno è già passato."
        db.execute("UPDATE prenotazioni SET stato = 'disdetta' WHERE id = ?", (ident,))
        db.execute("UPDATE inquilini SET credito = credito + ? WHERE id = ?", (riga["costo"], inquilino))
        credito = db.execute("SELECT credito FROM inquilini WHERE id = ?", (inquilino,)).fetchone()[0]
    return f"Prenotazione n. {ident} disdetta, rimborso di {euro(riga['costo'])}. Credito: {euro(credito)}"


@comando("cedi")
def cedi(messaggio):
    parole, io = argomenti(messaggio), messaggio.from_user.id
    ident = numero(parole[0]) if parole else None
    citato = messaggio.reply_to_message.from_user if messaggio.reply_to_message else None
    a_chi = parole[1] if len(parole) > 1 else str(citato.id) if citato else ""
    if ident is None or not a_chi:
        invia(messaggio.chat.id, "Che cosa, e a chi? /cedi n inquilino, per esempio /cedi 3 @anna")
        return
    with scrittura() as db:
        altro = trova(db, a_chi)
        riga = db.execute("SELECT * FROM prenotazioni WHERE id = ? AND stato = 'attiva'", (ident,)).fetchone()
        aperte = db.execute(
            "SELECT count(*) FROM cessioni WHERE da = ? AND stato = 'proposta'", (riga["inquilino"] if riga else io,)
        ).fetchone()[0]
        if altro is None:
            testo = "Non conosco quell'inquilino: deve prima scrivermi."
        elif riga is None or (riga["inquilino"] != io and BUG != "cedi-altrui"):
            testo = "Non è una tua prenotazione."
        elif altro["id"] == riga["inquilino"]:
            testo = "È già sua."
        elif aperte >= MAX_APERTE:
            testo = "Hai già troppe proposte in sospeso."
        else:
            cessione = db.execute(
                "INSERT INTO cessioni (prenotazione, da, a) VALUES (?, ?, ?)", (ident, riga["inquilino"], altro["id"])
            ).lastrowid
            testo = f"Ho proposto la prenotazione n. {ident} a {altro['nome']}."
            avvisa(
                altro["id"],
                f"{nome_di(db, riga['inquilino'])} ti cede {turno(riga)} per {euro(riga['costo'])}.",
                tastiera([("Accetto", f"ces:si:{cessione}"), ("No, grazie", f"ces:no:{cessione}")]),
            )
    invia(messaggio.chat.id, testo)


@comando("saldo")
def saldo(messaggio):
    with lettura() as db:
        credito = db.execute("SELECT credito FROM inquilini WHERE id = ?", (messaggio.from_user.id,)).fetchone()[0]
    invia(messaggio.chat.id, f"Il tuo credito è di {euro(credito)}.")


@comando("ricarica")
def ricarica(messaggio):
    parole = argomenti(messaggio)
    if not parole:
        inizia(chiave(messaggio), "ricarica")
        invia(messaggio.chat.id, "Di quanto? Per esempio 10 (/annulla per lasciar perdere)")
        return
    chiedi_ricarica(messaggio, parole[0])


def chiedi_ricarica(messaggio, testo):
    chat, io = messaggio.chat.id, messaggio.from_user.id
    quanto = importo(testo)
    if quanto is None:
        invia(chat, f"Un importo da 1 a {MAX_RICARICA} euro, per favore: /ricarica 10")
        return
    finisci(messaggio)
    with scrittura() as db:
        attese = db.execute("SELECT count(*) FROM ricariche WHERE inquilino = ? AND stato = 'attesa'", (io,))
        if attese.fetchone()[0] >= MAX_APERTE:
            risposta = "Hai già troppe ricariche in attesa."
        else:
            ident = db.execute("INSERT INTO ricariche (inquilino, importo) VALUES (?, ?)", (io, quanto)).lastrowid
            risposta = f"Ricarica n. {ident} di {euro(quanto)} richiesta: porta i soldi al custode."
            avvisa(CUSTODE, f"{nome_di(db, io)} chiede una ricarica di {euro(quanto)}.", bottoni_ricarica(ident))
        if BUG == "transazione-aperta":
            invia(chat, risposta)
            return
    invia(chat, risposta)


def bottoni_ricarica(ident):
    return tastiera([(f"Conferma n. {ident}", f"ric:si:{ident}"), ("Rifiuta", f"ric:no:{ident}")])


@comando("guasto")
def guasto(messaggio):
    parole = messaggio.text.split(maxsplit=2)[1:]
    if not parole:
        invia(messaggio.chat.id, "Quale macchina è guasta?", quale_macchina("gm"))
    elif numero(parole[0]) not in MACCHINE:
        invia(messaggio.chat.id, "Macchina 1, 2 o 3: /guasto 1 non centrifuga")
    elif len(parole) == 1:
        inizia(chiave(messaggio), "guasto", macchina=numero(parole[0]))
        invia(messaggio.chat.id, "Che cosa succede? Descrivilo, o manda una foto con due parole.")
    else:
        segnala(messaggio, numero(parole[0]), parole[1])


def segnala(messaggio, macchina, testo):
    testo, io = pulito(testo, 500) or "senza descrizione", messaggio.from_user.id
    with scrittura() as db:
        aperti = db.execute("SELECT count(*) FROM guasti WHERE inquilino = ? AND stato = 'aperto'", (io,)).fetchone()[0]
        ident = None
        if aperti < MAX_APERTE:
            ident = db.execute(
                "INSERT INTO guasti (macchina, inquilino, testo) VALUES (?, ?, ?)", (macchina, io, testo)
            ).lastrowid
    if ident is None:
        invia(messaggio.chat.id, "Hai già segnalato troppi guasti: /chiudi n")
        return
    avvisa(CUSTODE, f"Guasto n. {ident}, {MACCHINE[macchina][0]}: {testo}")
    invia(messaggio.chat.id, f"Guasto n. {ident} segnalato: {MACCHINE[macchina][0]}, {testo}")


@comando("guasti")
def guasti(messaggio):
    with lettura() as db:
        righe = db.execute("SELECT * FROM guasti WHERE stato = 'aperto' ORDER BY id DESC LIMIT 20").fetchall()
        testo = "\n".join(
            f"n. {r['id']} {MACCHINE[r['macchina']][0]}: {r['testo']} ({nome_di(db, r['inquilino'])})" for r in righe
        )
    invia(messaggio.chat.id, testo or "Nessun guasto aperto.")


@comando("chiudi")
def chiudi(messaggio):
    parole, io = argomenti(messaggio), messaggio.from_user.id
    ident = numero(parole[0]) if parole else None
    if ident is None:
        invia(messaggio.chat.id, "Quale guasto? /chiudi n, il numero è in /guasti.")
        return
    with scrittura() as db:
        riga = db.execute("SELECT * FROM guasti WHERE id = ? AND stato = 'aperto'", (ident,)).fetchone()
        if riga and io in (riga["inquilino"], CUSTODE):
            db.execute("UPDATE guasti SET stato = 'chiuso' WHERE id = ?", (ident,))
            testo = f"Guasto n. {ident} chiuso."
            if riga["inquilino"] != io:
                avvisa(riga["inquilino"], f"Il custode ha chiuso il guasto n. {ident}.")
        else:
            testo = (
                "Può chiuderlo chi l'ha segnalato o il custode."
                if riga
                else "Non c'è un guasto aperto con quel numero."
            )
    invia(messaggio.chat.id, testo)


@comando("ricariche")
@solo_custode
def ricariche(messaggio):
    with lettura() as db:
        righe = db.execute("SELECT * FROM ricariche WHERE stato = 'attesa' ORDER BY id LIMIT 10").fetchall()
        elenco = [(r["id"], f"{nome_di(db, r['inquilino'])} ({r['inquilino']}): {euro(r['importo'])}") for r in righe]
    if not elenco:
        invia(messaggio.chat.id, "Nessuna ricarica da confermare.")
    for ident, testo in elenco:
        invia(messaggio.chat.id, f"n. {ident} {testo}", bottoni_ricarica(ident))


def accredita(messaggio):
    parole = argomenti(messaggio)
    quanto = importo(parole[1]) if len(parole) > 1 else None
    if quanto is None:
        invia(messaggio.chat.id, "A chi e quanto? /accredita inquilino importo, per esempio /accredita @anna 10")
        return
    with scrittura() as db:
        chi = trova(db, parole[0])
        if chi:
            db.execute("UPDATE inquilini SET credito = credito + ? WHERE id = ?", (quanto, chi["id"]))
    if not chi:
        invia(messaggio.chat.id, "Non conosco quell'inquilino.")
        return
    avvisa(chi["id"], f"Ti sono stati accreditati {euro(quanto)}.")
    invia(messaggio.chat.id, f"Accreditati {euro(quanto)} a {chi['nome']}.")


if BUG == "decoratori-invertiti":
    accredita = solo_custode(comando("accredita")(accredita))
else:
    accredita = comando("accredita")(solo_custode(accredita))


@comando("bilancio")
@solo_custode
def bilancio(messaggio):
    with lettura() as db:
        chi, credito = db.execute("SELECT count(*), coalesce(sum(credito), 0) FROM inquilini").fetchone()
        quante, incasso = db.execute(
            "SELECT count(*), coalesce(sum(costo), 0) FROM prenotazioni WHERE stato = 'attiva'"
        ).fetchone()
    invia(messaggio.chat.id, f"{chi} inquilini, credito {euro(credito)}; {quante} prenotazioni per {euro(incasso)}.")


TUTTO = telebot.util.content_type_media


@bot.message_handler(func=in_corso, content_types=TUTTO)
def continua(messaggio):
    passo, dati, _ = in_corso(messaggio) or ("", {}, 0)
    iscrivi(messaggio.from_user)
    testo = messaggio.text.strip() if BUG == "foto-nel-guasto" else (messaggio.text or messaggio.caption or "").strip()
    if not testo:
        invia(messaggio.chat.id, "Scrivilo a parole, per favore, oppure /annulla.")
    elif passo == "ricarica":
        chiedi_ricarica(messaggio, testo)
    elif finisci(messaggio):
        segnala(messaggio, dati["macchina"], testo)


@bot.message_handler(chat_types=["private"], content_types=TUTTO)
def altro_messaggio(messaggio):
    invia(messaggio.chat.id, "Non ho capito. /aiuto")


# ---------------------------------------------------------------- bottoni


def dove_sono(chiamata):
    return chiamata.message.chat.id if chiamata.message else chiamata.from_user.id


@bot.callback_query_handler(func=lambda _: True)
def bottone(chiamata):
    """Un bottone: il primo pezzo dei suoi dati dice quale."""
    chat, io = dove_sono(chiamata), chiamata.from_user.id
    iscrivi(chiamata.from_user)
    rispondi(chiamata)
    pezzi = (chiamata.data or "").split(":")
    numeri = [numero(pezzo) for pezzo in pezzi[1:]]
    match pezzi[0], numeri:
        case "pm", [int(macchina)] if macchina in MACCHINE:
            giorni = [(f"{date.today() + timedelta(days=n):%d/%m}", f"pg:{macchina}:{n}") for n in range(GIORNI)]
            invia(chat, f"{MACCHINE[macchina][0]}: che giorno?", tastiera(giorni[:4], giorni[4:]))
        case "pg", [int(macchina), int(fra)] if macchina in MACCHINE and fra < GIORNI:
            ore = [(f"{ora}:00", f"po:{macchina}:{fra}:{ora}") for ora in ORE]
            invia(chat, "A che ora?", tastiera(ore[:4], ore[4:]))
        case "po", [int(macchina), int(fra), int(ora)]:
            invia(chat, *prenotazione(chat, io, macchina, fra, ora))
        case "dis", [int(ident)]:
            invia(chat, disdetta(io, ident))
        case "gm", [int(macchina)] if macchina in MACCHINE:
            inizia(io if BUG == "conversazione-per-utente" else (chat, io), "guasto", macchina=macchina)
            invia(chat, "Che cosa succede? Descrivilo, o manda una foto con due parole.")
        case "ces", [_, int(ident)] if pezzi[1] in ("si", "no"):
            invia(chat, cessione_decisa(io, ident, accetta=pezzi[1] == "si"))
        case "ric", [_, int(ident)] if pezzi[1] in ("si", "no"):
            invia(chat, ricarica_decisa(io, ident, conferma=pezzi[1] == "si"))
        case _:
            invia(chat, "Questo bottone non vale più. /aiuto")


def cessione_decisa(io, ident, *, accetta):
    with scrittura() as db:
        cessione = db.execute("SELECT * FROM cessioni WHERE id = ?", (ident,)).fetchone()
        if cessione is None or cessione["a"] != io:
            return "Questa proposta non è per te."
        if cessione["stato"] != "proposta":
            return "Hai già risposto a questa proposta."
        riga = db.execute(
            "SELECT * FROM prenotazioni WHERE id = ? AND inquilino = ? AND stato = 'attiva'",
            (cessione["prenotazione"], cessione["da"]),
        ).fetchone()
        if not accetta or riga is None:
            db.execute("UPDATE cessioni SET stato = 'chiusa' WHERE id = ?", (ident,))
            if riga is None:
                return "La prenotazione non c'è più."
            avvisa(cessione["da"], f"{nome_di(db, io)} non vuole la prenotazione n. {riga['id']}.")
            return "Va bene, non la prendi."
        pagato = db.execute(
            "UPDATE inquilini SET credito = credito - ? WHERE id = ? AND credito >= ?",
            (riga["costo"], io, riga["costo"]),
        )
        if not pagato.rowcount:
            return "Il tuo credito non basta: /ricarica importo"
        db.execute("UPDATE inquilini SET credito = credito + ? WHERE id = ?", (riga["costo"], cessione["da"]))
        db.execute("UPDATE prenotazioni SET inquilino = ? WHERE id = ?", (io, riga["id"]))
        db.execute("UPDATE cessioni SET stato = 'chiusa' WHERE prenotazione = ?", (riga["id"],))
        avvisa(
            cessione["da"], f"{nome_di(db, io)} ha preso la prenotazione n. {riga['id']}: {euro(riga['costo'])} a te."
        )
    return f"La prenotazione n. {riga['id']} è tua: {turno(riga)}."


def ricarica_decisa(io, ident, *, conferma):
    if io != CUSTODE:
        return "Solo il custode può farlo."
    with scrittura() as db:
        fatta = db.execute(
            "UPDATE ricariche SET stato = ? WHERE id = ? AND stato = 'attesa'",
            ("confermata" if conferma else "rifiutata", ident),
        )
        if not fatta.rowcount:
            return "Questa ricarica è già decisa."
        riga = db.execute("SELECT * FROM ricariche WHERE id = ?", (ident,)).fetchone()
        if conferma:
            db.execute("UPDATE inquilini SET credito = credito + ? WHERE id = ?", (riga["importo"], riga["inquilino"]))
    esito = "confermata" if conferma else "rifiutata"
    avvisa(riga["inquilino"], f"La tua ricarica di {euro(riga['importo'])} è stata {esito}.")
    return f"Ricarica n. {ident} {esito}."


# ---------------------------------------------------------------- il webhook

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1 << 20
visti = Recenti(20_000)


def gia_visto(ident):
    with chiavi:
        if ident in visti:
            return True
        visti[ident] = True
        return False


@app.before_request
def solo_telegram():
    if BUG == "solo-se-json" and not request.is_json:
        return
    dato = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if not hmac.compare_digest(dato.encode("utf-8", "replace"), SEGRETO.encode()):
        abort(401)


@app.post(PERCORSO)
def webhook():
    try:
        dati = json.loads(request.get_data())
    except (ValueError, RecursionError):
        return "JSON?", 400
    if not isinstance(dati, dict) or type(dati.get("update_id")) is not int:
        return "update?", 400
    try:
        update = telebot.types.Update.de_json(dati)
        origine = update.message or update.callback_query
        chat = origine and (origine.chat.id if update.message else dove_sono(origine))
        chi = origine and origine.from_user and origine.from_user.id
        testo = origine and (origine.text if update.message else origine.data)
    except Exception as errore:
        log.info("aggiornamento non capito: %r", errore)
        return "ok"
    if not isinstance(chat, int) or abs(chat) >= 1 << 53 or not isinstance(testo, str | None):
        return "ok"
    if not isinstance(chi, int | None) or gia_visto(dati["update_id"]):
        return "ok"
    if not code.aggiungi(chat, lambda: bot.process_new_updates([update])):
        with chiavi:
            visti.pop(dati["update_id"], None)
        return "troppi", 503
    return "ok"


class Richieste(WSGIRequestHandler):
    """Non aspetta per sempre chi non manda niente."""

    timeout = 20


if __name__ == "__main__":
    app.run("127.0.0.1", PORTA, threaded=True, request_handler=Richieste)
