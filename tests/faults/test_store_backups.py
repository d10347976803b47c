"""Row C2: a backup while others write, a backup that is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.durability.backups import run_backups
from tests.parts.measured import say
from tests.parts.rounds import rounds

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]


def test_backups_when_killed_at_any_moment_beside_a_writer_then_each_under_its_name_is_whole(
    tmp_path: Path,
) -> None:
    figures = run_backups(tmp_path, rounds(20, 200))
    say("C2", *figures)
    assert [figure.name for figure in figures if figure.is_missed] == []
