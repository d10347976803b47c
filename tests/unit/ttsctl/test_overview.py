"""One picture out of the gateway's, supervisord's and the watchdog's."""

from __future__ import annotations

import pytest

from processes.ttsctl.overview import merge
from processes.ttsctl.status import exit_code

WORKER = {
    "name": "worker-espeak-1",
    "engine": "espeak",
    "state": "ready",
    "pid": 31,
    "rss_bytes": 40_000_000,
    "utterances": 7,
    "losses": 1,
    "last_loss": "no heartbeat for 1.0 s",
    "since_s": 60.0,
}
GATEWAY = {
    "status": "ok",
    "version": "0.1.0",
    "since": "2026-01-02T03:04:05Z",
    "uptime_s": 61.5,
    "draining": False,
    "maintenance": None,
    "workers": [WORKER],
    "queue": {"waiting": 0, "running": 0, "expected_wait_s": 0.0},
    "requests": {
        "accepted": 3,
        "in_flight": 0,
        "finished": {"completed": 3, "failed": 0, "cancelled": 0, "expired": 0, "interrupted": 0},
        "rejected": 0,
    },
    "latency": {
        "ttfa_p50_s": 0.004,
        "ttfa_p90_s": 0.009,
        "total_p50_s": 0.02,
        "total_p90_s": 0.05,
        "samples": 3,
    },
    "success_ratio": 1.0,
    "imports": [
        {
            "model": "tts_models/en/ljspeech/vits",
            "state": "exporting",
            "fraction": 0.1,
            "reason": "",
            "code": "",
            "voice": "",
        }
    ],
    "probes": {"espeak": {"sample_latency_ms": 7.0, "audio_ok": True, "cause": None, "age_s": 3.0}},
}


def supervised(name, statename="RUNNING", pid=31, spawnerr=""):
    return {"name": name, "statename": statename, "pid": pid, "start": 100, "now": 160, "spawnerr": spawnerr}


def only_worker(gateway, programs, watched=None):
    [worker] = merge(gateway, programs, watched or {}, [])["workers"]
    return worker


def test_merge_when_all_is_well_then_ok_and_every_part_is_there():
    programs = [supervised("gateway", pid=30), supervised("worker-espeak-1")]
    watched = {"worker-espeak-1": {"restarts": 2, "last_exit": "SIGABRT"}}
    overview = merge(GATEWAY, programs, watched, [])
    assert overview == {
        **GATEWAY,
        "problems": [],
        "workers": [
            {
                "name": "worker-espeak-1",
                "engine": "espeak",
                "state": "ready",
                "pid": 31,
                "rss_bytes": 40_000_000,
                "utterances": 7,
                "losses": 1,
                "restarts": 2,
                "last_exit": "no heartbeat for 1.0 s",
            }
        ],
        "programs": [
            {
                "name": "gateway",
                "state": "RUNNING",
                "pid": 30,
                "uptime_s": 60,
                "restarts": None,
                "last_exit": None,
            }
        ],
    }


@pytest.mark.parametrize("state", ["ready", "busy", "hung", "recycling"])
def test_worker_when_the_gateway_is_connected_then_its_word_counts(state):
    connected = {**GATEWAY, "workers": [{**WORKER, "state": state}]}
    assert only_worker(connected, [supervised("worker-espeak-1", "STARTING")])["state"] == state


@pytest.mark.parametrize(
    ("statename", "state"),
    [
        ("STARTING", "starting"),
        ("RUNNING", "starting"),
        ("BACKOFF", "starting"),
        ("EXITED", "starting"),
        ("STOPPING", "stopping"),
        ("STOPPED", "stopped"),
        ("FATAL", "fatal"),
        ("UNKNOWN", "unknown"),
    ],
)
def test_worker_when_the_gateway_has_lost_it_then_supervisord_knows(statename, state):
    connected = {**GATEWAY, "workers": []}
    assert only_worker(connected, [supervised("worker-espeak-1", statename)])["state"] == state


HELD = {"degraded": True, "held_until_s": 99.5, "holds": 2, "last_exit": "unexpected"}


def test_worker_when_it_is_held_then_its_state_and_a_problem_say_so():
    watched = {"worker-espeak-1": HELD}
    connected = {**GATEWAY, "workers": []}
    assert only_worker(connected, [supervised("worker-espeak-1", "STOPPED")], watched)["state"] == "held"
    overview = merge(connected, [supervised("worker-espeak-1", "STOPPED")], watched, [])
    assert overview["status"] == "degraded"
    assert overview["problems"] == [
        "worker-espeak-1 ends again and again (unexpected); held before its next start"
    ]


def test_program_when_it_was_held_and_runs_then_it_stays_a_problem():
    watched = {"exporter": HELD | {"held_until_s": None}}
    assert merge(GATEWAY, [supervised("exporter")], watched, [])["problems"] == [
        "exporter ends again and again (unexpected); started again"
    ]


def test_worker_when_nobody_but_the_gateway_knows_it_then_its_word_counts():
    assert only_worker({**GATEWAY, "workers": [WORKER]}, [])["state"] == "ready"


def test_worker_when_the_gateway_is_down_then_running_says_nothing_about_it():
    worker = only_worker(None, [supervised("worker-de-tone-12", pid=44)])
    assert (worker["state"], worker["engine"], worker["pid"]) == ("unknown", "de-tone", 44)


def test_worker_when_the_gateway_saw_no_loss_then_the_last_exit_is_the_watchdogs():
    connected = {**GATEWAY, "workers": [{**WORKER, "last_loss": None}]}
    watched = {"worker-espeak-1": {"restarts": 1, "last_exit": "exit code 70"}}
    assert only_worker(connected, [supervised("worker-espeak-1")], watched)["last_exit"] == "exit code 70"


@pytest.mark.parametrize("statename", ["FATAL", "BACKOFF", "EXITED", "STOPPED"])
def test_merge_when_a_program_is_not_running_then_degraded_and_named(statename):
    overview = merge(GATEWAY, [supervised("exporter", statename, pid=0, spawnerr="no such file")], {}, [])
    assert overview["status"] == "degraded"
    assert overview["problems"] == [f"exporter is {statename}"]
    [program] = overview["programs"]
    assert (program["pid"], program["uptime_s"], program["last_exit"]) == (None, None, "no such file")


def test_merge_when_a_probe_failed_then_it_is_named():
    probes = {
        "espeak": {"audio_ok": True, "cause": None, "age_s": 3.0},
        "tone": {"audio_ok": False, "cause": "no_workers", "age_s": 4.4},
        "busy": {"audio_ok": False, "cause": "busy", "age_s": 4.4},
    }
    overview = merge({**GATEWAY, "status": "degraded", "probes": probes}, [], {}, [])
    assert overview["problems"] == ["the probe of tone failed 4 s ago: no_workers"]


def test_merge_when_the_gateway_is_silent_then_down_and_its_parts_are_unknown():
    overview = merge(None, [supervised("gateway", "STARTING")], {}, ["the gateway doesn't answer"])
    assert overview["status"] == "down"
    assert overview["problems"] == ["the gateway doesn't answer"]
    assert overview["requests"] is None
    assert overview.keys() == merge(GATEWAY, [], {}, []).keys()


@pytest.mark.parametrize("status", ["degraded", "overloaded", "draining", "maintenance", "starting", "down"])
def test_merge_when_the_gateway_is_not_ok_then_a_problem_changes_nothing(status):
    assert merge({**GATEWAY, "status": status}, [], {}, ["something"])["status"] == status


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("ok", 0),
        ("degraded", 1),
        ("overloaded", 1),
        ("draining", 1),
        ("maintenance", 1),
        ("starting", 1),
        ("down", 2),
    ],
)
def test_exit_code_when_a_status_is_given_then_as_documented(status, code):
    assert exit_code(status) == code
