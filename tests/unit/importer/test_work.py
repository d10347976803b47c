"""Several errands, one after the other: what is tried again, and what no errand may keep from the others."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ApplianceError
from appliance.import_errors import ImporterFailedError, VoiceDownloadError, VoiceNotWrittenError
from appliance.settings import Settings
from appliance.voice_folders import locked
from appliance.voice_imports import ImportState, VoiceImport, read_imports
from appliance.voice_store import VoiceStore
from processes.importer import work
from processes.importer.errand import Errand, model_errand
from processes.importer.exit_code import ExitCode
from processes.importer.keeper import Made, OnMessage
from processes.importer.work import RETRIES_S, Importer
from tests.parts.stored_voices import put

OFFLINE, FINE, LATE = (model_errand(f"tts_models/en/{name}/vits") for name in ("offline", "fine", "late"))


class Silent:
    """Tells nobody."""

    def changed(self, entry: VoiceImport, downloaded_bytes: int = 0) -> None: ...

    def made(self, made: Made) -> None: ...


class Machine:
    """What happens to errands here: their failures in turn, then success."""

    def __init__(self) -> None:
        self.failures: dict[Errand, list[Exception]] = {}
        self.begun: list[Errand | float] = []
        """Errands, and the pauses between them in seconds."""
        self.on_run: Callable[[], None] = lambda: None

    def keeper(self, errand: Errand, _settings: Settings) -> Any:
        machine = self

        class Keeper:
            def run(self, _on_message: OnMessage) -> Made:
                machine.begun.append(errand)
                machine.on_run()
                if machine.failures.get(errand):
                    raise machine.failures[errand].pop(0)
                return Made(errand.id, "fp32", ())

        return Keeper()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(work, "Keeper", made.keeper)
    monkeypatch.setattr(time, "sleep", made.begun.append)
    return made


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    settings = Settings.model_validate({"run": {"dir": tmp_path}, "data": {"dir": tmp_path}})
    return Importer(settings, Silent())


def offline(times: int) -> list[Exception]:
    return [VoiceDownloadError("Nobody answers") for _ in range(times)]


def states(run_dir: Path) -> dict[str, ImportState]:
    return {entry.model: entry.state for entry in read_imports(run_dir)}


def test_errands_when_the_first_finds_no_network_then_the_others_come_before_it_is_tried_again(
    machine, importer
) -> None:
    machine.failures = {OFFLINE: offline(1), LATE: offline(2)}
    assert importer.do_patiently([OFFLINE, FINE, LATE], []) == ExitCode.OK
    first, second, _ = RETRIES_S
    assert machine.begun == [OFFLINE, FINE, LATE, first, OFFLINE, LATE, second, LATE]


def test_errand_when_the_network_never_comes_then_failed_after_the_last_try(
    machine, importer, tmp_path
) -> None:
    machine.failures = {OFFLINE: offline(9)}
    assert importer.do_patiently([OFFLINE, FINE], []) == ExitCode.NO_NETWORK
    assert machine.begun.count(OFFLINE) == 1 + len(RETRIES_S)
    assert states(tmp_path) == {OFFLINE.title: ImportState.FAILED, FINE.title: ImportState.DONE}


def test_errand_when_it_waits_for_its_next_try_then_it_says_why_and_when(
    machine, importer, tmp_path, monkeypatch
) -> None:
    reasons = []
    monkeypatch.setattr(time, "sleep", lambda _: reasons.append(read_imports(tmp_path)[0].reason))
    machine.failures = {OFFLINE: offline(1)}
    importer.do_patiently([OFFLINE, FINE], [])
    machine.failures = {OFFLINE: offline(1)}
    importer.do_patiently([OFFLINE], [])
    assert reasons == [
        "Nobody answers; tried again 10 s after the others",
        "Nobody answers; tried again after 10 s",
    ]
    assert read_imports(tmp_path)[0].reason == ""


def test_errands_when_they_wait_for_their_next_try_then_another_import_may_come_in_and_is_waited_for(
    machine, importer, tmp_path, monkeypatch
) -> None:
    folder, seen = VoiceStore(tmp_path).folder, []

    def is_free() -> bool:
        with locked(folder) as is_ours:
            return is_ours

    monkeypatch.setattr(time, "sleep", lambda _: seen.append(("waits", is_free())))
    monkeypatch.setattr(machine, "on_run", lambda: seen.append(("runs", is_free())))
    machine.failures = {OFFLINE: offline(1)}
    assert importer.do_patiently([OFFLINE, FINE], []) == ExitCode.OK
    assert seen == [("runs", False), ("runs", False), ("waits", True), ("runs", False)]


def test_errands_when_somebody_makes_their_voices_meanwhile_then_they_are_done_and_not_made_again(
    machine, importer, tmp_path, monkeypatch
) -> None:
    store = VoiceStore(tmp_path)
    put(store, "old", model=OFFLINE.source)
    there = store.manifests()
    put(store, "fine", model=FINE.source)  # between the look and the first try
    monkeypatch.setattr(time, "sleep", lambda _: put(store, "late", model=LATE.source))
    machine.failures = {OFFLINE: offline(1), LATE: offline(1)}
    assert importer.do_patiently([OFFLINE, FINE, LATE], there) == ExitCode.OK
    assert machine.begun == [OFFLINE, LATE, OFFLINE]
    assert {entry.model: (entry.state, entry.voice, entry.reason) for entry in read_imports(tmp_path)} == {
        OFFLINE.title: (ImportState.DONE, OFFLINE.id, ""),
        FINE.title: (ImportState.DONE, "fine", ""),
        LATE.title: (ImportState.DONE, "late", ""),
    }


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ExitCode.NOT_WRITTEN),
        (ImporterFailedError(), ExitCode.FAILED),
    ],
)
def test_errand_when_it_fails_for_good_then_told_and_the_next_is_tried(
    machine, importer, tmp_path, failure, code
) -> None:
    machine.failures = {OFFLINE: [failure]}
    assert importer.do_patiently([OFFLINE, FINE], []) == code
    assert states(tmp_path) == {OFFLINE.title: ImportState.FAILED, FINE.title: ImportState.DONE}


def test_errand_when_the_disk_is_full_then_its_error_says_so(machine, importer, tmp_path) -> None:
    machine.failures = {FINE: [OSError(errno.ENOSPC, "No space left on device")]}
    with pytest.raises(ApplianceError) as caught:
        importer.do(FINE)
    assert type(caught.value) is VoiceNotWrittenError
    [entry] = read_imports(tmp_path)
    assert (entry.code, entry.reason) == (
        "voice_not_written",
        "The voice couldn't be written: No space left on device",
    )
