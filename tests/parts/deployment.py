"""deploy.sh as an operator calls it: in a project's folder, on a container that runs there."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.settings import ROOT
from tests.parts.container import Container
from tests.parts.docker_engine import Engine

FILES = "docker-compose.yml:docker-compose.z-test.yml"


class Deployment:
    """A container of a project of its own, whose image has a name of its own, and its deploy.sh."""

    def __init__(self, engine: Engine, image: str, **settings: Any) -> None:
        """Write the project's files and start nothing.

        Args:
            engine: Where it is to run.
            image: What runs before anything is deployed.
            settings: As `Container` has them.
        """
        self._engine = engine
        self.container = Container(engine, image, **settings)
        self.name = f"{self.container.project}:default"
        self.name_image(image)
        text = (self.folder / "docker-compose.z-test.yml").read_text("utf-8")
        (self.folder / "docker-compose.z-test.yml").write_text(text.replace(image, self.name), "utf-8")
        shutil.copy(ROOT / "deploy.sh", self.folder)
        self._bin = Path(tempfile.mkdtemp(prefix="tts-"))
        (self._bin / "docker").symlink_to(engine.client)

    @property
    def folder(self) -> Path:
        return self.container.folder

    @property
    def place(self) -> Path:
        """What deploy.sh keeps."""
        return self.folder / "build" / "deploy"

    def name_image(self, image: str) -> None:
        """Have the name that the Compose file says mean another image."""
        self._engine.run("tag", image, self.name)

    def image_id(self, image: str) -> str:
        return self._engine.say("image", "inspect", "-f", "{{.Id}}", image)

    def running_id(self) -> str:
        """The image of the container."""
        return str(self.container.inspected()["Image"])

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Call deploy.sh, without waiting for its end; its errors stand in its output."""
        environment = self._engine.environment | {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "COMPOSE_FILE": FILES,
            "COMPOSE_PROJECT_NAME": self.container.project,
            "DEPLOY_LEAST_FREE_MB": "100",
        }
        return subprocess.Popen(
            ["bash", str(self.folder / "deploy.sh"), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def deploy(self, *arguments: str) -> tuple[int, str]:
        """Call deploy.sh; return its exit code and all that it has said."""
        with self.begin(*arguments) as process:
            said, _ = process.communicate()
        return process.returncode, said

    def derive(self, image: str, *lines: str) -> str:
        """Return the name of an image that is another one, with these lines of a Dockerfile."""
        name = f"{self.container.project}:derived-{len(list(self.folder.glob('derived-*')))}"
        folder = Path(tempfile.mkdtemp(prefix="derived-", dir=self.folder))
        (folder / "Dockerfile").write_text("\n".join([f"FROM {image}", *lines]) + "\n", "utf-8")
        self._engine.run("build", "--quiet", "--tag", name, str(folder))
        return name

    def close(self) -> None:
        """End everything of it."""
        self.container.close()
        shutil.rmtree(self._bin)
        names = self._engine.say(
            "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", self.container.project
        )
        if names:
            self._engine.run("image", "rm", "--force", *names.splitlines())


@contextlib.contextmanager
def running_deployment(engine: Engine, image: str, **settings: Any) -> Iterator[Deployment]:
    """Have a healthy container run, which is there to be deployed into."""
    with contextlib.closing(Deployment(engine, image, **settings)) as made:
        made.container.start_healthy()
        yield made
