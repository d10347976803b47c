"""The spans of a request: itself, what it waited for, each utterance, what a worker computed, the encoding.

Owns: which requests are traced, the names of spans and what stands in them, how many spans one request has.
Refuses to know: where spans go (`SpanSink`), what opentelemetry is.

    POST /v1/audio/speech ─┬─ queue        from asking for a worker to the order
                           ├─ synthesize   from the order to its end, one for each try
                           │    └─ compute   one for each run grant, as the worker tells
                           └─ encode       from the first chunk to the last byte

A span is made when its time is over, out of figures that are taken anyway. No span holds a text, a key or an
address.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import hdrs, web

from appliance.tracing import (
    Attribute,
    Parent,
    Span,
    SpanContext,
    SpanSink,
    Window,
    new_context,
    read_traceparent,
)

MAX_SPANS = 512
"""Spans of one request; those beyond are left out and counted in its own span."""
TRACED_PARTS = ("/v1/", "/process", "/api/tts", "/synthesize", "/tts_", "/compat/piper/")
"""What a path has that is traced: not health, metrics, pages, the operator's paths."""
OTHER_METHOD = "_OTHER"
"""Source: OpenTelemetry's semantic conventions, `http.request.method`."""
LEAST_ERROR_STATUS = 500
UNKNOWN_ERROR = "internal_error"
CLOCK_SLACK_S = 0.001
"""What a worker tells may lie so far outside of what the gateway saw."""


class RequestTrace:
    """The trace of one request that is sampled."""

    def __init__(self, sink: SpanSink, context: SpanContext, parent: Parent | None) -> None:
        """Begin with nothing.

        Args:
            sink: Takes the spans.
            context: Of the request's own span.
            parent: The client's, where it has said so.
        """
        self.context = context
        self.attributes: dict[str, Attribute] = {}
        """Of the request's own span."""
        self.error = ""
        """The code of what it failed with; it counts where the answer was broken off or a fault of ours."""
        self._sink = sink
        self._parent_id = "" if parent is None else parent.context.span_id
        self._links: tuple[SpanContext, ...] = ()
        self._spans = 0
        self._left_out = 0

    @property
    def exemplar(self) -> dict[str, str]:
        """What a histogram shows beside its bucket."""
        return {"trace_id": self.context.trace_id}

    def note(self, **attributes: Attribute | None) -> None:
        """Take what the request's span is to say, each as `tts.<name>`; what is None isn't said."""
        found = {f"tts.{name}": value for name, value in attributes.items() if value is not None}
        self.attributes.update(found)

    def link(self, other: RequestTrace) -> None:
        """Say that another request has made what this one heard."""
        self._links = (other.context,)

    def has_room(self) -> bool:
        """Return whether it may have another span; where not, that one is counted as left out."""
        if self._spans < MAX_SPANS:
            self._spans += 1
            return True
        self._left_out += 1
        return False

    def add(
        self,
        name: str,
        begun_at_s: float,
        ended_at_s: float,
        attributes: Mapping[str, Attribute],
        error: str = "",
    ) -> None:
        """Add a part of the request, if it has room for it; times are monotonic."""
        if self.has_room():
            context, parent_id = self.context.child(), self.context.span_id
            self.put(Span(name, context, parent_id, begun_at_s, ended_at_s, attributes, error=error))

    def put(self, span: Span) -> None:
        """Pass a span on for which there was room."""
        self._sink.put(span)

    def end(self, request: web.Request, route: str, status: int | None, arrived_at_s: float) -> None:
        """End the request's own span.

        Args:
            request: What was asked.
            route: From the closed set of routes.
            status: What was answered; None where the answer was broken off or nobody was there any more.
            arrived_at_s: Monotonic time at which its headers had been read.
        """
        method = request.method if request.method in hdrs.METH_ALL else OTHER_METHOD
        self.attributes |= {"http.request.method": method, "http.route": route}
        if status is not None:
            self.attributes["http.response.status_code"] = status
        if self._left_out:
            self.note(spans_left_out=self._left_out)
        is_fault = status is None or status >= LEAST_ERROR_STATUS
        unknown = "" if status is None else UNKNOWN_ERROR
        self.put(
            Span(
                f"{method} {route}",
                self.context,
                self._parent_id,
                arrived_at_s,
                time.monotonic(),
                dict(self.attributes),
                error=(self.error or unknown) if is_fault else "",
                is_of_request=True,
                links=self._links,
            )
        )


@dataclass(frozen=True, slots=True)
class SynthesisTrace:
    """One try of an utterance, from the order to its end."""

    trace: RequestTrace
    context: SpanContext
    """Of its span; the worker's are its children."""
    worker: str
    begun_at_s: float
    attributes: Mapping[str, Attribute]

    def end(self, error: str, windows: Sequence[Window] = ()) -> None:
        """End it.

        Args:
            error: The code of what it failed with; empty where it is well.
            windows: What the worker tells; what it can't have done in this time is left out.
        """
        ended_at_s = time.monotonic()
        span = Span(
            "synthesize",
            self.context,
            self.trace.context.span_id,
            self.begun_at_s,
            ended_at_s,
            self.attributes,
            error=error,
        )
        self.trace.put(span)
        first_s, last_s = self.begun_at_s - CLOCK_SLACK_S, ended_at_s + CLOCK_SLACK_S
        for begun_s, ended_s in windows:
            if first_s <= begun_s <= ended_s <= last_s and self.trace.has_room():
                context, parent_id = self.context.child(), self.context.span_id
                self.trace.put(Span("compute", context, parent_id, begun_s, ended_s, {}, self.worker))


class SpanExporter(SpanSink, Protocol):
    """What sends spans while it runs."""

    def start(self) -> None:
        """Begin to send."""

    def close(self) -> None:
        """Send what is left and end; blocks, for a bounded time."""


class Tracer:
    """Says which requests are traced, and has their spans sent."""

    def __init__(self, exporter: SpanExporter | None = None, sample_ratio: float = 1.0) -> None:
        """Take where spans go.

        Args:
            exporter: Takes and sends them; None where nothing is traced.
            sample_ratio: Share of the requests that are, 0..1.
        """
        self._exporter = exporter
        self._sample_ratio = sample_ratio

    async def run(self) -> None:
        """Have spans sent until it is cancelled; what is queued then still is, in a bounded time."""
        if self._exporter is not None:
            self._exporter.start()
        try:
            await asyncio.Event().wait()
        finally:
            if self._exporter is not None:
                await asyncio.to_thread(self._exporter.close)

    def begin(self, request: web.Request, route: str) -> RequestTrace | None:
        """Return the trace of a request that has come; None where it has none."""
        if self._exporter is None or not any(part in route for part in TRACED_PARTS):
            return None
        parent = read_traceparent(request.headers.getall("traceparent", ()))
        context = new_context(parent, self._sample_ratio)
        return None if context is None else RequestTrace(self._exporter, context, parent)


def exemplar_of(trace: RequestTrace | None) -> dict[str, str] | None:
    """Return what a histogram shows beside its bucket; None where the request isn't traced."""
    return None if trace is None else trace.exemplar


def begin_synthesis(
    trace: RequestTrace, worker: str, waits_since_s: float, attributes: Mapping[str, Attribute]
) -> SynthesisTrace | None:
    """End an utterance's wait and begin its synthesis; None where the request has no room for more spans.

    Args:
        trace: The request's.
        worker: Who is given it.
        waits_since_s: Monotonic time since which it has waited.
        attributes: What both spans say of the utterance.
    """
    now_s = time.monotonic()
    trace.add("queue", waits_since_s, now_s, attributes)
    if not trace.has_room():
        return None
    named = {**attributes, "tts.worker": worker}
    return SynthesisTrace(trace, trace.context.child(), worker, now_s, named)
