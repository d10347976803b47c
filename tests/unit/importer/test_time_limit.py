"""What an import's limit of time counts."""

import pytest

from processes.importer.keeper import TimeLimit

LIMIT_S = 60.0


class Clock:
    """Stands still until it is told otherwise."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def download(size_bytes: int) -> dict[str, object]:
    return {"stage": "download", "fraction": 0.0, "bytes": size_bytes}


def test_limit_when_a_download_is_slow_then_the_making_has_all_of_it(clock) -> None:
    limit = TimeLimit(LIMIT_S, clock)
    limit.hear({"stage": "download", "fraction": 0.0})
    for second in range(500):
        clock.now_s += 1
        limit.hear(download(second + 1))
        assert not limit.is_over
    limit.hear({"stage": "load", "fraction": 0.0})
    clock.now_s += LIMIT_S
    assert not limit.is_over
    clock.now_s += 1
    assert limit.is_over


def test_limit_when_a_download_stands_still_then_over(clock) -> None:
    limit = TimeLimit(LIMIT_S, clock)
    limit.hear(download(5))
    clock.now_s += LIMIT_S / 2
    limit.hear(download(5))
    clock.now_s += LIMIT_S / 2 + 1
    assert limit.is_over


def test_limit_when_the_making_goes_on_then_no_stage_lengthens_it(clock) -> None:
    limit = TimeLimit(LIMIT_S, clock)
    for stage in ("load", "export", "judge"):
        limit.hear({"stage": stage, "fraction": 0.5})
        clock.now_s += LIMIT_S / 2
    assert limit.is_over


def test_limit_when_nothing_is_heard_then_over(clock) -> None:
    limit = TimeLimit(LIMIT_S, clock)
    clock.now_s += LIMIT_S + 1
    assert limit.is_over
