"""An appliance without one of its defences, for those that no setting switches off.

    python -m loadtests.ledger.undefended frames              the launcher, with another gateway
    python -m loadtests.ledger.undefended frames --program    that gateway

Owns: how each of these defences is switched off, in the process of the program that has it.
Refuses to know: which fault the defence is against, what is measured.

The launcher is the appliance's own, but it starts supervisord with one command replaced: by this module,
which switches the defence off and then runs the program.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.errors import ProtocolError
from appliance.ipc.stream_channel import StreamChannel
from appliance.lifecycle import die_with_parent
from appliance.settings import load_settings
from appliance.watched import BeatFile
from processes.launcher import __main__ as launcher
from processes.launcher.rendering import TEMPLATE, render_configuration

MODULE = "loadtests.ledger.undefended"
BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class Switch:
    """Where a defence is, and how it is switched off there."""

    program: str
    turn: Callable[[], None]
    """Called in that program's process, before the program begins."""


def _ignore_broken_frames() -> None:
    """Have the gateway read on behind a frame that breaks the protocol."""

    def ignore(_channel: StreamChannel, _error: ProtocolError) -> None:
        """Neither count nor hang up."""

    StreamChannel._break_off = ignore  # type: ignore[assignment, method-assign]  # noqa: SLF001 (what is to be switched off)


def _beat_by_itself() -> None:
    """Have a process of its own beat for the watchdog, whatever that does, until the watchdog ends."""
    parent = os.getpid()
    if os.fork():
        return
    die_with_parent(parent=parent)
    with closing(BeatFile(load_settings().run.dir)) as beat_file:
        while True:
            beat_file.beat()
            time.sleep(BEAT_S)


SWITCHES = {
    "frames": Switch("gateway", _ignore_broken_frames),
    "watchdog": Switch("watchdog", _beat_by_itself),
}


def main() -> int:
    """Run the launcher or the program until it ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="undefended", description="Run the appliance without a defence.")
    parser.add_argument("defence", choices=SWITCHES)
    parser.add_argument("--program", action="store_true", help="run the program that has it")
    arguments = parser.parse_args()
    switch = SWITCHES[arguments.defence]
    module = f"processes.{switch.program}"
    sys.argv = [module]
    if arguments.program:
        switch.turn()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    with tempfile.TemporaryDirectory() as directory:
        template = Path(directory) / TEMPLATE.name
        command = f"command=python -m {module}\n"
        own_command = f"command=python -m {MODULE} {arguments.defence} --program\n"
        template.write_text(TEMPLATE.read_text("utf-8").replace(command, own_command), "utf-8")
        vars(launcher)["render_configuration"] = partial(render_configuration, template=template)
        return launcher.main()


if __name__ == "__main__":
    sys.exit(main())
