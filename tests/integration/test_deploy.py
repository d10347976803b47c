"""What deploy.sh refuses before it changes anything, where there is no engine to ask."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.settings import ROOT

CANARY = "CANARY-5a4b3c2d1e0f"
DIGEST = "sha256:" + "0a" * 32
USAGE, LOCKED, REFUSED = 64, 75, 78
TOOLS = [
    *("awk", "basename", "bash", "cat", "date", "df", "dirname", "flock", "grep", "head", "mkdir", "sed"),
    *("stat", "tail", "tr"),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with deploy.sh, a Compose file and a private `.env`, and no Docker on its path."""
    folder = tmp_path / "tts-appliance"
    (folder / "bin").mkdir(parents=True)
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / "bin" / name).symlink_to(found)
    for name in ("deploy.sh", "docker-compose.yml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".env").write_text(f"APPLIANCE_LAN_ADDRESS=127.0.0.2\nAPPLIANCE_ADMIN_KEY={CANARY}\n", "utf-8")
    (folder / ".env").chmod(0o600)
    return folder


def deploy(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [folder / "bin" / "bash", folder / "deploy.sh", *arguments],
        env={"PATH": str(folder / "bin"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert CANARY not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_deployment_when_there_is_no_docker_then_refused_with_what_to_install(checkout: Path) -> None:
    code, said = deploy(checkout)
    assert code == REFUSED
    assert said.splitlines() == [
        "deploy.sh: not deployed, and nothing has been changed:",
        "  docker is missing: sudo apt-get install docker.io docker-compose",
    ]


def test_deployment_when_its_engine_is_not_there_then_refused(checkout: Path) -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker isn't installed")
    (checkout / "bin" / "docker").symlink_to(docker)
    code, said = deploy(checkout, DOCKER_HOST=f"unix://{checkout}/nobody.sock", HOME=str(checkout))
    assert code == REFUSED
    assert "Docker's engine doesn't answer" in said


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_deployment_when_others_may_read_env_then_refused(checkout: Path, mode: int) -> None:
    (checkout / ".env").chmod(mode)
    code, said = deploy(checkout)
    assert code == REFUSED
    assert f".env has mode {mode:o}, so that others may read it: chmod 600 .env" in said


def test_deployment_when_env_is_a_link_to_an_open_file_then_refused(checkout: Path) -> None:
    (checkout / ".env").rename(checkout / "open")
    (checkout / "open").chmod(0o644)
    (checkout / ".env").symlink_to("open")
    code, said = deploy(checkout)
    assert code == REFUSED
    assert ".env has mode 644" in said


def test_deployment_when_several_things_are_wrong_then_says_all_of_them(checkout: Path) -> None:
    (checkout / ".env").unlink()
    code, said = deploy(checkout, DEPLOY_LEAST_FREE_MB="999999999")
    assert code == REFUSED
    assert ".env is missing: cp .env.example .env" in said
    assert "docker is missing" in said
    assert "999999999 are needed: docker image prune" in said


def test_deployment_when_another_is_under_way_then_refused_at_once(checkout: Path) -> None:
    place = checkout / "build" / "deploy"
    place.mkdir(parents=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = deploy(checkout)
    assert (code, said) == (LOCKED, "deploy.sh: another deployment is under way: wait for its end\n")
    assert deploy(checkout)[0] == REFUSED  # and not locked any more


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fast"], "what is --fast?"),
        (["--pull"], "--pull needs the name of an image"),
        (["--image", "--back"], "--image needs the name of an image"),
        (["--image", "a b"], "--image needs the name of an image"),
        (["--pull", "ghcr.io/somebody/tts-appliance:1.0.0"], "--pull needs a digest"),
        (["--pull", f"somebody/tts-appliance@{DIGEST[:-1]}"], "--pull needs a digest"),
        (["--pull", f"somebody/tts-appliance@{DIGEST}", "--back"], "one of --pull, --image and --back"),
        (["--data"], "--data goes with --back"),
    ],
)
def test_deployment_when_called_wrongly_then_says_how_and_looks_at_nothing(
    checkout: Path, arguments: list[str], said: str
) -> None:
    code, told = deploy(checkout, *arguments)
    assert code == USAGE
    assert said in told.splitlines()[0]
    assert "usage: ./deploy.sh" in told
    assert not (checkout / "build").exists()


def test_deployment_when_asked_how_then_says_it(checkout: Path) -> None:
    code, said = deploy(checkout, "--help")
    assert code == 0
    assert {"--pull", "--image", "--back", "--data", "--no-backup", "--dry-run"} <= set(said.split())
