"""The overview as text."""

from __future__ import annotations

from processes.ttsctl.overview import merge
from processes.ttsctl.report import format_overview
from tests.unit.ttsctl.test_overview import GATEWAY, WORKER, supervised


def test_format_overview_when_all_is_well_then_every_number_is_shown():
    programs = [supervised("gateway", pid=30), supervised("worker-espeak-1")]
    watched = {"worker-espeak-1": {"restarts": 2}, "gateway": {"restarts": 0, "last_exit": "exit code 1"}}
    assert format_overview(merge(GATEWAY, programs, watched, [])).splitlines() == [
        "ok, version 0.1.0, up 1 min 1 s",
        "",
        "WORKER           STATE  PID  MEMORY  UTTERANCES  RESTARTS  LAST EXIT",
        "worker-espeak-1  ready  31   38 MiB  7           2         no heartbeat for 1.0 s",
        "",
        "PROGRAM  STATE    PID  UP         RESTARTS  LAST EXIT",
        "gateway  running  30   1 min 0 s  0         exit code 1",
        "",
        "queue     0 waiting, 0 running, expected wait 0 ms",
        (
            "requests  3 accepted, 0 in flight, 3 completed, 0 failed, 0 expired, 0 cancelled, "
            "0 interrupted, 0 rejected"
        ),
        "latency   first audio p50 4 ms, p90 9 ms; whole p50 20 ms, p90 50 ms (3 requests)",
        "success   100.00%",
        "",
        "IMPORT                       STATE      DONE  VOICE OR REASON",
        "tts_models/en/ljspeech/vits  exporting  10%   -",
    ]


def test_format_overview_when_the_gateway_is_silent_then_only_what_is_known():
    overview = merge(None, [supervised("worker-espeak-1")], {}, ["the gateway doesn't answer"])
    assert format_overview(overview).splitlines() == [
        "down",
        "problem: the gateway doesn't answer",
        "",
        "WORKER           STATE    PID  MEMORY  UTTERANCES  RESTARTS  LAST EXIT",
        "worker-espeak-1  unknown  31   -       -           -         -",
    ]


def test_format_overview_when_nothing_was_spoken_yet_then_dashes():
    silent = dict.fromkeys(("ttfa_p50_s", "ttfa_p90_s", "total_p50_s", "total_p90_s")) | {"samples": 0}
    fresh = {**GATEWAY, "workers": [{**WORKER, "last_loss": None}], "latency": silent, "success_ratio": None}
    fresh["imports"] = []
    text = format_overview(merge(fresh, [], {}, []))
    assert "first audio p50 -, p90 -; whole p50 -, p90 - (0 requests)" in text
    assert text.endswith("success   -")
