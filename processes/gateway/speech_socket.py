"""`GET /v1/audio/stream`, a WebSocket: a text is spoken while it is still being written.

Owns: the messages both ways, one stream at a time, what a cancel and a stop do, and the end with an error.
Refuses to know: where a text is cut (`streamed_text`), how a part becomes audio (`sounding`).

    start                 → started
    text…, flush          → part, binary…   for each part, whose audio comes in binary messages
    end                   → done            once all of it has been sent
    cancel                → cancelled       what wasn't sent is dropped; a new start may follow
    whatever fails        → error, and the socket is closed

Each part is a request of its own: with its own id (`X-Request-ID` and a number), row, turn and end. A client
that leaves cancels what is spoken for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from loguru import logger

from appliance.audio.encoders.raw import RATE_HZ
from appliance.errors import ApplianceError, InvalidRequestError, NothingToSpeakError, UnsupportedFormatError
from appliance.speech import SAMPLE_WIDTH_BYTES, AudioFormat, InputType
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import error_body
from processes.gateway.asker import Asker
from processes.gateway.audio_answer import reset
from processes.gateway.gateway import GATEWAY_KEY
from processes.gateway.json_text import parse_json
from processes.gateway.middleware import REQUEST_ID_KEY, STOPPING_KEY, SWITCHED_KEY, add_headers
from processes.gateway.planned_speech import CheckedSpeech, check_speech
from processes.gateway.sounding import sound
from processes.gateway.streamed_text import StreamedText

MAX_MESSAGE_BYTES = 65_536
"""A language model's tokens are a few bytes; a longer message closes the socket (1009)."""
PING_S = 20.0
"""Seconds between two pings, so that no proxy takes the socket for a forgotten one. Source: nginx, whose
`proxy_read_timeout` is 60 s. No answer is waited for: one comes only behind all audio that a client which
reads as it plays hasn't read yet, and the kernel knows who has vanished (`acceptor`)."""
CLOSE_S = 2.0
"""Seconds that a client has to answer a close; a stop waits for it."""
MAX_ID_CHARS = 52
"""Of the connection's id, so that a part's fits where ids fit."""
FORMATS = (AudioFormat.PCM, AudioFormat.MP3)
"""Formats of which one part may follow the other: neither has a header or an end."""
CLIENT_ERROR = range(400, 500)


@guarded(AccessRules.check_api_key)
async def get_stream(request: web.Request) -> web.StreamResponse:
    """Speak what a client writes, until one of both ends it."""
    socket = web.WebSocketResponse(timeout=CLOSE_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False)
    if not socket.can_prepare(request):
        message = "This is a WebSocket; POST /v1/audio/speech speaks a text that is whole"
        raise InvalidRequestError(message)
    add_headers(request, socket)
    await socket.prepare(request)
    request[SWITCHED_KEY] = True
    await _Conversation(request, socket).serve()
    return socket


class _Stream:
    """One text, from its start to its end."""

    def __init__(self, fields: Mapping[str, Any], checked: CheckedSpeech, max_chars: int) -> None:
        languages = checked.voice.languages
        self.fields = {**fields, "response_format": checked.request.format}
        self.format = checked.request.format
        self.text = StreamedText(
            languages[0] if languages else "en",
            max_chars,
            is_ssml=checked.request.input_type is InputType.SSML,
        )


class _Conversation:
    """One client's socket; sends audio as `sounding.Hearer`."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._gateway = request.app[GATEWAY_KEY]
        self._socket = socket
        self.peer = request.remote or ""
        self._stream: _Stream | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._is_sounding = False
        self._is_failing = False
        self._parts = 0

    async def serve(self) -> None:
        """Take messages until the client leaves, is idle for too long, or something fails."""
        beside = [asyncio.create_task(each) for each in (self._close_at_stop(), self._ping())]
        try:
            while (values := await self._next_message()) is not None:
                await self._take(values)
        except ApplianceError as error:
            await self._fail(error)
        except ConnectionError:
            pass
        finally:
            for each in beside:
                each.cancel()
            if self._is_failing and self._speaking is not None:
                await asyncio.wait([self._speaking])  # it is closing the socket
            await self._stop_speaking()
            with suppress(ConnectionError):
                await self._socket.close()

    async def hear(self, audio: bytes) -> None:
        """Send audio.

        Raises:
            ConnectionError: The client has left, or is too slow.
        """
        try:
            async with asyncio.timeout(self._gateway.settings.http.write_limit_s):
                await self._socket.send_bytes(audio)
        except TimeoutError:
            self.cut()
            message = "the client takes nothing"
            raise ConnectionResetError(message) from None

    def cut(self) -> None:
        """Break the connection off; doesn't block."""
        if self._request.transport is not None:
            reset(self._request.transport)

    async def _tell(self, kind: str, **values: Any) -> None:
        try:
            async with asyncio.timeout(self._gateway.settings.http.write_limit_s):
                await self._socket.send_json({"type": kind, **values})
        except TimeoutError:
            self.cut()
            message = "the client takes nothing"
            raise ConnectionResetError(message) from None

    async def _next_message(self) -> dict[str, Any] | None:
        """Return the next message; None once there are no more.

        Raises:
            InvalidRequestError: It isn't a JSON object.
        """
        while True:
            try:
                # aiohttp's own limit begins anew with each ping
                async with asyncio.timeout(self._gateway.settings.http.stream_idle_s):
                    message = await self._socket.receive()
            except TimeoutError:
                if self._is_idle:
                    return None
                continue
            if message.type is WSMsgType.TEXT:
                return parse_json(message.data.encode())
            if message.type is WSMsgType.BINARY:
                problem = "Messages to the appliance are JSON texts"
                raise InvalidRequestError(problem)
            return None

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is spoken, and no more will be unless the client says something."""
        if self._stream is not None:
            return not self._is_sounding
        return self._speaking is None or self._speaking.done()

    async def _ping(self) -> None:
        with suppress(ConnectionError):
            while True:
                await asyncio.sleep(PING_S)
                await self._socket.ping()

    async def _take(self, values: dict[str, Any]) -> None:
        """Do what a message says.

        Raises:
            ApplianceError: It can't be done.
            ConnectionError: The client has left.
        """
        match values.pop("type", None):
            case "start":
                await self._start(values)
            case "text" if self._stream is not None:
                self._stream.text.add(_text(values))
            case "flush" if self._stream is not None:
                self._stream.text.flush()
            case "end" if self._stream is not None:
                self._stream.text.end()
                self._stream = None
            case "cancel":
                await self._stop_speaking()
                await self._tell("cancelled")
            case "text" | "flush" | "end":
                message = "A stream begins with a message of type start"
                raise InvalidRequestError(message, param="type")
            case _:
                message = "type must be start, text, flush, end or cancel"
                raise InvalidRequestError(message, param="type")

    async def _start(self, fields: dict[str, Any]) -> None:
        """Begin a stream.

        Raises:
            ApplianceError: It can't be spoken, or another one isn't done.
        """
        if self._stream is not None or (self._speaking is not None and not self._speaking.done()):
            message = "Another stream isn't done: wait for done, or send cancel"
            raise InvalidRequestError(message, param="type")
        self._gateway.access.check_api_key(self._request)
        fields = {"response_format": AudioFormat.PCM, **fields, "stream_format": None, "timestamps": None}
        try:
            checked = check_speech(self._gateway, {**fields, "input": "."})
            if checked.request.format not in FORMATS:
                message = f"The audio format of a stream isn't one of {', '.join(FORMATS)}"
                raise UnsupportedFormatError(message, param="response_format")
        except ApplianceError as error:
            self._gateway.ledger.reject(error)
            raise
        self._stream = _Stream(fields, checked, self._gateway.settings.http.max_input_chars)
        rate_hz = RATE_HZ if checked.request.format is AudioFormat.PCM else checked.voice.sample_rate_hz
        await self._tell("started", response_format=checked.request.format, sample_rate_hz=rate_hz)
        self._speaking = asyncio.create_task(self._spoken(self._stream))

    async def _spoken(self, stream: _Stream) -> None:
        """Speak a stream to its end; an error is the socket's end."""
        try:
            await self._speak(stream)
        except ApplianceError as error:
            await self._fail(error)
        except ConnectionError:
            self.cut()
        except Exception as error:  # noqa: BLE001 (whatever it is, the client hears of it)
            logger.opt(exception=error).error("request_crashed", request_id=self._request[REQUEST_ID_KEY])
            await self._fail(ApplianceError())

    async def _speak(self, stream: _Stream) -> None:
        needs_pause = False
        while part := await stream.text.next_part():
            number = self._parts
            self._parts += 1
            if needs_pause and stream.format is AudioFormat.PCM:
                pause_s = self._gateway.settings.text.pause_s
                await self.hear(bytes(SAMPLE_WIDTH_BYTES * round(pause_s * RATE_HZ)))
                needs_pause = False
            await self._tell("part", part=number, text=part)
            asker = self._asker(number)
            self._is_sounding = True
            try:
                with suppress(NothingToSpeakError):  # a line of signs within an answer
                    await sound(asker, {**stream.fields, "input": part}, self)
                    needs_pause = True
            finally:
                self._is_sounding = False
        await self._tell("done")

    def _asker(self, number: int) -> Asker:
        """Say who asks.

        Raises:
            AuthenticationError: The key that the socket was opened with isn't one any more.
        """
        self._gateway.access.check_api_key(self._request)
        gateway, request = self._gateway, self._request
        request_id = f"{request[REQUEST_ID_KEY][:MAX_ID_CHARS]}-{number}"
        return Asker(gateway, gateway.access.client(request), request_id, time.monotonic())

    async def _fail(self, error: ApplianceError) -> None:
        """Say what is wrong, and end it."""
        self._is_failing = True
        request_id = self._request[REQUEST_ID_KEY]
        logger.info("request_refused", request_id=request_id, status=error.status, code=error.code)
        is_clients = error.status in CLIENT_ERROR
        code = WSCloseCode.POLICY_VIOLATION if is_clients else WSCloseCode.INTERNAL_ERROR
        with suppress(ConnectionError):
            await self._tell("error", **error_body(error))
            await self._socket.close(code=code, message=error.code.encode())

    async def _close_at_stop(self) -> None:
        """Once the gateway stops: speak what there is to the end, and send the client to the next gateway."""
        await self._request.app[STOPPING_KEY].wait()
        if self._stream is not None:
            self._stream.text.end()
        if self._speaking is not None:
            await asyncio.wait([self._speaking])
        with suppress(ConnectionError):
            await self._socket.close(code=WSCloseCode.GOING_AWAY)

    async def _stop_speaking(self) -> None:
        self._stream = None
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait([self._speaking])
            self._speaking = None


def _text(values: dict[str, Any]) -> str:
    text = values.get("text")
    if not isinstance(text, str):
        message = "text must be a text"
        raise InvalidRequestError(message, param="text")
    return text
