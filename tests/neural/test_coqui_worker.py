"""A real worker process with the coqui engine, with the test as its gateway."""

import pytest

from appliance.ipc.messages import Cancel, Done, Failed, Grant, Synthesize
from tests.parts.coqui_voices import make_coqui_voice_of
from tests.parts.utterances import audio_s, utterance, whole_pcm
from tests.parts.worker_link import WorkerProcess, WorkersSocket

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("coqpit", reason="needs the extra coqui")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(240)]


WARM_UP_S = 100.0
"""torch and XTTS take seconds, and on a busy machine many."""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    for voice_id in ("glow", "xtts"):
        make_coqui_voice_of(path, voice_id)
    return path


@pytest.fixture
def link(data_dir, run_dir):
    with (
        WorkersSocket(run_dir) as gateway,
        WorkerProcess(
            run_dir, "coqui", APPLIANCE_DATA_DIR=str(data_dir), APPLIANCE_COQUI_ACCEPT_TERMS="true"
        ) as worker,
    ):
        worker.wait_for_event("engine_warm", WARM_UP_S)
        with gateway.accept() as link:
            yield link


def ask(text: str, voice: str):
    return utterance(text, voice, "coqui")


def test_worker_when_it_speaks_with_coqui_then_hello_audio_and_done(link) -> None:
    (page,) = link.hello()
    assert {"glow", "xtts", "xtts-ana-florence-pl"} <= {voice.id for voice in page.voices}
    chunks, ending = link.speak(1, ask("Hello world, how are you?", "glow/0"))
    assert isinstance(ending, Done)
    assert audio_s(chunks) == pytest.approx(1.28, rel=0.1)
    _, ending = link.speak(2, ask("secret", "nobody/0"))
    assert isinstance(ending, Failed)
    assert (ending.code, ending.message) == ("engine_failed", "No imported voice is called so")
    again, _ = link.speak(3, ask("Hello world, how are you?", "glow/0"))
    assert whole_pcm(again) == whole_pcm(chunks)


def test_worker_when_cancelled_between_two_pieces_then_done_cancelled_and_the_next_is_whole(link) -> None:
    link.hello()
    link.send(Synthesize(1, ask("Hello world.", "xtts/0/en")))
    link.send(Grant(1))
    while not link.next_audio().ends_window:
        pass
    link.send(Cancel(1))
    ending = link.next_message()
    assert isinstance(ending, Done)
    assert ending.was_cancelled
    chunks, ending = link.speak(2, ask("Hello world.", "xtts/0/en"))
    assert isinstance(ending, Done)
    assert not ending.was_cancelled
    assert sum(chunk.ends_window for chunk in chunks) == 3
