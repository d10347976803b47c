"""The whole way of a voice: downloaded, made in the background, listed, spoken, removed."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytest.importorskip("onnxruntime", reason="needs the extra neural")

from appliance.settings import ROOT
from appliance.voice_imports import ImportState, read_imports
from appliance.voice_store import VoiceStore
from loadtests.checkpoints import Kind, make_checkpoint
from loadtests.coqui_checkpoints import make_glow_tts, make_xtts
from processes.importer.exit_code import ExitCode
from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance, eventually, launcher_environment, running_appliance
from tests.parts.stand_in_coqui import served_models
from tests.parts.stand_in_hub import served_hub
from tests.parts.ttsctl import run_ttsctl

pytestmark = [pytest.mark.neural, pytest.mark.timeout(300)]
MODEL = "tts_models/en/ljspeech/vits"
VOICE = "en-ljspeech-vits"
GLOW = "tts_models/en/ljspeech/glow-tts"
GLOW_VOCODER = "vocoder_models/en/ljspeech/multiband-melgan"
"""As Coqui's list has it for that model; what it is makes no difference here."""
XTTS, XTTS_REPOSITORY = "tts_models/multilingual/multi-dataset/xtts_v2", "tts-hub/XTTS-v2"
"""A model with terms of use, and where Coqui's list says that it lies."""
LIMIT_S = 120.0
"""An import goes at the lowest priority, and takes as long as others leave it no core."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny", Kind())


@pytest.fixture
def base() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "processes.importer", *arguments]


def listed(appliance: Appliance) -> list[str]:
    voices = json.loads(appliance.get("/v1/audio/voices?engine=vits"))["voices"]
    return [voice["id"] for voice in voices]


def test_voice_when_named_in_the_settings_then_imported_in_the_background_and_spoken(
    base: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served_models(base / "served", {MODEL: checkpoint}) as variables:
        monkeypatch.setenv("PYTHONPATH", variables["PYTHONPATH"])
        with running_appliance(
            base, WORKERS_ESPEAK=1, WORKERS_TONE=0, WORKERS_VITS=1, VOICES_IMPORT=MODEL, VOICES_DEFAULT=VOICE
        ) as appliance:
            already = run_ttsctl(appliance, "say", "Already.", "-o", str(base / "a.wav"))
            assert already.returncode == 0
            assert already.stderr.startswith(f"ttsctl: spoken by en-us, as {VOICE} can't: ")
            assert appliance.get("/health/ready")
            appliance.wait_for("voice_import", state="done", voice=VOICE, limit_s=LIMIT_S)
            eventually(lambda: listed(appliance) == [VOICE])
            spoken = run_ttsctl(appliance, "say", "Hello.", "-o", str(base / "b.wav"))
            assert (spoken.returncode, spoken.stderr) == (0, ""), spoken
            assert (base / "b.wav").stat().st_size > 10_000
            [entry] = ask_json(appliance.run_dir, "GET", "/admin/voices")["voices"]
            assert (entry["model"], entry["license"], entry["listed"]) == (MODEL, "apache 2.0", True)
            ask_json(appliance.run_dir, "DELETE", f"/admin/voices/{VOICE}")
            eventually(lambda: listed(appliance) == [])
            eventually(lambda: json.loads(appliance.get("/health"))["status"] == "ok")  # nothing to probe
            assert appliance.stop() == 0
    assert list((base / "data" / "voices").iterdir()) == []


def test_folder_when_its_import_is_killed_then_nothing_stays_and_the_next_one_is_whole(
    base: Path, checkpoint: Path
) -> None:
    environment = launcher_environment(base)
    (base / "run").mkdir()
    folder = base / "data" / "voices"
    with subprocess.Popen(command(str(checkpoint)), cwd=ROOT, env=environment) as process:
        eventually(lambda: list(folder.glob(".making-*")), LIMIT_S)
        process.send_signal(signal.SIGKILL)
    assert list(folder.iterdir()) != []
    done = subprocess.run(command(str(checkpoint), "--id", "mine"), cwd=ROOT, env=environment, check=False)
    assert done.returncode == ExitCode.OK
    assert [path.name for path in folder.iterdir()] == ["mine"]
    store = VoiceStore(base / "data")
    store.verify(store.read("mine"))
    assert read_imports(base / "run")[0].state is ImportState.DONE


def test_model_when_it_is_not_vits_then_downloaded_with_its_vocoder_and_left_to_coqui(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_glow_tts(base / "glow")
    vocoder = base / "vocoder"
    vocoder.mkdir()
    for name, plain in (("vocoder.pth", "model_file.pth"), ("vocoder_config.json", "config.json")):
        (made / name).rename(vocoder / plain)
    models = {GLOW: made, GLOW_VOCODER: vocoder}
    with served_models(base / "served", models) as variables:
        done = subprocess.run(
            command(GLOW), cwd=ROOT, env=launcher_environment(base) | variables, check=False, timeout=LIMIT_S
        )
    assert done.returncode == ExitCode.OK
    manifest = VoiceStore(base / "data").read("en-ljspeech-glow-tts")
    assert (manifest.engine, manifest.model) == ("coqui", GLOW)
    assert "vocoder.pth" in manifest.files
    assert "only Coqui itself can speak it" in manifest.reasons[0]


def test_model_when_its_terms_are_accepted_then_downloaded_and_nobody_is_asked(base: Path) -> None:
    with served_hub(make_xtts(base / "xtts"), XTTS_REPOSITORY) as variables:
        done = subprocess.run(
            command(XTTS),
            cwd=ROOT,
            env=launcher_environment(base, COQUI_ACCEPT_TERMS="true") | variables,
            check=False,
            timeout=LIMIT_S,
        )
    assert done.returncode == ExitCode.OK
    [manifest] = VoiceStore(base / "data").manifests()
    assert (manifest.engine, manifest.model, manifest.license) == ("coqui", XTTS, "CPML")
    assert manifest.terms
    assert {"model.pth", "config.json", "vocab.json", "speakers_xtts.pth"} <= set(manifest.files)


@pytest.mark.parametrize("fault", ["truncated", "no config", "empty"])
def test_folder_when_broken_then_refused_in_one_line_and_nothing_stays(
    base: Path, checkpoint: Path, fault: str
) -> None:
    folder = shutil.copytree(checkpoint, base / "broken")
    if fault != "no config":
        content = (folder / "model.pth").read_bytes()
        (folder / "model.pth").write_bytes(content[: len(content) // 2] if fault == "truncated" else b"")
    else:
        (folder / "config.json").unlink()
    done = subprocess.run(
        command(str(folder)),
        cwd=ROOT,
        env=launcher_environment(base),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.MODEL_REFUSED, done
    assert done.stderr.startswith("importer: ")
    assert done.stderr.count("\n") == 1
    assert list((base / "data" / "voices").iterdir()) == []
