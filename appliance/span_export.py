"""Spans leave for a collector of OpenTelemetry, by OTLP over HTTP, and hold nobody up.

Owns: the bounded queue, the thread that sends, what is counted and logged of it.
Refuses to know: what a span is about (`tracing`).

    put ── any thread, never waits ──▶ queue of 2,048 spans ── full: dropped and counted
                                          │  128 at most, every two seconds or as soon as there are so many
                                          ▼
                    a thread of its own: encodes, posts, waits for the answer for 5 s at most

Only this module imports opentelemetry, and only once a `SpanExport` is made. What a collector doesn't take is
counted and gone: it is told of later spans, not of all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from loguru import logger

import appliance
from appliance.metrics import GatewayMetrics
from appliance.tracing import SAMPLED, Span, SpanContext
from appliance.tracing_check import check_tracing, read_headers
from appliance.tracing_settings import TracingSettings

if TYPE_CHECKING:
    import requests
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext as SdkContext

MAX_SPANS = 2_048
"""Spans that wait before further ones are dropped, about 2 MB. Source: OTEL_BSP_MAX_QUEUE_SIZE's default."""
BATCH_SPANS = 128
"""Spans of one post. Encoding them takes 6 ms, in which the event loop has to share the interpreter."""
GATHER_S = 2.0
"""Seconds that spans wait for others; also the pause after a post that has failed."""
ANSWER_S = 5.0
"""Seconds that the collector has for a batch, tries again and all."""
CLOSE_S = 1.0
"""Seconds that the end of the gateway waits for what is queued."""
MAX_REASON_CHARS = 200


class SpanExport:
    """Takes spans and sends them from a thread of its own; to be closed."""

    def __init__(self, settings: TracingSettings, metrics: GatewayMetrics) -> None:
        """Import what is needed, which takes about a second; `start` makes it send.

        Args:
            settings: With an endpoint.
            metrics: Where spans are counted.

        Raises:
            ConfigurationError: The extra isn't installed, or the file of headers can't be used.
        """
        check_tracing(settings)
        self._collector = _Collector(settings)
        self._metrics = metrics
        self._spans: deque[Span] = deque()
        self._wakeup = threading.Event()
        self._closing = threading.Event()
        self._close_by_s = 0.0
        """Monotonic time after which nothing is begun any more; only while it is closing."""
        self._is_failing = False
        self._thread = threading.Thread(target=self._send_all, name="span-export", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span, or drop and count it; never blocks, safe in any thread."""
        if len(self._spans) >= MAX_SPANS or self._closing.is_set():
            self._metrics.trace_spans.labels("dropped").inc()
            return
        self._spans.append(span)
        if len(self._spans) >= BATCH_SPANS:
            self._wakeup.set()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Send what is queued and end; blocks for `timeout_s` seconds at most, whatever hangs."""
        self._close_by_s = time.monotonic() + timeout_s
        self._closing.set()
        self._wakeup.set()
        self._thread.join(timeout_s)
        self._collector.close()
        self._metrics.trace_spans.labels("dropped").inc(len(self._spans))

    def _send_all(self) -> None:
        while True:
            self._wakeup.wait(GATHER_S)
            self._wakeup.clear()
            is_last = self._closing.is_set()
            while self._spans and not (self._closing.is_set() and time.monotonic() >= self._close_by_s):
                if not self._send():
                    self._closing.wait(GATHER_S)
            if is_last:
                return

    def _send(self) -> bool:
        """Send a batch; return whether the collector has taken it."""
        batch = [self._spans.popleft() for _ in range(min(BATCH_SPANS, len(self._spans)))]
        is_taken = self._collector.send(batch)
        self._metrics.trace_spans.labels("sent" if is_taken else "failed").inc(len(batch))
        if is_taken == self._is_failing:
            self._is_failing = not is_taken
            self._metrics.trace_failing_since_s.set(0 if is_taken else time.time())
            if is_taken:
                logger.info("trace_collector_back")
            else:
                logger.warning("trace_collector_lost", reason=self._collector.reason)
        return is_taken


class _Collector:
    """The collector at the other end."""

    def __init__(self, settings: TracingSettings) -> None:
        import requests
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._service = settings.service_name
        self._reasons = _Reasons()
        session = requests.Session()
        session.hooks["response"].append(_refuse_redirect)
        self._exporter = OTLPSpanExporter(
            endpoint=settings.traces_url(),
            headers=read_headers(settings.headers_file),
            timeout=ANSWER_S,
            compression=Compression.NoCompression,
            session=session,
        )

    @property
    def reason(self) -> str:
        """Why it has taken nothing."""
        return self._reasons.latest

    def send(self, spans: Sequence[Span]) -> bool:
        """Post spans and wait for the answer, for `ANSWER_S` at most; return whether it has taken them."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult

        resources = {
            program: Resource(
                {
                    "service.name": self._service,
                    "service.version": appliance.__version__,
                    "service.instance.id": program,
                }
            )
            for program in {span.program for span in spans}
        }
        since_ns = time.time_ns() - time.monotonic_ns()
        told = [_told(span, resources[span.program], since_ns) for span in spans]
        try:
            return self._exporter.export(told) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 (whatever the library raises, later spans are sent)
            self._reasons.latest = type(error).__name__
            return False

    def close(self) -> None:
        """Hang up; whoever waits to try again stops."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # has no types


class _Reasons(logging.Handler):
    """Keeps what the library has to say to itself: it says so for every batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.latest = ""
        library = logging.getLogger("opentelemetry")
        library.propagate = False
        library.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        self.latest = record.getMessage()[:MAX_REASON_CHARS]


def _refuse_redirect(response: requests.Response, **_options: object) -> None:
    """Have an answer that sends elsewhere be a failure: the library takes it for success."""
    import requests

    if response.is_redirect:
        response.close()
        message = f"{response.status_code}: the address is another one"
        raise requests.RequestException(message)


def _told(span: Span, resource: Resource, since_ns: int) -> ReadableSpan:
    """Return a span as the library has them.

    Args:
        span: The span.
        resource: What says in which program it was.
        since_ns: Wall clock minus monotonic clock, in nanoseconds.
    """
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode

    parent = SpanContext(span.context.trace_id, span.parent_id) if span.parent_id else None
    return ReadableSpan(
        span.name,
        context=_named(span.context),
        parent=None if parent is None else _named(parent),
        resource=resource,
        attributes={**span.attributes, **({"error.type": span.error} if span.error else {})},
        links=[Link(_named(context)) for context in span.links],
        kind=SpanKind.SERVER if span.is_of_request else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
        start_time=since_ns + int(span.begun_at_s * 1e9),
        end_time=since_ns + int(span.ended_at_s * 1e9),
        instrumentation_scope=InstrumentationScope("appliance", appliance.__version__),
    )


def _named(context: SpanContext) -> SdkContext:
    from opentelemetry.trace import SpanContext as SdkContext
    from opentelemetry.trace import TraceFlags

    return SdkContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=TraceFlags(SAMPLED)
    )


def make_export(settings: TracingSettings, metrics: GatewayMetrics) -> SpanExport | None:
    """Return what sends spans, or None where the settings want no traces.

    Raises:
        ConfigurationError: As for `SpanExport`.
    """
    return SpanExport(settings, metrics) if settings.endpoint else None
