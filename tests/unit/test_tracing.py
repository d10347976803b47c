"""Which requests are traced: what a client may say of its own span, and the ratio."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.errors import ConfigurationError
from appliance.tracing import Parent, SpanContext, is_sampled, new_context, read_traceparent
from appliance.tracing_check import check_tracing, read_headers
from appliance.tracing_settings import TracingSettings

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
CONTEXT = SpanContext(TRACE, SPAN)


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        (GOOD, True),
        (f" {GOOD}\t", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"01-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_traceparent_when_valid_then_the_callers_span_is_known(value: str, is_kept: bool) -> None:
    assert read_traceparent([value]) == Parent(CONTEXT, is_kept)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [GOOD, GOOD],
        [GOOD.upper()],
        [GOOD[:-1]],
        [f"{GOOD}-more"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"01-{TRACE}-{SPAN}-01more"],
        [f"01-{TRACE}-{SPAN}-01-{'x' * 300}"],
        [GOOD.replace("a", "\N{ARABIC-INDIC DIGIT ZERO}")],
    ],
)
def test_traceparent_when_it_means_nothing_then_it_does_not_count(values: list[str]) -> None:
    assert read_traceparent(values) is None


@given(st.text(max_size=300))
def test_traceparent_when_it_is_anything_then_nothing_raises(text: str) -> None:
    parent = read_traceparent([text])
    assert parent is None or parent.context.trace_id in text


def test_ratio_when_between_0_and_1_then_the_same_share_of_the_ids_everywhere() -> None:
    ids = [f"{number << 60:032x}" for number in range(1, 16)]
    assert [each for each in ids if is_sampled(each, 0)] == []
    assert [each for each in ids if is_sampled(each, 1)] == ids
    assert [each for each in ids if is_sampled(each, 0.5)] == ids[:7]
    # Source: opentelemetry.sdk.trace.sampling.TraceIdRatioBased, of which it must keep the same traces.
    sampling = pytest.importorskip("opentelemetry.sdk.trace.sampling")
    for ratio in (0.0, 0.1, 0.5, 0.999, 1.0):
        theirs = sampling.TraceIdRatioBased(ratio)
        for each in (TRACE, *ids):
            decision = theirs.should_sample(None, int(each, 16), "")
            assert decision.decision.is_sampled() == is_sampled(each, ratio)


def test_context_when_there_is_a_parent_then_it_is_the_same_trace_and_another_span() -> None:
    context = new_context(Parent(CONTEXT, is_sampled=True), 1.0)
    assert context is not None
    assert (context.trace_id, context.span_id == SPAN) == (TRACE, False)
    assert read_traceparent([context.traceparent()]) == Parent(context, is_sampled=True)


def test_context_when_the_parent_is_not_kept_or_the_ratio_says_no_then_none() -> None:
    assert new_context(Parent(CONTEXT, is_sampled=False), 1.0) is None
    assert new_context(Parent(CONTEXT, is_sampled=True), 0.0) is None
    assert new_context(None, 0.0) is None


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://otel:4318", "http://otel:4318/v1/traces"),
        ("http://otel:4318/", "http://otel:4318/v1/traces"),
        ("https://otel.example/api/traces", "https://otel.example/api/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_endpoint_when_it_has_no_path_then_that_of_otlp_is_added(endpoint: str, url: str) -> None:
    assert TracingSettings(endpoint=endpoint).traces_url() == url


@pytest.mark.parametrize(
    "endpoint",
    [
        "otel:4318",
        "grpc://otel:4317",
        "http://",
        "http://otel:0",
        "http://otel:99999",
        "http://user:word@otel:4318",
        "http://otel:4318/?key=1",
        "http://otel:4318/#x",
        "http://otel :4318",
        "http://otel:4318/\n",
    ],
)
def test_endpoint_when_it_is_no_address_then_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        TracingSettings(endpoint=endpoint)


def test_headers_when_the_file_is_right_then_they_are_known(tmp_path) -> None:
    path = tmp_path / "headers"
    path.write_text("Authorization: Bearer a b\n\nX-Scope:\tkitchen\n")
    path.chmod(0o600)
    assert read_headers(str(path)) == {"Authorization": "Bearer a b", "X-Scope": "kitchen"}
    assert read_headers("") == {}


@pytest.mark.parametrize("content", ["", "no header: CANARY\x01", "CANARY", "Na me: CANARY", "Name:"])
def test_headers_when_a_line_is_none_then_refused_without_showing_it(tmp_path, content: str) -> None:
    path = tmp_path / "headers"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as refused:
        read_headers(str(path))
    assert "CANARY" not in refused.value.message


def test_headers_when_others_may_read_them_then_refused(tmp_path) -> None:
    path = tmp_path / "headers"
    path.write_text("Authorization: x")
    path.chmod(0o640)
    settings = TracingSettings(endpoint="http://otel:4318", headers_file=str(path))
    with pytest.raises(ConfigurationError, match=r"others may read tracing\.headers_file"):
        check_tracing(settings)
    check_tracing(TracingSettings(headers_file=str(path)))  # nothing is sent


def test_extra_when_not_installed_then_an_endpoint_is_refused_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # as if it were missing, wherever this runs
    with pytest.raises(ConfigurationError, match=r"opentelemetry isn't installed: make \S+stamp"):
        check_tracing(TracingSettings(endpoint="http://otel:4318"))
    check_tracing(TracingSettings())
