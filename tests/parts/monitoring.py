"""Debian's Prometheus and Alertmanager as parts of a test, with the files of config/prometheus in a hurry."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from appliance.settings import ROOT
from tests.parts.appliance import Appliance, eventually, free_port
from tests.parts.missing import give_up

CONFIG = ROOT / "config" / "prometheus"
PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
"""Debian's package of each command."""
TURN_S = 1
"""Seconds between two scrapes, two evaluations, and two words of Alertmanager."""
WAIT_S = 120.0


def needed(*commands: str) -> None:
    """Give the running test up where a command isn't installed."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES[command] for command in missing}))
        give_up(f"this machine has no {', '.join(missing)}: apt-get install {packages}")


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


EXEMPLARS = "--enable-feature=exemplar-storage"
"""As in docker-compose.yml."""


class Webhooks:
    """Who Alertmanager tells: an HTTP server that keeps every alert, by the path that it came to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._news = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._news:
                    outer.heard += [(self.path, alert) for alert in told["alerts"]]
                    outer._news.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the base class's name)
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhooks")
        self._thread.start()

    def wait_for(self, path: str, name: str, status: str, after: int = 0) -> dict[str, Any]:
        """Wait until an alert has come to a path; leave out the first `after` of what was heard."""

        def found() -> dict[str, Any] | None:
            return next(
                (
                    alert
                    for where, alert in self.heard[after:]
                    if (where, alert["labels"]["alertname"], alert["status"]) == (path, name, status)
                ),
                None,
            )

        with self._news:
            self._news.wait_for(found, WAIT_S)
            alert = found()
        assert alert, f"no {name} {status} within {WAIT_S} s in {self.heard[after:]}"
        return alert

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Prometheus:
    """A Prometheus that scrapes an appliance and works its rules out every second."""

    def __init__(self, address: str) -> None:
        self.address = address

    def samples(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """What an expression gives now, label sets and values; what isn't a number is left out."""
        query = urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(f"{self.address}/api/v1/query?{query}", timeout=30) as response:
            found = json.load(response)["data"]["result"]
        pairs = [(each["metric"], float(each["value"][1])) for each in found]
        return [(labels, value) for labels, value in pairs if not math.isnan(value)]

    def trace_ids(self, expr: str) -> set[str]:
        """Traces that are named beside the samples of an expression, in the last hour."""
        now_s = time.time()
        query = urllib.parse.urlencode({"query": expr, "start": now_s - 3600, "end": now_s + 60})
        with urllib.request.urlopen(f"{self.address}/api/v1/query_exemplars?{query}", timeout=30) as response:
            found = json.load(response)["data"]
        return {each["labels"]["trace_id"] for series in found for each in series["exemplars"]}

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {labels["alertname"] for labels, _value in self.samples('ALERTS{alertstate="firing"}')}


@contextlib.contextmanager
def running_alertmanager(base: Path, webhooks: Webhooks) -> Iterator[str]:
    """Run Alertmanager with config/prometheus/alertmanager.yml, telling these webhooks; yield its address."""
    config = read_yaml(CONFIG / "alertmanager.yml")
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": f"{TURN_S}s"}
    for receiver in config["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = webhooks.address + urllib.parse.urlsplit(webhook["url"]).path
    options = (f"--storage.path={base / 'alertmanager'}", "--cluster.listen-address=")
    with _ready(base, "prometheus-alertmanager", config, *options) as address:
        yield address


@contextlib.contextmanager
def running_prometheus(base: Path, appliance: Appliance, alertmanager: str) -> Iterator[Prometheus]:
    """Run Prometheus with config/prometheus/prometheus.yml and the rules there, which wait a second only."""
    rules = base / "rules"
    rules.mkdir()
    for path in (CONFIG / "rules").glob("*.yml"):
        text = re.sub(r"^( +for): \w+$", rf"\1: {TURN_S}s", path.read_text("utf-8"), flags=re.MULTILINE)
        (rules / path.name).write_text(text)
    config = read_yaml(CONFIG / "prometheus.yml")
    config["global"] = dict.fromkeys(config["global"], f"{TURN_S}s")
    [job] = config["scrape_configs"]
    job["static_configs"] = [{"targets": [appliance.exporter_url.removeprefix("http://")]}]
    [manager] = config["alerting"]["alertmanagers"]
    manager["static_configs"] = [{"targets": [alertmanager]}]
    options = (f"--storage.tsdb.path={base / 'prometheus'}", f"--rules.alert.resend-delay={TURN_S}s")
    with _ready(base, "prometheus", config, *options, EXEMPLARS) as address:
        yield Prometheus(f"http://{address}")


@contextlib.contextmanager
def _ready(base: Path, command: str, config: Any, *options: str) -> Iterator[str]:
    """Run a server with a configuration until it is ready; yield its address, host and port."""
    file = base / f"{command}.yml"
    file.write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    with _running(base, command, f"--config.file={file}", f"--web.listen-address={address}", *options):
        eventually(lambda: _is_ready(address), WAIT_S)
        yield address


@contextlib.contextmanager
def _running(base: Path, command: str, *options: str) -> Iterator[None]:
    with (
        (base / f"{command}.log").open("wb") as log,
        subprocess.Popen([command, *options], stdout=log, stderr=log, cwd=base) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
