"""What pages of other sites can have the appliance do, as browsers ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from tests.parts.appliance import Appliance

SPEECH = "/v1/audio/speech"
TEXT = {"text": "Hello.", "voice": "tone-low", "format": "wav"}


async def asked(http: ClientSession, method: str, path: str, **options: Any) -> tuple[int, str | None]:
    """Return the status and the error's code."""
    async with http.request(method, path, **options) as answer:
        if answer.ok or method == "HEAD":
            return answer.status, None
        return answer.status, (await answer.json())["error"]["code"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", SPEECH), ("GET", "/v1/audio/voices"), ("GET", "/health")]
)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://["])
async def test_origin_when_foreign_then_no_method_is_served(
    http: ClientSession, method: str, path: str, origin: str
) -> None:
    options = {"params": TEXT if path == SPEECH else {}, "headers": {"Origin": origin}}
    assert await asked(http, method, path, **options) == (403, "origin_not_allowed")


async def test_origin_when_our_own_then_it_is_served(http: ClientSession, speaking: Appliance) -> None:
    headers = {"Origin": speaking.base_url}
    assert await asked(http, "GET", SPEECH, params=TEXT, headers=headers) == (200, None)


@pytest.mark.parametrize("prefix", ["", "/compat/strings"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "referer",
    [
        "http://evil.example/page?text=1",
        "http://evil.example",
        "https://192.168.1.10:8123/",
        "about:blank",
        "[",
    ],
)
async def test_get_speech_when_the_referer_is_foreign_then_it_is_refused(
    http: ClientSession, prefix: str, method: str, referer: str
) -> None:
    status, _ = await asked(http, method, prefix + SPEECH, params=TEXT, headers={"Referer": referer})
    assert status == 403


@pytest.mark.parametrize("referer", [None, "", "{base}/", "{base}/some/page?x=1"])
async def test_get_speech_when_the_referer_is_ours_or_absent_then_it_is_spoken(
    http: ClientSession, speaking: Appliance, referer: str | None
) -> None:
    headers = {} if referer is None else {"Referer": referer.format(base=speaking.base_url)}
    assert await asked(http, "GET", SPEECH, params=TEXT, headers=headers) == (200, None)


async def test_lists_when_the_referer_is_foreign_then_they_are_served(http: ClientSession) -> None:
    headers = {"Referer": "http://evil.example/"}
    assert await asked(http, "GET", "/v1/audio/voices", headers=headers) == (200, None)
    assert await asked(http, "GET", "/", headers=headers) == (200, None)


@pytest.fixture
def allowing(appliance_factory: Callable[..., Appliance]) -> Appliance:
    """An appliance that lets the pages of one other site in."""
    made = appliance_factory(HTTP_CORS_ORIGINS="http://dashboard.lan:8123")
    made.wait_until_ready()
    return made


async def test_get_speech_when_the_referers_origin_is_allowed_then_it_is_spoken(allowing: Appliance) -> None:
    async with ClientSession(allowing.base_url) as http:
        for referer, status in (
            ("http://dashboard.lan:8123/board", 200),
            ("HTTP://Dashboard.lan:8123", 200),
            ("http://dashboard.lan/board", 403),
            ("http://evil.example/http://dashboard.lan:8123/", 403),
        ):
            answer = await asked(http, "GET", SPEECH, params=TEXT, headers={"Referer": referer})
            assert answer[0] == status, referer


async def test_get_speech_when_browsers_name_the_site_then_other_sites_are_refused(
    http: ClientSession,
) -> None:
    url = URL(SPEECH).with_query(TEXT)
    for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
        assert (await asked(http, "GET", str(url), headers={"Sec-Fetch-Site": site}))[0] == status


@pytest.fixture
def rationing(appliance_factory: Callable[..., Appliance]) -> Appliance:
    """An appliance that lets one other site in, and a client ask once a minute."""
    made = appliance_factory(
        HTTP_CORS_ORIGINS="http://dashboard.lan:8123",
        DISPATCH_CLIENT_RATE_PER_MIN=1,
        DISPATCH_CLIENT_BURST=1,
    )
    made.wait_until_ready()
    return made


async def test_quota_when_used_up_by_an_allowed_site_then_its_page_may_read_when_to_come_back(
    rationing: Appliance,
) -> None:
    async with ClientSession(rationing.base_url, headers={"Origin": "http://dashboard.lan:8123"}) as http:
        assert await asked(http, "GET", SPEECH, params=TEXT) == (200, None)
        async with http.get(SPEECH, params=TEXT | {"text": "Again."}) as answer:
            assert answer.status == 429
            exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
            limits = {name for name in answer.headers if name.startswith(("RateLimit-", "Retry-"))}
    assert len(limits) == 4
    assert limits <= set(exposed)
    assert {"ETag", "X-Audio-ETag", "Location", "Content-Disposition"} <= set(exposed)
