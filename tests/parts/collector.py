"""A collector of OpenTelemetry as a part of a test: a real HTTP server that takes OTLP, or doesn't."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from appliance.tracing_settings import TRACES_PATH

WAIT_S = 20.0


@dataclass(frozen=True)
class TakenSpan:
    """A span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    program: str
    service: str
    begun_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    is_error: bool
    links: tuple[str, ...]


class Collector:
    """Takes spans at `/v1/traces`; `status` and `go` make it refuse or hang."""

    def __init__(self) -> None:
        self.status = 200
        self.go = threading.Event()
        """Unset, every answer waits for it."""
        self.go.set()
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._news = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, body, {name.lower(): value for name, value in self.headers.items()})
                collector.go.wait(60)
                answer = ExportTraceServiceResponse().SerializeToString()
                with contextlib.suppress(OSError):  # whoever asked may have given up
                    self.send_response(collector.status)
                    self.send_header("Content-Type", "application/x-protobuf")
                    if collector.status // 100 == 3:
                        self.send_header("Location", f"{collector.url}/elsewhere")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        assert path == TRACES_PATH
        with self._news:
            self.bodies.append(body)
            self.headers.append(headers)
            self._news.notify_all()

    def spans(self) -> list[TakenSpan]:
        """Everything that was sent so far."""
        return [span for body in list(self.bodies) for span in _spans(body)]

    def wait_for(self, count: int, name: str = "", **attributes: object) -> list[TakenSpan]:
        """Wait for so many spans of a name, of requests with these attributes; return all of their spans."""

        def found() -> list[TakenSpan]:
            spans = self.spans()
            wanted = {f"tts.{key}": value for key, value in attributes.items()}
            traces = {
                span.trace_id
                for span in spans
                if span.attributes.get("http.route") and wanted.items() <= span.attributes.items()
            }
            return [span for span in spans if span.trace_id in traces]

        with self._news:
            is_there = self._news.wait_for(
                lambda: sum(span.name.startswith(name) for span in found()) >= count, WAIT_S
            )
        assert is_there, f"not {count} {name!r} in {found()} of {len(self.spans())}"
        return found()

    def wait_for_post(self, count: int = 1) -> None:
        """Wait for so many posts, taken or not."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.bodies) >= count, WAIT_S)

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector that is ended with the block."""
    with contextlib.closing(Collector()) as collector:
        yield collector


def _spans(body: bytes) -> Iterator[TakenSpan]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        of = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield TakenSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    of["service.instance.id"],
                    of["service.name"],
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {each.key: _value(each.value) for each in span.attributes},
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    tuple(link.trace_id.hex() for link in span.links),
                )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
