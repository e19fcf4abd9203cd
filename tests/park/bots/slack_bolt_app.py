"""A Slack app on Bolt behind Starlette, as its documentation shows it; Bolt checks the signatures."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import time
from urllib.parse import parse_qs

import uvicorn
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
OWN_CHECK = {"no-timestamp", "header-optional", "prefix-only", "compares-text"}
MOST_BODY = 256 * 1024


async def authorized(**_: object):
    """Which team this is; Bolt asks before each listener, and no token leaves here."""
    from slack_bolt.authorization import AuthorizeResult  # noqa: PLC0415

    return AuthorizeResult(enterprise_id=None, team_id="T0", bot_token="xoxb-none", bot_id="B0", bot_user_id="U0")


app = AsyncApp(
    signing_secret=SECRET,
    authorize=authorized,
    request_verification_enabled=BUG not in {*OWN_CHECK, "forms-unverified"},
)


@app.event("message")
async def heard(event: dict) -> None:
    if BUG == "text-assumed":
        event["text"].strip()


@app.event({"type": "app_mention"})
async def mentioned(event: dict) -> None:
    del event


@app.command("/weather")
async def weather(ack) -> None:
    if BUG == "slow-command":
        await asyncio.sleep(4)
    await ack("Sunny.")


@app.action(re.compile(".*"))
@app.view(re.compile(".*"))
@app.view_closed(re.compile(".*"))
@app.shortcut(re.compile(".*"))
async def done(ack) -> None:
    await ack()


@app.options(re.compile(".*"))
async def choices(ack) -> None:
    await ack(options=[])


@app.error
async def failed(error: Exception) -> None:
    if BUG == "text-assumed":
        raise error
    print("failed:", type(error).__name__)


def own_check(request: Request, body: bytes) -> bool:
    """The checks that an app writes itself, each with its mistake."""
    given = request.headers.get("x-slack-signature")
    stamp = request.headers.get("x-slack-request-timestamp", "")
    right = "v0=" + hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    if BUG == "header-optional" and given is None:
        return True
    fresh = BUG == "no-timestamp" or (
        stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and abs(time.time() - int(stamp)) < 300
    )
    if BUG == "prefix-only":
        return fresh and bool(given) and right.startswith(given)
    if BUG == "compares-text":
        return fresh and hmac.compare_digest(right, given or "")
    return fresh and hmac.compare_digest(right.encode(), (given or "").encode("utf-8", "replace"))


handler = AsyncSlackRequestHandler(app)


async def events(request: Request) -> Response:
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY and BUG != "any-size":
                return Response(status_code=413)
    except ClientDisconnect:
        return Response(status_code=400)
    request._body = body
    if BUG == "challenge-unsigned":
        try:
            told = json.loads(body)
            if told.get("type") == "url_verification":
                return JSONResponse({"challenge": told.get("challenge")})
        except (ValueError, AttributeError, RecursionError):
            pass
    if BUG in OWN_CHECK:
        if not own_check(request, body):
            return Response(status_code=401)
    elif not genuine(request, body) and not (BUG == "forms-unverified" and b"=" in body and body[:1] != b"{"):
        return Response(status_code=401)
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if form and BUG == "payload-assumed" and b"payload" in body:
        json.loads(parse_qs(body.decode())["payload"][0])["type"].strip()
    try:
        told = (
            json.loads(parse_qs(body.decode())["payload"][0])
            if form and b"payload=" in body
            else None
            if form
            else json.loads(body)
        )
    except (ValueError, RecursionError, KeyError):
        return Response(status_code=400)
    if not isinstance(told, dict) and not (form and body.find(b"command=") >= 0):
        return Response(status_code=400)
    told = told or {}
    if told.get("type") == "url_verification":
        if BUG == "challenge-dropped":
            return Response("ok")
        if BUG == "challenge-html":
            return Response(str(told.get("challenge")), media_type="text/html")
    kind = told.get("event")
    if told.get("type") == "event_callback" and not (isinstance(kind, dict) and isinstance(kind.get("type"), str)):
        return Response(status_code=400)
    try:
        answer = await handler.handle(request)
    except Exception as error:
        if BUG == "text-assumed":
            raise
        print("failed:", type(error).__name__)
        return Response(status_code=400)
    if answer.status_code == 404 and BUG != "unknown-is-404":
        return Response(status_code=200)  # an event without a listener
    return answer if answer.status_code < 500 or BUG == "text-assumed" else Response(status_code=400)


def genuine(request: Request, body: bytes) -> bool:
    """The SDK's own check, before anything is parsed."""
    try:
        return SignatureVerifier(SECRET).is_valid_request(body, dict(request.headers.items()))
    except (ValueError, TypeError, UnicodeError, OverflowError):
        return False


uvicorn.run(
    Starlette(routes=[Route(os.environ["WEBHOOK_PATH"], events, methods=["POST"])]),
    port=int(os.environ["PORT"]),
    log_level="critical",
)
