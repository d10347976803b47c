"""The support bundle: everything in it, nothing secret, whether the appliance runs or not."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.settings import ROOT
from appliance.store.opening import StoreLock, prepare
from processes.ttsctl.bundle_parts import PARTS
from processes.ttsctl.outcome import ExitCode
from processes.ttsctl.support_bundle import MAX_PART_BYTES
from tests.parts.appliance import Appliance, launcher_environment
from tests.parts.ttsctl import environment_of, run_ttsctl, run_ttsctl_in, run_ttsctl_noting

pytestmark = pytest.mark.timeout(180)

TEXT = "canary-text sung by a yellow bird"
KEYS = {"api": "canary-api-key-0123456789abcdef", "admin": "canary-admin-key-0123456789abcdef"}


@pytest.fixture(scope="module")
def keyed(appliance_factory: Callable[..., Appliance], tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    """An appliance with keys, that keeps texts in its history, answers and jobs."""
    folder = tmp_path_factory.mktemp("keys")
    for name, key in KEYS.items():
        (folder / name).write_text(f"{key}\n")
        (folder / name).chmod(0o600)
    appliance = appliance_factory(
        VOICES_DEFAULT="tone-low",
        HTTP_API_KEYS_FILE=folder / "api",
        ADMIN_KEY_FILE=folder / "admin",
        STORE_HISTORY_TEXT="true",
        CACHE_SPEECH="true",
        LOG_LEVEL="DEBUG",
    )
    appliance.wait_until_ready()
    for body in (
        {"input": TEXT},
        {"input": TEXT, "voice": "canary-voice" * 3},
        {"input": f"{TEXT}\ud800"},
        {},
    ):
        ask(appliance, "/v1/audio/speech", json.dumps(body), KEYS["api"])
    ask(appliance, "/v1/audio/speech", f'{{"input": "{TEXT}"', KEYS["api"])
    ask(appliance, f"/v1/audio/speech?input={TEXT.replace(' ', '+')}", None, KEYS["api"])
    ask(appliance, "/v1/jobs", json.dumps({"input": TEXT, "title": TEXT}), KEYS["api"])
    ask(appliance, "/admin/status", None, KEYS["admin"])
    ask(appliance, f"/v1/audio/voices?key={KEYS['api']}", None, f"{KEYS['api']}x")
    appliance.wait_for("job_finished")
    return appliance


def ask(appliance: Appliance, path: str, body: str | None, key: str) -> None:
    """Ask with a key, whatever the answer."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    data = None if body is None else body.encode("utf-8", "surrogatepass")
    request = urllib.request.Request(appliance.base_url + path, data, headers)
    try:
        urllib.request.urlopen(request, timeout=30).read()
    except urllib.error.HTTPError as error:
        error.read()


def contents(archive: bytes) -> dict[str, bytes]:
    """The bundle's files by their names without the folder."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as bundle:
        files = {}
        for entry in bundle.getmembers():
            file = bundle.extractfile(entry)
            assert file is not None
            assert entry.mode == 0o600
            files[entry.name.partition("/")[2]] = file.read()
    return files


def test_bundle_when_all_runs_then_every_part_is_there_as_the_manifest_says(keyed, tmp_path):
    done = run_ttsctl(keyed, "support-bundle", str(tmp_path), "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    told = json.loads(done.stdout)
    path = Path(told["file"])
    assert path.parent == tmp_path
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, told["bytes"])
    files = contents(path.read_bytes())
    assert set(files) == {*PARTS, "manifest.json"}
    manifest = json.loads(files["manifest.json"])
    assert [part["error"] for part in manifest["parts"]] == [None] * len(PARTS)
    for part in manifest["parts"]:
        content = files[part["name"]]
        assert (part["bytes"], part["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert len(content) <= MAX_PART_BYTES
        if part["name"].endswith(".json"):
            assert json.loads(content) is not None
    assert json.loads(files["store.json"])["rows"]["jobs"] == 1
    assert b"request_finished" in files["logs.jsonl"]
    assert json.loads(files["settings.json"])["admin.key_file"] == "(not shown)"


def test_bundle_when_the_gateway_runs_then_it_counts_the_rows_and_nobody_else_opens_its_database(
    keyed, tmp_path
):
    path = tmp_path / "bundle.tar.gz"
    _, opened = run_ttsctl_noting(keyed, "support-bundle", str(path))
    assert opened == []
    assert json.loads(contents(path.read_bytes())["store.json"])["rows"]["jobs"] == 1


def test_bundle_when_no_gateway_answers_then_the_rows_are_counted_under_the_lock_alone(run_dir, tmp_path):
    environment = launcher_environment(run_dir)
    database = run_dir / "data" / "appliance.sqlite"
    lock = StoreLock(database)
    prepare(database)
    assert run_ttsctl_in(environment, "support-bundle", str(tmp_path / "held.tar.gz")).returncode == 0
    held = contents((tmp_path / "held.tar.gz").read_bytes())
    errors = {each["name"]: each["error"] for each in json.loads(held["manifest.json"])["parts"]}
    assert errors["store.json"] == "Another process works with the database"
    lock.release()
    assert run_ttsctl_in(environment, "support-bundle", str(tmp_path / "free.tar.gz")).returncode == 0
    rows = json.loads(contents((tmp_path / "free.tar.gz").read_bytes())["store.json"])["rows"]
    assert (rows["jobs"], rows["runs"]) == (0, 0)


def test_bundle_when_canaries_were_spoken_and_shown_then_none_is_in_it(keyed, tmp_path):
    # A key in the log, as a library might write it: the last line of defence.
    ring = keyed.run_dir / "log" / "appliance.log"
    with ring.open("ab") as file:
        file.write(f'{{"event": "library_log", "message": "bad header {KEYS["api"]}"}}\n'.encode())
    path = tmp_path / "bundle.tar.gz"
    assert run_ttsctl(keyed, "support-bundle", str(path)).returncode == ExitCode.OK
    found = contents(path.read_bytes())
    assert b"bad header (redacted)" in found["logs.jsonl"]
    hits = {
        (name, word)
        for name, content in found.items()
        for word in (*KEYS.values(), "canary-text", "yellow bird", "canary-admin", "canary-api")
        if word.encode() in content
    }
    assert hits == set()


def test_bundle_when_a_key_stands_where_its_file_should_then_it_is_not_in_it(run_dir, tmp_path):
    environment = environment_of(run_dir) | {"APPLIANCE_ADMIN_KEY_FILE": KEYS["admin"]}
    done = run_ttsctl_in(environment, "support-bundle", str(tmp_path / "b.tar.gz"))
    assert done.returncode == ExitCode.OK
    for name, content in contents((tmp_path / "b.tar.gz").read_bytes()).items():
        assert b"canary" not in content, name
    assert "canary" not in done.stdout + done.stderr


def test_bundle_when_nothing_runs_then_what_is_missing_is_named(run_dir, tmp_path):
    environment = environment_of(run_dir) | {"APPLIANCE_DATA_DIR": str(tmp_path / "data")}
    done = run_ttsctl_in(environment, "support-bundle", str(tmp_path / "b.tar.gz"))
    assert done.returncode == ExitCode.OK
    assert "without health.json: the gateway doesn't answer" in done.stdout
    files = contents((tmp_path / "b.tar.gz").read_bytes())
    assert {"versions.json", "settings.json", "doctor.json", "limits.json"} <= files.keys()
    errors = {each["name"]: each["error"] for each in json.loads(files["manifest.json"])["parts"]}
    assert errors["metrics.txt"]
    assert not errors["doctor.json"]


def test_bundle_when_the_log_is_long_then_its_last_whole_lines_are_kept(run_dir, tmp_path):
    line = json.dumps({"event": "x", "level": "INFO", "filling": "y" * 900}).encode() + b"\n"
    (run_dir / "log").mkdir()
    (run_dir / "log" / "appliance.log").write_bytes(line * (MAX_PART_BYTES // len(line) + 10))
    path = tmp_path / "b.tar.gz"
    assert run_ttsctl_in(environment_of(run_dir), "support-bundle", str(path)).returncode == ExitCode.OK
    files = contents(path.read_bytes())
    assert MAX_PART_BYTES - len(line) <= len(files["logs.jsonl"]) <= MAX_PART_BYTES
    assert {json.loads(each)["event"] for each in files["logs.jsonl"].splitlines()} == {"x"}
    [part] = [each for each in json.loads(files["manifest.json"])["parts"] if each["name"] == "logs.jsonl"]
    assert part["is_cut"] is True


def test_bundle_when_standard_output_is_wanted_then_nothing_else_is_on_it(run_dir):
    done = subprocess.run(
        [sys.executable, "-m", "processes.ttsctl", "support-bundle", "-"],
        cwd=ROOT,
        env=environment_of(run_dir),
        capture_output=True,
        check=True,
    )
    assert "manifest.json" in contents(done.stdout)
    assert b"standard output: " in done.stderr


@pytest.mark.parametrize("name", ["there.tar.gz", "no/such/folder/b.tar.gz"])
def test_bundle_when_it_can_not_be_written_then_1_and_nothing_is_left(name, run_dir, tmp_path):
    (tmp_path / "there.tar.gz").write_text("mine")
    done = run_ttsctl_in(environment_of(run_dir), "support-bundle", str(tmp_path / name))
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert [each.name for each in tmp_path.iterdir()] == ["there.tar.gz"]
    assert (tmp_path / "there.tar.gz").read_text() == "mine"
