"""Answers of POST that are kept, and equal requests that share one synthesis."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from processes.gateway.sharing import FINISHED_IN_PLACE_BYTES
from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.scrape import scrape
from tests.parts.speaking import HOOKED, wait_until_whole
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)
SPEECH = "/v1/audio/speech"
LONG = "This sentence is spoken slowly, so that others come while it is being made. " * 12


@pytest.fixture(scope="module")
def keeping() -> Iterator[Appliance]:
    """An appliance that keeps answers, whose tone workers take their time."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    settings = {**HOOKED, "CACHE_SPEECH": "true", "WORKERS_TONE": 2, "TONE_CHUNK_DELAY_S": 0.01}
    with running_appliance(base, **settings) as appliance:
        wait_until_whole(appliance, 2)  # each that joins has the appliance speak for itself
        eventually(lambda: scrape(appliance.base_url)["tts_probe_success", "tone"] == 1)
        yield appliance
    shutil.rmtree(base)


def fields(text: str, sound: str = "mp3", **more: Any) -> dict[str, Any]:
    return {"input": text, "voice": "tone-low", "response_format": sound, **more}


async def ask(session: ClientSession, text: str, sound: str = "mp3", **more: Any) -> tuple[str, bytes]:
    """Speak; return what the cache said and the audio."""
    async with session.post(SPEECH, json=fields(text, sound, **more)) as answer:
        assert answer.status == 200, await answer.text()
        return answer.headers["X-Cache"], await answer.read()


def client(appliance: Appliance, name: str) -> ClientSession:
    """A client whose requests all carry this id, so that their lines are known."""
    return ClientSession(appliance.base_url, headers={"X-Request-ID": name})


def ended(appliance: Appliance, name: str, count: int) -> list[dict[str, Any]]:
    """The canonical lines of a client, once there are so many, and no more."""

    def lines() -> list[dict[str, Any]]:
        ended = [line for line in appliance.lines if line["event"] == "request_finished"]
        return [line for line in ended if line["request_id"] == name]

    eventually(lambda: len(lines()) >= count)
    assert len(lines()) == count
    return lines()


def orders(appliance: Appliance) -> int:
    """How many utterances the workers have spoken, once they are done."""

    def workers() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask_json(appliance.run_dir, "GET", "/admin/status")["workers"]
        return found if {worker["state"] for worker in found} == {"ready"} else []

    return sum(worker["utterances"] for worker in eventually(workers))


@pytest.mark.parametrize("sound", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
async def test_post_when_asked_again_then_the_same_audio_comes_without_a_worker(
    keeping: Appliance, sound: str
) -> None:
    async with client(keeping, f"asked-again-then-the-same-audio-comes-wi-{sound}") as session:
        first, spoken = await ask(session, "The train is late.", sound)
        before = await asyncio.to_thread(orders, keeping)
        second, kept = await ask(session, "The train is late.", sound)
    assert (first, second) == ("miss", "hit")
    assert len(kept) == len(spoken)
    assert kept[44:] == spoken[44:]  # a streamed wav has no sizes in its header
    lines = await asyncio.to_thread(ended, keeping, f"asked-again-then-the-same-audio-comes-wi-{sound}", 2)
    assert [(line["cache"], line["outcome"], line["bytes"]) for line in lines] == [
        ("miss", "completed", len(spoken)),
        ("hit", "completed", len(kept)),
    ]
    assert lines[1]["worker"] == ""
    assert await asyncio.to_thread(orders, keeping) == before


async def test_post_when_a_streamed_wav_is_kept_then_its_header_has_the_sizes(keeping: Appliance) -> None:
    async with ClientSession(keeping.base_url) as session:
        await ask(session, LONG + "As wav.", "wav")
        result, kept = await ask(session, LONG + "As wav.", "wav")
    assert result == "hit"
    assert int.from_bytes(kept[40:44], "little") == len(kept) - 44
    assert int.from_bytes(kept[4:8], "little") == len(kept) - 8


async def test_post_when_a_large_answer_was_finished_first_then_it_is_kept(keeping: Appliance) -> None:
    text = f"A sentence that {'sounds and ' * 20}sounds."
    async with ClientSession(keeping.base_url) as session:
        await ask(session, "So that it is known how quick this is.", "wav")
        result, spoken = await ask(session, text, "wav")
        assert (result, len(spoken) > FINISHED_IN_PLACE_BYTES) == ("miss", True)
        assert await ask(session, text, "wav") == ("hit", spoken)


@pytest.mark.parametrize(
    "other",
    [
        {"speed": 1.5},
        {"pitch": 1.2},
        {"volume": 0.5},
        {"voice": "tone-high"},
        {"normalize": True},
        {"seed": 0},
        {"noise_scale": 0},
        {"noise_scale_w": 0},
    ],
)
async def test_post_when_anything_that_changes_the_sound_differs_then_it_is_spoken(
    keeping: Appliance, other: dict[str, Any]
) -> None:
    async with ClientSession(keeping.base_url) as session:
        await ask(session, "Everything counts.")
        assert (await ask(session, "Everything counts."))[0] == "hit"
        assert (await ask(session, "Everything counts.", **other))[0] == "miss"


async def test_post_when_ten_equal_requests_come_at_once_then_they_are_spoken_once_and_all_hear_it_early(
    keeping: Appliance,
) -> None:
    text = LONG + "Ten hear it."

    async def listen(session: ClientSession) -> tuple[float, bytes]:
        async with session.post(SPEECH, json=fields(text)) as answer:
            data = await answer.content.readany()
            at_s = asyncio.get_running_loop().time()
            return at_s, data + await answer.read()

    async with client(keeping, "ten-equal-requests-come-at-once-then-the") as session:
        begun_s = asyncio.get_running_loop().time()
        heard = await asyncio.gather(*(listen(session) for _ in range(10)))
        whole_s = asyncio.get_running_loop().time() - begun_s
    assert len({data for _, data in heard}) == 1
    assert max(at_s for at_s, _ in heard) - begun_s < whole_s / 2
    lines = await asyncio.to_thread(ended, keeping, "ten-equal-requests-come-at-once-then-the", 10)
    assert sorted(line["cache"] for line in lines) == ["miss"] + ["shared"] * 9
    assert sum(line["utterances"] > 0 for line in lines) == 1


async def test_post_when_the_first_of_two_leaves_then_the_other_hears_all(keeping: Appliance) -> None:
    text = LONG + "One leaves."
    async with client(keeping, "the-first-of-two-leaves-then-the-other-h") as session:
        leaver = await session.post(SPEECH, json=fields(text))
        await leaver.content.readany()
        stayer = await session.post(SPEECH, json=fields(text))
        await stayer.content.readany()
        leaver.close()
        await stayer.read()
        assert (await ask(session, text))[0] == "hit"
    lines = await asyncio.to_thread(ended, keeping, "the-first-of-two-leaves-then-the-other-h", 3)
    assert sorted((line["cache"], line["outcome"]) for line in lines) == [
        ("hit", "completed"),
        ("miss", "cancelled"),
        ("shared", "completed"),
    ]


async def test_post_when_everybody_leaves_then_the_work_ends_and_nothing_is_kept(keeping: Appliance) -> None:
    text = LONG + "All leave."
    async with client(keeping, "everybody-leaves-then-the-work-ends-and") as session:
        leavers: list[ClientResponse] = [await session.post(SPEECH, json=fields(text)) for _ in range(2)]
        for leaver in leavers:
            leaver.close()
        lines = await asyncio.to_thread(ended, keeping, "everybody-leaves-then-the-work-ends-and", 2)
        assert {line["outcome"] for line in lines} == {"cancelled"}
        await asyncio.to_thread(orders, keeping)
        assert (await ask(session, text))[0] == "miss"


async def test_post_when_the_synthesis_fails_then_all_get_the_same_error_and_nothing_is_kept(
    keeping: Appliance,
) -> None:
    async with ClientSession(keeping.base_url) as session:

        async def code() -> str:
            async with session.post(SPEECH, json=fields("__FAIL__ Nobody hears this.")) as answer:
                return str((await answer.json())["error"]["code"])

        assert await asyncio.gather(*(code() for _ in range(4))) == ["engine_failed"] * 4
        assert await code() == "engine_failed"


async def test_post_when_the_client_has_the_bytes_then_304_with_a_row(keeping: Appliance) -> None:
    async with client(keeping, "the-client-has-the-bytes-then-304-with-a") as session:
        await ask(session, "You have it.")
        async with session.post(SPEECH, json=fields("You have it.")) as kept:
            etag = kept.headers["ETag"]
            assert kept.headers["Cache-Control"] == "private, no-cache"
        headers = {"If-None-Match": f'"other", {etag}'}
        async with session.post(SPEECH, json=fields("You have it."), headers=headers) as answer:
            assert answer.status == 304
            assert await answer.read() == b""
    lines = await asyncio.to_thread(ended, keeping, "the-client-has-the-bytes-then-304-with-a", 3)
    assert [line["bytes"] for line in lines][2] == 0


async def test_post_when_events_are_asked_for_then_nothing_is_kept(keeping: Appliance) -> None:
    async with ClientSession(keeping.base_url) as session:
        for _ in range(2):
            async with session.post(SPEECH, json=fields("Events.", stream_format="sse")) as answer:
                assert "X-Cache" not in answer.headers
                await answer.read()


def speak(appliance: Appliance, text: str) -> tuple[str, bytes]:
    async def asked() -> tuple[str, bytes]:
        async with client(appliance, "speak") as session:
            return await ask(session, text)

    return asyncio.run(asked())


def files(base: Path) -> list[Path]:
    return [path for path in (base / "data" / "cache").glob("??/*") if not path.suffix]


def test_restart_when_an_answer_was_kept_then_it_is_played_from_its_file(run_dir: Path) -> None:
    with running_appliance(run_dir, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        _, spoken = speak(appliance, "Still here after a restart.")
        eventually(lambda: files(run_dir))
        appliance.stop()
    with running_appliance(run_dir, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        assert speak(appliance, "Still here after a restart.") == ("hit", spoken)
        assert scrape(appliance.base_url)["tts_cache_requests_total", "hit"] == 1


def test_restart_when_a_file_is_broken_then_it_is_spoken_anew_and_said_once(run_dir: Path) -> None:
    settings = {"CACHE_SPEECH": "true", "VOICES_DEFAULT": "tone-low"}
    with running_appliance(run_dir, **settings) as appliance:
        _, spoken = speak(appliance, "Broken on the disk.")
        eventually(lambda: files(run_dir))
        appliance.stop()
    [path] = files(run_dir)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    quota = {"DISPATCH_CLIENT_RATE_PER_MIN": 1, "DISPATCH_CLIENT_BURST": 2}  # each request counts once
    with running_appliance(run_dir, **settings, **quota) as appliance:
        assert speak(appliance, "Broken on the disk.") == ("miss", spoken)
        assert speak(appliance, "Broken on the disk.") == ("hit", spoken)
        assert len(ended(appliance, "speak", 2)) == 2
        assert sum(line["event"] == "cache_entry_broken" for line in appliance.lines) == 1
        eventually(lambda: files(run_dir))


def test_post_when_the_cache_cannot_be_written_then_speech_goes_on_and_it_is_said_once(run_dir: Path) -> None:
    (run_dir / "data").mkdir()
    (run_dir / "data" / "cache").write_bytes(b"a file stands in the folder's place")
    with running_appliance(run_dir, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        for number in range(3):
            assert speak(appliance, f"Number {number} is spoken.")[0] == "miss"
            assert speak(appliance, f"Number {number} is spoken.")[0] == "hit"
        appliance.wait_for("cache_disk_failed")
        assert sum(line["event"] == "cache_disk_failed" for line in appliance.lines) == 1


def test_history_when_answers_are_kept_then_each_request_has_its_one_row(run_dir: Path) -> None:
    with running_appliance(run_dir, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        for _ in range(5):
            speak(appliance, "A row for each.")

        def rows() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = ask_json(appliance.run_dir, "GET", "/v1/history")["data"]
            return [row for row in found if row["state"] != "running"]

        eventually(lambda: len(rows()) == 5)
        assert {row["state"] for row in rows()} == {"completed"}
        assert json.dumps(rows()).count("tone-low") == 5
    assert len(files(run_dir)) == 1


def cache(appliance: Appliance, *arguments: str) -> dict[str, Any]:
    """What `ttsctl cache` says."""
    done = run_ttsctl(appliance, "--json", "cache", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_ttsctl_when_an_answer_is_pinned_then_it_alone_outlives_a_purge(run_dir: Path) -> None:
    with running_appliance(run_dir, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        speak(appliance, "This goes.")
        assert cache(appliance, "pin", "This stays.", "--voice", "tone-low") == {
            "pinned": True,
            "kept": False,
        }
        eventually(lambda: len(files(run_dir)) == 2)
        assert cache(appliance, "purge")["removed"] >= 1
        eventually(lambda: len(files(run_dir)) == 1)
        assert speak(appliance, "This stays.")[0] == "hit"
        assert speak(appliance, "This goes.")[0] == "miss"
        assert cache(appliance, "stats")["files"]["pinned"] == 1
        assert cache(appliance, "unpin", "This stays.", "--voice", "tone-low")["was_pinned"]
        cache(appliance, "purge")
        assert files(run_dir) == []


def test_ttsctl_when_nothing_is_kept_in_files_then_a_pin_is_refused(run_dir: Path) -> None:
    settings = {"CACHE_SPEECH": "true", "CACHE_DISK_BYTES": 0, "VOICES_DEFAULT": "tone-low"}
    with running_appliance(run_dir, **settings) as appliance:
        refused = run_ttsctl(appliance, "--json", "cache", "pin", "Not for good.", "--voice", "tone-low")
        assert refused.returncode != 0
        assert "cache.disk_bytes" in refused.stdout + refused.stderr
        assert cache(appliance, "stats")["warming"]["waiting"] == 0


def test_ttsctl_when_a_list_is_given_then_it_is_spoken_ahead(run_dir: Path) -> None:
    wanted = run_dir / "list.jsonl"
    wanted.write_text("\n".join(json.dumps(fields(f"Ahead {number}.")) for number in range(3)), "utf-8")
    with running_appliance(run_dir, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        assert cache(appliance, "warm", str(wanted)) == {"taken": 3}
        eventually(lambda: cache(appliance, "stats")["warming"]["waiting"] == 0)
        assert [speak(appliance, f"Ahead {number}.")[0] for number in range(3)] == ["hit"] * 3


async def test_post_when_the_text_is_just_spoken_ahead_then_it_is_heard_with_that(keeping: Appliance) -> None:
    text = LONG + "Spoken ahead."
    before = await asyncio.to_thread(orders, keeping)

    def is_being_spoken() -> bool:
        workers = ask_json(keeping.run_dir, "GET", "/admin/status")["workers"]
        return any(worker["state"] == "busy" for worker in workers)

    def warm() -> None:
        wanted = {"requests": [fields(text)]}
        ask_json(keeping.run_dir, "POST", "/admin/cache/warm", wanted, statuses=(202,))
        eventually(is_being_spoken)

    await asyncio.to_thread(warm)
    async with client(keeping, "the-text-is-just-spoken-ahead-then-it-is") as session:
        await ask(session, text)
        assert (await ask(session, text))[0] == "hit"
    lines = await asyncio.to_thread(ended, keeping, "the-text-is-just-spoken-ahead-then-it-is", 2)
    assert [(line["cache"], line["outcome"]) for line in lines] == [
        ("shared", "completed"),
        ("hit", "completed"),
    ]
    assert await asyncio.to_thread(orders, keeping) == before + text.count(".")


def test_warming_when_one_cannot_be_spoken_now_then_the_others_are_and_it_waits_until_it_can(
    run_dir: Path,
) -> None:
    wanted = run_dir / "list.jsonl"
    wanted.write_text("\n".join(json.dumps(each) for each in (fields("Later."), {"input": "Now."})), "utf-8")
    settings = {"CACHE_SPEECH": "true", "WORKERS_ESPEAK": 1, "DISPATCH_OUTAGE_LIMIT_S": 0.5}
    with running_appliance(run_dir, **settings) as appliance:
        assert appliance.supervisorctl("stop", "worker-tone-1").returncode == 0
        assert cache(appliance, "warm", str(wanted)) == {"taken": 2}
        eventually(lambda: len(files(run_dir)) == 1)
        assert cache(appliance, "stats")["warming"] == {"waiting": 1, "failed": 0}
        assert appliance.supervisorctl("start", "worker-tone-1").returncode == 0
        eventually(lambda: cache(appliance, "stats")["warming"]["waiting"] == 0)
        assert speak(appliance, "Later.")[0] == "hit"


def test_admin_when_asked_without_a_key_then_the_cache_is_not_there(keeping: Appliance) -> None:
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/pin"),
        ("POST", "/unpin"),
        ("POST", "/warm"),
    ):
        question = urllib.request.Request(f"{keeping.base_url}/admin/cache{path}", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(question, timeout=30)
        with refused.value:
            assert refused.value.code == 404
