"""The importer beside the appliance: it makes a voice on their volume and ends, and that is spoken."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.settings import ROOT
from loadtests.figures import Figure
from processes.gateway.fallback import FALLBACK_HEADER
from tests.parts.appliance import eventually
from tests.parts.container import PEAKS, Container, say
from tests.parts.docker_engine import Engine
from tests.parts.rounds import is_full, rounds
from tests.parts.speaking import Listeners, speak
from tests.parts.stand_in_coqui import served_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

MODEL = "tts_models/en/ljspeech/vits"
VOICE = "en-ljspeech-vits"
OTHER = "tts_models/pl/mai_female/vits"
VOICES = (VOICE, "pl-mai-female-vits")
"""Those of `.env.example`."""
IMPORTED_WITHIN_S = 1200.0
"""On a machine that does other work; a full-size model takes a minute of one core."""
MAKE = (
    "from pathlib import Path; from loadtests.checkpoints import Kind, make_checkpoint; "
    f"make_checkpoint(Path('/out/model'), Kind(is_tiny={not is_full()}))"
)
"""A model with random weights: the sound is noise, and what it costs is what a trained one does."""
SIZE = "full-size" if is_full() else "tiny"
LISTENERS = 4
"""As many as `workers.streams` promises."""
ANSWERS_UNDER_LOAD = rounds(20, 60)
MIB = 1024**2
GIB = 1024**3
IMPORTER_BYTES = 4 * GIB


@pytest.fixture(scope="module")
def importer_image(engine: Engine) -> str:
    image = engine.build("importer")
    say("-", Figure("image importer, without compression", engine.size_mb(image), "MB"))
    return image


@pytest.fixture(scope="module")
def checkpoint(engine: Engine, importer_image: str) -> Iterator[Path]:
    """A model that is made by what is in the image."""
    folder = Path(tempfile.mkdtemp(prefix="tts-"))
    mounts = ("--volume", f"{ROOT}/loadtests:/app/loadtests:ro", "--volume", f"{folder}:/out")
    engine.run("run", "--rm", "--user", "0", *mounts, importer_image, "python", "-c", MAKE)
    yield folder / "model"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def importer(importer_image: str, checkpoint: Path) -> Iterator[dict[str, Any]]:
    """What the service `importer` is here: its models come from a stand-in for Coqui's server."""
    folder = Path(tempfile.mkdtemp(prefix="tts-"))
    folder.chmod(0o755)
    with served_models(folder, {MODEL: checkpoint, OTHER: checkpoint}):
        yield {
            "image": importer_image,
            "network_mode": "host",  # where the stand-in listens
            "volumes": [f"{folder}:/stand-in:ro"],
            "environment": {"PYTHONPATH": "/stand-in"},
        }
    shutil.rmtree(folder)


def test_voice_when_named_in_env_then_espeak_speaks_until_the_importer_is_done_and_then_it_does(
    engine: Engine, default_image: str, importer: dict[str, Any]
) -> None:
    named: dict[str, Any] = {"VOICES_IMPORT": MODEL, "VOICES_DEFAULT": VOICE}
    with contextlib.closing(Container(engine, default_image, importer=importer, **named)) as container:
        container.start_healthy()
        answer = speak(container, "Not yet.", voice=VOICE)
        assert (answer.status, answer.headers[FALLBACK_HEADER]) == (200, "en-us")

        run_importer(container)
        log = container.log("importer")
        told = [line["state"] for line in log if line["event"] == "voice_import"]
        assert (told[:2], told[-1]) == (["waiting", "downloading"], "done")
        [shown] = json.loads(container.execute("ttsctl", "status", "--json", check=False))["imports"]
        assert (shown["model"], shown["state"], shown["voice"]) == (MODEL, "done", VOICE)

        begun_s = time.monotonic()
        eventually(lambda: speaks_itself(container), 120)
        took_s = time.monotonic() - begun_s
        say("-", Figure(f"import of a {SIZE} voice, from its end until it speaks", took_s, "s"))
        assert container.inspected()["RestartCount"] == 0
        assert container.state()["Health"]["Status"] == "healthy"
        container.start("importer")  # nothing is left to do
        eventually(lambda: container.state("importer")["Status"] == "exited", IMPORTED_WITHIN_S)
        assert container.state("importer")["ExitCode"] == 0


def run_importer(container: Container) -> None:
    """Have the importer make the voice; print how long it took, and with how much memory."""
    begun_s, most_bytes = time.monotonic(), 0
    container.start("importer")

    def has_ended() -> bool:
        nonlocal most_bytes
        if container.state("importer")["Status"] == "exited":
            return True
        with contextlib.suppress(AssertionError, ValueError):  # it has ended just now
            most_bytes = max(most_bytes, container.own_bytes("importer"))
        return False

    eventually(has_ended, IMPORTED_WITHIN_S)
    say(
        "-",
        Figure(f"import of a {SIZE} voice", time.monotonic() - begun_s, "s"),
        Figure(f"import of a {SIZE} voice, most memory", most_bytes / MIB, "MiB", most=IMPORTER_BYTES / MIB),
    )
    assert container.state("importer")["ExitCode"] == 0, container.log("importer")
    assert not container.state("importer")["OOMKilled"]


def speaks_itself(container: Container, voice: str = VOICE) -> bool:
    """Whether a voice is there, and nobody speaks in its place."""
    answer = speak(container, "And now itself.", voice=voice)
    return answer.status == 200 and FALLBACK_HEADER not in answer.headers


def test_first_voice_when_imported_by_hand_then_config_apply_gives_it_workers_within_the_memory(
    engine: Engine, default_image: str, importer: dict[str, Any]
) -> None:
    """As docs/operate/install.md says it; the second voice needs nothing more."""
    with contextlib.closing(Container(engine, default_image, importer=importer)) as container:
        container.start_healthy()
        started_at = container.state()["StartedAt"]
        import_by_hand(container, MODEL)
        told = json.loads(container.execute("ttsctl", "doctor", "--json", check=False))["checks"]
        [found] = [check for check in told if check["name"] == "voice_workers"]
        assert (found["fault"], found["command"]) == ("voice_unserved", "ttsctl config apply")
        container.execute("ttsctl", "config", "apply", "--wait-s", "300")
        import_by_hand(container, OTHER)
        for voice in VOICES:
            eventually(partial(speaks_itself, container, voice), 300)
        assert container.state()["StartedAt"] == started_at
        hold_memory(container)


def import_by_hand(container: Container, model: str) -> None:
    container.compose("run", "--rm", "--no-deps", "-T", "importer", "tts-importer", model)


def hold_memory(container: Container) -> None:
    """Have as many listen as are promised, to both voices: within the limit, and nothing is killed."""
    idle_bytes = most_bytes = container.own_bytes()
    listeners: list[Listeners] = []

    def has_many() -> bool:
        nonlocal most_bytes
        most_bytes = max(most_bytes, container.own_bytes())
        return sum(len(each.answers) for each in listeners) >= ANSWERS_UNDER_LOAD

    with contextlib.ExitStack() as stack:
        for place, voice in enumerate(VOICES * (LISTENERS // len(VOICES))):
            made = Listeners(container, [f"127.0.0.{10 + place}"], voice=voice)
            listeners.append(stack.enter_context(contextlib.closing(made)))
        eventually(has_many, 1200)
    say(
        "-",
        Figure(f"memory, two {SIZE} voices, idle", idle_bytes / MIB, "MiB", most=GIB / MIB),
        Figure(
            f"memory, two {SIZE} voices, {LISTENERS} listeners, most", most_bytes / MIB, "MiB", most=GIB / MIB
        ),
        Figure(f"memory, two {SIZE} voices, most with files", int(container.read(*PEAKS)) / MIB, "MiB"),
    )
    assert [failed for each in listeners for failed in each.failed()] == []
    assert most_bytes < GIB
    assert container.killed_by_memory() == 0
