"""What Prometheus' and Alertmanager's own tools say of config/prometheus."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.settings import ROOT
from tests.parts.monitoring import CONFIG, needed

RULES = sorted((CONFIG / "rules").glob("*.yml"))
TESTS = sorted((CONFIG / "tests").glob("*.yml"))


def passed(*command: str) -> str:
    """Run a tool that is expected to be content, and return what it says."""
    needed(command[0])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_when_checked_then_each_is_one() -> None:
    assert len(RULES) == 2
    said = passed("promtool", "check", "rules", *map(str, RULES))
    assert said.count("SUCCESS") == len(RULES)


def test_configuration_when_checked_then_its_rules_are_found() -> None:
    said = passed("promtool", "check", "config", str(CONFIG / "prometheus.yml"))
    assert f"{len(RULES)} rule files found" in said


def test_alertmanager_when_checked_then_its_receivers_are_found() -> None:
    assert "2 receivers" in passed("amtool", "check-config", str(CONFIG / "alertmanager.yml"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_when_fed_with_samples_then_they_fire_when_they_should_and_only_then(path: Path) -> None:
    passed("promtool", "test", "rules", str(path))


@pytest.mark.timeout(120)
def test_alerts_when_a_threshold_is_wrong_then_their_test_notices(tmp_path: Path) -> None:
    """The tests above can fail: of a rule that never fires they say so."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    for path in RULES:
        text = path.read_text("utf-8").replace(
            "increase(tts_jobs_finished_total", "-increase(tts_jobs_finished_total"
        )
        (tmp_path / "rules" / path.name).write_text(text)
    broken = tmp_path / "tests" / "jobs.yml"
    broken.write_text((CONFIG / "tests" / "jobs.yml").read_text("utf-8"))
    needed("promtool")
    done = subprocess.run(["promtool", "test", "rules", str(broken)], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"TTSJobsFailing" in done.stdout + done.stderr
