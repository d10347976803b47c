"""How a program of the appliance starts, says that it is ready, and ends.

Owns: exit codes, ties between parent and child, Unix listening sockets, the hand-over of listening sockets.
Refuses to know: what any program does between its start and its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError

EXIT_OK = 0
"""Stopped because it was asked to."""
EXIT_FATAL = 70
"""Gave up: the gateway can't be kept running. Source: sysexits.h, EX_SOFTWARE."""
EXIT_SUPERVISOR = 71
"""supervisord died by itself. Source: sysexits.h, EX_OSERR."""
EXIT_CONFIG = 78
"""The configuration is wrong. Source: sysexits.h, EX_CONFIG."""

NOTIFY_SOCKET = "notify.sock"
"""In the run directory: the watchdog's datagram socket."""
SOCKETS_SOCKET = "sockets.sock"
"""In the run directory: where the launcher hands out the listening sockets."""
SUPERVISOR_SOCKET = "supervisor.sock"
"""In the run directory: supervisord's XML-RPC."""
WORKERS_SOCKET = "workers.sock"
"""In the run directory: where workers connect to the gateway."""
GATEWAY_SOCKET = "gateway.sock"
"""In the run directory: the gateway's HTTP for this user alone."""
LAUNCHER_FILE = "launcher.json"
"""In the run directory, by the launcher: `pid`, `http_host`, `http_port`, `wyoming_port` (null where
nobody listens), `version`, `pools`, counts of lost lines."""
PROGRAMS_FILE = "programs.json"
"""In the run directory, by the watchdog: for each program its state, pid and readiness."""
LOG_DIR = "log"
"""In the run directory: what programs say, for `supervisorctl tail` and `ttsctl logs`."""
RING_FILE = "appliance.log"
OLDER_RING_FILE = "appliance.log.1"
"""In `LOG_DIR`, by the launcher: the last lines of all programs, and those before."""
VERDICT_FILE = "verdict.json"
"""In the run directory, by the watchdog: why the appliance gave up, if it did."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
"""Source: linux/prctl.h."""
NICE = 19
"""What nobody waits for takes what speaking leaves. Source: nice(2), the least favourable."""
OOM_SCORE_ADJ = 1000
"""When memory is short, such a process goes first. Source: proc(5)."""
BACKLOG = 1024
"""Connections that wait to be accepted; the kernel may allow fewer (net.core.somaxconn)."""
MAX_HANDED = 16
"""Descriptors that are handed over at most."""
ACCEPTED_MEMORY = "accepted"
"""The name under which memory is handed over that outlives a gateway (`appliance.store.accepted`)."""
WYOMING = "wyoming"
"""The name under which the socket for Wyoming's clients is handed over, where there is one."""
HAND_OVER_S = 5.0
"""Seconds to wait for the launcher's answer."""


def die_with_parent(signal_number: int = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Ask the kernel for a signal when the process that started this one is gone; at once if it is already.

    Args:
        signal_number: The signal.
        parent: Process id of who started this one; None takes who is its parent now.

    Raises:
        OSError: The kernel refused.
    """
    parent = parent or os.getppid()
    _prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it died before it was asked for
        os.kill(os.getpid(), signal_number)


def be_first_to_go(nice: int = NICE) -> None:
    """Be the last to compute and the first to be killed, and leave no core file, which would hold texts.

    Args:
        nice: How far to stand back; less than everything where a client waits for the answer.
    """
    os.nice(nice)
    with contextlib.suppress(OSError):  # a container may forbid it, and nothing depends on it
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ), "ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent dies, so that none is lost.

    Raises:
        OSError: The kernel refused.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_ulong(number) for number in (value, 0, 0, 0))
    if library.prctl(ctypes.c_int(option), *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file by JSON in one step, so that a reader never sees half of it; blocks for the disk.

    Nobody but this user may read it.

    Raises:
        OSError: The directory can't be written to.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.touch(0o600)
    temporary.write_text(json.dumps(content) + "\n", "utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; an absent or broken file is empty."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Who is at the other end of a Unix socket."""

    pid: int
    uid: int
    gid: int

    @property
    def is_own(self) -> bool:
        """Whether it runs as the same user as this process."""
        return self.uid == os.geteuid()


UCRED = struct.Struct("=iII")
"""Source: unix(7), `struct ucred`."""


def peer_credentials(connection: socket.socket) -> PeerCredentials:
    """Return who connected, as the kernel knows it.

    Args:
        connection: An accepted Unix stream socket.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
    return PeerCredentials(*UCRED.unpack(raw))


def is_own_peer(connection: socket.socket) -> bool:
    """Tell whether the peer of a Unix stream socket runs as the same user as this process."""
    return peer_credentials(connection).is_own


def make_private_dir(path: Path) -> None:
    """Create a directory with mode 0700, or give an existing one of ours that mode.

    Raises:
        ConfigurationError: It can't be created, isn't a directory or belongs to another user.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
            path.chmod(stat.S_IRWXU)
    except OSError as error:
        message = f"{path}: can't be used as a directory: {error.strerror}"
        raise ConfigurationError(message) from None
    if found.st_uid != os.geteuid():
        message = f"{path}: belongs to user {found.st_uid}, not to user {os.geteuid()} of this process"
        raise ConfigurationError(message)


def listen_unix(
    path: Path, kind: socket.SocketKind = socket.SOCK_STREAM, *, backlog: int = 128
) -> socket.socket:
    """Open a Unix socket that only this user can reach, in place of one that a dead process left behind.

    Args:
        path: Where; its directory gets mode 0700.
        kind: SOCK_STREAM (listening when this returns) or SOCK_DGRAM.
        backlog: Connections that may wait.

    Raises:
        ConfigurationError: Somebody answers there already, or the path is foreign, too long or no socket.
    """
    make_private_dir(path.parent)
    with bound_unix(path, str(path), kind) as server:
        if kind == socket.SOCK_STREAM:
            server.listen(backlog)
    return server


@contextlib.contextmanager
def bound_unix(
    path: Path, called: str, kind: socket.SocketKind = socket.SOCK_STREAM
) -> Iterator[socket.socket]:
    """Bind a Unix socket in place of one that a dead process left behind; only this user can reach it.

    The caller makes it listen within the block, and closes it. Where the block fails it is closed.

    Args:
        path: Where.
        called: What the error's message begins with.
        kind: SOCK_STREAM or SOCK_DGRAM.

    Raises:
        ConfigurationError: Somebody answers there already, the path is foreign, too long or no socket, or the
            block has raised an OSError.
    """
    remove_stale_socket(path, kind)
    server = socket.socket(socket.AF_UNIX, kind)
    try:
        with _umask(0o077):
            server.bind(os.fspath(path))
        yield server
    except OSError as error:
        server.close()
        message = f"{called}: can't be opened: {error.strerror or error}"
        raise ConfigurationError(message) from None
    except BaseException:
        server.close()
        raise


def listen_unix_again(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket | None:
    """Open a Unix socket of `listen_unix` once more if somebody has removed it: nobody reaches the old one.

    Returns:
        The new one; None while the old one is in its place, or where none can be opened now.
    """
    with contextlib.suppress(OSError, ConfigurationError):
        if not path.exists():
            return listen_unix(path, kind)
    return None


def remove_stale_socket(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Unlink a socket of ours that nobody answers on; none there is fine.

    Raises:
        ConfigurationError: Somebody answers, or what lies there is foreign or no socket.

    Source: GitLab and gunicorn do the same; the connect tells a dead owner from a living one.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        message = f"{path}: is in the way and isn't a socket"
        raise ConfigurationError(message)
    if found.st_uid != os.geteuid():
        message = f"{path}: belongs to user {found.st_uid}, not to user {os.geteuid()} of this process"
        raise ConfigurationError(message)
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError:  # it answers, though not to us now: a full backlog, another kind of socket
            pass
    message = f"{path}: another process is listening there"
    raise ConfigurationError(message)


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)


def send_descriptors(connection: socket.socket, descriptors: dict[str, int]) -> None:
    """Hand open files to the peer of a Unix stream socket; both ends hold them afterwards.

    Args:
        connection: The peer's connection.
        descriptors: At most `MAX_HANDED`, by name.

    Raises:
        OSError: The peer is gone.
    """
    socket.send_fds(connection, [json.dumps(list(descriptors)).encode()], list(descriptors.values()))


def receive_descriptors(run_dir: Path) -> dict[str, int]:
    """Take what the launcher holds, by name; blocks `HAND_OVER_S` at most.

    That is the listening sockets (`http`), and `ACCEPTED_MEMORY`. The caller owns and closes them; the
    sockets keep listening as long as the launcher lives.

    Raises:
        ConfigurationError: No launcher answers in this run directory.

    Source: sd_listen_fds(3) for the idea; here over a socket, so that a restart needs nothing of supervisord.
    """
    path = run_dir / SOCKETS_SOCKET
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(HAND_OVER_S)
            client.connect(os.fspath(path))
            data, descriptors, _flags, _address = socket.recv_fds(client, 4096, MAX_HANDED)
    except OSError as error:
        message = f"{path}: no launcher answers there: {error.strerror or error}"
        raise ConfigurationError(message) from None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    names = json.loads(data or b"[]")
    if len(names) != len(descriptors) or not descriptors:
        for descriptor in descriptors:
            os.close(descriptor)
        message = f"{path}: the launcher handed over {len(descriptors)} files for {len(names)} names"
        raise ConfigurationError(message)
    return dict(zip(names, descriptors, strict=True))
