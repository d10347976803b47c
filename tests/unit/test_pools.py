"""How many workers each engine gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.packages import HOW_TO_INSTALL, NEEDED
from appliance.pools import (
    FULL_VOICE_BYTES,
    OTHERS_BYTES,
    Facts,
    Pool,
    PoolPlan,
    kept_voice_bytes,
    look_at_machine,
    plan_pools,
    pool_bytes,
    workers_hint,
)
from appliance.settings import Settings, load_settings
from appliance.voice_store import MANIFEST_FILE, VoiceManifest

BARE = Facts(cores=2, memory_bytes=None, voiced=frozenset(), missing={})
"""A machine without voices, whose memory nobody tells."""
VOICED = replace(BARE, voiced=frozenset({"vits", "coqui"}))
MIB = 1024 * 1024


def pools(facts: Facts, **workers: int) -> dict[str, Pool]:
    settings = Settings.model_validate({"workers": workers})
    return {pool.engine: pool for pool in plan_pools(settings, facts).pools}


def pool_of(plan: PoolPlan) -> Pool:
    [found] = [pool for pool in plan.pools if pool.engine == "vits"]
    return found


def sizes(facts: Facts, **workers: int) -> dict[str, int]:
    return {engine: pool.size for engine, pool in pools(facts, **workers).items()}


def test_pools_when_there_is_no_voice_then_no_neural_worker_and_nobody_is_warned() -> None:
    found = pools(BARE)
    assert {engine: pool.size for engine, pool in found.items()} == {
        "espeak": 2,
        "tone": 0,
        "vits": 0,
        "coqui": 0,
    }
    assert not any(pool.is_short for pool in found.values())
    assert "no voice is imported" in found["vits"].reason


@pytest.mark.parametrize(("cores", "espeak", "coqui"), [(1, 2, 1), (2, 2, 2), (6, 6, 6), (200, 64, 64)])
def test_pools_when_cores_are_counted_then_espeak_and_coqui_go_by_them_and_vits_by_streams(
    cores: int, espeak: int, coqui: int
) -> None:
    assert sizes(replace(VOICED, cores=cores)) == {"espeak": espeak, "tone": 0, "vits": 4, "coqui": coqui}
    assert sizes(replace(VOICED, cores=cores), streams=7)["vits"] == 7


@pytest.mark.parametrize(("memory_mib", "vits"), [(1024, 6), (1229, 8)])
def test_pools_when_eight_streams_are_promised_then_as_many_as_the_page_on_capacity_says(
    memory_mib: int, vits: int
) -> None:
    one_core = replace(VOICED, cores=1, memory_bytes=memory_mib * MIB)
    assert sizes(one_core, streams=8)["vits"] == vits
    assert sizes(one_core, vits=8)["vits"] == 8


INT8, FP32 = 72_134_000, 118_936_000
"""Files of the full-size voice of the measurements."""


@pytest.mark.parametrize(
    ("voices", "streams", "vits", "mb"),
    [
        ((INT8,), 4, 4, 770),
        ((INT8, INT8), 4, 4, 1033),
        ((INT8,) * 20, 4, 4, 1033),
        ((FP32, INT8), 4, 4, 936),
        ((1_000_000,) * 500, 4, 4, 1069),
        ((INT8,), 8, 6, 982),
        ((INT8, INT8), 8, 4, 1033),
        ((FP32,), 8, 5, 1071),
    ],
)
def test_pools_when_voices_are_kept_loaded_then_they_are_counted_and_four_workers_stay_within_1_gib(
    voices: tuple[int, ...], streams: int, vits: int, mb: int
) -> None:
    facts = replace(VOICED, cores=1, memory_bytes=1024 * MIB, voices=voices)
    found = pools(facts, streams=streams)
    assert found["vits"].size == vits
    needed_bytes = OTHERS_BYTES + sum(map(pool_bytes, found.values()))
    assert needed_bytes // 1_000_000 == mb
    assert needed_bytes <= 1024 * MIB


def test_pools_when_voices_leave_room_for_fewer_workers_then_the_setting_that_changes_that_is_named() -> None:
    facts = replace(VOICED, cores=1, memory_bytes=900 * MIB, voices=(INT8, INT8))
    settings = Settings.model_validate({"vits": {"memory_bytes": 0}})
    few, all_four = (pool_of(plan_pools(each, facts)) for each in (Settings(), settings))
    assert (few.size, few.is_short, few.voice_bytes) == (3, True, 146_000_000)
    assert "each keeps 146 MB of voices loaded (vits.memory_bytes)" in few.reason
    assert (all_four.size, all_four.is_short, all_four.voice_bytes) == (4, False, INT8)


@pytest.mark.parametrize(
    ("voices", "budget", "kept"),
    [
        ((), 156_000_000, FULL_VOICE_BYTES),
        ((1_000_000,), 156_000_000, FULL_VOICE_BYTES),
        ((100_000_000, 90_000_000, 60_000_000), 156_000_000, 150_000_000),
        ((200_000_000, 90_000_000), 156_000_000, 200_000_000),
        ((90_000_000, 90_000_000), 0, 90_000_000),
    ],
)
def test_kept_when_voices_are_loaded_in_any_order_then_no_worker_ever_has_more(
    voices: tuple[int, ...], budget: int, kept: int
) -> None:
    settings = Settings.model_validate({"vits": {"memory_bytes": budget}})
    assert kept_voice_bytes(settings, replace(BARE, voices=voices)) == kept


@pytest.mark.parametrize(
    ("memory_mib", "vits", "coqui", "short"),
    [
        (256, 1, 0, {"vits", "coqui"}),
        (512, 1, 0, {"vits", "coqui"}),
        (1024, 4, 0, {"coqui"}),
        (3072, 4, 1, set()),
        (8192, 4, 2, set()),
    ],
)
def test_pools_when_memory_is_short_then_fewer_and_who_has_to_wait_is_told(
    memory_mib: int, vits: int, coqui: int, short: set[str]
) -> None:
    found = pools(replace(VOICED, memory_bytes=memory_mib * MIB))
    assert (found["espeak"].size, found["vits"].size, found["coqui"].size) == (2, vits, coqui)
    assert {engine for engine, pool in found.items() if pool.is_short} == short
    assert all("memory has room for no more" in found[engine].reason for engine in short)


def test_pools_when_many_cores_have_little_memory_then_espeak_leaves_some() -> None:
    assert sizes(replace(BARE, cores=64, memory_bytes=512 * MIB))["espeak"] == 12


@pytest.mark.parametrize(
    ("cores", "memory_mib", "espeak", "vits"),
    [(16, 1024, 13, 4), (32, 1024, 13, 4), (32, 768, 3, 4), (32, 600, 4, 2), (8, 2048, 8, 4)],
)
def test_pools_when_memory_is_short_for_many_cores_then_the_promised_streams_come_before_more_of_espeak(
    cores: int, memory_mib: int, espeak: int, vits: int
) -> None:
    found = sizes(replace(VOICED, cores=cores, memory_bytes=memory_mib * MIB))
    assert (found["espeak"], found["vits"], found["coqui"]) == (espeak, vits, 0)


def test_pools_when_a_size_is_set_then_it_stays_and_its_memory_is_counted() -> None:
    facts = replace(VOICED, memory_bytes=1024 * MIB)
    assert sizes(facts, espeak=1, vits=9, coqui=3) == {"espeak": 1, "tone": 0, "vits": 9, "coqui": 3}
    assert sizes(facts, espeak=25)["vits"] == 1
    assert pools(facts, vits=9)["vits"].reason == "as set"


def test_pools_when_packages_are_missing_then_none_and_how_to_install_them() -> None:
    vits = pools(replace(VOICED, missing={"vits": ["onnxruntime"]}))["vits"]
    assert (vits.size, vits.is_short) == (0, True)
    assert "onnxruntime isn't installed; make .venv/neural.stamp" in vits.reason


def test_pools_when_all_are_empty_then_refused_with_the_reasons() -> None:
    with pytest.raises(ConfigurationError) as caught:
        pools(BARE, espeak=0)
    assert "set at least one of workers.espeak, workers.tone, workers.vits, workers.coqui" in (
        caught.value.message
    )
    assert "vits: no voice is imported" in caught.value.message


def test_plan_when_handed_on_then_the_environment_leaves_nothing_to_choose() -> None:
    settings = load_settings({"APPLIANCE_WORKERS_COQUI": "1"})
    plan = plan_pools(settings, replace(VOICED, cores=3))
    variables = plan.variables()
    assert variables == {
        "APPLIANCE_WORKERS_ESPEAK": "3",
        "APPLIANCE_WORKERS_TONE": "0",
        "APPLIANCE_WORKERS_VITS": "4",
        "APPLIANCE_WORKERS_COQUI": "1",
    }
    sizes_wanted = {"espeak": 3, "vits": 4, "coqui": 1}
    assert load_settings(variables).pool_sizes() == sizes_wanted
    assert plan.applied_to(settings).pool_sizes() == sizes_wanted


@pytest.mark.parametrize(
    ("models", "voiced"),
    [
        ("", set()),
        ("tts_models/en/ljspeech/vits", {"vits"}),
        ("tts_models/en/jenny/jenny,tts_models/multilingual/multi-dataset/your_tts", {"vits"}),
        ("tts_models/multilingual/multi-dataset/xtts_v2", {"coqui"}),
        ("tts_models/en/ljspeech/fast_pitch,tts_models/en/ljspeech/vits--neon", {"vits", "coqui"}),
    ],
)
def test_machine_when_models_are_wanted_then_their_engines_have_voices(
    tmp_path: Path, models: str, voiced: set[str]
) -> None:
    environ = {"APPLIANCE_DATA_DIR": str(tmp_path), "APPLIANCE_VOICES_IMPORT": models}
    facts = look_at_machine(load_settings(environ))
    assert facts.voiced == voiced
    assert facts.voices == ((FULL_VOICE_BYTES,) * (1 + ("jenny" in models)) if "vits" in voiced else ())


def test_machine_when_a_voice_is_there_then_its_engine_has_one_and_cores_go_by_the_setting(
    tmp_path: Path,
) -> None:
    manifest = VoiceManifest(
        id="glow", name="Glow", engine="coqui", model="checkpoint", languages=("en",), sample_rate_hz=22_050
    )
    folder = tmp_path / "voices" / "glow"
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    environ = {"APPLIANCE_DATA_DIR": str(tmp_path), "APPLIANCE_DISPATCH_CORES": "7"}
    facts = look_at_machine(load_settings(environ))
    assert facts.voiced == {"coqui"}
    assert facts.cores == 7


def test_hint_when_packages_are_missing_then_it_names_them_before_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = "run ttsctl config apply once, so that it gets vits and espeak workers"
    monkeypatch.setitem(NEEDED, "vits", ("json",))
    assert workers_hint(["vits", "espeak"]) == command
    monkeypatch.setitem(NEEDED, "vits", ("json", "no_such_package"))
    assert workers_hint(["vits", "espeak"]) == f"install no_such_package ({HOW_TO_INSTALL}), then {command}"
