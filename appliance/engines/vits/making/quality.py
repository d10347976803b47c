"""Measures what a form of a decoder sounds like beside the model, and how fast it is here.

Owns: SNR, log-mel distance, windowed against whole, speed.
Refuses to know: how a form was made, and what is good enough (`verdict`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.engines.vits.making.examples import in_windows
from appliance.engines.vits.making.graphs import run
from appliance.engines.vits.making.verdict import Measured
from appliance.engines.vits.windows import WindowPlan

WINDOW_FRAMES = 96
"""The engine's largest window, but for a listener who is alone: there it grows to 1.6 times that, 153 frames.
Source: measurements C9, docs/decisions/0031-windows-on-a-busy-core.md."""
ROUNDS = 3
"""Each form is timed so often, in turn with the others; the median counts."""
FFT, HOP, BANDS = 1024, 256, 80
"""Of the log-mel spectrogram, as VITS was trained with."""
FLOOR_DB = 60.0
"""What is so far below the loudest band of all is inaudible beside it, and counts as silence."""


@dataclass(frozen=True, slots=True)
class Case:
    """A held-out sentence."""

    frames: Any
    """z [1, c, t] as the exported text and flow graphs make it."""
    speaker: int
    reference: Any
    """Audio [t · hop] that the model itself makes, with the same noise."""


@dataclass(frozen=True, slots=True)
class Bench:
    """On what the forms of a voice are measured."""

    cases: Sequence[Case]
    """At least one."""
    overlap: int
    """Frames of context on either side of a window."""
    rate_hz: int
    hop: int
    """PCM frames of a model frame."""

    def measure(self, forms: dict[str, Any], on_done: Callable[[float], None]) -> list[Measured]:
        """Measure every form on the same cases.

        Blocks for as long as it takes to speak each case `ROUNDS` + 2 times in each form.

        Args:
            forms: Name → the decoder's session.
            on_done: Takes how much of it is done, 0 to 1, after each round.
        """
        speeds = self._speeds(forms, on_done)
        return [self._measured(name, decoder, speeds[name]) for name, decoder in forms.items()]

    def _speeds(self, forms: dict[str, Any], on_done: Callable[[float], None]) -> dict[str, float]:
        """Time the forms in turn, so that what else the machine does hits all of them."""
        spent_s: dict[str, list[float]] = {name: [] for name in forms}
        for number in range(ROUNDS):
            for name, decoder in forms.items():
                begun_s = time.process_time()
                for case in self.cases:
                    self._in_windows(decoder, case)
                spent_s[name].append(time.process_time() - begun_s)
            on_done((number + 1) / (ROUNDS + 2))
        audio_s = sum(case.frames.shape[2] for case in self.cases) * self.hop / self.rate_hz
        return {name: audio_s / max(sorted(times)[ROUNDS // 2], 1e-6) for name, times in spent_s.items()}

    def _measured(self, name: str, decoder: Any, speed: float) -> Measured:
        whole = [self._decode(decoder, case, case.frames, (0, 0)).ravel() for case in self.cases]
        parts = [self._in_windows(decoder, case) for case in self.cases]
        references = [case.reference for case in self.cases]
        distances = [
            log_mel_distance_db(reference, audio, self.rate_hz)
            for reference, audio in zip(references, whole, strict=True)
        ]
        return Measured(
            name,
            snr_db(np.concatenate(references), np.concatenate(whole)),
            float(np.mean(distances)),
            float(np.abs(np.concatenate(whole) - np.concatenate(parts)).max()),
            speed,
        )

    def _in_windows(self, decoder: Any, case: Case) -> Any:
        plan = WindowPlan(WINDOW_FRAMES, WINDOW_FRAMES, 0, self.overlap)
        return in_windows(case.frames, plan, lambda z, trim: self._decode(decoder, case, z, trim))

    @staticmethod
    def _decode(decoder: Any, case: Case, z: Any, trim: tuple[int, int]) -> Any:
        return run(decoder, z=z, speaker=np.array([case.speaker]), trim=np.array(trim))[0]


def snr_db(reference: Any, audio: Any) -> float:
    """Return the reference's energy above that of the difference, in dB; NaN for a silent reference."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(reference - audio, dtype=np.float64).sum())
    if signal == 0 or not np.isfinite(signal):
        return math.nan
    return 10 * math.log10(signal / max(noise, signal * 1e-12))


def log_mel_distance_db(reference: Any, audio: Any, rate_hz: int) -> float:
    """Return how far two log-mel spectrograms lie apart, the mean of all bands and times, in dB.

    What lies more than `FLOOR_DB` below the reference's loudest band counts as equally silent.
    Source: the mel-cepstral distance of speech coding, without its cosine transform.
    """
    wanted, found = (mel_power(signal, rate_hz) for signal in (reference, audio))
    floor = max(float(wanted.max()), 1e-12) / 10 ** (FLOOR_DB / 10)
    return float(np.abs(10 * np.log10(np.maximum(wanted, floor) / np.maximum(found, floor))).mean())


def mel_power(audio: Any, rate_hz: int) -> Any:
    """Return the power in each mel band, [times, BANDS], of Hann windows of `FFT` PCM frames."""
    padded = np.pad(audio, (0, max(0, FFT - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(FFT), axis=1)))
    return power @ _mel_filters(rate_hz).T


def _mel_filters(rate_hz: int) -> Any:
    """Return triangles [BANDS, FFT / 2 + 1] on the mel scale. Source: HTK book 3.4, section 5.4."""
    top = 2595 * math.log10(1 + rate_hz / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins_hz = np.linspace(0, rate_hz / 2, FFT // 2 + 1)
    rising = (bins_hz - corners_hz[:-2, None]) / (corners_hz[1:-1] - corners_hz[:-2])[:, None]
    falling = (corners_hz[2:, None] - bins_hz) / (corners_hz[2:] - corners_hz[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)
