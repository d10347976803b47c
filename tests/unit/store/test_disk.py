"""What the used share of a disk means."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.store.disk import ALERTING, DiskSpace, DiskState, DiskWatch, look_at_disk
from appliance.store.errors import StoreFullError, StoreReadonlyError
from appliance.store_settings import DiskSettings


def watch_at(used: int, usable: int = 1000, *, is_readonly: bool = False) -> DiskWatch:
    made = DiskWatch(Path("/"), DiskSettings())
    made.space = DiskSpace(used, usable, is_readonly)
    return made


@pytest.mark.parametrize(
    ("used", "state"),
    [
        (0, "ok"),
        (749, "ok"),
        (750, "evict"),
        (799, "evict"),
        (800, "alert"),
        (949, "alert"),
        (950, "refuse"),
        (1000, "refuse"),
    ],
)
def test_disk_when_used_so_far_then_its_state(used: int, state: str) -> None:
    watch = watch_at(used)
    assert watch.state == state
    assert (watch.state in ALERTING) == (used >= 800)


@pytest.mark.parametrize("watch", [watch_at(0, is_readonly=True), watch_at(990, is_readonly=True)])
def test_disk_when_read_only_then_refused_as_such(watch: DiskWatch) -> None:
    assert watch.state is DiskState.READONLY
    with pytest.raises(StoreReadonlyError):
        watch.check()


def test_disk_when_writing_fails_then_refused_until_it_doesnt() -> None:
    watch = watch_at(0)
    watch.is_failing = True
    with pytest.raises(StoreReadonlyError):
        watch.check()
    watch.is_failing = False
    watch.check()


def test_disk_when_full_then_507_from_the_share_on() -> None:
    with pytest.raises(StoreFullError) as raised:
        watch_at(950).check()
    assert raised.value.status == 507
    watch_at(949).check()


@pytest.mark.parametrize(("used", "bytes_"), [(0, -750), (750, 0), (751, 1), (1000, 250)])
def test_disk_when_used_so_far_then_as_many_bytes_are_above_a_share(used: int, bytes_: int) -> None:
    assert watch_at(used).space.bytes_above(0.75) == bytes_


def test_disk_when_never_looked_at_then_everything_is_allowed() -> None:
    watch = DiskWatch(Path("/"), DiskSettings())
    assert watch.state is DiskState.OK
    watch.check()


def test_disk_when_looked_at_then_as_the_system_says_also_before_the_folder_is_there(tmp_path: Path) -> None:
    seen = look_at_disk(tmp_path / "not" / "there")
    assert 0 < seen.used_ratio <= 1
    assert seen.usable_bytes == look_at_disk(tmp_path).usable_bytes
