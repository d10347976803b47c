"""By what the same order is known again."""

from __future__ import annotations

from processes.gateway.body import JobBody
from processes.gateway.job_intake import WEIGHED_CHARS, _sha256

TEXT = "Hello. \U0001f600 \ud800" * (WEIGHED_CHARS // 5)


def test_order_when_only_written_otherwise_then_its_hash_is_the_same() -> None:
    plain = JobBody.model_validate({"input": TEXT, "voice": "x", "speed": 1})
    named = JobBody.model_validate({"input": TEXT, "voice": {"id": "x", "name": "X"}, "title": ""})
    assert _sha256(plain) == _sha256(named)


def test_orders_when_they_differ_then_so_do_their_hashes() -> None:
    orders = (
        {"input": TEXT},
        {"input": TEXT + "."},
        {"input": TEXT, "voice": "x"},
        {"input": TEXT, "voice": "y"},
        {"input": TEXT, "speed": 2},
        {"input": TEXT, "title": "x"},
    )
    assert len({_sha256(JobBody.model_validate(order)) for order in orders}) == len(orders)
