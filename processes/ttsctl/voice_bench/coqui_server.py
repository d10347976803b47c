"""Coqui's own tts-server as a process: what the appliance is held against.

Owns: starting and ending it, asking it, its CPU and memory.
Refuses to know: what is compared.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from appliance.packages import thread_variables
from appliance.settings import ROOT
from processes.ttsctl.voice_bench import usage

SERVER = "appliance.engines.coqui.server"
START_LIMIT_S = 120.0
ANSWER_LIMIT_S = 120.0
POLL_S = 0.1


class CoquiServer:
    """A running tts-server; `running_coqui_server` makes and ends it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._pid = process.pid
        self._port = port

    def speak(self, text: str) -> float:
        """Have a text spoken; return the seconds to the first byte of the answer, which comes whole.

        Raises:
            OSError: It doesn't answer.
            ValueError: It answers with an error.
        """
        connection = http.client.HTTPConnection("localhost", self._port, timeout=ANSWER_LIMIT_S)
        begun_s = time.perf_counter()
        try:
            connection.request("GET", "/api/tts?" + urlencode({"text": text}))
            response = connection.getresponse()
            response.read(1)
            first_byte_s = time.perf_counter() - begun_s
            response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            message = f"tts-server answered {response.status}"
            raise ValueError(message)
        return first_byte_s

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used since its start."""
        return usage.cpu_s(self._pid)

    def shared_out_bytes(self) -> int:
        """Return its memory (PSS)."""
        return usage.memory(self._pid).shared_out_bytes


@contextlib.contextmanager
def running_coqui_server(checkpoint: Path) -> Iterator[CoquiServer]:
    """Start tts-server with one thread, wait until it answers, end it with the block.

    Args:
        checkpoint: Folder with `model.pth` and `config.json`.

    Raises:
        TimeoutError: It doesn't answer within `START_LIMIT_S`, or has ended.
    """
    port = _free_port()
    command = [sys.executable, "-m", SERVER, "--port", str(port)]
    command += ["--model_path", str(checkpoint / "model.pth")]
    command += ["--config_path", str(checkpoint / "config.json")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | thread_variables(1),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_open(process, port)
        yield CoquiServer(process, port)
    finally:
        process.kill()  # it has no state, and a graceful end takes its time
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    until_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until_s and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", port), POLL_S).close()
            return
        time.sleep(POLL_S)
    message = f"tts-server doesn't answer (exit code {process.poll()})"
    raise TimeoutError(message)
