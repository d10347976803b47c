"""Traces: what of a request took how long, in which program, told to a collector of OpenTelemetry.

Owns: the context that goes from a client to the gateway and on to a worker (`traceparent`), which requests
are sampled, what a span is.
Refuses to know: which spans a request has (the gateway), how they leave (`span_export`). Nothing of
opentelemetry is imported here, so that an appliance without traces has none of it.

Only requests that are sampled have a context; all others are None, and cost nothing further on.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.ASCII,
)
"""Source: W3C Trace Context, "traceparent Header Field Values"."""
MAX_TRACEPARENT_CHARS = 256
"""Of a later version, which may have more fields behind ours."""
SAMPLED = 0x01
GATEWAY = "gateway"
SAMPLED_BITS = 64
"""Bits of a trace's id that are compared with the ratio. Source: OpenTelemetry's TraceIdRatioBased."""

Attribute = str | int | float | bool
Window = tuple[float, float]
"""Begin and end of what a worker computed with one run grant; monotonic seconds."""


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What names a span everywhere: of a trace that is sampled."""

    trace_id: str
    """32 hexadecimal digits in lower case, not all 0."""
    span_id: str
    """16 of them, likewise."""

    def child(self) -> SpanContext:
        """Return the context of a new span of the same trace."""
        return SpanContext(self.trace_id, secrets.token_hex(8))

    def traceparent(self) -> str:
        """Return it as one who is called gets it."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED:02x}"


@dataclass(frozen=True, slots=True)
class Parent:
    """The span of a caller, as its `traceparent` says."""

    context: SpanContext
    is_sampled: bool
    """Whether the caller's own span is kept."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a request's time, once it is over."""

    name: str
    """From a closed set: no text, no key, no address."""
    context: SpanContext
    parent_id: str
    """The id of the span that it is a part of; empty for the first one of a trace."""
    begun_at_s: float
    """Monotonic, as is the next: the clock of the whole machine, the same in every program."""
    ended_at_s: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    program: str = GATEWAY
    """In which program the time was spent."""
    error: str = ""
    """The code of what it failed with; empty where it is well."""
    is_of_request: bool = False
    """Whether it is that of a client's whole request."""
    links: tuple[SpanContext, ...] = ()
    """Spans of other traces that did what this one waited for."""


class SpanSink(Protocol):
    """What takes spans."""

    def put(self, span: Span) -> None:
        """Take a span that is over, or drop and count it; never blocks."""


def read_traceparent(values: Sequence[str]) -> Parent | None:
    """Return what a client says of its own span; None where it says nothing that can be used.

    Args:
        values: Every `traceparent` header of the request; more than one means nothing.
    """
    if len(values) != 1 or len(values[0]) > MAX_TRACEPARENT_CHARS:
        return None
    found = TRACEPARENT.fullmatch(values[0].strip())
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    return Parent(SpanContext(found["trace"], found["span"]), bool(int(found["flags"], 16) & SAMPLED))


def is_sampled(trace_id: str, ratio: float) -> bool:
    """Return whether a trace is among those that are kept: the same for one id everywhere.

    Args:
        trace_id: 32 hexadecimal digits.
        ratio: Share that is kept, 0..1.
    """
    return int(trace_id, 16) % (1 << SAMPLED_BITS) < round(ratio * (1 << SAMPLED_BITS))


def new_context(parent: Parent | None, ratio: float) -> SpanContext | None:
    """Return the context of a request's span; None if it isn't sampled.

    A client that doesn't keep its own span has no use for ours. One that does gets no more than the ratio: it
    would decide what traces cost otherwise.

    Args:
        parent: The client's span, where there is one.
        ratio: Share of the requests that is kept, 0..1.
    """
    if parent is not None:
        if not (parent.is_sampled and is_sampled(parent.context.trace_id, ratio)):
            return None
        return parent.context.child()
    context = SpanContext(secrets.token_hex(16), secrets.token_hex(8))
    return context if is_sampled(context.trace_id, ratio) else None
