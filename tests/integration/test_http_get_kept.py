"""GET for what is kept: each request is taken in, ended and recorded as any other, also after a restart."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.asked import asked
from tests.parts.scrape import scrape

pytestmark = pytest.mark.timeout(120)
SPEECH, CAPTIONS = "/v1/audio/speech", "/v1/audio/captions.json"
DOOR = {"text": "The door is open.", "voice": "tone-low"}
LONG = {"text": "This sentence is one of many. " * 40, "voice": "tone-low", "format": "wav"}
LARGE = LONG | {"text": "This one of many sounds for long when they are put together. " * 80}
KEEPING = {"VOICES_DEFAULT": "tone-low", "CACHE_SPEECH": "true"}


@pytest.fixture(scope="module")
def etag(speaking: Appliance) -> str:
    """What names the short text's audio, which is kept from then on."""
    return str(fetched(speaking, SPEECH, DOOR)[1]["ETag"])


def fetched(appliance: Appliance, path: str, query: dict[str, str]) -> tuple[bytes, Any]:
    """GET; return the body and the headers."""
    with urllib.request.urlopen(f"{appliance.base_url}{path}?{urlencode(query)}", timeout=30) as answer:
        return answer.read(), answer.headers


def rows(appliance: Appliance, request_id: str) -> list[dict[str, Any]]:
    """The history's rows of a request that has ended, once there are any."""

    def ended() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = asked(appliance, f"/v1/history?request_id={request_id}")["data"]
        return found if found and all(row["state"] != "running" for row in found) else []

    found: list[dict[str, Any]] = eventually(ended)
    return found


def lines(appliance: Appliance, request_id: str) -> list[dict[str, Any]]:
    """The canonical lines of a request, once there are any."""

    def said() -> list[dict[str, Any]]:
        return [
            line
            for line in appliance.lines
            if line["event"] == "request_finished" and line["request_id"] == request_id
        ]

    found: list[dict[str, Any]] = eventually(said)
    return found


def counted(appliance: Appliance) -> tuple[float, float, float]:
    found = scrape(appliance.base_url)
    return (
        found["tts_requests_accepted_total",],
        found["tts_requests_finished_total", "completed"],
        found["tts_cache_requests_total", "hit"],
    )


@pytest.mark.parametrize(
    ("name", "method", "path", "headers", "status"),
    [
        ("whole", "GET", SPEECH, {}, 200),
        ("part", "GET", SPEECH, {"Range": "bytes=10-19"}, 206),
        ("outside", "GET", SPEECH, {"Range": "bytes=99999999-"}, 416),
        ("headers", "HEAD", SPEECH, {}, 200),
        ("known", "GET", SPEECH, {"If-None-Match": "ETAG"}, 304),
        ("captions", "GET", CAPTIONS, {}, 200),
    ],
)
async def test_get_when_the_answer_is_kept_then_one_row_one_line_and_one_count(
    speaking: Appliance, etag: str, name: str, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    request_id = f"get-kept-{name}"
    sent = {key: value.replace("ETAG", etag) for key, value in headers.items()}
    before = await asyncio.to_thread(counted, speaking)
    async with (
        ClientSession(speaking.base_url, headers={"X-Request-ID": request_id}) as session,
        session.request(method, path, params=DOOR, headers=sent) as answer,
    ):
        assert answer.status == status
        body = await answer.read()
    after = await asyncio.to_thread(counted, speaking)
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]
    [row] = await asyncio.to_thread(rows, speaking, request_id)
    [line] = await asyncio.to_thread(lines, speaking, request_id)
    assert (row["state"], row["ended_by"], row["worker"]) == ("completed", "completed", "")
    assert (line["outcome"], line["cache"]) == ("completed", "hit")
    sent_bytes = 0 if status == 416 else len(body)
    assert row["bytes"] == line["bytes"] == sent_bytes
    assert row["audio_s"] > 0


def test_get_when_a_large_kept_answer_is_broken_off_then_its_row_is_cancelled(speaking: Appliance) -> None:
    whole, _ = fetched(speaking, SPEECH, LARGE)
    name = "get-kept-left"
    head = f"GET {SPEECH}?{urlencode(LARGE)} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: {name}\r\n\r\n"
    with socket.socket() as leaver:
        leaver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        leaver.connect(("127.0.0.1", speaking.port))
        leaver.sendall(head.encode())
        assert leaver.recv(12).endswith(b"200")
    [row] = rows(speaking, name)
    [line] = lines(speaking, name)
    assert (row["state"], row["ended_by"]) == (line["outcome"], line["ended_by"]) == ("cancelled", "client")
    assert 0 < row["bytes"] < len(whole)


def test_get_when_the_appliance_has_restarted_then_audio_and_captions_come_from_files(
    run_dir: Path,
) -> None:
    with running_appliance(run_dir, **KEEPING) as appliance:
        audio, first = fetched(appliance, SPEECH, LONG)
        captions, _ = fetched(appliance, CAPTIONS, LONG)
        assert first["X-Cache"] == "miss"
        eventually(lambda: files(run_dir))
        appliance.stop()
    with running_appliance(run_dir, **KEEPING) as appliance:
        kept = fetched(appliance, CAPTIONS, LONG)
        assert (kept[0], kept[1]["X-Audio-ETag"]) == (captions, first["ETag"])
        again, second = fetched(appliance, SPEECH, LONG)
        assert (again, second["X-Cache"], second["ETag"]) == (audio, "hit", first["ETag"])
        assert counted(appliance)[2] == 2


def test_get_when_answers_are_not_to_be_kept_then_none_is_in_a_file(run_dir: Path) -> None:
    with running_appliance(run_dir, VOICES_DEFAULT="tone-low", CACHE_SPEECH="false") as appliance:
        assert fetched(appliance, SPEECH, DOOR)[1]["X-Cache"] == "miss"
        assert fetched(appliance, SPEECH, DOOR)[1]["X-Cache"] == "hit"
        appliance.stop()
    assert files(run_dir) == []


def test_get_when_a_file_is_broken_then_it_is_spoken_anew_with_one_row(run_dir: Path) -> None:
    with running_appliance(run_dir, **KEEPING) as appliance:
        audio, _ = fetched(appliance, SPEECH, DOOR)
        eventually(lambda: files(run_dir))
        appliance.stop()
    [path] = files(run_dir)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of the words
    path.write_bytes(data)
    with running_appliance(run_dir, **KEEPING) as appliance:
        again, headers = fetched(appliance, SPEECH, DOOR)
        assert (again, headers["X-Cache"]) == (audio, "miss")
        [row] = rows(appliance, headers["X-Request-ID"])
        assert (row["state"], row["bytes"]) == ("completed", len(audio))


def files(base: Path) -> list[Path]:
    return [path for path in (base / "data" / "cache").glob("??/*") if not path.suffix]
