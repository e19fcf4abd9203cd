"""Quizdía: a daily quiz in Spanish, on bare FastAPI.

Whatever can be said in the answer to the webhook is said there: a redelivered update gets the same answer again, and
nothing happens twice. The rest goes out by the Bot API, in order for each chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import random
import re
import secrets
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "").encode()
URL = f"{os.environ.get('BOT_API', 'https://api.telegram.org').rstrip('/')}/bot{os.environ.get('BOT_TOKEN', '')}/"
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
MAX_BODY, MAX_PENDING, MAX_TASKS, MAX_PLAYERS, MAX_QUESTIONS, MAX_LEAGUES = 1 << 20, 200, 5000, 20_000, 500, 2000
BACKOFF = (0.5, 1, 2, 4, 8, 15)
log = logging.getLogger("quizdia")

HELP = """Una pregunta cada día.
/hoy - la pregunta de hoy
/practica - otra pregunta, sin puntos
/ranking - los mejores
/racha - tus puntos y tu racha
/alias nombre - cómo apareces en el ranking
/liga nombre - crea una liga para tus amigos
/unirse código - entra en una liga
/ligas - tus ligas
/salir código - deja una liga
/suscribir, /baja - recibir o no los avisos
/cancelar - deja lo que estás haciendo
Para el admin: /nueva, /preguntas, /borrar id, /difundir texto, /resumen"""
ADMIN_ONLY = {"nueva", "preguntas", "borrar", "difundir", "resumen"}
IN_PRIVATE = ADMIN_ONLY | {"liga", "unirse", "ligas", "salir"}


class Lru(OrderedDict):
    """A dictionary that forgets what was set first."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key, value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def is_id(value: object) -> bool:
    return type(value) is int and 0 < abs(value) < 1 << 53


def clean(text: str, limit: int, *, lines: bool = False) -> str:
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]+", " ", text[: 4 * limit])
    return (text if lines else re.sub(r"\s+", " ", text)).strip()[:limit].strip()


def cut(text: str, limit: int) -> str:
    """Telegram counts in UTF-16."""
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore")


def keyboard(rows: list[tuple[str, str]]) -> dict:
    return {"inline_keyboard": [[{"text": text, "callback_data": data}] for text, data in rows]}


# ---------------------------------------------------------------- the Bot API


class Telegram:
    """Sends in order for each chat, patiently, and never for ever."""

    def __init__(self) -> None:
        self.http = httpx.AsyncClient(
            timeout=8, limits=httpx.Limits(max_connections=None, max_keepalive_connections=50)
        )
        self.locks: dict[object, asyncio.Lock] = {}
        self.pending: Counter = Counter()
        self.tasks: set[asyncio.Task] = set()
        self.moved, self.quiet_until, self.sorry = Lru(1000), Lru(5000), Lru(1000)

    def full(self, chat: int) -> bool:
        return self.pending[chat] >= MAX_PENDING or len(self.tasks) >= MAX_TASKS

    def spawn(self, work) -> asyncio.Task:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def send(self, method: str, payload: dict) -> asyncio.Task:
        """Sends after all that waits for the same chat; the task gives the status in the end."""
        key = payload.get("chat_id", payload.get("callback_query_id"))
        self.pending[key] += 1
        return self.spawn(self._in_turn(key, method, payload))

    async def _in_turn(self, key: object, method: str, payload: dict) -> int:
        try:
            async with self.locks.setdefault(key, asyncio.Lock()):
                code = await self._patiently(method, payload, BACKOFF if is_id(key) else BACKOFF[:2])
        finally:
            self.pending[key] -= 1
            if not self.pending[key]:
                del self.pending[key]
                self.locks.pop(key, None)
        if (
            code not in (200, 401, 403, 404)
            and method == "sendMessage"
            and time.monotonic() - self.sorry.get(key, -99) > 60
        ):
            self.sorry[key] = time.monotonic()
            self.spawn(self._apologise(key, 20 if code >= 429 else 0))
        return code

    async def _apologise(self, chat: int, delay: float) -> None:
        await asyncio.sleep(delay)
        self.send(
            "sendMessage", {"chat_id": chat, "text": "Perdona, no pude entregarte un mensaje. Inténtalo otra vez."}
        )

    async def _patiently(self, method: str, payload: dict, backoff: tuple) -> int:
        tries = waits = 0
        while True:
            chat = payload.get("chat_id")
            if chat in self.moved:
                payload = {**payload, "chat_id": self.moved[chat]}
            key = payload.get("chat_id", method)
            pause = self.quiet_until.get(key, 0) - time.monotonic()
            if pause > 300:
                return 429
            await asyncio.sleep(max(0, pause))
            answer = await self._once(method, payload)
            if answer.get("ok") is True:
                return 200
            code, parameters = answer.get("error_code"), answer.get("parameters")
            code = code if type(code) is int and code >= 400 else 599
            parameters = parameters if isinstance(parameters, dict) else {}
            target, wait = parameters.get("migrate_to_chat_id"), parameters.get("retry_after")
            if code == 429:
                wait = wait if type(wait) in (int, float) and wait > 0 else 1
                self.quiet_until[key] = time.monotonic() + wait + 0.1
            if is_id(target) and target != payload.get("chat_id") and waits < 5:
                waits += 1
                self.moved.pop(target, None)
                self.moved[payload["chat_id"]] = target
                quiz.migrate(payload["chat_id"], target)
            elif code == 429 and waits < 5:
                waits += 1
            elif code >= 500 and tries < len(backoff):
                await asyncio.sleep(backoff[tries] * random.uniform(0.9, 1.1))
                tries += 1
            else:
                log.info("%s: %s %.100s", method, code, answer.get("description"))
                if code == 403:
                    quiz.subscribers.pop(payload.get("chat_id"), None)
                return code

    async def _once(self, method: str, payload: dict) -> dict:
        try:
            async with asyncio.timeout(9):
                answer = json.loads((await self.http.post(URL + method, json=payload)).content)
            return answer if isinstance(answer, dict) else {}
        except Exception as error:
            log.info("%s: %s", method, type(error).__name__)
            return {}


# ---------------------------------------------------------------- the quiz


@dataclass
class Question:
    id: int
    text: str
    options: list[str]
    right: int

    def buttons(self, prefix: str) -> dict:
        return keyboard([(option, f"{prefix}:{index}") for index, option in enumerate(self.options)])


@dataclass
class Player:
    name: str
    points: int = 0
    streak: int = 0
    best: int = 0
    answered: int = 0  # the latest day
    won: int = 0  # the latest day
    practised: int = 0


@dataclass
class League:
    name: str
    members: set[int] = field(default_factory=set)


class Quiz:
    def __init__(self) -> None:
        seeds = [
            ("¿Cuál es la capital de Perú?", ["Lima", "Quito", "Cusco"], 0),
            ("¿Cuántos lados tiene un hexágono?", ["Cinco", "Seis", "Ocho"], 1),
            ("¿Quién escribió Don Quijote?", ["Lope de Vega", "Cervantes", "Quevedo"], 1),
            ("¿Qué planeta está más cerca del Sol?", ["Venus", "Marte", "Mercurio"], 2),
        ]
        self.questions = {number: Question(number, *seed) for number, seed in enumerate(seeds, 1)}
        self.last_id = len(seeds)
        self.players: dict[int, Player] = {}
        self.subscribers: dict[int, bool] = {}
        self.leagues: dict[str, League] = {}
        self.drafts = Lru(100)  # (chat, user) -> what the admin is about to add or to send
        self.chosen = (0, 0)
        self.broadcasting = False

    def migrate(self, old: int, new: int) -> None:
        if self.subscribers.pop(old, None):
            self.subscribers[new] = True

    def today(self) -> tuple[int, Question]:
        day = datetime.now(UTC).toordinal()
        if self.chosen[0] != day:  # what was chosen stays for the whole day
            ids = list(self.questions)
            self.chosen = (day, ids[day % len(ids)])
        return day, self.questions[self.chosen[1]]

    def table(self, users: list[int], me: int) -> str:
        order = sorted((user for user in users if user in self.players), key=lambda user: -self.players[user].points)
        lines = [f"{n}. {self.players[user].name}: {self.players[user].points}" for n, user in enumerate(order[:10], 1)]
        if me in order[10:]:
            lines.append(f"... {order.index(me) + 1}. {self.players[me].name}: {self.players[me].points}")
        return "\n".join(lines) or "Todavía no juega nadie."

    def answer(self, player: Player, day: int, option: int) -> str:
        today, question = self.today()
        if day != today:
            return "Esa pregunta ya está cerrada. Mira la de /hoy."
        if player.answered == today:
            return "Ya respondiste hoy. Vuelve mañana."
        if option >= len(question.options):
            return "Esa opción no existe."
        player.answered = today
        if option != question.right:
            player.streak = 0
            return f"Incorrecto. Era: {question.options[question.right]}"
        player.streak = player.streak + 1 if player.won == today - 1 else 1
        player.best, player.won = max(player.best, player.streak), today
        earned = 10 + min(player.streak - 1, 5)
        player.points += earned
        return f"¡Correcto! +{earned} puntos, racha de {player.streak}."

    # ---- commands: each gives a text, or a text and a keyboard

    def command(self, chat: dict, user: int, name: str, rest: str) -> str | tuple[str, dict]:
        player, key = self.players[user], (chat["id"], user)
        if name in IN_PRIVATE and chat["type"] != "private":
            return "Eso, mejor en privado."
        if name in ADMIN_ONLY and user != ADMIN_ID:
            return "Eso es solo para el admin."
        if name in ("start", "ayuda", "help"):
            if name == "start" and chat["type"] == "private" and len(self.subscribers) < MAX_PLAYERS:
                self.subscribers[chat["id"]] = True
            return HELP
        if name == "hoy":
            day, question = self.today()
            return f"Pregunta de hoy: {question.text}", question.buttons(f"r:{day}")
        if name == "practica":
            ids = [number for number in self.questions if number != self.today()[1].id] or list(self.questions)
            player.practised += 1
            question = self.questions[ids[player.practised % len(ids)]]
            return f"Práctica: {question.text}", question.buttons(f"p:{question.id}")
        if name == "ranking":
            return "Ranking\n" + self.table(list(self.players), user)
        if name == "racha":
            return f"{player.name}: {player.points} puntos, racha de {player.streak}, la mejor {player.best}."
        if name == "alias":
            alias = clean(rest, 20)
            if not alias:
                return "Así: /alias nombre"
            if any(
                other.name.casefold() == alias.casefold() and other is not player for other in self.players.values()
            ):
                return "Ese alias ya está en uso."
            player.name = alias
            return f"Ahora te llamas {alias}."
        if name == "suscribir":
            if len(self.subscribers) >= MAX_PLAYERS:
                return "No caben más suscriptores."
            self.subscribers[chat["id"]] = True
            return "Este chat recibirá los avisos. Para dejarlo: /baja"
        if name == "baja":
            return (
                "Ya no enviaré avisos aquí." if self.subscribers.pop(chat["id"], None) else "Aquí no había suscripción."
            )
        if name == "cancelar":
            return "Cancelado." if self.drafts.pop(key, None) else "No hay nada que cancelar."
        if name == "liga":
            title, mine = clean(rest, 40), [code for code, one in self.leagues.items() if user in one.members]
            if not title:
                return "Así: /liga nombre"
            if len(mine) >= 10 or len(self.leagues) >= MAX_LEAGUES:
                return "Ya estás en diez ligas, deja una con /salir." if len(mine) >= 10 else "No caben más ligas."
            code = secrets.token_hex(4)
            self.leagues[code] = League(title, {user})
            return f"Liga {title} creada. Tus amigos entran con /unirse {code}"
        if name in ("unirse", "salir"):
            league = self.leagues.get(rest.lower())
            if league is None or (name == "salir" and user not in league.members):
                return "No conozco ese código." if league is None else "No estás en esa liga."
            if name == "salir":
                league.members.discard(user)
                if not league.members:
                    del self.leagues[rest.lower()]
                return f"Has dejado {league.name}."
            if user in league.members:
                return "Ya estás en esa liga."
            if len(league.members) >= 50 or sum(user in one.members for one in self.leagues.values()) >= 10:
                return "La liga está llena, o estás ya en diez."
            league.members.add(user)
            return f"Bienvenido a {league.name}.\n" + self.table(list(league.members), user)
        if name == "ligas":
            mine = [(code, one) for code, one in self.leagues.items() if user in one.members]
            return (
                "\n\n".join(f"{one.name} ({code})\n{self.table(list(one.members), user)}" for code, one in mine)
                or "No estás en ninguna liga."
            )
        if name == "nueva":
            if len(self.questions) >= MAX_QUESTIONS:
                return "No caben más preguntas."
            self.drafts[key] = {"step": "text"}
            return "Escribe la pregunta. (/cancelar)"
        if name == "preguntas":
            lines = [f"{one.id}. {one.text[:60]}" for one in list(self.questions.values())[-40:]]
            return "\n".join([f"Hay {len(self.questions)} preguntas.", *lines])
        if name == "borrar":
            number = int(rest) if re.fullmatch(r"[0-9]{1,9}", rest) else 0
            if number == self.today()[1].id:
                return "Esa es la de hoy: no se puede borrar."
            return "Borrada." if self.questions.pop(number, None) else "No hay tal pregunta. Así: /borrar id"
        if name == "difundir":
            text = clean(rest, 1500, lines=True)
            if not text:
                return "Así: /difundir texto"
            return self.confirm(key, {"text": text}, f"Se enviará a {len(self.subscribers)} chats:\n{text}")
        if name == "resumen":
            day = self.today()[0]
            done = sum(one.answered == day for one in self.players.values())
            return f"Jugadores: {len(self.players)}, hoy respondieron {done}. Suscriptores: {len(self.subscribers)}."
        return "No conozco esa orden. Mira /ayuda."

    def confirm(self, key: tuple[int, int], draft: dict, text: str) -> tuple[str, dict]:
        token = secrets.token_hex(6)
        self.drafts[key] = {**draft, "step": "confirm", "token": token}
        return text, keyboard([("Sí", f"ok:{token}"), ("No", f"no:{token}")])

    def text(self, key: tuple[int, int], text: str) -> str | tuple[str, dict]:
        """What the admin says while adding a question, one step after the other."""
        draft = self.drafts[key]
        if draft["step"] == "text":
            if not (question := clean(text, 200)):
                return "Escribe la pregunta, por favor."
            self.drafts[key] = {"step": "options", "question": question}
            return "Escribe de dos a cuatro opciones, una en cada línea."
        if draft["step"] == "options":
            options = [option for line in text.splitlines()[:10] if (option := clean(line, 60))]
            if not 2 <= len(options) <= 4 or len(set(options)) < len(options):
                return "Deben ser de dos a cuatro opciones distintas, una en cada línea."
            self.drafts[key] = {**draft, "step": "right", "options": options}
            return "¿Cuál es la correcta? Escribe su número."
        if draft["step"] == "right":
            options = draft["options"]
            if not re.fullmatch(r"[1-4]", text.strip()) or int(text) > len(options):
                return f"Escribe un número de 1 a {len(options)}."
            lines = [f"{'*' if n == int(text) else '-'} {option}" for n, option in enumerate(options, 1)]
            return self.confirm(
                key, {**draft, "right": int(text) - 1}, "\n".join([draft["question"], *lines, "¿La añado?"])
            )
        return "Pulsa uno de los botones, o /cancelar."

    def press(self, chat: dict, user: int, data: str) -> str:
        if match := re.fullmatch(r"r:([0-9]{1,7}):([0-9])", data):
            return self.answer(self.players[user], int(match[1]), int(match[2]))
        if match := re.fullmatch(r"p:([0-9]{1,9}):([0-9])", data):
            question = self.questions.get(int(match[1]))
            if question is None or int(match[2]) >= len(question.options):
                return "Esa pregunta ya no existe."
            right = int(match[2]) == question.right
            return "¡Correcto! (práctica)" if right else f"No: era {question.options[question.right]}. (práctica)"
        if match := re.fullmatch(r"(ok|no):([0-9a-f]{12})", data):
            key = (chat["id"], user)
            draft = self.drafts.get(key)
            if user != ADMIN_ID or draft is None or draft.get("token") != match[2]:
                return "Eso ya no está pendiente."
            if match[1] == "ok" and "question" not in draft and self.broadcasting:
                return "Todavía se está enviando el aviso anterior."
            del self.drafts[key]
            if match[1] == "no":
                return "Descartado."
            if "question" in draft:
                self.last_id += 1
                self.questions[self.last_id] = Question(
                    self.last_id, draft["question"], draft["options"], draft["right"]
                )
                return f"Añadida como pregunta {self.last_id}."
            self.broadcasting = True
            telegram.spawn(self.broadcast(chat["id"], draft["text"]))
            return "Enviando..."
        return "No conozco ese botón."

    async def broadcast(self, admin: int, text: str) -> None:
        sent = []
        try:
            for chat in list(self.subscribers):
                while len(telegram.tasks) > MAX_TASKS // 2:  # noqa: ASYNC110 (a rare brake)
                    await asyncio.sleep(1)
                sent.append(telegram.send("sendMessage", {"chat_id": chat, "text": f"📣 {text}"}))
                await asyncio.sleep(0.04)
        finally:
            self.broadcasting = False
        codes = await asyncio.gather(*sent)
        done = codes.count(200)
        telegram.send(
            "sendMessage", {"chat_id": admin, "text": f"Aviso entregado a {done} chats, a {len(codes) - done} no."}
        )


quiz = Quiz()
telegram: Telegram


# ---------------------------------------------------------------- the webhook


def handle(update: dict) -> dict | None:
    """Does what the update asks; gives the call that the webhook's answer may make, where it may."""
    query, message, member = (update.get(kind) for kind in ("callback_query", "message", "my_chat_member"))
    content = next((one for one in (query, message, member) if isinstance(one, dict)), {})
    sender, place = content.get("from"), (content.get("message") if content is query else content)
    if not isinstance(sender, dict) or not is_id(sender.get("id")) or sender["id"] < 0:
        return None
    user, chat = sender["id"], place.get("chat") if isinstance(place, dict) else None
    if content is query and not isinstance(chat, dict):
        chat = {"id": user, "type": "private"}
    if (
        not isinstance(chat, dict)
        or not is_id(chat.get("id"))
        or chat.get("type") not in ("private", "group", "supergroup")
    ):
        return None
    if content is member:
        status = member.get("new_chat_member")
        if isinstance(status, dict) and status.get("status") in ("kicked", "left"):
            quiz.subscribers.pop(chat["id"], None)
        return None
    if content is message and is_id(message.get("migrate_to_chat_id")):
        quiz.migrate(chat["id"], message["migrate_to_chat_id"])
        return None
    said = respond(content, chat, user, sender, pressed=content is query)
    if said is None:
        return None
    text, buttons = said if isinstance(said, tuple) else (said, None)
    call = {"method": "sendMessage", "chat_id": chat["id"], "text": cut(text, 4000)}
    if buttons:
        call["reply_markup"] = buttons
    if content is query:
        if chat["type"] == "private":  # in a group the answer is nobody else's business
            telegram.send("sendMessage", {key: value for key, value in call.items() if key != "method"})
        return {
            "method": "answerCallbackQuery",
            "callback_query_id": query["id"],
            "text": cut(text, 190),
            "show_alert": True,
        }
    if chat["type"] == "private" and not telegram.pending[chat["id"]]:
        return call
    telegram.send(call.pop("method"), call)  # groups migrate, and what waits comes first
    return None


def respond(content: dict, chat: dict, user: int, sender: dict, *, pressed: bool) -> str | tuple[str, dict] | None:
    text = content.get("data" if pressed else "text")
    private, anonymous = chat["type"] == "private", isinstance(content.get("sender_chat"), dict)
    if pressed and (not isinstance(text, str) or not isinstance(content.get("id"), str)):
        return None
    if not isinstance(text, str) or (sender.get("is_bot") is True and not anonymous):
        media = any(kind in content for kind in ("photo", "video", "sticker", "voice", "audio", "document", "location"))
        return "Solo entiendo texto. Mira /ayuda." if private and media else None
    match = re.fullmatch(r"/([A-Za-z_]{1,20})(?:@(\w{1,40}))?(?:\s+(.*))?", text.strip(), re.DOTALL)
    name = match[1].lower() if match else ""
    known = re.search(rf"/{name}\b", HELP) or name in ("start", "help")
    if not pressed and not private and not (match and known and (match[2] in (None, *usernames) or not usernames)):
        return None
    if anonymous:
        return "Escríbeme con tu propio nombre, por favor."
    if user not in quiz.players:
        if len(quiz.players) >= MAX_PLAYERS:
            return "No caben más jugadores, lo siento."
        first = sender.get("first_name")
        quiz.players[user] = Player(clean(first if isinstance(first, str) else "", 20) or f"Jugador {user % 10_000}")
    try:
        if pressed:
            return quiz.press(chat, user, text)
        if match:
            return quiz.command(chat, user, name, (match[3] or "").strip())
        if text.startswith("/"):
            return "No conozco esa orden. Mira /ayuda."
        if (chat["id"], user) in quiz.drafts:
            return quiz.text((chat["id"], user), text)
        return "Mira /ayuda para ver qué sé hacer."
    except Exception:
        log.exception("respond")
        return "Perdona, algo salió mal. Inténtalo otra vez."


class Usernames(list):
    """The bot's own name as people may write it, once it is known."""

    async def learn(self) -> None:
        for wait in (1, 5, 30, 60, 300):
            answer = await telegram._once("getMe", {})
            me = answer.get("result")
            if isinstance(me, dict) and isinstance(me.get("username"), str):
                self.extend({me["username"], me["username"].lower()})
                return
            await asyncio.sleep(wait)


usernames = Usernames()
seen, answers = Lru(20_000), Lru(2000)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI):
    global telegram
    telegram = Telegram()
    telegram.spawn(usernames.learn())
    yield
    await telegram.http.aclose()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)


async def body_of(request: Request) -> bytes | None:
    """The body; nothing where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


@app.post(PATH)
async def webhook(request: Request) -> Response:
    given = request.headers.get("x-telegram-bot-api-secret-token", "").encode("latin-1", "replace")
    if not hmac.compare_digest(given, SECRET):
        return Response(status_code=401, headers={"Connection": "close"})
    try:
        body = await asyncio.wait_for(body_of(request), 15)
        if body is None:
            return Response(status_code=413, headers={"Connection": "close"})
        update = json.loads(body.decode())
    except Exception as error:  # no JSON, no UTF-8, too deep, too slow, gone
        log.info("refused: %s", type(error).__name__)
        return Response(status_code=400)
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return Response(status_code=400)
    number = update["update_id"]
    if number in answers:
        return Response(answers[number], media_type="application/json")
    if number in seen:
        return Response()
    content = next((update[kind] for kind in ("message", "callback_query") if isinstance(update.get(kind), dict)), {})
    chat = content.get("chat") if isinstance(content.get("chat"), dict) else content.get("from")
    if isinstance(chat, dict) and is_id(chat.get("id")) and telegram.full(chat["id"]):
        return Response(status_code=429, headers={"Retry-After": "5"})
    seen[number] = True
    call = handle(update)
    if call is None:
        return Response()
    answers[number] = json.dumps(call).encode()
    return Response(answers[number], media_type="application/json")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and with them the token
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", timeout_keep_alive=65)
