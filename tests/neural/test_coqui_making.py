"""What the import of a voice for the coqui engine refuses, and what it makes of a model with statistics."""

import json
import pickle

import pytest

from appliance.engines.vits.making.make import Wanted
from appliance.errors import (
    CheckpointBrokenError,
    CheckpointMismatchError,
    CheckpointUnsafeError,
    ModelUnsupportedError,
    VoiceConfigError,
    VoiceImportError,
)
from appliance.voice_store import VoiceStore
from tests.parts.coqui_voices import make_coqui_voice_of, make_vits
from tests.parts.utterances import audio_s, utterance

np = pytest.importorskip("numpy", reason="needs the extra neural")
pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("coqpit", reason="needs the extra coqui")
from appliance.engine_settings import CoquiSettings
from appliance.engines.coqui.engine import CoquiEngine

pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]

STATISTICS = {
    "mel_mean": np.zeros(80),
    "mel_std": np.ones(80),
    "linear_mean": np.zeros(513),
    "linear_std": np.ones(513, np.float32),
    "audio_config": {"num_mels": 80, "sample_rate": 22050},
}


class Code:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.fixture
def store(tmp_path):
    return VoiceStore(tmp_path / "data")


@pytest.fixture
def model(tmp_path):
    return make_vits(tmp_path / "model")


def make(model, store, **arguments):
    from appliance.engines.vits.making.with_coqui import make_coqui_voice

    return make_coqui_voice(model, store, Wanted("made", "Made"), lambda *_: None, **arguments)


def change_config(folder, **values) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **values}), "utf-8")


def assert_refused(model, store, error_class) -> str:
    with pytest.raises(VoiceImportError) as caught:
        make(model, store)
    assert type(caught.value) is error_class, caught.value
    assert "Traceback" not in caught.value.message
    assert list(store.folder.iterdir()) == []
    return caught.value.message


@pytest.mark.parametrize("kind", ["bark", "Tortoise"])
def test_model_when_it_fetches_parts_of_itself_then_refused(model, store, kind) -> None:
    change_config(model, model=kind)
    assert_refused(model, store, ModelUnsupportedError)


def test_config_when_it_names_a_class_of_somebody_else_then_refused(model, store) -> None:
    change_config(model, characters={"characters_class": "subprocess.Popen"})
    assert_refused(model, store, VoiceConfigError)


def test_config_when_it_is_no_json_then_refused(model, store) -> None:
    (model / "config.json").write_text("{", "utf-8")
    assert_refused(model, store, VoiceConfigError)


def test_config_when_it_is_another_models_then_refused(model, store) -> None:
    change_config(model, model="glow_tts")
    assert_refused(model, store, CheckpointMismatchError)


def test_text_when_it_needs_a_package_that_is_not_there_then_refused_with_its_name(model, store) -> None:
    change_config(model, use_phonemes=True, phonemizer="bn_phonemizer", phoneme_language="bn")
    message = assert_refused(model, store, ModelUnsupportedError)
    assert message.endswith("`bn_phonemizer` requires: bangla, bnnumerizer, bnunicodenormalizer")


def test_text_when_no_phonemizer_knows_its_language_then_refused_with_its_name(model, store) -> None:
    datasets = [{"language": "zh-cn", "phonemizer": ""}]
    change_config(model, use_phonemes=True, phonemizer="multi_phonemizer", datasets=datasets)
    message = assert_refused(model, store, ModelUnsupportedError)
    assert "No phonemizer found for language zh-cn" in message


def test_checkpoint_when_missing_then_refused(model, store) -> None:
    (model / "model.pth").unlink()
    assert_refused(model, store, CheckpointBrokenError)


def test_checkpoint_when_it_holds_code_then_refused_and_the_code_has_not_run(model, store, tmp_path) -> None:
    (model / "model.pth").write_bytes(pickle.dumps({"model": Code(tmp_path / "ran")}))
    assert_refused(model, store, CheckpointUnsafeError)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["female-pt-4\n", "n" * 201])
def test_speaker_when_coquis_name_of_it_cannot_be_shown_as_it_is_then_spoken_all_the_same(
    model, store, name
) -> None:
    (model / "speakers.json").write_text(json.dumps({"First": 0, name: 1}), "utf-8")
    make(model, store)
    engine = CoquiEngine(CoquiSettings(), VoiceStore(store.folder.parent))
    engine.warm_up()
    for speaker in (0, 1):
        chunks = list(engine.synthesize(utterance("Hello.", f"made/{speaker}/en", "coqui")))
        assert audio_s(chunks) > 0.1
    engine.close()


def test_progress_when_it_raises_then_nothing_is_left(model, store) -> None:
    from appliance.engines.vits.making.with_coqui import make_coqui_voice

    def stop(stage: str, _: float) -> None:
        if stage == "judge":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_coqui_voice(model, store, Wanted("made", "Made"), stop)
    assert list(store.folder.iterdir()) == []


def test_vocoder_when_in_a_folder_of_its_own_then_it_is_the_voices(tmp_path, store) -> None:
    make_coqui_voice_of(tmp_path, "glow")
    glow, vocoder = tmp_path / "models" / "glow", tmp_path / "vocoder"
    vocoder.mkdir()
    (glow / "vocoder.pth").rename(vocoder / "model_file.pth")
    (glow / "vocoder_config.json").rename(vocoder / "config.json")
    manifest = make(glow, store, vocoder=vocoder)
    assert {"model.pth", "config.json", "vocoder.pth", "vocoder_config.json"} == set(manifest.files)


def test_model_when_it_has_statistics_then_they_are_copied_and_used(tmp_path, store) -> None:
    from loadtests.coqui_checkpoints import make_tacotron2

    manifest = make(make_tacotron2(tmp_path / "model", STATISTICS), store)
    copied = np.load(store.path("made") / "scale_stats.npy", allow_pickle=True).item()
    assert copied.keys() == STATISTICS.keys()
    assert copied["audio_config"] == STATISTICS["audio_config"]
    assert all(
        np.array_equal(copied[name], STATISTICS[name]) for name in STATISTICS if name != "audio_config"
    )
    assert "scale_stats.npy" in manifest.files


def test_statistics_when_they_hold_code_then_refused_and_the_code_has_not_run(tmp_path) -> None:
    from appliance.engines.coqui.statistics import copy_statistics

    np.save(tmp_path / "stats.npy", np.array({"mel_mean": Code(tmp_path / "ran")}, dtype=object))
    with pytest.raises(CheckpointUnsafeError):
        copy_statistics(tmp_path / "stats.npy", tmp_path / "copy.npy")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "copy.npy").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no numbers", b"\x93NUMPY\x01\x00\x02\x00{}"])
def test_statistics_when_damaged_then_refused(tmp_path, content) -> None:
    from appliance.engines.coqui.statistics import copy_statistics

    (tmp_path / "stats.npy").write_bytes(content)
    with pytest.raises(CheckpointBrokenError):
        copy_statistics(tmp_path / "stats.npy", tmp_path / "copy.npy")
