"""The parts with which voices are measured."""

import math
import os
import re
from dataclasses import dataclass

import pytest

from processes.ttsctl.voice_bench import course, crowds, figures, usage
from processes.ttsctl.voice_bench.crowds import CHARS, Heard, at_once, listen
from processes.ttsctl.voice_bench.figures import Figure
from tests.docs.checkout import ROOT


def heard(first_audio_s: float | None = 0.1, *, gap_s: float = 0.0, is_whole: bool = True) -> Heard:
    return Heard(is_whole, first_audio_s, 0, gap_s)


def test_figure_when_it_was_not_measured_then_a_dash_and_the_reason_and_no_miss() -> None:
    figure = figures.unmeasured(figures.CPU_RATIO, "no Coqui here", figures.MOST_CPU)
    assert not figure.is_missed
    assert figure.row() == ("appliance ÷ tts-server", "–", "", "≤ 0.285714", "no Coqui here")


def test_figure_when_its_value_is_no_number_then_missed() -> None:
    assert Figure("p90", math.nan, "ms", most=1).is_missed


def test_listeners_when_some_hear_late_or_with_gaps_or_nothing_then_counted() -> None:
    late, gaps, failed = figures.listeners(
        [heard(0.2), heard(0.6, gap_s=1), heard(None, is_whole=False), heard()]
    )
    assert (late.value, late.is_missed) == (600, True)
    assert (gaps.value, gaps.is_missed) == (25, True)
    assert (failed.value, failed.is_missed) == (1, True)


def test_growth_when_the_memory_grows_then_the_last_quarter_less_the_first() -> None:
    grown = figures.growth("Many utterances", [100 * figures.MIB + step * figures.MIB for step in range(8)])
    assert (grown.value, grown.is_missed) == (6, True)
    assert not figures.growth("Many utterances", [100] * 8).is_missed


def test_listen_when_the_time_is_short_then_everybody_has_heard_one_text_of_his_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crowds, "PAUSE_S", 0.001)
    said: dict[int, list[str]] = {}

    def speak(place: int, text: str) -> Heard:
        said.setdefault(place, []).append(text)
        return heard()

    assert len(listen(speak, 2, 0.0)) == 2
    [[first], [second]] = said.values()
    assert first != second
    assert CHARS - 10 < len(first) <= CHARS


def test_at_once_when_asked_then_each_client_once() -> None:
    assert at_once(lambda place, _: heard(float(place)), "Now.", 3) == [heard(0.0), heard(1.0), heard(2.0)]


def test_usage_when_it_is_this_process_then_its_own_memory_is_part_of_all_and_its_time_passes() -> None:
    before_s = usage.cpu_s(os.getpid())
    memory = usage.memory(os.getpid())
    assert 1_000_000 < memory.own_bytes <= memory.shared_out_bytes <= memory.resident_bytes
    assert usage.cpu_s(os.getpid()) > before_s


def test_windows_when_the_import_has_measured_them_then_the_name_says_so() -> None:
    figure = figures.windows("fp32", 2e-6, figures.WINDOWS_AT_IMPORT)
    assert figure.name == "windowed against whole, decoder alone, at the import, fp32"
    assert figure.is_missed


def several(workers: int) -> list[Figure]:
    """Measure an appliance of so many workers as the section `neural` does."""
    listen_s = 0.0 if workers == figures.LISTENERS else None
    return list(course.together(Still(workers), listen_s, 1, lambda _: None))


@dataclass(frozen=True)
class Still:
    """An appliance with figures that are known before: each first sound after a second, 800 MB for all."""

    workers: int

    def speak(self, place: int, text: str) -> Heard:
        return heard(1.0)

    def cpu_s(self) -> float:
        return 0.0

    def shared_out_bytes(self) -> int:
        return 800 * figures.MB

    def workers_own_bytes(self) -> list[int]:
        return [70 * figures.MB] * self.workers


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "PAUSE_S", 0.001)


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize(("workers", "bounds"), [(4, ["≤ 700"] * 3), (8, ["", ""])])
def test_memory_when_measured_then_each_row_names_the_workers_and_only_the_promised_ones_are_judged(
    workers: int, bounds: list[str]
) -> None:
    used = [figure for figure in several(workers) if "of all processes" in figure.name]
    assert {figure.name.split(",")[0] for figure in used} == {f"{workers} workers"}
    assert [(figure.value, figure.bound, figure.is_missed) for figure in used] == [
        (800, bound, bound != "") for bound in bounds
    ]


@pytest.mark.usefixtures("_hasty")
def test_crowd_when_a_worker_for_each_is_there_then_judged_by_its_time() -> None:
    bounds = {
        figure.name: figure.bound for workers in (4, 8) for figure in several(workers) if "p90" in figure.name
    }
    crowd = "8 requests of 40 characters at once, {} workers, p90 first audio"
    assert (bounds[crowd.format(4)], bounds[crowd.format(8)]) == ("", "≤ 1100")


@pytest.mark.usefixtures("_hasty")
def test_names_when_compared_with_the_page_of_figures_then_these_rows_and_no_others() -> None:
    rows = (ROOT / "docs" / "benchmarks.md").read_text("utf-8").split("<!-- neural ")[1].splitlines()
    page = [row.split("|")[1].strip() for row in rows if row.startswith("| ")][1:]
    measured = [
        figures.request_cpu([1.0], "tts-server"),
        figures.request_cpu([1.0]),
        figures.cpu_ratio([1.0], [1.0]),
        figures.coqui_first_audio([1.0]),
        *(figures.first_audio(chars, [1.0]) for chars in figures.MOST_FIRST_MS),
        figures.coqui_memory(1.0),
        *(figure for workers in (figures.LISTENERS, figures.CROWD) for figure in several(workers)),
        figures.worker_start([1.0]),
        figures.windows("int8", 0.0),
        figures.windows("fp32", 0.0),
        figures.growth("5,000 utterances over 100 speakers (tiny voice)", [1] * 4),
    ]
    names = [re.sub(r"first audio of \d+$", "first audio of N", name) for name in page]
    assert [re.sub(r"first audio of \d+$", "first audio of N", each.name) for each in measured] == names
