"""Pools that grow and shrink while they work, at ttsctl's word.

Owns: the order in which files, supervisord and the gateway hear of it, and the lock against a second command.
Refuses to know: why a pool changes, and whether it may.

    grows:    file in run/workers.d → supervisord reads it → the worker comes → the gateway counts on it
    shrinks:  the gateway no longer counts on it → supervisord stops the worker and forgets it → file gone

The others aren't touched: supervisord only looks which files have changed.
"""

from __future__ import annotations

import fcntl
import os
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.running import write_pools
from appliance.settings import Settings
from appliance.worker_programs import WORKERS_DIR, program_file, program_text, worker_name
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError
from processes.ttsctl.programs import NOT_RUNNING, call, supervisor_of, undisturbed
from processes.ttsctl.restart import await_back, serving

LOCK_FILE = "ttsctl.lock"
BAD_NAME, ALREADY_ADDED, STILL_RUNNING = 10, 90, 91
"""supervisord's faults: it knows no such program, knows it already, or has just started it by itself.
Source: supervisor.xmlrpc."""
REMOVALS = 3
"""Times that a worker is stopped that is started by itself between its stop and its removal."""


@contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Hold off every other command that changes what runs.

    Raises:
        CommandError: Another one is at work, or the run directory can't be written to.
    """
    try:
        descriptor = os.open(run_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"{run_dir}: can't be used: {error.strerror}; is the appliance running? See ttsctl doctor"
        raise CommandError(message, code="unreachable") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        message = "another ttsctl changes what runs; wait until it is done"
        raise CommandError(message, code="busy") from None
    finally:
        os.close(descriptor)


def resize(run_dir: Path, settings: Settings, engine: str, sizes: dict[str, int], wait_s: float) -> list[str]:
    """Give an engine as many workers as `sizes` says; blocks until all are back, or gone.

    Args:
        run_dir: The appliance's.
        settings: What new workers' programs are made with.
        engine: Whose pool it is.
        sizes: Of all pools, as they shall be.
        wait_s: Seconds that each new worker has to come.

    Returns:
        The names of the workers that came or went.

    Raises:
        CommandError: A worker didn't come, or supervisord or the gateway doesn't do what it should.
    """
    there = slots_of(run_dir, engine)
    wanted = range(1, sizes[engine] + 1)
    coming = [slot for slot in wanted if slot not in there]
    leaving = [slot for slot in there if slot not in wanted]
    for slot in coming:
        add_worker(run_dir, settings, engine, slot, wait_s)
    tell_sizes(run_dir, sizes)
    for slot in leaving:
        remove_worker(run_dir, engine, slot)
    return [worker_name(engine, slot) for slot in (*coming, *leaving)]


def slots_of(run_dir: Path, engine: str) -> list[int]:
    """Return the slots of an engine that have a program's file, ascending."""
    prefix, suffix = program_file(engine, 0).split("0")
    names = (path.name for path in (run_dir / WORKERS_DIR).glob(f"{prefix}*{suffix}"))
    slots = (name.removeprefix(prefix).removesuffix(suffix) for name in names)
    return sorted(int(slot) for slot in slots if slot.isdecimal())


def add_worker(run_dir: Path, settings: Settings, engine: str, slot: int, wait_s: float) -> None:
    """Start one more worker and wait until the gateway gives it work.

    Raises:
        CommandError: It can't start, or isn't there in time; nothing is left of it.
    """
    name = worker_name(engine, slot)
    path = run_dir / WORKERS_DIR / program_file(engine, slot)
    try:
        path.write_text(program_text(engine, slot, settings), "utf-8")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise CommandError(f"{path}: can't be written: {error.strerror}", code="not_written") from None
    try:
        with undisturbed(), supervisor_of(run_dir) as supervisor:
            supervisor.reloadConfig()
            call(supervisor.addProcessGroup, name, harmless=ALREADY_ADDED)
        await_back(run_dir, name, None, wait_s, is_told=False)
    except BaseException:
        remove_worker(run_dir, engine, slot)
        raise


def remove_worker(run_dir: Path, engine: str, slot: int) -> None:
    """Stop a worker, which finishes what it speaks if that doesn't take long, and forget it.

    Raises:
        CommandError: supervisord refuses or doesn't answer.
    """
    name = worker_name(engine, slot)
    with undisturbed():
        (run_dir / WORKERS_DIR / program_file(engine, slot)).unlink(missing_ok=True)
        with supervisor_of(run_dir) as supervisor:
            supervisor.reloadConfig()
            for left in reversed(range(REMOVALS)):
                call(supervisor.stopProcess, name, harmless=(NOT_RUNNING, BAD_NAME))
                try:
                    call(supervisor.removeProcessGroup, name, harmless=BAD_NAME)
                    break
                except xmlrpc.client.Fault as fault:
                    if fault.faultCode != STILL_RUNNING or not left:
                        raise


def renew_program(run_dir: Path, settings: Settings, engine: str, slot: int) -> bool:
    """Write a worker's file anew; return whether it has changed, so that supervisord has to hear of it."""
    path = run_dir / WORKERS_DIR / program_file(engine, slot)
    text = program_text(engine, slot, settings)
    try:
        has_changed = path.read_text("utf-8") != text
        if has_changed:
            path.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"{path}: can't be written: {error.strerror}", code="not_written") from None
    return has_changed


def replace_program(run_dir: Path, name: str, wait_s: float) -> float:
    """Have supervisord take over a worker's changed file, which starts it anew; return the seconds it took.

    Raises:
        CommandError: supervisord refuses, or the worker isn't back in time.
    """
    begun_s = time.monotonic()
    old_pid = serving(run_dir).get(name)
    with undisturbed(), supervisor_of(run_dir) as supervisor:
        supervisor.reloadConfig()
        call(supervisor.stopProcess, name, harmless=NOT_RUNNING)
        call(supervisor.removeProcessGroup, name, harmless=BAD_NAME)
        call(supervisor.addProcessGroup, name, harmless=ALREADY_ADDED)
    await_back(run_dir, name, old_pid, wait_s, is_told=False)
    return time.monotonic() - begun_s


def tell_sizes(run_dir: Path, sizes: dict[str, int]) -> None:
    """Note sizes for the next gateways, and tell the one that runs.

    Raises:
        CommandError: They can't be noted, or it doesn't answer.
    """
    try:
        write_pools(run_dir, sizes)
    except OSError as error:
        raise CommandError(f"{run_dir}: can't be written to: {error.strerror}", code="not_written") from None
    ask_json(run_dir, "POST", "/admin/pools")
