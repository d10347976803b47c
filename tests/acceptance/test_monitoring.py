"""Prometheus scrapes a real appliance: every panel has data, and an alert gets from the rule to a webhook."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from appliance.settings import ROOT
from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance, eventually
from tests.parts.jobs import ended, submitted
from tests.parts.monitoring import (
    WAIT_S,
    Prometheus,
    Webhooks,
    needed,
    running_alertmanager,
    running_prometheus,
)
from tests.parts.speaking import speak

pytestmark = pytest.mark.timeout(300)

DASHBOARD = json.loads((ROOT / "config/grafana/dashboards/tts-appliance.json").read_text("utf-8"))
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
]
VARIABLES = {"$__rate_interval": "10m", "$instance": ".*"}
ALWAYS = "TTSDeadMansSwitch"
OF_THIS_MACHINE = {"TTSDiskUsage80", "TTSDiskUsage95", "TTSDiskFillsUp"}
"""What may be true of the disk that the test runs on."""
WORKERS = ("worker-tone-1", "worker-tone-2")


@dataclass(frozen=True)
class Watched:
    """An appliance and who watches it."""

    appliance: Appliance
    prometheus: Prometheus
    webhooks: Webhooks


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    needed("prometheus", "prometheus-alertmanager")
    made = appliance_factory(WORKERS_TONE=2, VOICES_DEFAULT="tone-low", CACHE_SPEECH="true")
    made.wait_until_ready()
    made.wait_until_running()
    made.wait_for("probe_changed", engine="tone", success=True)
    return made


@pytest.fixture(scope="module")
def watched(appliance: Appliance) -> Iterator[Watched]:
    """The appliance, watched since before its first request."""
    with (
        tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as base,
        contextlib.closing(Webhooks()) as webhooks,
        running_alertmanager(Path(base), webhooks) as alertmanager,
        running_prometheus(Path(base), appliance, alertmanager) as prometheus,
    ):
        eventually(lambda: prometheus.samples("tts_up == 1"), WAIT_S)
        _use(appliance)
        yield Watched(appliance, prometheus, webhooks)


def _use(appliance: Appliance) -> None:
    """Do a little of everything that is counted."""
    for text in ("Once.", "Twice.", "Twice."):
        assert speak(appliance, text).status == 200
    assert ended(appliance, submitted(appliance, "A long text in the background."))["state"] == "completed"
    ask_json(appliance.run_dir, "POST", "/admin/backups", {}, statuses=(HTTPStatus.CREATED,))


@pytest.mark.parametrize("expr", QUERIES)
def test_panel_when_its_appliance_is_used_then_its_query_gives_data(watched: Watched, expr: str) -> None:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert eventually(lambda: watched.prometheus.samples(expr), WAIT_S)


def test_alerts_when_all_is_well_then_only_the_dead_mans_switch_fires(watched: Watched) -> None:
    eventually(lambda: watched.prometheus.firing() - OF_THIS_MACHINE == {ALWAYS}, WAIT_S)
    told = watched.webhooks.wait_for("/alive", ALWAYS, "firing")
    assert told["labels"]["severity"] == "none"


@pytest.mark.parametrize(("programs", "name"), [(WORKERS, "TTSNoWorkers"), (("gateway",), "TTSGatewayDown")])
def test_alert_when_programs_stop_and_come_back_then_the_operator_hears_of_both(
    watched: Watched, programs: tuple[str, ...], name: str
) -> None:
    appliance, webhooks = watched.appliance, watched.webhooks
    heard = len(webhooks.heard)
    assert appliance.supervisorctl("stop", *programs).returncode == 0
    told = webhooks.wait_for("/alerts", name, "firing", after=heard)
    assert told["labels"]["severity"] == "critical"
    assert told["labels"]["instance"] == appliance.exporter_url.removeprefix("http://")
    assert told["annotations"]["runbook_url"] == f"docs/operate/runbook.md#{name.lower()}"
    assert "<no value>" not in told["annotations"]["description"]
    assert appliance.supervisorctl("start", *programs).returncode == 0
    webhooks.wait_for("/alerts", name, "resolved", after=heard)
    eventually(lambda: watched.prometheus.firing() - OF_THIS_MACHINE == {ALWAYS}, WAIT_S)
