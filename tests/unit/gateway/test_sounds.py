"""What decides how a text sounds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings, load_settings
from appliance.speech import (
    AudioFormat,
    InputType,
    Pronunciations,
    Randomness,
    SpeechRequest,
    SpokenText,
    Utterance,
)
from appliance.text.early import WHOLE_CHARS
from appliance.voice_store import VoiceStore
from appliance.voices import Voice, VoiceCatalog
from appliance.worker_settings import WorkersSettings
from processes.gateway import sounds as sounds_module
from processes.gateway.imports import Imports
from processes.gateway.pool import WorkerPool
from processes.gateway.sounds import Sounds
from tests.parts.stored_voices import put

REQUEST = SpeechRequest("Hello.", "amy")
UTTERANCE = Utterance(0, 0, 6, SpokenText("Hello."), "vits", "amy/s1")
VOICE = Voice("amy", "Amy", "vits", "amy/s1", ("en",))


def settings_of(run_dir: Path, **more: str) -> Settings:
    return load_settings({"APPLIANCE_RUN_DIR": f"{run_dir}", "APPLIANCE_DATA_DIR": f"{run_dir}", **more})


def sounds_of(settings: Settings, engine_version: str = "1") -> Sounds:
    """As a gateway has them whose workers have told their engine's version."""
    catalog, metrics = VoiceCatalog({}, "amy", {}), GatewayMetrics()
    pool = WorkerPool(WorkersSettings(), catalog, metrics)
    if engine_version:
        pool.engine_versions["vits"] = engine_version
    return Sounds(settings, pool, Imports(settings, catalog, pool, metrics))


def names(sounds: Sounds) -> tuple[str, str]:
    return sounds.answer_name(REQUEST, VOICE), sounds.utterance_name(UTTERANCE)


def test_names_when_another_gateway_asks_then_they_are_the_same(run_dir: Path) -> None:
    put(VoiceStore(run_dir))
    first, again = (names(sounds_of(settings_of(run_dir))) for _ in range(2))
    assert first == again
    assert len(set(first)) == 2


def test_names_when_the_voice_was_imported_anew_then_they_are_others(run_dir: Path) -> None:
    store = VoiceStore(run_dir)
    put(store)
    before = names(sounds_of(settings_of(run_dir)))
    shutil.rmtree(store.folder / "amy")
    put(store, content=b"another graph")
    after = names(sounds_of(settings_of(run_dir)))
    assert not set(before) & set(after)


@pytest.mark.parametrize(("engine_version", "more"), [("2", {}), ("1", {"APPLIANCE_TEXT_PAUSE_S": "3"})])
def test_names_when_engine_or_settings_are_others_then_so_are_they(
    run_dir: Path, engine_version: str, more: dict[str, str]
) -> None:
    put(VoiceStore(run_dir))
    before = names(sounds_of(settings_of(run_dir)))
    after = names(sounds_of(settings_of(run_dir, **more), engine_version))
    assert not set(before) & set(after)


def test_names_when_a_source_of_the_gateways_is_another_then_so_are_they(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(VoiceStore(run_dir))
    before = names(sounds_of(settings_of(run_dir)))
    monkeypatch.setattr(sounds_module, "GATEWAY_SOURCES", ("sounds.py",))
    assert not set(before) & set(names(sounds_of(settings_of(run_dir))))


def test_names_when_no_worker_has_told_its_engines_version_then_there_are_none(run_dir: Path) -> None:
    put(VoiceStore(run_dir))
    assert names(sounds_of(settings_of(run_dir), "")) == ("", "")


def test_names_when_the_voice_is_gone_then_there_are_none(run_dir: Path) -> None:
    assert names(sounds_of(settings_of(run_dir))) == ("", "")


@pytest.mark.parametrize(
    "other",
    [
        {"text": "Hello!"},
        {"speed": 1.5},
        {"pitch": 1.5},
        {"volume": 0.5},
        {"format": AudioFormat.WAV},
        {"input_type": InputType.SSML},
        {"make_speakable": False},
        {"spell_out": False},
        {"pronunciations": Pronunciations("v1", {"other": "udder"})},
        {"wants_word_times": True},
        {"randomness": Randomness(seed=0)},
        {"randomness": Randomness(noise_scale=0.0)},
        {"randomness": Randomness(noise_scale_w=0.0)},
    ],
)
def test_answer_name_when_the_request_is_another_then_so_is_it(run_dir: Path, other: dict[str, Any]) -> None:
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    assert sounds.answer_name(replace(REQUEST, **other), VOICE) != sounds.answer_name(REQUEST, VOICE)
    assert sounds.answer_name(replace(REQUEST, voice_id="alias"), VOICE) == sounds.answer_name(REQUEST, VOICE)


def test_names_when_randomness_is_asked_for_then_one_for_each_thing_asked_for(run_dir: Path) -> None:
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    asked = [
        Randomness(),
        *(Randomness(seed) for seed in (0, 1)),
        *(Randomness(noise_scale=scale) for scale in (0.0, 1.0)),
        *(Randomness(noise_scale_w=scale) for scale in (0.0, 1.0)),
        Randomness(1, 1.0, 1.0),
    ]
    found = [sounds.answer_name(replace(REQUEST, randomness=each), VOICE) for each in asked]
    assert len(set(found)) == len(asked)
    again = [sounds.answer_name(replace(REQUEST, randomness=replace(each)), VOICE) for each in asked]
    assert again == found


@pytest.mark.parametrize(
    "other",
    [
        {"spoken": SpokenText("Hello!")},
        {"speed": 1.5},
        {"pitch": 1.5},
        {"volume": 0.5},
        {"is_ssml": True},
        {"wants_word_marks": True},
        {"randomness": Randomness(seed=0)},
        {"engine_voice": "amy/s2"},
    ],
)
def test_utterance_name_when_anything_sounds_otherwise_then_it_is_another(
    run_dir: Path, other: dict[str, Any]
) -> None:
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    assert sounds.utterance_name(replace(UTTERANCE, **other)) != sounds.utterance_name(UTTERANCE)
    assert sounds.utterance_name(replace(UTTERANCE, index=3)) == sounds.utterance_name(UTTERANCE)


@pytest.mark.parametrize(
    "text",
    [
        "The  door\tis\nopen. Café.",
        " The door is open. Café. \n",
        "The door is open. Cafe\u0301.",
        "The **door** is open. Café.",
        "The door\u200b is open. Café.",
    ],
)
def test_answer_name_when_another_text_is_spoken_alike_then_it_is_the_same(run_dir: Path, text: str) -> None:
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    plain = replace(REQUEST, text="The door is open. Café.")
    other = replace(plain, text=text)
    assert sounds.answer_name(other, VOICE) == sounds.answer_name(plain, VOICE)
    assert sounds.answer_name(other, VOICE) == sounds.answer_name(other, VOICE)


def test_answer_name_when_it_is_written_short_then_that_of_the_same_in_full(run_dir: Path) -> None:
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    words = Pronunciations("v1", {"Nguyen": "win"})
    short = replace(REQUEST, text="Dr. Nguyen is in.", pronunciations=words)
    full = replace(short, text="Doctor win is in.")
    assert sounds.answer_name(short, VOICE) == sounds.answer_name(full, VOICE)


def test_answer_name_when_mark_up_stands_inside_an_amount_then_it_is_another(run_dir: Path) -> None:
    """Both are the same text once speakable; only one of them is an amount."""
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    torn, whole = (replace(REQUEST, text=text) for text in ("It is $**5**.50 now.", "It is $5.50 now."))
    assert sounds.answer_name(torn, VOICE) != sounds.answer_name(whole, VOICE)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("One.\nTwo.", {"text": "One.\n\nTwo."}),  # a paragraph
        ("the Door", {"text": "the door"}),
        ("a **b**", {"text": "a b", "make_speakable": False}),
        ("a  b", {"text": "a b", "wants_word_times": True}),
    ],
)
def test_answer_name_when_another_text_sounds_otherwise_then_it_is_another(
    run_dir: Path, text: str, other: dict[str, Any]
) -> None:
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    request = replace(REQUEST, text=text)
    assert sounds.answer_name(replace(request, **other), VOICE) != sounds.answer_name(request, VOICE)


@pytest.mark.parametrize(
    "more",
    [
        {"wants_word_times": True},  # where words stand is told, too
        {"input_type": InputType.SSML},
        {"text": "a b. " * WHOLE_CHARS},  # its beginning is spoken before the whole is looked at
    ],
)
def test_answer_name_when_what_is_spoken_does_not_decide_alone_then_it_is_by_what_is_written(
    run_dir: Path, more: dict[str, Any]
) -> None:
    put(VoiceStore(run_dir))
    sounds = sounds_of(settings_of(run_dir))
    request = replace(REQUEST, **{"text": "a b. c"} | more)
    spaced = replace(request, text=request.text.replace(" ", "  ", 1))
    assert sounds.answer_name(spaced, VOICE) != sounds.answer_name(request, VOICE)


def test_spoken_names_when_there_are_many_then_the_oldest_is_forgotten_and_found_again(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(VoiceStore(run_dir))
    monkeypatch.setattr(sounds_module, "MAX_SPOKEN_NAMES", 2)
    sounds = sounds_of(settings_of(run_dir))
    requests = [replace(REQUEST, text=f"{number}  doors.") for number in range(5)]
    first = [sounds.answer_name(request, VOICE) for request in requests]
    assert len(sounds._spoken_names) == 2
    assert [sounds.answer_name(request, VOICE) for request in requests] == first
