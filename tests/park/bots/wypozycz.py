"""Wypozycz: a tool-lending club in Polish, on pyTelegramBotAPI (synchronous telebot) behind Flask with threads.

The webhook acknowledges at once; a chat that has something to do has a thread of its own, which ends with its queue.
What the club knows lies in SQLite; what is being typed lies in memory.
"""

from __future__ import annotations

import functools
import hmac
import json
import logging
import os
import re
import sqlite3
import tempfile
import threading
import time
import types as pytypes
from collections import OrderedDict, deque
from contextlib import contextmanager
from pathlib import Path

import requests
import telebot
from flask import Flask, request
from telebot import apihelper, types
from werkzeug.serving import WSGIRequestHandler, make_server

PORT = int(os.environ.get("PORT", "8080"))
SCIEZKA = os.environ.get("WEBHOOK_PATH", "/webhook")
SEKRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "1:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_KOLEJKA = 300  # zadań jednego czatu
MAX_CZATOW = 500  # czatów naraz
MAX_WIDZIANYCH = 20_000
MAX_NARZEDZI, MAX_NA_OSOBE = 2000, 40
MAX_LUDZI, MAX_PROSB, MAX_ROZMOW = 20_000, 2000, 3000
PRZERWY = (0.5, 1, 2, 4, 8, 12)
KATEGORIE = ("elektronarzędzia", "ręczne", "ogród", "malowanie", "inne")
POMOC = """Klub wypożyczania narzędzi.
/narzedzia – co mamy
/szukaj słowo – szukaj po nazwie
/szczegoly numer – jedno narzędzie
/dodaj – dodaj swoje narzędzie (albo od razu: /dodaj nazwa; kategoria; kaucja)
/wypozycz numer [dni] – poproś właściciela
/oddaj numer – zwróć
/moje – twoje narzędzia i wypożyczenia
/przekaz numer osoba – oddaj narzędzie na własność (id osoby)
/usun numer – usuń swoje narzędzie
/anuluj – przerwij dodawanie
Dla administratora: /raport, /opiekun id, /ogloszenie tekst"""

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("werkzeug").setLevel(logging.WARNING)
log = logging.getLogger("wypozycz")

bot = telebot.TeleBot(TOKEN, threaded=False)
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1 << 20
# Do kogo się teraz mówi. Każdy wątek mówi do swojego czatu.
teraz = pytypes.SimpleNamespace() if BUG == "wspolny-kontekst" else threading.local()


class Odmowa(Exception):
    """Telegram refused a call, or could not be reached in all attempts."""

    def __init__(self, kod: int, opis: str) -> None:
        super().__init__(f"{kod}: {opis}")
        self.kod = kod


class Ostatnie(OrderedDict):
    """A dictionary that forgets what was written first."""

    def __init__(self, ile: int) -> None:
        super().__init__()
        self.ile = ile

    def __setitem__(self, klucz, wartosc) -> None:
        super().__setitem__(klucz, wartosc)
        self.move_to_end(klucz)
        while len(self) > self.ile:
            self.popitem(last=False)


def czysty(tekst: str, ile: int) -> str:
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", tekst).strip()[:ile].strip()


def liczba(tekst: str) -> int | None:
    znalezione = re.fullmatch(r"#?([0-9]{1,9})", tekst.strip())
    return int(znalezione[1]) if znalezione else None


def jest_id(wartosc: object) -> bool:
    return type(wartosc) is int and 0 < abs(wartosc) < 1 << 53


# ---------------------------------------------------------------- Telegram

sesja = requests.Session()
sesja.mount("http://", requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=600))
sesja.mount("https://", requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=600))


def zapytanie(metoda, url, params=None, files=None, timeout=None, proxies=None):
    """Sends a call's parameters in its body: a long text is too much for a URL."""
    return sesja.request("POST", url, data=params, files=files, timeout=(4, 8), proxies=proxies)


apihelper.API_URL = API + "/bot{0}/{1}"
apihelper.CUSTOM_REQUEST_SENDER = zapytanie
przeniesione = Ostatnie(1000)


def raz(wywolanie, czat):
    """One attempt: the status and the parameters of the answer; 599 where it makes no sense."""
    try:
        wywolanie(czat)
    except apihelper.ApiTelegramException as blad:
        parametry = blad.result_json.get("parameters")
        kod = blad.error_code if type(blad.error_code) is int else 599
        return kod, parametry if isinstance(parametry, dict) else {}
    except apihelper.ApiHTTPException as blad:
        return blad.result.status_code, {}
    except (requests.RequestException, apihelper.ApiInvalidJSONException, LookupError, TypeError, ValueError) as blad:
        log.warning("Telegram: %s", type(blad).__name__)
        return 599, {}
    return 200, {}


def cierpliwie(wywolanie, czat, przerwy=PRZERWY):
    """Calls Telegram until it works, as often and as slowly as is decent."""
    proba = czekania = 0
    while True:
        cel = przeniesione.get(czat, czat)
        kod, parametry = raz(wywolanie, cel)
        if kod == 200:
            return
        nowy = parametry.get("migrate_to_chat_id")
        if jest_id(nowy) and nowy != cel and czekania < 5:
            przeniesione[czat] = nowy
            czekania += 1
            continue
        if kod == 429:
            pauza = parametry.get("retry_after")
            pauza = max(1, pauza) if type(pauza) in {int, float} else 1
            if pauza > 300 or czekania >= 6:
                raise Odmowa(429, "za dużo wiadomości")
            czekania += 1
            time.sleep(pauza + 0.1)
            continue
        if kod < 500:
            raise Odmowa(kod, "odmowa")
        if BUG == "ponawiaj-od-razu":
            if proba >= 300:
                raise Odmowa(kod, "nie działa")
            proba += 1
            continue
        if proba >= len(przerwy):
            raise Odmowa(kod, "nie działa")
        time.sleep(przerwy[proba])
        proba += 1


def odpowiedz(tekst: str, przyciski=()) -> None:
    """Says something to the chat that this thread works for, in as many parts as it needs."""
    klawiatura = None
    if przyciski:
        klawiatura = types.InlineKeyboardMarkup()
        for rzad in przyciski:
            klawiatura.row(*(types.InlineKeyboardButton(napis, callback_data=dane) for napis, dane in rzad))
    czesci = [tekst[i : i + 2000] for i in range(0, len(tekst), 2000)] or ["…"]
    for numer, czesc in enumerate(czesci, 1):
        znaki = klawiatura if numer == len(czesci) else None
        cierpliwie(lambda czat, t=czesc, k=znaki: apihelper.send_message(TOKEN, czat, t, reply_markup=k), teraz.czat)


def pisze() -> None:
    """Shows that something is coming, where Telegram lets it."""
    raz(lambda czat: apihelper.send_chat_action(TOKEN, czat, "typing"), przeniesione.get(teraz.czat, teraz.czat))


def powiadom(kogo: int, tekst: str, przyciski=()) -> bool:
    """Says something to somebody else, in the order of that chat."""
    return kolejki.dodaj(kogo, lambda: odpowiedz(tekst, przyciski))


# ---------------------------------------------------------------- kolejki


class Kolejki:
    """One queue and one thread for each chat that has something to do."""

    def __init__(self) -> None:
        self.zamek = threading.Lock()
        self.czeka: dict[int, deque] = {}

    def dodaj(self, czat: int, praca) -> bool:
        """Takes up some work; says whether there was room."""
        with self.zamek:
            kolejka = self.czeka.get(czat)
            if kolejka is not None:
                if len(kolejka) >= MAX_KOLEJKA:
                    return False
                kolejka.append(praca)
                return True
            if len(self.czeka) >= MAX_CZATOW:
                return False
            self.czeka[czat] = deque([praca])
            try:
                threading.Thread(target=self._pracuj, args=(czat,), daemon=True).start()
            except RuntimeError:
                del self.czeka[czat]
                return False
        return True

    def _pracuj(self, czat: int) -> None:
        while True:
            with self.zamek:
                if not self.czeka[czat]:
                    del self.czeka[czat]
                    return
                praca = self.czeka[czat].popleft()
            teraz.czat = czat
            self._jedna(czat, praca)

    def _jedna(self, czat: int, praca) -> None:
        try:
            praca()
        except Odmowa as blad:
            log.warning("czat %s: %s", czat, blad)
            if blad.kod == 429 or blad.kod >= 500:
                zegar = threading.Timer(20, przepros, (czat,))
                zegar.daemon = True
                zegar.start()
        except (LookupError, ValueError) as blad:
            log.warning("czat %s: stary przycisk albo złe dane: %r", czat, blad)
            if BUG != "klamry":
                przepros(czat)
        except Exception:
            log.exception("czat %s", czat)
            przepros(czat)


def przepros(czat: int) -> None:
    powiadom(czat, "Przepraszam, coś poszło nie tak. Spróbuj jeszcze raz.")


kolejki = Kolejki()

# ---------------------------------------------------------------- co klub wie

plik = Path(tempfile.mkdtemp(prefix="wypozycz-")) / "klub.db"
polaczenie = sqlite3.connect(plik, check_same_thread=False, isolation_level=None)
polaczenie.row_factory = sqlite3.Row
polaczenie.executescript("""
PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
CREATE TABLE ludzie (id INTEGER PRIMARY KEY, imie TEXT, opiekun INTEGER DEFAULT 0, punkty INTEGER DEFAULT 0, kiedy REAL);
CREATE TABLE narzedzia (id INTEGER PRIMARY KEY AUTOINCREMENT, wlasciciel INTEGER, nazwa TEXT, kategoria TEXT,
    kaucja INTEGER, u_kogo INTEGER, dni INTEGER);
CREATE TABLE prosby (id INTEGER PRIMARY KEY AUTOINCREMENT, narzedzie INTEGER, kto INTEGER, dni INTEGER,
    UNIQUE (narzedzie, kto));
""")
zamek_bazy = threading.RLock()


@contextmanager
def baza():
    """The database, for one transaction; nobody calls Telegram in it."""
    with zamek_bazy:
        polaczenie.execute("BEGIN IMMEDIATE")
        try:
            yield polaczenie
        except BaseException:
            polaczenie.execute("ROLLBACK")
            raise
        polaczenie.execute("COMMIT")


def jeden(sql: str, *dane):
    with zamek_bazy:
        return polaczenie.execute(sql, dane).fetchone()


def wiele(sql: str, *dane):
    with zamek_bazy:
        return polaczenie.execute(sql, dane).fetchall()


def zapamietaj(osoba: types.User) -> None:
    imie = czysty(str(osoba.first_name or ""), 40) or f"osoba {osoba.id}"
    with baza() as db:
        db.execute(
            "INSERT INTO ludzie (id, imie, kiedy) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET imie = excluded.imie, kiedy = excluded.kiedy",
            (osoba.id, imie, time.time()),
        )
        if db.execute("SELECT count(*) FROM ludzie").fetchone()[0] > MAX_LUDZI:
            db.execute(
                "DELETE FROM ludzie WHERE id IN (SELECT id FROM ludzie WHERE NOT opiekun AND NOT punkty "
                "AND id NOT IN (SELECT wlasciciel FROM narzedzia) ORDER BY kiedy LIMIT 100)"
            )


def imie(kto: int) -> str:
    osoba = jeden("SELECT imie FROM ludzie WHERE id = ?", kto)
    return osoba["imie"] if osoba else f"osoba {kto}"


def rola(kto: int) -> str:
    if kto == ADMIN_ID:
        return "admin"
    osoba = jeden("SELECT opiekun FROM ludzie WHERE id = ?", kto)
    return "opiekun" if osoba and osoba["opiekun"] else "klubowicz"


def narzedzie(numer: int | None):
    return jeden("SELECT * FROM narzedzia WHERE id = ?", numer)


def opis(n) -> str:
    stan = "dostępne" if n["u_kogo"] is None else f"wypożyczone na {n['dni']} dni"
    if BUG == "klamry":
        return (f"#{n['id']} {n['nazwa']}" + " ({kategoria}), kaucja {kaucja} zł, {stan}").format(
            kategoria=n["kategoria"], kaucja=n["kaucja"], stan=stan
        )
    return f"#{n['id']} {n['nazwa']} ({n['kategoria']}), kaucja {n['kaucja']} zł, {stan}"


# ---------------------------------------------------------------- rozmowy

rozmowy = Ostatnie(MAX_ROZMOW)
zamek_rozmow = threading.Lock()


def klucz(czat: int, kto: int):
    return czat if BUG == "krok-czatu" else (czat, kto)


def rozmowa(czat: int, kto: int):
    with zamek_rozmow:
        stan = rozmowy.get(klucz(czat, kto))
        return stan if stan and time.monotonic() - stan["od"] < 1800 else None


def zacznij(czat: int, kto: int, **stan) -> None:
    with zamek_rozmow:
        rozmowy[klucz(czat, kto)] = {**stan, "od": time.monotonic()}


def zakoncz(czat: int, kto: int) -> dict | None:
    with zamek_rozmow:
        return rozmowy.pop(klucz(czat, kto), None)


def dodaj_narzedzie(kto: int, nazwa: str, kategoria: str, kaucja: int) -> str:
    with baza() as db:
        wszystkie = db.execute("SELECT count(*) FROM narzedzia").fetchone()[0]
        moje = db.execute("SELECT count(*) FROM narzedzia WHERE wlasciciel = ?", (kto,)).fetchone()[0]
        if wszystkie >= MAX_NARZEDZI or moje >= MAX_NA_OSOBE:
            return "Nie ma już miejsca na więcej narzędzi. Usuń coś: /usun numer"
        dane = (kto, nazwa, kategoria, kaucja)
        numer = db.execute(
            "INSERT INTO narzedzia (wlasciciel, nazwa, kategoria, kaucja) VALUES (?, ?, ?, ?)", dane
        ).lastrowid
    return f"Dodano: {opis(narzedzie(numer))}"


def pytanie_o_kategorie() -> None:
    rzedy = [[(nazwa, f"kat:{numer}")] for numer, nazwa in enumerate(KATEGORIE)]
    odpowiedz("Jaka kategoria? Wybierz albo napisz.", rzedy)


def krok(czat: int, kto: int, stan: dict, tekst: str) -> None:
    """The next step of adding a tool."""
    if stan["krok"] == "nazwa":
        nazwa = czysty(tekst, 80)
        if not nazwa:
            return odpowiedz("Napisz nazwę narzędzia, np. Wiertarka udarowa.")
        zacznij(czat, kto, krok="kategoria", nazwa=nazwa)
        return pytanie_o_kategorie()
    if stan["krok"] == "kategoria":
        kategoria = tekst.strip().lower()
        if kategoria not in KATEGORIE:
            return pytanie_o_kategorie()
        return z_kategoria(czat, kto, stan, kategoria)
    if stan["krok"] == "kaucja":
        kaucja = liczba(tekst)
        if kaucja is None or kaucja > 5000:
            return odpowiedz("Kaucja to liczba od 0 do 5000 (w złotych).")
        zacznij(czat, kto, **{**stan, "krok": "zgoda", "kaucja": kaucja})
        return odpowiedz(
            f"{stan['nazwa']} ({stan['kategoria']}), kaucja {kaucja} zł. Zapisać?",
            [[("Zapisz", "zapisz"), ("Porzuć", "porzuc")]],
        )
    return odpowiedz("Naciśnij Zapisz albo Porzuć.", [[("Zapisz", "zapisz"), ("Porzuć", "porzuc")]])


def z_kategoria(czat: int, kto: int, stan: dict, kategoria: str) -> None:
    zacznij(czat, kto, krok="kaucja", nazwa=stan["nazwa"], kategoria=kategoria)
    odpowiedz("Jaka kaucja w złotych? (0, jeśli żadna)")


# ---------------------------------------------------------------- polecenia


def wymaga(potrzebna: str):
    """Lets only those through who have this role."""

    def ozdobnik(funkcja):
        @functools.wraps(funkcja)
        def sprawdzone(wiadomosc):
            if rola(wiadomosc.from_user.id) != potrzebna:
                return odpowiedz("To polecenie jest tylko dla administratora.")
            return funkcja(wiadomosc)

        return sprawdzone

    return ozdobnik


def reszta(wiadomosc) -> str:
    czesci = wiadomosc.text.split(maxsplit=1)
    return czesci[1] if len(czesci) > 1 else ""


@bot.message_handler(commands=["start", "pomoc", "help"])
def pomoc(wiadomosc):
    odpowiedz(POMOC)


@bot.message_handler(commands=["anuluj"])
def anuluj(wiadomosc):
    byla = zakoncz(wiadomosc.chat.id, wiadomosc.from_user.id)
    odpowiedz("Przerwano dodawanie." if byla else "Nie ma czego przerywać.")


@bot.message_handler(commands=["dodaj"])
def dodaj(wiadomosc):
    kto, tekst = wiadomosc.from_user.id, reszta(wiadomosc)
    if not tekst:
        zacznij(wiadomosc.chat.id, kto, krok="nazwa")
        return odpowiedz("Jak nazywa się narzędzie? (/anuluj przerywa)")
    nazwa, kategoria, kaucja, *_ = (*tekst.split(";"), "inne", "0") if ";" not in tekst else (*tekst.split(";"), "0")
    nazwa, kategoria, kaucja = czysty(nazwa, 80), kategoria.strip().lower(), liczba(kaucja)
    if not nazwa or kategoria not in KATEGORIE or kaucja is None or kaucja > 5000:
        return odpowiedz(f"Użycie: /dodaj nazwa; kategoria; kaucja. Kategorie: {', '.join(KATEGORIE)}")
    odpowiedz(dodaj_narzedzie(kto, nazwa, kategoria, kaucja))


def lista(wynik, naglowek: str) -> None:
    if not wynik:
        return odpowiedz("Niczego nie ma. Dodaj coś: /dodaj")
    przyciski = [[(f"Pokaż #{n['id']}", f"pokaz:{n['id']}")] for n in wynik[:8]]
    odpowiedz("\n".join([naglowek, *(opis(n) for n in wynik)]), przyciski)


@bot.message_handler(commands=["narzedzia"])
def narzedzia(wiadomosc):
    pisze()
    lista(wiele("SELECT * FROM narzedzia ORDER BY id DESC LIMIT 15"), "Ostatnio dodane:")


@bot.message_handler(commands=["szukaj"])
def szukaj(wiadomosc):
    slowo = czysty(reszta(wiadomosc), 40).casefold()
    if not slowo:
        return odpowiedz("Użycie: /szukaj słowo")
    pisze()
    wszystkie = wiele("SELECT * FROM narzedzia ORDER BY id DESC")
    lista([n for n in wszystkie if slowo in n["nazwa"].casefold()][:15], "Znalezione:")


def pokaz(kto: int, numer: int | None) -> None:
    n = narzedzie(numer)
    if n is None:
        return odpowiedz("Nie ma takiego narzędzia.")
    przyciski = []
    if n["wlasciciel"] == kto:
        przyciski.append([("Usuń", f"usun:{n['id']}")])
    elif n["u_kogo"] is None:
        przyciski.append([("Poproś na 7 dni", f"prosba:{n['id']}")])
    if n["u_kogo"] == kto:
        przyciski.append([("Oddaj", f"oddaj:{n['id']}")])
    odpowiedz(f"{opis(n)}\nWłaściciel: {imie(n['wlasciciel'])}", przyciski)


@bot.message_handler(commands=["szczegoly"])
def szczegoly(wiadomosc):
    pokaz(wiadomosc.from_user.id, liczba(reszta(wiadomosc)))


def popros(kto: int, numer: int | None, dni: int) -> str:
    n = narzedzie(numer)
    if n is None:
        return "Nie ma takiego narzędzia."
    if n["wlasciciel"] == kto:
        return "To twoje narzędzie."
    if n["u_kogo"] is not None:
        return "To narzędzie jest już wypożyczone."
    with baza() as db:
        if db.execute("SELECT 1 FROM prosby WHERE narzedzie = ? AND kto = ?", (numer, kto)).fetchone():
            return "Prośba już czeka na właściciela."
        prosba = db.execute("INSERT INTO prosby (narzedzie, kto, dni) VALUES (?, ?, ?)", (numer, kto, dni)).lastrowid
        db.execute("DELETE FROM prosby WHERE id <= ?", (prosba - MAX_PROSB,))
    powiadom(
        n["wlasciciel"],
        f"{imie(kto)} prosi o {n['nazwa']} (#{numer}) na {dni} dni.",
        [[("Wydaj", f"wydaj:{prosba}"), ("Odmów", f"odmow:{prosba}")]],
    )
    return f"Prośba o #{numer} wysłana do właściciela."


@bot.message_handler(commands=["wypozycz"])
def wypozycz(wiadomosc):
    czesci = reszta(wiadomosc).split()
    numer, dni = liczba(czesci[0]) if czesci else None, liczba(czesci[1]) if len(czesci) > 1 else 7
    if numer is None or not dni or dni > 60:
        return odpowiedz("Użycie: /wypozycz numer [dni], od 1 do 60 dni")
    odpowiedz(popros(wiadomosc.from_user.id, numer, dni))


def zwroc(kto: int, numer: int | None) -> str:
    with baza() as db:
        n = db.execute("SELECT * FROM narzedzia WHERE id = ?", (numer,)).fetchone()
        if n is None:
            return "Nie ma takiego narzędzia."
        if n["u_kogo"] is None:
            return "To narzędzie nie jest wypożyczone."
        if kto not in {n["u_kogo"], n["wlasciciel"]} and rola(kto) == "klubowicz":
            return "Nie masz tego narzędzia."
        db.execute("UPDATE narzedzia SET u_kogo = NULL, dni = NULL WHERE id = ?", (numer,))
        db.execute("UPDATE ludzie SET punkty = punkty + 1 WHERE id = ?", (n["u_kogo"],))
    if n["wlasciciel"] != kto:
        powiadom(n["wlasciciel"], f"Zwrócono {n['nazwa']} (#{numer}).")
    return f"Zwrócono #{numer} {n['nazwa']}."


@bot.message_handler(commands=["oddaj"])
def oddaj(wiadomosc):
    odpowiedz(zwroc(wiadomosc.from_user.id, liczba(reszta(wiadomosc))))


@bot.message_handler(commands=["moje"])
def moje(wiadomosc):
    kto = wiadomosc.from_user.id
    pisze()
    wlasne = wiele("SELECT * FROM narzedzia WHERE wlasciciel = ? ORDER BY id", kto)
    cudze = wiele("SELECT * FROM narzedzia WHERE u_kogo = ? ORDER BY id", kto)
    punkty = jeden("SELECT punkty FROM ludzie WHERE id = ?", kto)
    tekst = ["Twoje narzędzia:", *(opis(n) for n in wlasne), "Wypożyczone przez ciebie:", *(opis(n) for n in cudze)]
    przyciski = [[(f"Oddaj #{n['id']}", f"oddaj:{n['id']}")] for n in cudze[:8]]
    odpowiedz("\n".join([*tekst, f"Punkty: {punkty['punkty'] if punkty else 0}"]), przyciski)


def usuniecie(kto: int, numer: int | None, *, sprawdz: bool = True) -> str:
    with baza() as db:
        n = db.execute("SELECT * FROM narzedzia WHERE id = ?", (numer,)).fetchone()
        if n is None:
            return "Nie ma takiego narzędzia."
        if sprawdz and n["wlasciciel"] != kto and rola(kto) == "klubowicz":
            return "To nie jest twoje narzędzie."
        if n["u_kogo"] is not None:
            return "Najpierw ktoś musi je oddać."
        db.execute("DELETE FROM narzedzia WHERE id = ?", (numer,))
        db.execute("DELETE FROM prosby WHERE narzedzie = ?", (numer,))
    return f"Usunięto #{numer} {n['nazwa']}."


@bot.message_handler(commands=["usun"])
def usun(wiadomosc):
    odpowiedz(usuniecie(wiadomosc.from_user.id, liczba(reszta(wiadomosc))))


@bot.message_handler(commands=["przekaz"])
def przekaz(wiadomosc):
    kto, czesci = wiadomosc.from_user.id, reszta(wiadomosc).split()
    numer, komu = (liczba(czesci[0]), liczba(czesci[1])) if len(czesci) == 2 else (None, None)
    if numer is None or not komu:
        return odpowiedz("Użycie: /przekaz numer id_osoby")
    with baza() as db:
        n = db.execute("SELECT * FROM narzedzia WHERE id = ?", (numer,)).fetchone()
        znany = db.execute("SELECT 1 FROM ludzie WHERE id = ?", (komu,)).fetchone()
        if n is None or n["wlasciciel"] != kto:
            wynik = "To nie jest twoje narzędzie." if n else "Nie ma takiego narzędzia."
        elif not znany or komu == kto:
            wynik = "Nie znam tej osoby. Niech najpierw napisze do mnie."
        elif n["u_kogo"] is not None:
            wynik = "Najpierw ktoś musi je oddać."
        else:
            db.execute("UPDATE narzedzia SET wlasciciel = ? WHERE id = ?", (komu, numer))
            wynik = ""
    if not wynik:
        powiadom(komu, f"{imie(kto)} przekazuje ci {n['nazwa']} (#{numer}).")
    odpowiedz(wynik or f"#{numer} należy teraz do: {imie(komu)}.")


polecenia = Ostatnie(200)  # ile razy czego użyto


@bot.message_handler(commands=["raport"])
@wymaga("admin")
def raport(wiadomosc):
    ile = [jeden(f"SELECT count(*) FROM {tabela}")[0] for tabela in ("ludzie", "narzedzia", "prosby")]
    wydane = jeden("SELECT count(*) FROM narzedzia WHERE u_kogo IS NOT NULL")[0]
    opiekunowie = wiele("SELECT id, imie FROM ludzie WHERE opiekun ORDER BY id LIMIT 50")
    odpowiedz(
        f"Raport klubu: osób {ile[0]}, narzędzi {ile[1]}, próśb {ile[2]}, wydanych {wydane}, "
        f"poleceń {sum(list(polecenia.values()))}.\nOpiekunowie: "
        + (", ".join(f"{o['imie']} ({o['id']})" for o in opiekunowie) or "nikt")
    )


@bot.message_handler(commands=["opiekun"])
@wymaga("admin")
def opiekun(wiadomosc):
    kto = liczba(reszta(wiadomosc))
    with baza() as db:
        zmienione = db.execute("UPDATE ludzie SET opiekun = 1 - opiekun WHERE id = ?", (kto,)).rowcount if kto else 0
    if not zmienione:
        return odpowiedz("Użycie: /opiekun id osoby, która już do mnie pisała")
    odpowiedz(f"{imie(kto)}: teraz {rola(kto)}.")


def ogloszenie(wiadomosc):
    tekst = czysty(reszta(wiadomosc), 1000)
    if not tekst:
        return odpowiedz("Użycie: /ogloszenie tekst")
    ludzie = wiele("SELECT DISTINCT wlasciciel AS id FROM narzedzia UNION SELECT u_kogo FROM narzedzia LIMIT 1000")
    kogo = [o["id"] for o in ludzie if o["id"] is not None]

    def rozeslij() -> None:
        for jedna in kogo:
            for _ in range(100):
                if powiadom(jedna, f"Ogłoszenie: {tekst}"):
                    break
                time.sleep(0.2)

    threading.Thread(target=rozeslij, daemon=True).start()
    odpowiedz(f"Wysyłam ogłoszenie do {len(kogo)} osób.")


if BUG == "kolejnosc-dekoratorow":
    ogloszenie = wymaga("admin")(bot.message_handler(commands=["ogloszenie"])(ogloszenie))
else:
    ogloszenie = bot.message_handler(commands=["ogloszenie"])(wymaga("admin")(ogloszenie))


@bot.message_handler(content_types=telebot.util.content_type_media)
def inne(wiadomosc):
    stan = rozmowa(wiadomosc.chat.id, wiadomosc.from_user.id)
    tekst = wiadomosc.text or ""
    if stan and not tekst.startswith("/"):
        return krok(wiadomosc.chat.id, wiadomosc.from_user.id, stan, tekst)
    if tekst.startswith("/"):
        return odpowiedz("Nie znam tego polecenia. Zobacz /pomoc")
    if wiadomosc.chat.type == "private":
        odpowiedz("Nie rozumiem. Zobacz /pomoc")


# ---------------------------------------------------------------- przyciski


def odbierz(wcisniete) -> None:
    """Stops the button's clock."""

    def zatrzymaj(_):
        return apihelper.answer_callback_query(TOKEN, wcisniete.id)

    if BUG == "stare-zapytanie":
        return cierpliwie(zatrzymaj, 0, PRZERWY[:2])
    try:
        cierpliwie(zatrzymaj, 0, PRZERWY[:2])
    except Odmowa as blad:  # za późno: to nic nie zmienia
        log.info("przycisk: %s", blad)


def rozpatrz(kto: int, numer: int, *, zgoda: bool) -> str:
    with baza() as db:
        p = db.execute("SELECT * FROM prosby WHERE id = ?", (numer,)).fetchone()
        n = db.execute("SELECT * FROM narzedzia WHERE id = ?", (p["narzedzie"],)).fetchone() if p else None
        if n is None:
            return "Tej prośby już nie ma."
        if n["wlasciciel"] != kto:
            return "To nie jest twoje narzędzie."
        if zgoda and n["u_kogo"] is not None:
            return "To narzędzie jest już wypożyczone."
        db.execute("DELETE FROM prosby WHERE id = ?", (numer,))
        if zgoda:
            db.execute("UPDATE narzedzia SET u_kogo = ?, dni = ? WHERE id = ?", (p["kto"], p["dni"], n["id"]))
            db.execute("UPDATE ludzie SET punkty = punkty + 1 WHERE id = ?", (kto,))
    powiadom(p["kto"], f"{n['nazwa']} (#{n['id']}): {'możesz odebrać' if zgoda else 'właściciel odmówił'}.")
    return f"Wydano #{n['id']} osobie {imie(p['kto'])}." if zgoda else "Odmówiono."


@bot.callback_query_handler(func=lambda _: True)
def przycisk(wcisniete):
    kto = wcisniete.from_user.id
    czat = wcisniete.message.chat.id if wcisniete.message else kto
    odbierz(wcisniete)
    znalezione = re.fullmatch(r"([a-z]{3,8})(?::([0-9]{1,9}))?", wcisniete.data or "")
    co, numer = (znalezione[1], int(znalezione[2] or 0)) if znalezione else ("", 0)
    stan = rozmowa(czat, kto)
    if co == "pokaz":
        return pokaz(kto, numer)
    if co == "prosba":
        return odpowiedz(popros(kto, numer, 7))
    if co in {"wydaj", "odmow"}:
        return odpowiedz(rozpatrz(kto, numer, zgoda=co == "wydaj"))
    if co == "oddaj":
        return odpowiedz(zwroc(kto, numer))
    if co == "usun":
        return odpowiedz(usuniecie(kto, numer, sprawdz=BUG != "usun-przycisk"))
    if co in {"kat", "zapisz", "porzuc"} and stan is None:
        return odpowiedz("Tego dodawania już nie ma. Zacznij od /dodaj")
    if co == "kat" and stan["krok"] == "kategoria" and numer < len(KATEGORIE):
        return z_kategoria(czat, kto, stan, KATEGORIE[numer])
    if co == "zapisz" and stan["krok"] == "zgoda":
        zakoncz(czat, kto)
        return odpowiedz(dodaj_narzedzie(kto, stan["nazwa"], stan["kategoria"], stan["kaucja"]))
    if co == "porzuc":
        zakoncz(czat, kto)
        return odpowiedz("Porzucono.")
    odpowiedz("Ten przycisk jest już nieaktualny.")


# ---------------------------------------------------------------- webhook

widziane = Ostatnie(MAX_WIDZIANYCH)
zamek_widzianych = threading.Lock()


def zaufane() -> bool:
    podany = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
    if BUG == "bez-naglowka" and not podany:
        return True
    return hmac.compare_digest((podany or "").encode("utf-8", "replace"), SEKRET.encode())


def odczytaj(dane: dict):
    """The chat, the sender and what telebot makes of an update; nothing where there is nothing to do."""
    tresc = dane.get("message") or dane.get("callback_query")
    if not isinstance(tresc, dict) or not isinstance(tresc.get("from"), dict):
        return None
    wiadomosc = tresc if "message" in dane else tresc.get("message") or {"chat": tresc["from"]}
    if not isinstance(wiadomosc, dict) or not isinstance(wiadomosc.get("chat"), dict):
        return None
    if not jest_id(wiadomosc["chat"].get("id")) or not jest_id(tresc["from"].get("id")):
        return None
    if not isinstance(tresc.get("text", ""), str) or not isinstance(tresc.get("data", ""), str):
        return None
    try:
        uaktualnienie = types.Update.de_json(dane)
    except Exception as blad:  # telebot nie zna takiego kształtu
        log.info("nieznany kształt: %r", blad)
        return None
    return wiadomosc["chat"]["id"], uaktualnienie


def powtorzone(dane: dict, czat: int) -> int | tuple:
    """Under what a delivery is remembered."""
    if BUG == "klucz-wiadomosci":
        wiadomosc = dane.get("message") or dane["callback_query"].get("message") or {}
        if wiadomosc.get("message_id"):
            return czat, wiadomosc["message_id"]
    return dane["update_id"]


@app.post(SCIEZKA)
def webhook():
    if not zaufane():
        return "", 401
    try:
        dane = json.loads(request.get_data())
    except (ValueError, RecursionError, OSError):
        return "", 400
    if not isinstance(dane, dict) or type(dane.get("update_id")) is not int:
        return "", 400
    odczytane = odczytaj(dane)
    if odczytane is None:
        return ""
    czat, uaktualnienie = odczytane
    tekst = uaktualnienie.message.text if uaktualnienie.message else ""
    if BUG != "bez-tekstu":
        tekst = tekst or ""
    polecenie = tekst.split()[0][:20] if tekst.startswith("/") else ""

    def praca() -> None:
        zapamietaj((uaktualnienie.message or uaktualnienie.callback_query).from_user)
        bot.process_new_updates([uaktualnienie])

    with zamek_widzianych:
        pod_czym = powtorzone(dane, czat)
        if pod_czym in widziane:
            return ""
        if not kolejki.dodaj(czat, praca):
            return "", 429, {"Retry-After": "3"}
        widziane[pod_czym] = True
        if polecenie:
            polecenia[polecenie] = polecenia.get(polecenie, 0) + 1
    return ""


if __name__ == "__main__":
    WSGIRequestHandler.timeout = 20
    make_server("127.0.0.1", PORT, app, threaded=True).serve_forever()
