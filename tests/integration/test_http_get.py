"""GET /v1/audio/speech: audio behind a plain address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance
from tests.parts.audio import heard_s
from tests.parts.scrape import scrape

SPEECH = "/v1/audio/speech"
LARGE = {
    "text": "This is one of many sentences that sound for a long time when they are put together. " * 60,
    "format": "wav",
    "voice": "tone-low",
}
READERS = 8


async def test_get_when_asked_twice_then_both_answers_are_the_same_bytes_with_their_length(
    http: ClientSession,
) -> None:
    params = {"text": "Somebody is at the door.", "voice": "en-us"}
    async with http.get(SPEECH, params=params) as first, http.get(SPEECH, params=params) as second:
        data = await first.read()
        assert data == await second.read()
        assert int(first.headers["Content-Length"]) == len(data)
        assert first.headers["ETag"] == second.headers["ETag"]
        assert first.headers["Accept-Ranges"] == "bytes"
        assert first.content_type == "audio/mpeg"
    assert heard_s("mp3", data) > 0.5


async def test_head_when_asked_then_it_has_the_length_of_the_answer(http: ClientSession) -> None:
    params = {"text": "How long is this?", "format": "wav"}
    async with http.head(SPEECH, params=params) as head, http.get(SPEECH, params=params) as answer:
        assert head.status == 200
        assert int(head.headers["Content-Length"]) == len(await answer.read())


@pytest.mark.parametrize(
    ("wanted", "start", "stop"), [("bytes=0-99", 0, 100), ("bytes=100-", 100, None), ("bytes=-50", -50, None)]
)
async def test_get_when_a_range_is_asked_then_it_comes(
    http: ClientSession, wanted: str, start: int, stop: int | None
) -> None:
    params = {"text": "A part of this, please."}
    async with http.get(SPEECH, params=params) as answer:
        whole = await answer.read()
    async with http.get(SPEECH, params=params, headers={"Range": wanted}) as part:
        assert part.status == 206
        assert await part.read() == whole[start:stop]
        assert part.headers["Content-Range"].endswith(f"/{len(whole)}")


async def test_head_when_it_asks_for_a_range_then_it_describes_the_whole(http: ClientSession) -> None:
    params, headers = {"text": "A part of this, please."}, {"Range": "bytes=0-9"}
    async with http.get(SPEECH, params=params) as answer, http.head(SPEECH, params=params) as head:
        assert head.status == 200
        async with http.head(SPEECH, params=params, headers=headers) as part:
            assert part.status == 200
            assert "Content-Range" not in part.headers
            assert part.headers["Content-Length"] == answer.headers["Content-Length"]
            assert part.headers["Accept-Ranges"] == "bytes"


async def test_get_when_the_answer_is_large_then_the_whole_a_range_and_its_headers_are_right(
    http: ClientSession,
) -> None:
    async with http.get(SPEECH, params=LARGE) as answer:
        whole = await answer.read()
        assert int(answer.headers["Content-Length"]) == len(whole) > 1_000_000
    async with http.head(SPEECH, params=LARGE) as head:
        assert int(head.headers["Content-Length"]) == len(whole)
        assert head.headers["ETag"] == answer.headers["ETag"]
    async with http.get(SPEECH, params=LARGE, headers={"Range": "bytes=100-800099"}) as part:
        assert part.status == 206
        assert part.headers["Content-Range"] == f"bytes 100-800099/{len(whole)}"
        assert await part.read() == whole[100:800_100]
        assert "X-Request-ID" in part.headers


async def test_get_when_many_read_a_large_kept_answer_slowly_then_they_share_its_bytes(
    http: ClientSession, speaking: Appliance
) -> None:
    async with http.get(SPEECH, params=LARGE) as answer:
        size_bytes = len(await answer.read())
    gateway = await asyncio.to_thread(speaking.program, "gateway")
    before_bytes = gateway.memory_info().rss
    question = f"GET {SPEECH}?{urlencode(LARGE)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with contextlib.ExitStack() as opened:
        for _ in range(READERS):
            reader = opened.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            await asyncio.to_thread(reader.connect, ("127.0.0.1", speaking.port))
            reader.sendall(question)
            assert (await asyncio.to_thread(reader.recv, 12)).endswith(b"200")
        assert gateway.memory_info().rss - before_bytes < READERS * size_bytes / 2


async def test_get_when_the_range_lies_outside_then_416(http: ClientSession) -> None:
    headers = {"Range": "bytes=99999999-"}
    async with http.get(SPEECH, params={"text": "Short."}, headers=headers) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"].startswith("bytes */")
        assert (await answer.json())["error"]["code"] == "range_not_satisfiable"


async def test_get_when_the_range_is_of_other_bytes_then_the_whole_answer_comes(http: ClientSession) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": '"another"'}
    async with http.get(SPEECH, params={"text": "Short."}, headers=headers) as answer:
        assert answer.status == 200


async def test_get_when_equal_requests_come_at_once_then_one_synthesis_serves_them(
    http: ClientSession, speaking: Appliance
) -> None:
    async def get() -> bytes:
        async with http.get(SPEECH, params={"text": "Ten speakers ask for this."}) as answer:
            return await answer.read()

    def counted() -> list[float]:
        found = scrape(speaking.base_url)
        return [found["tts_cache_requests_total", result] for result in ("miss", "shared", "hit")]

    before = await asyncio.to_thread(counted)
    assert len(set(await asyncio.gather(*(get() for _ in range(10))))) == 1
    await get()
    after = await asyncio.to_thread(counted)
    spoken, shared, kept = (now - then for now, then in zip(after, before, strict=True))
    assert spoken == 1
    assert shared + kept == 10  # whoever comes when it has been spoken finds it kept
    assert kept >= 1


async def test_get_when_the_answer_is_too_long_to_keep_then_it_streams_without_ranges(
    http: ClientSession,
) -> None:
    text = "A long text that nobody keeps in memory, since its answer would be very large. " * 90
    params = {"text": text, "format": "wav", "speed": "0.8", "voice": "tone-low"}
    async with http.head(SPEECH, params=params) as head:
        assert head.headers["Accept-Ranges"] == "none"
        assert head.content_type == "audio/wav"
        assert "Content-Length" not in head.headers
    async with http.get(SPEECH, params=params) as answer:
        assert answer.status == 200
        assert answer.headers["Accept-Ranges"] == "none"
        assert "Content-Length" not in answer.headers
        assert (await answer.content.readexactly(4)) == b"RIFF"


async def test_get_when_the_text_is_short_but_sounds_long_then_it_streams_from_the_start(
    http: ClientSession,
) -> None:
    params = {"text": "1234567890 " * 1_000, "voice": "en-us"}
    async with http.head(SPEECH, params=params) as head:
        assert head.headers["Accept-Ranges"] == "none"
        assert head.content_type == "audio/mpeg"


@pytest.mark.parametrize(
    "query",
    [
        "?text=a&_=1&_=2",
        "?text=a&speed=2",
        "?text=a&speed=1.5&pitch=1e0&volume=0",
        "?text=a&seed=9007199254740991&noise_scale=0&noise_scale_w=1e0",
        "?text=a&normalize=yes",
        "?text=a&normalize=0",
    ],
)
async def test_get_when_the_query_is_odd_but_clear_then_it_is_spoken(http: ClientSession, query: str) -> None:
    async with http.get(SPEECH + query) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "invalid_value"),
        ("?text=a&text=b", 400, "invalid_value"),
        ("?text=a&input=b", 400, "invalid_value"),
        ("?text=a&speed=1&speed=2", 400, "invalid_value"),
        ("?text=a&speed=fast", 400, "invalid_value"),
        ("?text=a&speed=nan", 400, "invalid_value"),
        ("?text=a&seed=9007199254740992", 400, "invalid_value"),
        ("?text=a&seed=0.5", 400, "invalid_value"),
        ("?text=a&seed=", 400, "invalid_value"),
        ("?text=a&noise_scale=2", 400, "invalid_value"),
        ("?text=a&noise_scale_w=nan", 400, "invalid_value"),
        ("?text=a&normalize=perhaps", 400, "invalid_value"),
        ("?text=a&stream_format=sse", 400, "invalid_value"),
        ("?text=a&format=exe", 400, "unsupported_format"),
        ("?text=a&voice=nobody", 404, "voice_not_found"),
        ("?text=", 400, "nothing_to_speak"),
    ],
)
async def test_get_when_the_query_is_wrong_then_it_is_refused(
    http: ClientSession, query: str, status: int, code: str
) -> None:
    async with http.get(SPEECH + query) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code


async def test_get_when_the_address_is_long_then_it_is_spoken_up_to_the_texts_limit(
    http: ClientSession,
) -> None:
    async with http.head(SPEECH, params={"text": "A sentence. " * 1600, "format": "wav"}) as answer:
        assert answer.status == 200
    async with http.get(SPEECH, params={"text": "x" * 20_001}) as answer:
        assert answer.status == 413


async def test_get_when_the_address_is_past_all_bounds_then_400_and_no_text_in_the_log(
    http: ClientSession, speaking: Appliance
) -> None:
    seen = len(speaking.lines)
    async with http.get(SPEECH, params={"text": "secretword" * 40_000}) as answer:
        assert answer.status == 400
    line = await asyncio.to_thread(speaking.wait_for, "library_log", after=seen, logger="aiohttp.server")
    assert "bad request" in line["message"]
    assert "secretword" not in json.dumps(speaking.lines)
