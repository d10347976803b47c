"""What answers hold for their clients, and who has to go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from appliance.metrics import GatewayMetrics
from processes.gateway.audio_memory import Audio, AudioMemory
from processes.gateway.unsent import REASON, YOUNG_S, Held, Unsent

LIMIT_BYTES = 100


class Answers:
    """Answers under way."""

    def __init__(self) -> None:
        self.memory = AudioMemory(LIMIT_BYTES)
        self.metrics = GatewayMetrics()
        self.unsent = Unsent(LIMIT_BYTES, self.memory, self.metrics)
        self.cut: list[str] = []
        self.ends = ExitStack()

    def begin(self, who: str, held: Held, taken_bytes: int = 0, age_s: float = 10.0) -> None:
        """Have one under way, and make it older than it is."""
        holding = self.unsent.holding(lambda: held, lambda: self.cut.append(who), "127.0.0.1")
        holder = self.ends.enter_context(holding)
        holder.begun_at_s -= age_s
        holder.taken_bytes = taken_bytes

    @property
    def closed(self) -> float | None:
        name = "tts_http_connections_closed_total"
        return self.metrics.registry.get_sample_value(name, {"reason": REASON})


@pytest.fixture
def answers() -> Iterator[Answers]:
    made = Answers()
    with made.ends:
        yield made
    assert made.unsent.bytes == 0


def audio(size_bytes: int) -> Audio:
    return Audio(bytes(size_bytes), "audio/mpeg", "")


def of(audio: Audio) -> Held:
    return Held(id(audio.data), len(audio.data))


def test_holding_when_more_is_held_than_may_be_then_the_slowest_are_cut_one_after_the_other(
    answers: Answers,
) -> None:
    answers.begin("slower", Held(1, 40), taken_bytes=1)
    answers.begin("quick", Held(2, 40), taken_bytes=1_000_000)
    answers.begin("slowest", Held(3, 20))
    assert (answers.unsent.bytes, answers.cut, answers.closed) == (100, [], 0)
    answers.begin("new", Held(4, 30))
    assert (answers.unsent.bytes, answers.cut, answers.closed) == (70, ["slowest", "slower"], 2)


def test_holding_when_all_have_just_begun_then_the_oldest_is_cut_however_much_it_has_taken(
    answers: Answers,
) -> None:
    answers.begin("older", Held(1, 40), taken_bytes=1_000_000, age_s=YOUNG_S / 2)
    answers.begin("young", Held(2, 40), age_s=0.0)
    answers.begin("new", Held(3, 40), age_s=0.0)
    assert (answers.unsent.bytes, answers.cut) == (80, ["older"])


def test_holding_when_many_send_the_same_then_it_counts_once(answers: Answers) -> None:
    for number in range(10):
        answers.begin(f"{number}", Held(1, 90))
    assert (answers.unsent.bytes, answers.cut) == (90, [])


def test_holding_when_it_is_kept_then_it_counts_from_the_moment_in_which_it_is_not(answers: Answers) -> None:
    kept = audio(80)
    answers.memory.put("kept", kept)
    answers.begin("kept", of(kept))
    answers.begin("other", Held(1, 80), taken_bytes=1)
    assert (answers.unsent.bytes, answers.cut) == (80, [])
    answers.memory.put("new", audio(30))
    answers.unsent.look()
    assert (answers.unsent.bytes, answers.cut) == (80, ["kept"])


def test_holding_when_one_alone_holds_more_than_may_be_then_it_is_left_alone(answers: Answers) -> None:
    answers.begin("alone", Held(1, 1_000))
    answers.unsent.look()
    assert (answers.unsent.bytes, answers.cut) == (1_000, [])


def test_look_when_one_has_heard_all_that_was_made_then_it_is_not_the_one_who_is_cut(
    answers: Answers,
) -> None:
    answers.begin("listens", Held(1, 0))
    answers.begin("lags", Held(1, 60), taken_bytes=1_000)
    answers.begin("quick", Held(2, 60), taken_bytes=1_000_000)
    assert (answers.unsent.bytes, answers.cut) == (60, ["lags"])


def test_look_when_one_alone_lacks_more_than_may_be_of_what_another_hears_then_it_is_cut(
    answers: Answers,
) -> None:
    answers.begin("quick", Held(1, 0), taken_bytes=1_000_000)
    answers.begin("lags", Held(1, LIMIT_BYTES + 1))
    assert (answers.unsent.bytes, answers.cut) == (0, ["lags"])
