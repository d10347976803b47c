"""A voice whose workers die, hang, stay away or have too much to do, and the one that speaks in its place.

The tone engine stands for a neural one: its voices have espeak-ng as their fallback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from processes.gateway.fallback import FALLBACK_HEADER
from tests.parts.appliance import Appliance, eventually
from tests.parts.rounds import rounds
from tests.parts.speaking import (
    HOOKED,
    Answer,
    Clients,
    connected_workers,
    counted,
    speak,
    wait_for_looks,
    whole_before_and_after,
)
from tests.parts.voices_file import write_voices_file

pytestmark = pytest.mark.timeout(300)

TONES, ESPEAKS = 2, 2
PROGRESS_S = 1.0
CROWD = rounds(16, 40)


@pytest.fixture(scope="module")
def appliance(
    appliance_factory: Callable[..., Appliance], tmp_path_factory: pytest.TempPathFactory
) -> Appliance:
    voices_file = write_voices_file(tmp_path_factory.mktemp("voices"), {"tone-*": "en-gb"})
    made = appliance_factory(
        **HOOKED,
        WORKERS_TONE=TONES,
        WORKERS_ESPEAK=ESPEAKS,
        WORKERS_PROGRESS_S=PROGRESS_S,
        TONE_DELAY_S=0.3,
        DISPATCH_FIRST_AUDIO_LIMIT_S=1,
        DISPATCH_OUTAGE_LIMIT_S=1,
        DISPATCH_CORES=8,
        VOICES_FILE=voices_file,
    )
    made.wait_until_ready()
    return made


@pytest.fixture(autouse=True)
def recovered(appliance: Appliance) -> Iterator[None]:
    """Begin and end with all workers, and with the voice speaking for itself."""
    with whole_before_and_after(appliance, TONES + ESPEAKS):
        wait_for_looks(appliance, 10)  # and the probes that follow every change of the pool are over
        yield
    assert FALLBACK_HEADER not in speak(appliance, "It speaks for itself.").headers


def fallen_back(appliance: Appliance, reason: str) -> float:
    return counted(appliance, f'tts_voice_fallbacks_total{{engine="tone",reason="{reason}"}}')


def is_whole_in_the_fallback(answer: Answer) -> bool:
    return (answer.status, answer.is_whole, answer.headers.get(FALLBACK_HEADER)) == (200, True, "en-gb")


def assert_told(appliance: Appliance, answer: Answer, reason: str, seen: int) -> None:
    """The one line of the request says who spoke, and why."""
    request_id = answer.headers["X-Request-ID"]
    line = appliance.wait_for("request_finished", after=seen, request_id=request_id)
    assert (line["outcome"], line["voice"], line["fallback"], line["fallback_reason"]) == (
        "completed",
        "tone-low",
        "en-gb",
        reason,
    )


def test_voice_when_two_workers_are_killed_over_a_request_then_the_fallback_answers_it(
    appliance: Appliance,
) -> None:
    seen, before = len(appliance.lines), fallen_back(appliance, "worker_lost")
    answer = speak(appliance, "Whoever speaks this is killed. __SEGV__")
    assert is_whole_in_the_fallback(answer)
    assert_told(appliance, answer, "worker_lost", seen)
    assert fallen_back(appliance, "worker_lost") == before + 1


def test_voice_when_its_engine_hangs_twice_then_the_fallback_answers_within_the_deadlines(
    appliance: Appliance,
) -> None:
    seen, before = len(appliance.lines), fallen_back(appliance, "synthesis_timeout")
    answer = speak(appliance, "Whoever speaks this hangs. __HANG__")
    assert is_whole_in_the_fallback(answer)
    assert answer.took_s >= 2 * PROGRESS_S
    assert_told(appliance, answer, "synthesis_timeout", seen)
    assert fallen_back(appliance, "synthesis_timeout") == before + 1


def test_voice_when_its_workers_stay_away_then_the_fallback_answers_and_soon_without_a_wait(
    appliance: Appliance,
) -> None:
    seen, before = len(appliance.lines), fallen_back(appliance, "no_workers")
    programs = [f"worker-tone-{number + 1}" for number in range(TONES)]
    assert appliance.supervisorctl("stop", *programs).returncode == 0
    eventually(lambda: len(connected_workers(appliance)) == ESPEAKS)
    waiting, at_once = (speak(appliance, f"Nobody is there, {number}.") for number in range(2))
    for answer in (waiting, at_once):
        assert is_whole_in_the_fallback(answer)
        assert_told(appliance, answer, "no_workers", seen)
    assert fallen_back(appliance, "no_workers") == before + 2
    assert appliance.supervisorctl("start", *programs).returncode == 0


def test_voice_when_a_crowd_wants_it_then_everybody_is_answered_by_it_or_the_fallback(
    appliance: Appliance,
) -> None:
    before = fallen_back(appliance, "overloaded")
    with contextlib.closing(Clients(appliance, CROWD)) as clients:
        asked = [
            clients.ask(f"Number {number} of a crowd.", address=f"127.0.2.{number + 1}")
            for number in range(CROWD)
        ]
        answers = [each.result() for each in asked]
    assert {(answer.status, answer.is_whole) for answer in answers} == {(200, True)}
    spared = [answer for answer in answers if FALLBACK_HEADER in answer.headers]
    assert 0 < len(spared) < CROWD
    assert fallen_back(appliance, "overloaded") == before + len(spared)
