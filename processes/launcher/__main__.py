"""The launcher's command: `python -m processes.launcher`.

Owns: the command line, the order of starting, the one line that says what is wrong with the configuration.
Refuses to know: the loop (`launch`).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.lifecycle import (
    EXIT_CONFIG,
    EXIT_OK,
    GATEWAY_SOCKET,
    LAUNCHER_FILE,
    NOTIFY_SOCKET,
    SOCKETS_SOCKET,
    SUPERVISOR_SOCKET,
    WORKERS_SOCKET,
    make_private_dir,
    read_json,
    remove_stale_socket,
)
from appliance.logs import configure_logging
from appliance.pools import look_at_machine, plan_pools
from appliance.preflight import check_files
from appliance.running import POOLS_FILE, look_at_configuration, write_configuration
from appliance.settings import Settings, load_settings
from appliance.voice_store import VoiceStore
from processes.launcher.launch import Launch
from processes.launcher.listeners import open_listeners
from processes.launcher.log_ring import open_ring
from processes.launcher.rendering import render_configuration
from processes.launcher.secret_files import remove_secrets, take_secrets
from processes.launcher.terminal import own_terminal

LOCK_NAME = "launcher.lock"
STREAM_SOCKETS = (SUPERVISOR_SOCKET, SOCKETS_SOCKET, WORKERS_SOCKET, GATEWAY_SOCKET)
"""What programs open later is looked at before anything starts, so that a foreign socket is one line."""


def main() -> int:
    """Run the appliance, or only check its configuration; return the exit code."""
    parser = argparse.ArgumentParser(prog="tts-launcher", description="Run the appliance.")
    parser.add_argument(
        "--check-config", action="store_true", help="check the settings, say what is wrong, start nothing"
    )
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        check_files(settings)
        if arguments.check_config:
            plan_pools(settings, look_at_machine(settings))
            print("configuration: ok")
            return EXIT_OK
        return _run(settings)
    except ConfigurationError as error:
        print("configuration:", error.message.replace("\n", " "), file=sys.stderr)
        return EXIT_CONFIG


def _run(settings: Settings) -> int:
    os.umask(0o077)
    make_private_dir(settings.run.dir)
    with contextlib.ExitStack() as owned:
        owned.enter_context(_locked(settings.run.dir))
        _begin_without_secrets(settings.run.dir)
        remove_secrets(settings.run.dir, settings)
        owned.callback(_forget_secrets, settings.run.dir)
        for name in STREAM_SOCKETS:
            remove_stale_socket(settings.run.dir / name)
        remove_stale_socket(settings.run.dir / NOTIFY_SOCKET, socket.SOCK_DGRAM)
        listeners = open_listeners(settings)
        for listener in listeners.values():
            owned.enter_context(listener)
        VoiceStore(settings.data.dir).sweep()
        writer = configure_logging("launcher", settings.log.level, descriptors=[sys.stdout.fileno()])
        writer.mirror = ring = open_ring(settings.run.dir)
        owned.callback(ring.close)
        plan = plan_pools(settings, look_at_machine(settings))
        _note_configuration(settings)
        os.environ.update(plan.variables())  # every program reads its settings from there
        settings = plan.applied_to(settings)
        configuration = render_configuration(settings)
        owned.enter_context(own_terminal())
        return Launch(settings, plan, listeners, configuration, writer, ring).run()


def _note_configuration(settings: Settings) -> None:
    """Note what this start is made of, in the place of what an earlier one was.

    Raises:
        ConfigurationError: It can't be read or written.
    """
    try:
        (settings.run.dir / POOLS_FILE).unlink(missing_ok=True)
        write_configuration(settings.run.dir, look_at_configuration(settings))
    except OSError as error:
        message = f"run.dir = {settings.run.dir}: can't be written to: {error.strerror}"
        raise ConfigurationError(message) from None


def _begin_without_secrets(run_dir: Path) -> None:
    """Begin anew in the same process where the environment holds secrets; then this doesn't return.

    Raises:
        ConfigurationError: They can't be written.
    """
    environment = take_secrets(run_dir, dict(os.environ))
    if environment is not None:
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, environment)  # noqa: S606 (this very command, no shell)


def _forget_secrets(run_dir: Path) -> None:
    with contextlib.suppress(ConfigurationError):  # the next start removes them, or says why it can't
        remove_secrets(run_dir)


@contextlib.contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Hold the run directory for this launcher alone.

    Raises:
        ConfigurationError: Another launcher holds it, or the lock can't be opened.
    """
    path = run_dir / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"{path}: can't be opened: {error.strerror}"
        raise ConfigurationError(message) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        owner = read_json(run_dir / LAUNCHER_FILE).get("pid", "unknown")
        message = f"run.dir = {run_dir}: another launcher (process {owner}) runs there"
        raise ConfigurationError(message) from None
    try:
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
