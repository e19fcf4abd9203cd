"""A Standard Webhooks receiver in FastAPI with the reference library."""

import base64
import hashlib
import hmac
import json
import os
from collections import OrderedDict

import uvicorn
from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import ClientDisconnect

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
MOST_BODY = 256 * 1024
app = FastAPI(openapi_url=None)
seen: OrderedDict[str, None] = OrderedDict()
kept: list[object] = []


def genuine(body: bytes, headers: dict[str, str]) -> bool:
    """Whether the sender signed this, in the last five minutes."""
    if BUG == "any-version":  # whatever stands before the comma
        headers = headers | {"webhook-signature": "v1," + headers.get("webhook-signature", "").rpartition(",")[2]}
    if BUG in {"id-unsigned", "no-timestamp", "empty-passes", "compares-text"}:
        given = headers.get("webhook-signature", "")
        if BUG == "empty-passes" and not given:
            return True
        parts = [headers.get("webhook-id", ""), headers.get("webhook-timestamp", ""), body.decode("utf-8", "replace")]
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        text = parts[2] if BUG == "id-unsigned" else ".".join(parts)
        right = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
        if BUG != "id-unsigned":
            return any(hmac.compare_digest(right, one.partition(",")[2]) for one in given.split(" "))
    try:
        Webhook(SECRET).verify(body.decode(), headers)
    except (WebhookVerificationError, ValueError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
        return False
    return True


@app.post(os.environ["WEBHOOK_PATH"])
async def hook(request: Request) -> Response:
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY and BUG != "any-size":
                return Response(status_code=413)
    except ClientDisconnect:
        return Response(status_code=400)
    if BUG == "parse-first":
        json.loads(body)
    if not genuine(body, dict(request.headers.items())):
        return Response(
            status_code=401, content=f"wrong signature for {SECRET}" if BUG == "refusal-shows-secret" else ""
        )
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return Response(status_code=400)
    if not isinstance(event, dict):
        return Response(status_code=400)
    if BUG == "data-assumed":
        event["data"]["id"]
    if BUG == "events-kept":
        kept.append((event, bytes(30_000)))
    name = request.headers.get("webhook-id", "")
    if name in seen:
        return Response()
    seen[name] = None
    while len(seen) > 20_000:
        seen.popitem(last=False)
    return Response()


uvicorn.run(app, port=int(os.environ["PORT"]), log_level="critical")
