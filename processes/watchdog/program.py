"""What the watchdog knows of one program.

Owns: the record as `run/programs.json` holds it.
Refuses to know: how it changes (`programs`, `intensity`).
"""

from __future__ import annotations

from dataclasses import dataclass

NO_PID = -1
"""No process: 0 stands for one that supervisord is about to start again."""
WORKER_PREFIX = "worker-"
"""Begins the name of every worker; its engine and its slot follow."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program as `run/programs.json` shows it. Times are the machine's monotonic clock, seconds."""

    state: str = "UNKNOWN"
    """supervisord's name of the state."""
    pid: int = 0
    """0 without a process."""
    ready: bool = False
    """Whether it said READY=1. A worker never does: it says hello to the gateway."""
    was_ready: bool = False
    """Whether this process ever said READY=1."""
    failed_starts: int = 0
    """Processes in a row that ended before they were ready, and not because somebody stopped them."""
    is_unwanted: bool = False
    """Whether somebody has asked for the end of this process."""
    status: str = ""
    """The last STATUS= of this process."""
    engines_ready: int = 0
    """The last X_ENGINES_READY= of this process: the gateway says so."""
    since_s: float = 0.0
    """Time of the last change of state."""
    started_s: float = 0.0
    """Time at which its last process was started; 0 when that wasn't seen."""
    restarts: int = 0
    """Starts that nobody asked for: after an exit, a failed start or giving up."""
    last_exit: str = ""
    """How its last process ended: `exit code 70`, SIGSEGV, expected, stopped, hung; unexpected or too_quickly
    where nothing more is known; empty before. The stop of a program that is held doesn't count."""
    hangs: int = 0
    """Processes that were killed because they no longer beat, or because the gateway didn't know them."""
    hung_pid: int = NO_PID
    """The last of them."""
    early_deaths: int = 0
    """Processes in a row that ended soon after their start."""
    holds: int = 0
    """Back-offs in a row."""
    held_until_s: float | None = None
    """End of the present back-off; None when the program may run."""
    held_pid: int = NO_PID
    """The last process that was stopped for a back-off."""
    degraded: bool = False
    """Whether it ends again and again, from its first back-off until it has stayed."""
