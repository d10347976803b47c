"""One client of the Wyoming server.

Owns: what each event does, one synthesis at a time, the order of what is answered, and the end with an error.
Refuses to know: how bytes become events (`events`), how a text becomes audio (`spoken`), who may connect.

    describe → info            ping → pong           both at any time
    synthesize → audio-start, audio-chunk…, audio-stop
    synthesize-start, synthesize-chunk…, synthesize-stop
               → audio-start, audio-chunk…, audio-stop, synthesize-stopped
    whatever fails → error, and the connection is closed

Within an open stream a `synthesize` is for servers that know no streams, and ignored.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from loguru import logger
from wyoming.error import Error
from wyoming.event import Event
from wyoming.ping import Pong
from wyoming.tts import SynthesizeStopped

from appliance.errors import (
    ApplianceError,
    AuthenticationError,
    InvalidRequestError,
    NothingToSpeakError,
)
from appliance.speech import InputType
from appliance.text.ssml import is_ssml
from processes.gateway.asker import Asker
from processes.gateway.caller import is_in, parse_address
from processes.gateway.dialects.asking import of_speaker, voice_for
from processes.gateway.gateway import Gateway
from processes.gateway.streamed_text import StreamedText
from processes.gateway.wyoming_server.events import read_event, write_event
from processes.gateway.wyoming_server.info import Description
from processes.gateway.wyoming_server.spoken import Sounding

Speak = Callable[[], Coroutine[Any, Any, None]]


class WyomingConnection:
    """Reads a client's events and answers them, until one of both ends it."""

    def __init__(
        self,
        gateway: Gateway,
        description: Description,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Take a connection; `serve` does the rest.

        Args:
            gateway: What is asked.
            description: What `describe` is answered with.
            reader: With the limit that `read_event` wants.
            writer: Closed by `serve`.
        """
        self._gateway = gateway
        self._description = description
        self._reader = reader
        self._writer = writer
        peer = writer.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.since_s = time.monotonic()
        """Monotonic time since which it has been idle."""
        self._speaking: asyncio.Task[None] | None = None
        self._text: StreamedText | None = None

    @property
    def speaking(self) -> asyncio.Task[None] | None:
        """What answers it with audio; None while nothing does."""
        return None if self._speaking is None or self._speaking.done() else self._speaking

    async def serve(self) -> None:
        """Answer events until the client leaves, is idle for too long, or something fails."""
        try:
            while (event := await self._next_event()) is not None:
                await self._take(event)
        except ApplianceError as error:
            await self._fail(error)
        except ConnectionError:
            pass
        finally:
            await self._stop_speaking()
            await self._close()

    def left(self) -> None:
        """Note that the client has closed its side: nobody listens any more."""
        if self._speaking is not None:
            self._speaking.cancel()

    def cut(self) -> None:
        """Break it off; doesn't block."""
        self._writer.transport.abort()

    async def send(self, event: Event) -> None:
        """Send an event.

        Raises:
            ConnectionError: The client has left, or is too slow.
        """
        await write_event(event, self._writer, limit_s=self._gateway.settings.http.write_limit_s)

    async def _next_event(self) -> Event | None:
        settings = self._gateway.settings
        while True:
            try:
                async with asyncio.timeout(settings.wyoming.idle_s):
                    return await read_event(self._reader, limit_s=settings.http.body_limit_s)
            except TimeoutError:
                if self._text is not None or self.speaking is None:
                    return None

    async def _take(self, event: Event) -> None:
        """Do what an event says; unknown ones are for other servers.

        Raises:
            ApplianceError: It can't be done.
            ConnectionError: The client has left.
        """
        self.since_s = time.monotonic()
        match event.type:
            case "describe":
                await self.send(self._description.event())
            case "ping":
                await self.send(Pong(event.data.get("text")).event())
            case "synthesize" if self._text is None:
                await self._begin(functools.partial(self._speak, _fields(self._gateway, event.data)))
            case "synthesize-start":
                await self._start_stream(event.data)
            case "synthesize-chunk" if self._text is not None:
                self._text.add(_text(event.data))
            case "synthesize-stop" if self._text is not None:
                self._text.end()
                self._text = None
            case _:
                pass

    async def _start_stream(self, data: dict[str, Any]) -> None:
        """Begin a stream, in the place of one that is open.

        Raises:
            ApplianceError: It can't be spoken to this client.
        """
        if self._text is not None:
            self._text.end()
            self._text = None
        fields = _fields(self._gateway, {**data, "text": ""})
        speaker = self._gateway.catalog.speaker_of(str(fields["voice"]))
        text = StreamedText(
            speaker.languages[0] if speaker is not None and speaker.languages else "en",
            self._gateway.settings.http.max_input_chars,
            is_ssml=fields["input_type"] is InputType.SSML,
        )
        await self._begin(functools.partial(self._speak_stream, text, fields))
        self._text = text

    async def _begin(self, speak: Speak) -> None:
        """Have something spoken, once what is spoken now has ended.

        Raises:
            AuthenticationError: This client would have to show a key.
        """
        if self._speaking is not None:
            await asyncio.wait([self._speaking])
        self._check_keyless()
        self._speaking = asyncio.create_task(self._spoken(speak))

    def _check_keyless(self) -> None:
        networks = map(ipaddress.ip_network, self._gateway.settings.wyoming.keyless_networks)
        address = parse_address(self.peer)
        is_keyless = address is not None and is_in(address, networks)
        if is_keyless or not self._gateway.access.keys.is_in_force:
            return
        self._gateway.metrics.security_denied.labels("api_key").inc()
        logger.warning("access_denied", rule="api_key", peer=self.peer, caller=str(address), method="wyoming")
        message = "Keys are in force, and Wyoming has none; see wyoming.keyless_networks"
        error = AuthenticationError(message)
        self._gateway.ledger.reject(error)
        raise error

    async def _spoken(self, speak: Speak) -> None:
        """Wait for the end of what is spoken; an error is the connection's end."""
        try:
            await speak()
        except ApplianceError as error:
            await self._fail(error)
        except ConnectionError:
            self._writer.close()
        except Exception as error:  # noqa: BLE001 (whatever it is, the client hears of it)
            logger.opt(exception=error).error("request_crashed", request_id="")
            await self._fail(ApplianceError())
        finally:
            self.since_s = time.monotonic()

    async def _speak(self, fields: dict[str, Any]) -> None:
        sounding = Sounding(self)
        await sounding.speak(self._asker(), fields)
        await sounding.end()

    async def _speak_stream(self, text: StreamedText, fields: dict[str, Any]) -> None:
        """Speak a stream's text part by part, each a request of its own."""
        sounding = Sounding(self)
        pause_s = self._gateway.settings.text.pause_s
        while part := await text.next_part():
            await sounding.silence(pause_s)
            with suppress(NothingToSpeakError):  # a line of signs within an answer
                await sounding.speak(self._asker(), {**fields, "input": part})
        await sounding.end()
        await self.send(SynthesizeStopped().event())

    def _asker(self) -> Asker:
        client = f"address:{parse_address(self.peer)}"
        return Asker(self._gateway, client, uuid.uuid4().hex, time.monotonic())

    async def _fail(self, error: ApplianceError) -> None:
        """Say what is wrong, and end the connection."""
        logger.info("request_refused", request_id="", status=error.status, code=error.code)
        with suppress(ConnectionError):
            await self.send(Error(error.message, error.code).event())
        self._writer.close()

    async def _close(self) -> None:
        """Close the connection, once what was sent has been taken, or that takes too long."""
        self._writer.close()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(self._gateway.settings.http.write_limit_s):
                await self._writer.wait_closed()
        self.cut()

    async def _stop_speaking(self) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait([self._speaking])


def _fields(gateway: Gateway, data: dict[str, Any]) -> dict[str, Any]:
    """Return what an event asks for, as in `SpeechBody`.

    Raises:
        InvalidRequestError: A part of it is of a wrong kind.
    """
    text, voice = _text(data), data.get("voice") or {}
    if not isinstance(voice, dict):
        message = "voice must be an object"
        raise InvalidRequestError(message, param="voice")
    name, language = voice.get("name"), voice.get("language")
    if name in (None, ""):
        name = voice_for(gateway, "", language if isinstance(language, str) else "")
    is_marked_up = data.get("text_format") == InputType.SSML or is_ssml(text)
    return {
        "input": text,
        "voice": of_speaker(name, voice.get("speaker")),
        "input_type": InputType.SSML if is_marked_up else None,
    }


def _text(data: dict[str, Any]) -> str:
    text = data.get("text")
    if not isinstance(text, str):
        message = "text must be a text"
        raise InvalidRequestError(message, param="text")
    return text
