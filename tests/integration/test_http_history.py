"""`GET /v1/history`, and what it says over a whole appliance."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked, spoken

NAMES = [f"history-{number}" for number in range(5)]


@pytest.fixture(scope="module")
def filled(speaking: Appliance) -> Appliance:
    for name in NAMES:
        spoken(speaking, name)
    eventually(lambda: asked(speaking, f"/v1/history?request_id={NAMES[-1]}&state=completed")["data"])
    return speaking


def test_history_when_paged_then_each_request_once_and_the_newest_first(filled: Appliance) -> None:
    seen: list[str] = []
    path = "/v1/history?limit=2&voice=tone-low"
    answer = asked(filled, path)
    while answer["has_more"] and len(seen) < len(NAMES):
        assert len(answer["data"]) == 2
        seen += [each["request_id"] for each in answer["data"]]
        answer = asked(filled, f"{path}&before={answer['next_before']}")
    assert [name for name in seen if name in NAMES] == NAMES[::-1][: len(seen)]
    assert len(set(seen)) == len(seen)


def test_history_when_a_request_is_looked_for_then_its_row_and_no_text(filled: Appliance) -> None:
    ((row),) = asked(filled, f"/v1/history?request_id={NAMES[0]}")["data"]
    assert (row["state"], row["ended_by"], row["voice"], row["format"]) == (
        "completed",
        "completed",
        "tone-low",
        "wav",
    )
    assert row["chars"] == len("Is there a row?")
    assert row["bytes"] > 1000
    assert row["accepted_at"] <= row["ended_at"]
    assert "text" not in row


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=%D9%A3", "limit"),
        ("before=0", "before"),
        ("before=99999999999999999999999", "before"),
        ("state=lost", "state"),
        ("voice=", "voice"),
        ("request_id=" + "x" * 257, "request_id"),
    ],
)
def test_history_when_a_parameter_is_wrong_then_400_names_it(
    speaking: Appliance, query: str, param: str
) -> None:
    error = asked(speaking, f"/v1/history?{query}")["error"]
    assert (error["code"], error["param"]) == ("invalid_value", param)


def test_history_when_nobody_is_called_so_then_empty(speaking: Appliance) -> None:
    answer = asked(speaking, "/v1/history?voice=%ED%A0%80&request_id=%00")
    assert (answer["data"], answer["has_more"], answer["next_before"]) == ([], False, None)


async def test_history_when_asked_from_outside_without_an_admin_key_then_not_there(
    http: ClientSession,
) -> None:
    async with http.get("/v1/history") as answer:
        assert answer.status == 404
