"""One loaded voice that Coqui's own code speaks.

Owns: loading a folder with Coqui's `Synthesizer`, what the model can do, its audio as numbers, streamed where
the model streams (XTTS).
Refuses to know: requests, chunks, which voices are loaded.

A text reaches Coqui as a text only: sentences aren't split again, no speaker's recording and no option is
ever passed, and speaker and language are names out of the voice's own lists.
"""

from __future__ import annotations

import json
import tempfile
import textwrap
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from appliance.engines.coqui.config_paths import settle_paths
from appliance.engines.coqui.left_folders import own_prefix
from appliance.engines.coqui.library import import_coqui
from appliance.errors import EngineFailedError, UnspeakableTextError
from appliance.speech import MAX_UTTERANCE_PCM_BYTES, SAMPLE_WIDTH_BYTES

CONFIG_FILE, CHECKPOINT_FILE = "config.json", "model.pth"
VOCODER_CONFIG_FILE, VOCODER_FILE = "vocoder_config.json", "vocoder.pth"
"""What the files of a voice are called; a vocoder comes with models that make spectra."""
STAGE = "tts-voice-"
"""Where a voice's files lie while Coqui loads them, among temporary folders."""
STREAM_TOKENS = 20
"""Tokens of XTTS between two pieces of audio: 0.9 s of it. Source: the default of Xtts.inference_stream."""
SAMPLING = ("temperature", "length_penalty", "repetition_penalty", "top_k", "top_p")
"""Fields of XTTS's config that say how tokens are drawn. Source: Xtts.synthesize."""
NOISE_SCALES = ("inference_noise_scale", "inference_noise_scale_dp")
"""What a model calls its factors of the noise that colours the sound, and of that which durations vary by:
VITS has both, GlowTTS the first. Source: Vits.inference, GlowTTS.inference."""
JUDGES = ("disc", "model_d")
"""Source: Vits.init_discriminator, GAN.load_checkpoint."""
PAUSES = " . . . . . . . ."
"""Put behind a text that is too short for a model's filters, or of which it knows no character."""

Samples: TypeAlias = NDArray[np.float32]
"""Mono, −1 to 1, at the voice's sample rate."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a text is to be spoken."""

    speaker: str | None = None
    """Coqui's name; None for a voice with one speaker."""
    language: str | None = None
    """Coqui's name; None for a voice with one language."""
    speed: float = 1.0
    """Factor of the normal speed; without effect where the voice hasn't got one (`has_speed`)."""
    seed: int = 0
    """The same seed gives the same audio, on the same machine."""
    noise_scale: float | None = None
    """Factor of the noise that colours the sound; None for the model's own. See `NOISE_SCALES`."""
    noise_scale_w: float | None = None
    """Likewise of the noise that durations vary by."""


class CoquiVoice:
    """A voice in memory, driven by one thread."""

    def __init__(self, folder: Path, *, is_on_gpu: bool = False) -> None:
        """Load a voice; blocks for seconds.

        Args:
            folder: Holds `config.json`, `model.pth` and what they need, with a vocoder where there is one.
            is_on_gpu: Whether the model computes with CUDA.

        Raises:
            EngineFailedError: Coqui isn't there, or can't load it; the message says what Coqui said.
        """
        import_coqui()
        folders = tempfile.TemporaryDirectory(prefix=own_prefix(STAGE))
        with _coqui_at_work("can't be loaded"), folders as stage:
            self._synthesizer = _load(folder, Path(stage), is_on_gpu=is_on_gpu)
        self._model = self._synthesizer.tts_model
        self.is_streaming = hasattr(self._model, "inference_stream")
        """Whether audio comes in several pieces."""
        self._length_scale: float = getattr(self._model, "length_scale", 1.0)
        self._noise_scales = {
            name: getattr(self._model, name) for name in NOISE_SCALES if hasattr(self._model, name)
        }
        _bound(self._model, self._synthesizer.tts_config.audio)
        _drop_judges(self._model, self._synthesizer.vocoder_model)

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the audio."""
        return int(self._synthesizer.output_sample_rate)

    @property
    def architecture(self) -> str:
        """Coqui's name of the kind of model, as `glow_tts`."""
        return str(self._synthesizer.tts_config.model)

    @property
    def has_speed(self) -> bool:
        """Whether `Manner.speed` has an effect."""
        return self.is_streaming or hasattr(self._model, "length_scale")

    @property
    def speakers(self) -> tuple[str, ...]:
        """Coqui's names of the speakers, in the model's order; none for a voice with one."""
        manager = getattr(self._model, "speaker_manager", None)
        if manager is None:
            return ()
        numbers = manager.name_to_id
        if all(isinstance(number, int) for number in numbers.values()):
            return tuple(sorted(numbers, key=lambda name: numbers[name]))
        return tuple(numbers)

    @property
    def languages(self) -> tuple[str, ...]:
        """Coqui's names of the languages, in its order; at least one, `en` where the config names none."""
        return tuple(self._model.language_manager.language_names)

    @property
    def takes_language(self) -> bool:
        """Whether `Manner.language` has to be given."""
        return self.is_streaming or len(self.languages) > 1

    def speaks_language(self, language: str) -> bool:
        """Return whether text of a language can be prepared: some need packages that aren't there."""
        if not self.is_streaming:
            return True
        try:
            self._model.tokenizer.encode("a", lang=language)
        except (ImportError, NotImplementedError, LookupError):
            return False
        return True

    def speak(self, text: str, manner: Manner) -> Generator[Samples, None, None]:
        """Speak a text, yielding pieces of audio as the model makes them.

        Blocks while the model computes. May be closed between two pieces, which stops the model; most models
        have one piece. The silence that Coqui puts behind every sentence is left away.

        Raises:
            EngineFailedError: The model failed; its own message is left out, as it can hold the text.
            UnspeakableTextError: It knows nothing of the text.
        """
        torch.manual_seed(manner.seed)
        if self.is_streaming:
            yield from self._stream(text, manner)
        else:
            yield self._whole(text, manner)

    def _whole(self, text: str, manner: Manner) -> Samples:
        if hasattr(self._model, "length_scale"):
            self._model.length_scale = self._length_scale / manner.speed
        for name, wanted in zip(NOISE_SCALES, (manner.noise_scale, manner.noise_scale_w), strict=True):
            if name in self._noise_scales:
                setattr(self._model, name, self._noise_scales[name] if wanted is None else wanted)
        try:
            return self._synthesize(text, manner)
        except EngineFailedError:
            # "Kernel size can't be greater than actual input size", and its likes.
            return self._with_pauses(text, manner)

    def _with_pauses(self, text: str, manner: Manner) -> Samples:
        try:
            return self._synthesize(text + PAUSES, manner)
        except EngineFailedError:
            if self._has_tokens(text, manner):
                raise
        raise UnspeakableTextError

    def _has_tokens(self, text: str, manner: Manner) -> bool:
        """Return whether the model knows anything of a text, but what it puts around every one."""
        with _coqui_at_work("failed on the text"):
            found, nothing = (
                self._model.tokenizer.text_to_ids(each, language=manner.language) for each in (text, "")
            )
        return len(found) > len(nothing)

    def _synthesize(self, text: str, manner: Manner) -> Samples:
        from TTS.utils.synthesizer import PAD_SILENCE_SAMPLES

        with _coqui_at_work("failed on the text"):
            samples = self._synthesizer.tts(text, manner.speaker, manner.language, split_sentences=False)
        return _checked(np.asarray(samples[:-PAD_SILENCE_SAMPLES], dtype=np.float32))

    def _stream(self, text: str, manner: Manner) -> Iterator[Samples]:
        """Speak with XTTS, in parts no longer than it takes."""
        language = str(manner.language)
        limits = self._model.tokenizer.char_limits
        limit = limits.get(language.split("-", maxsplit=1)[0], min(limits.values()))
        for part in textwrap.wrap(text, limit) or [PAUSES]:
            for fitting in self._fitting(part, language):
                yield from self._stream_part(fitting, manner)

    def _fitting(self, part: str, language: str) -> Iterator[str]:
        """Yield a part, or pieces of it where what its numbers are read as is too much for XTTS."""
        if len(part) == 1 or self._takes(part, language):
            yield part
            return
        for piece in textwrap.wrap(part, -(-len(part) // 2)):
            yield from self._fitting(piece, language)

    def _takes(self, part: str, language: str) -> bool:
        """Return whether a part can be read out and gives no more tokens than XTTS takes at once.

        Source: Xtts.inference_stream.
        """
        try:
            with _coqui_at_work("failed on the text"):
                tokens = self._model.tokenizer.encode(part.lower(), lang=language)
        except EngineFailedError:  # a number beyond those that there are words for
            return False
        return len(tokens) < int(self._model.args.gpt_max_text_tokens)

    def _stream_part(self, part: str, manner: Manner) -> Iterator[Samples]:
        is_heard = False
        try:
            with closing(self._pieces(part, manner)) as pieces:
                for piece in pieces:
                    is_heard = True
                    yield piece
        except EngineFailedError:
            if is_heard:
                raise
            yield from self._pieces(part + PAUSES, manner)  # it came to its end before any sound

    def _pieces(self, part: str, manner: Manner) -> Generator[Samples, None, None]:
        with _coqui_at_work("has no such speaker"):
            latent, embedding = self._model.speaker_manager.speakers[manner.speaker].values()
        config = self._synthesizer.tts_config
        made = self._model.inference_stream(
            part,
            str(manner.language),
            latent,
            embedding,
            stream_chunk_size=STREAM_TOKENS,
            speed=manner.speed,
            **{name: config[name] for name in SAMPLING},
        )
        with closing(made):
            while (piece := _next_piece(made)) is not None:
                yield piece


def _load(folder: Path, stage: Path, *, is_on_gpu: bool) -> Any:
    """Load a voice with Coqui from a stage of links, so that the folder's own path means nothing to it.

    Coqui takes a path with `fairseq` in it for another format, and opens the paths that a config holds.
    """
    from TTS.utils.synthesizer import Synthesizer

    for path in folder.iterdir():
        if path.suffix == ".json" and path.name in {CONFIG_FILE, VOCODER_CONFIG_FILE}:
            config = settle_paths(json.loads(path.read_bytes()), folder, absolute=True)
            (stage / path.name).write_text(json.dumps(config), "utf-8")
        else:
            (stage / path.name).symlink_to(path.resolve())
    vocoder: dict[str, Path] = {}
    if (folder / VOCODER_FILE).exists():
        vocoder["vocoder_checkpoint"] = stage / VOCODER_FILE
        vocoder["vocoder_config"] = stage / VOCODER_CONFIG_FILE
    return Synthesizer(
        tts_checkpoint=stage / CHECKPOINT_FILE,
        tts_config_path=stage / CONFIG_FILE,
        use_cuda=is_on_gpu,
        **vocoder,
    )


def _bound(model: Any, audio: Any) -> None:
    """Have a model stop at the most audio that an utterance may hold; Tacotron2 sometimes finds no end.

    Its steps give `r` spectrum frames each. A stream is bounded by `gpt_max_audio_tokens` of XTTS.
    Source: Decoder.inference in TTS/tts/layers/tacotron/tacotron2.py, Vits.inference.
    """
    frames = MAX_UTTERANCE_PCM_BYTES // SAMPLE_WIDTH_BYTES // int(audio.get("hop_length") or 256) + 1
    decoder: Any = getattr(model, "decoder", None)
    if hasattr(decoder, "max_decoder_steps"):
        decoder.max_decoder_steps = min(decoder.max_decoder_steps, frames // getattr(decoder, "r", 1))
    if hasattr(model, "max_inference_len"):
        model.max_inference_len = min(model.max_inference_len or frames, frames)


def _drop_judges(*models: Any) -> None:
    """Free what only training uses: the discriminators of VITS and HiFiGAN."""
    for model in models:
        for name in JUDGES:
            if getattr(model, name, None) is not None:
                setattr(model, name, None)


def _next_piece(pieces: Iterator[Any]) -> Samples | None:
    """Return the next piece of a stream; None at its end."""
    with _coqui_at_work("failed on the text"):
        piece = next(pieces, None)
        return None if piece is None else _checked(piece.cpu().numpy().astype(np.float32).reshape(-1))


def _checked(samples: Samples) -> Samples:
    if not np.isfinite(samples).all():
        raise EngineFailedError("The voice gave numbers that are no audio")
    return samples


@contextmanager
def _coqui_at_work(trouble: str) -> Iterator[None]:
    """Run Coqui without gradients and without its warnings; whatever it throws is an `EngineFailedError`."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of deprecations in other people's packages; some quote the text
        try:
            yield
        except EngineFailedError:
            raise
        except Exception as error:  # noqa: BLE001 (models of many authors fail in every way there is)
            said = (
                f": {str(error).strip().splitlines()[0][:200]}"
                if trouble == "can't be loaded" and str(error)
                else ""
            )
            raise EngineFailedError(f"The voice {trouble}: {type(error).__name__}{said}") from None
