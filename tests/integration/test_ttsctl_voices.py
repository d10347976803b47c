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

from appliance.packages import missing_packages
from appliance.pools import workers_hint
from appliance.settings import ROOT, load_settings
from appliance.voice_store import VoiceStore
from processes.importer.__main__ import tell_of_workers
from processes.importer.exit_code import ExitCode as ImporterExitCode
from processes.ttsctl.outcome import ExitCode
from processes.ttsctl.voices_bench import RunningAppliance
from tests.parts.appliance import Appliance, eventually, launcher_environment, running_appliance
from tests.parts.scrape import scrape
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


def test_bench_when_run_then_the_promised_figures_with_verdicts(speaking: Appliance) -> None:
    short = ["--count", "1", "--listen-s", "1", "--utterances", "20"]
    done = run_ttsctl(speaking, "voices", "bench", "tone-low", *short, "--json")
    said = json.loads(done.stdout)
    assert (said["voice"], said["engine"]) == ("tone-low", "tone")
    found = {each["figure"]: each for each in said["figures"]}
    assert "missed" not in {found[name]["verdict"] for name in found if name.endswith("failed")}
    assert done.returncode == any(each["verdict"] == "missed" for each in said["figures"])
    ratio = found["appliance ÷ tts-server"]
    assert (ratio["value"], ratio["bound"]) == (None, "≤ 0.285714")
    assert "--checkpoint" in ratio["verdict"]
    for name in ("first audio of 150 characters, idle", "first audio of 400 characters, idle"):
        assert 0 < found[name]["best"] <= found[name]["value"]
        assert found[name]["verdict"] in {"held", "missed"}
    assert 0.05 < found["worker, start to hello"]["value"] < 60
    assert 10 < found["private memory (USS) of a further worker"]["value"] < 200
    assert any(name.startswith("20 utterances over 1 speakers") for name in found)
    assert "only imported VITS" in found["windowed against whole, decoder alone, at the import"]["verdict"]
    assert {"first audio of 150 characters", "4 listeners, 1 s"} <= set(done.stderr.splitlines())


@pytest.mark.slow
def test_bench_when_answers_are_kept_then_none_of_them_is_measured(run_dir: Path) -> None:
    short = ["--count", "1", "--listen-s", "1", "--utterances", "20"]
    with running_appliance(run_dir, VOICES_DEFAULT="tone-low", CACHE_SPEECH="true") as appliance:
        for _ in range(2):
            run_ttsctl(appliance, "voices", "bench", "tone-low", *short)
        kept = scrape(appliance.base_url)
    assert kept["tts_cache_requests_total", "hit"] == kept["tts_cache_requests_total", "shared"] == 0
    assert kept["tts_cache_requests_total", "miss"] > 40


def test_bench_when_several_ask_then_each_is_a_client_with_a_quota_of_its_own(run_dir: Path) -> None:
    quota = {"DISPATCH_CLIENT_RATE_PER_MIN": 1, "DISPATCH_CLIENT_BURST": 1}
    with running_appliance(run_dir, WORKERS_ESPEAK=0, WORKERS_TONE=1, **quota) as appliance:
        eventually(lambda: json.loads(appliance.get("/health"))["worker"]["ready"] == 1)
        subject = RunningAppliance(appliance.base / "run", {"id": "tone-low", "engine": "tone"})
        assert [subject.speak(place, "Hello.").is_whole for place in (0, 1, 0, 2)] == [
            True,
            True,
            False,
            True,
        ]
        assert "(status 429)" in subject.refusal


def test_bench_when_the_voice_is_of_espeak_then_1_and_why(speaking: Appliance) -> None:
    done = run_ttsctl(speaking, "voices", "bench", "en-us")
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert done.stderr.startswith("ttsctl: en-us is a voice of espeak-ng; ")


def test_bench_when_the_checkpoint_is_none_then_said_in_its_row(speaking: Appliance, tmp_path: Path) -> None:
    short = ["--count", "1", "--listen-s", "1", "--utterances", "20", "--checkpoint", str(tmp_path)]
    lines = run_ttsctl(speaking, "voices", "bench", "tone-low", *short).stdout.splitlines()
    assert lines[0].split() == ["FIGURE", "MEDIAN", "BEST", "BOUND", "VERDICT"]
    [ratio] = [line for line in lines if line.startswith("appliance ÷ tts-server")]
    assert ratio.endswith("has no model.pth with a config.json")


def test_bench_when_the_voice_is_refused_then_1_and_the_gateways_own_words(speaking: Appliance) -> None:
    run_ttsctl(speaking, "drain", "on")
    try:
        done = run_ttsctl(speaking, "voices", "bench", "tone-low")
    finally:
        run_ttsctl(speaking, "drain", "off")
    assert done.returncode == ExitCode.FAILED
    assert "tone-low said nothing itself: " in done.stderr
    assert "503" in done.stderr


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_bench_when_the_count_is_none_then_64(environment: dict[str, str], count: str) -> None:
    assert run_ttsctl_in(environment, "voices", "bench", "en-us", "--count", count).returncode == 64


def test_import_when_it_fails_then_the_importers_own_code_and_lines(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = run_ttsctl_in(environment, "--json", "voices", "import", "tts_models/en/stand-in/offline")
    assert done.returncode == ImporterExitCode.NO_NETWORK, done
    told = [json.loads(line)["state"] for line in done.stdout.splitlines()]
    assert told == ["waiting", "downloading", "failed"]
    assert run_ttsctl_in(environment, "voices", "import", "nothing").returncode == ImporterExitCode.USAGE


def test_import_when_interrupted_then_130_and_nothing_is_left_and_it_was_no_leftover_before(
    environment: dict[str, str], run_dir: Path
) -> None:
    command = [sys.executable, "-m", "processes.ttsctl", "voices", "import", "tts_models/en/stand-in/hangs"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        eventually(lambda: list(run_dir.glob("data/voices/.making-*/half")))
        found = json.loads(run_ttsctl_in(environment, "doctor", "--json").stdout)["checks"]
        [leftovers] = [each for each in found if each["name"] == "leftovers"]
        assert leftovers["seen"] == "2 processes, all of a living launcher or an import by hand"
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
    assert (done.stderr == b"ttsctl: amy stays\n") is is_left


def test_remove_when_nobody_can_be_asked_then_64_unless_agreed_before(
    environment: dict[str, str], store: VoiceStore
) -> None:
    assert run_ttsctl_in(environment, "voices", "remove", "amy").returncode == ExitCode.USAGE
    assert len(store.manifests()) == 1
    done = run_ttsctl_in(environment, "voices", "remove", "amy", "--yes", "--json")
    assert json.loads(done.stdout) == {"removed": "amy"}
    assert store.manifests() == []
    assert run_ttsctl_in(environment, "voices", "remove", "amy", "--yes").returncode == ExitCode.FAILED


def test_first_voice_when_it_comes_after_the_start_then_status_importer_and_doctor_say_what_to_do(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hint = workers_hint(["vits"])  # without the packages of neural voices it names them first
    assert hint.endswith("run ttsctl config apply once, so that it gets vits workers")
    store = VoiceStore(run_dir / "data")
    with running_appliance(run_dir, WORKERS_VITS=-1) as appliance:
        settings = load_settings(appliance.environment)
        tell_of_workers(settings)
        assert capsys.readouterr().err == ""
        put(store, "late")
        status = run_ttsctl(appliance, "status", "--json")
        tell_of_workers(settings)
        doctor = json.loads(run_ttsctl(appliance, "doctor", "--json").stdout)["checks"]
    commands = {each["name"]: each["command"] for each in doctor}
    assert commands["voice_workers"] == "ttsctl config apply"
    if not missing_packages("vits"):  # else a start would choose none either
        assert commands["pools"] == "ttsctl config apply"
    assert f"voices of vits have no worker: {hint}" in json.loads(status.stdout)["problems"]
    assert status.returncode == ExitCode.FAILED
    assert capsys.readouterr().err == f"importer: {hint}\n"
    tell_of_workers(settings)
    assert capsys.readouterr().err == ""


def test_remove_when_the_appliance_runs_then_through_its_gateway(speaking: Appliance) -> None:
    store = VoiceStore(speaking.base / "data")
    put(store, "bert")
    elsewhere = {**speaking.environment, "APPLIANCE_DATA_DIR": "/nowhere"}
    done = run_ttsctl_in(elsewhere, "voices", "remove", "bert", "--yes")
    assert (done.returncode, done.stdout) == (0, "bert is removed\n"), done
    assert store.manifests() == []
    assert run_ttsctl(speaking, "voices", "remove", "../x", "--yes").returncode == ExitCode.FAILED
    unknown = run_ttsctl(speaking, "voices", "remove", "bert", "--yes")
    assert unknown.stderr == "ttsctl: no imported voice is called 'bert'\n"


@pytest.mark.parametrize("voice", ["bert", "en-us", "../x"])
def test_remove_when_there_is_no_such_imported_voice_then_nobody_is_asked(
    speaking: Appliance, environment: dict[str, str], voice: str
) -> None:
    for variables in (speaking.environment, environment):
        done = run_ttsctl_in(variables, "voices", "remove", voice)  # where nobody could be asked
        assert (done.returncode, done.stderr) == (
            ExitCode.FAILED,
            f"ttsctl: no imported voice is called {voice!r}\n",
        )


def test_remove_when_a_voice_is_broken_then_it_can_be_removed_all_the_same(
    environment: dict[str, str], run_dir: Path
) -> None:
    broken = run_dir / "data" / "voices" / "half"
    broken.mkdir(parents=True)
    (broken / "voice.json").write_text("{")
    assert run_ttsctl_in(environment, "voices", "remove", "half", "--yes").returncode == ExitCode.OK
    assert not broken.exists()
