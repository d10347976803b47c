r"""Events from a client, bounded before anything of them is held; events to a client, with a limit of time.

Owns: how long an event may be and take, and what is refused of it.
Refuses to know: what an event means.

    {"type": "synthesize", "data_length": 19}\n   one line of JSON, at most MAX_LINE_BYTES
    {"text": "Hello."}                            data_length bytes of JSON, at most MAX_DATA_BYTES
    …                                             payload_length bytes, read and thrown away: no client's
                                                  payload is for us

`wyoming`'s own reader takes lines of 64 KiB at most, any length that the line says, and ends in silence at
what it can't read. Source: clients.md §5; wyoming 1.10, `wyoming/event.py`; docs/decisions/0042.
"""

from __future__ import annotations

import asyncio
from typing import Any

from wyoming.event import Event, async_write_event

from appliance.errors import BodyTooLargeError, InvalidRequestError, RequestTimeoutError
from processes.gateway.json_text import parse_json

MAX_LINE_BYTES = MAX_DATA_BYTES = 262_144
"""As `http.max_body_bytes` by default."""
MAX_PAYLOAD_BYTES = 1_048_576
PIECE_BYTES = 16_384
TOO_LARGE = "An event of this client is larger than the limit"
TOO_SLOW = "An event of this client took too long to come"


async def read_event(reader: asyncio.StreamReader, *, limit_s: float) -> Event | None:
    """Read the next event; None where the client has closed its side.

    A cancel before the line's end loses nothing.

    Args:
        reader: With `MAX_LINE_BYTES` as its limit.
        limit_s: Seconds that what stands behind the line may take.

    Raises:
        BodyTooLargeError: It is longer than the limits.
        InvalidRequestError: It isn't an event.
        RequestTimeoutError: What stands behind the line took too long to come.
    """
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise BodyTooLargeError(TOO_LARGE) from None
    head = parse_json(line)
    data = head.get("data")
    kind, data = head.get("type"), {} if data is None else data
    if not isinstance(kind, str) or not isinstance(data, dict):
        message = "An event has a type, which is a text, and data, which is an object"
        raise InvalidRequestError(message)
    data_bytes = _length(head, "data_length", MAX_DATA_BYTES)
    payload_bytes = _length(head, "payload_length", MAX_PAYLOAD_BYTES)
    try:
        async with asyncio.timeout(limit_s):
            if data_bytes:
                data = data | parse_json(await reader.readexactly(data_bytes))
            await _skip(reader, payload_bytes)
    except asyncio.IncompleteReadError:
        return None
    except TimeoutError:
        raise RequestTimeoutError(TOO_SLOW) from None
    return Event(kind, data)


async def write_event(event: Event, writer: asyncio.StreamWriter, *, limit_s: float) -> None:
    """Send an event; several tasks may, and each event stays whole.

    Args:
        event: What is sent.
        writer: To whom; broken off where it is too slow.
        limit_s: Seconds that the client may take to make room for it.

    Raises:
        ConnectionError: The client has left, or is too slow.
    """
    if writer.is_closing():
        raise ConnectionResetError
    try:
        async with asyncio.timeout(limit_s):
            await async_write_event(event, writer)
    except TimeoutError:
        writer.transport.abort()
        message = "the client takes nothing"
        raise ConnectionResetError(message) from None


def _length(head: dict[str, Any], name: str, most_bytes: int) -> int:
    length = head.get(name)
    length_bytes = 0 if length is None else length
    if isinstance(length_bytes, bool) or not isinstance(length_bytes, int) or length_bytes < 0:
        message = f"{name} must be a number of bytes"
        raise InvalidRequestError(message)
    if length_bytes > most_bytes:
        raise BodyTooLargeError(TOO_LARGE)
    return length_bytes


async def _skip(reader: asyncio.StreamReader, length_bytes: int) -> None:
    while length_bytes:
        length_bytes -= len(await reader.readexactly(min(length_bytes, PIECE_BYTES)))
