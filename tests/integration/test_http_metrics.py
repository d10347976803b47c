"""What the metrics say of answers over HTTP: when they began, and whether newcomers are refused."""

from __future__ import annotations

import socket

import pytest

from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance
from tests.parts.scrape import scrape
from tests.parts.speaking import speak

DELAY_S = 0.3
"""Before the first chunk, and before each of the others."""
SPEECH = "/v1/audio/speech"
START = "tts_http_response_start_seconds"
WHOLE = "tts_http_request_duration_seconds"


@pytest.fixture(scope="module")
def appliance(appliance_factory) -> Appliance:
    """An appliance that speaks slowly, chunk by chunk."""
    made: Appliance = appliance_factory(
        TONE_DELAY_S=DELAY_S,
        TONE_CHUNK_DELAY_S=DELAY_S,
        VOICES_DEFAULT="tone-low",
        HEALTH_PROBE_INTERVAL_S=3600,
        DISPATCH_FIRST_AUDIO_LIMIT_S=10,
    )
    made.wait_until_ready()
    return made


def grown(before: dict[tuple[str, ...], float], appliance: Appliance, *names: str) -> list[float]:
    after = scrape(appliance.exporter_url)
    return [after[tuple(name.split())] - before[tuple(name.split())] for name in names]


def test_speech_when_it_is_streamed_then_its_start_is_the_first_audio_and_not_the_end(
    appliance: Appliance,
) -> None:
    before = scrape(appliance.exporter_url)
    answer = speak(appliance, "It takes its time, again and again. " * 6, sound="pcm")
    assert (answer.status, answer.is_whole) == (200, True)
    count, start_s, whole_s, first_s = grown(
        before,
        appliance,
        f"{START}_count {SPEECH}",
        f"{START}_sum {SPEECH}",
        f"{WHOLE}_sum {SPEECH}",
        "tts_time_to_first_audio_seconds_sum tone",
    )
    assert count == 1
    assert start_s >= DELAY_S
    assert whole_s - start_s >= DELAY_S
    assert start_s == pytest.approx(first_s, abs=DELAY_S / 2)


def test_answers_when_they_are_refusals_or_files_then_each_has_one_start(appliance: Appliance) -> None:
    before = scrape(appliance.exporter_url)
    assert speak(appliance, "Hello.", voice="nobody").status == 404
    assert appliance.get("/page/app.js")
    counts = grown(before, appliance, f"{START}_count {SPEECH}", f"{START}_count /page/app.js")
    assert counts == [1, 1]


def test_request_when_answered_then_its_route_and_status_are_counted_and_its_time_is_taken(
    appliance: Appliance,
) -> None:
    before = scrape(appliance.exporter_url)
    assert appliance.get("/health/live")
    assert speak(appliance, "Hello.", voice="nobody").status == 404
    counts = grown(
        before,
        appliance,
        "tts_http_requests_total /health/live 2xx",
        f"tts_http_requests_total {SPEECH} 4xx",
        f"{WHOLE}_count /health/live",
        f"{WHOLE}_count {SPEECH}",
    )
    assert counts == [1, 1, 1, 1]


def test_answer_when_aiohttp_itself_refuses_what_is_expected_then_it_is_given_and_counted_nowhere(
    appliance: Appliance,
) -> None:
    before = scrape(appliance.exporter_url)
    with socket.create_connection(("127.0.0.1", appliance.port), timeout=10) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nExpect: the-moon\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 417 ")
    assert grown(before, appliance, f"{START}_count /health/live") == [0]


def test_drain_when_on_and_off_then_its_metric_says_so(appliance: Appliance) -> None:
    for is_on in (True, False):
        ask_json(appliance.run_dir, "POST", "/admin/drain", {"on": is_on})
        assert scrape(appliance.exporter_url)["tts_draining",] == is_on
