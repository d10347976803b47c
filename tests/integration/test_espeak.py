"""espeak-ng over its whole breadth and over time: every voice, every variant, many cancels, flat memory."""

import math
from array import array
from collections.abc import Iterator

import pytest

from appliance.engines.espeak import EspeakEngine
from appliance.ipc.messages import Cancel, Done, Grant, Synthesize
from appliance.speech import PcmChunk
from tests.parts.utterances import SENTENCE, audio_s, english, whole_pcm
from tests.parts.worker_link import WorkerProcess, WorkersSocket

TEXT = "Hello 123, mama."
"""Letters and a number: every voice says something, also in another script."""


@pytest.fixture(scope="module")
def engine() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    engine.warm_up()
    yield engine
    engine.close()


def loudness(chunks: list[PcmChunk]) -> float:
    samples = array("h", whole_pcm(chunks))[::5]
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))


def test_every_voice_when_it_speaks_then_long_and_loud_enough(engine) -> None:
    heard = {
        voice.id: list(engine.synthesize(english(TEXT, voice.engine_voice))) for voice in engine.voices()
    }
    assert {name: audio_s(chunks) for name, chunks in heard.items() if not 0.8 < audio_s(chunks) < 6} == {}
    assert {
        name: loudness(chunks) for name, chunks in heard.items() if not 1000 < loudness(chunks) < 12000
    } == {}


def test_every_variant_when_it_speaks_then_long_and_loud_enough(engine) -> None:
    heard = {
        variant.id: list(engine.synthesize(english(TEXT, f"gmw/en-US+{variant.id}")))
        for variant in engine.variants()
    }
    assert {name: audio_s(chunks) for name, chunks in heard.items() if not 1 < audio_s(chunks) < 6} == {}
    assert {
        name: loudness(chunks) for name, chunks in heard.items() if not 500 < loudness(chunks) < 15000
    } == {}


def test_synthesize_when_closed_200_times_then_every_full_one_is_whole(engine) -> None:
    reference_s = audio_s(list(engine.synthesize(english())))
    reference_marks = len(SENTENCE.split())
    for cycle in range(200):
        spoken = engine.synthesize(english(speed=1 + cycle % 3))
        for _ in range(cycle % 4):
            next(spoken, None)
        spoken.close()
        whole = list(engine.synthesize(english(wants_word_marks=True)))
        assert audio_s(whole) == pytest.approx(reference_s, rel=0.01)
        assert sum(len(chunk.word_marks) for chunk in whole) == reference_marks


def test_worker_when_it_has_spoken_1000_utterances_then_its_memory_is_flat(run_dir) -> None:
    with WorkersSocket(run_dir) as gateway, WorkerProcess(run_dir, "espeak"), gateway.greet() as link:
        rss_bytes: list[int] = []
        for utterance_id in range(1, 1001):
            link.send(
                Synthesize(utterance_id, english("Hello world.", ("gmw/en-US", "zlw/pl")[utterance_id % 2]))
            )
            link.send(Grant(utterance_id))
            if utterance_id % 10 == 0:
                link.send(Cancel(utterance_id))
            _, ending = link.finish(utterance_id)
            assert isinstance(ending, Done)
            rss_bytes.append(ending.rss_bytes)
        assert rss_bytes[-1] - rss_bytes[200] < 1024 * 1024
