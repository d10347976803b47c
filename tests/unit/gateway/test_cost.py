"""What is learned from what was spoken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.gateway.cost import INITIAL_S_PER_CHAR, MAX_VOICES, CostModel
from tests.parts.tickets import make_utterance


def test_expected_when_nothing_is_known_then_it_is_espeaks_rate() -> None:
    assert CostModel().expected_s(make_utterance("x" * 100)) == pytest.approx(100 * INITIAL_S_PER_CHAR)


@pytest.mark.parametrize(("engine", "s_per_char"), [("vits", 0.011), ("coqui", 0.05)])
def test_expected_when_nothing_is_known_of_a_neural_engine_then_it_is_its_own_rate(
    engine: str, s_per_char: float
) -> None:
    costs = CostModel()
    assert costs.expected_s(make_utterance("x" * 100, engine=engine)) == pytest.approx(100 * s_per_char)
    costs.learn(make_utterance("x" * 16, engine=engine), 0.1 + 16 * s_per_char)  # a probe
    assert costs.expected_s(make_utterance("x" * 280, engine=engine)) == pytest.approx(0.1 + 280 * s_per_char)


def test_expected_when_a_voice_was_learned_then_it_follows_that_voice() -> None:
    costs = CostModel()
    for _ in range(50):
        costs.learn(make_utterance("x" * 100, "slow"), 2.0)
        costs.learn(make_utterance("x" * 100, "fast"), 0.1)
    assert costs.expected_s(make_utterance("x" * 200, "slow")) == pytest.approx(4.0)
    assert costs.expected_s(make_utterance("x" * 200, "fast")) == pytest.approx(0.2)


def test_expected_when_only_the_engine_is_known_then_its_average_stands_in() -> None:
    costs = CostModel()
    costs.learn(make_utterance("x" * 100, "known"), 1.0)
    assert costs.expected_s(make_utterance("x" * 100, "new")) == pytest.approx(1.0)


def test_expected_when_spoken_slowly_then_it_costs_more() -> None:
    costs = CostModel()
    costs.learn(make_utterance("x" * 100, speed=2.0), 0.5)
    assert costs.expected_s(make_utterance("x" * 100, speed=0.5)) == pytest.approx(2.0)


PROBE = "One, two, three."


def test_expected_when_only_probes_were_heard_then_a_long_text_is_not_many_times_as_dear() -> None:
    costs = CostModel()
    for _ in range(10):
        costs.learn(make_utterance(PROBE), 1.0)
    assert costs.expected_s(make_utterance("x" * 280)) == pytest.approx(1.0, rel=0.05)


def test_expected_when_every_utterance_takes_the_same_then_a_greeting_costs_as_much_as_a_long_text() -> None:
    costs = CostModel()
    costs.learn(make_utterance(PROBE), 1.0)
    for _ in range(20):
        costs.learn(make_utterance("x" * 280), 1.0)
    assert costs.expected_s(make_utterance("hello")) == pytest.approx(1.0)
    assert costs.expected_s(make_utterance("hello", "another")) == pytest.approx(1.0)


def test_expected_when_probes_come_all_the_time_then_what_long_texts_cost_is_not_forgotten() -> None:
    costs = CostModel()
    costs.learn(make_utterance("x" * 200), 0.2 + 200 * 0.01)
    for _ in range(1000):
        costs.learn(make_utterance("x" * 20), 0.2 + 20 * 0.01)
    assert costs.expected_s(make_utterance("x" * 300)) == pytest.approx(0.2 + 300 * 0.01)
    assert costs.per_char_s("tone", "low") == pytest.approx(0.012)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 100)), min_size=1, max_size=30))
def test_expected_when_anything_was_learned_then_it_lies_between_nothing_and_proportional(
    spoken: list[tuple[int, float]],
) -> None:
    costs = CostModel()
    for chars, seconds in spoken:
        costs.learn(make_utterance("x" * chars), seconds)
    dearest_s = max(seconds / max(1, chars) for chars, seconds in spoken)
    lengths = (0, 50, 100, 600)
    expected = [costs.expected_s(make_utterance("x" * chars)) for chars in lengths]
    assert expected == sorted(expected)
    assert expected[0] >= 0
    assert expected[-1] <= (dearest_s + INITIAL_S_PER_CHAR) * 600 * (1 + 1e-9) + 1e-9


def test_learn_when_there_are_very_many_voices_then_the_oldest_is_forgotten() -> None:
    costs = CostModel()
    costs.learn(make_utterance("x" * 100, "first"), 5.0)
    for number in range(MAX_VOICES):
        costs.learn(make_utterance("x" * 100, f"voice-{number}"), 1.0)
    assert costs.expected_s(make_utterance("x" * 100, "first")) < 2.0
