"""Caroneiro: um bot de caronas em português, com aiogram 3, conversas por FSM, botões e SQLite.

Confirma o webhook na hora e trabalha numa fila por chat; as respostas vão pela Bot API, com paciência e em ordem por chat.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import secrets
import sqlite3
import tempfile
import weakref
from collections import OrderedDict, deque
from contextvars import ContextVar
from datetime import datetime, timedelta
from pathlib import Path

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import BaseFilter, Command, CommandObject, CommandStart, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import BaseStorage
from aiogram.methods import AnswerCallbackQuery, SendChatAction
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update
from aiohttp import web
from pydantic import ValidationError

PORTA = int(os.environ.get("PORT", "8080"))
CAMINHO = os.environ.get("WEBHOOK_PATH", "/webhook")
SEGREDO = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "1:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

CORPO_MAX = 1 << 20
FILA_POR_CHAT = 200
FILA_TOTAL = 20_000
VISTOS_MAX = 20_000
AVISOS_MAX = 2000
ESPERAS = (0.5, 1, 2, 4, 8)
ESPERA_MAX = 300
VAGAS = r"[1-6]"
LETRAS = "BCDFGHJKLMNPQRSTVWXZ"

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("aiogram.event").setLevel(logging.WARNING)
log = logging.getLogger("caroneiro")

AJUDA = """Caroneiro: caronas entre a gente.
/oferecer - oferecer uma carona (eu vou perguntando)
/procurar cidade - caronas que ainda têm vaga
/carona CÓDIGO - os detalhes, com botões
/minhas - o que ofereço e onde vou
/desistir CÓDIGO - devolver a minha vaga
/passar CÓDIGO - um link para passar a minha vaga adiante
/recado CÓDIGO texto - avisar todo mundo que vai junto
/cancelar CÓDIGO - cancelar a minha carona
/denunciar CÓDIGO motivo - contar para a moderação
/parar - largar a conversa no meio
/ajuda - isto aqui
Moderação: /denuncias, /bloquear ID, /mural ligar|desligar (em grupos)
Administração: /moderador ID, /painel"""


# ------------------------------------------------------------------ banco

banco = sqlite3.connect(Path(tempfile.mkdtemp(prefix="caroneiro-")) / "caronas.db", isolation_level=None)
banco.executescript("""
PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;
CREATE TABLE caronas (codigo TEXT PRIMARY KEY, motorista INTEGER, nome TEXT, origem TEXT, destino TEXT, quando TEXT,
    vagas INTEGER, estado TEXT DEFAULT 'aberta');
CREATE TABLE reservas (carona TEXT, pessoa INTEGER, nome TEXT, PRIMARY KEY (carona, pessoa));
CREATE TABLE passes (ficha TEXT PRIMARY KEY, carona TEXT, pessoa INTEGER);
CREATE TABLE denuncias (id INTEGER PRIMARY KEY, carona TEXT, pessoa INTEGER, motivo TEXT);
CREATE TABLE moderadores (pessoa INTEGER PRIMARY KEY);
CREATE TABLE bloqueados (pessoa INTEGER PRIMARY KEY);
CREATE TABLE murais (chat INTEGER PRIMARY KEY);
""")


def um(sql: str, *valores: object) -> tuple | None:
    return banco.execute(sql, valores).fetchone()


def todos(sql: str, *valores: object) -> list[tuple]:
    return banco.execute(sql, valores).fetchall()


def muda(sql: str, *valores: object) -> int:
    return banco.execute(sql, valores).rowcount


def carona(codigo: str) -> tuple | None:
    """Uma carona aberta: código, motorista, nome, origem, destino, quando, vagas."""
    return um(
        "SELECT codigo, motorista, nome, origem, destino, quando, vagas FROM caronas WHERE codigo=? AND estado='aberta'",
        codigo.strip().upper()[:8],
    )


def livres(codigo: str) -> int:
    vagas = um("SELECT vagas - (SELECT count(*) FROM reservas WHERE carona=codigo) FROM caronas WHERE codigo=?", codigo)
    return vagas[0] if vagas else 0


def eh_moderador(pessoa: int) -> bool:
    return pessoa == ADMIN or bool(um("SELECT 1 FROM moderadores WHERE pessoa=?", pessoa))


def limpo(texto: str, limite: int) -> str:
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", texto).strip()[:limite]


def nome_de(pessoa) -> str:
    return limpo(pessoa.first_name or "", 30) or f"pessoa {pessoa.id}"


def linha(uma: tuple) -> str:
    codigo, _, nome, origem, destino, quando, vagas = uma
    return f"{codigo}: {origem} → {destino}, {quando}, com {nome} ({livres(codigo)} de {vagas} vagas)"


# ------------------------------------------------------------------ Bot API


class LembraPouco(OrderedDict):
    """Um dicionário que esquece o mais antigo."""

    def __init__(self, limite: int) -> None:
        super().__init__()
        self.limite = limite

    def __setitem__(self, chave: object, valor: object) -> None:
        super().__setitem__(chave, valor)
        self.move_to_end(chave)
        if len(self) > self.limite:
            self.popitem(last=False)


class Paciente(BaseRequestMiddleware):
    """Repete o que vale repetir, espera o que o Telegram pede, segue grupos que mudaram; uma chamada por chat de cada vez."""

    def __init__(self) -> None:
        self.travas: weakref.WeakValueDictionary[object, asyncio.Lock] = weakref.WeakValueDictionary()
        self.mudou = LembraPouco(1000)

    async def __call__(self, make_request, bot, method):
        chat = getattr(method, "chat_id", None)
        chave = "todos" if BUG == "trava-unica" else chat
        if chave is None:
            return await self.insiste(make_request, bot, method, ESPERAS[:1])
        trava = self.travas.get(chave)
        if trava is None:
            trava = self.travas[chave] = asyncio.Lock()
        async with trava:
            return await self.insiste(make_request, bot, method, () if isinstance(method, SendChatAction) else ESPERAS)

    async def insiste(self, make_request, bot, method, esperas: tuple):
        falhas = voltas = 0
        while True:
            if getattr(method, "chat_id", None) in self.mudou:
                method = method.model_copy(update={"chat_id": self.mudou[method.chat_id]})
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as erro:
                voltas += 1
                if voltas > 5 or erro.retry_after > ESPERA_MAX or isinstance(method, AnswerCallbackQuery):
                    raise
                await asyncio.sleep(erro.retry_after + 0.1)
            except TelegramMigrateToChat as erro:
                voltas += 1
                if voltas > 5 or BUG == "migracao-perdida":
                    raise
                self.mudou[method.chat_id] = erro.migrate_to_chat_id
                muda("UPDATE OR REPLACE murais SET chat=? WHERE chat=?", erro.migrate_to_chat_id, method.chat_id)
            except (TelegramNetworkError, TelegramServerError, ClientDecodeError):
                if falhas >= len(esperas):
                    raise
                await asyncio.sleep(esperas[falhas])
                falhas += 1


sessao = AiohttpSession(api=TelegramAPIServer.from_base(API), limit=500, timeout=8)
sessao.middleware(Paciente())
bot = Bot(TOKEN, session=sessao)
avisos: set[asyncio.Task] = set()


def avisar(chat: int, texto: str, teclado: InlineKeyboardMarkup | None = None) -> None:
    """Manda a outro chat, sem que ninguém espere por isso."""

    async def manda() -> None:
        try:
            await bot.send_message(chat, texto, reply_markup=teclado)
        except (TelegramAPIError, ClientDecodeError) as erro:
            log.warning("aviso para %s não chegou: %s", chat, type(erro).__name__)

    if len(avisos) >= AVISOS_MAX:
        log.warning("avisos demais em andamento")
        return
    tarefa = asyncio.create_task(manda())
    avisos.add(tarefa)
    tarefa.add_done_callback(avisos.discard)


# ------------------------------------------------------------------ quem fala agora


class Conversa:
    """O chat em que se responde."""

    def __init__(self) -> None:
        self.da_tarefa: ContextVar[int] = ContextVar("chat")
        self.do_servico = 0

    def abre(self, chat: int) -> None:
        self.da_tarefa.set(chat)
        self.do_servico = chat

    @property
    def chat(self) -> int:
        return self.do_servico if BUG == "servico-unico" else self.da_tarefa.get()

    async def responde(self, texto: str, teclado: InlineKeyboardMarkup | None = None) -> None:
        await bot.send_message(self.chat, texto, reply_markup=teclado)


conversa = Conversa()


async def digitando() -> None:
    """Mostra que se trabalha; não importa se não der."""
    try:
        await bot.send_chat_action(conversa.chat, "typing")
    except (TelegramAPIError, ClientDecodeError) as erro:
        log.warning("sem digitando: %s", type(erro).__name__)


async def atende(toque: CallbackQuery, texto: str = "") -> None:
    """Responde ao toque num botão; pode já ser tarde demais."""
    try:
        await toque.answer(texto[:190])
    except (TelegramAPIError, ClientDecodeError) as erro:
        log.warning("toque sem resposta: %s", type(erro).__name__)


class AbreConversa(BaseMiddleware):
    """Diz em que chat se responde; o que não tem autor não é para nós."""

    async def __call__(self, handler, event, data):
        if event.from_user is None:
            return None
        if isinstance(event, CallbackQuery):
            conversa.abre(event.message.chat.id if event.message else event.from_user.id)
        else:
            conversa.abre(event.chat.id)
        return await handler(event, data)


class Memoria(BaseStorage):
    """Estados das conversas, dos 5000 mais recentes."""

    def __init__(self) -> None:
        self.estados, self.dados = LembraPouco(5000), LembraPouco(5000)

    async def set_state(self, key, state=None) -> None:
        self.estados.pop(key, None)
        if state is not None:
            self.estados[key] = state.state if isinstance(state, State) else state

    async def get_state(self, key):
        return self.estados.get(key)

    async def set_data(self, key, data) -> None:
        self.dados.pop(key, None)
        if data:
            self.dados[key] = dict(data)

    async def get_data(self, key):
        return dict(self.dados.get(key, {}))

    async def close(self) -> None:
        pass


class Oferta(StatesGroup):
    origem = State()
    destino = State()
    quando = State()
    vagas = State()
    confirma = State()


class Moderacao(BaseFilter):
    async def __call__(self, evento: Message | CallbackQuery) -> bool:
        return eh_moderador(evento.from_user.id)


def comando(*nomes: str) -> Command:
    return Command(*nomes, ignore_case=True, ignore_mention=True)


def teclado(*linhas: list[tuple[str, str]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=t, callback_data=d) for t, d in uma] for uma in linhas]
    )


def botoes_da_carona(codigo: str, dono: bool) -> InlineKeyboardMarkup:
    if dono:
        return teclado([("Quem vai?", f"quem:{codigo}"), ("Cancelar", f"canc:{codigo}")])
    return teclado([("Quero ir", f"ir:{codigo}"), ("Desistir", f"sai:{codigo}")])


geral, conversas, moderacao, resto = Router(), Router(), Router(), Router()


# ------------------------------------------------------------------ moderação

moderacao.message.filter(Moderacao())
if BUG != "filtro-so-mensagem":
    moderacao.callback_query.filter(Moderacao())


@moderacao.message(comando("denuncias"))
async def denuncias(_: Message) -> None:
    abertas = todos("SELECT id, carona, motivo FROM denuncias ORDER BY id LIMIT 8")
    if not abertas:
        return await conversa.responde("Nenhuma denúncia. Que paz!")
    texto = "\n".join(f"{numero}. {codigo}: {motivo}" for numero, codigo, motivo in abertas)
    linhas = [
        [(f"Apagar {codigo}", f"m-apaga:{numero}"), ("Arquivar", f"m-arq:{numero}")] for numero, codigo, _ in abertas
    ]
    await conversa.responde(texto, teclado(*linhas))


@moderacao.callback_query(F.data.regexp(r"^m-(apaga|arq):[0-9]{1,9}$"))
async def decide(toque: CallbackQuery) -> None:
    acao, numero = toque.data.split(":")
    achada = um("SELECT carona FROM denuncias WHERE id=?", int(numero))
    if achada is None or not muda("DELETE FROM denuncias WHERE id=?", int(numero)):
        return await atende(toque, "Essa denúncia já foi resolvida.")
    if acao == "m-arq":
        await atende(toque)
        return await conversa.responde(f"Denúncia {numero} arquivada.")
    fecha(achada[0], "A moderação apagou a carona")
    await atende(toque)
    await conversa.responde(f"Carona {achada[0]} apagada.")


@moderacao.message(comando("bloquear"))
async def bloquear(_: Message, command: CommandObject) -> None:
    numero = command.args or ""
    if not re.fullmatch(r"[0-9]{1,15}", numero):
        return await conversa.responde("Assim: /bloquear ID")
    if eh_moderador(int(numero)):
        return await conversa.responde("Quem modera não se bloqueia.")
    muda("INSERT OR IGNORE INTO bloqueados VALUES (?)", int(numero))
    await conversa.responde(f"{numero} está fora.")


@moderacao.message(comando("mural"))
async def mural(message: Message, command: CommandObject) -> None:
    if message.chat.type == "private":
        return await conversa.responde("O mural é para grupos.")
    if command.args == "desligar":
        muda("DELETE FROM murais WHERE chat=?", message.chat.id)
        return await conversa.responde("Mural desligado.")
    if command.args != "ligar":
        return await conversa.responde("Assim: /mural ligar ou /mural desligar")
    if um("SELECT count(*) FROM murais")[0] >= 50:
        return await conversa.responde("Já há murais demais.")
    muda("INSERT OR IGNORE INTO murais VALUES (?)", message.chat.id)
    await conversa.responde("Mural ligado: as caronas novas aparecem aqui.")


@geral.message(comando("moderador"))
async def moderador(message: Message, command: CommandObject) -> None:
    numero = command.args or ""
    if message.from_user.id != ADMIN:
        return await conversa.responde("Só a administração pode isso.")
    if not re.fullmatch(r"[0-9]{1,15}", numero):
        return await conversa.responde("Assim: /moderador ID")
    muda("INSERT OR IGNORE INTO moderadores VALUES (?)", int(numero))
    await conversa.responde(f"{numero} agora modera.")


@geral.message(comando("painel"))
async def painel(message: Message) -> None:
    if message.from_user.id != ADMIN:
        return await conversa.responde("Só a administração pode isso.")
    numeros = [um(f"SELECT count(*) FROM {t}")[0] for t in ("caronas", "reservas", "denuncias", "moderadores")]
    await conversa.responde("Caronas {}, reservas {}, denúncias {}, moderadores {}".format(*numeros))


# ------------------------------------------------------------------ caronas


async def ficha(codigo: str, pessoa: int) -> None:
    uma = carona(codigo)
    if uma is None:
        return await conversa.responde("Não conheço essa carona.")
    await conversa.responde(linha(uma), botoes_da_carona(uma[0], uma[1] == pessoa))


@geral.message(CommandStart(ignore_mention=True))
async def start(message: Message, command: CommandObject, state: FSMContext) -> None:
    carga = command.args or ""
    if carga == "oferecer" and message.chat.type == "private":
        return await oferecer(message, state)
    if carga.startswith("v-"):
        return await ficha(carga[2:], message.from_user.id)
    if carga.startswith("p-"):
        return await recebe_passe(message, carga[2:40])
    await conversa.responde("Olá! " + AJUDA)


@geral.message(comando("ajuda", "help"))
async def ajuda(_: Message) -> None:
    await conversa.responde(AJUDA)


@geral.message(comando("procurar"))
async def procurar(_: Message, command: CommandObject) -> None:
    await digitando()
    busca = limpo(command.args or "", 40).lower()
    achadas = [
        uma
        for uma in todos(
            "SELECT codigo, motorista, nome, origem, destino, quando, vagas FROM caronas WHERE estado='aberta' "
            "ORDER BY rowid DESC LIMIT 300"
        )
        if busca in f"{uma[3]} {uma[4]}".lower() and livres(uma[0]) > 0
    ][:8]
    if not achadas:
        return await conversa.responde("Nenhuma carona com vaga por enquanto.")
    await conversa.responde(
        "\n".join(map(linha, achadas)), teclado(*[[(f"Ver {uma[0]}", f"ver:{uma[0]}")] for uma in achadas])
    )


@geral.message(comando("carona"))
async def mostra(message: Message, command: CommandObject) -> None:
    await ficha(command.args or "", message.from_user.id)


@geral.message(comando("minhas"))
async def minhas(message: Message) -> None:
    await digitando()
    eu = message.from_user.id
    colunas = "codigo, motorista, nome, origem, destino, quando, vagas"
    ofereco = todos(f"SELECT {colunas} FROM caronas WHERE motorista=? AND estado='aberta' LIMIT 20", eu)
    vou = todos(
        f"SELECT {colunas} FROM caronas WHERE estado='aberta' AND codigo IN (SELECT carona FROM reservas WHERE pessoa=?) LIMIT 20",
        eu,
    )
    partes = [f"Ofereço:\n{chr(10).join(map(linha, ofereco))}"] if ofereco else []
    partes += [f"Vou em:\n{chr(10).join(map(linha, vou))}"] if vou else []
    await conversa.responde("\n".join(partes) or f"{nome_de(message.from_user)}, você ainda não tem caronas.")


def fecha(codigo: str, porque: str) -> bool:
    """Fecha a carona e avisa quem ia."""
    if not muda("UPDATE caronas SET estado='fechada' WHERE codigo=? AND estado='aberta'", codigo):
        return False
    for (pessoa,) in todos("SELECT pessoa FROM reservas WHERE carona=?", codigo):
        avisar(pessoa, f"{porque}: {codigo}. Sua vaga não vale mais.")
    muda("DELETE FROM reservas WHERE carona=?", codigo)
    muda("DELETE FROM passes WHERE carona=?", codigo)
    return True


def cancela(codigo: str, pessoa: int) -> str:
    uma = carona(codigo)
    if uma is None:
        return "Não conheço essa carona."
    if uma[1] != pessoa:
        return "Essa carona não é sua."
    fecha(uma[0], "O motorista cancelou a carona")
    return f"Carona {uma[0]} cancelada."


def desiste(codigo: str, pessoa: int, nome: str) -> str:
    uma = carona(codigo)
    if uma is None:
        return "Não conheço essa carona."
    if not muda("DELETE FROM reservas WHERE carona=? AND pessoa=?", uma[0], pessoa):
        return "Você não tem vaga nessa carona."
    muda("DELETE FROM passes WHERE carona=? AND pessoa=?", uma[0], pessoa)
    avisar(uma[1], f"{nome} desistiu da carona {uma[0]}.")
    return f"Pronto, sua vaga em {uma[0]} está livre."


@geral.message(comando("cancelar"))
async def cancelar(message: Message, command: CommandObject) -> None:
    await conversa.responde(cancela(command.args or "", message.from_user.id))


@geral.message(comando("desistir"))
async def desistir(message: Message, command: CommandObject) -> None:
    await conversa.responde(desiste(command.args or "", message.from_user.id, nome_de(message.from_user)))


@geral.message(comando("recado"))
async def recado(message: Message, command: CommandObject) -> None:
    codigo, _, texto = (command.args or "").partition(" ")
    uma, texto, eu = carona(codigo), limpo(texto, 300), message.from_user.id
    if uma is None or not texto:
        return await conversa.responde("Assim: /recado CÓDIGO texto")
    vai_junto = (
        "codigo=? AND pessoa=? OR motorista=?" if BUG == "recado-de-fora" else "codigo=? AND (pessoa=? OR motorista=?)"
    )
    if um(f"SELECT 1 FROM caronas LEFT JOIN reservas ON carona=codigo WHERE {vai_junto}", uma[0], eu, eu) is None:
        return await conversa.responde("Só quem vai junto manda recado.")
    gente = {uma[1], *(p for (p,) in todos("SELECT pessoa FROM reservas WHERE carona=?", uma[0]))} - {eu}
    for pessoa in gente:
        avisar(pessoa, f"Recado de {nome_de(message.from_user)} sobre {uma[0]}: {texto}")
    await conversa.responde(f"Recado mandado para {len(gente)}.")


@geral.message(comando("passar"))
async def passar(message: Message, command: CommandObject) -> None:
    uma = carona(command.args or "")
    if uma is None or not um("SELECT 1 FROM reservas WHERE carona=? AND pessoa=?", uma[0], message.from_user.id):
        return await conversa.responde("Você não tem vaga nessa carona.")
    fichinha = secrets.token_hex(4)
    muda("DELETE FROM passes WHERE carona=? AND pessoa=?", uma[0], message.from_user.id)
    muda("INSERT INTO passes VALUES (?,?,?)", fichinha, uma[0], message.from_user.id)
    await conversa.responde(f"Quem abrir primeiro fica com a vaga: https://t.me/caroneiro_bot?start=p-{fichinha}")


async def recebe_passe(message: Message, fichinha: str) -> None:
    passe = um("SELECT carona, pessoa FROM passes WHERE ficha=?", fichinha)
    if passe is None or passe[1] == message.from_user.id:
        return await conversa.responde("Esse link não vale (mais).")
    codigo, antes = passe
    uma = carona(codigo)
    if uma is None or uma[1] == message.from_user.id:
        return await conversa.responde("Essa carona não é para você.")
    if um("SELECT 1 FROM reservas WHERE carona=? AND pessoa=?", codigo, message.from_user.id):
        return await conversa.responde("Você já vai nessa carona.")
    muda("DELETE FROM passes WHERE ficha=?", fichinha)
    nome = nome_de(message.from_user)
    muda("UPDATE reservas SET pessoa=?, nome=? WHERE carona=? AND pessoa=?", message.from_user.id, nome, codigo, antes)
    avisar(antes, f"{nome} ficou com a sua vaga em {codigo}.")
    await conversa.responde(f"A vaga em {codigo} é sua!")


@geral.message(comando("denunciar"))
async def denunciar(message: Message, command: CommandObject) -> None:
    codigo, _, motivo = (command.args or "").partition(" ")
    uma, motivo = carona(codigo), limpo(motivo, 150)
    if uma is None or not motivo:
        return await conversa.responde("Assim: /denunciar CÓDIGO motivo")
    if um("SELECT count(*) FROM denuncias WHERE pessoa=?", message.from_user.id)[0] >= 5:
        return await conversa.responde("Você já tem denúncias demais em aberto.")
    muda("INSERT INTO denuncias (carona, pessoa, motivo) VALUES (?,?,?)", uma[0], message.from_user.id, motivo)
    avisar(ADMIN, f"Denúncia sobre {uma[0]}: {motivo}\nVeja /denuncias")
    await conversa.responde("Obrigado, a moderação vai olhar.")


@geral.callback_query(F.data.regexp(r"^(ver|ir|sai|quem|canc):[A-Z]{4}$"))
async def botao(toque: CallbackQuery) -> None:
    acao, codigo = toque.data.split(":")
    pessoa, nome = toque.from_user.id, nome_de(toque.from_user)
    if acao == "ir":
        return await reserva(toque, codigo)
    if acao == "ver":
        await atende(toque)
        return await ficha(codigo, pessoa)
    if acao == "canc":
        texto = cancela(codigo, pessoa)
    elif acao == "sai":
        texto = desiste(codigo, pessoa, nome)
    else:
        uma = carona(codigo)
        if uma is None or uma[1] != pessoa:
            texto = "Essa carona não é sua."
        else:
            gente = ", ".join(n for (n,) in todos("SELECT nome FROM reservas WHERE carona=?", codigo))
            texto = f"Em {codigo} vão: {gente}" if gente else f"Em {codigo} ainda não vai ninguém."
    await atende(toque)
    await conversa.responde(texto)


async def reserva(toque: CallbackQuery, codigo: str) -> None:
    uma = carona(codigo)
    if uma is None:
        await atende(toque)
        return await conversa.responde("Essa carona não existe mais.")
    if uma[1] == toque.from_user.id:
        await atende(toque)
        return await conversa.responde("A carona é sua!")
    cabe = livres(codigo) > 0
    await atende(toque, "Um instante…")
    ainda = "" if BUG == "vaga-dupla" else " AND (SELECT count(*) FROM reservas WHERE carona=codigo) < vagas"
    nome = nome_de(toque.from_user)
    feita = cabe and muda(
        "INSERT OR IGNORE INTO reservas SELECT codigo, ?, ? FROM caronas WHERE codigo=? AND estado='aberta'" + ainda,
        toque.from_user.id,
        nome,
        codigo,
    )
    if feita == 1:
        avisar(uma[1], f"{nome} vai com você em {codigo}.")
        return await conversa.responde(f"Vaga reservada em {codigo}. Boa viagem!")
    if um("SELECT 1 FROM reservas WHERE carona=? AND pessoa=?", codigo, toque.from_user.id):
        return await conversa.responde("Você já vai nessa carona.")
    await conversa.responde(f"A carona {codigo} está lotada.")


# ------------------------------------------------------------------ a conversa de oferecer


@geral.message(comando("oferecer"))
async def oferecer(message: Message, state: FSMContext) -> None:
    if message.chat.type != "private":
        return await conversa.responde("Me chama no privado: https://t.me/caroneiro_bot?start=oferecer")
    if um("SELECT count(*) FROM caronas WHERE motorista=? AND estado='aberta'", message.from_user.id)[0] >= 10:
        return await conversa.responde("Dez caronas abertas bastam; cancele alguma antes.")
    await state.clear()
    await state.set_state(Oferta.origem)
    await conversa.responde("De onde você sai?")


@geral.message(comando("parar"))
async def parar(_: Message, state: FSMContext) -> None:
    havia = await state.get_state()
    await state.clear()
    await conversa.responde("Conversa encerrada." if havia else "Não havia conversa nenhuma.")


def entende(texto: str) -> str | None:
    """«hoje 18:30», «amanhã 7h», «25/12 9:00»; None se não for uma data."""
    partes = re.fullmatch(
        r"(hoje|amanh[ãa]|(\d{1,2})/(\d{1,2}))\s+(\d{1,2})(?:[:h](\d{2})?)?", texto.strip().lower(), re.ASCII
    )
    if partes is None:
        return None
    agora = datetime.now()  # noqa: DTZ005
    dia = agora + timedelta(days=1) if partes[1].startswith("amanh") else agora
    try:
        if partes[2]:
            dia = datetime(agora.year, int(partes[3]), int(partes[2]))  # noqa: DTZ001
        dia = dia.replace(hour=int(partes[4]), minute=int(partes[5] or 0))
    except ValueError:
        return None
    return dia.strftime("%d/%m %H:%M")


TEXTO = F.text & ~F.text.startswith("/")


@conversas.message(Oferta.origem, TEXTO)
async def pergunta_destino(message: Message, state: FSMContext) -> None:
    await state.update_data(origem=limpo(message.text, 40) or "aqui")
    await state.set_state(Oferta.destino)
    await conversa.responde("E vai para onde?")


@conversas.message(Oferta.destino, TEXTO)
async def pergunta_quando(message: Message, state: FSMContext) -> None:
    await state.update_data(destino=limpo(message.text, 40) or "ali")
    await state.set_state(Oferta.quando)
    await conversa.responde("Quando? Por exemplo: amanhã 7:30, ou 25/12 9h")


@conversas.message(Oferta.quando, TEXTO)
async def pergunta_vagas(message: Message, state: FSMContext) -> None:
    quando = entende(message.text)
    if quando is None:
        return await conversa.responde("Não entendi a data. Por exemplo: amanhã 7:30")
    await state.update_data(quando=quando)
    await state.set_state(Oferta.vagas)
    await conversa.responde("Quantas vagas?", teclado([(str(n), f"vagas:{n}") for n in range(1, 7)]))


async def resumo(state: FSMContext, vagas: int) -> None:
    dados = await state.update_data(vagas=vagas)
    await state.set_state(Oferta.confirma)
    await conversa.responde(
        f"{dados['origem']} → {dados['destino']}, {dados['quando']}, {vagas} vaga(s). Publico?",
        teclado([("Publicar", "of:sim"), ("Descartar", "of:nao")]),
    )


@conversas.message(Oferta.vagas, F.text.regexp(f"^{VAGAS}$"))
async def vagas_escritas(message: Message, state: FSMContext) -> None:
    await resumo(state, int(message.text))


@conversas.callback_query(Oferta.vagas, F.data.regexp(f"^vagas:{VAGAS}$"))
async def vagas_tocadas(toque: CallbackQuery, state: FSMContext) -> None:
    await atende(toque)
    await resumo(state, int(toque.data[-1]))


@conversas.callback_query(Oferta.confirma, F.data == "of:nao")
async def descarta(toque: CallbackQuery, state: FSMContext) -> None:
    await state.clear()
    await atende(toque)
    await conversa.responde("Descartada.")


@conversas.callback_query(Oferta.confirma, F.data == "of:sim")
async def publica(toque: CallbackQuery, state: FSMContext) -> None:
    dados = await state.get_data()
    await state.clear()
    codigo = "".join(secrets.choice(LETRAS) for _ in range(4))
    while um("SELECT 1 FROM caronas WHERE codigo=?", codigo):
        codigo = "".join(secrets.choice(LETRAS) for _ in range(4))
    muda(
        "INSERT INTO caronas (codigo, motorista, nome, origem, destino, quando, vagas) VALUES (?,?,?,?,?,?,?)",
        codigo,
        toque.from_user.id,
        nome_de(toque.from_user),
        dados["origem"],
        dados["destino"],
        dados["quando"],
        dados["vagas"],
    )
    await atende(toque, "Publicada!")
    for (chat,) in todos("SELECT chat FROM murais"):
        avisar(chat, f"Carona nova! {linha(carona(codigo))}", botoes_da_carona(codigo, dono=False))
    await conversa.responde(
        f"Publicada: {linha(carona(codigo))}\nPara compartilhar: https://t.me/caroneiro_bot?start=v-{codigo}",
        botoes_da_carona(codigo, dono=True),
    )


PASSOS = StateFilter(Oferta.origem, Oferta.destino, Oferta.quando, Oferta.confirma)


@conversas.message(PASSOS if BUG == "vagas-sem-resto" else StateFilter(Oferta), ~F.text.startswith("/"))
async def nao_serve(_: Message, state: FSMContext) -> None:
    passo = await state.get_state()
    falta = {Oferta.vagas.state: "um número de 1 a 6", Oferta.confirma.state: "que você toque num botão"}
    await conversa.responde(f"Preciso de {falta.get(passo, 'um texto')}. Ou /parar.")


# ------------------------------------------------------------------ o que sobra


@resto.message(comando("denuncias", "bloquear", "mural"))
async def so_moderacao(_: Message) -> None:
    await conversa.responde("Isso é só para a moderação.")


@resto.callback_query()
async def botao_velho(toque: CallbackQuery) -> None:
    alheio = (toque.data or "").startswith("m-")
    await atende(toque, "Isso é só para a moderação." if alheio else "Esse botão não vale mais.")


@resto.message(F.text.startswith("/"), F.chat.type == "private")
async def desconhecido(_: Message) -> None:
    await conversa.responde("Não conheço esse comando. Veja /ajuda")


@resto.message(StateFilter(None), F.chat.type == "private")
async def conversa_fiada(_: Message) -> None:
    await conversa.responde("Não entendi. Veja /ajuda")


despacho = Dispatcher(storage=Memoria())
for observador in (despacho.message, despacho.callback_query):
    observador.outer_middleware(AbreConversa())
despacho.include_routers(geral, moderacao, conversas, resto)


# ------------------------------------------------------------------ o webhook

filas: dict[int, deque] = {}
vistos = LembraPouco(VISTOS_MAX)
trabalhos: set[asyncio.Task] = set()
na_fila = 0


async def trabalha(chat: int) -> None:
    """Atende um chat enquanto houver o que atender."""
    global na_fila
    fila = filas[chat]
    while fila:
        update = fila.popleft()
        na_fila -= 1
        try:
            await despacho.feed_update(bot, update)
        except (TelegramAPIError, ClientDecodeError) as erro:
            log.warning("resposta para %s não chegou: %s", chat, type(erro).__name__)
        except Exception:
            log.exception("erro ao atender %s", chat)
            avisar(chat, "Ops, algo deu errado aqui. Tente de novo.")
    del filas[chat]


def chave_de(update: Update) -> object:
    """O que distingue uma entrega repetida."""
    if BUG == "repetido-por-mensagem":
        mensagem = update.message or update.callback_query.message
        if mensagem is not None:
            return mensagem.chat.id, mensagem.message_id
    return update.update_id


def segredo_certo(pedido: web.Request) -> bool:
    recebido, esperado = pedido.headers.get("X-Telegram-Bot-Api-Secret-Token", ""), SEGREDO
    if BUG == "segredo-minusculo":
        recebido, esperado = recebido.lower(), esperado.lower()
    return hmac.compare_digest(recebido.encode("utf-8", "replace"), esperado.encode())


async def webhook(pedido: web.Request) -> web.Response:
    global na_fila
    if not segredo_certo(pedido):
        return web.Response(status=401)
    try:
        cru = json.loads(await pedido.read())
    except (ValueError, RecursionError):
        return web.Response(status=400)
    if not isinstance(cru, dict) or type(cru.get("update_id")) is not int:
        return web.Response(status=400)
    try:
        update = Update.model_validate(cru, context={"bot": bot})
    except (ValidationError, RecursionError):
        log.warning("update %s ignorado: não se entende", str(cru["update_id"])[:20])
        return web.Response()
    if BUG == "sem-autor":
        autor = update.event.from_user.id
    else:
        conteudo = update.message or update.callback_query
        if conteudo is None or conteudo.from_user is None:
            return web.Response()
        autor = conteudo.from_user.id
    if not -(1 << 53) < autor < 1 << 53 or um("SELECT 1 FROM bloqueados WHERE pessoa=?", autor):
        return web.Response()
    if update.message is None and update.callback_query is None:
        return web.Response()
    mensagem = update.message or update.callback_query.message
    chat = mensagem.chat.id if mensagem else autor
    if not -(1 << 53) < chat < 1 << 53:
        return web.Response()
    chave = chave_de(update)
    if chave in vistos:
        return web.Response()
    fila = filas.get(chat)
    if na_fila >= FILA_TOTAL or (fila is not None and len(fila) >= FILA_POR_CHAT):
        return web.Response(status=503, headers={"Retry-After": "5"})
    vistos[chave] = True
    na_fila += 1
    if fila is None:
        filas[chat] = deque([update])
        tarefa = asyncio.create_task(trabalha(chat))
        trabalhos.add(tarefa)
        tarefa.add_done_callback(trabalhos.discard)
    else:
        fila.append(update)
    return web.Response()


def main() -> None:
    aplicacao = web.Application(client_max_size=CORPO_MAX)
    aplicacao.router.add_post(CAMINHO, webhook)
    web.run_app(aplicacao, host="127.0.0.1", port=PORTA, access_log=None, print=None)


if __name__ == "__main__":
    main()
