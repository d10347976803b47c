"""A making that is killed in the middle."""

import signal
import subprocess
import sys

import pytest

from appliance.voice_store import VoiceStore
from tests.docs.checkout import ROOT
from tests.parts.checkpoints import make_tiny_voice

pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytest.importorskip("onnxruntime", reason="needs the extra neural")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(180)]

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from tests.parts.checkpoints import make_tiny_voice

def on_progress(stage, done):
    if stage == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

make_tiny_voice(Path(sys.argv[1]), on_progress=on_progress)
"""


@pytest.mark.parametrize("stage", ["speak", "store"])
def test_making_when_killed_then_no_voice_is_there_and_the_next_one_tidies_up(tmp_path, stage) -> None:
    command = [sys.executable, "-c", KILLED_AT, str(tmp_path), stage]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=120).returncode == -signal.SIGKILL
    store = VoiceStore(tmp_path)
    assert store.manifests() == []
    assert [path.name.startswith(".making-") for path in store.folder.iterdir()] == [True]
    made = make_tiny_voice(tmp_path)
    assert [path.name for path in store.folder.iterdir()] == [made.id]
