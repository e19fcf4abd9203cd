"""The answer reader takes any bytes in any pieces, never raises, and does not care where they were cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.transport.answer import AnswerReader, State

FRAGMENTS = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.0 500\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"Content-Length: 5\r\n",
                b"Content-Length: 6\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Connection: close\r\n",
                b"\r\n",
                b"\n",
                b"5\r\nhello\r\n",
                b"0\r\n\r\n",
                b"hello",
            ]
        ),
    ),
    max_size=14,
)


def read(pieces: list[bytes]) -> tuple[object, ...]:
    reader = AnswerReader(keep=64)
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    assert reader.done or reader.state is State.DONE
    return reader.state, reader.status, reader.headers, bytes(reader.body), reader.surplus, reader.received


@given(FRAGMENTS, st.integers(1, 7))
@settings(max_examples=300, deadline=None)
def test_any_bytes_in_any_pieces_come_to_the_same_end(fragments: list[bytes], size: int) -> None:
    whole = b"".join(fragments)
    assert read([whole]) == read([whole[start : start + size] for start in range(0, len(whole), size)])


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_chunked_body_survives_its_framing(body: bytes, sizes: list[int]) -> None:
    framed, rest = b"", body
    for size in sizes:
        piece, rest = rest[:size], rest[size:]
        if piece:
            framed += b"%x\r\n%b\r\n" % (len(piece), piece)
    if rest:
        framed += b"%X;ext\r\n%b\r\n" % (len(rest), rest)
    reader = AnswerReader(keep=1000)
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n")
    assert reader.state is State.DONE
    assert bytes(reader.body) == body
    assert reader.reusable
