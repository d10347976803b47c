"""The importer beside the appliance: it makes a voice on their volume and ends, and that is spoken."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.settings import ROOT
from processes.gateway.fallback import FALLBACK_HEADER
from tests.parts.appliance import eventually
from tests.parts.container import Container
from tests.parts.docker_engine import Engine
from tests.parts.speaking import speak
from tests.parts.stand_in_coqui import served_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

MODEL = "tts_models/en/ljspeech/vits"
VOICE = "en-ljspeech-vits"
IMPORTED_WITHIN_S = 1200.0
"""Of a tiny model on a machine that does other work; a full-size one takes a minute of one core."""
MAKE = (
    "from pathlib import Path; from loadtests.checkpoints import Kind, make_checkpoint; "
    "make_checkpoint(Path('/out/tiny'), Kind())"
)


@pytest.fixture(scope="module")
def importer_image(engine: Engine) -> str:
    return engine.build("importer")


@pytest.fixture(scope="module")
def checkpoint(engine: Engine, importer_image: str) -> Iterator[Path]:
    """A tiny model with random weights, made by what is in the image."""
    folder = Path(tempfile.mkdtemp(prefix="tts-"))
    mounts = ("--volume", f"{ROOT}/loadtests:/app/loadtests:ro", "--volume", f"{folder}:/out")
    engine.run("run", "--rm", "--user", "0", *mounts, importer_image, "python", "-c", MAKE)
    yield folder / "tiny"
    shutil.rmtree(folder)


def test_voice_when_named_in_env_then_espeak_speaks_until_the_importer_is_done_and_then_it_does(
    engine: Engine, default_image: str, importer_image: str, checkpoint: Path
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tts-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(served_models(folder, {MODEL: checkpoint}))
        importer = {
            "image": importer_image,
            "network_mode": "host",  # where the stand-in for Coqui's server listens
            "volumes": [f"{folder}:/stand-in:ro"],
            "environment": {"PYTHONPATH": "/stand-in"},
        }
        named: dict[str, Any] = {"VOICES_IMPORT": MODEL, "VOICES_DEFAULT": VOICE}
        container = stack.enter_context(
            contextlib.closing(Container(engine, default_image, importer=importer, **named))
        )
        container.start_healthy()
        answer = speak(container, "Not yet.", voice=VOICE)
        assert (answer.status, answer.headers[FALLBACK_HEADER]) == (200, "en-us")

        container.start("importer")
        eventually(lambda: container.state("importer")["Status"] == "exited", IMPORTED_WITHIN_S)
        log = container.log("importer")
        assert container.state("importer")["ExitCode"] == 0, log
        told = [line["state"] for line in log if line["event"] == "voice_import"]
        assert (told[0], told[-1]) == ("downloading", "done")
        assert not container.state("importer")["OOMKilled"]
        [shown] = json.loads(container.execute("ttsctl", "status", "--json", check=False))["imports"]
        assert (shown["model"], shown["state"], shown["voice"]) == (MODEL, "done", VOICE)

        eventually(
            lambda: FALLBACK_HEADER not in speak(container, "And now itself.", voice=VOICE).headers, 120
        )
        assert container.inspected()["RestartCount"] == 0
        assert container.state()["Health"]["Status"] == "healthy"
        container.start("importer")  # nothing is left to do
        eventually(lambda: container.state("importer")["Status"] == "exited", IMPORTED_WITHIN_S)
        assert container.state("importer")["ExitCode"] == 0
