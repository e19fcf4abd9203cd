"""A small receiver of GitHub's webhooks to try chaosbot on: it checks the signature, and trusts the body behind it too much.

GITHUB_SECRET=… python examples/webhook.py 8000
"""

import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = os.environ["GITHUB_SECRET"].encode()
MOST = 1 << 20


class Hook(BaseHTTPRequestHandler):
    """Answers POST /hook."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Checks the signature, then reads who did what."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST:
            self.close_connection = True
            return self._answer(413)
        body = self.rfile.read(int(length))
        expected = "sha256=" + hmac.new(SECRET, body, "sha256").hexdigest()
        given = self.headers.get("X-Hub-Signature-256", "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode()):
            return self._answer(401)
        try:
            event = json.loads(body)
            sys.stdout.write(f"{event['sender']['login'].lower()}\n" if "sender" in event else "")
        except Exception:  # noqa: BLE001 - this is the bug: what is malformed should be a 400
            return self._answer(500)
        return self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing of each request."""


if __name__ == "__main__":
    port = int(sys.argv[1])
    sys.stdout.write(f"listening on http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    ThreadingHTTPServer(("127.0.0.1", port), Hook).serve_forever()
