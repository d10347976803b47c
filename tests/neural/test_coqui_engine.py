"""Tiny models that Coqui itself speaks: made into voices by the real import, spoken by the real engine."""

import logging
import shutil
from contextlib import closing
from itertools import islice

import pytest

from appliance.engine_settings import CoquiSettings
from appliance.engines import create_engine
from appliance.engines.base import NEXT_CHUNK_BYTES
from appliance.errors import EngineFailedError, UnspeakableTextError
from appliance.settings import DataSettings, Settings
from appliance.speech import FIRST_CHUNK_BYTES, Randomness
from appliance.voice_store import VoiceStore
from tests.parts.coqui_voices import make_coqui_voices
from tests.parts.utterances import audio_s, utterance, whole_pcm

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("coqpit", reason="needs the extra coqui")
from appliance.engines.coqui.voice import PAUSES

pytestmark = [pytest.mark.neural, pytest.mark.timeout(300)]

TEXT = "Hello world, how are you?"
GLOW, VITS, XTTS, TACOTRON2 = "glow/0", "fairseq-vits/1/en", "xtts/1/pl", "tacotron2/0"
"""One voice of every kind, in a language and with a speaker that aren't the first."""
ODD_TEXTS = [
    "a",
    ".",
    "?!",
    "12",
    "日本語",
    "\x00",
    "\U0001f600",
    "[START]",
    "../../etc/passwd",
    "--help",
    "x" * 300,
    " ",
    "7" * 300,
    "$1.2.3 and 4€5.",
    "98765 " * 50,
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A data folder with a voice of every kind."""
    path = tmp_path_factory.mktemp("data")
    make_coqui_voices(path)
    return path


def warm_engine(data_dir, **settings):
    values = {"accept_terms": True, **settings}
    engine = create_engine("coqui", Settings(coqui=CoquiSettings(**values), data=DataSettings(dir=data_dir)))
    engine.warm_up()
    return engine


@pytest.fixture(scope="module")
def engine(data_dir):
    with closing(warm_engine(data_dir)) as warm:
        yield warm


def speak(engine, text=TEXT, voice=GLOW, **fields):
    return list(engine.synthesize(utterance(text, voice, "coqui", **fields)))


def test_voices_when_warm_then_every_speaker_and_language_of_every_model(engine) -> None:
    listed = {voice.engine_voice: voice for voice in engine.voices()}
    assert {GLOW, VITS, XTTS} <= set(listed)
    assert listed[VITS].languages == ("en",)
    assert (listed[GLOW].min_speed, listed[GLOW].max_speed) == (0.5, 2.0)
    assert (listed["tacotron2/0"].min_speed, listed["tacotron2/0"].max_speed) == (1.0, 1.0)
    assert engine.version


def test_manifests_when_made_then_say_what_the_models_say(data_dir) -> None:
    made = {manifest.id: manifest for manifest in VoiceStore(data_dir).manifests()}
    xtts = made["xtts"]
    assert [speaker.name for speaker in xtts.speakers] == ["Ana Florence", "Łukasz"]
    assert list(xtts.model_languages) == ["de", "en", "pl"]
    assert xtts.reasons == ("It isn't VITS.", "Languages that are left out: ja.")
    assert (xtts.terms, xtts.license) != ("", "")
    assert (xtts.sample_rate_hz, made["glow"].sample_rate_hz) == (24_000, 22_050)
    assert {"model.pth", "config.json", "vocoder.pth", "vocoder_config.json"} == set(made["glow"].files)


@pytest.mark.parametrize(
    ("voice", "rate_hz", "seconds"), [(GLOW, 22_050, 1.28), (VITS, 22_050, 2), (XTTS, 24_000, 1.9)]
)
def test_synthesize_when_spoken_then_whole_audio_in_chunks_without_coquis_silence(
    engine, voice, rate_hz, seconds
) -> None:
    chunks = speak(engine, voice=voice)
    assert {chunk.sample_rate_hz for chunk in chunks} == {rate_hz}
    assert len(chunks[0].pcm) <= FIRST_CHUNK_BYTES
    assert all(len(chunk.pcm) <= NEXT_CHUNK_BYTES for chunk in chunks)
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert audio_s(chunks) == pytest.approx(seconds, rel=0.1)
    assert any(whole_pcm(chunks)[-4000:])


@pytest.mark.parametrize("voice", [GLOW, VITS, XTTS])
def test_synthesize_when_the_same_is_spoken_again_then_the_same_audio(engine, voice) -> None:
    first = whole_pcm(speak(engine, voice=voice))
    assert whole_pcm(speak(engine, voice=voice)) == first
    assert whole_pcm(speak(engine, "Something else.", voice)) != first
    is_random = voice != GLOW  # whose config has no noise
    assert (whole_pcm(speak(engine, voice=voice, randomness=Randomness(7))) != first) is is_random


def test_synthesize_when_noise_scales_are_given_then_heard_where_the_model_has_them_and_once(engine) -> None:
    def spoken(voice: str, seed: int, *scales: float | None) -> bytes:
        return whole_pcm(speak(engine, voice=voice, randomness=Randomness(seed, *scales)))

    first = {voice: spoken(voice, 7) for voice in (GLOW, VITS, XTTS)}
    assert len({spoken(VITS, seed, 0.0, 0.0) for seed in (7, 8)}) == 1
    assert len(spoken(VITS, 7, None, 0.0)) == len(spoken(VITS, 8, None, 0.0))
    assert (
        len({first[VITS], spoken(VITS, 7, None, 0.0), spoken(VITS, 7, 0.0), spoken(VITS, 7, 0.0, 0.0)}) == 4
    )
    assert len({first[GLOW], spoken(GLOW, 7, 0.5), spoken(GLOW, 8, 0.5)}) == 3
    assert spoken(GLOW, 7, None, 0.5) == first[GLOW]
    assert spoken(XTTS, 7, 0.0, 0.0) == first[XTTS]
    assert {voice: spoken(voice, 7) for voice in first} == first


def test_synthesize_when_speaker_or_language_differ_then_other_audio(engine) -> None:
    voices = ("fairseq-vits/0/de", "fairseq-vits/1/de", "fairseq-vits/1/en")
    assert len({whole_pcm(speak(engine, voice=voice)) for voice in voices}) == 3


@pytest.mark.parametrize("voice", [GLOW, VITS, XTTS])
def test_synthesize_when_twice_as_fast_then_about_half_as_long(engine, voice) -> None:
    normal_s = audio_s(speak(engine, voice=voice))
    assert audio_s(speak(engine, voice=voice, speed=2.0)) == pytest.approx(normal_s / 2, rel=0.2)
    assert audio_s(speak(engine, voice=voice)) == pytest.approx(normal_s)


def test_synthesize_when_volume_is_given_then_louder_and_softer_and_never_wrapped(engine) -> None:
    assert not any(whole_pcm(speak(engine, volume=0.0)))
    normal, loud = (memoryview(whole_pcm(speak(engine, volume=volume))).cast("h") for volume in (1.0, 2.0))
    assert max(loud) > max(normal)
    assert all((quiet >= 0) == (doubled >= 0) for quiet, doubled in zip(normal, loud, strict=True))


def test_synthesize_when_ssml_then_the_tags_are_not_spoken_and_breaks_are_silent(engine) -> None:
    one = Randomness(1)
    plain = whole_pcm(speak(engine, "rock & roll", randomness=one))
    tagged = speak(engine, "<speak>rock &amp; roll</speak>", is_ssml=True, randomness=one)
    assert whole_pcm(tagged) == plain
    broken = speak(
        engine, '<speak>rock &amp; roll<break time="100ms"/></speak>', is_ssml=True, randomness=one
    )
    assert whole_pcm(broken) == plain + bytes(2 * 2205)
    assert [chunk.is_last for chunk in broken] == [False] * (len(broken) - 1) + [True]
    (nothing,) = speak(engine, "<speak></speak>", is_ssml=True)
    assert (nothing.pcm, nothing.is_last) == (b"", True)


def test_synthesize_when_the_model_streams_then_each_piece_ends_a_window(engine) -> None:
    chunks = speak(engine, voice=XTTS)
    pieces = [chunk for chunk in chunks if chunk.ends_window]
    assert len(pieces) == 3
    assert (chunks[-1].pcm, chunks[-1].ends_window) == (b"", False)
    assert not any(chunk.ends_window for chunk in speak(engine, voice=VITS))


def test_synthesize_when_no_early_sound_is_wanted_then_the_same_audio_in_large_chunks(engine) -> None:
    chunks = speak(engine, wants_early_sound=False)
    assert {len(chunk.pcm) for chunk in chunks[:-1]} <= {NEXT_CHUNK_BYTES}
    assert whole_pcm(chunks) == whole_pcm(speak(engine))


def test_synthesize_when_closed_between_two_pieces_then_the_next_is_whole(engine) -> None:
    whole = whole_pcm(speak(engine, voice=XTTS))
    with closing(engine.synthesize(utterance(TEXT, XTTS, "coqui"))) as chunks:
        assert len(list(islice(chunks, 2))) == 2
    assert whole_pcm(speak(engine, voice=XTTS)) == whole


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("voice", [GLOW, VITS, XTTS, "xtts/0/en", TACOTRON2])
def test_synthesize_when_the_text_is_odd_then_some_audio_and_nothing_said_about_it(
    engine, voice, text, caplog, capfd
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert audio_s(speak(engine, text, voice)) > 0.01
    assert [record.name for record in caplog.records if record.name.startswith("TTS")] == []
    assert capfd.readouterr() == ("", "")


def test_synthesize_when_the_voice_knows_nothing_of_the_text_not_even_a_pause_then_that_is_said(
    data_dir,
) -> None:
    with closing(warm_engine(data_dir)) as engine:
        assert speak(engine, voice=GLOW)
        known = engine._loaded["glow"]._model.tokenizer.characters._char_to_id
        for pause in " .":
            del known[pause]
        assert audio_s(speak(engine, "Hello world", GLOW)) > 0.01
        with pytest.raises(UnspeakableTextError):
            speak(engine, "日本語", GLOW)


def test_warm_up_when_a_voice_knows_nothing_of_the_words_that_it_is_tried_with_then_it_is_offered(
    data_dir, monkeypatch
) -> None:
    monkeypatch.setattr("appliance.engines.coqui.engine.WARM_UP_TEXT", "日本語")
    monkeypatch.setattr("appliance.engines.coqui.voice.PAUSES", "")
    with closing(warm_engine(data_dir)) as engine:
        assert GLOW in {voice.engine_voice for voice in engine.voices()}
        assert audio_s(speak(engine, voice=GLOW)) > 0.01


def test_synthesize_when_the_text_is_longer_than_xtts_takes_at_once_then_spoken_in_parts(engine) -> None:
    assert audio_s(speak(engine, "word " * 60, XTTS)) == pytest.approx(2 * 1.9, rel=0.1)


def test_synthesize_when_xtts_comes_to_its_end_before_any_sound_then_once_more_with_pauses_behind_the_text(
    data_dir, monkeypatch
) -> None:
    asked = []
    with closing(warm_engine(data_dir)) as engine:
        model = engine._loaded["xtts"]._model
        made = model.inference_stream

        def without_end(text, *arguments, **options):
            asked.append(text)
            if PAUSES not in text:
                raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
            yield from made(text, *arguments, **options)

        monkeypatch.setattr(model, "inference_stream", without_end)
        assert audio_s(speak(engine, "Hm", XTTS)) > 1
        assert asked == ["Hm", "Hm" + PAUSES]
        asked.clear()
        monkeypatch.setattr("appliance.engines.coqui.voice.PAUSES", "")
        with pytest.raises(EngineFailedError):
            speak(engine, "Hm", XTTS)
        assert len(asked) == 2


@pytest.mark.parametrize(
    "voice",
    ["", "glow", "glow/1", "glow/0/en/x", "../glow/0", "/etc/passwd", "nobody/0", "xtts/0/ja", "xtts/9/pl"],
)
def test_synthesize_when_there_is_no_such_voice_then_engine_failed(engine, voice) -> None:
    with pytest.raises(EngineFailedError):
        speak(engine, voice=voice)


def test_voices_when_terms_are_not_accepted_then_without_that_model(data_dir) -> None:
    with closing(warm_engine(data_dir, accept_terms=False)) as engine:
        assert not any(voice.engine_voice.startswith("xtts/") for voice in engine.voices())
        with pytest.raises(EngineFailedError, match="No imported voice"):
            speak(engine, voice=XTTS)


def test_engine_when_warm_then_has_loaded_what_fits(engine) -> None:
    assert set(engine._loaded) == {"fairseq-vits", "glow", "tacotron2", "xtts"}


def test_engine_when_memory_is_short_then_keeps_the_voice_used_last(data_dir) -> None:
    with closing(warm_engine(data_dir, memory_bytes=0)) as engine:
        assert list(engine._loaded) == ["fairseq-vits"]
        for voice in (GLOW, VITS):
            assert speak(engine, voice=voice)
            assert list(engine._loaded) == [voice.partition("/")[0]]


def test_engine_when_a_file_of_a_voice_has_changed_then_only_that_voice_fails(data_dir, tmp_path) -> None:
    shutil.copytree(data_dir / "voices", tmp_path / "voices")
    with closing(warm_engine(tmp_path, memory_bytes=0)) as engine:
        config = VoiceStore(tmp_path).path("glow") / "config.json"
        config.write_text(config.read_text("utf-8") + " ", "utf-8")
        with pytest.raises(EngineFailedError, match="import it again"):
            speak(engine)
        assert speak(engine, voice=VITS)
    with closing(warm_engine(tmp_path)) as engine:
        assert "glow" not in {voice.id for voice in engine.voices()}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_engine_when_it_is_to_use_a_gpu_that_is_not_there_then_it_says_so(data_dir) -> None:
    with pytest.raises(EngineFailedError, match=r"coqui\.device is cuda, and torch finds no GPU"):
        warm_engine(data_dir, device="cuda")


@pytest.mark.parametrize(("device", "is_on_cpu"), [("cpu", True), ("cuda", False)])
def test_engine_when_it_computes_on_a_gpu_then_it_is_not_on_the_cpu(tmp_path, device, is_on_cpu) -> None:
    settings = Settings(coqui=CoquiSettings(device=device), data=DataSettings(dir=tmp_path))
    assert create_engine("coqui", settings).is_on_cpu is is_on_cpu


def test_engine_when_there_is_no_voice_then_warm_without_any(tmp_path) -> None:
    with closing(warm_engine(tmp_path)) as engine:
        assert engine.voices() == []
