"""Restart intensity: how often a program that ends again and again is started.

Owns: what an early death is, when a program is held, how long, when it has recovered.
Refuses to know: supervisord, time.

supervisord backs off only from a program that ends within `startsecs`, and gives it up in the end; one that
lives a little longer it starts for ever, 24 times a minute. Here both are alike: after `MAX_EARLY_DEATHS` in
a row, or when supervisord gave up, a program is held for 1, 2, 4 … `MAX_HOLD_S` seconds and tried again, for
ever. That makes five starts in the first minute of it, and two in each later one. Beside each of them there
is one more process: what ends after `startsecs` supervisord starts again at once, before anybody can say that
the program is held, and that process is stopped as soon as it is seen.
"""

from __future__ import annotations

from dataclasses import replace

from processes.watchdog.program import Program

MAX_EARLY_DEATHS = 5
"""In a row, before a program is held. Source: design, "Restart intensity"."""
MAX_HOLD_S = 30.0
"""Seconds that a program is held at most. Source: the same."""
MAX_DOUBLINGS = 5
"""After which `MAX_HOLD_S` is reached, whatever the count."""
GONE_STATES = ("STOPPED", "FATAL", "EXITED")
"""supervisord's states in which a program can be started."""
STARTED_STATES = ("STARTING", "RUNNING")
"""Those in which it has a process that nobody has asked to end."""
BUSY_STATES = ("STARTING", "RUNNING", "BACKOFF")
"""Those in which it runs, or is about to. Source: supervisor 4.3, `supervisor.states`."""


def after_death(program: Program, *, is_early: bool, now_s: float) -> Program:
    """Return a program whose process has ended by itself."""
    if not is_early:
        return without_deaths(program)
    program = replace(program, early_deaths=program.early_deaths + 1)
    return held(program, now_s) if program.early_deaths >= MAX_EARLY_DEATHS else program


def held(program: Program, now_s: float) -> Program:
    """Return the program at the beginning of its next back-off; one that is held already stays as it is."""
    if program.held_until_s is not None:
        return program
    holds = program.holds + 1
    return replace(program, holds=holds, held_until_s=now_s + hold_s(holds), degraded=True)


def hold_s(holds: int) -> float:
    """Return the seconds of a back-off.

    Args:
        holds: Back-offs in a row, with this one; from 1.
    """
    return min(MAX_HOLD_S, 2.0 ** min(holds - 1, MAX_DOUBLINGS))


def let_run(program: Program) -> Program:
    """Return the program after its back-off, started again; one more early death and it is held again."""
    return replace(program, held_until_s=None, restarts=program.restarts + 1)


def without_deaths(program: Program) -> Program:
    """Return the program as one that never died early."""
    return replace(program, early_deaths=0, holds=0, held_until_s=None, degraded=False)


def has_recovered(program: Program, early_s: float, now_s: float) -> bool:
    """Tell whether a degraded program has stayed long enough."""
    is_running = program.state == "RUNNING" and program.held_until_s is None
    return program.degraded and is_running and now_s - program.started_s >= early_s


def is_to_be_stopped(program: Program) -> bool:
    """Tell whether supervisord has started, or is about to start, a program that is held."""
    return program.held_until_s is not None and program.state in BUSY_STATES


def is_started_by_somebody(program: Program, state: str) -> bool:
    """Tell whether a held program that was stopped runs now, by its next state: only a person does that.

    The watchdog ends the back-off first, and supervisord starts by itself only what has just ended.
    """
    return (
        program.held_until_s is not None and program.state in ("STOPPED", "FATAL") and state in STARTED_STATES
    )


def is_due(program: Program, now_s: float) -> bool:
    """Tell whether a back-off is over and the program can be started."""
    until_s = program.held_until_s
    return until_s is not None and now_s >= until_s and program.state in GONE_STATES


def left_s(program: Program, now_s: float) -> float:
    """Return the seconds of its back-off that a program still has to wait; 0 without one."""
    return 0.0 if program.held_until_s is None else round(max(0.0, program.held_until_s - now_s), 3)


def stopped_for_hold(program: Program) -> Program:
    """Return the program whose process was stopped because it is held: nobody else asked for that end."""
    return replace(program, held_pid=program.pid)


def after_stop(program: Program, pid: int) -> Program:
    """Return the program after an order to stop a process of it; somebody's own gives it a fresh count."""
    return program if is_ours(program, pid) else without_deaths(program)


def is_ours(program: Program, pid: int) -> bool:
    """Tell whether a process is stopped because its program is held."""
    return program.held_until_s is not None or pid == program.held_pid
