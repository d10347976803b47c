"""The process behind a worker's connection: its signals, its end, and what it leaves behind.

Owns: the pidfd, killing the worker with its whole process group, how a process has ended.
Refuses to know: why a worker is killed, and what it spoke.

A worker leads a process group of its own. Whatever its engine forked is in that group, and outlives it when
somebody else kills it: the signal that a worker gets with its parent's death isn't handed down. So the
gateway watches the pidfd, and kills what is left of the group when the worker has ended.

A process's number may be given away once supervisord has taken the dead one's status; a pidfd can't be. So a
signal goes through the pidfd; or to a group whose leader is still there, as the pidfd says, or whose number
no process has: while a group has members, the kernel gives its number to no new process.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fcntl import ioctl
from struct import Struct

PIDFD_GET_INFO = 0xC040FF0B
"""_IOWR(0xFF, 11, struct pidfd_info); of a reaped process since Linux 6.15. Source: linux/pidfd.h."""
PIDFD_INFO_EXIT = 1 << 3
PIDFD_INFO = Struct("=QQ11Ii")
"""Mask, cgroup, eleven ids and the exit code: the first version of the struct."""
STAT_BYTES = 4096
"""More than its 52 numbers take."""
STAT_EXIT_CODE = 52 - 3
"""Index of `exit_code` behind the command's closing bracket. Source: proc(5), stat, fields from 1."""


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process has ended."""

    code: int | None
    """What it exited with; None when a signal ended it."""
    signal: int | None
    """The number of the signal that ended it."""

    @classmethod
    def from_wait(cls, status: int) -> ExitStatus:
        """Take a status as waitpid(2) has it."""
        if os.WIFSIGNALED(status):
            return cls(None, os.WTERMSIG(status))
        return cls(os.WEXITSTATUS(status), None)


class ProcessHandle:
    """One process that connected, and its process group if it leads one."""

    def __init__(self, pid: int) -> None:
        """Take hold of a process that lives now.

        Args:
            pid: Its number.
        """
        self.pid = pid
        self._pidfd: int | None = None
        self._leads_group = False
        self._is_watched = False
        with suppress(OSError):  # it has gone in the meantime
            self._pidfd = os.pidfd_open(pid)
            self._leads_group = os.getpgid(pid) == pid != os.getpgrp()

    def watch(self, on_end: Callable[[ExitStatus | None], None]) -> None:
        """Have the process's end told, once, by the event loop, which then kills what is left of its group.

        Args:
            on_end: Gets how it ended; None when the kernel doesn't say any more.
        """
        if self._pidfd is not None and not self._is_watched:
            self._is_watched = True
            asyncio.get_running_loop().add_reader(self._pidfd, self._ended, on_end)

    def unwatch(self) -> None:
        """Have the process's end told no more by this handle, because another one does."""
        if self._is_watched and self._pidfd is not None:
            self._is_watched = False
            asyncio.get_running_loop().remove_reader(self._pidfd)

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it is there still."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """Kill the process with its group."""
        self._kill_group()
        self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of the process; its end is told no more."""
        if self._pidfd is not None:
            self.unwatch()
            os.close(self._pidfd)
            self._pidfd = None

    def _ended(self, on_end: Callable[[ExitStatus | None], None]) -> None:
        status = self._exit_status()
        self._kill_group()
        self.close()
        on_end(status)

    def _kill_group(self) -> None:
        if self._leads_group and self._pidfd is not None and (self._is_there() or _is_nobodys(self.pid)):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _is_there(self) -> bool:
        """Return whether the process is there still, if only as a dead one whose status nobody took."""
        try:
            assert self._pidfd is not None
            signal.pidfd_send_signal(self._pidfd, 0)
        except ProcessLookupError:
            return False
        return True

    def _exit_status(self) -> ExitStatus | None:
        """Return how the process has ended; its parent may have taken the status already."""
        with suppress(OSError, ValueError, IndexError):
            stat = _read_stat(self.pid)
            if self._is_there():  # so this was its own
                return ExitStatus.from_wait(int(stat.rpartition(b")")[2].split()[STAT_EXIT_CODE]))
        with suppress(OSError):
            asked = PIDFD_INFO.pack(PIDFD_INFO_EXIT, *[0] * 13)
            assert self._pidfd is not None
            mask, *_, status = PIDFD_INFO.unpack(ioctl(self._pidfd, PIDFD_GET_INFO, asked))
            if mask & PIDFD_INFO_EXIT:
                return ExitStatus.from_wait(status)
        return None


def signal_name(number: int) -> str:
    """Return a signal's name, for example SIGSEGV; of one without a name its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _read_stat(pid: int) -> bytes:
    """Return a process's line of proc(5), which the kernel makes up without waiting for anything."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, STAT_BYTES)
    finally:
        os.close(descriptor)


def _is_nobodys(pid: int) -> bool:
    """Return whether no process has this number; a group may have it all the same."""
    try:
        os.getpgid(pid)
    except ProcessLookupError:
        return True
    return False
