"""The appliance in its container, as docker-compose.yml starts it: hardened, within limits, on a volume."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from appliance.machine import CACHE_FIELDS
from appliance.settings import PREFIX, ROOT
from loadtests.fault_figures import CONTAINER_FILE
from loadtests.figures import Figure
from tests.parts import measured
from tests.parts.appliance import eventually, free_port
from tests.parts.docker_engine import Engine

HEALTHY_WITHIN_S = 180.0
"""On a machine that does other work at the same time."""
LAN_ADDRESS = "127.0.0.2"
LIMITS = ("memory/memory.limit_in_bytes", "memory.max")
PEAKS = ("memory/memory.max_usage_in_bytes", "memory.peak")
USAGES = ("memory/memory.usage_in_bytes", "memory.current")
KILLS = ("memory/memory.oom_control", "memory.events")
STATISTICS = ("memory/memory.stat", "memory.stat")
"""Below /sys/fs/cgroup in a container, of version 1 and 2."""


def say(row: str, *figures: Figure) -> None:
    """Print figures of the container, and keep those of the full form; "-" is no row of the fault matrix."""
    measured.say(row, *figures, file=CONTAINER_FILE)


def _free_prefix() -> str:
    """The beginning of a network that no other test has, as far as chance goes."""
    return f"10.{random.randint(200, 249)}.{random.randint(0, 255)}"


class Container:
    """The service `appliance` of a Compose project of its own."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        *,
        service: dict[str, Any] | None = None,
        importer: dict[str, Any] | None = None,
        networks: dict[str, Any] | None = None,
        **settings: object,
    ) -> None:
        """Write the project's files and start nothing.

        Args:
            engine: Where it is to run.
            image: The image in place of the one that the file would build.
            service: What is otherwise in the service, such as `restart`.
            importer: What is otherwise in the importer; its image at least, where it is to run.
            networks: What is otherwise in the networks.
            settings: For example `WORKERS_TONE=2`, which gets into `.env`.
        """
        self._engine = engine
        self.project = f"tts-test-{uuid.uuid4().hex[:8]}"
        self.folder = Path(tempfile.mkdtemp(prefix="tts-"))
        self.port = free_port()
        shutil.copy(ROOT / "docker-compose.yml", self.folder)
        services = {"appliance": {"image": image, **(service or {})}, "importer": importer or {}}
        other = json.dumps({"services": services, "networks": networks or {}})
        (self.folder / "docker-compose.z-test.yml").write_text(other, "utf-8")
        values = {"VOICES_IMPORT": "", "VOICES_DEFAULT": "en-us", "STORE_BALLAST_BYTES": 0, **settings}
        own = {"LAN_ADDRESS": LAN_ADDRESS, "LAN_PORT": self.port, "PROXY_PREFIX": _free_prefix()}
        self._write_env({**own, **values})

    def _write_env(self, values: dict[str, object]) -> None:
        """Write `.env` as an operator would: the example, with some lines of their own."""
        own = {f"{PREFIX}{name}": str(value) for name, value in values.items()}
        lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in own]
        path = self.folder / ".env"
        path.touch(0o600)
        path.write_text(
            "\n".join([*kept, *(f"{name}={value}" for name, value in own.items())]) + "\n", "utf-8"
        )

    def start(self, *others: str) -> None:
        """Have Compose start it, and other services, and come back at once."""
        self.compose("up", "-d", "--no-build", "appliance", *others)

    def start_healthy(self) -> None:
        """Start it, and wait until the health check and the API call it well."""
        self.start()
        self.wait_until_healthy()

    def wait_until_healthy(self, limit_s: float = HEALTHY_WITHIN_S) -> None:
        eventually(lambda: self.state().get("Health", {}).get("Status") == "healthy", limit_s)
        eventually(self.is_ready, limit_s)

    def is_ready(self) -> bool:
        """Whether it would speak now."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        """Of the container."""
        return self.name_of("appliance")

    def name_of(self, service: str) -> str:
        """Return the name of a service's container, whichever version of Compose has made it."""
        labels = {"project": self.project, "service": service}
        filters = [f"label=com.docker.compose.{label}={value}" for label, value in labels.items()]
        arguments = [part for each in filters for part in ("--filter", each)]
        return self._engine.say("ps", "--all", "--quiet", *arguments).splitlines()[0]

    def compose(self, *arguments: str) -> str:
        """Run a command of Compose's on the project."""
        return self._engine.compose(self.folder, self.project, *arguments).stdout

    def docker(self, *arguments: str) -> str:
        """Run a command of docker's."""
        return self._engine.say(*arguments)

    def inspected(self, service: str = "appliance") -> dict[str, Any]:
        """What the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", self.name_of(service)))
        return found[0]

    def state(self, service: str = "appliance") -> dict[str, Any]:
        """Whether it runs, is healthy, and how it has ended."""
        found: dict[str, Any] = self.inspected(service)["State"]
        return found

    def execute(self, *command: str, check: bool = True) -> str:
        """Run a command in the container, as its user; return what it says."""
        done = self._engine.run("exec", self.name, *command, check=check)
        return done.stdout.strip()

    def read(self, *paths: str, service: str = "appliance") -> str:
        """Return what the first file of these holds that is there, below /sys/fs/cgroup."""
        tried = " || ".join(f"cat /sys/fs/cgroup/{path} 2>/dev/null" for path in paths)
        return self.docker("exec", self.name_of(service), "sh", "-c", tried)

    def own_bytes(self, service: str = "appliance") -> int:
        """The memory of a container, without files that the kernel would give back."""
        found = CACHE_FIELDS.findall(self.read(*STATISTICS, service=service))
        with_children = [int(size) for prefix, size in found if prefix]
        cached = sum(with_children or (int(size) for _, size in found))
        return int(self.read(*USAGES, service=service)) - cached

    def submit_job(self, text: str, title: str) -> str:
        """Hand a job in for espeak-ng; return its id."""
        command = f"echo '{text}' | ttsctl jobs submit - --title {title} --voice en-us --json"
        return str(json.loads(self.execute("sh", "-c", command))["id"])

    def jobs(self) -> list[dict[str, Any]]:
        """Its jobs, the newest first."""
        found: list[dict[str, Any]] = json.loads(self.execute("ttsctl", "jobs", "list", "--json"))["jobs"]
        return found

    def killed_by_memory(self) -> int:
        """How many processes its limit has killed, as the cgroup counts them."""
        told = self.read(*KILLS)
        [count] = [line.split()[1] for line in told.splitlines() if line.startswith("oom_kill ")]
        return int(count)

    def log(self, service: str = "appliance") -> list[dict[str, Any]]:
        """The lines of its log; any that isn't JSON is a fault of the appliance."""
        done = self._engine.run("logs", self.name_of(service))
        return [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log with this event."""
        return [line for line in self.log() if line["event"] == event]

    def stop(self) -> int:
        """Stop it as an operator does; return the exit code."""
        self.docker("stop", "--time", "60", self.name)
        return int(self.state()["ExitCode"])

    def kill_program(self, name: str) -> None:
        """Kill one of supervisord's programs."""
        self.execute("sh", "-c", f"kill -9 $(ttsctl supervisorctl pid {name})")

    def close(self) -> None:
        """End it, and take its volume, networks and files away."""
        self.compose("down", "--volumes", "--timeout", "0", "--remove-orphans")
        shutil.rmtree(self.folder)
