"""Checkpoints and configs that must be refused, each with its reason and without a traceback of others."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest

from appliance.engines.vits.making.make import Wanted, make_voice
from appliance.engines.vits.making.verdict import Limits
from appliance.errors import (
    CheckpointBrokenError,
    CheckpointForeignError,
    CheckpointMismatchError,
    CheckpointUnsafeError,
    ModelTooLargeError,
    ModelUnsupportedError,
    VoiceConfigError,
)
from appliance.voice_store import VoiceStore
from loadtests.checkpoints import Kind, make_checkpoint

torch = pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytest.importorskip("coqpit", reason="needs Coqui, which only our shim can import")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("made"), Kind(speakers=2))


@pytest.fixture
def folder(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


@pytest.fixture
def load():
    from appliance.engines.vits.making.load import load_model

    return load_model


def change(folder: Path, **values: object) -> None:
    """Write fields into config.json; those of model_args go there."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    for name, value in values.items():
        (config["model_args"] if name in config["model_args"] else config)[name] = value
    path.write_text(json.dumps(config), "utf-8")


def save(folder: Path, content: object) -> None:
    torch.save(content, folder / "model.pth")


def test_model_when_whole_then_loaded_without_what_training_needs(folder, load) -> None:
    loaded = load(folder)
    assert loaded.speakers == ("Speaker 0", "Speaker 1")
    names = set(loaded.model.state_dict())
    assert not [name for name in names if name.startswith(("posterior_encoder", "disc"))]
    assert not [name for name in names if "parametrizations" in name]


def test_checkpoint_when_truncated_anywhere_then_broken(folder, load) -> None:
    whole = (folder / "model.pth").read_bytes()
    for part in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        (folder / "model.pth").write_bytes(whole[:part])
        with pytest.raises(CheckpointBrokenError, match="truncated or damaged"):
            load(folder)


def test_checkpoint_when_missing_then_broken(folder, load) -> None:
    (folder / "model.pth").unlink()
    with pytest.raises(CheckpointBrokenError, match="no checkpoint"):
        load(folder)


class Boom:
    """Would write a file where it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("boom"),))


@pytest.mark.parametrize("is_zip", [True, False])
def test_checkpoint_when_it_holds_code_then_unsafe_and_the_code_is_not_run(
    folder, load, is_zip, monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Boom()}, folder / "model.pth", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(CheckpointUnsafeError):
        load(folder)
    assert not (tmp_path / "boom").exists()


def test_checkpoint_when_a_plain_pickle_then_refused(folder, load) -> None:
    (folder / "model.pth").write_bytes(pickle.dumps({"model": Boom()}))
    with pytest.raises((CheckpointUnsafeError, CheckpointBrokenError)):
        load(folder)


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"state_dict": {}}, {"model": {"encoder.weight": torch.zeros(3)}}, {"model": {"a": "text"}}],
)
def test_checkpoint_when_of_something_else_then_foreign(folder, load, content) -> None:
    save(folder, content)
    with pytest.raises(CheckpointForeignError):
        load(folder)


def test_checkpoint_when_compressed_then_too_large(folder, load) -> None:
    with zipfile.ZipFile(folder / "model.pth") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "model.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(ModelTooLargeError, match="compressed"):
        load(folder)


def test_checkpoint_when_a_tensor_is_missing_or_not_finite_then_its_name_is_said(folder, load) -> None:
    content = torch.load(folder / "model.pth", weights_only=True)
    removed = content["model"].pop("text_encoder.proj.bias")
    save(folder, content)
    with pytest.raises(CheckpointMismatchError, match=r"text_encoder\.proj\.bias"):
        load(folder)
    content["model"]["text_encoder.proj.bias"] = removed * float("nan")
    save(folder, content)
    with pytest.raises(CheckpointBrokenError, match=r"text_encoder\.proj\.bias.*finite"):
        load(folder)


@pytest.mark.parametrize("lie", [{"hidden_channels": 64}, {"num_layers_flow": 3}, {"use_sdp": False}])
def test_config_when_it_does_not_match_the_checkpoint_then_a_mismatch(folder, load, lie) -> None:
    change(folder, **lie)
    with pytest.raises(CheckpointMismatchError):
        load(folder)


@pytest.mark.parametrize(
    "lie",
    [{"upsample_rates_decoder": [8, 8, 2, 3]}, {"resblock_type_decoder": 5}, {"num_heads_text_encoder": 0}],
)
def test_config_when_no_model_can_be_built_then_it_says_so(folder, load, lie) -> None:
    change(folder, **lie)
    with pytest.raises((VoiceConfigError, CheckpointMismatchError, CheckpointForeignError)):
        load(folder)


@pytest.mark.parametrize(
    ("lie", "place"),
    [
        ({"enable_eos_bos_chars": None}, "use_eos_bos: "),
        ({"add_blank": None}, "add_blank: "),
        ({"length_scale": 0}, "length_scale: Input should be greater than 0"),
        ({"inference_noise_scale": 9}, "noise_scale: "),
        ({"test_sentences": 5}, "test_sentences must be a list"),
    ],
)
def test_config_when_a_voice_cannot_be_described_then_the_first_fault_is_said_in_one_line(
    folder, tmp_path, lie, place
) -> None:
    change(folder, **lie)
    with pytest.raises(VoiceConfigError) as caught:
        make_voice(folder, VoiceStore(tmp_path), Wanted("made", "Made"), Limits(), lambda *_: None)
    assert caught.value.message.startswith(f"config.json: {place}")
    assert "\n" not in caught.value.message


def test_config_when_it_asks_for_a_huge_model_then_refused_before_anything_is_allocated(folder, load) -> None:
    change(folder, hidden_channels=4096, hidden_channels_ffn_text_encoder=4096)
    change(folder, upsample_initial_channel_decoder=4096, speaker_embedding_channels=4096)
    with pytest.raises(CheckpointMismatchError):  # 5 GB of weights, which were never made
        load(folder)


def test_config_when_the_vocabulary_is_any_class_then_refused(folder, load) -> None:
    change(folder, characters={"characters_class": "os.system"})
    with pytest.raises(VoiceConfigError, match="no vocabulary"):
        load(folder)


def test_config_when_its_phonemizer_is_not_espeak_then_unsupported(folder, load) -> None:
    from appliance.engines.vits.making.characters import front_end

    loaded = load(folder)
    loaded.config.use_phonemes, loaded.config.phonemizer = True, "gruut"
    with pytest.raises(ModelUnsupportedError, match="gruut"):
        front_end(loaded.config, loaded.characters)
