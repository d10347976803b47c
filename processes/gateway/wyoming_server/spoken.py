"""The audio of one Wyoming synthesis or stream, as events.

Owns: the one format of audio, and when `audio-start` leaves: with the first audio.
Refuses to know: connections and events from a client (`connection`), how a text becomes audio (`sounding`).

Audio is the `pcm` of the HTTP API, 24 kHz whatever voice speaks, so that a stream has one rate though its
voices have several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

from appliance.audio.encoders.raw import RATE_HZ
from appliance.speech import SAMPLE_WIDTH_BYTES, AudioFormat
from processes.gateway.asker import Asker
from processes.gateway.sounding import sound

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
    """The audio between one `audio-start` and one `audio-stop`."""

    def __init__(self, client: Client) -> None:
        """Begin with nothing sent."""
        self._client = client
        self._has_begun = False
        self.peer = client.peer
        self.cut = client.cut

    async def speak(self, asker: Asker, fields: Mapping[str, Any]) -> None:
        """Speak a text, behind what was spoken before; see `sound`.

        Raises:
            ApplianceError, ConnectionError: As `sound`.
        """
        await sound(asker, {**fields, "response_format": AudioFormat.PCM}, self)

    async def silence(self, seconds: float) -> None:
        """Send a pause, if anything has sounded before.

        Raises:
            ConnectionError: The client has left.
        """
        if self._has_begun:
            await self.hear(bytes(SAMPLE_WIDTH_BYTES * round(seconds * RATE_HZ)))

    async def end(self) -> None:
        """Send `audio-stop`, if anything has sounded.

        Raises:
            ConnectionError: The client has left.
        """
        if self._has_begun:
            await self._client.send(AudioStop().event())

    async def hear(self, audio: bytes) -> None:
        """Send PCM, behind `audio-start` where it is the first.

        Raises:
            ConnectionError: The client has left.
        """
        if not self._has_begun:
            self._has_begun = True
            await self._client.send(AudioStart(**FORMAT).event())
        await self._client.send(AudioChunk(**FORMAT, audio=audio).event())
