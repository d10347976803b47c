"""What the measurements of neural voices ask for, and where it runs."""

import os

from loadtests.appliance import on_cores
from processes.ttsctl.voice_bench.texts import SENTENCE_40, SENTENCE_150, SENTENCE_400


def test_texts_when_measured_then_as_long_as_they_are_called_and_one_sentence() -> None:
    assert [len(text) for text in (SENTENCE_40, SENTENCE_150, SENTENCE_400)] == [40, 150, 400]
    assert [text.count(".") for text in (SENTENCE_40, SENTENCE_150, SENTENCE_400)] == [1, 1, 1]


def test_cores_when_the_block_ends_then_those_of_before() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_cores({core}):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before
