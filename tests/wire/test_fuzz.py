"""A short form of `python -m loadtests.fuzz_frames`, a long one in `make faults`; it would see a crash."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.ipc.frames import Frame, FrameDecoder
from loadtests import fuzz_frames
from loadtests.figures import Figure
from loadtests.fuzz_frames import GROWTH_LIMIT_BYTES, MAX_CRASHES, fuzz
from tests.parts.measured import say
from tests.parts.rounds import rounds

EXECUTIONS = rounds(30_000, 10_000_000)
KINDS_OF_ERRORS = {
    "bad_magic",
    "unsupported_version",
    "unknown_kind",
    "frame_too_large",
    "truncated_frame",
    "bad_message",
}


@pytest.mark.timeout(rounds(20, 3600))
def test_decoder_when_fuzzed_then_nothing_crashes_and_no_memory_is_kept() -> None:
    result = fuzz(EXECUTIONS, seed=1)
    say(
        "I1",
        Figure("broken streams fed to the decoder", result.executions, "", least=EXECUTIONS),
        Figure("crashes of the decoder", len(result.crashes), "", most=0),
    )
    assert result.crashes == []
    assert result.executions == EXECUTIONS
    assert result.growth_bytes < GROWTH_LIMIT_BYTES
    assert set(result.errors) == KINDS_OF_ERRORS
    assert result.frames > EXECUTIONS / 10


def test_fuzzing_when_the_seed_is_the_same_then_so_is_all_that_comes_of_it() -> None:
    assert fuzz(500, seed=7).errors == fuzz(500, seed=7).errors


class ForgetfulDecoder(FrameDecoder):
    """Gives every utterance the id 0."""

    def take(self, count: int) -> Iterator[Frame]:
        for frame in super().take(count):
            yield Frame(frame.kind, 0, frame.meta, frame.payload)


def test_fuzzing_when_the_decoder_has_a_fault_then_it_is_found_and_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fuzz_frames, "FrameDecoder", ForgetfulDecoder)
    result = fuzz(5_000, seed=1)
    assert len(result.crashes) == MAX_CRASHES
    assert not result.is_clean
    assert result.crashes[0].startswith("seed 1, execution ")
    assert "a frame came out as it hadn't gone in" in result.crashes[0]
