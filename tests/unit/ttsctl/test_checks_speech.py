"""What `ttsctl doctor` finds of workers, probes, requests, voices and what is kept."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.diagnoses import FAILURES, OTHER_FAILURE
from appliance.imports_beside import claimed, write_beside
from appliance.running import CHANGED, flatten, write_pools
from appliance.store.backups import create_backup, list_backups
from appliance.store.opening import prepare
from appliance.voice_imports import ImportState, VoiceImport, write_imports
from appliance.voice_settings import ImporterSettings
from appliance.voice_store import VoiceStore
from processes.ttsctl import remedies
from processes.ttsctl.checks import imported, speaking, storing
from processes.ttsctl.finding import Verdict
from tests.parts.stored_voices import put
from tests.unit.ttsctl.patients import patient, planned, programs, set_to, status


@pytest.mark.parametrize(
    ("states", "fault", "seen"),
    [
        ([("espeak", "ready"), ("espeak", "busy")], "", "espeak 2 of 2"),
        (
            [("espeak", "ready"), ("espeak", "hung")],
            "worker_missing",
            "espeak 1 of 2 (worker-espeak-2 is hung)",
        ),
        ([("tone", "ready")], "no_worker", "espeak 0 of 2"),
    ],
)
def test_workers_when_compared_with_the_pools_then_who_is_missing_counts(states, fault, seen):
    finding = speaking.check_workers(patient(status=status(states)))
    assert finding.fault == fault
    assert finding.seen.startswith(seen)


@pytest.mark.parametrize(
    ("known", "why", "command"),
    [
        (
            {"watched": {"worker-espeak-2": {"held_until_s": 9.0, "last_exit": "exit code 70"}}},
            "held, its last exit was exit code 70",
            "ttsctl supervisorctl tail worker-espeak-2",
        ),
        (
            {"programs": [{"name": "worker-espeak-2", "statename": "STOPPED"}]},
            "STOPPED",
            "ttsctl supervisorctl start worker-espeak-2",
        ),
        (
            {"programs": [{"name": "worker-espeak-2", "statename": "RUNNING"}]},
            "not ready yet",
            "ttsctl supervisorctl tail worker-espeak-2",
        ),
    ],
)
def test_workers_when_one_is_missing_then_why_and_what_to_do(known, why, command):
    finding = speaking.check_workers(patient(status=status([("espeak", "ready")]), **known))
    assert finding.fault == "worker_missing"
    assert finding.seen == f"espeak 1 of 2 (worker-espeak-2 is {why})"
    assert finding.command == command


def test_pools_when_a_start_would_choose_others_then_that_is_advised():
    running = [asdict(pool) for pool in planned()]
    finding = speaking.check_pools(patient(launcher={"pools": running}))
    assert (finding.verdict, finding.advice) == (Verdict.OK, "")
    assert finding.seen.startswith("espeak 2, as many as cores; vits 0, no voice is imported")
    finding = speaking.check_pools(patient(launcher={"pools": running}, planned=planned(vits=3)))
    assert (finding.fault, finding.advice) == ("pools_changed", "change them to vits 3, as set")


@pytest.mark.parametrize(
    ("started_with", "command"),
    [
        ({"log.level": "DEBUG"}, remedies.APPLY),
        ({"http.port": 7999, "log.level": "DEBUG"}, remedies.START),
        ({}, remedies.START),
    ],
)
def test_pools_when_they_would_be_others_then_the_command_restarts_only_where_nothing_less_does_it(
    started_with, command
):
    launcher = {"pools": [asdict(pool) for pool in planned()]}
    found = patient(launcher=launcher, started_with=started_with, planned=planned(vits=3))
    assert speaking.check_pools(found).command == command


def test_pools_when_scale_has_changed_one_then_scale_takes_it_back_or_a_setting_keeps_it(tmp_path):
    write_pools(tmp_path, {"espeak": 3})
    launcher = {"pools": [asdict(pool) for pool in planned()]}
    found = patient(run_dir=tmp_path, launcher=launcher, started_with=flatten(set_to().model_dump()))
    finding = speaking.check_pools(found)
    assert finding.seen.startswith(f"espeak 3, {CHANGED}")
    assert finding.advice == "set workers.espeak = 3 to keep them; else go back to espeak 2, as many as cores"
    assert finding.command == "ttsctl scale worker-espeak=2"


def test_pools_when_one_is_too_small_then_it_warns_and_names_the_page():
    short = replace(planned()[2], is_short=True)
    finding = speaking.check_pools(patient(planned=(short,)))
    assert finding.fault == "pool_short"
    assert "capacity.md" in finding.advice


@pytest.mark.parametrize(
    ("said", "fault"),
    [("ok", ""), ("draining", "draining"), ("degraded", "degraded"), ("down", "down"), ("overloaded", "")],
)
def test_gateway_when_it_says_how_it_is_then_that_is_the_fault(said, fault):
    assert speaking.check_gateway(patient(status=status([], status=said))).fault == fault


@pytest.mark.parametrize(
    ("speech", "fault", "part"),
    [
        ({"status": "ok", "engine": "espeak", "sample_latency_ms": 5.0}, "", "5 ms"),
        ({"status": "busy", "engine": "espeak", "sample_latency_ms": None}, "", "busy"),
        ({"status": "starting", "engine": "espeak", "cause": None}, "probe_awaited", "starting"),
        ({"status": "down", "engine": "espeak", "cause": "silence"}, "probe_failed", "silence"),
        ({"status": "down", "engine": "espeak", "cause": "draining"}, "", "see gateway"),
        ({"status": "down", "engine": "espeak", "cause": "maintenance"}, "", "see gateway"),
        (
            {"status": "down", "engine": "espeak", "cause": "voice_not_found"},
            "default_voice_missing",
            "voice",
        ),
        (
            {"status": "down", "engine": "espeak", "cause": None, "age_s": 99.0, "workers_ready": 1},
            "probe_stale",
            "99 s ago",
        ),
        (
            {
                "status": "ok",
                "engine": "espeak",
                "engines": {
                    "espeak": {"audio_ok": True, "cause": None},
                    "vits": {"audio_ok": False, "cause": "silence"},
                },
            },
            "engine_probe_failed",
            "vits: silence",
        ),
    ],
)
def test_speech_when_the_last_probe_is_known_then_it_is_the_fault(speech, fault, part):
    finding = speaking.check_speech(patient(speech=speech))
    assert finding.fault == fault
    assert part in finding.seen


@pytest.mark.parametrize(
    ("ratio", "late_s", "count", "fault"),
    [
        (1.0, 0.01, 100, ""),
        (0.9, 0.01, 100, "requests_fail"),
        (1.0, 0.8, 100, "slow"),
        (0.5, 9.0, 3, ""),
    ],
)
def test_requests_when_too_many_fail_or_are_late_then_it_warns(ratio, late_s, count, fault):
    latency = {"samples": count, "ttfa_p90_s": late_s}
    known = status([], latency=latency, success_ratio=ratio)
    assert speaking.check_requests(patient(status=known)).fault == fault


def test_requests_when_most_have_failed_for_one_reason_then_that_is_the_diagnosis():
    codes = ["engine_failed", "worker_lost", "worker_lost"]
    failures = {"data": [{"ended_by": code, "request_id": f"r{at}"} for at, code in enumerate(codes)]}
    known = status([], latency={"samples": 100, "ttfa_p90_s": 0.01}, success_ratio=0.5)
    finding = speaking.check_requests(patient(status=known, failures=failures))
    assert finding.seen.endswith(f"2 of the last 3 by worker_lost: {FAILURES['worker_lost'].cause}")
    assert finding.command == "ttsctl logs --request=r1"
    failures["data"] = [{"ended_by": "new_code", "request_id": "r9"}]
    finding = speaking.check_requests(patient(status=known, failures=failures))
    assert (finding.advice, finding.command) == (OTHER_FAILURE.advice, "ttsctl logs --request=r9")


def test_queue_when_it_is_overloaded_or_has_refused_then_it_says_so():
    assert speaking.check_queue(patient(status=status([], status="overloaded"))).fault == "overloaded"
    metrics = {'tts_requests_rejected_total{reason="capacity"}': 3.0}
    finding = speaking.check_queue(patient(status=status([]), metrics=metrics))
    assert (finding.fault, "3 for capacity" in finding.seen) == ("refused", True)


def test_loop_when_it_wakes_up_late_too_often_then_it_warns():
    name = "tts_event_loop_lag_seconds"
    metrics = {f"{name}_count": 1000.0, f'{name}_bucket{{le="0.25"}}': 900.0}
    assert speaking.check_loop(patient(metrics=metrics)).fault == "loop_late"
    metrics[f'{name}_bucket{{le="0.25"}}'] = 990.0
    assert speaking.check_loop(patient(metrics=metrics)).verdict is Verdict.OK


def test_poison_when_a_text_was_refused_then_it_warns():
    metrics = {'tts_requests_rejected_total{reason="poison"}': 1.0}
    assert speaking.check_poison(patient(status=status([]), metrics=metrics)).fault == "poison_request"


def health(**fields: Any) -> dict[str, Any]:
    database = {"state": "ok", "since": "2026-01-02T03:04:05+00:00", "sqlite": "3.51.3"}
    return {"db": database, "backup": {"newest": None, "last": None, "next": None}, **fields}


@pytest.mark.parametrize("state", list(storing.STATES))
def test_database_when_the_gateway_says_how_it_is_then_it_has_a_fault_of_its_own(state, tmp_path):
    settings = set_to(data={"dir": tmp_path})
    known = health(db={"state": state, "since": "2026-01-02T03:04:05+00:00", "sqlite": "3.51.3"})
    finding = storing.check_database(patient(settings=settings, health=known))
    assert finding.fault == f"store_{state}"
    assert finding.command
    assert storing.check_database(patient(settings=settings, health=health())).verdict is Verdict.OK


def test_database_when_nothing_runs_then_its_first_bytes_tell(tmp_path):
    known = patient(settings=set_to(data={"dir": tmp_path}))
    assert storing.check_database(known).verdict is Verdict.OK
    path = tmp_path / "appliance.sqlite"
    path.write_bytes(b"")
    assert storing.check_database(known).fault == "database_broken"
    path.unlink()
    prepare(path)
    assert storing.check_database(known).verdict is Verdict.OK


def test_backups_when_the_newest_is_old_or_broken_then_another_is_advised(tmp_path, monkeypatch):
    known = patient(
        settings=set_to(data={"dir": tmp_path}), health=health(), status=status([], uptime_s=10.0)
    )
    assert storing.check_backups(known).seen == "none yet"
    idle = replace(known, status=status([], uptime_s=2 * storing.STALE_S))
    assert storing.check_backups(idle).fault == "backup_never"
    path = tmp_path / "appliance.sqlite"
    prepare(path)
    create_backup(path, tmp_path / "backups")
    assert storing.check_backups(known).verdict is Verdict.OK
    assert storing.check_backup_disk(known).fault == "backup_same_disk"
    (newest,) = list_backups(tmp_path / "backups")
    later = time.time() + 2 * storing.STALE_S
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        assert storing.check_backups(known).fault == "backup_stale"
    content = bytearray(newest.path.read_bytes())
    content[-1] ^= 1
    newest.path.write_bytes(content)
    finding = storing.check_backups(known)
    assert (finding.fault, finding.command) == ("backup_broken", "ttsctl backup create")


@pytest.mark.parametrize(("last", "fault"), [("damaged", "backup_found_damage"), ("failed", "backup_failed")])
def test_backups_when_the_last_went_wrong_then_that_comes_first(tmp_path, last, fault):
    said = health(backup={"newest": None, "last": last, "next": None})
    finding = storing.check_backups(patient(settings=set_to(data={"dir": tmp_path}), health=said))
    assert finding.fault == fault


def test_databases_when_moved_aside_then_a_hint_names_them(tmp_path):
    known = patient(settings=set_to(data={"dir": tmp_path}))
    assert storing.check_aside(known).verdict is Verdict.OK
    (tmp_path / "appliance.sqlite.corrupt-20260102T030405.678Z").touch()
    assert storing.check_aside(known).fault == "database_aside"


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("storage_full", "du -xh"),
        ("storage_readonly", "mount -o remount,rw"),
        ("draining", "ttsctl drain off"),
        ("engine_failed", "ttsctl jobs show abc"),
    ],
)
def test_jobs_when_they_wait_for_what_passes_then_the_command_is_about_that(reason, command):
    held = {"data": [{"id": "abc", "reason": reason}]}
    finding = storing.check_jobs(patient(paused_jobs=held, failed_jobs={"data": []}))
    assert finding.fault == "jobs_held"
    assert finding.command.startswith(command)
    by_somebody = {"data": [{"id": "abc", "reason": "requested"}]}
    assert (
        storing.check_jobs(patient(paused_jobs=by_somebody, failed_jobs={"data": []})).verdict is Verdict.OK
    )


def test_jobs_when_one_has_failed_today_then_it_is_to_be_tried_again():
    now = datetime.now(UTC)
    failed = {"data": [{"id": "abc", "reason": "job_damaged", "ended_at": now.isoformat()}]}
    finding = storing.check_jobs(patient(paused_jobs={"data": []}, failed_jobs=failed))
    assert (finding.fault, finding.command) == ("job_failed", "ttsctl jobs retry abc")
    failed["data"][0]["ended_at"] = (now - timedelta(days=2)).isoformat()
    assert storing.check_jobs(patient(paused_jobs={"data": []}, failed_jobs=failed)).verdict is Verdict.OK


def test_cache_when_its_disk_fails_then_the_command_is_about_how():
    def cache(state: str) -> dict[str, Any]:
        return {"files": {"state": state, "answers": 1, "bytes": 2}}

    assert storing.check_cache(patient(cache=cache("ok"))).verdict is Verdict.OK
    stalled = storing.check_cache(patient(cache=cache("stalled")))
    assert (stalled.fault, stalled.command) == ("cache_failed", storing.DISK_ERRORS)
    full = storing.check_cache(patient(cache=cache("No space left on device")))
    assert full.command.startswith("du -xh")


def test_history_when_rows_or_lines_lack_then_it_says_so():
    missing = patient(status=status([]), metrics={"tts_history_unrecorded_total": 2.0})
    assert storing.check_history(missing).fault == "rows_unrecorded"
    unwritten = patient(
        status=status([]),
        metrics={"tts_ledger_errors_total": 1.0},
        settings=set_to(log={"ledger_file": "ledger"}),
    )
    assert storing.check_history(unwritten).fault == "ledger_unwritten"


def test_voices_when_a_file_is_damaged_or_unreadable_then_the_command_imports_it_again(tmp_path):
    store = VoiceStore(tmp_path)
    known = patient(settings=set_to(data={"dir": tmp_path}))
    assert imported.check_voice_files(known).seen == "0 imported voices, all of them read to the last byte"
    put(store, "amy", model="tts_models/en/ljspeech/vits")
    assert imported.check_voice_files(known).verdict is Verdict.OK
    (store.path("amy") / "text.onnx").write_bytes(b"another")
    finding = imported.check_voice_files(known)
    assert finding.fault == "voice_damaged"
    assert finding.command == "ttsctl voices import tts_models/en/ljspeech/vits --id amy"
    (store.path("amy") / "voice.json").write_text("{")
    finding = imported.check_voice_files(known)
    assert (finding.fault, finding.command) == ("voice_unreadable", "ttsctl voices remove amy")


def test_imports_when_one_has_failed_or_is_yet_to_come_then_the_command_imports_it(run_dir):
    model = "tts_models/en/ljspeech/vits"
    settings = set_to(data={"dir": run_dir / "data"}, voices={"import": [model]})
    known = patient(run_dir=run_dir, settings=settings, programs=programs(gateway="RUNNING"))
    finding = imported.check_imports(known)
    assert (finding.fault, finding.command) == ("voice_not_imported", f"ttsctl voices import {model}")
    write_imports(run_dir, 1, [VoiceImport(model, ImportState.FAILED, reason="No network")])
    finding = imported.check_imports(known)
    assert (finding.fault, "No network" in finding.seen) == ("import_failed", True)
    elsewhere = settings.model_copy(update={"importer": ImporterSettings(elsewhere=True)})
    finding = imported.check_imports(replace(known, settings=elsewhere))
    assert finding.command == "docker compose up -d importer"


def test_imports_when_an_importer_beside_the_appliance_is_at_work_then_nothing_is_missing(run_dir):
    model = "tts_models/en/ljspeech/vits"
    settings = set_to(data={"dir": run_dir}, voices={"import": [model]}, importer={"elsewhere": True})
    known = patient(run_dir=run_dir / "run", settings=settings, programs=programs(gateway="RUNNING"))
    assert imported.check_imports(known).fault == "voice_not_imported"
    with claimed(run_dir) as folder:
        assert folder is not None
        write_beside(folder, [VoiceImport(model, ImportState.EXPORTING, 0.5)])
        assert imported.check_imports(known).seen == "1 under way, 1 of voices.import yet to come"


def test_imports_when_many_have_failed_then_the_first_are_named_and_the_others_counted(run_dir):
    models = [f"tts_models/en/ljspeech/{number}" for number in range(7)]
    failed = [VoiceImport(model, ImportState.FAILED, reason="No network") for model in models]
    with claimed(run_dir) as first, claimed(run_dir) as second:
        assert first is not None
        assert second is not None
        write_beside(first, failed[:3])
        write_beside(second, failed[3:])
        known = patient(run_dir=run_dir / "run", settings=set_to(data={"dir": run_dir}))
        finding = imported.check_imports(known)
    assert finding.seen.endswith("/3: No network, and 3 more")
    assert [model in finding.seen for model in models] == [True] * 4 + [False] * 3
