"""The documents of the hand-over: what they name exists, and what they promise is so."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.docs.checkout import ROOT
from tests.parts.pages import quoted, read_page, table_rows

ACCEPTANCE = read_page("docs/phase5-acceptance.md")
SECTIONS = re.findall(r"^## (.+)$", ACCEPTANCE, re.MULTILINE)
ROWS = [row for section in SECTIONS for row in table_rows(ACCEPTANCE, section)]
MISSING = "not yet"
TEST = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
COMMANDS = {"curl", "docker", "make", "ttsctl"}
UNITS = {"g": "GiB", "m": "MiB"}
YOURS = "yours"
"""What only somebody else can do."""


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", read_page("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_line_when_its_row_is_read_then_its_places_exist_unless_it_says_not_yet(row: list[str]) -> None:
    _, where, proof = row
    places = quoted(where)
    assert places
    is_missing = proof.startswith(MISSING)
    assert [place for place in places if (ROOT / place).exists() == is_missing] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_line_when_its_proof_is_read_then_its_tests_and_targets_exist(row: list[str]) -> None:
    proof = row[2]
    named = quoted(proof)
    assert named or proof in {MISSING, YOURS}
    for each in named:
        test = TEST.fullmatch(each)
        if test is not None and test[2]:
            assert re.search(rf"^(?:async )?def {test[2]}\(", read_page(test[1]), re.MULTILINE), each
        elif each.split()[0] == "make":
            assert each.split()[1] in _targets(), each
        else:
            assert (ROOT / each).exists() or each.split()[0] in COMMANDS or each == "X-Request-ID", each


def test_package_when_compared_with_the_page_then_every_line_has_a_row() -> None:
    """The number of lines in each part of the package."""
    counts = {section: len(table_rows(ACCEPTANCE, section)) for section in SECTIONS}
    assert counts == {
        "Scope": 1,
        "Delivered": 5,
        "Decisions and configuration": 8,
        "Health checks": 3,
        "CI/CD and release": 4,
        "Monitoring and alerts": 8,
        "Runbook": 4,
        "Checklist": 4,
        "Next steps": 3,
    }


def test_deployment_page_when_compared_with_the_package_then_every_subject_has_its_section() -> None:
    page = read_page("docs/Phase_5_Deployment_and_Infra.md")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == [
        "Deployment",
        "Networks",
        "Secrets",
        "Health",
        "Monitoring",
        "CI/CD and release",
        "Runbook",
    ]


def test_deployment_page_when_compared_with_compose_then_the_same_services_and_limits() -> None:
    services: dict[str, Any] = YAML(typ="safe").load(read_page("docker-compose.yml"))["services"]
    page = read_page("docs/Phase_5_Deployment_and_Infra.md")
    rows = {quoted(row[0])[0]: row for row in table_rows(page, "Deployment")}
    assert set(rows) == set(services)
    for name, service in services.items():
        memory = f"{service['mem_limit'][:-1]} {UNITS[service['mem_limit'][-1]]}"
        assert memory in rows[name][2]
        assert ("1 core" in rows[name][2]) == (service.get("cpus") == 1.0)
        assert [
            each for each in service.get("profiles", []) if f"profile `{each}`" not in rows[name][1]
        ] == []
    networks = " ".join(row[0] for row in table_rows(page, "Networks"))
    ports = {port.rsplit(":", 1)[1] for service in services.values() for port in service.get("ports", [])}
    assert set(re.findall(r"\b\d{2,}\b", networks)) == ports | {"9464"}


def test_thresholds_when_compared_with_the_rules_then_those_of_the_package() -> None:
    rules = YAML(typ="safe").load(read_page("config/prometheus/rules/alerts.yml"))
    expressions = {
        rule["alert"]: " ".join(rule["expr"].split()) for group in rules["groups"] for rule in group["rules"]
    }
    bounds = {"TTSApiSlow": "> 0.5", "TTSSuccessLow": "< 0.95", "TTSDiskUsage80": "> 0.8"}
    page = read_page("docs/Phase_5_Deployment_and_Infra.md")
    for alert, bound in bounds.items():
        assert re.search(rf"{re.escape(bound)}\b", expressions[alert]), expressions[alert]
        assert f"[{alert}](operate/runbook.md#{alert.lower()})" in page


def test_ci_when_it_runs_then_its_smoke_test_is_that_of_the_container() -> None:
    assert "run: bash .ci/run" in read_page(".github/workflows/ci.yml")
    steps = re.findall(r"^step (?:\w+ )*make (\S+)", read_page(".ci/run"), re.MULTILINE)
    assert {"check", "test", "accept"} <= set(steps)
    [recipe] = re.findall(r"^accept:.*\n\t(.+)$", read_page("Makefile"), re.MULTILINE)
    assert "tests/acceptance/test_container*.py" in recipe
    assert (ROOT / "tests/acceptance/test_container.py").exists()


def test_ci_when_somebody_asks_for_a_merge_or_has_merged_then_it_checks_tests_builds_and_smokes() -> None:
    workflow = YAML(typ="safe").load(read_page(".github/workflows/ci.yml"))
    assert {"pull_request", "push"} <= set(workflow["on"])
    assert workflow["on"]["push"] == {"branches": ["main"]}
    commands = [
        step["run"].split() for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]
    assert {("bash", ".ci/run"), ("make", "image"), (".ci/smoke", '"$TARGET"')} <= {
        tuple(command[:2]) for command in commands
    }


def test_ci_when_read_then_it_needs_no_secret_and_may_write_nothing() -> None:
    text = read_page(".github/workflows/ci.yml")
    assert "secrets." not in text
    workflow = YAML(typ="safe").load(text)
    granted = [workflow["permissions"], *(job["permissions"] for job in workflow["jobs"].values())]
    assert all(each in ({}, {"contents": "read"}) for each in granted)
