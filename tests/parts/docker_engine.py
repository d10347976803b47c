"""A Docker engine for tests: the one that runs here, or a private one that root can start.

A private one has its data below `build/container`, so that a second run builds only what has changed. Its
base image is a stand-in for Debian's, made of the packages that Debian installs: there is no registry.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.settings import ROOT
from tests.parts.missing import give_up
from tests.parts.pip_settings import certificates, pip_configuration

PLACE = ROOT / "build" / "container"
"""Ignored by git; a socket's path has 108 bytes at most."""
PROGRAMS = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
}
"""Command → Debian package."""
BASE_IMAGE = "tts-test-base:bookworm"
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
"""As in the official slim image."""
START_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0
FIRST_WITH_PLUGIN = 23
"""From this version on the client needs its plugin buildx for what the Dockerfile asks for."""


@dataclass(frozen=True)
class Engine:
    """A way to an engine that runs."""

    client: str
    """The command `docker`."""
    environment: dict[str, str] = field(repr=False)
    is_private: bool
    """Whether it was started for tests, and has no images but theirs."""

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of docker's."""
        return _checked([self.client, *arguments], self.environment, check=check)

    def say(self, *arguments: str) -> str:
        """Return what a command of docker's prints."""
        return self.run(*arguments).stdout.strip()

    def compose(self, folder: Path, project: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Compose, of either version, on the files in a folder."""
        files = [part for file in sorted(folder.glob("*.yml")) for part in ("-f", str(file))]
        command = [*_compose_command(self.client), "--project-directory", str(folder), *files, "-p", project]
        return _checked([*command, *arguments], self.environment, cwd=folder)

    def build(self, target: str) -> str:
        """Build a target of the Dockerfile, and return the image's name."""
        image = f"tts-appliance-test:{target}"
        base = self._base_image()
        with _locked(PLACE / "build.lock"), pip_configuration() as configuration:
            self.run(
                *("build", "--quiet", "--network", "host", "--target", target, "--tag", image),
                *(("--build-arg", f"BASE_IMAGE={base}") if base else ()),
                *("--build-arg", "REVISION=a-test"),
                *("--secret", f"id=pip,src={configuration}", "--secret", f"id=ca,src={certificates()}"),
                str(ROOT),
            )
        return image

    def size_mb(self, image: str) -> float:
        """Return the size of an image, without compression."""
        return int(self.say("image", "inspect", "--format", "{{.Size}}", image)) / 1e6

    def _base_image(self) -> str:
        """The stand-in where there is no registry, else nothing: the Dockerfile names the real one."""
        if not self.is_private:
            return ""
        with _locked(PLACE / "base.lock"):
            if self.run("image", "inspect", BASE_IMAGE, check=False).returncode:
                archive = PLACE / "base.tar"
                if not archive.exists():
                    _make_base(archive)
                self.run("import", "--change", 'CMD ["bash"]', str(archive), BASE_IMAGE)
        return BASE_IMAGE


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """An engine; a private one ends with the last process that uses it. The test is skipped without one.

    Where `DOCKER_HOST` names one, it is that or none.
    """
    client = _client()
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    if client and not _checked([client, "info"], environment, check=False).returncode:
        yield Engine(client, environment, is_private=False)
        return
    if named := environment.get("DOCKER_HOST"):
        pytest.skip(f"DOCKER_HOST names {named}, and no engine answers there")
    if os.geteuid() != 0:
        pytest.skip("no Docker engine runs here, and only root can start one")
    if missing := [package for program, package in PROGRAMS.items() if not shutil.which(program)]:
        give_up(f"no Docker engine: apt-get install --no-install-recommends {' '.join(missing)}")
    if client is None:
        pytest.skip("no command docker that can build with BuildKit: docker.io before 23, or docker-buildx")
    PLACE.mkdir(parents=True, exist_ok=True)
    private = Engine(client, environment | {"DOCKER_HOST": f"unix://{PLACE}/docker.sock"}, is_private=True)
    with (PLACE / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        _start(private)
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield private
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop()


def _start(engine: Engine) -> None:
    """Start a daemon that outlives this process, unless one of an earlier test runs."""
    if not engine.run("info", check=False).returncode:
        return
    (PLACE / "docker.pid").unlink(missing_ok=True)
    (PLACE / "forwarding").write_text(_forwarding())
    options = {"data-root": "data", "exec-root": "exec", "pidfile": "docker.pid"}
    with (PLACE / "dockerd.log").open("w") as log:
        subprocess.run(
            [
                *("setsid", "--fork", "dockerd", "--host", engine.environment["DOCKER_HOST"]),
                *(part for name, value in options.items() for part in (f"--{name}", str(PLACE / value))),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )
    deadline_s = time.monotonic() + START_LIMIT_S
    while engine.run("info", check=False).returncode:
        if time.monotonic() > deadline_s:
            _stop()
            pytest.skip(f"dockerd doesn't start here: {(PLACE / 'dockerd.log').read_text()[-1000:]}")
        time.sleep(0.1)


def _stop() -> None:
    """End the daemon, take its bridge away, and let packets through as before."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = int((PLACE / "docker.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_LIMIT_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline_s:
            time.sleep(0.1)
        subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True, check=False)
        forwarding = (PLACE / "forwarding").read_text()
        subprocess.run(["iptables", "-P", "FORWARD", forwarding], capture_output=True, check=False)


def _forwarding() -> str:
    """Return what the machine does with packets of others: a daemon refuses them from its start on."""
    done = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].removeprefix("-P FORWARD ") or "ACCEPT"


def _make_base(archive: Path) -> None:
    made = archive.with_name("base.new.tar")  # the ending says what is made
    _checked(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase"),
            *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            '--customize-hook=rm -f "$1"/var/cache/apt/*.bin',
            *("bookworm", str(made)),
        ],
        dict(os.environ),
    )
    made.rename(archive)


@functools.cache
def _client() -> str | None:
    """A client that can build what the Dockerfile asks for, if there is any."""
    for candidate in dict.fromkeys([shutil.which("docker"), "/usr/bin/docker"]):
        if not candidate or not Path(candidate).exists():
            continue
        version = _checked(
            [candidate, "version", "-f", "{{.Client.Version}}"], dict(os.environ), check=False
        ).stdout
        has_plugin = not _checked([candidate, "buildx", "version"], dict(os.environ), check=False).returncode
        major = version.partition(".")[0]
        if has_plugin or (major.isdecimal() and int(major) < FIRST_WITH_PLUGIN):
            return candidate
    return None


def _compose_command(client: str) -> list[str]:
    return ["docker-compose"] if shutil.which("docker-compose") else [client, "compose"]


def _checked(
    command: list[str], environment: dict[str, str], *, cwd: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command; where it has to succeed, fail with what it said."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Have one process at a time in the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
