"""Pools that grow and shrink while everybody is served, and are as before where that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.worker_programs import WORKERS_DIR
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.speaking import listening
from tests.parts.ttsctl import environment_of, run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(WORKERS_TONE=2, VOICES_DEFAULT="tone-low", TONE_DELAY_S=0.01)
    made.wait_until_ready()
    made.wait_until_running()
    return made


def pids(appliance: Appliance) -> dict[str, int]:
    return {name: program["pid"] for name, program in appliance.programs().items()}


def workers(appliance: Appliance) -> dict[str, str]:
    told = json.loads(run_ttsctl(appliance, "status", "--json").stdout)
    return {each["name"]: each["state"] for each in told["workers"]}


def health(appliance: Appliance) -> Any:
    return json.loads(appliance.get("/health"))["worker"]


def test_pool_when_it_grows_and_shrinks_then_nobody_else_is_touched_and_no_request_fails(appliance):
    before = pids(appliance)
    with listening(appliance) as others:
        grown = run_ttsctl(appliance, "scale", "worker-tone=4", "--json")
        assert grown.returncode == ExitCode.OK, grown.stderr
        [pool] = json.loads(grown.stdout)["pools"]
        assert pool == {"engine": "tone", "was": 2, "size": 4, "changed": ["worker-tone-3", "worker-tone-4"]}
        assert set(workers(appliance)) == {f"worker-tone-{slot}" for slot in range(1, 5)}
        assert health(appliance) == {"ready": 4, "total": 4}
        shrunk = run_ttsctl(appliance, "scale", "tone=2")
        assert shrunk.returncode == ExitCode.OK, shrunk.stderr
        assert shrunk.stdout.splitlines()[0] == "worker-tone: 4 before, 2 now"
        assert "to keep it set workers.tone = 2" in shrunk.stdout
    assert others.failed() == []
    assert set(workers(appliance)) == {"worker-tone-1", "worker-tone-2"}
    assert health(appliance) == {"ready": 2, "total": 2}
    eventually(lambda: pids(appliance).keys() == before.keys())
    ended = [each for each in appliance.lines if each["event"] in ("worker_killed", "worker_process_ended")]
    assert pids(appliance) == before, ended
    assert eventually(lambda: run_ttsctl(appliance, "status").returncode == ExitCode.OK)


def test_pool_when_the_gateway_restarts_then_it_keeps_its_size(appliance):
    assert run_ttsctl(appliance, "scale", "worker-tone=3").returncode == ExitCode.OK
    old = appliance.program("gateway").pid
    assert run_ttsctl(appliance, "supervisorctl", "restart", "gateway").returncode == 0
    eventually(lambda: appliance.program("gateway").pid != old)
    assert eventually(lambda: health(appliance) == {"ready": 3, "total": 3})
    changed = run_ttsctl(appliance, "config", "diff", "--json")
    assert changed.returncode == ExitCode.FAILED
    assert [each["running"] for each in json.loads(changed.stdout)["pools"]] == [3]
    assert run_ttsctl(appliance, "scale", "worker-tone=2").returncode == ExitCode.OK
    assert run_ttsctl(appliance, "config", "diff").stdout == "nothing has changed since the start\n"


def test_pool_when_a_new_worker_does_not_come_then_it_is_as_before(appliance):
    done = run_ttsctl(appliance, "scale", "worker-tone=3", "--wait-s", "0.001")
    assert done.returncode == ExitCode.FAILED
    assert "worker-tone-3 isn't back after" in done.stderr
    assert set(workers(appliance)) == {"worker-tone-1", "worker-tone-2"}
    files = {path.name for path in (appliance.run_dir / WORKERS_DIR).iterdir()}
    assert files == {"worker-tone-1.conf", "worker-tone-2.conf"}
    assert health(appliance) == {"ready": 2, "total": 2}


def test_pool_when_memory_would_not_suffice_then_refused_unless_forced(appliance_factory):
    appliance = appliance_factory(WORKERS_TONE=1, VOICES_DEFAULT="tone-low")
    appliance.wait_until_ready()
    path = appliance.run_dir / LAUNCHER_FILE
    path.write_text(json.dumps(read_json(path) | {"memory_bytes": 200 * 1024**2, "cores": 1}))
    refused = run_ttsctl(appliance, "scale", "worker-tone=2")
    assert refused.returncode == ExitCode.FAILED
    assert "--force does it all the same" in refused.stderr
    forced = run_ttsctl(appliance, "scale", "worker-tone=2", "--force", "--json")
    assert forced.returncode == ExitCode.OK
    assert len(json.loads(forced.stdout)["notes"]) == 2  # memory and cores


@pytest.mark.parametrize("word", ["tone", "tone=0", "tone=65", "worker-tone=x", "tone=-1"])
def test_scale_when_the_word_is_wrong_then_64(word, appliance):
    assert run_ttsctl(appliance, "scale", word).returncode == ExitCode.USAGE


@pytest.mark.parametrize("engine", ["vits", "nobody"])
def test_scale_when_the_engine_has_no_workers_then_1_and_what_to_do(engine, appliance):
    done = run_ttsctl(appliance, "scale", f"{engine}=1")
    assert done.returncode == ExitCode.FAILED
    assert "ttsctl config apply" in done.stderr


def test_scale_when_nothing_runs_then_2(run_dir: Path):
    assert run_ttsctl_in(environment_of(run_dir), "scale", "tone=2").returncode == ExitCode.DOWN
