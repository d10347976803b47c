"""`ttsctl live` against a running appliance, and against what isn't one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from appliance.settings import ROOT
from appliance.watched import BEAT_FILE, BEAT_FORMAT, BeatFile
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.ttsctl import environment_of, listening, run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    appliance = appliance_factory(WORKERS_ESPEAK=1, WORKERS_TONE=1)
    appliance.wait_until_ready()
    eventually(lambda: run_ttsctl(appliance, "live").returncode == ExitCode.OK)
    return appliance


def test_live_when_the_gateway_runs_then_0(appliance):
    done = run_ttsctl(appliance, "live")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "alive\n")


def test_live_when_nobody_listens_then_1_and_the_reason(run_dir):
    done = run_ttsctl_in(environment_of(run_dir), "live", "--json")
    assert done.returncode == ExitCode.FAILED
    assert json.loads(done.stdout) == {
        "live": False,
        "reason": f"gateway: {run_dir}/gateway.sock: No such file or directory; "
        f"watchdog: {run_dir}/watchdog-beat.txt: No such file or directory",
        "dead": ["gateway", "watchdog"],
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "no answer within 2 s"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"),
        (b"hello\n", "the answer isn't HTTP"),
        (b"x" * 5000, "the answer isn't HTTP"),
    ],
)
def test_live_when_the_answer_is_wrong_then_1_and_the_reason(answer, reason, run_dir):
    with closing(BeatFile(run_dir)) as beat_file, listening(run_dir / "gateway.sock", answer):
        beat_file.beat()
        done = run_ttsctl_in(environment_of(run_dir), "live")
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, f"not alive: gateway: {reason}\n")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (BEAT_FORMAT.format(0, 0), "no heartbeat for "),
        (BEAT_FORMAT.format(1e12, 0), "no heartbeat since the machine started"),
        ("", "isn't a heartbeat"),
    ],
)
def test_live_when_the_watchdog_does_not_beat_then_1_and_the_reason(written, reason, run_dir):
    (run_dir / BEAT_FILE).write_text(written)
    with listening(run_dir / "gateway.sock", b"HTTP/1.1 200 OK\r\n\r\n"):
        done = run_ttsctl_in(environment_of(run_dir), "live")
    assert done.returncode == ExitCode.FAILED
    assert done.stdout.startswith("not alive: watchdog: ")
    assert reason in done.stdout


@pytest.mark.parametrize(("unanswered", "code"), [(3, ExitCode.OK), (4, ExitCode.FAILED)])
def test_live_when_supervisord_does_not_answer_the_watchdog_then_1_and_the_reason(unanswered, code, run_dir):
    with (
        closing(BeatFile(run_dir)) as beat_file,
        listening(run_dir / "gateway.sock", b"HTTP/1.1 200 OK\r\n\r\n"),
    ):
        beat_file.beat(unanswered)
        done = run_ttsctl_in(environment_of(run_dir), "live")
    assert done.returncode == code
    assert done.stdout.startswith(
        "alive" if code == ExitCode.OK else "not alive: supervisord: no answer to 4 "
    )


@pytest.mark.parametrize(
    ("options", "filling", "dead"),
    [
        ("size=64k", "true", ["gateway", "watchdog"]),
        ("size=64k", "cat /dev/zero > filling", ["gateway"]),
        ("nr_inodes=3", "touch first second", ["gateway"]),
        ("size=64k", "mount -o remount,ro .", ["gateway"]),
    ],
)
def test_live_when_no_heartbeat_can_be_written_then_the_watchdog_is_not_judged(
    options, filling, dead, run_dir
):
    inside = f"""
mount -t tmpfs -o {options} none "$APPLIANCE_RUN_DIR" || exit 99
cd "$APPLIANCE_RUN_DIR" || exit 99
{filling} 2> /dev/null
cd {ROOT} && exec {sys.executable} -m processes.ttsctl live --json
"""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside],
        env=environment_of(run_dir),
        capture_output=True,
        text=True,
        check=False,
    )
    if "nshare" in done.stderr or done.returncode == 99:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    assert json.loads(done.stdout)["dead"] == dead


def test_live_when_started_then_it_imports_no_library(appliance):
    program = """
import sys
from processes.ttsctl.__main__ import main
code = main()
print(*sys.modules)
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "live"],
        cwd=ROOT,
        env=appliance.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "processes.ttsctl.live" in loaded
    assert loaded & {"aiohttp", "appliance", "argparse", "json", "loguru", "pydantic", "http.client"} == set()
