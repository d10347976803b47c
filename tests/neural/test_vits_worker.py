"""A real worker process with the vits engine: windows by grants, cancelling, marks, and no torch."""

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

for package in ("numpy", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason="the extras neural and coqui aren't installed")

from appliance.engines import create_engine
from appliance.engines.vits.making.verdict import Limits
from appliance.errors import EngineFailedError
from appliance.ipc.messages import Cancel, Done, Failed, Grant, Heartbeat, Synthesize
from appliance.settings import ROOT, Settings
from appliance.speech import Randomness, Utterance
from appliance.voice_store import VoiceManifest
from tests.parts.utterances import SENTENCE, utterance, whole_pcm
from tests.parts.vits_voice import put_tiny_voice
from tests.parts.worker_link import WorkerProcess, WorkersSocket

pytestmark = [pytest.mark.neural, pytest.mark.timeout(180)]

HEARTBEAT_S = 0.1
"""Two of them take longer than a first grant on a free core, and less than one that is late enough."""
MADE_WITH = ("torch", "TTS", "onnx", "transformers")
"""Packages that voices are made with; a worker has none of them."""
SPEAK_AND_LIST = """
import sys
from appliance.engines import create_engine
from appliance.settings import load_settings
from tests.parts.utterances import utterance
engine = create_engine("vits", load_settings())
engine.warm_up()
for text in ("Hello.", "<speak>1, <break/> 2</speak>"):
    list(engine.synthesize(utterance(text, "tiny/0", "vits", is_ssml=text[0] == "<", pitch=1.2)))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module", params=["drawn", "speakers", "phonemes"])
def voice(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VoiceManifest]:
    """A data folder with one voice: drawn by hand, or made by the importer's code of a model of Coqui's."""
    data_dir: Path = tmp_path_factory.mktemp("data")
    if request.param == "drawn":
        return data_dir, put_tiny_voice(data_dir, has_speakers=True)
    pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
    from tests.parts.checkpoints import make_tiny_voice

    # In random weights int8 may sound unlike the model; here it is about windows.
    return data_dir, make_tiny_voice(data_dir, request.param, Limits(("int8",), 5, 20))


@pytest.fixture
def vits(run_dir: Path, voice: tuple[Path, VoiceManifest]):
    """A worker and its connection, after hello, and the order to speak `SENTENCE`."""
    data_dir, manifest = voice
    with (
        WorkersSocket(run_dir) as socket,
        WorkerProcess(
            run_dir,
            "vits",
            APPLIANCE_DATA_DIR=str(data_dir),
            APPLIANCE_WORKERS_HEARTBEAT_S=str(HEARTBEAT_S),
        ) as worker,
        socket.accept() as link,
    ):
        (page,) = link.hello()
        assert [voice.id for voice in page.voices] == [entry.id for entry in manifest.voices()]
        yield worker, link, order(manifest)


def order(manifest: VoiceManifest, text: str = SENTENCE, speaker: int = 0, **fields: Any) -> Utterance:
    return utterance(text, f"{manifest.id}/{speaker}", "vits", wants_word_marks=True, **fields)


def test_worker_when_its_first_grant_comes_late_then_a_longer_first_window(vits) -> None:
    _, link, spoken = vits
    first_bytes = []
    for number, heartbeats in ((1, 0), (2, 2)):
        link.send(Synthesize(number, spoken))
        for _ in range(heartbeats):
            link.next_heartbeat()
        link.send(Grant(number))
        first_bytes.append(len(link.next_audio().pcm))
        link.send(Cancel(number))
        assert isinstance(link.next_message(), Done)
    assert first_bytes[1] == 2 * first_bytes[0]


def test_worker_when_it_speaks_then_a_window_for_each_grant(vits) -> None:
    _, link, spoken = vits
    link.send(Synthesize(1, spoken))
    link.send(Grant(1))
    chunks = [link.next_audio()]
    while not chunks[-1].is_last:
        assert isinstance(link.next_heartbeat(), Heartbeat)
        link.send(Grant(1))
        chunks.append(link.next_audio())
    assert isinstance(link.next_message(), Done)
    assert len(chunks) > 3
    again, ending = link.speak(2, spoken)
    assert isinstance(ending, Done)
    assert again == chunks


def test_worker_when_cancelled_between_windows_then_free_at_once(vits) -> None:
    _, link, spoken = vits
    link.send(Synthesize(1, spoken))
    link.send(Grant(1))
    assert link.next_audio().ends_window
    link.send(Cancel(1))
    ending = link.next_message()
    assert isinstance(ending, Done)
    assert ending.was_cancelled
    assert link.speak(2, spoken)[0]


def test_worker_when_a_seed_is_given_then_the_same_sound_again_and_another_for_another(vits) -> None:
    _, link, spoken = vits
    seeds = (1, 2, 1)
    heard = [
        whole_pcm(link.speak(number, replace(spoken, randomness=Randomness(seed=seed)))[0])
        for number, seed in enumerate(seeds, start=1)
    ]
    assert heard[0] == heard[2]
    assert heard[0] != heard[1]


def test_worker_when_it_has_several_speakers_then_each_sounds_different(vits, voice) -> None:
    _, link, _ = vits
    _, manifest = voice
    speakers = [speaker.index for speaker in manifest.speakers] or [0]
    orders = [order(manifest, speaker=speaker) for speaker in speakers]
    heard = {whole_pcm(link.speak(number, each)[0]) for number, each in enumerate(orders, start=1)}
    assert len(heard) == len(speakers)
    assert b"" not in heard


def test_worker_when_marks_are_wanted_then_every_word_as_written_where_it_is_heard(vits) -> None:
    _, link, spoken = vits
    chunks, _ = link.speak(1, spoken)
    marks = [mark for chunk in chunks for mark in chunk.word_marks]
    words = [SENTENCE[mark.start_char : mark.end_char] for mark in marks]
    assert words == SENTENCE.replace(",", "").rstrip(".").split()
    assert all(before.time_s < after.time_s for before, after in itertools.pairwise(marks))
    ends_s = list(itertools.accumulate(chunk.audio_s for chunk in chunks))
    assert all(
        begin_s <= mark.time_s < end_s
        for chunk, begin_s, end_s in zip(chunks, [0.0, *ends_s], ends_s, strict=False)
        for mark in chunk.word_marks
    )


@pytest.mark.parametrize("voice", ["drawn", "speakers"], indirect=True)  # espeak-ng has names for any letter
def test_worker_when_the_text_is_unspeakable_then_failed_by_its_name_and_the_next_is_spoken(
    vits, voice
) -> None:
    _, link, spoken = vits
    _, manifest = voice
    _, ending = link.speak(1, order(manifest, "日本語"))
    assert isinstance(ending, Failed)
    assert ending.code == "unspeakable_text"
    assert whole_pcm(link.speak(2, spoken)[0])


def test_worker_when_it_has_spoken_then_no_library_of_torch_is_mapped(vits) -> None:
    worker, link, spoken = vits
    assert link.speak(1, spoken)[0]
    mapped = Path(f"/proc/{worker.pid}/maps").read_text("utf-8")
    assert "onnxruntime" in mapped
    assert "torch" not in mapped


def test_engine_when_it_has_spoken_then_no_module_that_voices_are_made_with_is_there(
    tmp_path, monkeypatch
) -> None:
    put_tiny_voice(tmp_path)
    monkeypatch.setenv("APPLIANCE_DATA_DIR", str(tmp_path))
    command = [sys.executable, "-c", SPEAK_AND_LIST]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules = said.stdout.split()
    assert "onnxruntime" in modules
    assert [name for name in MADE_WITH if name in modules] == []


def test_worker_when_no_voice_was_imported_then_it_is_ready_with_none(run_dir, tmp_path) -> None:
    with (
        WorkersSocket(run_dir) as socket,
        WorkerProcess(run_dir, "vits", APPLIANCE_DATA_DIR=str(tmp_path)),
        socket.accept() as link,
    ):
        (page,) = link.hello()
        assert page.voices == ()


def test_engine_when_the_extra_is_missing_then_says_which_package(monkeypatch) -> None:
    for name in list(sys.modules):
        if name.startswith("appliance.engines.vits"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineFailedError, match=r"onnxruntime.*neural\.stamp"):
        create_engine("vits", Settings())
