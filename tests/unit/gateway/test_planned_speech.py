"""A checked request is cut into utterances, for its voice or for the one that speaks instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import EngineFailedError
from appliance.settings import load_settings
from appliance.speech import Randomness, SpokenText, Utterance
from appliance.voices import Voice
from processes.gateway.__main__ import build_gateway
from processes.gateway.gateway import Gateway
from processes.gateway.planned_speech import PlannedSpeech, check_speech, plan_fallback, split_speech
from tests.parts.voices_file import write_voices_file

TEXT = "Nobody in the village says anything about it. Seven wise owls watch from the old oak tree."
ENGINES = {"amy": "vits", "xtts": "coqui", "en-us": "espeak"}


@pytest.fixture
def gateway(run_dir: Path) -> Gateway:
    """One that knows a voice of each engine."""
    environ = {
        "APPLIANCE_RUN_DIR": str(run_dir),
        "APPLIANCE_DATA_DIR": str(run_dir),
        "APPLIANCE_VOICES_FILE": str(write_voices_file(run_dir, {"*": "en-us"})),
    }
    gateway = build_gateway(load_settings(environ))
    for voice_id, engine in ENGINES.items():
        gateway.catalog.replace(engine, [Voice(voice_id, voice_id, engine, voice_id, ("en-us", "en"))], [])
    return gateway


def planned(gateway: Gateway, voice: str, **fields: Any) -> PlannedSpeech:
    return split_speech(gateway, check_speech(gateway, {"input": TEXT, "voice": voice, **fields}))


def cut(gateway: Gateway, voice: str, synthesis_s: float, **fields: Any) -> list[str]:
    """The utterances, after one of 100 characters has taken so long."""
    spoken = Utterance(0, 0, 100, SpokenText("x" * 100), ENGINES[voice], voice)
    for _ in range(50):
        gateway.dispatcher.costs.learn(spoken, synthesis_s)
    return [each.spoken.text for each in planned(gateway, voice, **fields).utterances.known]


@pytest.mark.parametrize("voice", ENGINES)
def test_cut_when_no_seed_is_given_then_by_what_the_voice_costs(gateway: Gateway, voice: str) -> None:
    assert [len(cut(gateway, voice, seconds, noise_scale=0)) for seconds in (0.001, 5)] == [1, 2]


@pytest.mark.parametrize("voice", ENGINES)
def test_cut_when_a_seed_is_given_then_the_same_whatever_a_voice_costs_that_draws_lots(
    gateway: Gateway, voice: str
) -> None:
    cheap, dear = (cut(gateway, voice, seconds, seed=0) for seconds in (0.001, 5))
    assert (cheap == dear) is (voice != "en-us")
    assert len(dear) == 2


def test_fingerprint_when_randomness_is_asked_for_then_each_has_its_own(gateway: Gateway) -> None:
    asked: list[dict[str, float]] = [{}, {"seed": 0}, {"seed": 1}, {"noise_scale": 0}, {"noise_scale_w": 0}]
    found = [planned(gateway, "amy", **fields).fingerprint() for fields in asked]
    assert len(set(found)) == len(asked)
    assert [planned(gateway, "amy", **fields).fingerprint() for fields in asked] == found


def test_randomness_when_espeak_speaks_then_it_makes_no_other_text_and_no_other_sound(
    gateway: Gateway,
) -> None:
    asked: list[dict[str, float]] = [{}, {"seed": 1}, {"noise_scale": 0}, {"noise_scale_w": 0}]
    assert len({planned(gateway, "en-us", **fields).fingerprint() for fields in asked}) == 1
    speech = planned(gateway, "amy", seed=5, noise_scale_w=0.5)
    assert {part.randomness for part in speech.utterances.known} == {Randomness(5, None, 0.5)}
    instead = plan_fallback(gateway, speech, EngineFailedError())
    assert instead.voice.id == "en-us"
    assert {part.randomness for part in instead.utterances.known} == {Randomness()}
    wanted = replace(speech.request, voice_id="", randomness=Randomness())
    assert replace(instead.request, voice_id="") == wanted
