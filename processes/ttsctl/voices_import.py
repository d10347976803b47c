"""`ttsctl voices import`: makes a voice of a model, here and now.

Owns: the importer's command line, in the environment of the appliance that runs in the run directory.
Refuses to know: how a voice is made; the importer's exit code is passed through.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from processes.ttsctl.place import CHECKOUT, find_run_dir
from processes.ttsctl.process_table import adopt_environment

OPTIONS = ("id", "name", "language", "license", "attribution")


def run(arguments: argparse.Namespace) -> NoReturn:
    """Become the importer, with its bar, so that Ctrl-C is its own."""
    run_dir = find_run_dir(arguments.run_dir)
    adopt_environment(run_dir)
    os.environ["APPLIANCE_RUN_DIR"] = os.fspath(run_dir)
    source = arguments.source
    if Path(source).is_dir():
        source = os.fspath(Path(source).absolute())
    command = [sys.executable, "-m", "processes.importer", source]
    for name in OPTIONS:
        if value := getattr(arguments, name):
            command += [f"--{name}", value]
    if arguments.json:
        command.append("--json")
    os.chdir(CHECKOUT)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the importer knows what to do with it
    os.execv(sys.executable, command)  # noqa: S606 (no shell is wanted here)
