"""What the watchdog knows of every program.

Owns: the table of programs, how an event of supervisord or a datagram of a program changes it.
Refuses to know: sockets, files, supervisord's protocol.

State and pid come from supervisord's inventory alone, since its events arrive late and out of step with it;
events only count restarts and say how a process ended, or is going to: one that somebody stops never counts
as a failed start, even when no inventory was taken while it was stopped. A program is ready from its READY=1
to its end. READY may come before supervisord calls the program RUNNING (that takes `startsecs`) and counts at
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

MAX_STATUS_CHARS = 200
LAST_EXITS = {"EXITED": "unexpected", "BACKOFF": "too_quickly", "STOPPED": "stopped"}
"""State after an end → `last_exit`. Source of the states: supervisor 4.3, `supervisor.states`."""

ASKED_FOR = ("STOPPING", "STOPPED")
"""States that a process comes into only when somebody stops it."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program as `run/programs.json` shows it."""

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
    since_s: float = 0.0
    """Monotonic clock of the machine at the last change of state, seconds."""
    restarts: int = 0
    """Starts that nobody asked for: after an exit, a failed start or giving up."""
    last_exit: str = ""
    """How its last process ended: expected, unexpected, too_quickly, stopped; empty before."""


class ProgramTable:
    """Every program by its name; no I/O."""

    def __init__(self, remembered: Mapping[str, Any]) -> None:
        """Begin with what an earlier watchdog wrote, so that its restart forgets no readiness.

        Args:
            remembered: Content of `run/programs.json`; broken entries are left out.
        """
        self._programs: dict[str, Program] = {}
        for name, fields in remembered.items():
            try:
                self._programs[name] = Program(**fields)
            except TypeError:
                continue

    def __getitem__(self, name: str) -> Program:
        return self._programs.get(name, Program())

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Return the content of `run/programs.json`."""
        return {name: asdict(program) for name, program in sorted(self._programs.items())}

    def names_in(self, state: str) -> list[str]:
        """Return the programs in a state of supervisord."""
        return [name for name, program in self._programs.items() if program.state == state]

    def take_inventory(self, infos: list[dict[str, Any]], now_s: float) -> None:
        """Take over what supervisord says of all its programs; those that it no longer has disappear.

        Args:
            infos: Answer of `getAllProcessInfo`.
            now_s: Monotonic clock, seconds.
        """
        programs = {}
        for info in infos:
            name, state, pid = str(info["name"]), str(info["statename"]), int(info["pid"])
            program = self[name]
            if program.pid != pid:
                program = _with_process(program, pid, is_stopped=state == "STOPPED")
            if program.state != state:
                program = replace(program, state=state, since_s=now_s)
            programs[name] = program
        self._programs = programs

    def take_event(self, state: str, fields: Mapping[str, str]) -> None:
        """Take over a PROCESS_STATE event of a program in the inventory; others are ignored.

        Args:
            state: The state's name, after `PROCESS_STATE_`.
            fields: The event's fields: processname, from_state, and pid, expected or tries.

        Source: supervisor 4.3, `supervisor.events`: STOPPING and STOPPED carry the pid.
        """
        name = fields["processname"]
        if name not in self._programs:
            return
        program = self[name]
        if state == "STARTING" and fields["from_state"] != "STOPPED":
            program = replace(program, restarts=program.restarts + 1)
        elif state == "EXITED" and fields.get("expected") == "1":
            program = replace(program, last_exit="expected")
        elif state in LAST_EXITS:
            program = replace(program, last_exit=LAST_EXITS[state])
        if state in ASKED_FOR:
            program = _asked_to_end(program, int(fields.get("pid", 0)))
        self._programs[name] = program

    def take_notification(self, pid: int, assignments: Mapping[str, str]) -> bool:
        """Take over a datagram of a program.

        Args:
            pid: The sender, as the kernel knows it.
            assignments: For example READY → 1; unknown ones are ignored.

        Returns:
            Whether one of supervisord's programs has this pid.
        """
        name = next((name for name, program in self._programs.items() if program.pid == pid), None)
        if name is None:
            return False
        program = self[name]
        if assignments.get("READY") == "1":
            program = replace(program, ready=True, was_ready=True, failed_starts=0)
        if assignments.get("STOPPING") == "1":
            program = replace(program, ready=False)
        if "STATUS" in assignments:
            program = replace(program, status=assignments["STATUS"][:MAX_STATUS_CHARS])
        self._programs[name] = program
        return True


def _asked_to_end(program: Program, pid: int) -> Program:
    """Return the program with the end of one of its processes asked for.

    When the inventory has seen the next process already, the count that this made of it is taken back.
    """
    if pid == program.pid:
        return replace(program, is_unwanted=True)
    return replace(program, failed_starts=0)


def _with_process(program: Program, pid: int, *, is_stopped: bool) -> Program:
    """Return the program with another process, or none, in place of the one it had."""
    failed_starts = program.failed_starts
    if is_stopped or program.is_unwanted:
        failed_starts = 0
    elif program.pid and not program.was_ready:
        failed_starts += 1
    return replace(
        program,
        pid=pid,
        ready=False,
        was_ready=False,
        failed_starts=failed_starts,
        is_unwanted=False,
        status="",
    )
