"""Traces of a real appliance, as a collector gets them: gateway, wire and worker are one trace."""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from appliance.lifecycle import EXIT_CONFIG
from tests.parts.appliance import Appliance, run_launcher
from tests.parts.collector import Collector, TakenSpan, running_collector
from tests.parts.doctor import diagnose

pytestmark = pytest.mark.timeout(180)
SPEECH = "/v1/audio/speech"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"
CANARY = "CANARYtext"
TOKEN = "CANARY-token-83ab"
SETTINGS: dict[str, Any] = {
    "WORKERS_TONE": 2,
    "TONE_HOOKS": "true",
    "TONE_WINDOW_CHUNKS": 1,
    "TEXT_MAKE_SPEAKABLE": "false",
    "VOICES_DEFAULT": "tone-low",
    "HEALTH_PROBE_INTERVAL_S": 3600,
}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def appliance(
    appliance_factory: Callable[..., Appliance],
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Appliance:
    """One whose traces go to the collector."""
    headers = tmp_path_factory.mktemp("tracing") / "headers"
    headers.write_text(f"Authorization: Bearer {TOKEN}\n")
    headers.chmod(0o600)
    made = appliance_factory(
        **SETTINGS,
        TRACING_ENDPOINT=collector.url,
        TRACING_HEADERS_FILE=headers,
        TRACING_SERVICE_NAME="kitchen",
        CACHE_SPEECH="true",
        TONE_DELAY_S=0.2,  # so that who asks for the same meanwhile hears the same synthesis
    )
    made.wait_until_ready()
    return made


def ask(
    appliance: Appliance,
    text: str,
    request_id: str,
    *,
    path: str = SPEECH,
    method: str = "POST",
    sound: str = "mp3",
    **headers: str,
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", appliance.port, timeout=30)
    body = json.dumps({"input": text, "voice": "tone-low", "response_format": sound})
    all_headers = {"Content-Type": "application/json", "X-Request-ID": request_id, **headers}
    connection.request(method, path, body, all_headers)
    with connection.getresponse() as response:
        answer = response.status, response.read()
    connection.close()
    return answer


def one(spans: list[TakenSpan], name: str) -> TakenSpan:
    [found] = [span for span in spans if span.name == name]
    return found


def lines(appliance: Appliance, request_id: str) -> dict[str, Any]:
    return appliance.wait_for("request_finished", request_id=request_id)


def test_request_when_sampled_then_one_trace_goes_through_gateway_and_worker(
    appliance: Appliance, collector: Collector
) -> None:
    text = f"{CANARY} is spoken here. " * 20
    assert ask(appliance, text, "whole", traceparent=CALLER)[0] == 200
    spans = collector.wait_for(1, f"POST {SPEECH}", request_id="whole")
    assert {span.trace_id for span in spans} == {TRACE_ID}
    request = one(spans, f"POST {SPEECH}")
    assert request.parent_id == "b7ad6b7169203331"
    assert (request.program, request.service, request.is_error) == ("gateway", "kitchen", False)
    expected = {
        "http.request.method": "POST",
        "http.route": SPEECH,
        "http.response.status_code": 200,
        "tts.outcome": "completed",
        "tts.voice": "tone-low",
        "tts.engine": "tone",
        "tts.format": "mp3",
        "tts.cache": "miss",
        "tts.chars": len(text),
    }
    assert expected.items() <= request.attributes.items()

    assert lines(appliance, "whole")["trace_id"] == TRACE_ID
    posts = list(zip(collector.bodies, collector.headers, strict=False))  # others come without a token
    own = [headers for body, headers in posts if request.service.encode() in body]
    assert {headers.get("authorization") for headers in own} == {f"Bearer {TOKEN}"}


def test_utterances_when_traced_then_each_waits_and_is_spoken_and_the_worker_computes_within(
    appliance: Appliance, collector: Collector
) -> None:
    assert ask(appliance, f"{CANARY} is spoken here, too. " * 20, "parts")[0] == 200
    request = one(collector.wait_for(1, "POST", request_id="parts"), f"POST {SPEECH}")
    utterances = request.attributes["tts.utterances"]
    assert utterances > 1
    # The last one's end comes from its worker, and may come behind the answer's.
    spans = collector.wait_for(utterances, "synthesize", request_id="parts")
    by_name = {name: [span for span in spans if span.name == name] for name in ("queue", "synthesize")}
    assert {name: len(found) for name, found in by_name.items()} == dict.fromkeys(by_name, utterances)
    children = [span for span in spans if span.name in ("queue", "synthesize", "encode")]
    assert len(children) == 2 * utterances + 1
    assert {span.parent_id for span in children} == {request.span_id}
    syntheses = {span.span_id: span for span in by_name["synthesize"]}
    computed = [span for span in spans if span.name == "compute"]
    assert len(computed) >= utterances
    for span in computed:
        within = syntheses[span.parent_id]
        assert span.program == within.attributes["tts.worker"]
        assert span.program.startswith("worker-tone-")
        assert within.begun_ns - 2_000_000 <= span.begun_ns <= span.ended_ns <= within.ended_ns + 2_000_000
    assert {span.parent_id for span in computed} == set(syntheses)


def test_traceparent_when_it_means_nothing_then_the_trace_is_our_own(
    appliance: Appliance, collector: Collector
) -> None:
    assert ask(appliance, "Nothing.", "odd", traceparent=CALLER + "-more")[0] == 200
    request = one(collector.wait_for(1, "POST", request_id="odd"), f"POST {SPEECH}")
    assert request.trace_id != TRACE_ID
    assert request.parent_id == ""


def test_traceparent_when_the_caller_keeps_nothing_then_nothing_is_sent(
    appliance: Appliance, collector: Collector
) -> None:
    unsampled = "1" * 32
    assert ask(appliance, "Unseen.", "unseen", traceparent=f"00-{unsampled}-{'2' * 16}-00")[0] == 200
    assert lines(appliance, "unseen")["trace_id"] is None
    assert ask(appliance, "Seen.", "seen")[0] == 200
    collector.wait_for(1, "POST", request_id="seen")  # what came before it has been sent, too
    assert unsampled not in {span.trace_id for span in collector.spans()}


def test_paths_when_they_make_no_speech_then_they_have_no_trace(
    appliance: Appliance, collector: Collector
) -> None:
    for path in ("/health", "/health/ready", "/metrics", "/"):
        appliance.get(path)
    assert ask(appliance, "Last.", "last")[0] == 200
    collector.wait_for(1, "POST", request_id="last")
    routes = {span.attributes["http.route"] for span in collector.spans() if "http.route" in span.attributes}
    assert routes
    assert not {route for route in routes if "/v1/" not in route}


def test_request_when_refused_then_its_span_says_with_what(
    appliance: Appliance, collector: Collector
) -> None:
    assert ask(appliance, "", "empty")[0] == 400
    request = one(collector.wait_for(1, "POST", request_id="empty"), f"POST {SPEECH}")
    assert request.attributes["http.response.status_code"] == 400
    assert request.attributes["tts.code"]
    assert not request.is_error


def test_worker_when_it_dies_then_both_tries_and_the_error_are_in_the_trace(
    appliance: Appliance, collector: Collector
) -> None:
    assert ask(appliance, "__EXIT__", "dead", sound="wav")[0] == 503
    spans = collector.wait_for(1, "POST", request_id="dead")
    request = one(spans, f"POST {SPEECH}")
    assert (request.is_error, request.attributes["error.type"]) == (True, "worker_lost")
    tries = {span.attributes["tts.try"]: span for span in spans if span.name == "synthesize"}
    assert set(tries) == {1, 2}
    assert {span.attributes["error.type"] for span in tries.values()} == {"worker_lost"}
    assert len([span for span in spans if span.name == "queue"]) == 2


def test_requests_when_they_hear_one_synthesis_then_one_makes_it_and_the_other_links_to_it(
    appliance: Appliance, collector: Collector
) -> None:
    text = "It is heard by two at a time. " * 30
    with ThreadPoolExecutor(2) as threads:
        for answer in [threads.submit(ask, appliance, text, f"shared-{number}") for number in range(2)]:
            assert answer.result()[0] == 200
    spans = [collector.wait_for(1, "POST", request_id=f"shared-{number}") for number in range(2)]
    requests = {each.attributes["tts.cache"]: each for each in (one(of, f"POST {SPEECH}") for of in spans)}
    assert requests["shared"].links == (requests["miss"].trace_id,)
    alone = [span for span in collector.spans() if span.trace_id == requests["shared"].trace_id]
    assert alone == [requests["shared"]]


def test_export_when_searched_then_no_text_key_or_address_is_in_it(
    appliance: Appliance, collector: Collector
) -> None:
    key = "CANARY-key-91ce"
    headers = {"Authorization": f"Bearer {key}", "tracestate": f"x={key}", "baggage": f"x={key}"}
    assert ask(appliance, f"{CANARY} in a sentence.", "canary", **headers)[0] == 200
    query = f"{SPEECH}?text={CANARY}.&voice=tone-low&format=mp3"
    assert ask(appliance, "", "canary-get", path=query, method="GET", sound="mp3")[0] == 200
    assert ask(appliance, "", "canary-list", path=f"/v1/models/{CANARY}", method="GET")[0] == 404
    collector.wait_for(3, "", request_id="canary")
    collector.wait_for(1, "GET", request_id="canary-get")
    collector.wait_for(1, "GET", request_id="canary-list")
    sent = b"".join(collector.bodies)
    assert b"canary-get" in sent
    for canary in (CANARY, key, TOKEN, "127.0.0.1"):
        assert canary.encode() not in sent


def test_scrape_when_it_takes_openmetrics_then_histograms_have_exemplars(
    appliance: Appliance, collector: Collector
) -> None:
    assert ask(appliance, "An example of it.", "exemplar")[0] == 200
    trace_id = lines(appliance, "exemplar")["trace_id"]
    for url in (appliance.base_url, appliance.exporter_url):
        request = urllib.request.Request(f"{url}/metrics")
        request.add_header("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            text = answer.read().decode()
        assert (text.count("# EOF"), text.endswith("# EOF\n")) == (1, True)
        shown = {
            sample.name: sample.exemplar.labels["trace_id"]
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.exemplar and sample.exemplar.labels["trace_id"] == trace_id
        }
        assert set(shown) == {
            "tts_http_request_duration_seconds_bucket",
            "tts_request_duration_seconds_bucket",
            "tts_time_to_first_audio_seconds_bucket",
        }
        with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert trace_id not in answer.read().decode()


def test_worker_when_traced_then_it_has_nothing_of_opentelemetry(
    appliance: Appliance, collector: Collector
) -> None:
    assert ask(appliance, "Who has it?", "mapped")[0] == 200
    collector.wait_for(1, "POST", request_id="mapped")
    assert not _has_protobuf(appliance.program("worker-tone-1"))
    assert _has_protobuf(appliance.program("gateway"))  # so it would have been seen


def test_tracing_when_not_set_then_no_program_imports_anything_of_it_and_the_wire_is_as_ever(
    appliance_factory: Callable[..., Appliance],
) -> None:
    plain = appliance_factory(**SETTINGS)
    plain.wait_until_ready()
    assert ask(plain, "Plain.", "plain", traceparent=CALLER)[0] == 200
    assert lines(plain, "plain")["trace_id"] is None
    assert not _has_protobuf(plain.program("gateway"))
    request = urllib.request.Request(f"{plain.exporter_url}/metrics")
    request.add_header("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    finding = diagnose(plain.environment).checks["tracing"]
    assert (finding["verdict"], finding["seen"]) == ("ok", "no traces are sent")


def test_ratio_when_0_then_nothing_is_sent(
    appliance_factory: Callable[..., Appliance], collector: Collector
) -> None:
    never = appliance_factory(
        **SETTINGS, TRACING_ENDPOINT=collector.url, TRACING_SAMPLE_RATIO=0, TRACING_SERVICE_NAME="never"
    )
    never.wait_until_ready()
    assert ask(never, "Never.", "never", traceparent=CALLER)[0] == 200
    assert lines(never, "never")["trace_id"] is None
    assert never.stop() == 0
    assert "never" not in {span.service for span in collector.spans()}


def test_gateway_when_stopped_then_the_last_spans_are_sent_first(
    appliance_factory: Callable[..., Appliance], collector: Collector
) -> None:
    ending = appliance_factory(**SETTINGS, TRACING_ENDPOINT=collector.url, TRACING_SERVICE_NAME="ending")
    ending.wait_until_ready()
    assert ask(ending, "Good bye.", "bye")[0] == 200
    assert ending.stop() == 0
    assert "ending" in {span.service for span in collector.spans()}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"TRACING_ENDPOINT": "localhost:4318"}, "tracing.endpoint|TRACING_ENDPOINT"),
        ({"TRACING_ENDPOINT": "http://127.0.0.1:4318", "TRACING_HEADERS_FILE": "/nowhere"}, "headers_file"),
        ({"TRACING_SAMPLE_RATIO": "2"}, "TRACING_SAMPLE_RATIO"),
    ],
)
def test_launcher_when_tracing_is_set_wrong_then_exit_code_78_and_one_line(
    run_dir: Path, settings: dict[str, str], said: str
) -> None:
    ended = run_launcher(run_dir, **settings)
    assert ended.returncode == EXIT_CONFIG
    assert re.search(said, ended.stderr), ended.stderr


def _has_protobuf(process: psutil.Process) -> bool:
    """Whether a process has loaded protobuf's library, which nothing else here needs."""
    return any("protobuf" in each.path or "upb" in each.path for each in process.memory_maps())
