"""numbers: the ends of what a number can be. Either refused or taken exactly; never taken for another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chaosbot.core.case import Case
from chaosbot.core.kit import Kit, broken, invalid

# True: no JSON. NaN and Infinity are none either, but Python's and other parsers accept them by design.
_NUMBERS: dict[str, tuple[bytes, bool]] = {
    "nan": (b"NaN", True),
    "infinity": (b"Infinity", True),
    "minus-infinity": (b"-Infinity", True),
    "1e999": (b"1e999", False),
    "minus-1e999": (b"-1e999", False),
    "tiny": (b"1e-5000", False),
    "minus-zero": (b"-0", False),
    "minus-zero-point": (b"-0.0", False),
    "fraction": (b"1.0", False),
    "exponent": (b"1e2", False),
    "big-exponent": (b"1E+2", False),
    "2p53-1": (b"9007199254740991", False),
    "2p53": (b"9007199254740992", False),
    "2p53+1": (b"9007199254740993", False),
    "minus-2p53-1": (b"-9007199254740993", False),
    "2p31": (b"2147483648", False),
    "2p32+1": (b"4294967297", False),
    "2p63-1": (b"9223372036854775807", False),
    "2p63": (b"9223372036854775808", False),
    "minus-2p63-1": (b"-9223372036854775809", False),
    "2p64": (b"18446744073709551616", False),
    "digits-5000": (b"9" * 5000, False),
    "digits-400": (b"9" * 400, False),
    "decimals-5000": (b"0." + b"3" * 5000, False),
    "leading-zero": (b"007", True),
    "plus": (b"+1", True),
    "point": (b".5", True),
    "dot": (b"5.", True),
    "hex": (b"0x10", True),
    "underscore": (b"1_000", True),
    "exponent-cut": (b"1e", True),
    "minus": (b"-", True),
    "minus-minus": (b"--1", True),
    "arabic": ("\u0661\u0662".encode(), True),
    "fullwidth": ("\uff11".encode(), True),
}

_FIRST_NUMBER = re.compile(rb":(\s*)-?\d+(?=[,}])")


def cases(kit: Kit) -> Iterator[Case]:
    """Each number as an unknown member's value and in the place of the update's first number (its id)."""
    for word, (number, wrong) in _NUMBERS.items():
        shown = number[:20].decode() + ("…" if len(number) > 20 else "")
        name = f"numbers/extra-{word}"
        base = kit.crowd(name)
        body = base.body.rstrip()[:-1] + b',"chaosbot":' + number + b"}"
        expect = invalid() if wrong and not number.lstrip(b"-").startswith((b"N", b"I")) else broken()
        yield kit.case(name, base, body, f"an unknown member is {shown}", expect)
        name = f"numbers/id-{word}"
        base = kit.crowd(name)
        if not _FIRST_NUMBER.search(base.body):
            continue
        body = _FIRST_NUMBER.sub(lambda found, number=number: b":" + found[1] + number, base.body, count=1)  # type: ignore[misc]
        yield kit.case(name, base, body, f"the first number is {shown}", expect)
