"""Buzon: a suggestion box and blackboard in Spanish, on aiogram 3 behind aiohttp; healthy, and odd on purpose.

Answers come late, from a letter box for each chat, several of them in one message; one blackboard in each chat is edited all the
time and belongs to everybody; names are made up, advice is random, there is a quota an hour, and refusals are soft.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import random
import re
import sys
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User
from aiohttp import web

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "1:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))

MAX_BODY = 1 << 20
MAX_LETTERS = 120  # for one chat
MAX_LINES = 12
MAX_SUGGESTIONS = 300
QUOTA = 3
HOUR = 3600
BACKOFF = (0.5, 1, 2, 4, 8)

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
log = logging.getLogger("buzon")

AYUDA = """Soy el buzón del barrio. Contesto cuando paso a recoger las cartas: unos segundos después, y a veces todo junto.
/sugerir TEXTO - echar una sugerencia (3 por hora, sin tu nombre)
/buzon - las últimas sugerencias
/pizarra - la pizarra de todos, que se reescribe sola en este chat
/escribir TEXTO - añadir una línea a la pizarra
/cambiar N TEXTO - cambiar cualquier línea, también las de otros
/borrar N - borrar cualquier línea
/deshacer - deshacer lo último que hizo cualquiera
/consejo - un consejo al azar
/dado CARAS - tirar un dado
/nombre - cómo te llamo en esta hora
/cuota - cuántas sugerencias te quedan
/olvidar - borrar lo que sé de ti
/resumen, /vaciar - para la dirección"""

ANIMALES = ("Zorro", "Búho", "Gato", "Lince", "Mirlo", "Erizo", "Ciervo", "Sapo", "Oso", "Grillo", "Delfín", "Cuervo")
COLORES = ("Azul", "Verde", "Gris", "Dorado", "Pardo", "Violeta", "Naranja", "Blanco", "Turquesa", "Ocre")
CONSEJOS = (
    "Riega las plantas antes de que lo pidan.",
    "Si dudas entre dos, echa una moneda y mira qué esperabas.",
    "Una siesta corta arregla media tarde.",
    "Saluda primero.",
    "No contestes mensajes con hambre.",
    "Guarda el recibo.",
)
RECIBIDO = ("La he dejado en la mesa.", "Queda en el cajón de arriba.", "La leerán con café.", "Ya está con las otras.")
SUAVE = (
    "Me encantaría, pero esa llave la tiene la dirección.",
    "Eso se lo dejo a la dirección, si te parece.",
    "Ay, para eso hace falta la dirección. ¿Otra cosa?",
)


class Lru(OrderedDict):
    """Forgets what was set longest ago."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def limpio(text: str, limit: int) -> str:
    """The text on one line, not longer than this."""
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def numero(text: str) -> int:
    """A small number, 0 for none."""
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0


# ---------------------------------------------------------------- the letter box


@dataclass
class Casilla:
    """What is to be said in one chat.

    Args:
        cartas: What waits: a text and, where it has any, its buttons.
        pizarra: The message that is the blackboard, 0 where it is still to be sent, None where nobody asked for it.
        sucia: Whether the blackboard is to be written anew.
        cartero: Who delivers, while there is something.
    """

    cartas: deque[tuple[str, InlineKeyboardMarkup | None]] = field(default_factory=deque)
    pizarra: int | None = None
    sucia: bool = False
    cartero: asyncio.Task | None = None


casillas: Lru = Lru(2000)
mudados: Lru = Lru(1000)
bot: Bot
recados: set[asyncio.Task] = set()


async def con_paciencia(chat: int, call: Any) -> Any:
    """Makes a call for a chat, again where that may help."""
    intento = esperas = 0
    while True:
        try:
            return await call(mudados.get(chat, chat))
        except TelegramRetryAfter as error:
            esperas += 1
            if error.retry_after > 300 or esperas > 5:
                raise
            await asyncio.sleep(error.retry_after + 0.1)
        except TelegramMigrateToChat as error:
            mudados[chat] = error.migrate_to_chat_id
            esperas += 1
            if esperas > 5:
                raise
        except (TelegramNetworkError, TelegramServerError, ClientDecodeError):
            if intento >= len(BACKOFF):
                raise
            await asyncio.sleep(BACKOFF[intento])
            intento += 1


def casilla(chat: int) -> Casilla:
    """A chat's pigeonhole."""
    if chat not in casillas:
        casillas[chat] = Casilla()
    casillas.move_to_end(chat)
    return casillas[chat]


def llamar(chat: int) -> None:
    """Sees to it that somebody delivers."""
    una = casilla(chat)
    if una.cartero is None or una.cartero.done():
        una.cartero = asyncio.create_task(repartir(chat, una))


def decir(chat: int, text: str, buttons: InlineKeyboardMarkup | None = None) -> None:
    """Leaves a letter for a chat."""
    casilla(chat).cartas.append((text, buttons))
    llamar(chat)


async def repartir(chat: int, una: Casilla) -> None:
    """Delivers what lies there, a little later and together."""
    while una.cartas or una.sucia:
        await asyncio.sleep(random.uniform(0.3, 1.8))
        if not una.cartas:
            await reescribir(chat, una)
            continue
        text, buttons = una.cartas.popleft()
        while una.cartas and buttons is None and una.cartas[0][1] is None and len(text) + len(una.cartas[0][0]) < 3000:
            text += "\n· · ·\n" + una.cartas.popleft()[0]
        try:
            await con_paciencia(
                chat, lambda to, text=text, buttons=buttons: bot.send_message(to, text, reply_markup=buttons)
            )
        except Exception as error:
            log.warning("no entregado en %s: %s", chat, error)


async def reescribir(chat: int, una: Casilla) -> None:
    """Writes the blackboard of a chat anew, always in the same message."""
    una.sucia = False
    text = texto_pizarra()
    try:
        if una.pizarra:
            try:
                await con_paciencia(chat, lambda to: bot.edit_message_text(text, chat_id=to, message_id=una.pizarra))
                return
            except TelegramBadRequest as error:
                if "not modified" in str(error):
                    return
        sent = await con_paciencia(chat, lambda to: bot.send_message(to, text))
        una.pizarra = sent.message_id
    except Exception as error:
        log.warning("pizarra de %s: %s", chat, error)


# ---------------------------------------------------------------- what is known

lineas: list[str] = []
antes: deque[list[str]] = deque(maxlen=20)
sugerencias: deque[dict] = deque(maxlen=MAX_SUGGESTIONS)
echadas: Lru = Lru(5000)  # user -> when
apodos: Lru = Lru(5000)  # user -> (hour, name)
contador = 0


def texto_pizarra() -> str:
    """The blackboard as it is."""
    return "\n".join(["PIZARRA DE TODOS", *(f"{i}. {text}" for i, text in enumerate(lineas, 1))]) + (
        "" if lineas else "\n(vacía)"
    )


def pintar(nuevas: list[str]) -> None:
    """Changes the blackboard, and every chat in which it hangs."""
    antes.append(list(lineas))
    lineas[:] = nuevas
    colgadas()


def colgadas() -> None:
    """Marks all blackboards that hang somewhere."""
    for chat in [chat for chat, una in casillas.items() if una.pizarra is not None][-200:]:
        casillas[chat].sucia = True
        llamar(chat)


def apodo(user: User) -> str:
    """What somebody is called in this hour."""
    ahora = int(time.time() // HOUR)
    if user.id not in apodos or apodos[user.id][0] != ahora:
        apodos[user.id] = (ahora, f"{random.choice(ANIMALES)} {random.choice(COLORES)}")
    return apodos[user.id][1]


def recientes(user: User) -> list[float]:
    """When somebody suggested something in the last hour."""
    return [at for at in echadas.get(user.id, ()) if time.monotonic() - at < HOUR]


def botones(una: dict) -> InlineKeyboardMarkup:
    """The button below a suggestion."""
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text="Me gusta", callback_data=f"gusta:{una['id']}")]]
    )


# ---------------------------------------------------------------- commands

router = Router()


def orden(*names: str) -> Any:
    """A command, whoever is mentioned behind it."""
    return router.message(Command(*names, ignore_mention=True, ignore_case=True))


@orden("start", "ayuda", "help")
async def ayuda(message: Message) -> None:
    decir(message.chat.id, AYUDA)


@orden("sugerir")
async def sugerir(message: Message, command: CommandObject) -> None:
    global contador
    text, mias = limpio(command.args or "", 300), recientes(message.from_user)
    if not text:
        decir(message.chat.id, "Dime qué sugieres: /sugerir TEXTO")
    elif len(mias) >= QUOTA:
        minutos = int((HOUR - (time.monotonic() - mias[0])) // 60) + 1
        decir(message.chat.id, f"Por esta hora ya está. Vuelve en {minutos} min, que aquí seguimos.")
    else:
        echadas[message.from_user.id] = [*mias, time.monotonic()]
        contador += 1
        una = {"id": contador, "text": text, "quien": apodo(message.from_user), "gusta": set()}
        sugerencias.append(una)
        decir(message.chat.id, f"{random.choice(RECIBIDO)} Es la n.º {contador}.", botones(una))


@orden("buzon")
async def ver_buzon(message: Message) -> None:
    ultimas = [
        f"n.º {una['id']} de {una['quien']}: {una['text']} ({len(una['gusta'])} ♥)" for una in list(sugerencias)[-8:]
    ]
    decir(message.chat.id, "\n".join(ultimas) or "El buzón está vacío.")


@orden("pizarra")
async def pizarra(message: Message) -> None:
    una = casilla(message.chat.id)
    una.pizarra, una.sucia = 0, True  # a fresh one, down here
    llamar(message.chat.id)


@orden("escribir")
async def escribir(message: Message, command: CommandObject) -> None:
    text = limpio(command.args or "", 120)
    if not text:
        decir(message.chat.id, "¿Qué escribo? /escribir TEXTO")
        return
    pintar([*lineas, text][-MAX_LINES:])
    decir(
        message.chat.id,
        f"Escrito en la línea {len(lineas)}." + (" La más vieja se ha caído." if len(lineas) == MAX_LINES else ""),
    )


@orden("cambiar")
async def cambiar(message: Message, command: CommandObject) -> None:
    which, _, text = (command.args or "").partition(" ")
    n, text = numero(which), limpio(text, 120)
    if not 1 <= n <= len(lineas) or not text:
        decir(message.chat.id, "Así: /cambiar N TEXTO, con N de la pizarra.")
        return
    pintar([text if i == n else line for i, line in enumerate(lineas, 1)])
    decir(message.chat.id, f"La línea {n} dice otra cosa. La pizarra es de todos.")


@orden("borrar")
async def borrar(message: Message, command: CommandObject) -> None:
    n = numero((command.args or "").strip())
    if not 1 <= n <= len(lineas):
        decir(message.chat.id, "Así: /borrar N, con N de la pizarra.")
        return
    pintar([line for i, line in enumerate(lineas, 1) if i != n])
    decir(message.chat.id, f"Línea {n} borrada. Con /deshacer vuelve.")


@orden("deshacer")
async def deshacer(message: Message) -> None:
    if not antes:
        decir(message.chat.id, "No hay nada que deshacer.")
        return
    lineas[:] = antes.pop()
    colgadas()
    decir(message.chat.id, "Como estaba antes.")


@orden("consejo")
async def consejo(message: Message) -> None:
    decir(message.chat.id, random.choice(CONSEJOS))


@orden("dado")
async def dado(message: Message, command: CommandObject) -> None:
    caras = numero((command.args or "6").strip())
    if not 2 <= caras <= 1000:
        decir(message.chat.id, "Los dados tienen de 2 a 1000 caras.")
        return
    decir(message.chat.id, f"Ha salido un {random.randint(1, caras)} de {caras}.")


@orden("nombre")
async def nombre(message: Message) -> None:
    decir(message.chat.id, f"En esta hora eres {apodo(message.from_user)}.")


@orden("cuota")
async def cuota(message: Message) -> None:
    decir(message.chat.id, f"Te quedan {QUOTA - len(recientes(message.from_user))} de {QUOTA} en esta hora.")


@orden("olvidar")
async def olvidar(message: Message) -> None:
    apodos.pop(message.from_user.id, None)  # the quota stays: otherwise it would be none
    for una in sugerencias:
        una["gusta"].discard(message.from_user.id)
    decir(message.chat.id, "¿Nos conocemos?")


@orden("resumen", "vaciar")
async def direccion(message: Message, command: CommandObject) -> None:
    if message.from_user.id != ADMIN_ID:
        decir(message.chat.id, random.choice(SUAVE))
    elif command.command.lower() == "vaciar":
        cuantas = len(sugerencias)
        sugerencias.clear()
        decir(message.chat.id, f"Vaciado: eran {cuantas}.")
    else:
        decir(
            message.chat.id, f"{len(sugerencias)} sugerencias, {len(lineas)} líneas, {len(echadas)} personas con cuota."
        )


@router.message(F.text.startswith("/"))
async def desconocida(message: Message) -> None:
    decir(message.chat.id, "Eso no lo conozco. Mira /ayuda.")


@router.message(F.chat.type == "private")
async def charla(message: Message) -> None:
    decir(message.chat.id, random.choice(("Te leo, pero solo entiendo órdenes: /ayuda.", "Mira /ayuda, anda.")))


@router.callback_query()
async def tecla(query: CallbackQuery) -> None:
    match = re.fullmatch(r"gusta:([0-9]{1,9})", query.data or "")
    una = next((una for una in sugerencias if match and una["id"] == int(match[1])), None)
    if una is None:
        text = "Esa ya no está."
    elif query.from_user.id in una["gusta"]:
        una["gusta"].discard(query.from_user.id)
        text = f"Ya no te gusta: {len(una['gusta'])} ♥"
    elif len(una["gusta"]) >= 500:
        text = "Le gusta a demasiada gente."
    else:
        una["gusta"].add(query.from_user.id)
        text = f"Te gusta: {len(una['gusta'])} ♥"
    if len(recados) < 2000:
        task = asyncio.create_task(responder(query, text))
        recados.add(task)
        task.add_done_callback(recados.discard)


async def responder(query: CallbackQuery, text: str) -> None:
    """Ends the button's waiting; nothing is lost where that fails."""
    try:
        await bot.answer_callback_query(query.id, text=text)
    except Exception as error:
        log.warning("tecla: %s", error)


# ---------------------------------------------------------------- the webhook

vistos: Lru = Lru(20_000)
dispatcher = Dispatcher()
dispatcher.include_router(router)


async def webhook(request: web.Request) -> web.Response:
    """One delivery: noted at once, answered later."""
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if not SECRET or not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), SECRET.encode()):
        return web.Response(status=401, headers={"Connection": "close"})
    try:
        data = json.loads(await asyncio.wait_for(request.read(), 15))
    except (ValueError, RecursionError, TimeoutError):
        return web.Response(status=400)
    if not isinstance(data, dict) or type(data.get("update_id")) is not int:
        return web.Response(status=400)
    try:
        update = Update.model_validate(data, context={"bot": bot})
        message = update.message or (update.callback_query and update.callback_query.message)
    except Exception as error:
        log.warning("no entendido: %s", type(error).__name__)
        return web.Response()
    if update.message is not None and update.message.from_user is None:
        return web.Response()
    if message is not None and message.chat.id in casillas and len(casillas[message.chat.id].cartas) >= MAX_LETTERS:
        return web.Response(status=429, headers={"Retry-After": "5"})
    if data["update_id"] in vistos:
        return web.Response()
    vistos[data["update_id"]] = True
    try:
        await dispatcher.feed_update(bot, update)
    except Exception:
        log.exception("update")
        if message is not None:
            decir(message.chat.id, "Se me ha caído todo. ¿Me lo repites?")
    return web.Response()


async def application() -> web.Application:
    """The application around the webhook."""
    global bot
    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(API), timeout=8, limit=400))
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(PATH, webhook)

    async def close(_: web.Application) -> None:
        with suppress(Exception):
            await bot.session.close()

    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=PORT, print=None, access_log=None)
