"""Models whose text Coqui has made into phonemes by a program, on a machine that has none."""

import os
import subprocess
import sys

import pytest

from appliance.ipc.messages import Done
from appliance.settings import ROOT
from loadtests.coqui_checkpoints import make_glow_tts
from tests.parts.utterances import audio_s, utterance
from tests.parts.worker_link import WorkerProcess, WorkersSocket

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("coqpit", reason="needs the extra coqui")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(240)]

WARM_UP_S = 100.0
"""See test_coqui_worker."""


def test_model_when_its_phonemes_need_a_program_that_is_not_there_then_imported_and_spoken(
    tmp_path, run_dir
) -> None:
    model = make_glow_tts(tmp_path / "model", "en-us")
    (temporary := tmp_path / "tmp").mkdir()
    environment = {
        "PATH": str(tmp_path / "empty"),
        "TMPDIR": str(temporary),
        "APPLIANCE_DATA_DIR": str(tmp_path / "data"),
        "APPLIANCE_RUN_DIR": str(run_dir),
    }
    importer = [sys.executable, "-m", "processes.importer", str(model), "--id", "glow"]
    subprocess.run(importer, cwd=ROOT, env=os.environ | environment, check=True)
    with (
        WorkersSocket(run_dir) as gateway,
        WorkerProcess(run_dir, "coqui", slot=1, give_up_s=30.0, **environment) as worker,
    ):
        worker.wait_for_event("engine_warm", WARM_UP_S)
        with gateway.accept() as link:
            link.hello()
            chunks, ending = link.speak(1, utterance("Hello world, how are you?", "glow/0", "coqui"))
        assert isinstance(ending, Done)
        assert audio_s(chunks) == pytest.approx(28 * 4 * 256 / 22_050, rel=0.15)  # 28 phonemes of 4 frames
    assert list(temporary.glob("tts-voice-*")) == []
