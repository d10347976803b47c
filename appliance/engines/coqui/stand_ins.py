"""What stands for parts of torchaudio that models are built with and never speak with.

Owns: the shape of those parts, as a checkpoint's names and sizes have it.
Refuses to know: audio: nothing here computes.

XTTS holds a speaker encoder, which turns recordings into voices. Its spectrogram comes from torchaudio, and
the checkpoint has that part's window and filters among its weights. VITS holds a resampler for training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class _Silent(torch.nn.Module):
    """A part of a model that can't compute."""

    def forward(self, *_: Any) -> torch.Tensor:
        """Compute nothing.

        Raises:
            NotImplementedError: Always; this takes torchaudio itself.
        """
        raise NotImplementedError("There is no torchaudio on this machine")


class Resample(_Silent):
    """Stands for torchaudio's class of this name; Coqui drops it before it loads weights for speaking."""

    def __init__(self, **_: Any) -> None:
        """Take torchaudio's arguments and ignore them."""
        super().__init__()


class MelSpectrogram(_Silent):
    """Has the weights of torchaudio's class of this name, and refuses to compute.

    Source: torchaudio.transforms.MelSpectrogram: `spectrogram.window` (win_length) and
    `mel_scale.fb` (n_fft ÷ 2 + 1 × n_mels).
    """

    def __init__(
        self,
        *,
        n_fft: int,
        win_length: int,
        n_mels: int,
        window_fn: Callable[[int], torch.Tensor] = torch.hann_window,
        **_: Any,
    ) -> None:
        """Take torchaudio's arguments; those that change no shape are ignored."""
        super().__init__()
        self.spectrogram, self.mel_scale = torch.nn.Module(), torch.nn.Module()
        self.spectrogram.register_buffer("window", window_fn(win_length))
        self.mel_scale.register_buffer("fb", torch.zeros(n_fft // 2 + 1, n_mels))
