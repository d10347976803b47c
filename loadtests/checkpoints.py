"""Makes checkpoints with random weights, as Coqui's own trainer saves them.

`python -m loadtests.checkpoints FOLDER` makes one at a shell.

Owns: which models there are, tiny for tests and full-size for measurements, and what makes random weights
audible and of a sensible length.
Refuses to know: what becomes of a checkpoint.

The sound is noise, but its amount, its cost and every graph are those of a trained voice.
Source of the figures: measurements C2.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 1234
DIMENSIONS = 24
"""Of a speaker's vector; a speaker encoder's have 256 or 512."""
MS_PER_CHAR = 80
"""Speech of a normal pace; a trained voice needs 60 to 90."""
LOUDEST = 0.5
"""Peak of the made audio, of 1."""
SHRINK = 3.0
"""The noise of the durations is divided by e to this power, so that lengths hardly differ."""
TINY: dict[str, Any] = {
    "hidden_channels": 32,
    "hidden_channels_ffn_text_encoder": 64,
    "num_layers_text_encoder": 2,
    "num_layers_flow": 2,
    "num_layers_posterior_encoder": 2,
    "upsample_initial_channel_decoder": 32,
    "resblock_kernel_sizes_decoder": [3],
    "resblock_dilation_sizes_decoder": [[1, 3, 5]],
}
"""1.5 million weights, 6 MB; full size has 36 million and 145 MB."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of VITS model is made."""

    is_tiny: bool = True
    speakers: int = 0
    """0 for a voice with one speaker, which has no number."""
    has_vectors: bool = False
    """Whether its speakers are vectors of a speaker encoder (d-vectors), and not learnt by the model."""
    languages: tuple[str, ...] = ()
    """Coqui's names; none for a model that takes no language."""
    phoneme_language: str = ""
    """espeak's name of the language whose phonemes the model reads; letters where empty."""
    is_stochastic: bool = True
    """Whether durations take noise."""
    cleaner: str = "basic_cleaners"


def make_checkpoint(folder: Path, kind: Kind) -> Path:
    """Make `model.pth` and `config.json` in a folder, and lists of speakers and languages where there are.

    Blocks for one second, or five at full size. The same kind always gets the same weights.

    Returns:
        The folder.
    """
    import torch

    from appliance.engines.coqui.library import import_coqui

    import_coqui()
    from TTS.tts.models.vits import Vits

    folder.mkdir(parents=True, exist_ok=True)
    config = _config(folder, kind)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(SEED)
        model = Vits(config)
        _set_durations(model, kind, config)
        for parameter in model.flow.parameters():  # or else it does nothing
            parameter.add_(torch.randn_like(parameter) * 0.01)
        _set_loudness(model.eval(), kind)
        torch.save({"model": model.state_dict()}, folder / "model.pth")
    if kind.phoneme_language:  # only now, since Coqui would look for the program espeak-ng
        config.use_phonemes, config.phonemizer = True, "espeak"
        config.phoneme_language = kind.phoneme_language
    config.save_json(folder / "config.json")
    return folder


def _config(folder: Path, kind: Kind) -> Any:
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.utils.text.characters import IPAPhonemes

    args: dict[str, Any] = {"init_discriminator": False, "use_sdp": kind.is_stochastic}
    args |= TINY if kind.is_tiny else {}
    if kind.has_vectors:
        args |= {"use_d_vector_file": True, "d_vector_dim": DIMENSIONS}
        args["d_vector_file"] = [_vectors(folder / "vectors.json", kind.speakers)]
    elif kind.speakers:
        args |= {"use_speaker_embedding": True, "speaker_embedding_channels": 16 if kind.is_tiny else 256}
        names = {f"Speaker {number}": number for number in range(kind.speakers)}
        args["speakers_file"] = _list(folder / "speakers.json", names)
    if kind.languages:
        args["use_language_embedding"] = True
        numbers = {name: number for number, name in enumerate(kind.languages)}
        args["language_ids_file"] = _list(folder / "language_ids.json", numbers)
    config = VitsConfig(model_args=VitsArgs(**args), text_cleaner=kind.cleaner)
    config.audio.do_trim_silence = False  # random weights are nearly silent: all would be cut
    if kind.phoneme_language:
        config.characters = IPAPhonemes().to_config()
        config.characters.characters_class = "TTS.tts.utils.text.characters.IPAPhonemes"
    return config


def _vectors(path: Path, speakers: int) -> str:
    """Write two recordings' vectors for each speaker."""
    drawn = random.Random(SEED)
    recordings = {
        f"recording {number}": {
            "name": f"Speaker {number % speakers}",
            "embedding": [drawn.gauss(0, 1) for _ in range(DIMENSIONS)],
        }
        for number in range(2 * speakers)
    }
    path.write_text(json.dumps(recordings), "utf-8")
    return str(path)


def _list(path: Path, numbers: dict[str, int]) -> str:
    path.write_text(json.dumps(numbers), "utf-8")
    return str(path)


def _set_durations(model: Any, kind: Kind, config: Any) -> None:
    """Have every token last about equally long, `MS_PER_CHAR` a character."""
    tokens_per_char = 2 if config.add_blank else 1
    frames = MS_PER_CHAR / 1000 * config.audio.sample_rate / config.audio.hop_length / tokens_per_char
    log_frames = math.log(frames - 0.5)  # half a frame is added by rounding up
    predictor = model.duration_predictor
    if kind.is_stochastic:
        affine, *couplings = predictor.flows
        for coupling in couplings:  # or else they do nothing
            coupling.proj.weight.normal_(0, 0.1)
        affine.log_scale.fill_(SHRINK)
        affine.translation.fill_(-log_frames * math.exp(SHRINK))
    else:
        predictor.proj.weight.mul_(0.1)
        predictor.proj.bias.fill_(log_frames)


def _set_loudness(model: Any, kind: Kind) -> None:
    import torch

    first = torch.zeros(1, dtype=torch.long)
    aux = {
        "x_lengths": None,
        "d_vectors": torch.ones(1, DIMENSIONS) if kind.has_vectors else None,
        "durations": None,
        "speaker_ids": first if kind.speakers and not kind.has_vectors else None,
        "language_ids": first if kind.languages else None,
    }
    audio = model.inference(torch.randint(4, 60, (1, 30)), aux_input=aux)["model_outputs"]
    model.waveform_decoder.conv_post.weight.mul_(LOUDEST / audio.abs().max())


def main() -> None:
    """Make the checkpoint that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="checkpoints", description="Make a VITS checkpoint with random weights."
    )
    parser.add_argument("folder", type=Path, help="where model.pth and config.json go")
    parser.add_argument("--tiny", action="store_true", help="1.5 million weights instead of 36 million")
    parser.add_argument("--speakers", type=int, default=0, help="how many (default: one without a number)")
    arguments = parser.parse_args()
    make_checkpoint(arguments.folder, Kind(is_tiny=arguments.tiny, speakers=arguments.speakers))


if __name__ == "__main__":
    main()
