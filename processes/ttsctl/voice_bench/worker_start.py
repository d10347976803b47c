"""How long a worker takes to its hello.

Owns: a socket in the gateway's place.
Refuses to know: bounds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from appliance.ipc.blocking_channel import BlockingChannel
from appliance.ipc.messages import Hello
from appliance.lifecycle import WORKERS_SOCKET
from appliance.settings import ROOT

HELLO_LIMIT_S = 60.0
END_LIMIT_S = 10.0


def hello_s(data_dir: Path, default_voice: str, engine: str = "vits") -> float:
    """Start a worker; return the seconds to its hello. Blocks; ends the worker.

    Args:
        data_dir: Where the voices lie.
        default_voice: The one that it gets warm with.
        engine: Which one it has.

    Raises:
        TimeoutError: It hasn't said hello within `HELLO_LIMIT_S`.
    """
    with tempfile.TemporaryDirectory(prefix="bench") as run_dir, socket.socket(socket.AF_UNIX) as gateway:
        gateway.bind(f"{run_dir}/{WORKERS_SOCKET}")
        gateway.listen()
        gateway.settimeout(HELLO_LIMIT_S)
        settings = {"RUN_DIR": run_dir, "DATA_DIR": str(data_dir), "VOICES_DEFAULT": default_voice}
        command = [sys.executable, "-m", "processes.worker", "--engine", engine, "--slot", "1"]
        begun_s = time.perf_counter()
        worker = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {f"APPLIANCE_{name}": value for name, value in settings.items()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            connection, _ = gateway.accept()
            connection.settimeout(None)
            channel = BlockingChannel(connection)
            if not isinstance(channel.receive(HELLO_LIMIT_S), Hello):
                raise TimeoutError
            taken_s = time.perf_counter() - begun_s
            channel.close()
        finally:
            worker.terminate()
            worker.wait(END_LIMIT_S)
    return taken_s
