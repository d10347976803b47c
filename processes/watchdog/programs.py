"""What the watchdog knows of every program.

Owns: the table of programs, how an event of supervisord or a datagram of a program changes it.
Refuses to know: sockets, files, supervisord's protocol; what follows from early deaths (`intensity`).

State and pid come from supervisord's inventory alone, since its events arrive late and out of step with it;
events only count restarts and early deaths and say how a process ended, or is going to: one that somebody
stops never counts as a failed start, even when no inventory was taken while it was stopped. A program is
ready from its READY=1 to its end. READY may come before supervisord calls the program RUNNING (that takes
`startsecs`) and counts at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from appliance.watched import ONE_SHOT_PROGRAM
from processes.watchdog import intensity
from processes.watchdog.program import WORKER_PREFIX, Program

MAX_STATUS_CHARS = 200
MAX_DIGITS = 4
"""Of a number that a program tells."""
LAST_EXITS = {"EXITED": "unexpected", "BACKOFF": "too_quickly", "STOPPED": "stopped"}
"""State after an end → `last_exit`, where supervisord doesn't tell the exit code.
Source of the states: supervisor 4.3, `supervisor.states`."""

UNASKED_STARTS = ("EXITED", "BACKOFF")
"""States out of which supervisord starts a program by itself."""
ASKED_FOR = ("STOPPING", "STOPPED")
"""States that a process comes into only when somebody stops it."""
VITAL_PROGRAM = "gateway"
"""Without it the appliance is nothing: it is never held after supervisord gave it up."""
BEATING_PROGRAMS = ("gateway", "exporter")
"""Programs that say READY=1 and WATCHDOG=1; of the others nobody can tell here whether a start has failed."""
UNCOUNTED = ("watchdog", ONE_SHOT_PROGRAM)
"""Programs whose ends mean nothing here: the watchdog's own are supervisord's business alone, and the
importer ends when it is done."""


class ProgramTable:
    """Every program by its name; no I/O."""

    def __init__(self, remembered: Mapping[str, Any], early_s: float) -> None:
        """Begin with what an earlier watchdog wrote, so that its restart forgets nothing.

        Args:
            remembered: Content of `run/programs.json`; broken entries are left out.
            early_s: Seconds after its start in which a process's end is an early death.
        """
        self._early_s = early_s
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
            if intensity.is_started_by_somebody(program, state):
                program = intensity.without_deaths(program)
            if program.pid != pid:
                program = _with_process(program, pid, is_stopped=state == "STOPPED")
            if program.state != state:
                program = replace(program, state=state, since_s=now_s)
            programs[name] = program
        self._programs = programs

    def names(self, holds: Callable[[Program], bool]) -> list[str]:
        """Return the programs of which something holds."""
        return [name for name, program in self._programs.items() if holds(program)]

    def change(self, name: str, made: Callable[[Program], Program]) -> None:
        """Replace what is known of a program in the inventory."""
        self._programs[name] = made(self._programs[name])

    def beating(self) -> dict[int, str]:
        """Return the processes that have to beat, by pid: ready once, and not being stopped."""
        return {pid: name for pid, name in self._busy().items() if self[name].was_ready}

    def starting(self) -> dict[int, str]:
        """Return the processes that have to become ready, by pid."""
        return {pid: name for pid, name in self._busy().items() if not self[name].was_ready}

    def _busy(self) -> dict[int, str]:
        found = {
            self[name].pid: name for name in BEATING_PROGRAMS if self[name].state in intensity.BUSY_STATES
        }
        return {pid: name for pid, name in found.items() if pid}

    def running_workers(self) -> dict[int, str]:
        """Return the workers that supervisord calls RUNNING, by pid."""
        return {
            program.pid: name
            for name, program in self._programs.items()
            if name.startswith(WORKER_PREFIX) and program.pid and program.state == "RUNNING"
        }

    def is_ready_gateway(self, pid: int) -> bool:
        """Tell whether a process is the gateway's, and the gateway is ready."""
        gateway = self[VITAL_PROGRAM]
        return gateway.ready and gateway.pid == pid

    def has_engine(self, steady_s: float, now_s: float) -> bool:
        """Tell whether the gateway has said that an engine is ready, and is there to stay.

        Args:
            steady_s: Seconds from its start that a gateway which ends again and again has to live first.
            now_s: Monotonic clock, seconds.
        """
        gateway = self[VITAL_PROGRAM]
        is_steady = not gateway.degraded or now_s - gateway.started_s >= steady_s
        return gateway.engines_ready > 0 and is_steady

    def is_speech_wanted(self) -> bool:
        """Tell whether nobody has stopped the gateway or all workers; nobody has stopped a held one."""
        wanted = self.names(lambda program: program.state not in ASKED_FOR or program.degraded)
        return VITAL_PROGRAM in wanted and any(name.startswith(WORKER_PREFIX) for name in wanted)

    def take_event(
        self, state: str, fields: Mapping[str, str], now_s: float, *, is_late: bool = False
    ) -> None:
        """Take over a PROCESS_STATE event of a program in the inventory; others are ignored.

        Args:
            state: The state's name, after `PROCESS_STATE_`.
            fields: The event's fields: processname, from_state, and pid, expected or tries.
            now_s: Monotonic clock, seconds.
            is_late: Whether it waited to be read, nobody knows for how long: then an EXITED isn't an early
                death. A BACKOFF is one whenever it is read, since supervisord has measured it itself.

        Source: supervisor 4.3, `supervisor.events`: EXITED, STOPPING and STOPPED carry the pid.
        """
        name = fields["processname"]
        if name not in self._programs:
            return
        program = self[name]
        if state == "STARTING":
            program = _started(program, fields["from_state"], now_s)
        elif state in LAST_EXITS and not _is_stopped_for_hold(program, state, fields):
            program = replace(program, last_exit=_last_exit(program, state, fields))
        if state in ASKED_FOR:
            program = _asked_to_end(program, int(fields.get("pid", 0)))
        elif name not in UNCOUNTED and not (is_late and state == "EXITED"):
            program = self._after_end(name, program, state, now_s)
        self._programs[name] = program

    def _after_end(self, name: str, program: Program, state: str, now_s: float) -> Program:
        """Count an early death; a worker that ended with 0 was told to and doesn't count."""
        if state == "EXITED" and not (program.last_exit == "expected" and name.startswith(WORKER_PREFIX)):
            is_early = now_s - program.started_s < self._early_s
            return intensity.after_death(program, is_early=is_early, now_s=now_s)
        if state == "BACKOFF" and self._early_s:
            return intensity.after_death(program, is_early=True, now_s=now_s)
        if state == "FATAL" and name != VITAL_PROGRAM:
            return intensity.held(program, now_s)
        return program

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
        if assignments.get("X_ENGINES_READY", "").isdecimal():
            program = replace(program, engines_ready=int(assignments["X_ENGINES_READY"][:MAX_DIGITS]))
        self._programs[name] = program
        return True


def after_hang(program: Program, pid: int) -> Program:
    """Return the program with one of its processes killed because it hung."""
    return replace(program, hangs=program.hangs + 1, hung_pid=pid)


def _started(program: Program, from_state: str, now_s: float) -> Program:
    """Return the program with a new process; that of a held one isn't let run, unless somebody started it."""
    program = replace(program, started_s=now_s)
    if program.held_until_s is None:
        return replace(program, restarts=program.restarts + (from_state in UNASKED_STARTS))
    return intensity.without_deaths(program) if from_state not in UNASKED_STARTS else program


def _last_exit(program: Program, state: str, fields: Mapping[str, str]) -> str:
    if state == "EXITED" and int(fields.get("pid", 0)) == program.hung_pid:
        return "hung"
    if fields.get("expected") == "1":
        return "expected"
    return _wait_status_text(fields["wait_status"]) if "wait_status" in fields else LAST_EXITS[state]


def _wait_status_text(wait_status: str) -> str:
    """Return the exit code or the signal that a process ended with, for a person."""
    code = os.waitstatus_to_exitcode(int(wait_status))
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _is_stopped_for_hold(program: Program, state: str, fields: Mapping[str, str]) -> bool:
    """Tell whether a program is stopped because it is held, so that its exit before that is what counts."""
    return state == "STOPPED" and intensity.is_ours(program, int(fields.get("pid", 0)))


def _asked_to_end(program: Program, pid: int) -> Program:
    """Return the program with the end of one of its processes asked for.

    When the inventory has seen the next process already, the count that this made of it is taken back.
    """
    program = intensity.after_stop(program, pid)
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
        engines_ready=0,
    )
