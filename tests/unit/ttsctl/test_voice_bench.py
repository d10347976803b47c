"""The parts with which voices are measured."""

import math
import os

import pytest

from processes.ttsctl.voice_bench import crowds, figures, usage
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


def test_names_when_compared_with_the_page_of_figures_then_every_one_is_there() -> None:
    rows = (ROOT / "docs" / "benchmarks.md").read_text("utf-8").split("<!-- neural ")[1].splitlines()
    page = {row.split("|")[1].strip() for row in rows if row.startswith("|")}
    named = [
        figures.request_cpu([1.0], "tts-server"),
        figures.request_cpu([1.0]),
        figures.cpu_ratio([1.0], [1.0]),
        figures.coqui_first_audio([1.0]),
        figures.coqui_memory(1.0),
        *(figures.first_audio(chars, [1.0]) for chars in figures.MOST_FIRST_MS),
        *list(figures.listeners([heard()]))[1:],
        *figures.memory(figures.LISTENERS, 1.0, 1.0, 1.0),
        *figures.crowd(figures.CROWD, [[heard()]]),
        figures.worker_start([1.0]),
        figures.windows("int8", 0.0),
        figures.windows("fp32", 0.0),
    ]
    assert {figure.name for figure in named} - page == set()
