"""A server that looks like the appliance and speaks nothing: the load gate must see through it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

from appliance.audio.encoders import encode_whole
from appliance.audio.encoders.aac import adts_header
from appliance.speech import AudioFormat
from tests.parts.audio import RATE_HZ

BARE = {audio_format.value: encode_whole(audio_format, RATE_HZ, b"") for audio_format in AudioFormat} | {
    "mp3": b"ID3\x04\x00\x00\x00\x00\x00\x00\xff\xf3\x80\xc0",
    "aac": adts_header(7, 300),
}
"""Of each format all that stands in front of the sound; nothing for pcm."""
VOICES = {"voices": [{"id": "tone-low"}]}
REFUSAL = {"error": {"message": "Busy", "type": "server_error", "param": None, "code": "overloaded"}}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(http.client.OK, json.dumps(VOICES).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.is_refusing:
            self._answer(http.client.SERVICE_UNAVAILABLE, json.dumps(REFUSAL).encode())
        else:
            self._answer(http.client.OK, BARE[asked["response_format"]] or b"\x01")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 256
    is_refusing = False


@contextlib.contextmanager
def deceiving(*, is_refusing: bool) -> Iterator[str]:
    """The address of a server that refuses everything honestly, or answers all with bare headers."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.is_refusing = is_refusing
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()
