"""What is in the images, and what isn't."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import unquote

import pytest

import appliance
from loadtests.figures import Figure
from tests.parts.container import say
from tests.parts.docker_engine import Engine

pytestmark = pytest.mark.timeout(3600)

MOST_MB = {"slim": 450, "default": 650}
"""Of an image, uncompressed; the base has 130."""


@pytest.fixture(params=["slim", "default"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def image(request: pytest.FixtureRequest, target: str) -> str:
    return str(request.getfixturevalue(f"{target}_image"))


@pytest.fixture
def inside(engine: Engine, image: str) -> Callable[..., str]:
    """A function that runs a command in a container of an image, as root, so that it sees every file."""

    def run(*command: str) -> str:
        return engine.say("run", "--rm", "--network", "none", "--user", "0", image, *command)

    return run


def test_image_when_inspected_then_its_user_labels_and_health_check_are_set(
    engine: Engine, image: str
) -> None:
    [found] = json.loads(engine.say("image", "inspect", image))
    config = found["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][0] == "/usr/bin/tini"
    assert config["Healthcheck"]["Test"] == ["CMD", "ttsctl", "live"]
    assert set(config["ExposedPorts"]) == {"8000/tcp", "10200/tcp"}
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == appliance.__version__
    assert labels["org.opencontainers.image.revision"] == "a-test"
    assert labels["org.opencontainers.image.licenses"] == "GPL-3.0-or-later"


def test_image_when_measured_then_within_its_size(engine: Engine, image: str, target: str) -> None:
    size_mb = engine.size_mb(image)
    say("-", Figure(f"image {target}, without compression", size_mb, "MB", most=MOST_MB[target]))
    assert size_mb < MOST_MB[target]


def test_image_when_searched_then_no_file_gives_another_users_rights(inside: Callable[..., str]) -> None:
    assert inside("find", "/", "-xdev", "-perm", "/6000", "-type", "f") == ""


def test_image_when_searched_then_nobody_but_root_may_change_what_runs(inside: Callable[..., str]) -> None:
    places = ("/app", "/opt", "/usr", "/etc", "/bin", "/lib")
    writable = ("(", "-not", "-user", "root", "-or", "-perm", "/0022", ")")
    assert inside("find", "-L", *places, "-xdev", *writable, "-type", "f") == ""


def test_image_when_searched_then_what_built_it_isnt_there(inside: Callable[..., str]) -> None:
    tools = inside("sh", "-c", "command -v gcc cc make git curl pip pip3 wheel || true")
    modules = inside("sh", "-c", "ls /opt/venv/lib/python3.*/site-packages")
    assert tools == ""
    assert {"pip", "setuptools", "wheel"} & set(modules.split()) == set()
    assert inside("sh", "-c", "ls -A /var/lib/apt/lists /tmp ~root/.cache 2>/dev/null | grep -v :") == ""


def test_image_when_searched_then_holds_no_settings_tests_or_history_of_a_checkout(
    inside: Callable[..., str],
) -> None:
    there = set(inside("ls", "-A", "/app").split())
    known = {"LICENSE", "README.md", "appliance", "config", "processes", "pyproject.toml", "setup.cfg"}
    assert there == known | {"requirements", "sbom.cdx.json"}
    assert inside("ls", "-A", "/app/requirements") == "run.txt"
    assert set(inside("ls", "-A", "/app/config").split()) == {
        "appliance.toml",
        "supervisord.conf",
        "voices.toml",
    }


def test_image_when_searched_then_every_module_is_compiled(inside: Callable[..., str]) -> None:
    script = """
import pathlib
for root in ("/app/appliance", "/app/processes", "/opt/venv/lib"):
    for path in pathlib.Path(root).rglob("*.py"):
        if not list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc")):
            print(path)
"""
    assert inside("python", "-c", script) == ""


def test_image_when_its_history_is_read_then_it_names_no_index_of_this_machine(
    engine: Engine, image: str, inside: Callable[..., str]
) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    hosts = {host for host in re.findall(r"//([^/'\s]+)", listed) if "." in host}
    told = engine.say("history", "--no-trunc", image) + inside(
        "sh", "-c", "cat /etc/pip.conf /opt/venv/pip.conf 2>/dev/null; true"
    )
    assert [host for host in hosts if host in told] == []
    assert inside("sh", "-c", "ls -A /run/secrets 2>/dev/null; true") == ""


def test_image_when_its_bill_is_read_then_it_names_every_package(inside: Callable[..., str]) -> None:
    bill = json.loads(inside("cat", "/app/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["name"] == "tts-appliance"
    purls = {component["purl"].partition("?")[0] for component in bill["components"]}
    names = {purl.rpartition("@")[0] for purl in purls}
    assert {"pkg:pypi/aiohttp", "pkg:pypi/espeakng-loader", "pkg:deb/debian/tini"} <= names
    installed = inside("dpkg-query", "-W", "-f", "${Package}\\n").splitlines()
    of_debian = {unquote(name.rpartition("/")[2]) for name in names if name.startswith("pkg:deb/")}
    assert of_debian == set(installed)
    locked = inside("sh", "-c", "ls -d /opt/venv/lib/python3.*/site-packages/*.dist-info").splitlines()
    of_python = [purl for purl in purls if purl.startswith("pkg:pypi/")]
    assert len(of_python) == len(locked) - 1  # the application itself


def test_neural_voices_when_looked_for_then_only_the_default_image_can_speak_them_and_without_torch(
    inside: Callable[..., str], target: str
) -> None:
    script = (
        "from importlib.util import find_spec; print(*[n for n in ('onnxruntime', 'torch') if find_spec(n)])"
    )
    assert inside("python", "-c", script) == ("onnxruntime" if target == "default" else "")


def test_command_when_it_checks_the_settings_then_says_that_they_are_right(
    engine: Engine, image: str
) -> None:
    said = engine.say("run", "--rm", "--network", "none", image, "ttsctl", "check-config")
    assert said == "ok: /app/config/appliance.toml"


def test_settings_when_one_is_wrong_then_the_container_ends_with_78_and_names_it(
    engine: Engine, image: str
) -> None:
    done = engine.run("run", "--rm", "--env", "APPLIANCE_HTTP_PORT=99999", image, check=False)
    assert done.returncode == 78
    assert "APPLIANCE_HTTP_PORT: http.port = '99999'" in done.stderr
