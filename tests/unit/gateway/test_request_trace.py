"""The spans of a request: bounded, and without anything that a client wrote."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from aiohttp.test_utils import make_mocked_request

from appliance.tracing import Span, SpanContext
from processes.gateway.request_trace import MAX_SPANS, OTHER_METHOD, RequestTrace, Tracer, begin_synthesis

CONTEXT = SpanContext("1" * 32, "2" * 16)
SPEECH = "/v1/audio/speech"


@dataclass
class Kept:
    """A sink that keeps what it gets."""

    spans: list[Span] = field(default_factory=list)

    def start(self) -> None:
        """Nothing is sent."""

    def put(self, span: Span) -> None:
        self.spans.append(span)

    def close(self) -> None:
        """Nothing was sent."""


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def trace(kept: Kept) -> RequestTrace:
    return RequestTrace(kept, CONTEXT, None)


def test_spans_when_there_are_too_many_then_left_out_and_counted(kept: Kept, trace: RequestTrace) -> None:
    for number in range(MAX_SPANS + 7):
        trace.add("queue", number, number + 1, {})
    assert begin_synthesis(trace, "worker-tone-1", 0.0, {}) is None
    trace.end(make_mocked_request("POST", SPEECH), SPEECH, 200, 0.0)
    assert len(kept.spans) == MAX_SPANS + 1
    assert kept.spans[-1].attributes["tts.spans_left_out"] == 9


def test_windows_when_the_worker_tells_of_another_time_then_only_what_can_be_counts(
    kept: Kept, trace: RequestTrace
) -> None:
    synthesis = begin_synthesis(trace, "worker-tone-1", time.monotonic(), {})
    assert synthesis is not None
    now_s = time.monotonic()
    right = (now_s, now_s)
    synthesis.end("", [(0.0, 1.0), right, (now_s, now_s - 1), (now_s, now_s + 9), (-1.0, now_s)])
    computed = [(span.begun_at_s, span.ended_at_s) for span in kept.spans if span.name == "compute"]
    assert computed == [right]


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (200, "", ""),
        (404, "voice_not_found", ""),
        (500, "", "internal_error"),
        (503, "overloaded", "overloaded"),
        (None, "engine_failed", "engine_failed"),
        (None, "", ""),
    ],
)
def test_request_when_it_ends_then_only_faults_of_ours_are_errors(
    kept: Kept, trace: RequestTrace, status: int | None, error: str, said: str
) -> None:
    trace.error = error
    trace.end(make_mocked_request("POST", SPEECH), SPEECH, status, 0.0)
    [span] = kept.spans
    assert span.error == said
    assert span.attributes.get("http.response.status_code") == status


def test_method_when_http_has_none_of_that_name_then_it_is_not_told(kept: Kept, trace: RequestTrace) -> None:
    trace.end(make_mocked_request("CANARY", SPEECH), SPEECH, 405, 0.0)
    [span] = kept.spans
    assert span.name == f"{OTHER_METHOD} {SPEECH}"
    assert "CANARY" not in str(span)


def test_tracer_when_nothing_is_wanted_then_no_request_has_a_trace(kept: Kept) -> None:
    request = make_mocked_request("POST", SPEECH)
    assert Tracer().begin(request, SPEECH) is None
    assert Tracer(kept, 0.0).begin(request, SPEECH) is None
    assert Tracer(kept).begin(request, "/health") is None
    assert Tracer(kept).begin(request, SPEECH) is not None
