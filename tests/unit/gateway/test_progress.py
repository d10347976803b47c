"""How long a worker may be without audio before it counts as hung."""

from __future__ import annotations

import pytest

from appliance.worker_settings import WorkersSettings
from processes.gateway.pool import progress_limit_s
from tests.parts.tickets import make_ticket, make_utterance


def limit_s(engine: str, chars: int, cost_s: float) -> float:
    ticket = make_ticket("a")
    ticket.utterance, ticket.cost_s = make_utterance("x" * chars, engine=engine), cost_s
    return progress_limit_s(WorkersSettings(), ticket)


@pytest.mark.parametrize(
    ("engine", "chars", "cost_s", "expected_s"),
    [
        ("espeak", 300, 0.015, 5.0),
        ("espeak", 300, 2.0, 20.0),
        ("vits", 10, 0.1, 10.0),
        ("vits", 300, 3.3, 10.0),
        ("vits", 300, 33.0, 44.0),
        ("vits", 20, 3.0, 30.0),
        ("coqui", 20, 1.0, 60.0),
        ("coqui", 300, 15.0, 150.0),
    ],
)
def test_limit_when_work_is_expected_then_it_grows_with_what_comes_before_the_next_audio(
    engine: str, chars: int, cost_s: float, expected_s: float
) -> None:
    assert limit_s(engine, chars, cost_s) == pytest.approx(expected_s)
