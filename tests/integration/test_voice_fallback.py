"""espeak-ng in the place of a voice that can't speak: for which faults, and what everybody is told of it.

The tone engine is the one that fails; of its voices tone-low and tone-high have a fallback.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientResponse, ClientSession

from appliance.settings import load_settings
from processes.gateway.fallback import FALLBACK_HEADER
from processes.gateway.middleware import CORS_EXPOSED
from processes.ttsctl.checks.imported import check_fallbacks
from processes.ttsctl.finding import Verdict, ok
from processes.ttsctl.outcome import ExitCode
from processes.ttsctl.patient import Patient
from processes.ttsctl.voices_bench import RunningAppliance
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.scrape import scrape
from tests.parts.ttsctl import run_ttsctl
from tests.parts.voices_file import write_voices_file

pytestmark = pytest.mark.timeout(120)

SPEECH = "/v1/audio/speech"
FALLBACKS = {"tone-*": "auto", "narrator": "pl", "tone-middle": "none", "en-later-vits": "auto"}


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    voices_file = write_voices_file(base, FALLBACKS, {"narrator": "tone-high"})
    settings = {
        "WORKERS_ESPEAK": 1,
        "WORKERS_TONE": 2,
        "TONE_HOOKS": "true",
        "TEXT_MAKE_SPEAKABLE": "false",
        "WORKERS_PROGRESS_S": 1.0,
        "HEALTH_PROBE_INTERVAL_S": 3600,
        "LOG_LEDGER_FILE": "ledger.jsonl",
        "VOICES_FILE": voices_file,
    }
    with running_appliance(base, **settings) as made:
        yield made
    shutil.rmtree(base)


@pytest.fixture
async def http(appliance: Appliance) -> AsyncIterator[ClientSession]:
    """A client, once all workers are there."""
    await asyncio.to_thread(_wait_until_whole, appliance)
    async with ClientSession(appliance.base_url) as session:
        yield session


def _wait_until_whole(appliance: Appliance) -> None:
    eventually(lambda: json.loads(appliance.get("/health"))["worker"] == {"ready": 3, "total": 3})


async def ask(http: ClientSession, text: str, voice: str = "tone-low", **fields: Any) -> ClientResponse:
    body = {"input": text, "voice": voice, "response_format": "wav", **fields}
    answer = await http.post(SPEECH, json=body)
    await answer.read()
    return answer


def fallbacks(appliance: Appliance) -> dict[frozenset[str], float]:
    """How often a reason has been counted with an engine."""
    return {
        frozenset(key[1:]): value
        for key, value in scrape(appliance.base_url).items()
        if key[0] == "tts_voice_fallbacks_total" and value
    }


async def espeak_says(http: ClientSession, text: str, voice: str = "en-us") -> bytes:
    """What the voice says when it is asked for itself."""
    answer = await ask(http, text, voice)
    assert answer.status == 200
    assert FALLBACK_HEADER not in answer.headers
    return await answer.read()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("FAIL", "engine_failed"),
        ("MUTE", "unspeakable_text"),
        ("EXIT", "worker_lost"),
        ("HANG", "synthesis_timeout"),
    ],
)
async def test_speech_when_its_voice_fails_unheard_then_the_fallback_says_all_and_everybody_is_told(
    appliance: Appliance, http: ClientSession, fault: str, reason: str
) -> None:
    text = f"This is spoken. __{fault}__ And this."
    before, seen = fallbacks(appliance), len(appliance.lines)
    answer = await ask(http, text)
    assert answer.status == 200
    assert answer.headers[FALLBACK_HEADER] == "en-us"
    audio = await answer.read()
    line = await asyncio.to_thread(
        appliance.wait_for, "request_finished", after=seen, request_id=answer.headers["X-Request-ID"]
    )
    assert (line["outcome"], line["voice"]) == ("completed", "tone-low")
    assert (line["fallback"], line["fallback_reason"]) == ("en-us", reason)
    assert line["worker"] == "worker-espeak-1"
    counted = frozenset({reason, "tone"})
    assert fallbacks(appliance) == {**before, counted: before.get(counted, 0) + 1}
    await asyncio.to_thread(_wait_until_whole, appliance)
    assert len(audio) == pytest.approx(len(await espeak_says(http, text)), rel=0.02)


def test_doctor_when_fallbacks_name_no_voice_or_an_espeak_voice_needs_none_then_it_warns_of_them(
    appliance: Appliance, tmp_path: Path
) -> None:
    _wait_until_whole(appliance)
    voices_now = json.loads(appliance.get("/v1/audio/voices"))
    patient = Patient(appliance.run_dir, load_settings(appliance.environment), voices=voices_now)
    assert check_fallbacks(patient) == ok(f"{len(FALLBACKS)} set")
    assert patient.settings is not None
    entries = {"tone-low": "nobody", "tone-high": "en-us+nobody", "en-gb": "auto", "*": "en-us+f3"}
    voices = patient.settings.voices.model_copy(update={"file": str(write_voices_file(tmp_path, entries))})
    settings = patient.settings.model_copy(update={"voices": voices})
    found = check_fallbacks(replace(patient, settings=settings))
    assert found.verdict is Verdict.WARN
    assert found.seen == (
        "tone-high = en-us+nobody: espeak has no such voice; tone-low = nobody: espeak has no such voice; "
        "en-gb is espeak's own and needs none"
    )
    assert check_fallbacks(replace(patient, settings=settings, voices=None)).verdict is Verdict.UNSEEN


async def test_ttsctl_when_another_voice_spoke_then_say_tells_and_sample_and_bench_fail(
    appliance: Appliance, http: ClientSession, tmp_path: Path
) -> None:
    def ttsctl(*arguments: str) -> CompletedProcess[str]:
        return run_ttsctl(appliance, *arguments)

    file = tmp_path / "x.wav"
    told = "ttsctl: spoken by en-us, as tone-low can't: "
    said = await asyncio.to_thread(
        ttsctl, "say", "__FAIL__", "--voice", "tone-low", "-o", str(file), "--json"
    )
    assert (said.returncode, json.loads(said.stdout)["fallback"]) == (ExitCode.OK, "en-us")
    assert said.stderr.startswith(told)
    file.unlink()
    sample = ("voices", "sample", "tone-low", "--text", "__FAIL__", "-o", str(file))
    sampled = await asyncio.to_thread(ttsctl, *sample)
    assert (sampled.returncode, file.exists()) == (ExitCode.FAILED, False)
    assert sampled.stderr.startswith(told)
    own = await asyncio.to_thread(ttsctl, "say", "Hi.", "--voice", "tone-low", "-o", str(file), "--json")
    assert (own.stderr, json.loads(own.stdout)["fallback"]) == ("", None)
    voice = {"id": "tone-low", "engine": "tone"}
    subject = RunningAppliance(appliance.run_dir, voice)
    failed = await asyncio.to_thread(subject.speak, 0, "__FAIL__")
    assert (failed.is_whole, subject.refusal.startswith("spoken by en-us")) == (False, True)


async def test_speech_when_it_fell_back_then_accepted_and_ended_once_with_all_its_orders(
    appliance: Appliance, http: ClientSession
) -> None:
    before = scrape(appliance.base_url)
    answer = await ask(http, "Two workers die of this one. __EXIT__")
    request_id = answer.headers["X-Request-ID"]
    ledger = (appliance.base / "data" / "ledger.jsonl").read_text("utf-8").splitlines()
    [row] = [row for row in map(json.loads, ledger) if row["request_id"] == request_id]
    assert (row["state"], row["retried"], row["orders"], row["worker"]) == (
        "completed",
        True,
        3,
        "worker-espeak-1",
    )
    after = scrape(appliance.base_url)
    for name in ("tts_requests_accepted_total", "tts_requests_finished_total"):
        counts = [sum(value for key, value in each.items() if key[0] == name) for each in (before, after)]
        assert counts[1] - counts[0] == 1
    in_flight = [value for key, value in after.items() if key[0] == "tts_requests_in_flight"]
    assert in_flight == [0]


async def test_speech_when_the_text_is_poison_for_its_voice_then_the_fallback_speaks_without_a_try(
    appliance: Appliance, http: ClientSession
) -> None:
    text = "Poison for tones and for nobody else. __EXIT__"
    assert (await ask(http, text)).headers[FALLBACK_HEADER] == "en-us"
    await asyncio.to_thread(_wait_until_whole, appliance)
    seen, lost = len(appliance.lines), scrape(appliance.base_url)["tts_worker_exits_total", "lost"]
    answer = await ask(http, text)
    assert (answer.status, answer.headers[FALLBACK_HEADER]) == (200, "en-us")
    line = await asyncio.to_thread(
        appliance.wait_for, "request_finished", after=seen, request_id=answer.headers["X-Request-ID"]
    )
    assert line["fallback_reason"] == "poison_request"
    assert scrape(appliance.base_url)["tts_worker_exits_total", "lost"] == lost


async def test_speech_when_audio_has_left_then_no_second_voice_goes_on(
    appliance: Appliance, http: ClientSession
) -> None:
    text = "This one is heard at first and then it fails, __FAIL_2__ and nobody can finish it."
    before = fallbacks(appliance)
    body = {"input": text, "voice": "tone-low", "response_format": "pcm"}
    async with http.post(SPEECH, json=body) as answer:
        assert answer.status == 200
        assert FALLBACK_HEADER not in answer.headers
        with pytest.raises(ClientPayloadError):
            await answer.read()
    assert fallbacks(appliance) == before


async def test_speech_when_all_is_well_then_the_voice_itself_speaks(http: ClientSession) -> None:
    answer = await ask(http, "All is well.")
    assert answer.status == 200
    assert FALLBACK_HEADER not in answer.headers
    assert await answer.read() != await espeak_says(http, "All is well.")


async def test_speech_when_another_language_is_entered_for_an_alias_then_that_voice_speaks(
    http: ClientSession,
) -> None:
    for voice in ("narrator", "tone-high"):
        answer = await ask(http, "Dobry wieczór. __FAIL__", voice)
        assert (answer.status, answer.headers[FALLBACK_HEADER]) == (200, "pl")


async def test_speech_when_nobody_has_asked_for_a_fallback_then_the_error_is_honest(
    http: ClientSession,
) -> None:
    answer = await ask(http, "Please fail. __FAIL__", "tone-middle")
    assert (answer.status, (await answer.json())["error"]["code"]) == (500, "engine_failed")
    assert FALLBACK_HEADER not in answer.headers


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"input": ""}, 400),
        ({"input": "…"}, 400),
        ({"input": "x" * 20_001}, 413),
        ({"speed": 9}, 400),
        ({"input": "<speak>", "input_type": "ssml"}, 400),
    ],
)
async def test_speech_when_the_request_is_wrong_then_no_other_voice_mends_it(
    appliance: Appliance, http: ClientSession, fields: dict[str, Any], status: int
) -> None:
    before = fallbacks(appliance)
    async with http.post(SPEECH, json={"input": "Hello.", "voice": "tone-low", **fields}) as answer:
        assert answer.status == status
    assert fallbacks(appliance) == before


async def test_speech_when_the_voice_is_entered_by_name_and_not_there_yet_then_the_fallback_speaks(
    appliance: Appliance, http: ClientSession
) -> None:
    counted = frozenset({"unknown", "voice_not_found"})
    before = fallbacks(appliance).get(counted, 0)
    answer = await ask(http, "Here I am.", "en-later-vits")
    assert (answer.status, answer.headers[FALLBACK_HEADER]) == (200, "en-us")
    heard, wanted = await answer.read(), await espeak_says(http, "Here I am.")
    assert len(heard) == pytest.approx(len(wanted), rel=0.02)
    assert fallbacks(appliance)[counted] == before + 1
    refused = await ask(http, "Here I am.", "tone-later")
    assert (refused.status, (await refused.json())["error"]["code"]) == (404, "voice_not_found")


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("GET", {"text": "Hello.", "stream_format": "sse"}, 400),
        ("GET", {"text": "…"}, 400),
        ("HEAD", {"text": "…"}, 400),
        ("HEAD", {"text": "Much more than is kept. " * 300, "speed": "0.25", "format": "wav"}, 200),
    ],
)
async def test_get_when_nothing_is_spoken_then_no_fallback_is_counted(
    appliance: Appliance, http: ClientSession, method: str, query: dict[str, str], status: int
) -> None:
    before = fallbacks(appliance)
    async with http.request(method, SPEECH, params={**query, "voice": "en-later-vits"}) as answer:
        assert answer.status == status
        assert answer.headers.get(FALLBACK_HEADER) == ("en-us" if status == 200 else None)
    assert fallbacks(appliance) == before


async def test_events_when_its_voice_fails_then_the_fallback_speaks_in_events_too(
    http: ClientSession,
) -> None:
    answer = await ask(http, "As events. __FAIL__", stream_format="sse")
    assert (answer.status, answer.headers[FALLBACK_HEADER]) == (200, "en-us")
    events = [json.loads(line[6:]) for line in (await answer.text()).splitlines() if line]
    assert events[-1]["type"] == "speech.audio.done"
    assert base64.b64decode(events[0]["audio"])[:4] == b"RIFF"


async def test_get_when_the_fallback_spoke_then_it_says_so_and_is_not_kept_for_the_voice(
    appliance: Appliance, http: ClientSession
) -> None:
    query = {"text": "Behind an address. __FAIL__", "voice": "tone-low", "format": "wav"}
    for method in ("HEAD", "GET", "GET"):
        seen = len(appliance.lines)
        async with http.request(method, SPEECH, params=query) as answer:
            assert (answer.status, answer.headers[FALLBACK_HEADER]) == (200, "en-us")
            assert answer.headers["Accept-Ranges"] == "none"
            await answer.read()
        await asyncio.to_thread(appliance.wait_for, "request_finished", after=seen, fallback="en-us")


async def test_get_when_the_fallback_is_kept_for_itself_then_who_asks_for_the_absent_voice_is_still_told(
    http: ClientSession,
) -> None:
    query = {"text": "The same text.", "format": "wav"}
    for voice, is_told in (("en-us", False), ("en-later-vits", True), ("en-us", False)):
        async with http.get(SPEECH, params={**query, "voice": voice}) as answer:
            assert (FALLBACK_HEADER in answer.headers) is is_told
            assert (answer.headers["Accept-Ranges"] == "none") is is_told


def test_page_of_another_site_when_it_reads_an_answer_then_it_may_see_who_spoke() -> None:
    assert FALLBACK_HEADER in CORS_EXPOSED.split(", ")
