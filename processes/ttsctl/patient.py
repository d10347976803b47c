"""The appliance as `ttsctl doctor` finds it: asked once, so that all checks speak of the same moment.

Owns: asking the gateway, supervisord, the settings and the process table, and going on without the one that
doesn't answer.
Refuses to know: what is well and what isn't (`checks_…`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError
from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.pools import Pool, look_at_machine, plan_pools
from appliance.preflight import check_files
from appliance.settings import PREFIX, Settings, load_settings
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from processes.ttsctl.gateway_socket import ANSWER_S, ask, ask_json, pieces
from processes.ttsctl.outcome import CommandError
from processes.ttsctl.place import CHECKOUT, find_run_dir

PROC = Path("/proc")
LAUNCHER = "processes.launcher"
IMPORTER = "processes.importer"
MODULES = (
    LAUNCHER,
    "processes.launcher.supervisord",
    "processes.watchdog",
    "processes.exporter",
    "processes.gateway",
    IMPORTER,
    "processes.importer.maker",
    "processes.worker",
)
"""What a process of the appliance has on its command line, behind `python -m`."""
UNDER_SUPERVISORD = "--appliance"
"""What an importer has on its command line that nobody has started by hand."""
MAX_METRICS_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this run directory."""

    pid: int
    parent: int
    module: str
    """One of `MODULES`."""
    is_by_hand: bool = False
    """Whether somebody has started it at a command line, so that no launcher looks after it: an importer."""


@dataclass(frozen=True, slots=True)
class Patient:
    """All that the checks look at."""

    run_dir: Path
    settings: Settings | None = None
    """None when they are wrong."""
    settings_error: str = ""
    planned: tuple[Pool, ...] = ()
    """The pools that a start would have now; empty when the settings are wrong."""
    launcher: dict[str, Any] = field(default_factory=dict)
    """What the living launcher wrote; empty when none lives."""
    programs: list[dict[str, Any]] | None = None
    """supervisord's `getAllProcessInfo`; None when it doesn't answer."""
    status: dict[str, Any] | None = None
    """GET /admin/status; None when the gateway doesn't answer."""
    speech: dict[str, Any] | None = None
    """GET /health/tts."""
    voices: dict[str, Any] | None = None
    """GET /v1/audio/voices; None when the gateway doesn't answer."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The gateway's metrics that have no labels."""
    processes: list[Process] = field(default_factory=list)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools of the living launcher, or else those that it would have."""
        return tuple(Pool(**each) for each in self.launcher.get("pools", ())) or self.planned

    def program(self, name: str) -> dict[str, Any]:
        """Return what supervisord knows of a program; empty when it knows none of that name."""
        return next((each for each in self.programs or [] if each["name"] == name), {})

    def has_process(self, module: str) -> bool:
        """Return whether a process of the run directory runs this one of `MODULES`."""
        return any(each.module == module for each in self.processes)


def examine(run_dir: Path) -> Patient:
    """Look at everything once; takes some seconds at most, whatever is broken.

    Where a launcher lives, this process's `APPLIANCE_…` variables become the launcher's for good.
    """
    processes = list(_processes(run_dir))
    launcher = read_json(run_dir / LAUNCHER_FILE)
    is_alive = _adopt_environment(launcher, processes)
    launcher = launcher if is_alive else {}
    settings, planned, settings_error = _settings(launcher)
    return Patient(
        run_dir,
        settings,
        settings_error,
        planned,
        launcher,
        _programs(run_dir),
        _asked(run_dir, "/admin/status"),
        _asked(run_dir, "/health/tts"),
        _asked(run_dir, "/v1/audio/voices"),
        _metrics(run_dir),
        processes,
    )


def adopt_environment(run_dir: Path) -> None:
    """Put the settings of the appliance that runs in a run directory in the place of the caller's, for good.

    Where none runs, the caller's stay.
    """
    _adopt_environment(read_json(run_dir / LAUNCHER_FILE), list(_processes(run_dir)))


def appliance_pids(run_dir: Path) -> list[int]:
    """Return the processes of the appliance that runs in a run directory, this user's, without an import."""
    return [each.pid for each in _processes(run_dir) if not each.module.startswith(IMPORTER)]


def _adopt_environment(launcher: dict[str, Any], processes: list[Process]) -> bool:
    """Take over a living launcher's settings; return whether it lives."""
    is_alive = any(each.pid == launcher.get("pid") and each.module == LAUNCHER for each in processes)
    if is_alive:
        _take_over_environment(launcher["pid"])
    return is_alive


def _take_over_environment(pid: int) -> None:
    """Put the settings that a launcher was started with in the place of the caller's."""
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile: the caller's are the best that there are
        return
    found = dict(os.fsdecode(each).partition("=")[::2] for each in variables)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update({name: value for name, value in found.items() if name.startswith(PREFIX)})


def _settings(launcher: dict[str, Any]) -> tuple[Settings | None, tuple[Pool, ...], str]:
    """Return the settings, the pools that a start would have, and what is wrong.

    What a living launcher may use of the machine counts, not what this command may, which has other limits.
    """
    try:
        settings = load_settings()
        check_files(settings)
        facts = look_at_machine(settings)
        if "pools" in launcher:
            facts = replace(facts, cores=launcher["cores"], memory_bytes=launcher["memory_bytes"])
        return settings, plan_pools(settings, facts).pools, ""
    except ConfigurationError as error:
        return None, (), error.message


def _programs(run_dir: Path) -> list[dict[str, Any]] | None:
    try:
        with supervisor_rpc(run_dir) as supervisor:
            return list(supervisor.getAllProcessInfo())
    except RPC_ERRORS:
        return None


def _asked(run_dir: Path, path: str) -> dict[str, Any] | None:
    try:
        return ask_json(run_dir, "GET", path, statuses=(HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE))
    except CommandError:
        return None


def _metrics(run_dir: Path) -> dict[str, float]:
    body = bytearray()
    try:
        with ask(run_dir, "GET", "/metrics", timeout_s=ANSWER_S) as answer:
            for piece in pieces(answer):
                body += piece[: MAX_METRICS_BYTES - len(body)]
    except CommandError:
        return {}
    pairs = (line.split(" ") for line in body.decode("utf-8", "replace").splitlines() if "{" not in line)
    return {pair[0]: float(pair[1]) for pair in pairs if pair[0] != "#" and len(pair) == 2}  # noqa: PLR2004 (name and value)


def _processes(run_dir: Path) -> Iterator[Process]:
    """Yield this user's processes that belong to a run directory, this command left out."""
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            module = _module(words)
            if module is None or not _is_same(_run_dir_of(entry), run_dir):
                continue
            parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except OSError:  # gone meanwhile, or another user's
            continue
        is_by_hand = module == IMPORTER and UNDER_SUPERVISORD not in words
        yield Process(int(entry.name), parent, module, is_by_hand)


def _module(words: list[str]) -> str | None:
    if any(Path(word).name == "tts-launcher" for word in words[:2]):
        return LAUNCHER
    return next((word for flag, word in pairwise(words) if flag == "-m" and word in MODULES), None)


def _is_same(its: Path | None, ours: Path) -> bool:
    """Return whether both are one directory, whatever links lead there; one that is gone goes by its name."""
    if its is None or its == ours:
        return its is not None
    try:
        return its.samefile(ours)
    except OSError:
        return False


def _run_dir_of(entry: Path) -> Path | None:
    """Return a process's run directory: that of its environment, else its checkout's."""
    for variable in (entry / "environ").read_bytes().split(b"\0"):
        name, _, value = variable.partition(b"=")
        if name == b"APPLIANCE_RUN_DIR":
            return CHECKOUT / os.fsdecode(value)
    return find_run_dir(None) if (entry / "cwd").readlink() == CHECKOUT else None
