"""How many threads a worker of a neural engine has, in the environment that supervisord gives it."""

import configparser
import os
from pathlib import Path
from typing import Any

import pytest
from supervisor.datatypes import dict_of_key_value_pairs

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("coqpit", reason="needs the extra coqui")

from appliance.ipc.messages import Grant, Synthesize
from appliance.settings import load_settings
from processes.launcher.rendering import render_configuration
from tests.parts.coqui_voices import make_coqui_voice_of
from tests.parts.utterances import SENTENCE, utterance
from tests.parts.vits_voice import put_tiny_voice
from tests.parts.worker_link import WorkerProcess, WorkersSocket

pytestmark = [
    pytest.mark.neural,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.cpu_count() == 1, reason="on one core every library takes one thread by itself"),
]

WARM_UP_S = 100.0
VOICES = {"tone": "low", "vits": "tiny/0", "coqui": "xtts/0/en"}
"""Engine → what it speaks; each of these ends a window before its last chunk."""


def rendered_environ(run_dir: Path, engine: str, **settings: str) -> dict[str, str]:
    """What supervisord puts into the environment of an engine's worker."""
    values = {"RUN_DIR": str(run_dir), f"WORKERS_{engine.upper()}": "1", **settings}
    render_configuration(load_settings({f"APPLIANCE_{name}": value for name, value in values.items()}))
    parser = configparser.RawConfigParser()
    parser.read(run_dir / "workers.d" / f"worker-{engine}-1.conf")
    line = parser[f"program:worker-{engine}-1"].get("environment", "")
    variables: dict[str, str] = dict_of_key_value_pairs(line)
    return variables


def threads_while_speaking(run_dir: Path, engine: str, data_dir: Path, **settings: str) -> int:
    """How many threads an engine's worker has between two windows."""
    environ: dict[str, Any] = {f"APPLIANCE_{name}": value for name, value in settings.items()}
    environ |= rendered_environ(run_dir, engine, **settings)
    environ |= {"APPLIANCE_DATA_DIR": str(data_dir), "APPLIANCE_TONE_WINDOW_CHUNKS": "1"}
    with (
        WorkersSocket(run_dir) as gateway,
        WorkerProcess(run_dir, engine, **environ) as worker,
    ):
        worker.wait_for_event("engine_warm", WARM_UP_S)
        with gateway.greet() as link:
            link.send(Synthesize(1, utterance(SENTENCE, VOICES[engine], engine)))
            link.send(Grant(1))
            while not link.next_audio().ends_window:
                pass
            return len(list(Path(f"/proc/{worker.pid}/task").iterdir()))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    put_tiny_voice(path)
    make_coqui_voice_of(path, "xtts")
    return path


@pytest.mark.parametrize("engine", ["vits", "coqui"])
def test_worker_when_it_speaks_then_no_library_has_threads_of_its_own(run_dir, data_dir, engine) -> None:
    plain = threads_while_speaking(run_dir, "tone", data_dir)
    accepted = {"COQUI_ACCEPT_TERMS": "true"}
    assert threads_while_speaking(run_dir, engine, data_dir, **accepted) == plain


@pytest.mark.parametrize("engine", ["vits", "coqui"])
def test_worker_when_a_setting_says_more_threads_then_it_has_more(run_dir, data_dir, engine) -> None:
    settings = {"COQUI_ACCEPT_TERMS": "true", f"{engine.upper()}_THREADS": "2"}
    plain = threads_while_speaking(run_dir, "tone", data_dir)
    assert threads_while_speaking(run_dir, engine, data_dir, **settings) > plain
