"""Tesoro: búsquedas del tesoro y noches de preguntas, con aiogram 3 detrás de aiohttp.

Quien organiza escribe los pasos en una conversación (FSM); quienes juegan forman equipos, responden pistas y gastan puntos en
ayudas. Cada chat tiene su cola, todo vive en la memoria y las llamadas pasan por un middleware que insiste con paciencia.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import secrets
import unicodedata
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import BaseFilter, Command, CommandObject, StateFilter
from aiogram.filters.callback_data import CallbackData
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.fsm.strategy import FSMStrategy
from aiogram.types import CallbackQuery, ErrorEvent, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User
from aiohttp import web
from pydantic import ValidationError

BUG = os.environ.get("BUG", "")
PUERTO = int(os.environ.get("PORT", "8080"))
RUTA = os.environ.get("WEBHOOK_PATH", "/webhook")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
SECRETOS = [os.environ.get("SECRET", ""), os.environ.get("SECRET_ANTERIOR", "")]  # mientras se cambia valen los dos
if BUG != "secreto-anterior":
    SECRETOS = [uno for uno in SECRETOS if uno]

MAX_CAZAS, MAX_PASOS, MAX_EQUIPOS, MAX_MIEMBROS, MAX_GENTE = 400, 15, 40, 10, 10_000
MAX_COLA, MAX_CHATS, MAX_VISTOS = 200, 4000, 20_000
INICIO, PREMIO, COSTE = 30, 20, 10
PAUSAS = (0.5, 1, 2, 4, 8)

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
logging.getLogger("aiogram").setLevel(logging.WARNING)
log = logging.getLogger("tesoro")

AYUDA = """Búsquedas del tesoro:
/cazas – las que están abiertas, para jugar
/equipo N nombre – formar un equipo en la caza N
/unirme código – entrar en el equipo de otra persona
/pista – la pista de ahora y su ayuda
/responder texto – responder (en privado basta el texto)
/puntos – cómo va tu equipo
/regalar equipo puntos – dar puntos a otro equipo
/nueva – organizar una caza; /cancelar lo deja
/mias – tus cazas, para abrirlas y cerrarlas
/abrir N, /cerrar N, /borrar N – lo mismo por escrito
/resultados N – la clasificación"""
AYUDA_ADMIN = """
Administración: /estadisticas (o /stats), /eliminar N"""


class Ultimos(OrderedDict):
    """Un diccionario que olvida lo más viejo."""

    def __init__(self, tope: int) -> None:
        super().__init__()
        self.tope = tope

    def __setitem__(self, clave, valor) -> None:
        super().__setitem__(clave, valor)
        self.move_to_end(clave)
        if len(self) > self.tope:
            self.popitem(last=False)


@dataclass
class Paso:
    pista: str
    respuesta: str
    ayuda: str


@dataclass
class Equipo:
    id: int
    caza: int
    nombre: str
    miembros: list[int]
    codigo: str = field(default_factory=lambda: secrets.token_hex(4))
    paso: int = 0
    puntos: int = INICIO
    ayudas: set[int] = field(default_factory=set)


@dataclass
class Caza:
    id: int
    titulo: str
    organiza: int
    pasos: list[Paso]
    abierta: bool = False
    equipos: dict[int, Equipo] = field(default_factory=dict)


cazas: dict[int, Caza] = {}
juega: Ultimos = Ultimos(MAX_GENTE)  # persona -> su equipo
nombres: Ultimos = Ultimos(MAX_GENTE)
contadores = {"caza": 0, "equipo": 0}


class Aviso(Exception):
    """Lo que se le dice a alguien en vez de lo que pedía."""


def limpio(texto: str, tope: int) -> str:
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", texto).strip()[:tope]


def igual(una: str, otra: str) -> bool:
    def llano(texto: str) -> str:
        sin = unicodedata.normalize("NFKD", texto.casefold())
        return re.sub(r"\W+", " ", "".join(c for c in sin if not unicodedata.combining(c))).strip()

    return llano(una) == llano(otra)


def siguiente(que: str) -> int:
    contadores[que] += 1
    return contadores[que]


def caza_de(texto: str | None) -> Caza:
    texto = (texto or "").strip().lstrip("#")
    caza = cazas.get(int(texto)) if re.fullmatch(r"[0-9]{1,9}", texto) else None
    if caza is None:
        raise Aviso("No conozco esa caza. Di su número, como en /cazas.")
    return caza


def equipo_de(persona: int) -> Equipo:
    equipo = juega.get(persona)
    if equipo is None or equipo.caza not in cazas:
        raise Aviso("No juegas en ningún equipo. Mira /cazas.")
    return equipo


def propia(caza: Caza, persona: int) -> Caza:
    """La caza, si esta persona manda en ella."""
    suyas = {otra.organiza for otra in cazas.values()} if BUG == "solo-el-papel" else {caza.organiza}
    if persona not in suyas and persona != ADMIN_ID:
        raise Aviso("Eso es solo para quien organiza la caza.")
    return caza


def clasificacion(caza: Caza) -> str:
    orden = sorted(caza.equipos.values(), key=lambda e: (-e.paso, -e.puntos, e.id))
    lineas = [f"{i}. {e.nombre}: paso {e.paso}/{len(caza.pasos)}, {e.puntos} puntos" for i, e in enumerate(orden, 1)]
    return "\n".join([f"Resultados de «{caza.titulo}» (#{caza.id})", *(lineas or ["Todavía no hay equipos."])])


# ---------------------------------------------------------------- hacia Telegram
class Paciencia(BaseRequestMiddleware):
    """Espera lo que Telegram pida, repite lo que falle por su culpa y sigue a los grupos que se mudan."""

    def __init__(self) -> None:
        self.mudados: Ultimos = Ultimos(1000)

    async def __call__(self, make_request, bot, method):
        fallos = esperas = 0
        while True:
            chat = getattr(method, "chat_id", None)
            if chat in self.mudados:
                method.chat_id = self.mudados[chat]
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                esperas += 1
                if esperas > 6 or error.retry_after > 600:
                    raise
                await asyncio.sleep(error.retry_after + 0.1)
            except TelegramMigrateToChat as error:
                esperas += 1
                if esperas > 6 or chat is None or BUG == "migracion":
                    raise
                self.mudados[chat] = error.migrate_to_chat_id
            except (TelegramServerError, TelegramNetworkError, ClientDecodeError) as error:
                ilegible = isinstance(error, ClientDecodeError)
                if ilegible and (BUG == "html-502" or isinstance(error.original, ValidationError)):
                    raise
                if fallos >= len(PAUSAS):
                    raise
                await asyncio.sleep(PAUSAS[fallos])
                fallos += 1


sesion = AiohttpSession(
    api=TelegramAPIServer.from_base(os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")),
    timeout=8,
    limit=500,
)
sesion.middleware(Paciencia())
bot = Bot(os.environ.get("BOT_TOKEN", "1:x"), session=sesion)
almacen = MemoryStorage()
dp = Dispatcher(
    storage=almacen,
    fsm_strategy=FSMStrategy.GLOBAL_USER if BUG == "estrategia-global" else FSMStrategy.USER_IN_CHAT,
)


class Colas:
    """Una cola y una tarea para cada chat que tiene algo pendiente."""

    def __init__(self) -> None:
        self.colas: dict[int, deque] = {}
        self.tareas: set[asyncio.Task] = set()

    def cabe(self, chat: int) -> bool:
        return len(self.colas[chat]) < MAX_COLA if chat in self.colas else len(self.colas) < MAX_CHATS

    def mete(self, chat: int, trabajo) -> None:
        if chat in self.colas:
            self.colas[chat].append(trabajo)
            return
        self.colas[chat] = deque([trabajo])
        tarea = asyncio.create_task(self.vacia(chat))
        self.tareas.add(tarea)
        tarea.add_done_callback(self.tareas.discard)

    async def vacia(self, chat: int) -> None:
        cola = self.colas[chat]
        while cola:
            if BUG == "cola-muerta":
                await cola.popleft()()
                continue
            try:
                await cola.popleft()()
            except Exception as error:
                log.warning("chat %s: %s: %s", chat, type(error).__name__, error)
        del self.colas[chat]


colas = Colas()


def avisa(gente: list[int], texto: str, menos: int = 0) -> None:
    """Un mensaje a otras personas, cada una en su cola."""
    for persona in gente:
        if persona != menos and colas.cabe(persona):
            colas.mete(persona, lambda quien=persona: bot.send_message(quien, texto))


class Boton(CallbackData, prefix="t"):
    que: str
    n: int = 0


def teclado(*filas: list[tuple[str, str, int]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=t, callback_data=Boton(que=q, n=n).pack()) for t, q, n in fila] for fila in filas
        ]
    )


class EsAdmin(BaseFilter):
    async def __call__(self, suceso: Message | CallbackQuery) -> bool:
        return suceso.from_user is not None and suceso.from_user.id == ADMIN_ID


class Crear(StatesGroup):
    titulo = State()
    pista = State()
    respuesta = State()
    ayuda = State()
    mas = State()


ordenes, conversacion, botones, resto = Router(), Router(), Router(), Router()
dp.include_routers(ordenes, botones, conversacion, resto)


def orden(*palabras: str) -> Command:
    return Command(*palabras, ignore_case=True, ignore_mention=True)


# ---------------------------------------------------------------- jugar
@ordenes.message(orden("start", "ayuda", "help"))
async def ayuda(message: Message) -> None:
    await message.answer(AYUDA + (AYUDA_ADMIN if message.from_user.id == ADMIN_ID else ""))


@ordenes.message(orden("cazas"))
async def ver_cazas(message: Message) -> None:
    abiertas = [c for c in cazas.values() if c.abierta][-20:]
    if not abiertas:
        raise Aviso("Ahora no hay ninguna caza abierta. Con /nueva organizas una.")
    lineas = [f"#{c.id} {c.titulo}: {len(c.pasos)} pasos, {len(c.equipos)} equipos" for c in abiertas]
    filas = [[(f"Jugar #{c.id}", "jugar", c.id)] for c in abiertas]
    await message.answer("\n".join(lineas), reply_markup=teclado(*filas))


def forma_equipo(caza: Caza, persona: User, nombre: str) -> str:
    if not caza.abierta:
        raise Aviso("Esa caza no está abierta.")
    if any(persona.id in e.miembros for e in caza.equipos.values()):
        raise Aviso("Ya juegas en esa caza. Mira /pista.")
    if len(caza.equipos) >= MAX_EQUIPOS:
        raise Aviso("En esa caza ya no caben más equipos.")
    equipo = Equipo(siguiente("equipo"), caza.id, nombre, [persona.id])
    caza.equipos[equipo.id] = juega[persona.id] = equipo
    return f"Equipo {equipo.id} «{nombre}» listo para «{caza.titulo}». Con /unirme {equipo.codigo} entran más."


@ordenes.message(orden("equipo"))
async def nuevo_equipo(message: Message, command: CommandObject) -> None:
    numero, _, nombre = (command.args or "").partition(" ")
    nombre = limpio(nombre, 40) or f"Equipo de {nombres[message.from_user.id]}"
    await message.answer(forma_equipo(caza_de(numero), message.from_user, nombre))


@ordenes.message(orden("unirme"))
async def unirse(message: Message, command: CommandObject) -> None:
    codigo, persona = (command.args or "").strip().lower(), message.from_user.id
    equipo = next((e for c in cazas.values() for e in c.equipos.values() if e.codigo == codigo), None)
    if equipo is None or not cazas[equipo.caza].abierta:
        raise Aviso("Ningún equipo abierto tiene ese código.")
    if any(persona in e.miembros for e in cazas[equipo.caza].equipos.values()):
        raise Aviso("Ya juegas en esa caza. Mira /pista.")
    if len(equipo.miembros) >= MAX_MIEMBROS:
        raise Aviso("Ese equipo está completo.")
    equipo.miembros.append(persona)
    juega[persona] = equipo
    avisa(equipo.miembros, f"{nombres[persona]} entra en «{equipo.nombre}».", persona)
    await message.answer(f"Ya estás en «{equipo.nombre}». Mira /pista.")


def pista_de(equipo: Equipo) -> tuple[str, InlineKeyboardMarkup | None]:
    caza = cazas[equipo.caza]
    if equipo.paso >= len(caza.pasos):
        return f"«{equipo.nombre}» ya ha encontrado el tesoro.", None
    paso = caza.pasos[equipo.paso]
    texto = f"Pista {equipo.paso + 1}/{len(caza.pasos)}: {paso.pista}"
    if equipo.paso in equipo.ayudas:
        return f"{texto}\nAyuda: {paso.ayuda}", None
    return texto, teclado([(f"Comprar ayuda ({COSTE})", "comprar", equipo.id * 100 + equipo.paso)])


@ordenes.message(orden("pista"))
async def ver_pista(message: Message) -> None:
    texto, botonera = pista_de(equipo_de(message.from_user.id))
    await message.answer(texto, reply_markup=botonera)


@ordenes.message(orden("responder"))
async def por_orden(message: Message, command: CommandObject) -> None:
    if not command.args:
        raise Aviso("¿Qué respondes? Así: /responder la catedral")
    await responde(message, command.args)


async def escribiendo(chat: int) -> None:
    with suppress(TelegramAPIError, ClientDecodeError):
        await bot.send_chat_action(chat, "typing")


async def responde(message: Message, texto: str) -> None:
    equipo = equipo_de(message.from_user.id)
    if BUG != "acierto-doble":
        await escribiendo(message.chat.id)
    caza = cazas.get(equipo.caza)
    if caza is None or not caza.abierta:
        raise Aviso("Esa caza no está abierta.")
    if equipo.paso >= len(caza.pasos):
        raise Aviso("Tu equipo ya ha encontrado el tesoro.")
    if not igual(texto, caza.pasos[equipo.paso].respuesta):
        raise Aviso("No es eso. Seguid buscando.")
    if BUG == "acierto-doble":
        await escribiendo(message.chat.id)
    equipo.paso += 1
    equipo.puntos += PREMIO
    final = equipo.paso >= len(caza.pasos)
    avisa(equipo.miembros, f"{nombres[message.from_user.id]} ha acertado: {equipo.puntos} puntos.", message.chat.id)
    if final:
        avisa([caza.organiza], f"«{equipo.nombre}» ha terminado «{caza.titulo}».")
    que_sigue = "¡Habéis encontrado el tesoro!" if final else pista_de(equipo)[0]
    await message.answer(f"¡Correcto! Tenéis {equipo.puntos} puntos.\n{que_sigue}")


@ordenes.message(orden("puntos"))
async def puntos(message: Message) -> None:
    equipo = equipo_de(message.from_user.id)
    quien = ", ".join(nombres.get(m, str(m)) for m in equipo.miembros)
    pasos = len(cazas[equipo.caza].pasos)
    await message.answer(f"«{equipo.nombre}» ({quien}): paso {equipo.paso}/{pasos}, {equipo.puntos} puntos.")


@ordenes.message(orden("regalar"))
async def regalar(message: Message, command: CommandObject) -> None:
    equipo, match = equipo_de(message.from_user.id), re.fullmatch(r"([0-9]{1,9}) +([0-9]{1,6})", command.args or "")
    otro = cazas[equipo.caza].equipos.get(int(match[1])) if match else None
    if otro is None or otro is equipo or not int(match[2]):
        raise Aviso("Así: /regalar equipo puntos, con el número de otro equipo de vuestra caza.")
    if int(match[2]) > equipo.puntos:
        raise Aviso(f"Solo tenéis {equipo.puntos} puntos.")
    equipo.puntos -= int(match[2])
    otro.puntos += int(match[2])
    avisa(otro.miembros, f"«{equipo.nombre}» os regala {int(match[2])} puntos: tenéis {otro.puntos}.")
    await message.answer(f"Regalados. Os quedan {equipo.puntos} puntos.")


# ---------------------------------------------------------------- organizar
@ordenes.message(orden("nueva"))
async def nueva(message: Message, state: FSMContext) -> None:
    if len(cazas) >= MAX_CAZAS:
        raise Aviso("Hay demasiadas cazas; hay que borrar alguna.")
    await state.clear()
    await state.set_state(Crear.titulo)
    await message.answer("¿Cómo se llama la caza? (/cancelar lo deja)")


@ordenes.message(orden("cancelar"))
async def cancelar(message: Message, state: FSMContext) -> None:
    habia = await state.get_state()
    await state.clear()
    await message.answer("Olvidado." if habia else "No había nada que cancelar.")


TEXTO = F.text & ~F.text.startswith("/")


@conversacion.message(Crear.titulo, TEXTO)
async def dice_titulo(message: Message, state: FSMContext) -> None:
    await state.update_data(titulo=limpio(message.text, 60) or "Sin título", pasos=[])
    await state.set_state(Crear.pista)
    await message.answer("Paso 1. ¿Qué pista se lee?")


@conversacion.message(Crear.pista, TEXTO)
async def dice_pista(message: Message, state: FSMContext) -> None:
    await state.update_data(pista=limpio(message.text, 400) or "…")
    await state.set_state(Crear.respuesta)
    await message.answer("¿Cuál es la respuesta?")


@conversacion.message(Crear.respuesta, TEXTO)
async def dice_respuesta(message: Message, state: FSMContext) -> None:
    if igual(message.text, ""):
        raise Aviso("La respuesta necesita alguna letra o cifra.")
    await state.update_data(respuesta=limpio(message.text, 100))
    await state.set_state(Crear.ayuda)
    await message.answer("¿Y la ayuda que se puede comprar?")


@conversacion.message(Crear.ayuda, TEXTO)
async def dice_ayuda(message: Message, state: FSMContext) -> None:
    datos = await state.get_data()
    pasos = [*datos["pasos"], Paso(datos["pista"], datos["respuesta"], limpio(message.text, 200) or "…")]
    await state.update_data(pasos=pasos)
    await state.set_state(Crear.mas)
    fila = [("Terminar", "fin", 0)] if len(pasos) >= MAX_PASOS else [("Otro paso", "otro", 0), ("Terminar", "fin", 0)]
    await message.answer(f"Ya hay {len(pasos)} pasos. ¿Otro?", reply_markup=teclado(fila))


@conversacion.message(Crear.mas, TEXTO)
async def elige(message: Message) -> None:
    await message.answer("Elige con los botones: otro paso o terminar.")


@conversacion.message(StateFilter(Crear), ~F.text)
async def sin_texto(message: Message) -> None:
    await message.answer("Aquí solo vale texto (o /cancelar).")


def mandos(caza: Caza) -> InlineKeyboardMarkup:
    uno = ("Cerrar", "cerrar", caza.id) if caza.abierta else ("Abrir", "abrir", caza.id)
    return teclado([uno, ("Resultados", "resultados", caza.id), ("Borrar", "borrar", caza.id)])


@ordenes.message(orden("mias"))
async def mias(message: Message) -> None:
    suyas = [c for c in cazas.values() if c.organiza == message.from_user.id][-10:]
    if not suyas:
        raise Aviso("No organizas ninguna caza. Empieza con /nueva.")
    for caza in suyas:
        estado = "abierta" if caza.abierta else "cerrada"
        await message.answer(
            f"#{caza.id} {caza.titulo} ({estado}, {len(caza.equipos)} equipos)", reply_markup=mandos(caza)
        )


def manda(que: str, caza: Caza, persona: int) -> str:
    """Abrir, cerrar, borrar o ver resultados, por orden o por botón."""
    if que == "resultados" and not caza.abierta and any(persona in e.miembros for e in caza.equipos.values()):
        return clasificacion(caza)
    propia(caza, persona)
    if que == "resultados":
        return clasificacion(caza)
    gente = [m for e in caza.equipos.values() for m in e.miembros]
    if que == "borrar":
        del cazas[caza.id]
        avisa(gente, f"La caza «{caza.titulo}» se ha borrado.")
        return f"Caza #{caza.id} borrada."
    if caza.abierta != (que == "abrir"):
        caza.abierta = que == "abrir"
        avisa(gente, f"La caza «{caza.titulo}» está {'abierta' if caza.abierta else 'cerrada'}.")
    return f"Caza #{caza.id} {'abierta' if caza.abierta else 'cerrada'}."


@ordenes.message(orden("abrir", "cerrar", "borrar", "resultados"))
async def por_escrito(message: Message, command: CommandObject) -> None:
    await message.answer(manda(command.command.lower(), caza_de(command.args), message.from_user.id))


# ---------------------------------------------------------------- administrar
async def estadisticas(message: Message) -> None:
    equipos = [e for c in cazas.values() for e in c.equipos.values()]
    gente = len({m for e in equipos for m in e.miembros})
    await message.answer(f"Estadísticas: {len(cazas)} cazas, {len(equipos)} equipos, {gente} jugando.")


if BUG == "alias-sin-filtro":
    ordenes.message.register(estadisticas, orden("stats"))
    ordenes.message.register(estadisticas, orden("estadisticas"), EsAdmin())
else:
    ordenes.message.register(estadisticas, orden("estadisticas", "stats"), EsAdmin())


@ordenes.message(orden("eliminar"), EsAdmin())
async def eliminar(message: Message, command: CommandObject) -> None:
    caza = caza_de(command.args)
    fila = [(f"Sí, eliminar #{caza.id}", "eliminar", caza.id)]
    await message.answer(f"¿Eliminar «{caza.titulo}» de {nombres.get(caza.organiza)}?", reply_markup=teclado(fila))


@ordenes.message(orden("estadisticas", "stats", "eliminar"))
async def no_admin(message: Message) -> None:
    await message.answer("Eso es solo para la administración.")


# ---------------------------------------------------------------- botones
async def contesta(query: CallbackQuery, texto: str, botonera: InlineKeyboardMarkup | None = None) -> None:
    chat = query.message.chat.id if query.message else query.from_user.id
    await bot.send_message(chat, texto, reply_markup=botonera)
    with suppress(TelegramAPIError, ClientDecodeError):
        await query.answer()


@botones.callback_query(Boton.filter(F.que.in_({"abrir", "cerrar", "borrar", "resultados"})))
async def boton_mando(query: CallbackQuery, callback_data: Boton) -> None:
    await contesta(query, manda(callback_data.que, caza_de(str(callback_data.n)), query.from_user.id))


@botones.callback_query(Boton.filter(F.que == "eliminar"), EsAdmin())
async def boton_eliminar(query: CallbackQuery, callback_data: Boton) -> None:
    await contesta(query, manda("borrar", caza_de(str(callback_data.n)), query.from_user.id))


@botones.callback_query(Boton.filter(F.que == "jugar"))
async def boton_jugar(query: CallbackQuery, callback_data: Boton) -> None:
    nombre = f"Equipo de {nombres[query.from_user.id]}"
    await contesta(query, forma_equipo(caza_de(str(callback_data.n)), query.from_user, nombre))


@botones.callback_query(Boton.filter(F.que == "comprar"))
async def boton_comprar(query: CallbackQuery, callback_data: Boton) -> None:
    equipo = equipo_de(query.from_user.id)
    numero, paso = divmod(callback_data.n, 100)
    if equipo.id != numero or equipo.paso != paso or paso >= len(cazas[equipo.caza].pasos):
        raise Aviso("Esa ayuda no es para tu equipo ahora. Mira /pista.")
    if paso not in equipo.ayudas:
        if equipo.puntos < COSTE:
            raise Aviso(f"Solo tenéis {equipo.puntos} puntos.")
        equipo.puntos -= COSTE
        equipo.ayudas.add(paso)
    await contesta(query, f"Ayuda: {cazas[equipo.caza].pasos[paso].ayuda}\nOs quedan {equipo.puntos} puntos.")


@botones.callback_query(Crear.mas, Boton.filter(F.que.in_({"otro", "fin"})))
async def boton_mas(query: CallbackQuery, callback_data: Boton, state: FSMContext) -> None:
    datos = await state.get_data()
    if callback_data.que == "otro" and len(datos["pasos"]) < MAX_PASOS:
        await state.set_state(Crear.pista)
        return await contesta(query, f"Paso {len(datos['pasos']) + 1}. ¿Qué pista se lee?")
    await state.clear()
    if len(cazas) >= MAX_CAZAS:
        raise Aviso("Hay demasiadas cazas; hay que borrar alguna.")
    caza = Caza(siguiente("caza"), datos["titulo"], query.from_user.id, datos["pasos"])
    cazas[caza.id] = caza
    await contesta(query, f"Caza #{caza.id} «{caza.titulo}» creada, aún cerrada.", mandos(caza))


@botones.callback_query()
async def boton_viejo(query: CallbackQuery) -> None:
    await contesta(query, "Ese botón ya no vale.")


# ---------------------------------------------------------------- lo demás
@resto.message(F.chat.type == "private", TEXTO)
async def texto_suelto(message: Message) -> None:
    if message.from_user.id in juega:
        return await responde(message, message.text)
    await message.answer("No te entiendo. Mira /ayuda.")


@resto.message(F.chat.type == "private", F.text.startswith("/"))
async def desconocida(message: Message) -> None:
    await message.answer("No conozco esa orden. Mira /ayuda.")


@resto.message(F.chat.type == "private")
async def otra_cosa(message: Message) -> None:
    await message.answer("Solo entiendo texto. Mira /ayuda.")


@dp.errors()
async def errores(suceso: ErrorEvent):
    error = suceso.exception
    if isinstance(error, TelegramAPIError | ClientDecodeError):
        return UNHANDLED  # a ese chat no se le puede decir nada
    texto = str(error) if isinstance(error, Aviso) else "Perdona, algo ha fallado. Prueba otra vez."
    if not isinstance(error, Aviso):
        log.error("%s", suceso.update.update_id, exc_info=error)
    if suceso.update.callback_query:
        await contesta(suceso.update.callback_query, texto)
    elif suceso.update.message:
        await bot.send_message(suceso.update.message.chat.id, texto)
    return True


# ---------------------------------------------------------------- el webhook
vistos: Ultimos = Ultimos(MAX_VISTOS)


def clave(update: Update) -> object:
    """Por lo que se reconoce un update repetido."""
    if BUG == "clave-fecha" and update.message:
        return update.message.chat.id, update.message.date, update.message.text
    return update.update_id


def es_de_fiar(dado: str) -> bool:
    return any(hmac.compare_digest(dado.encode("utf-8", "surrogateescape"), uno.encode()) for uno in SECRETOS)


async def webhook(request: web.Request) -> web.Response:
    if not es_de_fiar(request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")):
        return web.Response(status=401)
    try:
        datos = json.loads(await request.read())
    except (ValueError, RecursionError):
        return web.Response(status=400)
    if not isinstance(datos, dict) or type(datos.get("update_id")) is not int:
        return web.Response(status=400)
    if BUG == "validacion":
        update = Update.model_validate(datos, context={"bot": bot})
    else:
        try:
            update = Update.model_validate(datos, context={"bot": bot})
        except (ValidationError, ValueError, OverflowError) as error:
            log.info("no lo entiendo: %s", type(error).__name__)
            return web.Response()
    suceso = update.message or update.callback_query
    if suceso is None or suceso.from_user is None:
        return web.Response()
    mensaje = suceso if update.message else suceso.message
    chat = mensaje.chat.id if mensaje else suceso.from_user.id
    if clave(update) in vistos:
        return web.Response()
    if not colas.cabe(chat):
        return web.Response(status=503, headers={"Retry-After": "5"})
    vistos[clave(update)] = True
    while len(almacen.storage) > MAX_GENTE:
        almacen.storage.pop(next(iter(almacen.storage)))
    nombres[suceso.from_user.id] = limpio(suceso.from_user.first_name, 40) or str(suceso.from_user.id)
    colas.mete(chat, lambda: dp.feed_update(bot, update))
    return web.Response()


async def adios(_: web.Application) -> None:
    await bot.session.close()


def aplicacion() -> web.Application:
    app = web.Application(client_max_size=1 << 19)
    app.router.add_post(RUTA, webhook)
    app.on_cleanup.append(adios)
    return app


if __name__ == "__main__":
    web.run_app(aplicacion(), host="127.0.0.1", port=PUERTO, print=None, access_log=None)
