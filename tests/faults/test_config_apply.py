"""A changed configuration comes into force where it works, and leaves all as it was where it does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.ttsctl import environment_of, run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(300)

START = """\
[voices]
default = "tone-low"
[workers]
espeak = 0
tone = 2
vits = 0
coqui = 0
[http]
host = "127.0.0.1"
port = 0
api_keys_file = ""
[exporter]
port = 0
[store]
ballast_bytes = 0
"""
NAMES = """\
[aliases]
alloy = "tone-low"
"""
FROM_FILE = dict.fromkeys(
    (
        *("WORKERS_ESPEAK", "WORKERS_TONE", "WORKERS_VITS", "WORKERS_COQUI"),
        *("HTTP_HOST", "HTTP_PORT", "EXPORTER_PORT", "STORE_BALLAST_BYTES"),
    )
)
"""Settings that the environment leaves to the file."""


class Configured:
    """An appliance whose settings stand in a file of its own."""

    def __init__(self, appliance: Appliance, path: Path) -> None:
        self.appliance = appliance
        self.path = path

    def write(self, *pairs: tuple[str, str]) -> str:
        """Change words of the first configuration."""
        text = START
        for before, after in pairs:
            assert before in text
            text = text.replace(before, after)
        self.path.write_text(text)
        return text

    def ttsctl(self, *arguments: str) -> Any:
        return run_ttsctl(self.appliance, *arguments)

    def pids(self) -> dict[str, int]:
        return {name: program["pid"] for name, program in self.appliance.programs().items()}

    def get(self, path: str) -> Any:
        return json.loads(self.appliance.get(path))


@pytest.fixture(scope="module")
def configured(
    appliance_factory: Callable[..., Appliance], tmp_path_factory: pytest.TempPathFactory
) -> Configured:
    path = tmp_path_factory.mktemp("config") / "appliance.toml"
    path.write_text(START)
    path.with_name("voices.toml").write_text(NAMES)
    appliance = appliance_factory(CONFIG=path, **FROM_FILE)
    appliance.wait_until_ready()
    appliance.wait_until_running()
    return Configured(appliance, path)


@pytest.fixture(autouse=True)
def as_at_the_start(configured):
    yield
    configured.write()
    configured.path.with_name("voices.toml").write_text(NAMES)
    done = configured.ttsctl("config", "apply")
    assert done.returncode == ExitCode.OK, done.stderr
    assert configured.ttsctl("config", "diff").returncode == ExitCode.OK


def test_diff_when_settings_have_changed_then_each_with_its_values_and_programs(configured):
    configured.write(('default = "tone-low"', 'default = "tone-high"'), ("tone = 2", "tone = 3"))
    done = configured.ttsctl("config", "diff", "--json")
    assert done.returncode == ExitCode.FAILED
    told = json.loads(done.stdout)
    assert told["same"] is False
    assert told["changes"] == [
        {
            "what": "voices.default",
            "running": "tone-low",
            "now": "tone-high",
            "restarts": ["gateway", "workers of vits"],
        },
        {"what": "workers.tone", "running": 2, "now": 3, "restarts": []},
    ]
    assert told["pools"] == [{"engine": "tone", "running": 2, "now": 3, "reason": "as set"}]
    shown = configured.ttsctl("config", "diff").stdout
    assert "voices.default  tone-low  tone-high" in shown


def test_diff_when_a_key_stands_where_its_file_should_then_it_is_not_shown(configured, tmp_path):
    keys = tmp_path / "canary-keys"
    keys.write_text("canary-key-0123456789abcdef0123456789\n")
    keys.chmod(0o600)
    configured.write(('api_keys_file = ""', f'api_keys_file = "{keys}"'))
    for arguments in (("config", "diff"), ("config", "diff", "--json")):
        done = configured.ttsctl(*arguments)
        assert "http.api_keys_file" in done.stdout
        assert "canary" not in done.stdout + done.stderr


def test_apply_when_only_a_pool_has_changed_then_nobody_else_is_touched(configured):
    before = configured.pids()
    configured.write(("tone = 2", "tone = 3"))
    done = configured.ttsctl("config", "apply")
    assert done.returncode == ExitCode.OK, done.stderr
    assert done.stdout.splitlines()[0] == "tone: 3 workers, 2 before"
    assert configured.get("/health")["worker"] == {"ready": 3, "total": 3}
    eventually(lambda: before.items() <= configured.pids().items())


def test_apply_when_an_engine_and_a_default_come_then_the_gateway_is_new_and_speaks_so(configured):
    before = configured.pids()
    configured.write(("espeak = 0", "espeak = 1"), ('default = "tone-low"', 'default = "en-us"'))
    done = configured.ttsctl("config", "apply", "--json")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert json.loads(done.stdout)["applied"] is True
    eventually(lambda: configured.pids()["gateway"] != before["gateway"])
    assert configured.pids()["worker-tone-1"] == before["worker-tone-1"]
    assert configured.get("/health/tts")["engine"] == "espeak"


def test_apply_when_a_name_of_a_voice_has_changed_then_told_and_spoken_so(configured):
    configured.path.with_name("voices.toml").write_text(NAMES.replace("tone-low", "tone-high"))
    [change] = json.loads(configured.ttsctl("config", "diff", "--json").stdout)["changes"]
    assert change == {
        "what": "voices.toml: aliases.alloy",
        "running": "tone-low",
        "now": "tone-high",
        "restarts": ["gateway"],
    }
    assert configured.ttsctl("config", "apply").returncode == ExitCode.OK
    aliases = configured.get("/v1/audio/voices")
    assert '"tone-high"' in json.dumps(aliases)


def test_apply_when_an_engines_settings_have_changed_then_its_workers_roll(configured):
    before = configured.pids()
    path = configured.path
    path.write_text(f"{configured.write()}\n[tone]\ndelay_s = 0.001\n")
    done = configured.ttsctl("config", "apply")
    assert done.returncode == ExitCode.OK, done.stderr
    now = eventually(lambda: (pids := configured.pids())["worker-tone-2"] != before["worker-tone-2"] and pids)
    assert now["worker-tone-1"] != before["worker-tone-1"]
    assert now["gateway"] == before["gateway"]


def test_apply_when_no_sample_can_be_heard_then_the_former_configuration_is_back(configured):
    tried = configured.write(('default = "tone-low"', 'default = "nobody"'), ("tone = 2", "tone = 3"))
    done = configured.ttsctl("config", "apply")
    assert done.returncode == ExitCode.FAILED
    assert "no sample was heard with it: voice_not_found" in done.stderr
    assert "the former configuration is in force again" in done.stderr
    assert configured.path.read_text() == START
    assert configured.path.with_name("appliance.toml.rejected").read_text() == tried
    assert configured.get("/health/tts")["status"] == "ok"
    eventually(lambda: configured.get("/health")["worker"] == {"ready": 2, "total": 2})
    assert configured.ttsctl("config", "diff").returncode == ExitCode.OK


def test_apply_when_a_program_can_not_start_with_it_then_back_and_the_appliance_lives(configured):
    configured.write(("port = 0\n[store]", f"port = {configured.appliance.port}\n[store]"))
    done = configured.ttsctl("config", "apply")
    assert done.returncode == ExitCode.FAILED, done.stdout
    assert "exporter doesn't come back" in done.stderr
    assert configured.path.read_text() == START
    eventually(lambda: configured.appliance.programs()["exporter"]["ready"])


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        ("tone = 2", "tone = 65", ExitCode.BAD_CONFIGURATION, "workers.tone"),
        ("[store]", "[shop]", ExitCode.BAD_CONFIGURATION, "shop"),
        ("port = 0\napi", "port = 8999\napi", ExitCode.FAILED, "only a restart of the appliance"),
    ],
)
def test_apply_when_it_is_wrong_or_too_much_then_refused_and_nothing_is_touched(
    before, after, code, said, configured
):
    running = configured.pids()
    configured.write((before, after))
    done = configured.ttsctl("config", "apply")
    assert (done.returncode, said in done.stderr) == (code, True)
    assert configured.pids() == running


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_apply_when_the_file_could_not_be_put_back_then_refused(configured):
    configured.write(("tone = 2", "tone = 3"))
    folder = configured.path.parent
    folder.chmod(0o500)
    try:
        done = configured.ttsctl("config", "apply")
    finally:
        folder.chmod(0o700)
    assert (done.returncode, "--no-revert" in done.stderr) == (ExitCode.FAILED, True)


def test_apply_when_only_a_comment_has_changed_then_0_and_a_way_back_keeps_it(configured):
    commented = f"# mine\n{configured.write()}"
    configured.path.write_text(commented)
    assert configured.ttsctl("config", "apply").stdout == "nothing has changed since the start\n"
    configured.path.write_text(commented.replace('default = "tone-low"', 'default = "nobody"'))
    assert configured.ttsctl("config", "apply").returncode == ExitCode.FAILED
    assert configured.path.read_text() == commented


def test_apply_when_nothing_has_changed_then_0_and_said_so(configured):
    done = configured.ttsctl("config", "apply")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "nothing has changed since the start\n")


@pytest.mark.parametrize("action", ["diff", "apply"])
def test_config_when_nothing_runs_then_2(action, run_dir):
    done = run_ttsctl_in(environment_of(run_dir), "config", action)
    assert done.returncode == ExitCode.DOWN


def test_config_check_when_asked_then_as_check_config(configured):
    one, other = configured.ttsctl("config", "check", "--json"), configured.ttsctl("check-config", "--json")
    assert (one.returncode, one.stdout) == (ExitCode.OK, other.stdout)
