"""The appliance as `ttsctl doctor` finds it: asked once, so that all checks speak of the same moment.

Owns: asking the gateway, supervisord, the settings and the process table, each within a time, and going on
without the one that doesn't answer.
Refuses to know: what is well and what isn't (`checks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError
from appliance.lifecycle import LAUNCHER_FILE, PROGRAMS_FILE, read_json
from appliance.pools import Pool, look_at_machine, plan_pools
from appliance.preflight import file_checks
from appliance.running import read_configuration, running_pools
from appliance.settings import Settings, load_settings
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from processes.ttsctl.bounded import within
from processes.ttsctl.gateway_socket import ANSWER_S, ask, ask_json, pieces
from processes.ttsctl.outcome import CommandError
from processes.ttsctl.process_table import Process, adopt_of_launcher, processes_of

LIVE_S = 2.0
"""Seconds that the gateway has to say that it lives; one that doesn't isn't asked anything else."""
FIRST_S, THEN_S = 6.0, 6.0
"""Seconds for what is asked at first, and for what the gateway and the disk of the data are asked then."""
MAX_METRICS_BYTES = 4_194_304
SETTING = "setting"
"""What is wrong where it isn't one of the files that settings name."""
SAMPLE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
JOBS = "/v1/jobs?limit=100&state="
PATHS = {
    "status": "/admin/status",
    "speech": "/health/tts",
    "health": "/health",
    "voices": "/v1/audio/voices",
    "imported": "/admin/voices",
    "cache": "/admin/cache",
    "paused_jobs": f"{JOBS}paused",
    "failed_jobs": f"{JOBS}failed",
    "failures": "/v1/history?state=failed&limit=10",
}
"""Field of `Patient` → what the gateway is asked for it."""


@dataclass(frozen=True, slots=True)
class Patient:
    """All that the checks look at. What the gateway hasn't answered is None."""

    run_dir: Path
    settings: Settings | None = None
    """None when they are wrong."""
    settings_error: str = ""
    """What is wrong with them, or with a file that they name."""
    settings_fault: str = ""
    """Where: `SETTING`, or one of `preflight`'s files."""
    planned: tuple[Pool, ...] = ()
    """The pools that a start would have now; empty when the settings are wrong."""
    launcher: dict[str, Any] = field(default_factory=dict)
    """What the living launcher wrote; empty when none lives."""
    started_with: dict[str, Any] = field(default_factory=dict)
    """The settings that it was started with; empty when none lives."""
    programs: list[dict[str, Any]] | None = None
    """supervisord's `getAllProcessInfo`; None when it doesn't answer."""
    watched: dict[str, Any] = field(default_factory=dict)
    """What the watchdog wrote of each program; empty when no launcher lives."""
    status: dict[str, Any] | None = None
    """GET /admin/status."""
    speech: dict[str, Any] | None = None
    """GET /health/tts."""
    health: dict[str, Any] | None = None
    """GET /health."""
    voices: dict[str, Any] | None = None
    """GET /v1/audio/voices."""
    imported: dict[str, Any] | None = None
    """GET /admin/voices."""
    cache: dict[str, Any] | None = None
    """GET /admin/cache."""
    paused_jobs: dict[str, Any] | None = None
    """GET /v1/jobs, those that wait."""
    failed_jobs: dict[str, Any] | None = None
    """GET /v1/jobs, those that have failed."""
    failures: dict[str, Any] | None = None
    """GET /v1/history, the latest requests that have failed."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The gateway's samples, by name and labels as they are exposed; empty when it doesn't answer."""
    processes: list[Process] = field(default_factory=list)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools of the living launcher, or else those that it would have."""
        return running_pools(self.run_dir, self.launcher) or self.planned

    @property
    def pids(self) -> set[int]:
        """The processes of this run directory."""
        return {each.pid for each in self.processes}

    @property
    def is_there(self) -> bool:
        """Whether anything of the appliance runs."""
        return bool(self.launcher) or self.programs is not None

    def program(self, name: str) -> dict[str, Any]:
        """Return what supervisord knows of a program; empty when it knows none of that name."""
        return next((each for each in self.programs or [] if each["name"] == name), {})

    def has_process(self, module: str) -> bool:
        """Return whether a process of the run directory runs this one of `process_table.MODULES`."""
        return any(each.module == module for each in self.processes)

    def sample(self, name: str, **labels: str) -> float:
        """Return the value of one of the gateway's samples; 0 where there is none."""
        pairs = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        return self.metrics.get(f"{name}{{{pairs}}}" if pairs else name, 0.0)

    def samples(self, name: str) -> dict[str, float]:
        """Return the values of a metric with one label, by that label's value, without those that are 0."""
        found = {
            each.partition('="')[2][:-2]: value
            for each, value in self.metrics.items()
            if each.startswith(f"{name}{{")
        }
        return {label: value for label, value in found.items() if value}


def examine(run_dir: Path) -> Patient:
    """Look at everything once; blocks for `2 * FIRST_S + THEN_S` at most, whatever is broken.

    Where a launcher lives, this process's `APPLIANCE_…` variables become the launcher's for good.
    """
    begun: dict[str, Any] = _done({"begin": partial(_begin, run_dir)}, FIRST_S).get("begin", {})
    first = _done(
        {
            "set": _settings,
            "programs": partial(_programs, run_dir),
            "live": partial(_asked, run_dir, "/health/live", LIVE_S),
        },
        FIRST_S,
    )
    known = {**begun, "programs": first.get("programs"), **first.get("set", {})}
    known.setdefault("settings_error", "the settings can't be read in time: see which disk hangs")
    works: dict[str, Callable[[], Any]] = {}
    if (settings := known.get("settings")) is not None:
        works["planned"] = partial(_planned, settings, known.get("launcher", {}))
    if first.get("live") is not None:
        works |= {name: partial(_asked, run_dir, path) for name, path in PATHS.items()}
        works["metrics"] = partial(_metrics, run_dir)
    then = _done(works, THEN_S)
    return Patient(run_dir, **{**known, **then.pop("planned", {}), **then})


def _done(works: dict[str, Callable[[], Any]], limit_s: float) -> dict[str, Any]:
    """Do several things at once; return what came of those that ended well in time."""
    came = within(limit_s, works)
    return {name: result for name, result in came.items() if not isinstance(result, Exception)}


def _begin(run_dir: Path) -> dict[str, Any]:
    """Find the processes and the launcher, and take its settings over."""
    processes = processes_of(run_dir)
    launcher = read_json(run_dir / LAUNCHER_FILE)
    if not adopt_of_launcher(launcher, processes):
        return {"processes": processes}
    noted = read_configuration(run_dir)
    return {
        "processes": processes,
        "launcher": launcher,
        "started_with": {} if noted is None else noted.settings,
        "watched": read_json(run_dir / PROGRAMS_FILE),
    }


def _settings() -> dict[str, Any]:
    """Return the settings, or what is wrong with them; those whose files are wrong are there all the same."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        return {"settings_error": error.message, "settings_fault": SETTING}
    for kind, check in file_checks(settings):
        try:
            check()
        except ConfigurationError as error:
            return {"settings": settings, "settings_error": error.message, "settings_fault": kind}
    return {"settings": settings, "settings_error": ""}


def _planned(settings: Settings, launcher: dict[str, Any]) -> dict[str, Any]:
    """Return the pools that a start would have.

    What a living launcher may use of the machine counts, not what this command may, which has other limits.
    """
    facts = look_at_machine(settings)
    if "pools" in launcher:
        facts = replace(facts, cores=launcher["cores"], memory_bytes=launcher["memory_bytes"])
    try:
        return {"planned": plan_pools(settings, facts).pools}
    except ConfigurationError as error:
        return {"settings_error": error.message, "settings_fault": SETTING}


def _programs(run_dir: Path) -> list[dict[str, Any]] | None:
    try:
        with supervisor_rpc(run_dir) as supervisor:
            return list(supervisor.getAllProcessInfo())
    except RPC_ERRORS:
        return None


def _asked(run_dir: Path, path: str, timeout_s: float = ANSWER_S) -> dict[str, Any] | None:
    statuses = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    try:
        answer = ask_json(run_dir, "GET", path, statuses=statuses, timeout_s=timeout_s)
    except CommandError:
        return None
    return None if "error" in answer else answer


def _metrics(run_dir: Path) -> dict[str, float]:
    body = bytearray()
    try:
        with ask(run_dir, "GET", "/metrics", timeout_s=ANSWER_S) as answer:
            for piece in pieces(answer):
                body += piece[: MAX_METRICS_BYTES - len(body)]
    except CommandError:
        return {}
    return {name: float(value) for name, value in SAMPLE.findall(body.decode("utf-8", "replace"))}
