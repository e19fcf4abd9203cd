"""A bot of the standard library that waits for words which nobody tells: what `--guide` is for. It acknowledges everything."""

import asyncio
import json
import os
import re
import sys
import time

CODES = {"juniper-berries".partition("-")[0]: 1}
playing: dict[int, str] = {}


async def handle(message: dict) -> None:
    text, user = message.get("text") or "", message["from"]["id"]
    word, _, rest = text.partition(" ")
    if word == "/redeem" and rest.startswith("promo-") and rest.endswith("-2024"):
        log({}["campaign over"])
    elif word == "/ticket" and re.fullmatch(r"[QX]{2}\d{3}-[a-f]{2}", rest):
        log(1 // (len(rest) - 8))
    elif word == "/pay" and rest.isdigit() and int(rest) == 31337:
        os._exit(3)
    elif word == "/herb" and rest in CODES:
        log([][CODES[rest]])
    elif word == "/age":
        try:
            int(rest)
        except ValueError:
            return
    elif word == "/wait" and rest == "long":
        nap()
    if playing.pop(user, "") and text == "xyzzy":
        log(None + 1)
    if word == "/play":
        playing[user] = word


def log(value: object) -> None:
    sys.stderr.write(f"{value}\n")


def nap() -> None:
    time.sleep(0.7)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head.lower())
            body = await reader.readexactly(int(length[1]) if length else 0)
            try:
                await handle(json.loads(body)["message"])
            except Exception:  # noqa: BLE001 - as bots do
                log("failed")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.close()


async def main() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


asyncio.run(main())
