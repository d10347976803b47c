"""The Wyoming server, asked by the library that Home Assistant asks with, and by what no library sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping
from wyoming.tts import (
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeVoice,
)

from tests.parts.appliance import Appliance, running_appliance
from tests.parts.wyoming_client import PCM_BYTES_PER_S, TEXT, connected, events_to, heard_s, plain


@pytest.fixture
async def client(speaking: Appliance) -> AsyncIterator[AsyncTcpClient]:
    async with connected(speaking) as connection:
        yield connection


@pytest.fixture(scope="module")
def slow() -> Iterator[Appliance]:
    """Two workers that take a second for each second of audio, few connections, and little patience."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    settings = {
        "WORKERS_TONE": 2,
        "TONE_CHUNK_DELAY_S": 0.5,
        "WYOMING_MAX_CONNECTIONS": 8,
        "WYOMING_IDLE_S": 2,
    }
    with running_appliance(base, **settings, VOICES_DEFAULT="tone-low") as appliance:
        yield appliance
    shutil.rmtree(base)


async def test_describe_when_asked_then_one_program_has_every_voice(
    client: AsyncTcpClient, http: ClientSession
) -> None:
    await client.write_event(Describe().event())
    event = await client.read_event()
    assert event is not None
    info = Info.from_event(event)
    [program] = info.tts
    assert program.installed
    assert program.supports_synthesize_streaming
    async with http.get("/v1/audio/voices") as answer:
        assert [voice.name for voice in program.voices] == [
            voice["id"] for voice in (await answer.json())["voices"]
        ]
    british = next(voice for voice in program.voices if voice.name == "en-gb")
    assert british.languages == ["en_GB", "en"]
    assert british.description


async def test_ping_when_sent_then_pong_with_its_text(client: AsyncTcpClient) -> None:
    await client.write_event(Ping("hello").event())
    event = await client.read_event()
    assert event is not None
    assert (event.type, event.data) == ("pong", {"text": "hello"})


async def test_synthesize_when_plain_then_one_start_chunks_and_one_stop(
    client: AsyncTcpClient, http: ClientSession
) -> None:
    await client.write_event(plain(TEXT, name="en-gb"))
    events = await events_to(client, "audio-stop")
    body = {"input": TEXT, "voice": "en-gb", "response_format": "pcm"}
    async with http.post("/v1/audio/speech", json=body) as answer:
        by_http_s = len(await answer.read()) / PCM_BYTES_PER_S
    assert heard_s(events) == pytest.approx(by_http_s, abs=0.05)


async def test_synthesize_when_several_on_one_connection_then_one_after_the_other(
    client: AsyncTcpClient,
) -> None:
    for _ in range(3):
        await client.write_event(plain(TEXT))
    for _ in range(3):
        assert heard_s(await events_to(client, "audio-stop")) > 0.5


@pytest.mark.parametrize(
    ("voice", "spoken_by"),
    [
        ({"name": "pl"}, "pl"),
        ({"language": "de"}, "de"),
        ({"language": "de_AT"}, "de"),
        ({"language": "xx"}, "en-us"),
        ({}, "en-us"),
    ],
)
async def test_synthesize_when_a_voice_or_a_language_is_named_then_that_speaks(
    client: AsyncTcpClient, speaking: Appliance, voice: dict[str, str], spoken_by: str
) -> None:
    known = len(speaking.lines)
    await client.write_event(plain(f"{TEXT} {voice}", **voice))
    await events_to(client, "audio-stop")
    chars = len(f"{TEXT} {voice}")
    line = await asyncio.to_thread(speaking.wait_for, "request_finished", after=known, chars=chars)
    assert (line["voice"], line["outcome"], line["format"]) == (spoken_by, "completed", "pcm")
    assert line["bytes"] > 0
    assert line["ttfa_s"] is not None


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (plain(TEXT, name="nobody"), "voice_not_found"),
        (plain(" "), "nothing_to_speak"),
        (plain("a" * 20_001), "text_too_long"),
        (plain("<speak>Not today. __FAIL__</speak>", name="tone-low"), "engine_failed"),
        (Event("synthesize", {"text": 5}), "invalid_value"),
        (Event("synthesize", {"text": TEXT, "voice": "pl"}), "invalid_value"),
        (Event("synthesize", {"text": TEXT, "voice": {"name": 5}}), "invalid_value"),
        (Event("synthesize", {"text": "<speak><p>No end", "text_format": "ssml"}), "invalid_value"),
    ],
)
async def test_synthesize_when_it_fails_then_an_error_and_the_end(
    client: AsyncTcpClient, event: Event, code: str
) -> None:
    await client.write_event(event)
    events = await events_to(client, "never")
    assert [each.type for each in events] == ["error"]
    assert events[0].data["code"] == code
    assert events[0].data["text"]


async def test_synthesize_when_it_fails_behind_its_first_audio_then_no_stop_but_an_error(
    client: AsyncTcpClient,
) -> None:
    await client.write_event(plain(f"<speak>__FAIL_2__ {TEXT * 3}</speak>", name="tone-low"))
    kinds = [event.type for event in await events_to(client, "never")]
    assert kinds[:2] == ["audio-start", "audio-chunk"]
    assert kinds[-1] == "error"
    assert "audio-stop" not in kinds


async def test_stream_when_text_comes_in_pieces_then_it_sounds_before_the_last_one(
    client: AsyncTcpClient,
) -> None:
    await client.write_event(SynthesizeStart(SynthesizeVoice(name="en-gb")).event())
    for piece in ("The train ", "is on time. ", "It leaves ", "from"):
        await client.write_event(SynthesizeChunk(piece).event())
    events = await events_to(client, "audio-chunk")
    assert [event.type for event in events] == ["audio-start", "audio-chunk"]
    await client.write_event(SynthesizeChunk(" platform nine.").event())
    await client.write_event(plain("The train is on time. It leaves from platform nine.", name="en-gb"))
    await client.write_event(SynthesizeStop().event())
    events += await events_to(client, "synthesize-stopped")
    assert events[-1].type == "synthesize-stopped"
    assert heard_s(events[:-1]) > 2
    await client.write_event(plain(TEXT))
    assert heard_s(await events_to(client, "audio-stop")) > 0.5


async def test_stream_when_its_voices_have_several_rates_then_one_rate(client: AsyncTcpClient) -> None:
    for voice in ("tone-low", "en-gb"):
        await client.write_event(SynthesizeStart(SynthesizeVoice(name=voice)).event())
        await client.write_event(SynthesizeChunk("One. Two. Three.").event())
        await client.write_event(SynthesizeStop().event())
        assert heard_s((await events_to(client, "synthesize-stopped"))[:-1]) > 0.3


@pytest.mark.parametrize("pieces", [[], ["  "], ["***"]])
async def test_stream_when_nothing_can_be_spoken_then_stopped_without_audio(
    client: AsyncTcpClient, pieces: list[str]
) -> None:
    await client.write_event(SynthesizeStart().event())
    for piece in pieces:
        await client.write_event(SynthesizeChunk(piece).event())
    await client.write_event(SynthesizeStop().event())
    assert [event.type for event in await events_to(client, "synthesize-stopped")] == ["synthesize-stopped"]


async def test_stream_when_its_voice_is_nobodys_then_an_error_and_the_end(client: AsyncTcpClient) -> None:
    await client.write_event(SynthesizeStart(SynthesizeVoice(name="nobody")).event())
    await client.write_event(SynthesizeChunk(TEXT).event())
    await client.write_event(SynthesizeStop().event())
    events = await events_to(client, "synthesize-stopped")
    assert [(event.type, event.data.get("code")) for event in events] == [("error", "voice_not_found")]


async def test_clients_when_two_stream_at_once_then_each_hears_its_own(speaking: Appliance) -> None:
    async def stream(text: str) -> bytes:
        async with connected(speaking) as client:
            await client.write_event(SynthesizeStart(SynthesizeVoice(name="tone-low")).event())
            for word in text.split():
                await client.write_event(SynthesizeChunk(f"{word} ").event())
            await client.write_event(SynthesizeStop().event())
            events = await events_to(client, "synthesize-stopped")
        assert heard_s(events[:-1]) > 0.3
        return b"".join(event.payload or b"" for event in events)

    long, short = "This is the longer one of two texts and it goes on and on", "Short and very short"
    alone = [await stream(long), await stream(short)]
    together = await asyncio.gather(stream(long), stream(short))
    assert [*together] == alone


async def test_line_when_longer_than_64_kib_then_taken_and_when_far_longer_refused(
    client: AsyncTcpClient, speaking: Appliance
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", speaking.wyoming_port, limit=2**20)
    padding = "x" * 100_000
    line = {"type": "ping", "data": {"text": "here", "padding": padding}}
    writer.write(json.dumps(line).encode() + b"\n")
    assert json.loads(await reader.readline())["type"] == "pong"
    await reader.readexactly(len(json.dumps({"text": "here"})))
    writer.write(b"x" * 300_000)
    assert json.loads(await reader.readline())["type"] == "error"
    assert b"body_too_large" in await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"POST / HTTP/1.1\r\n", b"invalid_value"),
        (b"[]\n", b"invalid_value"),
        (b'{"type": 5}\n', b"invalid_value"),
        (b'{"type": "ping", "data": []}\n', b"invalid_value"),
        (b'{"type": "ping", "data_length": -1}\n', b"invalid_value"),
        (b'{"type": "ping", "data_length": 2}\n[]', b"invalid_value"),
        (b'{"type": "ping", "data_length": 999999999}\n', b"body_too_large"),
        (b'{"type": "ping", "payload_length": 999999999}\n', b"body_too_large"),
    ],
)
async def test_bytes_when_they_are_no_event_then_an_error_and_the_end(
    speaking: Appliance, sent: bytes, code: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", speaking.wyoming_port)
    writer.write(sent)
    answer = await reader.read()
    assert answer.startswith(b'{"type": "error"')
    assert code in answer
    writer.close()
    await writer.wait_closed()


async def test_event_when_it_has_a_payload_then_that_is_skipped(client: AsyncTcpClient) -> None:
    audio: dict[str, Any] = {"rate": 16_000, "width": 2, "channels": 1}
    await client.write_event(Event("audio-chunk", audio, b"\n{" * 40_000))
    await client.write_event(Ping("after").event())
    event = await client.read_event()
    assert event is not None
    assert event.type == "pong"


async def test_client_when_it_leaves_then_its_request_is_cancelled(slow: Appliance) -> None:
    known = len(slow.lines)
    async with connected(slow) as client:
        await client.write_event(plain(TEXT * 10, name="tone-low"))
        await events_to(client, "audio-chunk")
    line = await asyncio.to_thread(slow.wait_for, "request_finished", after=known, outcome="cancelled")
    assert line["ended_by"] == "client"


async def test_describe_when_every_worker_is_busy_then_answered_from_memory(slow: Appliance) -> None:
    async with contextlib.AsyncExitStack() as owned:
        for number in range(3):
            busy = await owned.enter_async_context(connected(slow))
            await busy.write_event(plain(f"{number} {TEXT * 10}", name="tone-low"))
        client = await owned.enter_async_context(connected(slow))
        times_s = []
        for _ in range(50):
            asked_at_s = time.monotonic()
            await client.write_event(Describe().event())
            assert await client.read_event() is not None
            times_s.append(time.monotonic() - asked_at_s)
    assert sorted(times_s)[-2] < 0.1


async def test_connections_when_there_are_too_many_then_the_longest_idle_one_goes(slow: Appliance) -> None:
    async with contextlib.AsyncExitStack() as owned:
        clients = [await owned.enter_async_context(connected(slow)) for _ in range(9)]
        assert await clients[0].read_event() is None
        for client in clients[1:]:
            await client.write_event(Ping("still here").event())
            assert await client.read_event() is not None


@pytest.mark.parametrize("begun", [b"", b'{"type": ', b'{"type": "synthesize-start"}\n'])
async def test_client_when_it_is_idle_for_too_long_then_hung_up_on(slow: Appliance, begun: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", slow.wyoming_port)
    writer.write(begun)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
