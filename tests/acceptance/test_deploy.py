"""deploy.sh with a real engine: what comes in has to speak, or everything is as it was before."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import eventually
from tests.parts.container import Container, say
from tests.parts.deployment import Deployment, running_deployment
from tests.parts.docker_engine import Engine
from tests.parts.green_watch import GreenWatch
from tests.parts.rounds import allowance_s
from tests.parts.speaking import speak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CANARY = "CANARY-0d1f2c3b4a5968778695a4b3c2d1e0f1"
BACK_WITHIN_S = 60.0
"""Row C4: from the last answer of the old version to its next one."""
JOBS = 3
CHAPTER = "A sentence of the chapter that is spoken while all this happens. " * 400
UNDER_WAY = {"queued", "running", "paused"}
RETURNED, STUCK, REFUSED = 1, 2, 78
LATER = 'LABEL org.opencontainers.image.version="99.0.0"'
DEAD = 'CMD ["false"]'
SILENT = 'CMD ["sleep", "600"]'
UNABLE = 'ENTRYPOINT ["false"]'
MIGRATE = (
    "from appliance.settings import load_settings; from appliance.store.opening import StoreLock, prepare; "
    "path = load_settings().store_path(); lock = StoreLock(path); prepare(path); raise SystemExit(1)"
)
MIGRATING = (
    "USER root",
    "WORKDIR /app/appliance/store/schema",
    "RUN echo 'CREATE TABLE later (x INTEGER);' > $(printf %04d $(($(ls | wc -l) + 1)))_later.sql",
    "WORKDIR /app",
    "USER 10001:10001",
    f'CMD ["python", "-c", "{MIGRATE}"]',
)
"""It brings the database to a schema of its own and dies."""


@pytest.fixture(scope="module")
def deployment(engine: Engine, default_image: str) -> Iterator[Deployment]:
    with running_deployment(engine, default_image, ADMIN_KEY=CANARY) as made:
        yield made


def completed(container: Container, jobs: set[str]) -> set[str]:
    """Wait until none of these jobs is under way any more; return those that are complete."""

    def ended() -> dict[str, str] | None:
        states = {job["id"]: job["state"] for job in container.jobs() if job["id"] in jobs}
        return None if set(states.values()) & UNDER_WAY else states

    states: dict[str, str] = eventually(ended, 300)
    return {job for job, state in states.items() if state == "completed"}


def files_below(place: Path) -> str:
    return "".join(path.read_text("utf-8", "replace") for path in place.rglob("*") if path.is_file())


def test_deployment_when_the_new_version_speaks_then_it_stays_and_the_former_can_come_back(
    deployment: Deployment, default_image: str
) -> None:
    former = deployment.running_id()
    code, said = deployment.deploy("--image", deployment.derive(default_image, LATER))
    assert code == 0, said
    assert "done: version 99.0.0 speaks" in said
    assert deployment.running_id() == deployment.image_id(deployment.name) != former
    assert speak(deployment.container, "The new one.", voice="en-us").is_whole
    backups = json.loads(deployment.container.execute("ttsctl", "backup", "list", "--json"))["backups"]
    assert backups[0]["file"] in (deployment.place / "former").read_text("utf-8")
    code, said = deployment.deploy("--back")
    assert code == 0, said
    assert deployment.running_id() == former
    assert speak(deployment.container, "The old one.", voice="en-us").is_whole


def test_deployment_when_the_new_version_dies_then_the_former_speaks_again_within_a_minute(
    deployment: Deployment, default_image: str
) -> None:
    """Row C4."""
    former = deployment.running_id()
    broken = deployment.derive(default_image, DEAD)
    submitted = {deployment.container.submit_job(CHAPTER, f"chapter-{number}") for number in range(JOBS)}
    with contextlib.closing(GreenWatch(deployment.container, "en-us")) as watch:
        watch.wait_until_heard()
        code, said = deployment.deploy("--image", broken)
        watch.wait_until_heard()
    assert code == RETURNED, said
    assert deployment.running_id() == former == deployment.image_id(deployment.name)
    assert speak(deployment.container, "As before.", voice="en-us").is_whole
    gap_s = watch.longest_gap_s()
    lost = len(submitted - completed(deployment.container, submitted))
    say(
        "C4",
        Figure("upgrade to a broken image, without an answer", gap_s, "s", most=BACK_WITHIN_S),
        Figure(f"upgrade to a broken image, lost of {JOBS} jobs", lost, "", most=0),
    )
    assert lost == 0
    assert gap_s <= BACK_WITHIN_S + allowance_s(60.0)
    [kept] = re.findall(r"its log is kept: (\S+)", said)
    failed = deployment.folder / kept
    assert deployment.image_id(broken) in (failed / "state").read_text("utf-8")
    assert (failed / "log").exists()
    assert not (deployment.place / "unfinished").exists()
    assert CANARY not in said + files_below(deployment.place)


def test_deployment_when_the_new_version_runs_and_is_silent_then_the_former_returns(
    deployment: Deployment, default_image: str
) -> None:
    former = deployment.running_id()
    code, said = deployment.deploy("--image", deployment.derive(default_image, SILENT))
    assert code == RETURNED, said
    assert "0 good answers" in said
    assert deployment.running_id() == former


def test_deployment_when_it_is_told_to_end_amid_its_check_then_the_former_returns(
    deployment: Deployment, default_image: str
) -> None:
    former = deployment.running_id()
    with deployment.begin("--image", deployment.derive(default_image, SILENT)) as process:
        assert process.stdout
        for line in process.stdout:
            if " in place of " in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
    assert process.returncode == RETURNED, rest
    assert "broken off" in rest
    assert deployment.running_id() == former
    assert speak(deployment.container, "As before.", voice="en-us").is_whole


def test_deployment_when_the_schema_has_changed_then_the_former_data_return_with_the_former_version(
    deployment: Deployment, default_image: str
) -> None:
    former = deployment.running_id()
    deployment.container.execute(
        "sh", "-c", "echo A job from before. | ttsctl jobs submit - --title before --voice en-us"
    )
    code, said = deployment.deploy("--image", deployment.derive(default_image, *MIGRATING))
    assert code == RETURNED, said
    assert "putting back the data of appliance-" in said
    assert deployment.running_id() == former
    assert "before" in deployment.container.execute("ttsctl", "jobs", "list")
    kept = deployment.container.execute("sh", "-c", "ls /var/lib/tts")
    assert "appliance.sqlite.replaced-" in kept  # what the later version has made of it


def test_deployment_when_the_new_version_refuses_the_settings_then_nothing_was_stopped(
    deployment: Deployment, default_image: str
) -> None:
    begun = deployment.container.state()["StartedAt"]
    code, said = deployment.deploy("--image", deployment.derive(default_image, UNABLE))
    assert code == REFUSED, said
    assert "the version that ran goes on" in said
    assert deployment.container.state()["StartedAt"] == begun
    assert deployment.image_id(deployment.name) == deployment.running_id()


def test_deployment_when_it_is_only_tried_then_says_what_it_would_do_and_does_nothing(
    deployment: Deployment, default_image: str
) -> None:
    begun = deployment.container.state()["StartedAt"]
    former = deployment.image_id(deployment.name)
    code, said = deployment.deploy("--dry-run", "--image", deployment.derive(default_image, LATER))
    assert code == 0, said
    assert "would make a backup" in said
    assert f"otherwise: {former}" in said
    assert (deployment.container.state()["StartedAt"], deployment.image_id(deployment.name)) == (
        begun,
        former,
    )
    assert CANARY not in said


def test_deployment_when_the_image_is_not_there_then_refused(deployment: Deployment) -> None:
    code, said = deployment.deploy("--image", "nobody/has-this:1.0")
    assert code == REFUSED
    assert "there is no image nobody/has-this:1.0 here" in said


def test_deployment_when_it_is_the_first_then_speaks_or_says_that_there_is_no_way_back(
    engine: Engine, default_image: str
) -> None:
    with contextlib.closing(Deployment(engine, default_image)) as first:
        code, said = first.deploy("--image", first.derive(default_image, DEAD))
        assert code == STUCK, said
        assert "nothing to return to" in said
        code, said = first.deploy("--no-backup", "--image", default_image)
        assert code == 0, said
        assert speak(first.container, "The first one.", voice="en-us").is_whole
