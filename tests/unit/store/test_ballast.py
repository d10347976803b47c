"""Space that is kept for the database."""

from pathlib import Path

from appliance.store.ballast import BALLAST_NAME, Ballast

SIZE = 65_536


def test_ballast_when_kept_then_it_takes_the_space_and_dropped_it_gives_it_back(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, SIZE)
    assert ballast.keep()
    status = (tmp_path / BALLAST_NAME).stat()
    assert status.st_size == SIZE
    assert status.st_blocks * 512 >= SIZE
    assert ballast.drop()
    assert not ballast.drop()
    assert ballast.keep()


def test_ballast_when_there_is_no_room_for_it_twice_then_it_is_not_made(tmp_path: Path) -> None:
    assert not Ballast(tmp_path, 1 << 60).keep()
    assert not (tmp_path / BALLAST_NAME).exists()


def test_ballast_when_its_size_is_another_or_none_then_the_old_file_goes(tmp_path: Path) -> None:
    assert Ballast(tmp_path, SIZE).keep()
    assert Ballast(tmp_path, SIZE // 2).keep()
    assert (tmp_path / BALLAST_NAME).stat().st_size == SIZE // 2
    assert not Ballast(tmp_path, 0).keep()
    assert not (tmp_path / BALLAST_NAME).exists()
