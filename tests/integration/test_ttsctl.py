"""ttsctl against the real appliance."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from appliance.settings import ROOT
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.ttsctl import environment_of, listening, run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    appliance = appliance_factory(WORKERS_ESPEAK=1, WORKERS_TONE=1)
    appliance.wait_until_ready()
    eventually(lambda: status(appliance)["status"] == "ok")
    return appliance


def status(appliance: Appliance) -> dict[str, Any]:
    return dict(json.loads(run_ttsctl(appliance, "status", "--json").stdout))


def worker(appliance: Appliance, name: str) -> dict[str, Any]:
    [found] = [each for each in status(appliance)["workers"] if each["name"] == name]
    return dict(found)


def test_status_when_all_runs_then_ok_and_everybody_is_named(appliance):
    run_ttsctl(appliance, "say", "One.", "-o", os.devnull, "--format", "wav")
    done = eventually(lambda: (now := run_ttsctl(appliance, "status")).returncode == ExitCode.OK and now)
    for line in (
        r"^ok, version \d+\.\d+\.\d+, up \d",
        r"^worker-espeak-1 +ready +\d+ +\d+ MiB +\d+ +0 +-$",
        r"^worker-tone-1 +ready ",
        r"^exporter +(running|starting) +\d+ ",
        r"^gateway +(running|starting) +\d+ ",
        r"^watchdog +(running|starting) +\d+ ",
        r"^requests  \d+ accepted, 0 in flight, \d+ completed",
        r"^latency   first audio p50 \d+ ms",
        r"^success   100\.00%$",
    ):
        assert re.search(line, done.stdout, re.MULTILINE), (line, done.stdout)


def test_status_when_a_worker_is_killed_then_its_restart_and_cause_are_shown(appliance):
    before = worker(appliance, "worker-tone-1")
    os.kill(before["pid"], signal.SIGKILL)
    after = eventually(
        lambda: (
            (now := worker(appliance, "worker-tone-1"))["state"] == "ready"
            and now["pid"] != before["pid"]
            and now["restarts"] > (before["restarts"] or 0)
            and now
        )
    )
    assert after["last_exit"]
    eventually(lambda: run_ttsctl(appliance, "status").returncode == ExitCode.OK)


def test_status_when_a_worker_is_stopped_by_hand_then_degraded_and_named(appliance):
    stopped = run_ttsctl(appliance, "supervisorctl", "stop", "worker-tone-1")
    assert stopped.stdout == "worker-tone-1: stopped\n"
    done = run_ttsctl(appliance, "status")
    assert done.returncode == ExitCode.FAILED
    assert done.stdout.startswith("degraded, ")
    assert "problem: worker-tone-1 is STOPPED\n" in done.stdout
    assert worker(appliance, "worker-tone-1")["state"] == "stopped"
    run_ttsctl(appliance, "supervisorctl", "start", "worker-tone-1")
    eventually(lambda: run_ttsctl(appliance, "status").returncode == ExitCode.OK)


def test_status_when_nothing_runs_then_2_and_the_reasons(run_dir):
    done = run_ttsctl_in(environment_of(run_dir), "status")
    assert done.returncode == ExitCode.DOWN
    gateway = f"the gateway doesn't answer on {run_dir}/gateway.sock: No such file or directory"
    assert done.stdout.splitlines() == [
        "down",
        f"problem: {gateway}; is the appliance running? See ttsctl doctor",
        "problem: supervisord doesn't answer: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("name", "magic"),
    [
        ("a.mp3", rb"\xff[\xe2-\xff]"),
        ("a.ogg", rb"OggS"),
        ("a.aac", rb"\xff[\xf0-\xf9]"),
        ("a.flac", rb"fLaC"),
        ("a.wav", rb"RIFF....WAVE"),
    ],
)
def test_say_when_a_suffix_is_given_then_a_file_of_that_format(name, magic, appliance, tmp_path):
    done = run_ttsctl(appliance, "say", "Good morning, kitchen.", "-o", str(tmp_path / name), "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    data = (tmp_path / name).read_bytes()
    assert re.match(magic, data, re.DOTALL)
    told = json.loads(done.stdout)
    assert (told["file"], told["bytes"], told["voice"]) == (str(tmp_path / name), len(data), "en-us")


def test_say_when_text_voice_and_speed_are_given_then_as_over_http(appliance, tmp_path):
    text = "Dzień dobry, sąsiedzie."
    spoken = run_ttsctl_in(
        appliance.environment,
        *("say", "-", "-o", str(tmp_path / "a.pcm"), "--voice", "pl+f3", "--speed", "0.8"),
        typed=text,
    )
    assert (spoken.returncode, spoken.stdout, spoken.stderr) == (ExitCode.OK, "", "")
    body = {"model": "tts-1", "input": text, "voice": "pl+f3", "speed": 0.8, "response_format": "pcm"}
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        size_bytes = len(answer.read())
    assert (tmp_path / "a.pcm").stat().st_size == pytest.approx(size_bytes, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("say", "x", "-o", "a.mp3", "--voice", "nobody"), "nobody", "voice_not_found"),
        (("say", "", "-o", "a.mp3"), "(status 400)", "nothing_to_speak"),
        (("say", "x", "-o", "a.mp3", "--speed", "9"), "speed", "invalid_value"),
        (("say", "x", "-o", "missing/a.mp3"), "missing/a.mp3: can't be written", "not_written"),
    ],
)
def test_say_when_it_can_not_be_done_then_1_and_no_file(arguments, words, code, appliance, tmp_path):
    plain = run_ttsctl_in(appliance.environment, *arguments, cwd=tmp_path)
    assert plain.returncode == ExitCode.FAILED
    assert words in plain.stderr
    assert plain.stderr.count("\n") == 1
    as_json = run_ttsctl_in(appliance.environment, *arguments, "--json", cwd=tmp_path)
    assert as_json.returncode == ExitCode.FAILED
    assert json.loads(as_json.stdout)["error"]["code"] == code
    assert list(tmp_path.iterdir()) == []


def test_say_when_a_player_is_installed_then_it_gets_the_wav(appliance, tmp_path):
    (tmp_path / "aplay").write_text(
        f'#!/bin/sh\n/bin/cat > "{tmp_path}/heard"\necho "$@" > "{tmp_path}/told"\n'
    )
    (tmp_path / "aplay").chmod(0o755)
    done = run_ttsctl(appliance, "say", "Hello.", "--play", "--json", PATH=str(tmp_path))
    assert done.returncode == ExitCode.OK, done.stderr
    heard = (tmp_path / "heard").read_bytes()
    assert heard[:4] == b"RIFF"
    assert json.loads(done.stdout) == {
        "player": "aplay",
        "voice": "en-us",
        "fallback": None,
        "bytes": len(heard),
    }
    assert (tmp_path / "told").read_text() == "-q -\n"


def test_say_when_the_player_fails_then_1(appliance, tmp_path):
    (tmp_path / "paplay").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "paplay").chmod(0o755)
    done = run_ttsctl(appliance, "say", "Hello.", "--play", PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (ExitCode.FAILED, "ttsctl: paplay ended with code 3\n")


@pytest.mark.parametrize(
    ("name", "script", "told"),
    [
        ("aplay", "echo 'no card' >&2; exit 1", "aplay ended with code 1: no card"),
        ("aplay", "exit 0", "aplay ended before the sound did"),
        (
            "ffplay",
            "/bin/cat > /dev/null; echo \"Failed to open file 'pipe:' or configure filtergraph\" >&2",
            "ffplay found no sound device: Failed to open file 'pipe:' or configure filtergraph",
        ),
    ],
)
def test_say_when_nothing_can_be_heard_then_1_and_why(name, script, told, appliance, tmp_path):
    (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / name).chmod(0o755)
    text = "A pipe takes some of this before anybody reads, so it has to be long. " * 10
    done = run_ttsctl(appliance, "say", text, "--play", PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (ExitCode.FAILED, f"ttsctl: {told}\n")


def test_say_when_there_is_no_player_then_1_and_which_would_do(appliance, tmp_path):
    done = run_ttsctl(appliance, "say", "Hello.", "--play", PATH=str(tmp_path))
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith("ttsctl: nothing plays sound here: install one of pw-play, ")


def test_say_when_the_gateway_breaks_off_then_1_and_no_file(run_dir, tmp_path):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with listening(run_dir / "gateway.sock", head + b"5\r\nabcde\r\n"):
        done = run_ttsctl_in(environment_of(run_dir), "say", "x", "--voice", "v", "-o", "a.mp3", cwd=tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (ExitCode.FAILED, [])
    assert done.stderr.startswith("ttsctl: the gateway broke off its answer")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{",
    ],
)
def test_voices_when_the_answer_is_broken_then_1(answer, run_dir):
    with listening(run_dir / "gateway.sock", answer):
        done = run_ttsctl_in(environment_of(run_dir), "voices")
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith("ttsctl: ")


def test_voices_when_a_language_is_given_then_only_its_voices(appliance):
    done = run_ttsctl(appliance, "voices", "--language", "pl")
    assert done.returncode == ExitCode.OK
    table, variants = done.stdout.split("\n\n")
    heading, *lines = [line.split() for line in table.splitlines()]
    assert heading == ["VOICE", "LANGUAGES", "GENDER", "ENGINE", "NAME"]
    assert ["pl", "pl", "male", "espeak", "Polish"] in lines
    assert [line for line in lines if "pl" not in line] == []
    assert re.fullmatch(r"\d+ variants, as in en-us\+\w+: --variants lists them\n", variants)
    named = run_ttsctl(appliance, "voices", "--variants", "--language", "pl").stdout
    assert ", f3, " in named


def test_voices_when_json_is_wanted_then_every_voice_of_every_engine(appliance):
    told = json.loads(run_ttsctl(appliance, "voices", "--json").stdout)
    assert told["default"] == "en-us"
    assert {voice["engine"] for voice in told["voices"]} == {"espeak", "tone"}
    assert len(told["voices"]) > 100
    only = json.loads(run_ttsctl(appliance, "voices", "--json", "--engine", "tone").stdout)
    assert {voice["engine"] for voice in only["voices"]} == {"tone"}
    assert only["variants"] == []


def test_drain_when_switched_then_speech_is_refused_until_switched_back(appliance, tmp_path):
    assert run_ttsctl(appliance, "drain", "status").stdout == "draining: no, 0 requests in flight\n"
    switched = run_ttsctl(appliance, "drain", "on", "--json")
    assert json.loads(switched.stdout) == {"draining": True, "in_flight": 0}
    refused = run_ttsctl(appliance, "say", "x", "-o", str(tmp_path / "a.mp3"))
    assert refused.returncode == ExitCode.FAILED
    assert re.search(r"draining.*\(status 503\); try again in \d+ s$", refused.stderr)
    assert run_ttsctl(appliance, "status").stdout.startswith("draining, ")
    assert run_ttsctl(appliance, "drain", "off").returncode == ExitCode.OK
    assert run_ttsctl(appliance, "say", "x", "-o", str(tmp_path / "a.mp3")).returncode == ExitCode.OK


@pytest.mark.parametrize(
    "verb",
    [
        ("voices",),
        ("voices", "sample", "en-us"),
        ("voices", "bench", "en-us"),
        ("drain", "on"),
        ("say", "x", "--play"),
    ],
)
def test_verb_when_the_gateway_is_not_there_then_2(verb, run_dir, tmp_path):
    (tmp_path / "aplay").touch(mode=0o755)
    done = run_ttsctl_in(environment_of(run_dir) | {"PATH": str(tmp_path)}, *verb)
    assert done.returncode == ExitCode.DOWN
    assert done.stderr.startswith(f"ttsctl: the gateway doesn't answer on {run_dir}/gateway.sock: ")
    assert done.stderr.endswith("; is the appliance running? See ttsctl doctor\n")


def test_restart_when_nothing_runs_then_2_and_what_to_do(run_dir):
    done = run_ttsctl_in(environment_of(run_dir), "restart", "--rolling")
    told = (
        "supervisord doesn't answer: No such file or directory; is the appliance running? See ttsctl doctor"
    )
    assert (done.returncode, done.stderr) == (ExitCode.DOWN, f"ttsctl: {told}\n")


def test_check_config_when_fine_then_0(appliance):
    done = run_ttsctl(appliance, "check-config", "--json")
    assert done.returncode == ExitCode.OK
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert told["settings"]["workers"]["tone"] == 1


def test_check_config_when_a_setting_is_wrong_then_78_and_one_line(appliance):
    done = run_ttsctl(appliance, "check-config", APPLIANCE_HTTP_PORT="eighty")
    assert done.returncode == ExitCode.BAD_CONFIGURATION
    assert done.stdout == ""
    assert re.fullmatch(r"ttsctl: .*http\.port.*eighty.*\n", done.stderr)


def test_supervisorctl_when_called_then_its_output_and_code_pass_through(appliance):
    fine = run_ttsctl(appliance, "supervisorctl", "pid", "gateway")
    assert int(fine.stdout) == appliance.program("gateway").pid
    wrong = run_ttsctl(appliance, "supervisorctl", "status", "nobody")
    assert wrong.returncode == 4
    assert "no such process" in wrong.stdout


def test_supervisorctl_when_the_run_dir_is_empty_then_it_asks_there_and_not_the_default(run_dir):
    done = run_ttsctl_in(environment_of(run_dir), "supervisorctl", "status")
    assert done.returncode != ExitCode.OK
    assert f"unix://{run_dir}/supervisor.sock" in done.stdout


def test_output_when_its_reader_leaves_then_no_complaint(appliance):
    done = subprocess.run(
        f"{sys.executable} -m processes.ttsctl voices --json | head -1",
        cwd=ROOT,
        env=appliance.environment,
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")
