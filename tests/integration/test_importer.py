"""The importer as a command: real processes, and a library in Coqui's place that fails as asked."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from appliance.settings import ROOT
from appliance.voice_folders import locked
from appliance.voice_imports import IMPORTS_FILE, KILLED, ImportState, read_imports
from appliance.voice_store import VoiceStore
from processes.importer.exit_code import ExitCode
from tests.parts.appliance import eventually, launcher_environment, running_appliance
from tests.parts.asked import asked
from tests.parts.memory_limit import memory_limit
from tests.parts.stand_in_coqui import broken_coqui, stand_in_coqui
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(60)
LIMIT_S = 30


@pytest.fixture
def environment(run_dir: Path) -> dict[str, str]:
    """That of an appliance which has run here, with the stand-in in Coqui's place."""
    (run_dir / "run").mkdir()
    return launcher_environment(run_dir) | stand_in_coqui(run_dir / "lib")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "processes.importer", *arguments]


def run(
    environment: dict[str, str], *arguments: str, under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, *command(*arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextlib.contextmanager
def hanging_import(environment: dict[str, str], base: Path) -> Iterator[subprocess.Popen[str]]:
    """An import that has begun to download and will never end; killed with the block."""
    with subprocess.Popen(
        command("tts_models/en/stand-in/hangs"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            eventually(lambda: list(base.glob("data/voices/.making-*/half")))
            yield process
        finally:
            process.kill()


def entry(base: Path):
    [found] = read_imports(base / "run")
    return found


def left(base: Path) -> list[Path]:
    return list((base / "data" / "voices").rglob("*"))


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("offline", ExitCode.NO_NETWORK, "can't be reached"),
        ("terms", ExitCode.TERMS, "coqui.accept_terms"),
        ("absent", ExitCode.MODEL_REFUSED, "no model called"),
        ("dies", ExitCode.FAILED, "killed by SIGSEGV"),
    ],
)
def test_import_when_it_fails_then_it_says_why_and_leaves_nothing(
    environment, run_dir, model, code, words
) -> None:
    done = run(environment, f"tts_models/en/stand-in/{model}")
    assert done.returncode == code, done
    assert words in done.stderr
    assert done.stderr.startswith("importer: ")
    assert done.stderr.count("\n") == 1
    assert json.loads(done.stdout.splitlines()[-1])["state"] == "failed"
    assert words in entry(run_dir).reason
    assert left(run_dir) == []


def test_import_when_coqui_cannot_be_imported_then_it_says_so(environment, run_dir) -> None:
    broken = environment | broken_coqui(run_dir / "broken")
    (run_dir / "model").mkdir()
    done = run(broken, str(run_dir / "model"))
    assert done.returncode == ExitCode.NOT_INSTALLED
    assert "no Coqui on this machine" in done.stderr


def test_import_when_packages_are_missing_then_said_before_anything_is_downloaded(
    environment, run_dir
) -> None:
    done = run(environment | broken_coqui(run_dir / "broken"), "tts_models/en/stand-in/hangs")
    assert done.returncode == ExitCode.NOT_INSTALLED
    assert "make .venv/neural.stamp" in done.stderr
    assert [json.loads(line)["state"] for line in done.stdout.splitlines()] == ["waiting", "failed"]


def test_import_when_ctrl_c_comes_before_it_has_begun_then_cancelled_all_the_same(
    environment, run_dir
) -> None:
    """As `ttsctl voices import` starts it: the signal waits until the importer can take it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process = subprocess.Popen(
            command("tts_models/en/stand-in/hangs"),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (130, "importer: cancelled, and nothing is left of it\n")
    assert left(run_dir) == []


def test_state_when_written_then_nobody_else_may_read_it(environment, run_dir) -> None:
    run(environment, "tts_models/en/stand-in/offline")
    assert (run_dir / "run" / IMPORTS_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("name", "code"), [("cut", ExitCode.NO_NETWORK), ("full", ExitCode.NOT_WRITTEN)])
def test_import_when_a_download_ends_then_the_network_or_the_disk_is_named(environment, name, code) -> None:
    assert run(environment, f"tts_models/en/stand-in/{name}").returncode == code


def test_import_when_a_library_asks_on_the_terminal_then_nobody_answers(environment, run_dir) -> None:
    with hanging_import(environment, run_dir) as process:
        [maker] = psutil.Process(process.pid).children()
        assert Path(f"/proc/{maker.pid}/fd/0").readlink() == Path(os.devnull)
        assert maker.nice() == 19


@pytest.mark.parametrize("arguments", [["nothing"], [], ["--appliance", "x"], ["--colour"]])
def test_import_when_the_command_line_is_wrong_then_64(environment, arguments) -> None:
    assert run(environment, *arguments).returncode == ExitCode.USAGE


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.STOPPED)]
)
def test_import_when_stopped_then_nothing_is_left_of_it(environment, run_dir, number, code) -> None:
    with hanging_import(environment, run_dir) as process:
        [maker] = psutil.Process(process.pid).children()
        process.send_signal(number)
        assert process.wait(LIMIT_S) == code
        assert not psutil.pid_exists(maker.pid)
        assert process.stderr is not None
        assert process.stderr.read() == "importer: cancelled, and nothing is left of it\n"
    assert left(run_dir) == []
    assert (entry(run_dir).state, entry(run_dir).code) == (ImportState.FAILED, "import_stopped")


def test_import_when_killed_then_its_process_dies_too_and_the_next_one_cleans_up(
    environment, run_dir
) -> None:
    with hanging_import(environment, run_dir) as process:
        [maker] = psutil.Process(process.pid).children()
        process.kill()
        process.wait(LIMIT_S)
        eventually(lambda: not maker.is_running() or maker.status() == psutil.STATUS_ZOMBIE)
    assert left(run_dir) != []
    assert (entry(run_dir).state, entry(run_dir).reason) == (ImportState.FAILED, KILLED)
    run(environment, "tts_models/en/stand-in/offline")
    assert left(run_dir) == []


def test_import_when_its_own_process_is_killed_then_nothing_is_left(environment, run_dir) -> None:
    with hanging_import(environment, run_dir) as process:
        [maker] = psutil.Process(process.pid).children()
        maker.kill()
        assert process.wait(LIMIT_S) == ExitCode.FAILED
    assert left(run_dir) == []
    assert "SIGKILL" in entry(run_dir).reason


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"APPLIANCE_IMPORTER_LIMIT_S": "1"}, "importer.limit_s"),
        ({"APPLIANCE_IMPORTER_MEMORY_BYTES": "1"}, "importer.memory_bytes"),
    ],
)
def test_import_when_it_takes_too_much_then_ended(environment, run_dir, limits, words) -> None:
    done = run(environment | limits, "tts_models/en/stand-in/hangs")
    assert done.returncode == ExitCode.FAILED
    assert words in done.stderr
    assert left(run_dir) == []


def assert_memory_is_short(done: subprocess.CompletedProcess[str], base: Path) -> None:
    """It has failed before anything was downloaded, and says what it needs and where that is told of."""
    assert done.returncode == ExitCode.FAILED, done
    assert [json.loads(line)["state"] for line in done.stdout.splitlines()] == ["waiting", "failed"]
    assert "importer.needed_bytes" in done.stderr
    assert "docs/operate/voices.md" in done.stderr
    assert (entry(base).state, entry(base).code) == (ImportState.FAILED, "memory_short")
    assert left(base) == []


def test_import_when_more_memory_is_needed_than_any_machine_has_then_failed_before_it_begins(
    environment, run_dir
) -> None:
    needing = environment | {"APPLIANCE_IMPORTER_NEEDED_BYTES": str(2**40)}
    assert_memory_is_short(run(needing, "tts_models/en/stand-in/hangs"), run_dir)


def test_import_when_a_limit_leaves_too_little_memory_then_failed_before_it_begins_and_else_it_begins(
    environment, run_dir
) -> None:
    with memory_limit(2**30) as under:
        assert_memory_is_short(run(environment, "tts_models/en/stand-in/hangs", under=under), run_dir)
    with memory_limit(2**31) as under:
        begun = run(environment, "tts_models/en/stand-in/offline", under=under)
    assert begun.returncode == ExitCode.NO_NETWORK, begun


def test_import_when_another_one_runs_then_refused_and_that_one_goes_on(environment, run_dir) -> None:
    with hanging_import(environment, run_dir) as process:
        done = run(environment, "tts_models/en/stand-in/offline")
        assert (done.returncode, done.stdout) == (ExitCode.BUSY, "")
        assert entry(run_dir).state is ImportState.DOWNLOADING
        assert process.poll() is None


def test_import_when_the_appliances_waits_for_its_next_try_then_both_are_told(environment, run_dir) -> None:
    wanting = environment | {"APPLIANCE_VOICES_IMPORT": "tts_models/en/stand-in/offline"}

    def states() -> dict[str, ImportState]:
        return {each.model: each.state for each in read_imports(run_dir / "run")}

    with subprocess.Popen(command("--appliance"), cwd=ROOT, env=wanting) as waiting:
        try:
            eventually(lambda: [each.reason for each in read_imports(run_dir / "run") if each.reason])
            with hanging_import(environment, run_dir):  # it has the store, and the other one waits on
                assert states() == {
                    "tts_models/en/stand-in/offline": ImportState.WAITING,
                    "tts_models/en/stand-in/hangs": ImportState.DOWNLOADING,
                }
        finally:
            waiting.kill()


def test_import_when_it_runs_beside_the_appliance_then_that_shows_it_to_its_end(
    environment: dict[str, str], run_dir: Path
) -> None:
    """As Compose has it: the same data folder, another run directory, which no appliance has."""
    with running_appliance(run_dir / "beside", DATA_DIR=run_dir / "data") as appliance:

        def shown() -> list[tuple[str, str]]:
            imports = json.loads(run_ttsctl(appliance, "status", "--json").stdout)["imports"]
            return [(each["state"], each["code"]) for each in imports]

        def is_shown(*wanted: tuple[str, str]) -> bool:
            imports = asked(appliance, "/health")["imports"]
            return [(each["state"], each["code"]) for each in imports] == [*wanted]

        with hanging_import(environment, run_dir):
            eventually(lambda: is_shown(("downloading", "")))
            assert shown() == [("downloading", "")]
        eventually(lambda: is_shown(("failed", "import_killed")))
        assert run(environment, "tts_models/en/stand-in/offline").returncode == ExitCode.NO_NETWORK
        eventually(lambda: is_shown(("failed", "download_failed")))
        assert shown() == [("failed", "download_failed")]
        assert run(environment, "--appliance").returncode == ExitCode.OK  # nothing is wanted any more
        eventually(is_shown)


def test_imports_when_several_run_beside_the_appliance_then_all_are_shown(
    environment: dict[str, str], run_dir: Path
) -> None:
    """One waits for its next try, and another one has its turn meanwhile."""
    offline, hangs = "tts_models/en/stand-in/offline", "tts_models/en/stand-in/hangs"
    wanting = environment | {"APPLIANCE_VOICES_IMPORT": offline}
    with (
        running_appliance(run_dir / "beside", DATA_DIR=run_dir / "data") as appliance,
        subprocess.Popen(command("--appliance"), cwd=ROOT, env=wanting) as waiting,
    ):

        def is_shown(**wanted: str) -> bool:
            shown = {each["model"]: each["state"] for each in asked(appliance, "/health")["imports"]}
            return shown == {f"tts_models/en/stand-in/{name}": state for name, state in wanted.items()}

        try:
            eventually(lambda: is_shown(offline="waiting"), LIMIT_S)
            with hanging_import(environment, run_dir):
                eventually(lambda: is_shown(offline="waiting", hangs="downloading"))
                table = run_ttsctl(appliance, "status").stdout
                assert offline in table
                assert hangs in table
                checks = json.loads(run_ttsctl(appliance, "doctor", "--json").stdout)["checks"]
                [found] = [check for check in checks if check["name"] == "imports"]
                assert found["seen"].startswith("2 under way")
        finally:
            waiting.kill()


def test_import_when_the_appliance_wants_nothing_then_it_ends_well(environment, run_dir) -> None:
    assert run(environment, "--appliance").returncode == ExitCode.OK
    assert read_imports(run_dir / "run") == []


def test_import_when_done_then_the_store_is_free_again(environment, run_dir) -> None:
    run(environment, "tts_models/en/stand-in/offline")
    with locked(VoiceStore(run_dir / "data").folder) as is_free:
        assert is_free
