"""Makes tiny models that only Coqui itself speaks, with random weights, as Coqui's own trainer saves them.

Owns: GlowTTS and Tacotron2 with a HiFiGAN vocoder, XTTS; what makes their random weights audible for a while.
Refuses to know: what becomes of a model; VITS (`checkpoints`).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from appliance.engines.coqui.library import import_coqui
from loadtests.checkpoints import SEED

FRAMES_PER_TOKEN = 4
"""Spectrum frames of GlowTTS for each token; 46 ms at a hop of 256."""
XTTS_TOKENS = 44
"""Audio tokens of every utterance of the tiny XTTS: two windows of 20 and a rest, 2 s in all."""
XTTS_LETTERS = "abcdefghijklmnopqrstuvwxyz.,!?'-äöüßąćęłńóśźż"
XTTS_LANGUAGES = ("en", "de", "pl", "ja")
"""Japanese needs a package that isn't there."""
XTTS_SPEAKERS = ("Ana Florence", "Łukasz")


def make_glow_tts(folder: Path, phoneme_language: str = "") -> Path:
    """Make a GlowTTS model with its vocoder in a folder, and return it. Blocks for some seconds.

    Args:
        folder: Made where there is none.
        phoneme_language: espeak's name of the language whose phonemes the model reads; letters where empty.
    """
    import torch

    import_coqui()
    from TTS.tts.models.glow_tts import GlowTTS

    config = _glow_tts_config(phoneme_language)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(SEED)
        model = GlowTTS(config)
        model.encoder.duration_predictor.proj.weight.zero_()
        model.encoder.duration_predictor.proj.bias.fill_(math.log(1 + FRAMES_PER_TOKEN))
        for parameter in model.decoder.parameters():  # or else its flow does nothing
            parameter.add_(torch.randn_like(parameter) * 0.01)
        _save(folder, model, config)
        _make_vocoder(folder)
    return folder


def _glow_tts_config(phoneme_language: str) -> Any:
    from TTS.tts.configs.glow_tts_config import GlowTTSConfig

    config = GlowTTSConfig(
        hidden_channels_enc=32,
        hidden_channels_dp=32,
        hidden_channels_dec=32,
        num_flow_blocks_dec=2,
        num_block_layers=2,
        encoder_params={
            "kernel_size": 3,
            "dropout_p": 0.1,
            "num_layers": 2,
            "num_heads": 2,
            "hidden_channels_ffn": 64,
        },
        text_cleaner="basic_cleaners",
    )
    if phoneme_language:
        config.use_phonemes, config.phonemizer = True, "espeak"
        config.phoneme_language = phoneme_language
    return config


def make_tacotron2(folder: Path, statistics: dict[str, Any] | None = None) -> Path:
    """Make a Tacotron2 model with its vocoder in a folder, and return it; it speaks for a moment only.

    Args:
        folder: Made where there is none.
        statistics: What the model's `scale_stats.npy` holds; None for a model without one.
    """
    import numpy as np
    import torch

    import_coqui()
    from TTS.tts.configs.tacotron2_config import Tacotron2Config
    from TTS.tts.models.tacotron2 import Tacotron2

    config = Tacotron2Config(text_cleaner="basic_cleaners", r=2)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(SEED)
        model = Tacotron2(config)
        if statistics is not None:
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "scale_stats.npy", np.array(statistics, dtype=object), allow_pickle=True)
            config.audio.stats_path = "/somebody/else/scale_stats.npy"
        _save(folder, model, config)
        _make_vocoder(folder)
    return folder


def make_xtts(folder: Path) -> Path:
    """Make an XTTS model with two speakers in a folder, 90 MB, and return it. Blocks for some seconds."""
    import torch

    import_coqui()
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    folder.mkdir(parents=True, exist_ok=True)
    _make_vocabulary(folder / "vocab.json")
    config = _xtts_config()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(SEED)
        model = Xtts(config)
        model.tokenizer = VoiceBpeTokenizer(folder / "vocab.json")
        model.init_models()
        model.gpt.mel_head.bias[config.model_args.gpt_stop_audio_token] = -1e4  # it never ends early
        _save(folder, model, config)
        speakers = {
            name: {"gpt_cond_latent": torch.randn(1, 32, 64), "speaker_embedding": torch.randn(1, 16, 1)}
            for name in XTTS_SPEAKERS
        }
        torch.save(speakers, folder / "speakers_xtts.pth")
    return folder


def _xtts_config() -> Any:
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig

    args = XttsArgs(
        gpt_layers=1,
        gpt_n_model_channels=64,
        gpt_n_heads=2,
        gpt_max_audio_tokens=XTTS_TOKENS,
        gpt_num_audio_tokens=66,
        gpt_start_audio_token=64,
        gpt_stop_audio_token=65,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=64,
        d_vector_dim=16,
    )
    return XttsConfig(model_args=args, languages=list(XTTS_LANGUAGES))


def _make_vocoder(folder: Path) -> None:
    import torch
    from TTS.vocoder.configs.hifigan_config import HifiganConfig
    from TTS.vocoder.models.gan import GAN

    config = HifiganConfig()
    config.generator_model_params |= {
        "upsample_initial_channel": 32,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
    }
    generator = GAN(config).model_g
    # `model_disc` says that `model` is the generator alone, as in Coqui's older vocoders.
    torch.save({"model": generator.state_dict(), "model_disc": {}}, folder / "vocoder.pth")
    config.save_json(folder / "vocoder_config.json")


def _make_vocabulary(path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", *(f"[{name}]" for name in XTTS_LANGUAGES)]
    vocabulary = {symbol: number for number, symbol in enumerate([*special, *XTTS_LETTERS])}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))  # noqa: S106 (no password)
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(path))


def _save(folder: Path, model: Any, config: Any) -> None:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
