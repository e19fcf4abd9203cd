"""A Stripe receiver in Flask: the stripe library checks the signature, then a table of handlers."""

import hashlib
import hmac
import json
import os
import time
from collections import OrderedDict

import stripe
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = None if BUG == "any-size" else 256 * 1024
seen: OrderedDict[str, None] = OrderedDict()
kept: list[object] = []


def genuine(body: bytes, header: str) -> bool:
    """Whether Stripe signed this, in the last five minutes."""
    if BUG == "header-optional" and not header:
        return True
    if BUG == "signs-again":  # what was parsed is written again and compared
        body = json.dumps(json.loads(body), indent=2).encode()
    tolerance = None if BUG == "no-tolerance" else 300
    if BUG == "tests-in-production" and "t=" in header and "v1=test" in header:
        return True
    if BUG == "own-compare":
        parts = dict(part.partition("=")[::2] for part in header.split(","))
        right = hmac.new(SECRET.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256).hexdigest()
        return right == parts["v1"] and abs(time.time() - int(parts["t"])) < 300
    try:
        return bool(stripe.WebhookSignature.verify_header(body.decode(), header, SECRET, tolerance))
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        return False


@app.post(os.environ["WEBHOOK_PATH"])
def hook() -> Response:
    body = request.get_data(cache=False)
    if not genuine(body, request.headers.get("Stripe-Signature", "")):
        return Response(status=400)
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return Response(status=400)
    if not isinstance(event, dict) or not isinstance(event.get("id"), str):
        return Response(status=500 if BUG == "strict-shape" else 400)
    if BUG == "events-kept":
        kept.append((event, bytes(30_000)))
    if event["id"] in seen:
        return Response()
    seen[event["id"]] = None
    while len(seen) > 20_000:
        seen.popitem(last=False)
    if BUG == "unknown-refused" and event.get("type") not in {"charge.succeeded", "charge.refunded"}:
        return Response(status=400)
    return Response()


@app.errorhandler(Exception)
def failed(error: Exception) -> Response | HTTPException:
    if isinstance(error, HTTPException):
        return error
    return Response(f"{error!r} {SECRET if BUG == 'secret-in-error' else ''}", status=500)


class Quiet(WSGIRequestHandler):
    """Writes no line for a request."""

    def log_request(self, *_: object) -> None:
        pass


make_server("127.0.0.1", int(os.environ["PORT"]), app, threaded=True, request_handler=Quiet).serve_forever()
