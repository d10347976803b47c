"""Lists, health, metrics and the description: everything that is answered from memory."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector
from prometheus_client.parser import text_string_to_metric_families

from tests.parts.appliance import Appliance, eventually


async def get_json(http: ClientSession, path: str, status: int = 200) -> Any:
    async with http.get(path) as answer:
        assert answer.status == status
        return await answer.json()


async def test_voices_when_listed_then_every_client_finds_its_shape(http: ClientSession) -> None:
    voices = await get_json(http, "/v1/audio/voices")
    assert voices["object"] == "list"
    assert voices["voices"] == voices["data"]
    assert len(voices["voices"]) > 100
    assert list(voices["voices"][0])[:2] == ["id", "name"]
    assert {"languages", "gender", "engine"} <= set(voices["voices"][0])
    assert len({voice["id"] for voice in voices["voices"]}) == len(voices["voices"])
    assert any(variant["gender"] == "female" for variant in voices["variants"])
    names = [voice["id"] for voice in voices["voices"]]
    for path in ("/v1/audio/voices?legacy=true", "/compat/strings/v1/audio/voices"):
        assert (await get_json(http, path)) == {"voices": names}


async def test_voices_when_filtered_by_language_then_only_those_come(http: ClientSession) -> None:
    polish = (await get_json(http, "/v1/audio/voices?language=pl&engine=espeak"))["voices"]
    assert polish
    assert all(voice["languages"][0] == "pl" for voice in polish)


@pytest.mark.parametrize(
    ("query", "engines"),
    [
        ("", {"espeak"}),
        ("?engine=tone", set()),
        ("?language=pl", None),
        ("?language=pl&variants=true", {"espeak"}),
    ],
)
async def test_variants_when_a_language_is_asked_for_then_only_on_demand(
    http: ClientSession, query: str, engines: set[str] | None
) -> None:
    answer = await get_json(http, f"/v1/audio/voices{query}")
    variants = answer.get("variants")
    assert (variants if variants is None else {variant["engine"] for variant in variants}) == engines


async def test_languages_when_listed_then_written_as_usual_and_the_ids_stay(http: ClientSession) -> None:
    voices = (await get_json(http, "/v1/audio/voices?language=en-us&engine=espeak"))["voices"]
    voice = next(voice for voice in voices if voice["id"] == "en-us")
    assert (voice["language"], voice["languages"]) == ("en-US", ["en-US", "en"])
    model = await get_json(http, "/v1/models/tts-1")
    assert {"name": "en-us", "language": "en-US", "gender": voice["gender"]} in model["voices"]


async def test_aliases_when_listed_then_every_one_is_a_voice_that_speaks(http: ClientSession) -> None:
    for alias in (await get_json(http, "/v1/audio/voices"))["aliases"]:
        async with http.post("/v1/audio/speech", json={"input": "Yes.", "voice": alias}) as answer:
            assert answer.status == 200, alias


async def test_models_when_listed_then_they_can_be_asked_one_by_one(http: ClientSession) -> None:
    models = await get_json(http, "/v1/models")
    assert models["object"] == "list"
    for model in models["data"]:
        assert set(model) == {"id", "object", "created", "owned_by"}
        one = await get_json(http, f"/v1/models/{model['id']}")
        assert {"name", "language", "gender"} == set(one["voices"][0])
    assert (await get_json(http, "/v1/audio/models"))["models"][0]["id"] == "tts-1"
    assert (await get_json(http, "/v1/models/none", 404))["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("name", ["tts-1-1106", "gpt-4o-mini-tts-2025-03-20"])
async def test_model_when_post_takes_its_dated_name_then_it_can_be_asked_for(
    http: ClientSession, name: str
) -> None:
    async with http.post("/v1/audio/speech", json={"input": "Yes.", "model": name}) as answer:
        assert answer.status == 200
    model = await get_json(http, f"/v1/models/{name}")
    assert (model["id"], model["object"]) == (name, "model")
    assert model["voices"]


@pytest.mark.parametrize("path", ["/v1/readyz", "/v1/test", "/nothing", "/admin/status", "/v1/audio/speech/"])
async def test_path_when_nothing_is_there_for_this_caller_then_404_in_the_error_shape(
    http: ClientSession, path: str
) -> None:
    assert (await get_json(http, path, 404))["error"]["code"] == "not_found"


async def test_method_when_it_is_wrong_then_405_says_which_are_right(http: ClientSession) -> None:
    async with http.delete("/v1/audio/speech") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, POST"
        assert (await answer.json())["error"]["code"] == "method_not_allowed"


async def test_health_when_all_is_well_then_it_is_ok_everywhere(
    http: ClientSession, speaking: Appliance
) -> None:
    for engine in ("espeak", "tone"):
        await asyncio.to_thread(speaking.wait_for, "probe_changed", engine=engine, success=True)
    await asyncio.to_thread(eventually, lambda: b'"ready":4' in speaking.get("/health"))
    health = await get_json(http, "/health")
    assert health["worker"]["total"] == 4
    assert health["status"] == "ok"
    assert set(health["db"]) == {"state", "since", "sqlite", "schema"}
    assert {"api", "version", "since"} <= set(health)
    for path in ("/health/live", "/health/ready"):
        await get_json(http, path)
    tts = await get_json(http, "/health/tts")
    assert tts["audio_ok"]
    assert tts["sample_latency_ms"] > 0
    assert set(tts["engines"]) == {"espeak", "tone"}


async def test_metrics_when_scraped_then_accepted_less_finished_is_in_flight(speaking: Appliance) -> None:
    connector = UnixConnector(str(speaking.run_dir / "gateway.sock"))
    async with (
        ClientSession("http://localhost", connector=connector) as local,
        local.get("/metrics") as answer,
    ):
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    totals = {
        name: sum(sample.value for sample in families[name].samples if not sample.name.endswith("_created"))
        for name in ("tts_requests_accepted", "tts_requests_finished", "tts_requests_in_flight")
    }
    assert (
        totals["tts_requests_accepted"] - totals["tts_requests_finished"] == totals["tts_requests_in_flight"]
    )
    outcomes = {sample.labels.get("outcome") for sample in families["tts_requests_finished"].samples}
    assert {"completed", "failed", "cancelled", "expired", "interrupted"} <= outcomes


async def test_request_id_when_given_then_it_comes_back_unless_it_is_odd(http: ClientSession) -> None:
    async with http.get("/health/live", headers={"X-Request-ID": "abc-1.2_3"}) as answer:
        assert answer.headers["X-Request-ID"] == "abc-1.2_3"
    async with http.get("/health/live", headers={"X-Request-ID": "a b<c>"}) as answer:
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


async def test_answers_when_sent_then_they_carry_the_security_headers(http: ClientSession) -> None:
    for path in ("/", "/health", "/nothing"):
        async with http.get(path) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "aiohttp" not in answer.headers["Server"].lower()
    async with http.get("/") as page:
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
