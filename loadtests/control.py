"""A server of known delay, and the client that measures the generator with it: `python -m loadtests.control`.

Owns: the delay, and saying in each answer how long it really was.
Refuses to know: what else the generator does.

It runs in a process of its own and sleeps in threads, so that it has no queue. What a client notes beyond the
delay that the answer names is the generator's: its greenlets waiting for each other, and for the processor.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

from appliance.settings import ROOT

DELAY_S = 0.1
TIMEOUT_S = 10.0
STOP_LIMIT_S = 10.0


class _Handler(BaseHTTPRequestHandler):
    def setup(self) -> None:
        self.accepted_at_s = time.monotonic()
        super().setup()

    def do_GET(self) -> None:
        time.sleep(DELAY_S)
        body = json.dumps({"delay_s": time.monotonic() - self.accepted_at_s}).encode()
        self.send_response(http.client.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def ask_control(port: int) -> float:
    """Return the seconds that this generator adds to an answer; blocks.

    Raises:
        OSError: The control server is gone.
        ValueError: Something else answers at its port.
    """
    begun_s = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/")
        body = connection.getresponse().read()
    finally:
        connection.close()
    total_s = time.monotonic() - begun_s
    return max(0.0, total_s - float(json.loads(body)["delay_s"]))


@contextlib.contextmanager
def running_control() -> Iterator[int]:
    """Start the server, yield its port, end it.

    Raises:
        RuntimeError: It ended instead of naming its port.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "loadtests.control"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip()
            if not port:
                raise RuntimeError("the control server didn't start")
            yield int(port)
        finally:
            server.stdin.close()
            server.wait(STOP_LIMIT_S)


def main() -> None:
    """Serve until standard input ends, as it does with the parent."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()
        serving.join()


if __name__ == "__main__":
    main()
