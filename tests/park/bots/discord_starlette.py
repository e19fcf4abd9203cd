"""Discord interactions in Starlette: the library discord-interactions verifies, a table of handlers answers."""

import asyncio
import contextlib
import io
import json
import os

import uvicorn
from discord_interactions import verify_key
from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

BUG = os.environ.get("BUG", "")
# The park hands out one secret; Discord's side of it is the seed, ours the public key.
PUBLIC_KEY = SigningKey(bytes.fromhex(os.environ["SECRET"])).verify_key.encode().hex()
MOST_BODY = 256 * 1024
kept: list[object] = []


def genuine(request: Request, body: bytes) -> bool:
    signature = request.headers.get("x-signature-ed25519")
    stamp = request.headers.get("x-signature-timestamp")
    if BUG == "header-optional" and signature is None:
        return True
    if BUG == "time-unsigned":
        stamp = stamp or ""
    elif not signature or not stamp:
        return False
    if BUG == "signature-assumed":
        bytes.fromhex(signature or "")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return bool(verify_key(body, signature or "", stamp, PUBLIC_KEY))
    except (ValueError, TypeError, UnicodeError):
        return False


def said(text: str) -> Response:
    return JSONResponse({"type": 4, "data": {"content": text[:2000], "allowed_mentions": {"parse": []}}})


async def answer(told: dict) -> Response:
    kind = told.get("type") if isinstance(told.get("type"), int) else None
    if kind == 1:
        return PlainTextResponse("pong") if BUG == "pong-as-text" else JSONResponse({"type": 1})
    data = told.get("data")
    if not isinstance(data, dict):
        return (
            JSONResponse({"type": 4, "data": {"content": "?"}}) if kind in {2, 3, 4, 5} else Response(status_code=400)
        )
    if BUG == "member-assumed":
        told["member"]["user"]["id"]
    if kind == 2:
        if BUG == "slow-command":
            await asyncio.sleep(4)
        options = data.get("options")
        if BUG == "options-assumed":
            options[0]["value"]
        first = options[0] if isinstance(options, list) and options and isinstance(options[0], dict) else {}
        return said(f"Hello, {first.get('value', 'you')}.")
    if kind == 3:
        return JSONResponse({"type": 6})
    if kind == 4:
        return JSONResponse({"type": 8, "data": {"choices": []}})
    if kind == 5:
        return said("Thanks.")
    return Response(status_code=400)


async def interactions(request: Request) -> Response:
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY and BUG != "any-size":
                return Response(status_code=413)
    except ClientDisconnect:
        return Response(status_code=400)
    if BUG == "ping-first" and body.find(b'"type":1,') >= 0:
        return JSONResponse({"type": 1})
    if not genuine(request, body):
        return Response(status_code=403 if BUG == "refused-403" else 401)
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return Response(status_code=400)
    if not isinstance(told, dict):
        return Response(status_code=400)
    if BUG == "kept":
        kept.append((told, bytes(30_000)))
    return await answer(told)


uvicorn.run(
    Starlette(routes=[Route(os.environ["WEBHOOK_PATH"], interactions, methods=["POST"])]),
    port=int(os.environ["PORT"]),
    log_level="critical",
)
