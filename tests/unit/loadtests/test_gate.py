"""The gate of the load test: every way to miss, and none of them by rounding."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtests.chart import line_chart
from loadtests.exchange import Ending, Outcome
from loadtests.gate import (
    EXIT_HELD,
    EXIT_MISSED,
    EXIT_TOO_FEW,
    LEAST_CONTROL_SAMPLES,
    Verdict,
    exit_code,
    judge,
    troubles,
    verdict_table,
)
from loadtests.limits import LIMITS_FILE, Entry, LimitsError, load_profile
from loadtests.load_report import write_report
from loadtests.samples import Samples
from loadtests.shapes import interactive_count
from processes.ttsctl.voice_bench.playback import Playback

LIMITS = """
[quick]
engine = "tone"
warm_up_s = 10
most_control_p90_s = 0.05

[quick.sentence]
users = 1
pacing_s = 1.0
least_samples = 100
first_audio_p90_s = 0.5
answer_p90_s = 1.0
least_success = 0.95
most_underruns = 0.02
"""
REFUSED = Outcome(Ending.REFUSED, "503 overloaded", None, 0.01)


@pytest.fixture
def profile(tmp_path: Path):
    return load_profile("quick", written(tmp_path, LIMITS))


def written(folder: Path, text: str) -> Path:
    path = folder / "limits.toml"
    path.write_text(text)
    return path


def heard(first_audio_s: float = 0.1, total_s: float = 0.2, gap_s: float = 0.0) -> Outcome:
    return Outcome(Ending.COMPLETED, "", first_audio_s, total_s, 1000, gap_s)


def measured(*outcomes: Outcome, control_s: float = 0.001, at_s: float = 11.0) -> Samples:
    """Samples of these outcomes, all due so many seconds into the run."""
    samples = Samples(begun_at_s=1000.0, warm_up_s=10.0)
    for outcome in outcomes:
        samples.begin("sentence", 1000.0 + at_s)
        samples.end("sentence", 1000.0 + at_s, outcome)
    for _ in range(LEAST_CONTROL_SAMPLES):
        samples.add_control(1000.0 + at_s, control_s)
    return samples


def verdicts(profile, samples: Samples) -> dict[str, Verdict]:
    return {f"{check.entry}: {check.what}": check.verdict for check in judge(profile, samples)}


def missed(profile, samples: Samples) -> list[str]:
    return [name for name, verdict in verdicts(profile, samples).items() if verdict is Verdict.MISSED]


def test_gate_when_all_is_well_then_held(profile) -> None:
    checks = judge(profile, measured(*[heard()] * 100))
    assert exit_code(checks) == EXIT_HELD
    assert len(checks) == 6
    assert "| p90 first audio                  | 100.0 ms | ≤ 500.0 ms  |" in verdict_table(checks)


def test_gate_when_p90_is_just_above_then_missed_though_locust_would_round_it_away(profile) -> None:
    just_below, just_above = [heard(0.5)] * 100, [heard(0.5)] * 89 + [heard(0.5004)] * 11
    assert missed(profile, measured(*just_below)) == []
    assert missed(profile, measured(*just_above)) == ["sentence: p90 first audio"]


def test_gate_when_answers_take_too_long_then_that_limit_alone_is_missed(profile) -> None:
    samples = measured(*[heard(0.1, 0.9)] * 80, *[heard(0.1, 1.5)] * 20)
    assert missed(profile, samples) == ["sentence: p90 answer"]
    assert exit_code(judge(profile, samples)) == EXIT_MISSED


def test_gate_when_an_honest_refusal_comes_then_it_is_no_success_unless_provoked(profile) -> None:
    samples = measured(*[heard()] * 94, *[REFUSED] * 6)
    assert missed(profile, samples) == ["sentence: success"]
    provoking = profile.model_copy(
        update={"sentence": profile.sentence.model_copy(update={"least_answered": 0.9, "least_samples": 50})}
    )
    assert exit_code(judge(provoking, samples)) == EXIT_HELD
    assert troubles(samples) == ["sentence: 6 × 503 overloaded"]


def test_gate_when_provoked_refusals_are_nearly_all_then_too_few_were_answered(profile) -> None:
    limits = profile.sentence.model_copy(update={"least_answered": 0.5, "first_audio_p90_s": None})
    provoking = profile.model_copy(update={"sentence": limits})
    assert missed(provoking, measured(*[heard()] * 50, *[REFUSED] * 50)) == []
    for answered in (49, 0):
        samples = measured(*[heard()] * answered, *[REFUSED] * (100 - answered))
        assert missed(provoking, samples) == ["sentence: answered"]
        assert exit_code(judge(provoking, samples)) == EXIT_MISSED


def test_gate_when_clients_raise_then_each_counts_as_a_failed_request(profile) -> None:
    samples = measured(*[heard()] * 100)
    samples.of("sentence").exceptions = 6
    assert missed(profile, samples) == ["sentence: success"]
    assert troubles(samples) == ["sentence: 6 × exception in the client"]


def test_gate_when_locust_counted_an_exception_of_no_entry_then_missed(profile) -> None:
    samples = measured(*[heard()] * 100)
    samples.stray_exceptions = 1
    assert missed(profile, samples) == ["all: exceptions of no entry"]


def test_gate_when_requests_never_end_then_each_counts_as_failed(profile) -> None:
    samples = measured(*[heard()] * 100)
    for _ in range(6):
        samples.begin("sentence", 1011.0)
    assert missed(profile, samples) == ["sentence: success"]
    assert troubles(samples) == ["sentence: 6 × never ended"]


def test_gate_when_samples_are_too_few_then_it_fails_and_says_so(profile) -> None:
    for samples in (measured(*[heard()] * 99), measured(*[heard()] * 200, at_s=9.9), measured()):
        checks = judge(profile, samples)
        assert exit_code(checks) == EXIT_TOO_FEW
        assert "TOO FEW SAMPLES" in verdict_table(checks)


def test_gate_when_the_sound_stands_still_then_missed(profile) -> None:
    samples = measured(*[heard()] * 97, *[heard(gap_s=0.2)] * 3)
    assert missed(profile, samples) == ["sentence: sound stood still"]


def test_gate_when_the_generator_itself_is_slow_then_missed(profile) -> None:
    samples = measured(*[heard()] * 100, control_s=0.06)
    assert missed(profile, samples) == ["control: p90 of the generator's own delay"]


@pytest.mark.parametrize(
    ("arrivals", "gap_s"),
    [
        ([(4_800, 0.0), (4_800, 0.05), (4_800, 0.19)], 0.0),
        ([(4_800, 0.0), (4_800, 0.15)], 0.0),
        ([(4_800, 0.0), (4_800, 0.4), (4_800, 0.55)], 0.3),
        ([(48_000, 5.0), (48_000, 5.9)], 0.0),
    ],
    ids=["in time", "a moment late", "late once", "slow to begin"],
)
def test_playback_when_bytes_come_late_then_the_longest_gap(
    arrivals: list[tuple[int, float]], gap_s: float
) -> None:
    playback = Playback()
    for count, now_s in arrivals:
        playback.take(count, now_s)
    assert playback.longest_gap_s == pytest.approx(gap_s)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (LIMITS, "other", "limits.toml: no profile 'other'; there are quick"),
        (
            LIMITS.replace("users =", "user ="),
            "quick",
            "quick: sentence.users: Field required; sentence.user: no",
        ),
        (LIMITS + "first_audio_p99_s = 1.0\n", "quick", "quick: sentence.first_audio_p99_s: no such key"),
        (LIMITS.replace("quick.sentence", "quick.whisper"), "quick", "quick: whisper: no such key"),
        (LIMITS.replace("0.95", "95"), "quick", "quick: sentence.least_success: Input should be less than"),
        (LIMITS.split("[quick.sentence]", maxsplit=1)[0], "quick", "quick: no entry; there may be sentence"),
        ("[quick", "quick", "limits.toml: can't be used: "),
        ("quick = 5", "quick", "limits.toml: no profile 'quick'"),
    ],
)
def test_limits_when_they_are_wrong_then_refused_with_place_and_reason(
    tmp_path: Path, text: str, name: str, said: str
) -> None:
    with pytest.raises(LimitsError) as caught:
        load_profile(name, written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["container", "espeak", "neural", "neural-shared", "refusals", "tone"])
def test_limits_when_they_ship_then_usable(name: str) -> None:
    assert load_profile(name, LIMITS_FILE).entries()


def test_limits_when_they_ship_then_promise_what_the_appliance_promises() -> None:
    espeak, neural = (load_profile(name).entries() for name in ("espeak", "neural"))
    short = espeak[Entry.SENTENCE]
    assert (short.first_audio_p90_s, short.answer_p90_s, short.least_samples) == (0.5, 0.5, 200)
    assert neural[Entry.SENTENCE].first_audio_p90_s == neural[Entry.TEXT].first_audio_p90_s == 0.5
    assert neural[Entry.TEXT].most_underruns == espeak[Entry.TEXT].most_underruns == 0.02
    assert Entry.BURST in espeak  # a burst of 32 is more than one core can speak with a neural voice
    container = load_profile("container").entries()
    assert container[Entry.SENTENCE].answer_p90_s == short.answer_p90_s
    assert container[Entry.SENTENCE].users * 2 == short.users
    shared = load_profile("neural-shared").entries()
    assert shared[Entry.TEXT].first_audio_p90_s == neural[Entry.TEXT].first_audio_p90_s
    for entries in (container, espeak, neural, shared):
        assert {Entry.SENTENCE, Entry.TEXT, Entry.LEAVER} <= set(entries)
        assert {limits.least_success for limits in entries.values()} == {0.95}
        refusing = {entry for entry, limits in entries.items() if limits.least_answered is not None}
        assert refusing <= {Entry.GREEDY}


@pytest.mark.parametrize("name", ["container", "espeak", "neural", "neural-shared"])
def test_limits_when_they_ship_then_a_short_run_gives_all_the_samples_it_needs(name: str) -> None:
    profile = load_profile(name, LIMITS_FILE)
    at_once = {Entry.BURST: 32, Entry.GREEDY: 80}
    for entry, limits in profile.entries().items():
        begun = int(
            (profile.short_s - profile.warm_up_s) / limits.pacing_s
        )  # at least, whenever the first is
        assert limits.users * begun * at_once.get(entry, 1) >= limits.least_samples, entry
        assert entry is Entry.SLOW or limits.least_samples >= 10, entry
    assert profile.short_s < profile.duration_s


def test_shapes_when_a_run_goes_on_then_clients_come_and_go() -> None:
    def counts(shape: str) -> list[int | None]:
        return [interactive_count(shape, second, 6, 4) for second in range(7)]

    assert counts("steady") == [4, 4, 4, 4, 4, 4, None]
    assert counts("ramp") == [2, 3, 4, 6, 7, 8, None]
    assert counts("spike") == [4, 4, 12, 12, 4, 4, None]


def test_report_when_nothing_was_measured_then_still_a_page(profile, tmp_path: Path) -> None:
    samples, path = Samples(0.0, 10.0), tmp_path / "page.html"
    write_report(path, "<quick>", profile, samples, judge(profile, samples))
    page = path.read_text("utf-8")
    assert "&lt;quick&gt;" in page
    assert "not every limit held" in page


def test_report_when_a_run_is_over_then_it_ends_with_the_last_request_and_entries_keep_their_places(
    profile, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    samples = measured(at_s=60.0)
    for entry in ("slow", "leaver", "sentence"):
        samples.begin(entry, 1042.0)
        samples.end(entry, 1042.0, heard())
    write_report(path, "quick", profile, samples, judge(profile, samples))
    page = path.read_text("utf-8")
    assert ", 60 s, of which 10 s" in page
    rows = [page.index(f"<td>{entry}<td class=number>1") for entry in ("sentence", "leaver", "slow")]
    assert rows == sorted(rows)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([581.3], ["0", "200", "400", "600"]),
        ([0.0], ["0", "0.25", "0.5", "0.75", "1"]),
        ([-3.0, 7.0], ["-5", "-2.5", "0", "2.5", "5", "7.5"]),
    ],
)
def test_chart_when_drawn_then_its_ticks_are_round(values: list[float], ticks: list[str]) -> None:
    picture = line_chart("title", {"name": values})
    assert re.findall(r'text-anchor="end">([^<]+)</text>', picture) == ticks
