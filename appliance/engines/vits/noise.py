"""The randomness of an utterance: everything in it follows from one seed.

Owns: the order in which numbers are drawn.
Refuses to know: what the noise is used for, and windows: they may ask for frames in any portions.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]


class Noise:
    """Standard normal noise of one part of an utterance, with a stream of its own for each purpose.

    The numbers of a seed are the same for one version of numpy, not for all of them: numpy's generators may
    change. Source: NEP 19.
    """

    def __init__(self, seed: int, part: int = 0) -> None:
        """Take the seed.

        Args:
            seed: At least 0.
            part: Which of the utterance's parts is spoken, from 0: each has noise of its own.
        """
        durations, frames = np.random.SeedSequence(seed, spawn_key=(part,)).spawn(2)
        self._durations = np.random.Generator(np.random.PCG64(durations))
        self._frames = np.random.Generator(np.random.PCG64(frames))

    def durations(self, tokens: int) -> FloatArray:
        """Return the noise of the durations, shape (1, 2, tokens); to be asked for once."""
        return self._durations.standard_normal((1, 2, tokens), dtype=np.float32)

    def frames(self, frames: int, channels: int) -> FloatArray:
        """Return the noise of the next model frames, shape (channels, frames).

        It is drawn frame by frame, so that it doesn't depend on how many are asked for at a time.
        """
        return self._frames.standard_normal((frames, channels), dtype=np.float32).T
