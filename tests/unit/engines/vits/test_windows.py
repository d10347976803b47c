"""The plan of windows: every frame once, in order, with all that the graphs look at."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from appliance.engines.vits.windows import FLOW_AHEAD, GROWTH, STRETCH, Span, Window, WindowPlan

frames = st.integers(0, 7000)
plans = st.builds(
    WindowPlan, st.integers(1, 200), st.integers(1, 300), st.integers(0, 100), st.integers(0, 100)
)


def planned(plan: WindowPlan, total: int) -> list[Window]:
    return list(plan.windows(total))


def assert_in_one_piece(spans: list[Span], total: int) -> None:
    assert [span.start for span in spans] == [0, *(span.end for span in spans[:-1])][: len(spans)]
    assert (spans[-1].end if spans else 0) == total


@given(plans, frames)
def test_windows_when_planned_then_every_frame_is_made_and_heard_exactly_once(plan, total) -> None:
    windows = planned(plan, total)
    assert_in_one_piece([window.audio for window in windows], total)
    assert_in_one_piece([window.flow for window in windows], total)
    assert all(window.audio.frames > 0 for window in windows)


@given(plans, frames)
def test_windows_when_planned_then_the_overlap_is_there_or_the_edge(plan, total) -> None:
    for window in planned(plan, total):
        for inner, outer, overlap in (
            (window.audio, window.decoder_input, plan.decoder_overlap_frames),
            (window.flow, window.flow_input, plan.flow_overlap_frames),
        ):
            assert outer.start == max(0, inner.start - overlap)
            assert outer.end == min(total, inner.end + overlap)


@given(plans, frames)
def test_windows_when_the_decoder_runs_then_the_flow_has_made_what_it_gets(plan, total) -> None:
    for window in planned(plan, total):
        assert window.decoder_input.end <= window.flow.end


@given(plans, frames)
def test_windows_when_the_flow_runs_then_as_far_ahead_as_it_may_and_not_for_a_first_sound(
    plan, total
) -> None:
    windows = planned(plan, total)
    assert all(window.flow.end == window.decoder_input.end for window in windows[:1])
    for window in windows[1:]:
        if window.flow.frames:
            ahead = FLOW_AHEAD * window.audio.frames
            assert window.flow.end == min(window.decoder_input.end + ahead, total)


@given(plans, frames)
def test_windows_when_they_grow_then_within_their_bounds(plan, total) -> None:
    sizes = [window.audio.frames for window in planned(plan, total)]
    assert all(size <= plan.max_frames * (1 + STRETCH) for size in sizes)
    assert all(size <= plan.first_frames * (1 + STRETCH) for size in sizes[:1])
    for before, after in itertools.pairwise(sizes[:-1]):
        assert before <= after <= (before + 1) * GROWTH


def test_windows_when_as_measured_then_24_frames_first_and_96_later() -> None:
    sizes = [window.audio.frames for window in planned(WindowPlan(24, 96, 32, 14), 1000)]
    assert sizes == [24, 38, 61, 96, 96, 96, 96, 96, 96, 96, 96, 109]


def test_windows_when_a_little_is_left_then_the_last_window_takes_it_in() -> None:
    assert [window.audio for window in planned(WindowPlan(24, 96, 32, 14), 30)] == [(0, 30)]
    assert [window.audio for window in planned(WindowPlan(24, 96, 32, 14), 31)] == [(0, 24), (24, 31)]
