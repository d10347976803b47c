"""What is learned from what was spoken."""

from __future__ import annotations

import pytest

from processes.gateway.cost import INITIAL_S_PER_CHAR, MAX_VOICES, CostModel
from tests.parts.tickets import make_utterance


def test_expected_when_nothing_is_known_then_it_is_espeaks_rate() -> None:
    assert CostModel().expected_s(make_utterance("x" * 100)) == pytest.approx(100 * INITIAL_S_PER_CHAR)


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


def test_learn_when_there_are_very_many_voices_then_the_oldest_is_forgotten() -> None:
    costs = CostModel()
    costs.learn(make_utterance("x" * 100, "first"), 5.0)
    for number in range(MAX_VOICES):
        costs.learn(make_utterance("x" * 100, f"voice-{number}"), 1.0)
    assert costs.expected_s(make_utterance("x" * 100, "first")) < 2.0
