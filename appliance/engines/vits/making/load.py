"""Loads a checkpoint's weights into Coqui's own VITS model, and trusts neither the file nor its config.

Owns: what is accepted as a checkpoint, the comparison with the config before anything is allocated, the model
as it is exported: in eval mode, without weight norm, without what only training needs.
Refuses to know: graphs, text, the voice store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from appliance.engines.vits.making.config import read_config, read_vectors
from appliance.engines.vits.making.refusals import config_error
from appliance.engines.vits.making.weights import read_weights
from appliance.errors import (
    CheckpointBrokenError,
    CheckpointForeignError,
    CheckpointMismatchError,
    ModelTooLargeError,
)

CHECKPOINT_FILES = ("model.pth", "model_file.pth", "best_model.pth", "checkpoint.pth", "model_file.pth.tar")
"""Names that Coqui's trainer and its model zoo give to a checkpoint, the preferred one first."""
MAX_WEIGHTS = 400_000_000
"""Numbers in a model: 1.6 GB. Full-size VITS has 36 million. Source: measurements C2."""
TRAINING_ONLY = ("posterior_encoder.", "disc.", "speaker_encoder.", "audio_resampler.", "audio_transform.")
"""Parts of a checkpoint that speaking doesn't use."""
OLD_WEIGHT_NORM = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}
"""torch's former names of a weight norm → its present ones. Source: its parametrizations.weight_norm."""
BAD_VALUES = (ArithmeticError, RuntimeError, TypeError, ValueError)
"""What torch's layers raise for sizes that can't be."""
MOST_FOREIGN = 0.5
"""A checkpoint that lacks more than this part of the model's tensors is another kind of model."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A VITS model, ready to be exported."""

    model: Any
    """Coqui's `Vits`. Its `emb_g` turns a speaker's number into a vector, whoever has made that."""
    config: Any
    """Coqui's `VitsConfig`; `speakers` and `languages` in the model's order."""
    characters: Any
    """Coqui's vocabulary object."""

    @property
    def speakers(self) -> tuple[str, ...]:
        """Coqui's names of the speakers in the model's order; none for a voice with one."""
        args = self.config.model_args
        return tuple(self.config.speakers) if args.use_speaker_embedding or args.use_d_vector_file else ()

    @property
    def languages(self) -> tuple[str, ...]:
        """Coqui's names of the languages in the model's order; none where the model takes none."""
        return tuple(self.config.languages) if self.config.model_args.use_language_embedding else ()


def load_model(folder: Path) -> LoadedModel:
    """Load a VITS model from a folder with `config.json` and a checkpoint. Blocks for seconds.

    Raises:
        VoiceImportError: One of its branch that says what is wrong; see `read_config` and `read_weights`.
        CheckpointMismatchError: The tensors aren't those that the config describes.
    """
    from appliance.engines.vits.making.characters import coqui_characters

    config = read_config(folder)
    characters = coqui_characters(config)
    weights = _inference_weights(read_weights(find_checkpoint(folder)))
    with torch.device("meta"), _ListsOnCpu():  # shapes only: nothing is allocated yet
        planned = _build(config, characters)
        wanted = {name: tuple(tensor.shape) for name, tensor in planned.state_dict().items()}
    _compare({name: shape for name, shape in wanted.items() if not name.startswith(TRAINING_ONLY)}, weights)
    model = _build(config, characters)
    del model.posterior_encoder
    model.load_state_dict(weights, strict=True)
    if config.model_args.use_d_vector_file:
        model.emb_g = _embedding(read_vectors(folder), model.embedded_speaker_dim)
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return LoadedModel(model.eval(), model.config, characters)


def _embedding(vectors: dict[str, list[float]], dimensions: int) -> nn.Embedding:
    """Return the vectors of the speakers in the form in which a model learns its own."""
    table = functional.normalize(torch.tensor(list(vectors.values()), dtype=torch.float32))
    if table.shape[1] != dimensions:
        raise CheckpointMismatchError(
            f"The speakers' vectors have {table.shape[1]} numbers, not {dimensions}, which {_by_config()}"
        )
    return nn.Embedding.from_pretrained(table)


def find_checkpoint(folder: Path) -> Path:
    """Return the folder's checkpoint: the only one, or the first of `CHECKPOINT_FILES`.

    Raises:
        CheckpointBrokenError: There is none, or several with other names.
    """
    known = [folder / name for name in CHECKPOINT_FILES if (folder / name).is_file()]
    found = known or [path for path in sorted(folder.glob("*.pth")) if not path.name.startswith("speaker")]
    if not found:
        raise CheckpointBrokenError("The folder holds no checkpoint (model.pth)")
    if len(found) > 1 and not known:
        raise CheckpointBrokenError("The folder holds several checkpoints; name the right one model.pth")
    return found[0]


def _inference_weights(content: dict[str, Any]) -> dict[str, Any]:
    """Return the tensors that speaking needs, under torch's present names."""
    weights = content.get("model")
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise CheckpointForeignError("The checkpoint has no table of tensors called 'model'")
    if sum(value.numel() for value in weights.values()) > MAX_WEIGHTS:
        raise ModelTooLargeError(f"The checkpoint holds more than {MAX_WEIGHTS} numbers")
    return {
        _present_name(name): value for name, value in weights.items() if not name.startswith(TRAINING_ONLY)
    }


def _present_name(name: str) -> str:
    for old, present in OLD_WEIGHT_NORM.items():
        if name.endswith(old):
            return name.removesuffix(old) + present
    return name


def _compare(wanted: dict[str, tuple[int, ...]], weights: dict[str, Any]) -> None:
    """Hold the checkpoint's tensors against the config's, both ways."""
    missing = sorted(wanted.keys() - weights.keys())
    if len(missing) > MOST_FOREIGN * len(wanted):
        raise CheckpointForeignError(
            f"The checkpoint isn't a VITS model: {len(missing)} of {len(wanted)} tensors are missing"
        )
    if missing:
        raise CheckpointMismatchError(f"The checkpoint has no {missing[0]}, which {_by_config()}")
    for name, shape in wanted.items():
        if tuple(weights[name].shape) != shape:
            found = tuple(weights[name].shape)
            raise CheckpointMismatchError(f"The checkpoint's {name} has the shape {found}, not {shape}")
        if not bool(torch.isfinite(weights[name]).all()):
            raise CheckpointBrokenError(f"The checkpoint's {name} holds numbers that aren't finite")
    unknown = sorted(weights.keys() - wanted.keys())
    if unknown:
        raise CheckpointMismatchError(
            f"The checkpoint has {unknown[0][:80]}, for which config.json has no place"
        )


def _by_config() -> str:
    return "config.json demands"


class _ListsOnCpu(TorchFunctionMode):
    """Keeps tensors made of lists real where others are but shapes; Coqui computes with one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        if func is torch.as_tensor:
            named["device"] = "cpu"
        return func(*args, **named)


def _build(config: Any, characters: Any) -> Any:
    """Make Coqui's model without its tokenizer, which would look for phonemizers that needn't be there."""
    from TTS.tts.models.vits import Vits
    from TTS.tts.utils.text.tokenizer import TTSTokenizer

    class SilentVits(Vits):  # type: ignore[no-any-unimported,unused-ignore]  # Coqui has no types
        tokenizer = TTSTokenizer(characters=characters)

    try:
        return SilentVits(config)
    except (AssertionError, AttributeError, LookupError, *BAD_VALUES) as error:
        raise config_error(error, "no model can be built") from None
