"""A Twilio number's webhook in Flask: the library's validator and TwiML."""

import os
import time

from flask import Flask, Response, request
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse
from twilio.twiml.voice_response import VoiceResponse
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
validator = RequestValidator(SECRET)
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = None if BUG == "any-size" else 256 * 1024
kept: list[object] = []


def genuine() -> bool:
    given = request.headers.get("X-Twilio-Signature", "")
    if BUG == "header-optional" and not given:
        return True
    if BUG == "test-account" and request.form.get("AccountSid", "").startswith("AC"):
        return True
    try:
        return bool(given) and validator.validate(request.url, request.form, given)
    except (ValueError, TypeError, UnicodeError):
        if BUG == "validator-throws":
            raise
        return False


def legal(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return "".join(
        letter
        for letter in text
        if letter >= " " and letter not in "\ufffe\uffff" and not "\ud800" <= letter <= "\udfff"
    )


@app.post(os.environ["WEBHOOK_PATH"])
def hook() -> Response:
    if not genuine():
        return Response(status=403)
    fields = request.form
    if BUG == "kept":
        kept.append((dict(fields), bytes(30_000)))
    if "CallSid" in fields:
        voice = VoiceResponse()
        if BUG == "slow-call":
            time.sleep(16)
        voice.say("Hello.")
        return Response(str(voice), mimetype="text/xml")
    if "MessageStatus" in fields:
        return Response(status=204)
    if BUG == "body-assumed":
        fields["Body"].split()[0]
    text = legal(fields.get("Body", ""))
    if BUG == "joins-text":
        return Response(f"<Response><Message>You said: {text}</Message></Response>", mimetype="text/xml")
    if BUG == "answers-json":
        return Response('{"text":"thanks"}', mimetype="application/json")
    if BUG == "media-assumed" and fields.get("NumMedia", "0") != "0":
        [fields[f"MediaUrl{number}"] for number in range(int(fields["NumMedia"]))]
    answer = MessagingResponse()
    answer.message(f"You said: {text}")
    return Response(str(answer), mimetype="text/xml")


@app.errorhandler(Exception)
def failed(error: Exception) -> Response | HTTPException:
    return error if isinstance(error, HTTPException) else Response("failed", status=500)


class Quiet(WSGIRequestHandler):
    """Writes no line for a request."""

    def log_request(self, *_: object) -> None:
        pass


make_server("127.0.0.1", int(os.environ["PORT"]), app, threaded=True, request_handler=Quiet).serve_forever()
