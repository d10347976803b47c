"""Reads a model's `config.json` and the lists of names beside it.

Owns: what is accepted of them: sizes, kinds, bounds, which classes and files they may name.
Refuses to know: weights.

A config comes from a stranger. It is read as JSON only; Coqui gets it afterwards, without its paths. A file
that it names is looked for by its bare name inside the model's own folder.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from appliance.engines.vits.making.refusals import config_error
from appliance.engines.vits.making.speaker_vectors import MAX_VECTORS_BYTES, mean_vectors
from appliance.errors import (
    CheckpointForeignError,
    ModelTooLargeError,
    ModelUnsupportedError,
    VoiceConfigError,
)
from appliance.voice_store import MAX_SPEAKERS

CONFIG_FILE = "config.json"
MAX_JSON_BYTES = 4_194_304
"""A larger `config.json` or list of names isn't read; Coqui's largest, with 110 speakers, has 0.02 MB."""
MAX_LANGUAGES = 200
MAX_CHANNELS = 4096
MAX_LAYERS = 64
"""Coqui's own models have up to 768 channels and 16 layers."""
PATHS = ("speakers_file", "speaker_file", "language_ids_file", "d_vector_file")
ENCODER_PATHS = ("speaker_encoder_model_path", "speaker_encoder_config_path")
"""Fields that name files; the last two belong to training only."""
VECTOR_FIELDS = ("use_d_vector_file", "d_vector_dim")
AUDIO_LIMITS = {
    "sample_rate": 192_000,
    "hop_length": 4096,
    "win_length": 65_536,
    "fft_size": 65_536,
    "num_mels": 1024,
}
UNLIMITED = ("max_inference_len",)
"""Fields that allocate nothing."""
LAYERS = ("num_layers_text_encoder", "num_layers_posterior_encoder", "num_layers_flow")


def read_config(folder: Path) -> Any:
    """Read what describes a VITS model, and check it against the bounds.

    Args:
        folder: Holds `config.json`, and the lists of speakers and languages where there are several.

    Returns:
        Coqui's `VitsConfig` without any path. `speakers` and `languages` are in the model's order.

    Raises:
        VoiceConfigError: It can't be read, or says what can't be.
        CheckpointForeignError: It is the config of another kind of model.
        ModelTooLargeError: It, or the model it describes, is beyond the bounds.
        ModelUnsupportedError: The model needs Coqui to speak.
    """
    values = read_object(folder / CONFIG_FILE)
    kind = values.get("model")
    if kind != "vits":
        raise CheckpointForeignError(
            f"{CONFIG_FILE} describes a model of the kind {str(kind)[:40]!r}, not vits"
        )
    model_args = values.get("model_args")
    if not isinstance(model_args, dict):
        raise VoiceConfigError(f"{CONFIG_FILE}: model_args is missing")
    _refuse_what_needs_coqui(values, model_args)
    for field in VECTOR_FIELDS:  # an older model has them beside model_args
        if values.get(field) and not model_args.get(field):
            model_args[field] = values[field]
    if not isinstance(values.get("test_sentences") or [], list):
        raise VoiceConfigError(f"{CONFIG_FILE}: test_sentences must be a list")
    _check_sizes(model_args, values.get("audio", {}))
    speakers, languages = _speakers(folder, values, model_args), _languages(folder, values, model_args)
    for field in PATHS + ENCODER_PATHS:
        values.pop(field, None)
        model_args.pop(field, None)
    model_args |= {"init_discriminator": False, "use_speaker_encoder_as_loss": False}
    config = _coqui_config(values)
    config.speakers, config.languages = list(speakers), list(languages) or config.languages
    return config


def read_vectors(folder: Path) -> dict[str, list[float]]:
    """Read the vector of each speaker of a model that takes them from a speaker encoder, in their order.

    Raises:
        VoiceConfigError: It can't be read, or says what can't be.
        ModelTooLargeError: It is beyond the bounds.
    """
    values = read_object(folder / CONFIG_FILE)
    return _vectors(folder, values, values["model_args"])


def read_object(path: Path, limit_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a file that must hold one JSON object."""
    try:
        if path.stat().st_size > limit_bytes:
            raise ModelTooLargeError(f"{path.name} is larger than {limit_bytes} bytes")
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise VoiceConfigError(f"{path.name} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise VoiceConfigError(f"{path.name} isn't JSON: {error}") from None
    if not isinstance(values, dict):
        raise VoiceConfigError(f"{path.name} doesn't hold a JSON object")
    return values


def _refuse_what_needs_coqui(values: dict[str, Any], model_args: dict[str, Any]) -> None:
    if model_args.get("encoder_sample_rate") or values.get("encoder_sample_rate"):
        raise ModelUnsupportedError("The model works at another sample rate than it speaks")


def _check_sizes(model_args: dict[str, Any], audio: Any) -> None:
    """Refuse what would fill the memory before its weights are compared with anything."""
    for name, value in model_args.items():
        if name in UNLIMITED:
            continue
        numbers = list(_numbers(value))
        limit = MAX_LAYERS if name in LAYERS else MAX_CHANNELS
        if len(numbers) > MAX_LAYERS or not all(0 <= number <= limit for number in numbers):
            raise ModelTooLargeError(f"{CONFIG_FILE}: {name[:60]} is beyond 0 … {limit}")
    _check_audio(audio)


def _check_audio(audio: Any) -> None:
    """Refuse what is no number, too: Coqui would put another one in its place, and speak at a wrong pitch."""
    if not isinstance(audio, dict):
        raise VoiceConfigError(f"{CONFIG_FILE}: audio must be an object")
    for name, limit in AUDIO_LIMITS.items():
        number = audio.get(name, 0)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise VoiceConfigError(f"{CONFIG_FILE}: audio.{name} must be a number")
        if not 0 <= number <= limit:
            raise ModelTooLargeError(f"{CONFIG_FILE}: audio.{name} is beyond 0 … {limit}")


def _numbers(value: Any) -> Iterable[float]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _numbers(entry)


def _speakers(folder: Path, values: dict[str, Any], model_args: dict[str, Any]) -> list[str]:
    if model_args.get("use_d_vector_file"):
        return list(_vectors(folder, values, model_args))
    if not model_args.get("use_speaker_embedding"):
        return []
    if values.get("speakers"):
        return _in_order(_enumerated(values["speakers"]), "speakers", MAX_SPEAKERS)
    named = [args.get(name) for args in (model_args, values) for name in ("speaker_file", "speakers_file")]
    return _in_order(_named_file(folder, named), "speakers", MAX_SPEAKERS)


def _vectors(folder: Path, values: dict[str, Any], model_args: dict[str, Any]) -> dict[str, list[float]]:
    named = [args.get("d_vector_file") for args in (model_args, values)]
    files = [name for entry in named for name in (entry if isinstance(entry, list) else [entry])]
    return mean_vectors(_named_file(folder, files, MAX_VECTORS_BYTES))


def _languages(folder: Path, values: dict[str, Any], model_args: dict[str, Any]) -> list[str]:
    if not model_args.get("use_language_embedding"):
        return []
    if model_args.get("language_ids_file"):
        named = _named_file(folder, [model_args["language_ids_file"]])
        return _in_order(named, "languages", MAX_LANGUAGES)
    return _in_order(_enumerated(values.get("languages")), "languages", MAX_LANGUAGES)


def _enumerated(names: Any) -> dict[str, Any]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise VoiceConfigError(f"{CONFIG_FILE}: speakers and languages must be lists of texts")
    return {name: number for number, name in enumerate(names)}


def _named_file(folder: Path, named: list[Any], limit_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read the first list of names that is named, by its bare name inside the folder."""
    names = [Path(name).name for name in named if isinstance(name, str) and name and "\0" not in name]
    if not names:
        raise VoiceConfigError(f"{CONFIG_FILE}: names no list of its speakers or languages")
    path = folder / names[0]
    if path.suffix == ".pth":
        from appliance.engines.vits.making.weights import read_weights

        return read_weights(path)
    if path.suffix != ".json" or path.is_symlink() or not path.is_file():
        raise VoiceConfigError(f"{CONFIG_FILE}: {names[0][:80]!r} isn't a .json file in the model's folder")
    return read_object(path, limit_bytes)


def _in_order(numbers: dict[str, Any], what: str, limit: int) -> list[str]:
    """Return the names sorted by number, which must count from 0 without a gap."""
    if len(numbers) > limit:
        raise ModelTooLargeError(f"The model has {len(numbers)} {what}, more than {limit}")
    if not numbers or not all(name.strip() for name in numbers):
        raise VoiceConfigError(f"The model's list of {what} has none, or one without a name")
    if sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
        raise VoiceConfigError(f"The numbers of the model's {what} don't count from 0 without a gap")
    return sorted(numbers, key=lambda name: int(numbers[name]))


def _coqui_config(values: dict[str, Any]) -> Any:
    from TTS.tts.configs.vits_config import VitsConfig

    config = VitsConfig()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for a field of a wrong kind it takes its default
            config.from_dict(values)
    except (TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        raise config_error(error) from None
    return config
