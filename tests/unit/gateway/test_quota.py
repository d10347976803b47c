"""How many requests a client may make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import QuotaExceededError
from processes.gateway.answers import error_response
from processes.gateway.quota import MAX_CLIENTS, ClientQuota, Quota


def allowed(quota: ClientQuota, client: str, now_s: float) -> bool:
    try:
        quota.spend(client, now_s)
    except QuotaExceededError:
        return False
    return True


def test_spend_when_there_is_no_rate_then_any_number_is_allowed() -> None:
    quota = ClientQuota(0, 1)
    assert all(allowed(quota, "a", 0.0) for _ in range(1000))


def test_spend_when_the_burst_is_used_up_then_one_more_comes_with_time_and_others_are_unmoved() -> None:
    quota = ClientQuota(60, 3)
    assert [allowed(quota, "a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert allowed(quota, "b", 0.0)
    assert not allowed(quota, "a", 0.9)
    assert allowed(quota, "a", 1.0)
    assert not allowed(quota, "a", 1.1)
    assert [allowed(quota, "a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_spend_when_refused_then_the_error_says_honestly_when_to_come_back() -> None:
    quota = ClientQuota(30, 2)
    for _ in range(2):
        quota.spend("a", 5.0)
    with pytest.raises(QuotaExceededError) as caught:
        quota.spend("a", 6.0)
    headers = error_response(caught.value).headers
    assert headers["Retry-After"] in ("1", "2")
    assert headers["RateLimit-Limit"] == "2"
    assert (headers["RateLimit-Remaining"], headers["RateLimit-Reset"]) == ("0", "3")
    quota.spend("a", 6.0 + caught.value.retry_after_s)


def test_spend_when_many_are_refused_at_once_then_not_all_come_back_together_and_none_too_early() -> None:
    quota = ClientQuota(6, 1)
    told_s = []
    for number in range(200):
        quota.spend(f"client {number}", 0.0)
        with pytest.raises(QuotaExceededError) as caught:
            quota.spend(f"client {number}", 0.0)
        told_s.append(caught.value.retry_after_s)
    assert 10.0 <= min(told_s) < 10.1
    assert 11.5 < max(told_s) <= 12.0


def test_spend_when_very_many_clients_come_then_the_buckets_stay_bounded() -> None:
    quota = ClientQuota(1, 1)
    for number in range(MAX_CLIENTS + 10):
        quota.spend(f"client {number}", 0.0)
    assert len(quota._buckets) == MAX_CLIENTS
    assert not allowed(quota, f"client {MAX_CLIENTS}", 0.0)
    assert allowed(quota, "client 0", 0.0)


@given(
    st.integers(1, 600),
    st.integers(1, 20),
    st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=100),
)
def test_spend_when_asked_at_any_times_then_never_more_than_rate_and_burst(
    rate_per_min: int, burst: int, pauses_s: list[float]
) -> None:
    quota = ClientQuota(rate_per_min, burst)
    now_s = 0.0
    count = 0
    for pause_s in pauses_s:
        now_s += pause_s
        count += allowed(quota, "a", now_s)
    assert count <= burst + now_s * rate_per_min / 60 + 1e-6


def test_spend_when_a_client_has_a_quota_of_its_own_then_that_holds_and_a_change_does_at_once() -> None:
    quota = ClientQuota(60, 3)
    own = {"a": Quota(60, 1), "free": Quota(0, 1)}
    quota.own_quota = own.get
    assert [allowed(quota, "a", 0.0) for _ in range(2)] == [True, False]
    assert [allowed(quota, "b", 0.0) for _ in range(4)] == [True, True, True, False]
    assert all(allowed(quota, "free", 0.0) for _ in range(100))
    del own["a"]
    assert not allowed(quota, "a", 0.5)
    assert [allowed(quota, "a", 10.0) for _ in range(4)] == [True, True, True, False]


def test_check_when_asked_then_it_refuses_as_spend_would_and_takes_nothing() -> None:
    quota = ClientQuota(60, 1)
    for _ in range(3):
        quota.check("a", 0.0)
    quota.spend("a", 0.0)
    with pytest.raises(QuotaExceededError):
        quota.check("a", 0.5)
    quota.check("a", 1.0)
    ClientQuota(0, 1).check("a", 0.0)
