"""What is refused of a stranger's config.json before any library of Coqui's sees it."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.engines.vits.making.config import MAX_JSON_BYTES, read_config, read_vectors
from appliance.engines.vits.making.refusals import config_error
from appliance.engines.vits.making.speaker_vectors import MAX_VECTORS_BYTES
from appliance.errors import (
    CheckpointForeignError,
    ModelTooLargeError,
    ModelUnsupportedError,
    VoiceConfigError,
)
from appliance.voice_store import FrontEnd

SPEAKERS = {"use_speaker_embedding": True}
LANGUAGES = {"use_language_embedding": True}


def write(folder: Path, model_args: object, **values: object) -> Path:
    config = {"model": "vits", "model_args": model_args, **values}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_config_when_not_an_object_then_refused(tmp_path, content) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(VoiceConfigError, match=r"config\.json"):
        read_config(tmp_path)


def test_config_when_missing_then_refused(tmp_path) -> None:
    with pytest.raises(VoiceConfigError, match="No such file"):
        read_config(tmp_path)


def test_config_when_larger_than_the_bounds_then_not_read(tmp_path) -> None:
    (tmp_path / "config.json").write_bytes(b" " * (MAX_JSON_BYTES + 1))
    with pytest.raises(ModelTooLargeError):
        read_config(tmp_path)


@pytest.mark.parametrize("kind", ["glow_tts", "xtts", None, 5, "../vits"])
def test_config_when_of_another_kind_then_foreign(tmp_path, kind) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model": kind}), "utf-8")
    with pytest.raises(CheckpointForeignError, match="not vits"):
        read_config(tmp_path)


@pytest.mark.parametrize("model_args", [None, [], "text", 5])
def test_config_when_it_describes_no_model_then_refused(tmp_path, model_args) -> None:
    with pytest.raises(VoiceConfigError, match="model_args"):
        read_config(write(tmp_path, model_args))


@pytest.mark.parametrize(
    "model_args",
    [
        {"hidden_channels": 10**12},
        {"hidden_channels": -1},
        {"num_layers_text_encoder": 65},
        {"upsample_rates_decoder": [8] * 65},
        {"resblock_dilation_sizes_decoder": [[1, 3, 10**9]]},
        {"num_chars": 1e300},
        {"num_chars": float("nan")},
    ],
)
def test_config_when_a_size_is_beyond_the_bounds_then_too_large(tmp_path, model_args) -> None:
    with pytest.raises(ModelTooLargeError, match=next(iter(model_args))):
        read_config(write(tmp_path, model_args))


@pytest.mark.parametrize("audio", [{"fft_size": 10**9}, {"hop_length": 5000}, {"sample_rate": 10**7}])
def test_config_when_its_audio_is_beyond_the_bounds_then_too_large(tmp_path, audio) -> None:
    with pytest.raises(ModelTooLargeError, match=next(iter(audio))):
        read_config(write(tmp_path, {}, audio=audio))


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"audio": {"sample_rate": "x"}}, r"audio\.sample_rate must be a number"),
        ({"audio": {"hop_length": None}}, r"audio\.hop_length must be a number"),
        ({"audio": {"num_mels": True}}, r"audio\.num_mels must be a number"),
        ({"audio": None}, "audio must be an object"),
        ({"audio": 5}, "audio must be an object"),
        ({"test_sentences": 5}, "test_sentences must be a list"),
    ],
)
def test_config_when_a_field_is_of_another_kind_then_its_name_is_said_in_one_line(
    tmp_path, values, place
) -> None:
    with pytest.raises(VoiceConfigError, match=place) as caught:
        read_config(write(tmp_path, {}, **values))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("error", [ValueError(), ValueError("\n\n"), KeyError(), AssertionError(" ")])
def test_refusal_when_the_error_says_nothing_then_its_class_is_said(error) -> None:
    assert config_error(error).message == f"config.json: {type(error).__name__}"


def test_refusal_when_the_error_has_several_lines_then_the_first_that_says_something() -> None:
    assert config_error(ValueError("\n first\nsecond"), "audio").message == "config.json: audio: first"
    with pytest.raises(ValidationError) as caught:
        FrontEnd.model_validate({"vocabulary": ["a"], "add_blank": None, "use_eos_bos": 5})
    assert config_error(caught.value).message == "config.json: add_blank: Input should be a valid boolean"


def test_config_when_the_model_needs_coqui_then_unsupported(tmp_path) -> None:
    with pytest.raises(ModelUnsupportedError):
        read_config(write(tmp_path, {"encoder_sample_rate": 16_000}))


@pytest.mark.parametrize(
    "named", ["/etc/passwd", "../secret.json", "sub/secret.json", "a\0b.json", "", 5, "x.json"]
)
def test_list_when_named_by_a_path_then_looked_for_only_in_the_folder(tmp_path, named) -> None:
    """What lies outside has the right form, so that reading it would succeed."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder / "sub"):
        (place / "secret.json").write_text('{"outside": 0}', "utf-8")
    with pytest.raises(VoiceConfigError):
        read_config(write(folder, SPEAKERS | {"speakers_file": named}))


def test_list_when_a_link_out_of_the_folder_then_refused(tmp_path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.json").write_text('{"outside": 0}', "utf-8")
    (folder / "speakers.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(VoiceConfigError, match=r"isn't a \.json file"):
        read_config(write(folder, SPEAKERS | {"speakers_file": "speakers.json"}))


@pytest.mark.parametrize(
    "names", [{}, {"a": 1}, {"a": 0, "b": 0}, {"a": 0, "b": 2}, {" ": 0}, {"a": "x"}, [1]]
)
def test_list_when_its_numbers_do_not_count_from_0_then_refused(tmp_path, names) -> None:
    (tmp_path / "languages.json").write_text(json.dumps(names), "utf-8")
    with pytest.raises(VoiceConfigError):
        read_config(write(tmp_path, LANGUAGES | {"language_ids_file": "languages.json"}))


def test_list_when_longer_than_the_bounds_then_too_large(tmp_path) -> None:
    names = [f"language {number}" for number in range(201)]
    with pytest.raises(ModelTooLargeError, match="201 languages"):
        read_config(write(tmp_path, LANGUAGES, languages=names))


VECTORS = {"use_d_vector_file": True, "d_vector_file": ["/anywhere/vectors.json"]}


def write_vectors(folder: Path, *recordings: object) -> Path:
    numbered = {f"recording {number}": each for number, each in enumerate(recordings)}
    (folder / "vectors.json").write_text(json.dumps(numbered), "utf-8")
    return folder


def test_vectors_when_a_speaker_has_several_then_their_mean_in_the_order_of_the_names(tmp_path) -> None:
    write(write_vectors(tmp_path, vector("b", 1, 0), vector("a", 4, 4), vector("b", 3, 2)), VECTORS)
    assert read_vectors(tmp_path) == {"a": [4, 4], "b": [2, 1]}
    assert list(read_vectors(tmp_path)) == ["a", "b"]


def vector(name: object, *numbers: object) -> dict[str, object]:
    return {"name": name, "embedding": list(numbers)}


@pytest.mark.parametrize(
    "recordings",
    [
        [],
        [5],
        [{"name": "a"}],
        [vector(" ", 1)],
        [vector(5, 1)],
        [vector("a")],
        [vector("a", "1")],
        [vector("a", True)],
        [vector("a", float("nan"))],
        [vector("a", 1e40)],
        [vector("a", 1, 2), vector("b", 1)],
    ],
    ids=str,
)
def test_vectors_when_they_are_none_then_refused(tmp_path, recordings) -> None:
    write(write_vectors(tmp_path, *recordings), VECTORS)
    with pytest.raises(VoiceConfigError, match=r"vectors|vector of"):
        read_config(tmp_path)


def test_vectors_when_larger_than_the_bounds_then_not_read(tmp_path) -> None:
    write(tmp_path, VECTORS)
    with (tmp_path / "vectors.json").open("wb") as file:
        file.truncate(MAX_VECTORS_BYTES + 1)
    with pytest.raises(ModelTooLargeError):
        read_config(tmp_path)
