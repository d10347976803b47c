"""One text of a Wyoming client on the same path as a request by HTTP, its PCM sent as events.

Owns: the order in which the cache, a synthesis under way and the workers are asked, the one format of audio,
and when `audio-start` leaves: with the first audio.
Refuses to know: connections and events from a client (`connection`), how speech is made and kept.

Audio is the `pcm` of the HTTP API, 24 kHz whatever voice speaks, so that a stream has one rate though its
voices have several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

from appliance.audio.encoders.raw import RATE_HZ
from appliance.errors import ApplianceError
from appliance.speech import SAMPLE_WIDTH_BYTES, AudioFormat
from processes.gateway.asker import Asker
from processes.gateway.audio_memory import Audio
from processes.gateway.planned_speech import CheckedSpeech, check_speech
from processes.gateway.record import RequestRecord, Unspoken
from processes.gateway.sharing import accept_unspoken, listening, note_encoding
from processes.gateway.unsent import Held, Holder
from processes.gateway.whole_answer import pieces

FORMAT = {"rate": RATE_HZ, "width": SAMPLE_WIDTH_BYTES, "channels": 1}


class Client(Protocol):
    """Whom events are sent to."""

    peer: str
    """Its address."""

    async def send(self, event: Event) -> None:
        """Send an event.

        Raises:
            ConnectionError: The client has left, or is too slow.
        """

    def cut(self) -> None:
        """Break its connection off; doesn't block."""


class Sounding:
    """The audio of one synthesis or stream, between one `audio-start` and one `audio-stop`."""

    def __init__(self, client: Client) -> None:
        """Begin with nothing sent."""
        self._client = client
        self._has_begun = False

    async def speak(self, asker: Asker, fields: Mapping[str, Any]) -> None:
        """Speak a text, behind what was spoken before.

        Args:
            asker: Who asks.
            fields: As in `SpeechBody`, not checked yet.

        Raises:
            ApplianceError: It is refused, or failed, maybe behind its first audio.
            ConnectionError: The client has left.
        """
        gateway = asker.gateway
        try:
            asked = check_speech(gateway, {**fields, "response_format": AudioFormat.PCM})
        except ApplianceError as error:
            gateway.ledger.reject(error)
            raise
        key = gateway.answers.key(asked.request, asked.voice) if asked.replaced is None else ""
        if not key or (gateway.answers.recent(key) is None and not gateway.answers.has(key)):
            await self._hear(asker, asked, key)
            return
        with accept_unspoken(asker, asked) as record:
            audio = gateway.answers.recent(key) or await gateway.answers.read(key)
            if audio is None:
                await self._hear(asker, asked, key, record)
            else:
                await self._send_kept(asker, audio, record)

    async def silence(self, seconds: float) -> None:
        """Send a pause, if anything has sounded before.

        Raises:
            ConnectionError: The client has left.
        """
        if self._has_begun:
            await self._send(bytes(SAMPLE_WIDTH_BYTES * round(seconds * RATE_HZ)))

    async def end(self) -> None:
        """Send `audio-stop`, if anything has sounded.

        Raises:
            ConnectionError: The client has left.
        """
        if self._has_begun:
            await self._client.send(AudioStop().event())

    async def _hear(
        self, asker: Asker, asked: CheckedSpeech, key: str, record: RequestRecord | None = None
    ) -> None:
        """Send audio as it is made."""
        with listening(asker, asked, key, record) as (listener, mine):
            await listener.begun()
            shared = listener.shared
            mine.spoken_by(shared.voice, shared.replaced)
            with self._holding(asker, listener.held) as holder:
                while part := await listener.next_part():
                    await self._send(part)
                    mine.first_audio()
                    mine.sent_bytes += len(part)
                    holder.taken_bytes += len(part)
            note_encoding(shared, mine)

    async def _send_kept(self, asker: Asker, audio: Audio, record: RequestRecord) -> None:
        asker.gateway.answers.count("hit")
        record.answered_from("hit", Unspoken(audio.audio_s))
        held = Held(id(audio.data), len(audio.data))
        with self._holding(asker, lambda: held) as holder:
            for piece in pieces(memoryview(audio.data)):
                await self._send(piece)
                record.first_audio()
                record.sent_bytes += len(piece)
                holder.taken_bytes += len(piece)

    def _holding(self, asker: Asker, held: Callable[[], Held]) -> AbstractContextManager[Holder]:
        """Count what is held for this client, whose connection may be broken off for it."""
        return asker.gateway.answers.unsent.holding(held, self._client.cut, self._client.peer)

    async def _send(self, pcm: bytes) -> None:
        if not self._has_begun:
            self._has_begun = True
            await self._client.send(AudioStart(**FORMAT).event())
        await self._client.send(AudioChunk(**FORMAT, audio=pcm).event())
