"""`ttsctl voices …`, with an appliance and without one."""

import io
import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from appliance.settings import ROOT
from appliance.voice_store import VoiceStore
from processes.importer.exit_code import ExitCode as ImporterExitCode
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually, launcher_environment
from tests.parts.stand_in_coqui import stand_in_coqui
from tests.parts.stored_voices import put
from tests.parts.ttsctl import run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def environment(run_dir: Path) -> dict[str, str]:
    """That of an appliance that doesn't run, with the stand-in in Coqui's place."""
    (run_dir / "run").mkdir()
    return launcher_environment(run_dir) | stand_in_coqui(run_dir / "lib")


@pytest.fixture
def store(run_dir: Path) -> VoiceStore:
    made = VoiceStore(run_dir / "data")
    put(made)
    return made


def test_sample_when_a_file_is_named_then_a_sound_of_some_seconds(
    speaking: Appliance, tmp_path: Path
) -> None:
    file = tmp_path / "sample.wav"
    done = run_ttsctl(speaking, "voices", "sample", "pl", "-o", str(file))
    assert (done.returncode, done.stdout) == (0, f"{file}\n"), done
    with wave.open(str(file)) as sound:
        assert sound.getnframes() > 2 * sound.getframerate()


def test_sample_when_written_to_standard_output_then_the_same_bytes(speaking: Appliance) -> None:
    command = [
        sys.executable,
        "-m",
        "processes.ttsctl",
        "voices",
        "sample",
        "alloy",
        "-o",
        "-",
        "--text",
        "Hi.",
    ]
    done = subprocess.run(command, cwd=ROOT, env=speaking.environment, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as sound:
        assert sound.getnchannels() == 1


def test_sample_when_there_is_no_such_voice_then_1(speaking: Appliance, tmp_path: Path) -> None:
    done = run_ttsctl(speaking, "voices", "sample", "nobody", "-o", str(tmp_path / "x.wav"))
    assert done.returncode == ExitCode.FAILED
    assert list(tmp_path.iterdir()) == []


def test_bench_when_run_then_the_voice_beside_espeak(speaking: Appliance) -> None:
    done = run_ttsctl(speaking, "voices", "bench", "tone-low", "--count", "2", "--json")
    assert done.returncode == 0, done
    tone, espeak = json.loads(done.stdout)["voices"]
    assert (tone["voice"], tone["engine"], espeak["engine"]) == ("tone-low", "tone", "espeak")
    for each in (tone, espeak):
        assert each["requests"] == 2
        assert each["audio_s"] > 2
        assert each["first_audio_s"] > 0
        assert each["rtf"] > 0
    table = run_ttsctl(speaking, "voices", "bench", "en-us", "--count", "1").stdout.splitlines()
    assert table[0].split()[:2] == ["VOICE", "ENGINE"]
    assert table[1].split()[:2] == ["en-us", "espeak"]


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_bench_when_the_count_is_none_then_64(environment: dict[str, str], count: str) -> None:
    assert run_ttsctl_in(environment, "voices", "bench", "en-us", "--count", count).returncode == 64


def test_import_when_it_fails_then_the_importers_own_code_and_lines(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = run_ttsctl_in(environment, "--json", "voices", "import", "tts_models/en/stand-in/offline")
    assert done.returncode == ImporterExitCode.NO_NETWORK, done
    told = [json.loads(line)["state"] for line in done.stdout.splitlines()]
    assert told == ["downloading", "failed"]
    assert run_ttsctl_in(environment, "voices", "import", "nothing").returncode == ImporterExitCode.USAGE


def test_import_when_interrupted_then_130_and_nothing_is_left(
    environment: dict[str, str], run_dir: Path
) -> None:
    command = [sys.executable, "-m", "processes.ttsctl", "voices", "import", "tts_models/en/stand-in/hangs"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        eventually(lambda: list(run_dir.glob("data/voices/.making-*/half")))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == ImporterExitCode.INTERRUPTED
    assert list((run_dir / "data" / "voices").iterdir()) == []


@pytest.mark.parametrize(("answer", "code", "is_left"), [("n", 1, True), ("", 1, True), ("y", 0, False)])
def test_remove_when_somebody_is_asked_then_only_yes_removes(
    environment: dict[str, str], store: VoiceStore, answer: str, code: int, is_left: bool
) -> None:
    master, slave = os.openpty()
    os.write(master, f"{answer}\n".encode())
    command = [sys.executable, "-m", "processes.ttsctl", "voices", "remove", "amy"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdin=slave, capture_output=True, check=False)
    os.close(master)
    os.close(slave)
    assert done.returncode == code, done
    assert bool(store.manifests()) is is_left


def test_remove_when_nobody_can_be_asked_then_64_unless_agreed_before(
    environment: dict[str, str], store: VoiceStore
) -> None:
    assert run_ttsctl_in(environment, "voices", "remove", "amy").returncode == ExitCode.USAGE
    assert len(store.manifests()) == 1
    done = run_ttsctl_in(environment, "voices", "remove", "amy", "--yes", "--json")
    assert json.loads(done.stdout) == {"removed": "amy"}
    assert store.manifests() == []
    assert run_ttsctl_in(environment, "voices", "remove", "amy", "--yes").returncode == ExitCode.FAILED


def test_remove_when_the_appliance_runs_then_through_its_gateway(speaking: Appliance) -> None:
    store = VoiceStore(speaking.base / "data")
    put(store, "bert")
    elsewhere = {**speaking.environment, "APPLIANCE_DATA_DIR": "/nowhere"}
    done = run_ttsctl_in(elsewhere, "voices", "remove", "bert", "--yes")
    assert (done.returncode, done.stdout) == (0, "bert is removed\n"), done
    assert store.manifests() == []
    assert run_ttsctl(speaking, "voices", "remove", "../x", "--yes").returncode == ExitCode.FAILED
