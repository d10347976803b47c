"""Examples of a voice's speech: which tokens, whose voice, which noise.

Owns: the way of sentences to token ids, and the arithmetic between the text graph and the flow.
Refuses to know: graphs and models; the same example goes through both, with the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.engines.vits.noise import Noise
from appliance.engines.vits.voice import count_frames
from appliance.engines.vits.windows import WindowPlan
from appliance.errors import EngineFailedError, VoiceQualityError
from appliance.voice_store import FrontEnd, VitsModel

Encode = Callable[[str, str | None], Sequence[int]]
"""Takes a sentence and Coqui's name of its language; returns token ids, none where nothing is speakable."""
SEED = 20_261
FEWEST_TOKENS = 8
FEWEST_TOKENS_PER_CHAR = 0.5
"""A sentence that gives fewer isn't one of this voice's alphabet: of one in another script hardly more than
spaces and commas remain, a fifth of it. Blanks between tokens don't count."""
MADE_UP_CHARS = 50
MAX_TOKENS = 400
MAX_TOKEN_FRAMES = 200
"""Of one token, 2.3 s: a model that takes longer has been trained badly, and is judged all the same."""
MAX_FRAMES = 1200
"""Of one example, 14 s at 22,050 Hz."""


@dataclass(frozen=True, slots=True)
class Example:
    """One utterance with everything that decides how it sounds."""

    ids: Any
    """int64 [1, n]."""
    speaker: int
    language: int
    seed: int
    is_made_up: bool = False
    """Whether it is random symbols, since the voice's front end finds too little in the sentence."""

    def text_inputs(self, vits: VitsModel) -> dict[str, Any]:
        """Return what the text graph takes; a graph leaves out what it doesn't."""
        drawn = Noise(self.seed).durations(self.ids.shape[1])
        return {
            "ids": self.ids,
            "noise": drawn * np.float32(vits.duration_noise_scale),
            "speaker": np.array([self.speaker]),
            "language": np.array([self.language]),
        }

    def durations(self, logw: Any, vits: VitsModel) -> Any:
        """Return frames per token, int64 [n], for log durations [1, 1, n]; together at most `MAX_FRAMES`.

        Raises:
            VoiceQualityError: A duration isn't a number.
        """
        try:
            frames = count_frames(logw[0, 0], vits.length_scale)
        except EngineFailedError as error:
            raise VoiceQualityError(error.message) from None
        return np.diff(np.minimum(np.cumsum(np.minimum(frames, MAX_TOKEN_FRAMES)), MAX_FRAMES), prepend=0)

    def prior(self, m: Any, logs: Any, durations: Any, vits: VitsModel) -> Any:
        """Return z_p [1, c, t]: every token's mean for as long as it lasts, plus noise of its deviation.

        Source: VITS (arXiv 2106.06103), section 2.2.
        """
        places: Any = np.repeat(np.arange(len(durations)), durations)
        drawn = Noise(self.seed).frames(len(places), m.shape[1])
        return m[:, :, places] + drawn * np.exp(logs[:, :, places]) * np.float32(vits.noise_scale)


def examples_of(
    sentences: Sequence[tuple[str, str | None]],
    encode: Encode,
    reading: FrontEnd,
    speakers: int,
    languages: Any,
) -> list[Example]:
    """Make an example of every sentence, with the speakers taken in turn over the whole list.

    Args:
        sentences: Each with Coqui's name of its language, None where the model takes none.
        encode: Turns one into ids.
        reading: The voice's front end; a sentence that gives too few ids becomes made-up text of its symbols.
        speakers: How many the model has, 0 for one without a number.
        languages: Coqui's names in the model's order.
    """
    made = []
    for number, (text, language) in enumerate(sentences):
        ids = list(encode(text, language))[:MAX_TOKENS]
        tokens = len(ids) // 2 if reading.add_blank else len(ids)
        if is_made_up := len(ids) < FEWEST_TOKENS or tokens < FEWEST_TOKENS_PER_CHAR * len(text):
            ids = _made_up(reading, SEED + number)
        speaker = number * max(speakers, 1) // len(sentences)
        place = languages.index(language) if language in languages else 0
        made.append(Example(np.array([ids], np.int64), speaker, place, SEED + 10 * number, is_made_up))
    return made


def _made_up(reading: FrontEnd, seed: int) -> list[int]:
    """Return ids of random symbols of the vocabulary, with blanks between them where the voice has them."""
    special = {reading.pad, reading.blank, reading.bos, reading.eos}
    usable = [place for place, symbol in enumerate(reading.vocabulary) if symbol not in special]
    chosen: list[int] = np.random.default_rng(seed).choice(usable or [0], MADE_UP_CHARS).tolist()
    if not reading.add_blank:
        return chosen
    blank = reading.vocabulary.index(reading.blank) if reading.blank in reading.vocabulary else 0
    return [blank, *(entry for token in chosen for entry in (token, blank))]


def in_windows(frames: Any, plan: WindowPlan, decode: Callable[[Any, tuple[int, int]], Any]) -> Any:
    """Decode z [1, c, t] in windows, as the engine does, and return the audio [t · hop].

    Args:
        frames: z.
        plan: The windows.
        decode: Takes z [1, c, w] and how many frames of it come before and behind those whose audio it
            returns, in any shape; blocks.
    """
    parts = []
    for window in plan.windows(frames.shape[2]):
        seen = window.decoder_input
        made = decode(np.ascontiguousarray(frames[:, :, seen.start : seen.end]), window.trim)
        parts.append(made.reshape(-1))
    return np.concatenate(parts)
