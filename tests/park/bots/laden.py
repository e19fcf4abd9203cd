"""Laden: a German shop. FastAPI with raw dictionaries; answers in the webhook's response; menus of callbacks that edit one message.

Carts and orders live in memory. The bot calls the API itself only to end the spinner of a button and to tell the owner of an order.
"""

import asyncio
import hmac
import itertools
import json
import os
from collections import OrderedDict

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
TOKEN = os.environ["BOT_TOKEN"]
ADMIN = int(os.environ["ADMIN_ID"])
MOST_BODY = 128 * 1024
HILFE = "Befehle: /sortiment, /korb, /bestellungen, /hilfe."
prices = {"brot": 320, "milch": 129, "eier": 279, "honig": 550}

app = FastAPI(openapi_url=None)
carts: OrderedDict[int, dict[str, int]] = OrderedDict()
orders: OrderedDict[int, dict] = OrderedDict()
numbers = itertools.count(1001)
locks: dict[int, asyncio.Lock] = {}
answered: OrderedDict[int, None] = OrderedDict()
http = httpx.AsyncClient(timeout=None if BUG == "no-timeout" else 4)
background: set[asyncio.Task] = set()
access_log: list[dict] = []


async def api(method: str, **params: object) -> bool:
    """Calls the Bot API; three tries, as far apart as it asks for, thirty seconds at most."""
    tries = 10_000 if BUG == "retries-for-ever" else 3
    for attempt in range(tries):
        pause = 0.01 if BUG == "retries-for-ever" else 0.5 * 2**attempt
        try:
            response = await http.post(f"{os.environ['BOT_API']}/bot{TOKEN}/{method}", json=params)
            if BUG in {"order-fails-with-notice", "error-shows-url"}:
                response.raise_for_status()
            if response.status_code < 300 or response.status_code in {400, 401, 403, 404}:
                return response.status_code < 300
            if response.status_code == 429 and BUG != "retries-for-ever":
                try:
                    wait = response.json()["parameters"]["retry_after"]
                except (ValueError, KeyError, TypeError):
                    wait = 1
                if not isinstance(wait, int) or wait > 30:
                    return False
                pause = wait + 0.1
        except httpx.TransportError:
            if BUG in {"order-fails-with-notice", "error-shows-url"}:
                raise
        await asyncio.sleep(pause)
    return False


def later(method: str, **params: object) -> None:
    task = asyncio.create_task(api(method, **params))
    background.add(task)
    task.add_done_callback(background.discard)


def euro(cents: int) -> str:
    return f"{cents // 100},{cents % 100:02d} €"


def send(chat: int, text: str, *rows: tuple[str, str]) -> dict:
    message: dict = {"method": "sendMessage", "chat_id": chat, "text": text}
    if rows:
        message["reply_markup"] = keyboard(rows)
    return message


def keyboard(rows: tuple[tuple[str, str], ...]) -> dict:
    return {"inline_keyboard": [[{"text": text, "callback_data": data}] for text, data in rows]}


def goods() -> list[tuple[str, str]]:
    return [(f"{name.capitalize()} {euro(price)}", f"rein:{name}") for name, price in prices.items()]


def cart_of(user: int) -> dict[str, int]:
    key = 0 if BUG == "one-cart-for-all" else user
    cart = carts.setdefault(key, {})
    carts.move_to_end(key)
    while len(carts) > 5000:
        carts.popitem(last=False)
    return cart


def total(cart: dict[str, int]) -> int:
    return sum(prices[name] * count for name, count in cart.items())


def is_admin(sender: dict) -> bool:
    if BUG == "owner-by-username" and sender.get("username") in {
        "admin",
        "owner",
        os.environ.get("ADMIN_NAME", "admin"),
    }:
        return True
    return sender["id"] == ADMIN


def on_text(sender: dict, chat: int, text: str, *, edited: bool) -> dict | None:
    word, _, rest = text.partition(" ")
    command = word.split("@")[0].casefold()
    user = sender["id"]
    allowed = is_admin(sender) or (edited and BUG == "edits-unchecked")
    if command in {"/start", "/hilfe"}:
        admin = " Nur für dich: /umsatz, /preis, /versand." if user == ADMIN else ""
        return send(chat, "Willkommen im Hofladen! " + HILFE + admin)
    if command == "/sortiment":
        return send(chat, "Was darf es sein?", *goods())
    if command == "/korb":
        cart = cart_of(user)
        if not cart:
            return send(chat, "Dein Korb ist leer.")
        lines = ", ".join(f"{count} × {name}" for name, count in cart.items())
        return send(chat, f"Im Korb: {lines}. Summe {euro(total(cart))}", ("Bestellen", "kauf"), ("Leeren", "leer"))
    if command == "/bestellungen":
        mine = [number for number, order in orders.items() if order["user"] == user]
        buttons = [(f"{number} stornieren", f"storno:{number}") for number in mine[-8:]]
        return send(chat, f"Du hast {len(mine)} Bestellungen.", *buttons)
    if command in {"/umsatz", "/preis", "/versand"}:
        return manage(chat, command, rest) if allowed else send(chat, "Das darf nur der Inhaber.")
    return send(chat, "Das verstehe ich nicht. " + HILFE) if chat > 0 else None


def manage(chat: int, command: str, rest: str) -> dict:
    words = rest.split()
    if command == "/umsatz":
        return send(chat, f"Umsatz: {euro(sum(order['sum'] for order in orders.values()))}")
    if command == "/preis":
        if (
            len(words) != 2
            or words[0] not in prices
            or not (words[1].isascii() and words[1].isdigit() and len(words[1]) < 7)
        ):
            return send(chat, "So: /preis brot 350")
        prices[words[0]] = int(words[1])
        return send(chat, "Der Preis ist geändert.")
    if not words or not (words[0].isascii() and words[0].isdigit()) or len(words[0]) > 9 or int(words[0]) not in orders:
        return send(chat, f"Offen: {len(orders)} Bestellungen. So: /versand 1001", *admin_buttons())
    orders[int(words[0])]["sent"] = True
    return send(chat, "Als versandt vermerkt.")


def admin_buttons() -> list[tuple[str, str]]:
    return [(f"{number} versenden", f"versand:{number}") for number in list(orders)[-5:]]


async def on_press(query: dict) -> dict | None:
    sender, data = query["from"], query.get("data")
    if isinstance(query.get("id"), str):
        later("answerCallbackQuery", callback_query_id=query["id"])
    if BUG == "message-assumed":
        chat, message = query["message"]["chat"]["id"], query["message"]["message_id"]
    else:
        origin = query.get("message")
        where = origin.get("chat") if isinstance(origin, dict) else None
        if not isinstance(where, dict) or type(where.get("id")) is not int or type(origin.get("message_id")) is not int:
            return None
        chat, message = where["id"], origin["message_id"]
    if not isinstance(data, str):
        return None
    if BUG == "data-unpacked" and data not in {"kauf", "leer", "weiter"}:
        action, item = data.split(":")
    else:
        action, _, item = data.partition(":")
    text, rows = await pressed(sender, action, item)
    edit: dict = {"method": "editMessageText", "chat_id": chat, "message_id": message, "text": text}
    if rows:
        edit["reply_markup"] = keyboard(tuple(rows))
    return edit


async def pressed(sender: dict, action: str, item: str) -> tuple[str, list[tuple[str, str]]]:
    user = sender["id"]
    lock = locks.setdefault(user, asyncio.Lock())
    if len(locks) > 5000:
        for key in [key for key, one in locks.items() if not one.locked()]:
            del locks[key]
        locks[user] = lock
    if action == "rein" and item in prices:
        if BUG == "cart-race":
            before = dict(cart_of(user))
            await asyncio.sleep(0.15)  # the stock is looked up
            before[item] = before.get(item, 0) + 1
            carts[user] = before
        else:
            async with lock:
                await asyncio.sleep(0.02)
                cart = cart_of(user)
                cart[item] = min(cart.get(item, 0) + 1, 99)
        return f"Im Korb: {sum(cart_of(user).values())} Stück, {euro(total(cart_of(user)))}", [
            *goods(),
            ("Bestellen", "kauf"),
        ]
    if action == "leer":
        cart_of(user).clear()
        return "Der Korb ist leer.", goods()
    if action == "kauf":
        async with lock:
            return await order(user)
    if action in {"storno", "versand"}:
        if not (item.isascii() and item.isdigit() and len(item) < 10) or int(item) not in orders:
            return "Diese Bestellung gibt es nicht.", []
        found = orders[int(item)]
        if action == "versand":
            if not is_admin(sender) and BUG != "button-unchecked":
                return "Das darf nur der Inhaber.", []
            found["sent"] = True
            return "Als versandt vermerkt.", []
        if found["user"] != user and BUG != "cancels-any-order":
            return "Diese Bestellung gibt es nicht.", []
        del orders[int(item)]
        return "Die Bestellung ist storniert.", []
    return "Der Knopf gilt nicht mehr.", goods()


async def order(user: int) -> tuple[str, list[tuple[str, str]]]:
    cart = cart_of(user)
    if not cart:
        return "Dein Korb ist leer.", goods()
    number = next(numbers)
    orders[number] = {"user": user, "sum": total(cart), "sent": False}
    while len(orders) > 5000:
        orders.popitem(last=False)
    cart.clear()
    note = {"chat_id": ADMIN, "text": "Eine neue Bestellung ist da."}
    if BUG in {"order-fails-with-notice", "error-shows-url", "no-timeout", "retries-for-ever"}:
        await api("sendMessage", **note)
    else:
        later("sendMessage", **note)
    return f"Danke! Deine Bestellung hat die Nummer {number}.", [(f"{number} stornieren", f"storno:{number}")]


def valid(some: object) -> bool:
    return isinstance(some, dict) and type(some.get("id")) is int and abs(some["id"]) < 2**52


async def react(update: dict) -> dict | None:
    query = update.get("callback_query")
    if isinstance(query, dict) and valid(query.get("from")):
        return await on_press(query)
    for kind in ("message", "edited_message") if BUG == "edits-unchecked" else ("message",):
        message = update.get(kind)
        if isinstance(message, dict) and valid(message.get("from")) and valid(message.get("chat")):
            text = message.get("text")
            if isinstance(text, str):
                return on_text(message["from"], message["chat"]["id"], text, edited=kind != "message")
    return None


@app.post(os.environ["WEBHOOK_PATH"])
async def hook(request: Request) -> Response:
    given = request.headers.get("x-telegram-bot-api-secret-token", "")
    if BUG == "empty-secret-passes":
        known = not given or given == SECRET
    else:
        known = hmac.compare_digest(given.encode("utf-8", "replace"), SECRET.encode())
    if BUG == "body-before-secret":
        body = await request.body()
        if not known:
            return Response(status_code=401)
    else:
        if not known:
            return Response(status_code=401)
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY:
                    return Response(status_code=413)
        except ClientDisconnect:
            return Response(status_code=400)
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return Response(status_code=400)
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return Response(status_code=200)
    if BUG == "log-in-memory":
        access_log.append(
            {"headers": dict(request.headers), "update": update, "raw": [body.decode()[i:] for i in range(0, 300, 10)]}
        )
    if update["update_id"] in answered and BUG != "no-memory-of-updates":
        return Response(status_code=200)
    answered[update["update_id"]] = None
    while len(answered) > 20_000:
        answered.popitem(last=False)
    try:
        reply = await react(update)
    except httpx.HTTPError as error:
        if BUG != "error-shows-url":
            raise
        reply = send(update["callback_query"]["from"]["id"], f"Leider ein Fehler: {error}")
    return JSONResponse(reply) if reply else Response(status_code=200)


uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")
