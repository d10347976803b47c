"""A text that is spoken while it is being written, over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.keys import create_key
from tests.parts.speaking import counted
from tests.parts.ttsctl import run_ttsctl

PATH = "/v1/audio/stream"
LONG = "This takes its time. " * 700
"""Its audio fits into no buffers, so that it isn't whole before a client has read much of it."""


class Heard(NamedTuple):
    """What came back up to a message of one kind."""

    told: list[dict[str, Any]]
    audio: list[bytes]
    """Of each part."""

    @property
    def kinds(self) -> list[str]:
        return [each["type"] for each in self.told]


@pytest.fixture
def own() -> Iterator[Appliance]:
    """One that may be stopped."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    with running_appliance(base, WORKERS_TONE=1, VOICES_DEFAULT="tone-low") as appliance:
        assert appliance.base_url  # looked up here, as that reads a file
        yield appliance
    shutil.rmtree(base)


@pytest.fixture
def impatient() -> Iterator[Appliance]:
    """One that waits a second for a silent client."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    settings = {"WORKERS_TONE": 1, "VOICES_DEFAULT": "tone-low", "HTTP_STREAM_IDLE_S": 1}
    with running_appliance(base, **settings) as appliance:
        assert appliance.base_url
        yield appliance
    shutil.rmtree(base)


@pytest.fixture
async def socket(http: ClientSession) -> AsyncIterator[ClientWebSocketResponse]:
    async with http.ws_connect(PATH) as connection:
        yield connection


async def send(socket: ClientWebSocketResponse, kind: str, **values: Any) -> None:
    await socket.send_json({"type": kind, **values})


async def heard_to(
    socket: ClientWebSocketResponse, last: str, heard: Heard | None = None, *, times: int = 1
) -> Heard:
    """Read messages up to the nth of a kind, behind what was heard before."""
    heard = heard or Heard([], [])
    async with asyncio.timeout(20):
        while heard.kinds.count(last) < times:
            message = await socket.receive()
            if message.type is WSMsgType.BINARY:
                heard.audio[-1] += message.data
                continue
            assert message.type is WSMsgType.TEXT, (message, heard.told)
            heard.told.append(json.loads(message.data))
            if heard.kinds[-1] == "part":
                heard.audio.append(b"")
    return heard


async def spoken(socket: ClientWebSocketResponse, pieces: list[str], **fields: Any) -> Heard:
    await send(socket, "start", **fields)
    for piece in pieces:
        await send(socket, "text", text=piece)
    await send(socket, "end")
    return await heard_to(socket, "done")


async def by_post(http: ClientSession, text: str, **fields: Any) -> bytes:
    async with http.post(
        "/v1/audio/speech", json={"input": text, "response_format": "pcm", **fields}
    ) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_stream_when_tokens_come_then_each_sentence_is_a_part_and_sounds_as_by_post(
    socket: ClientWebSocketResponse, http: ClientSession
) -> None:
    await send(socket, "start", voice="tone-high")
    [started] = (await heard_to(socket, "started")).told
    assert started == {"type": "started", "response_format": "pcm", "sample_rate_hz": 24_000}
    for token in ("One ", "is ", "here. ", "Two ", "is ", "near"):
        await send(socket, "text", text=token)
    first = await heard_to(socket, "part")  # before the second sentence is whole
    assert first.told == [{"type": "part", "part": 0, "text": "One is here. "}]
    await send(socket, "end")
    rest = await heard_to(socket, "done", first)
    assert rest.kinds == ["part", "part", "done"]
    assert rest.told[1]["text"] == "Two is near"
    assert rest.audio[1] == await by_post(http, "Two is near", voice="tone-high")


async def test_stream_when_done_then_another_may_follow_on_the_same_socket(
    socket: ClientWebSocketResponse,
) -> None:
    for voice in ("tone-high", "tone-low"):
        heard = await spoken(socket, ["Hello there."], voice=voice)
        assert heard.kinds == ["started", "part", "done"]
        assert len(heard.audio[0]) > 1_000


async def test_stream_when_mp3_is_wanted_then_mp3_frames(socket: ClientWebSocketResponse) -> None:
    heard = await spoken(socket, ["Hello there."], voice="tone-high", response_format="mp3")
    assert heard.audio[0][0] == 0xFF
    assert heard.audio[0][1] & 0xE0 == 0xE0


async def test_stream_when_flushed_then_what_is_there_is_spoken(socket: ClientWebSocketResponse) -> None:
    await send(socket, "start", voice="tone-high")
    await send(socket, "text", text="Half a sen")
    await send(socket, "flush")
    heard = await heard_to(socket, "part")
    await send(socket, "text", text="tence.")
    await send(socket, "end")
    heard = await heard_to(socket, "done", heard)
    assert [each["text"] for each in heard.told if each["type"] == "part"] == ["Half a sen", "tence."]


async def test_stream_when_cancelled_amid_speech_then_its_part_is_cancelled_and_the_socket_goes_on(
    socket: ClientWebSocketResponse, speaking: Appliance
) -> None:
    known = len(speaking.lines)
    await send(socket, "start", voice="tone-high")
    await send(socket, "text", text=LONG)
    await send(socket, "flush")
    await heard_to(socket, "part")
    await send(socket, "cancel")
    await heard_to(socket, "cancelled")
    line = await asyncio.to_thread(speaking.wait_for, "request_finished", after=known, outcome="cancelled")
    assert line["request_id"].endswith("-0")
    heard = await spoken(socket, ["Hello there."], voice="tone-high")
    assert heard.kinds == ["started", "part", "done"]


async def test_stream_when_the_client_leaves_then_what_is_spoken_is_cancelled(
    http: ClientSession, speaking: Appliance
) -> None:
    known = len(speaking.lines)
    async with http.ws_connect(PATH) as socket:
        await send(socket, "start", voice="tone-high")
        await send(socket, "text", text=LONG)
        await send(socket, "flush")
        await heard_to(socket, "part")
    line = await asyncio.to_thread(speaking.wait_for, "request_finished", after=known, outcome="cancelled")
    assert line["request_id"].endswith("-0")


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ('{"type": "text", "text": "x"}', "invalid_value", "type"),
        ('{"type": "sing"}', "invalid_value", "type"),
        ('{"type": "start", "voice": "nobody"}', "voice_not_found", "voice"),
        ('{"type": "start", "response_format": "wav"}', "unsupported_format", "response_format"),
        ('{"type": "start", "speed": 9}', "invalid_value", "speed"),
        ("[1]", "invalid_value", None),
        ("{", "invalid_value", None),
    ],
)
async def test_stream_when_a_message_is_wrong_then_an_error_and_the_end(
    socket: ClientWebSocketResponse, message: str, code: str, param: str | None
) -> None:
    await socket.send_str(message)
    [told] = (await heard_to(socket, "error")).told
    assert (told["error"]["code"], told["error"]["param"]) == (code, param)
    assert (await socket.receive(timeout=10)).type is WSMsgType.CLOSE
    assert socket.close_code == 1008


async def test_stream_when_a_message_is_too_long_then_the_socket_is_closed(
    socket: ClientWebSocketResponse,
) -> None:
    await socket.send_str('{"type": "text", "text": "' + "x" * 70_000 + '"}')
    assert (await socket.receive(timeout=10)).type is WSMsgType.CLOSE
    assert socket.close_code == 1009


async def test_stream_when_more_waits_than_may_then_an_error(socket: ClientWebSocketResponse) -> None:
    await send(socket, "start", voice="tone-high")
    for _ in range(3):
        await send(socket, "text", text="x" * 9_000)
    told = (await heard_to(socket, "error")).told[-1]
    assert told["error"]["code"] == "text_too_long"


async def test_stream_when_two_are_at_once_then_each_hears_its_own(http: ClientSession) -> None:
    texts = {"tone-high": "One two three.", "tone-low": "Four five."}

    async def ask(voice: str) -> bytes:
        async with http.ws_connect(PATH) as socket:
            return (await spoken(socket, [texts[voice]], voice=voice)).audio[0]

    for _ in range(5):
        heard = await asyncio.gather(*map(ask, texts))
        for voice, audio in zip(texts, heard, strict=True):
            assert audio == await by_post(http, texts[voice], voice=voice)


async def test_stream_when_a_page_of_another_site_asks_then_403(http: ClientSession) -> None:
    with pytest.raises(WSServerHandshakeError) as error:
        await http.ws_connect(PATH, origin="https://example.org")
    assert error.value.status == 403


async def test_stream_when_it_is_no_websocket_then_400(http: ClientSession) -> None:
    async with http.get(PATH) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "invalid_value"


async def test_stream_when_the_appliance_stops_then_what_was_sent_is_spoken_and_1001(own: Appliance) -> None:
    async with ClientSession(own.base_url) as http, http.ws_connect(PATH) as socket:
        await send(socket, "start")
        await send(socket, "text", text="Half a sen")
        await heard_to(socket, "started")
        own.send_signal(signal.SIGTERM)
        heard = await heard_to(socket, "done")
        assert heard.told[0]["text"] == "Half a sen"
        assert heard.audio[0]
        assert (await socket.receive(timeout=10)).type is WSMsgType.CLOSE
        assert socket.close_code == 1001
    assert await asyncio.to_thread(own.wait) == 0


@pytest.mark.parametrize("begun", [[], ["start"]])
async def test_stream_when_the_client_only_pings_then_closed_as_idle(
    impatient: Appliance, begun: list[str]
) -> None:
    async with ClientSession(impatient.base_url) as http, http.ws_connect(PATH, heartbeat=0.4) as socket:
        for kind in begun:
            await send(socket, kind)
            await heard_to(socket, "started")
        assert (await socket.receive(timeout=15)).type is WSMsgType.CLOSE
        assert socket.close_code == 1000


async def test_stream_when_its_key_is_revoked_then_the_next_part_is_not_spoken(own: Appliance) -> None:
    key = (await asyncio.to_thread(create_key, own, "--name", "kitchen")).key
    async with ClientSession(own.base_url) as http:
        with pytest.raises(WSServerHandshakeError) as error:
            await http.ws_connect(PATH)
        assert error.value.status == 401
        async with http.ws_connect(PATH, headers={"Authorization": f"Bearer {key}"}) as socket:
            await send(socket, "start")
            await heard_to(socket, "started")
            revoked = await asyncio.to_thread(run_ttsctl, own, "keys", "revoke", "kitchen")
            assert revoked.returncode == 0
            await send(socket, "text", text="Hello there. ")
            await send(socket, "end")
            told = (await heard_to(socket, "error")).told[-1]
            assert told["error"]["code"] == "invalid_api_key"
            assert (await socket.receive(timeout=10)).type is WSMsgType.CLOSE
            assert socket.close_code == 1008


async def test_stream_when_a_part_fails_then_an_error_and_1011(socket: ClientWebSocketResponse) -> None:
    await send(socket, "start", voice="tone-high")
    await send(socket, "text", text="<speak>This will __FAIL__ now.</speak>")
    await send(socket, "end")
    told = (await heard_to(socket, "error")).told[-1]
    assert told["error"]["code"] == "engine_failed"
    assert (await socket.receive(timeout=10)).type is WSMsgType.CLOSE
    assert socket.close_code == 1011


async def test_stream_when_a_part_is_only_signs_then_one_pause_between_its_neighbours(
    socket: ClientWebSocketResponse, http: ClientSession
) -> None:
    await send(socket, "start", voice="tone-high")
    heard = Heard([], [])
    for number, piece in enumerate(("One.", "***", "Two."), 1):
        await send(socket, "text", text=piece)
        await send(socket, "flush")
        heard = await heard_to(socket, "part", heard, times=number)
    await send(socket, "end")
    heard = await heard_to(socket, "done", heard)
    alone = await by_post(http, "One.", voice="tone-high")
    assert heard.audio[0].startswith(alone)
    pause = heard.audio[0][len(alone) :] + heard.audio[1]
    assert len(pause) == 2 * 24_000 * 15 // 100
    assert not any(pause)


async def test_stream_when_it_ends_then_counted_as_1xx_and_its_duration_is_no_requests(
    http: ClientSession, speaking: Appliance
) -> None:
    ended = f'tts_http_requests_total{{route="{PATH}",status="1xx"}}'
    took = f'tts_http_request_duration_seconds_count{{route="{PATH}"}}'
    ended_before, took_before = [await asyncio.to_thread(counted, speaking, name) for name in (ended, took)]
    async with http.ws_connect(PATH) as socket:
        await spoken(socket, ["Hello there."], voice="tone-high")
    await asyncio.to_thread(eventually, lambda: counted(speaking, ended) > ended_before)
    assert counted(speaking, took) == took_before
