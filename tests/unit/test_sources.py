"""What the exporter makes of a data directory that it can't look at."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from processes.exporter.exposition import Observation, render
from processes.exporter.sources import _disk, _size_bytes

IMPOSSIBLE = Path("/") / ("x" * 300)
"""Longer than any file system's names, so that looking at it fails even for root."""


def test_disk_when_it_can_not_be_looked_at_then_its_figures_are_nan_and_not_0() -> None:
    assert _disk(IMPOSSIBLE) == {}
    text = render(Observation(**_disk(IMPOSSIBLE))).decode()
    seen = {family.name: family.samples[0].value for family in text_string_to_metric_families(text)}
    assert math.isnan(seen["tts_disk_used_ratio"])
    assert math.isnan(seen["tts_disk_free_bytes"])


def test_disk_when_the_directory_does_not_exist_yet_then_its_parents_counts(tmp_path: Path) -> None:
    seen = _disk(tmp_path / "data" / "later")
    assert seen["disk_used_ratio"] == pytest.approx(_disk(tmp_path)["disk_used_ratio"], abs=0.01)
    assert 0 < seen["disk_used_ratio"] <= 1


def test_size_when_the_directory_can_not_be_looked_at_then_0() -> None:
    assert _size_bytes(IMPOSSIBLE) == 0
