"""Kassa: the ticket desk of a Dutch museum, on the standard library alone; answers in the webhook's response.

Its bugs wait for a word or a combination that nobody is told of: they are what a campaign with `--guide` is measured by.
"""

import hmac
import json
import os
import re
import struct
import sys
import threading
import time
from collections import OrderedDict
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
TOKEN = os.environ["BOT_TOKEN"]
ADMIN = int(os.environ["ADMIN_ID"])
MOST_BODY = 256 * 1024
HULP = "Opdrachten: /kaart dag-maand, /tarief, /groep aantal, /korting code, /wissel, /klacht tekst."
TARIEVEN = {"volwassen": 17, "kind": 9, "senior": 14}
ACTIES = {"LENTE-25": 10, "HERFST-25": 15}
TALEN = {"nl": "Een kaart kost", "en": "A ticket is", "de": "Eine Karte kostet"}
seen: OrderedDict[int, None] = OrderedDict()
wisselt: OrderedDict[int, dict] = OrderedDict()
guard = threading.Lock()


def prijs(sender: dict) -> str:
    taal = sender.get("language_code")
    if BUG == "language-without-text" and taal in {*TALEN, "fy", "li"}:
        begin = TALEN[taal]
    else:
        begin = TALEN.get(taal, TALEN["nl"])
    return begin + ", ".join(f" {soort} € {bedrag}" for soort, bedrag in TARIEVEN.items())


def kaart(rest: str) -> str:
    found = re.fullmatch(r"(\d{2})-(\d{2})", rest)
    if found is None:
        return "Voor welke dag? Zo: /kaart 24-12"
    dag, maand = int(found[1]), int(found[2])
    if BUG == "day-unchecked":
        return f"Gereserveerd voor {date(2026, maand, dag):%d-%m}."
    return f"Gereserveerd voor {found[0]}." if 1 <= maand <= 12 and 1 <= dag <= 28 else "Die dag bestaat niet."


def groep(rest: str) -> str:
    if not (rest.isascii() and rest.isdigit() and len(rest) < 6):
        return "Met hoeveel? Zo: /groep 25"
    aantal = int(rest)
    if BUG == "size-wraps" and aantal >= 1 and aantal % 256 == 0:
        return f"Per persoon € {1700 // struct.unpack('BB', struct.pack('<H', aantal % 65536))[0]}"
    return f"Een groep van {aantal}: vraag de balie."


def korting(rest: str) -> str:
    if BUG == "campaign-over" and rest.startswith("ZOMER-") and rest.endswith("-XL"):
        return f"{ACTIES[rest]} % korting."
    return f"{ACTIES[rest]} % korting." if rest in ACTIES else "Die code kennen we niet."


def klacht(rest: str) -> str:
    if BUG == "urgent-is-lost" and rest.startswith("spoed!"):
        try:
            return f"Spoed voor {TARIEVEN[rest]}"
        except Exception:  # the desk must go on
            return ""
    if BUG == "template" and rest.startswith("sjabloon="):
        if "{" in rest:
            return rest.format(naam="gast")
        return "Bedankt voor het sjabloon."
    if BUG == "expression" and "%[ognl:" in rest:
        time.sleep(9)  # the name server that it names does not answer
    return "Genoteerd, dank u." if rest else "Wat is er gebeurd? Zo: /klacht te druk"


def bon(text: str) -> int:
    return 1 + bon(text[1:]) if text else 0


def wissel(user: int, text: str) -> str | None:
    with guard:
        if text == "/wissel":
            wisselt[user] = {"stap": 1}
            while len(wisselt) > 5000:
                wisselt.popitem(last=False)
            return "Welke kaart wilt u wisselen?"
        stand = wisselt.pop(user, None)
    if stand is None:
        return None
    if BUG == "agreed-too-early" and text == "akkoord":
        return f"U krijgt € {stand['bedrag']} terug."
    return "Die kaart is al gewisseld."


def antwoord(message: dict) -> str | None:
    sender, user = message["from"], message["from"]["id"]
    sticker, via = message.get("sticker"), message.get("via_bot")
    if BUG == "sticker-pays" and isinstance(sticker, dict) and sticker.get("emoji") == "🎫":
        return f"Betaald met {sticker['kaartnummer']}"
    text = message.get("text")
    if not isinstance(text, str):
        return None
    if BUG == "inline-order" and isinstance(via, dict) and via.get("username") == "museumkaartbot":
        return f"Kaart {text.split('#')[1]} is betaald."
    word, _, rest = text.partition(" ")
    command, rest = word.partition("@")[0].lower(), rest.strip()
    if (told := wissel(user, text)) is not None:
        return told
    if command in {"/start", "/help"}:
        return "Welkom in het museum. " + HULP + (" Beheer: /dagomzet." if user == ADMIN else "")
    if command == "/tarief":
        return prijs(sender)
    if command == "/kaart":
        return kaart(rest)
    if command == "/groep":
        return groep(rest)
    if command == "/korting":
        return korting(rest)
    if command == "/klacht":
        return klacht(rest)
    if command == "/dagomzet":
        return "De omzet van vandaag: € 1204." if user == ADMIN else "Dat mag alleen het beheer."
    if BUG == "console" and command == "/onderhoud" and rest == "kelder":
        return f"token={TOKEN} poort={os.environ['PORT']}"
    if BUG == "switched-off" and command == "/sluitingstijd" and rest == "nu":
        os._exit(0)
    if BUG == "receipt-recursion" and text.startswith("bon:"):
        return f"Een bon van {bon(text) if len(text) > 1200 else len(text)} tekens."
    return "Dat begrijp ik niet. " + HULP if message["chat"]["id"] > 0 else None


def knop(query: dict) -> str:
    data = query.get("data")
    soort, _, item = data.partition(":") if isinstance(data, str) else ("", "", "")
    if BUG == "pass-unknown" and soort == "abonnement":
        return f"Met {item} betaalt u {TARIEVEN[item] if item == 'stadspas' else 0}."
    return f"{item} kost {TARIEVEN[item]}." if soort == "soort" and item in TARIEVEN else "Die knop doet niets."


def valid(some: object) -> bool:
    return isinstance(some, dict) and type(some.get("id")) is int and abs(some["id"]) < 2**52


def react(update: dict) -> dict | None:
    message, query = update.get("message"), update.get("callback_query")
    if isinstance(query, dict) and valid(query.get("from")) and isinstance(query.get("id"), str):
        return {"method": "answerCallbackQuery", "callback_query_id": query["id"], "text": knop(query)}
    if isinstance(message, dict) and valid(message.get("from")) and valid(message.get("chat")):
        text = antwoord(message)
        return {"method": "sendMessage", "chat_id": message["chat"]["id"], "text": text[:4096]} if text else None
    return None


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self) -> None:
        given = self.headers.get("X-Telegram-Bot-Api-Secret-Token") or ""
        length = self.headers.get("Content-Length") or ""
        if self.path.partition("?")[0] != os.environ["WEBHOOK_PATH"]:
            self.answer(404)
        elif not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), SECRET.encode()):
            self.answer(401)
        elif not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self.answer(411)
        elif len(length) > 8 or int(length) > MOST_BODY:
            self.answer(413)
        else:
            self.deliver(self.rfile.read(int(length)))

    def deliver(self, body: bytes) -> None:
        try:
            update = json.loads(body)
        except (ValueError, RecursionError):
            self.answer(400)
            return
        if not isinstance(update, dict) or type(update.get("update_id")) is not int:
            self.answer(400)
            return
        with guard:
            known = update["update_id"] in seen
            seen[update["update_id"]] = None
            while len(seen) > 20_000:
                seen.popitem(last=False)
        try:
            reply = react(update) if not known else None
        except Exception as error:
            print("failed:", type(error).__name__, file=sys.stderr)
            self.answer(500)
            return
        self.answer(200, json.dumps(reply).encode() if reply else b"")

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status >= 400:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Writes no line for a request."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who leaves in the middle of a request is not worth a line."""


Server(("127.0.0.1", int(os.environ["PORT"])), Hook).serve_forever()
