"""What the measurements of neural voices ask for, and where it runs."""

import os

import pytest

from loadtests.appliance import on_cores
from loadtests.neural import voices
from processes.ttsctl.voice_bench.texts import SENTENCE_40, SENTENCE_150, SENTENCE_400


def test_texts_when_measured_then_as_long_as_they_are_called_and_one_sentence() -> None:
    assert [len(text) for text in (SENTENCE_40, SENTENCE_150, SENTENCE_400)] == [40, 150, 400]
    assert [text.count(".") for text in (SENTENCE_40, SENTENCE_150, SENTENCE_400)] == [1, 1, 1]


def test_checkpoint_when_somebody_names_one_then_it_is_measured_in_a_folder_of_its_own(
    tmp_path, monkeypatch
) -> None:
    made = voices.data_dir(voices.FULL)
    for name in ("model.pth", "config.json"):
        (tmp_path / name).write_text("{}", "utf-8")
    monkeypatch.setenv("NEURAL_CHECKPOINT", str(tmp_path))
    assert voices.checkpoint(voices.FULL) == tmp_path
    first = voices.data_dir(voices.FULL)
    assert first == voices.data_dir(voices.FULL)
    assert (first.parent, first != made) == (made.parent, True)
    assert voices.data_dir(voices.HUNDRED) == made.parent / voices.HUNDRED
    (tmp_path / "model.pth").write_text("another", "utf-8")
    assert voices.data_dir(voices.FULL) not in {first, made}


def test_checkpoint_when_the_folder_has_none_then_said_and_nothing_is_made(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NEURAL_CHECKPOINT", str(tmp_path))
    with pytest.raises(voices.VoiceNotMadeError, match=r"has no model\.pth with a config\.json"):
        voices.checkpoint(voices.FULL)


def test_cores_when_the_block_ends_then_those_of_before() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_cores({core}):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before
