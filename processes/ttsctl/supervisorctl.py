"""`ttsctl supervisorctl …`: supervisor's own command, pointed at this run directory.

Owns: finding the configuration and the socket.
Refuses to know: what supervisorctl does; its exit code is passed through.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from appliance.lifecycle import SUPERVISOR_SOCKET
from processes.ttsctl.place import CHECKOUT, find_run_dir

CONFIG_NAME = "supervisord.conf"


def run(arguments: argparse.Namespace) -> NoReturn:
    """Become supervisorctl.

    The run directory's own configuration wins over the checkout's, which is made for the default run
    directory; the socket is named beside it, so that both speak to the right appliance.
    """
    run_dir = find_run_dir(arguments.run_dir)
    rendered = run_dir / CONFIG_NAME
    config = rendered if rendered.exists() else CHECKOUT / "config" / CONFIG_NAME
    socket_url = f"unix://{run_dir / SUPERVISOR_SOCKET}"
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", os.fspath(config), "-s", socket_url]
    os.execv(sys.executable, [*command, *arguments.rest])  # noqa: S606 (no shell is wanted here)
