"""The processes of an appliance, as the kernel lists them.

Owns: which processes belong to a run directory; taking over the settings of the appliance that runs there.
Refuses to know: what is well and what isn't; supervisord's own list.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.settings import PREFIX
from processes.ttsctl.place import CHECKOUT, find_run_dir

PROC = Path("/proc")
LAUNCHER = "processes.launcher"
SUPERVISORD = "processes.launcher.supervisord"
GATEWAY = "processes.gateway"
EXPORTER = "processes.exporter"
IMPORTER = "processes.importer"
MODULES = (
    LAUNCHER,
    SUPERVISORD,
    "processes.watchdog",
    EXPORTER,
    GATEWAY,
    IMPORTER,
    "processes.importer.maker",
    "processes.worker",
)
"""What a process of the appliance has on its command line, behind `python -m`."""
UNDER_SUPERVISORD = "--appliance"
"""What an importer has on its command line that nobody has started by hand."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this run directory."""

    pid: int
    parent: int
    module: str
    """One of `MODULES`."""
    is_by_hand: bool = False
    """Whether somebody has started it at a command line, so that no launcher looks after it: an importer."""
    state: str = "S"
    """A letter, such as T for one that somebody has stopped. Source: proc(5), `stat`."""


def processes_of(run_dir: Path) -> list[Process]:
    """Return this user's processes that belong to a run directory, this command left out."""
    return list(_processes(run_dir))


def appliance_pids(run_dir: Path) -> list[int]:
    """Return the processes of the appliance that runs in a run directory, this user's, without an import."""
    return [each.pid for each in _processes(run_dir) if not each.module.startswith(IMPORTER)]


def adopt_environment(run_dir: Path) -> None:
    """Put the settings of the appliance that runs in a run directory in the place of the caller's, for good.

    Where none runs, the caller's stay.
    """
    adopt_of_launcher(read_json(run_dir / LAUNCHER_FILE), processes_of(run_dir))


def adopt_of_launcher(launcher: dict[str, Any], processes: list[Process]) -> bool:
    """Take over a living launcher's settings, as `adopt_environment` does; return whether it lives."""
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


def _processes(run_dir: Path) -> Iterator[Process]:
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            module = _module(words)
            if module is None or not _is_same(_run_dir_of(entry), run_dir):
                continue
            state, parent = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        except OSError:  # gone meanwhile, or another user's
            continue
        is_by_hand = module == IMPORTER and UNDER_SUPERVISORD not in words
        yield Process(int(entry.name), int(parent), module, is_by_hand, state)


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
