"""Open-loop clients: requests leave by a fixed schedule, whatever becomes of those before them.

Owns: the schedule, sending and reading a request, what became of it (`ClientLine`).
Refuses to know: what is measured with it.

Latency counts from the intended start, so a generator or an appliance that is late can't hide it. Each client
has an address of its own in 127.0.0.0/8 and opens a connection for each request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from appliance.audio.encoders.wav import HEADER_BYTES
from loadtests.ledger.lines import SUCCESS, ClientLine
from loadtests.ledger.reference import TEXTS, VOICE, texts

TIMEOUT_S = 30.0
LEFT = "left"
"""What stands for the exception of an attempt that its own client gave up."""
MAX_BODY_BYTES = 16 << 20
"""Answers are at most half a minute of audio."""


class Speakers:
    """Clients by address; `speakers` makes and closes them."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._sessions: dict[str, ClientSession] = {}
        self._owned = AsyncExitStack()
        self.lines: list[ClientLine] = []
        """What became of every attempt, in the order of their ends."""

    async def close(self) -> None:
        """Close all connections."""
        await self._owned.aclose()

    async def ask(
        self,
        request_id: str,
        address: str,
        intended_at_s: float,
        text_number: int,
        **fields: Any,
    ) -> ClientLine:
        """Send one request and read its answer to its end; keep and return what became of it.

        Cancelling hangs up and is noted as an attempt that its client left.

        Args:
            request_id: Sent along, so that both sides mean the same request.
            address: The client's own, in 127.0.0.0/8.
            intended_at_s: Monotonic time at which it should have been sent.
            text_number: Which text to speak.
            fields: Further fields of the body; `input` replaces the text, `kind` is the line's.
        """
        kind = fields.pop("kind", "load")
        number = -1 if "input" in fields else text_number
        body = {"input": texts()[text_number % TEXTS], "voice": VOICE.id, "response_format": "wav", **fields}
        answer = _Answer()
        sent_at_s = time.monotonic()
        try:
            await self._exchange(address, request_id, body, answer)
        except asyncio.CancelledError:
            answer.exception = LEFT
            raise
        except (ClientError, OSError, TimeoutError) as error:
            answer.exception = type(error).__name__
        finally:
            line = answer.line(request_id, kind, number, intended_at_s, sent_at_s)
            self.lines.append(line)
        return line

    async def _exchange(self, address: str, request_id: str, body: dict[str, Any], answer: _Answer) -> None:
        session = self._session(address)
        headers = {"X-Request-ID": request_id, "Connection": "close"}
        async with session.post("/v1/audio/speech", json=body, headers=headers) as response:
            await answer.read(response)

    def _session(self, address: str) -> ClientSession:
        if address not in self._sessions:
            connector = TCPConnector(local_addr=(address, 0), force_close=True, limit=0)
            session = ClientSession(
                f"http://127.0.0.1:{self._port}",
                connector=connector,
                timeout=ClientTimeout(total=self._timeout_s),
            )
            self._owned.push_async_callback(session.close)
            self._sessions[address] = session
        return self._sessions[address]


class _Answer:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.code: str | None = None
        self.exception: str | None = None
        self.first_audio_at_s: float | None = None
        self.retry_after_s: int | None = None
        self._body = bytearray()
        self._is_whole = False

    async def read(self, response: ClientResponse) -> None:
        """Read an answer to its end.

        Raises:
            ClientError: It broke off.
        """
        self.status = response.status
        retry_after = response.headers.get("Retry-After", "")
        self.retry_after_s = int(retry_after) if retry_after.isdecimal() else None
        async for data in response.content.iter_any():
            self._body += data
            if self.first_audio_at_s is None and self.status in SUCCESS and len(self._body) > HEADER_BYTES:
                self.first_audio_at_s = time.monotonic()
            if len(self._body) > MAX_BODY_BYTES:
                raise ClientError
        self._is_whole = True
        if self.status not in SUCCESS:
            self.code = _code(bytes(self._body))

    def line(
        self, request_id: str, kind: str, text_number: int, intended_at_s: float, sent_at_s: float
    ) -> ClientLine:
        is_audio = self._is_whole and self.status in SUCCESS
        return ClientLine(
            id=request_id,
            kind=kind,
            text_number=text_number,
            intended_at_s=intended_at_s,
            sent_at_s=sent_at_s,
            ended_at_s=time.monotonic(),
            first_audio_at_s=self.first_audio_at_s,
            status=self.status,
            code=self.code,
            exception=self.exception,
            sha256=hashlib.sha256(self._body[HEADER_BYTES:]).hexdigest() if is_audio else "",
            bytes=len(self._body),
            retry_after_s=self.retry_after_s,
        )


@asynccontextmanager
async def speakers(port: int, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Speakers]:
    """Make clients of the appliance at a port of this machine; they are closed with the block."""
    made = Speakers(port, timeout_s)
    try:
        yield made
    finally:
        await made.close()


def client_address(number: int) -> str:
    """Return the address of a client, of up to 60,000."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


async def run_schedule(
    starts_s: Iterable[float], start: Callable[[int, float], Coroutine[Any, Any, object]]
) -> None:
    """Start something at each time of a schedule, and wait until all that was started has ended.

    A start that comes late is made at once; none is left out. Cancelling cancels what runs.

    Args:
        starts_s: Monotonic times, ascending.
        start: Called with the number and the intended time.

    Raises:
        ExceptionGroup: Something that was started raised.
    """
    async with asyncio.TaskGroup() as group:
        for number, at_s in enumerate(starts_s):
            await asyncio.sleep(max(0.0, at_s - time.monotonic()))
            group.create_task(start(number, at_s))


def _code(body: bytes) -> str | None:
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(code)
