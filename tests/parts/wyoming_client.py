"""A client of the Wyoming server: the library that Home Assistant uses, and what it hears."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.tts import Synthesize, SynthesizeVoice

from tests.parts.appliance import Appliance

TEXT = "Somebody is at the door."
FORMAT = {"rate": 24_000, "width": 2, "channels": 1}
PCM_BYTES_PER_S = 48_000


@contextlib.asynccontextmanager
async def connected(appliance: Appliance) -> AsyncIterator[AsyncTcpClient]:
    async with AsyncTcpClient("127.0.0.1", appliance.wyoming_port, read_timeout=15) as connection:
        yield connection


async def events_to(client: AsyncTcpClient, last: str) -> list[Event]:
    """Read events up to one of a type, or to the connection's end."""
    events: list[Event] = []
    while (event := await client.read_event()) is not None:
        events.append(event)
        if event.type == last:
            break
    return events


def heard_s(events: list[Event]) -> float:
    """Return the seconds between one start and one stop, and hold every chunk to one format."""
    kinds = [event.type for event in events if event.type.startswith("audio-")]
    assert kinds[0] == "audio-start"
    assert kinds[-1] == "audio-stop"
    assert set(kinds[1:-1]) == {"audio-chunk"}
    chunks = [event for event in events if event.type == "audio-chunk"]
    for event in (events[0], *chunks):
        assert FORMAT.items() <= event.data.items()
    return sum(len(event.payload or b"") for event in chunks) / PCM_BYTES_PER_S


def plain(text: str, **voice: str) -> Event:
    return Synthesize(text, SynthesizeVoice(**voice) if voice else None).event()
