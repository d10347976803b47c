"""The end of a worker's process as the gateway sees it, and what the process leaves behind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psutil
import pytest

from processes.gateway.worker_process import ExitStatus, ProcessHandle, signal_name
from tests.parts.appliance import eventually

PARENT = "sleep 60 & echo $!; read line; exit 7"


@contextmanager
def parent_and_child() -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process that leads a group of its own and has a child in it; a line of input ends it."""
    with subprocess.Popen(
        ["sh", "-c", PARENT], process_group=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        yield parent, psutil.Process(int(parent.stdout.readline()))


async def is_gone(process: psutil.Process) -> bool:
    """Wait for the end of a process; a dead one whose status nobody took has ended."""

    def has_ended() -> bool:
        with suppress(psutil.NoSuchProcess):
            return process.status() == psutil.STATUS_ZOMBIE
        return True

    await asyncio.to_thread(eventually, has_ended, 10)
    return True


async def test_process_when_killed_by_somebody_then_told_with_the_signal_and_its_child_is_killed() -> None:
    with parent_and_child() as (parent, child), closing(ProcessHandle(parent.pid)) as handle:
        told = asyncio.get_running_loop().create_future()
        handle.watch(told.set_result)
        parent.send_signal(signal.SIGSEGV)
        assert await told == ExitStatus(None, signal.SIGSEGV)
        assert await is_gone(child)


async def test_process_when_it_exits_by_itself_then_told_with_its_code_and_its_child_is_killed() -> None:
    with parent_and_child() as (parent, child), closing(ProcessHandle(parent.pid)) as handle:
        told = asyncio.get_running_loop().create_future()
        handle.watch(told.set_result)
        assert parent.stdin
        parent.stdin.write("end\n")
        parent.stdin.flush()
        assert await told in (ExitStatus(7, None), None)
        assert await is_gone(child)


async def test_process_when_its_status_was_taken_before_then_what_it_left_is_killed_all_the_same() -> None:
    with parent_and_child() as (parent, child), closing(ProcessHandle(parent.pid)) as handle:
        parent.kill()
        parent.wait()
        told = asyncio.get_running_loop().create_future()
        handle.watch(told.set_result)
        assert await told in (ExitStatus(None, signal.SIGKILL), None)  # an old kernel doesn't say any more
        assert await is_gone(child)


async def test_process_when_it_leads_no_group_then_its_neighbours_live() -> None:
    with parent_and_child() as (parent, child), closing(ProcessHandle(child.pid)) as handle:
        handle.kill()
        assert await is_gone(child)
        assert parent.poll() is None
        parent.kill()


@pytest.mark.parametrize(("number", "name"), [(11, "SIGSEGV"), (1000, "1000")])
def test_signal_name_when_asked_then_its_name_or_its_number(number: int, name: str) -> None:
    assert signal_name(number) == name
