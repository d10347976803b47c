"""The quality gate: which of a decoder's forms is taken, and why.

Owns: the limits, the choice, the sentences that give its reasons.
Refuses to know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.errors import VoiceQualityError

EXPECTED_WINDOW_DIFFERENCE = {"fp32": 1e-6}
"""Largest difference between windowed and whole audio, of a full scale of 1; 0 for every other form. It
hangs on how this processor rounds, so that more is said and recorded, and no reason to refuse a voice."""
MAX_WINDOW_DIFFERENCE = 1e-3
"""More is no rounding: the windows lack what they should see."""
INEXACT = "windowed and whole audio differ by"
"""What a reason says of more than is expected."""
NOT_ITS_OWN = "was judged by what isn't known to be its own"
"""What a reason says of a language of which there are no sentences here, or none that the voice can read."""
LEAST_QUANTISED = ("fp32", "int8-conv", "int8")
"""Forms, the one nearest to the model first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a form must hold to be chosen."""

    forms: tuple[str, ...] = ("int8", "int8-conv", "fp32")
    """Those that are made at all."""
    min_snr_db: float = 25.0
    """Signal to noise against the model's own audio. Source: measurements C3; int8 has 34, int8-conv 39."""
    max_log_mel_db: float = 1.0
    """Mean distance of the log-mel spectrograms."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a form."""

    name: str
    snr_db: float
    log_mel_db: float
    window_difference: float
    speed: float
    """Seconds of audio for a second of CPU, in windows."""

    def failures(self, limits: Limits) -> list[str]:
        """Say what doesn't hold."""
        failed = []
        if not self.snr_db >= limits.min_snr_db:
            failed.append(f"SNR below {limits.min_snr_db:g} dB")
        if not self.log_mel_db <= limits.max_log_mel_db:
            failed.append(f"log-mel distance above {limits.max_log_mel_db:g} dB")
        if not self.window_difference <= MAX_WINDOW_DIFFERENCE:
            failed.append(f"{INEXACT} {self.window_difference:.1e}")
        return failed

    @property
    def is_exact(self) -> bool:
        """Whether windowed and whole audio differ no more than is expected."""
        return self.window_difference <= EXPECTED_WINDOW_DIFFERENCE.get(self.name, 0.0)

    def sentence(self, limits: Limits) -> str:
        """Say for a person what was measured, and what came of it."""
        failed = self.failures(limits)
        passed = "passes" if self.is_exact else f"passes, though {INEXACT} {self.window_difference:.1e}"
        return (
            f"{self.name}: SNR {self.snr_db:.1f} dB, log-mel distance {self.log_mel_db:.2f} dB, "
            f"{self.speed:.1f} times real time; {'fails: ' + ', '.join(failed) if failed else passed}."
        )

    def figures(self) -> dict[str, float]:
        """Return the same for a program."""
        return {
            f"{self.name}_snr_db": round(self.snr_db, 2),
            f"{self.name}_log_mel_db": round(self.log_mel_db, 3),
            f"{self.name}_times_real_time": round(self.speed, 2),
            f"{self.name}_window_difference": self.window_difference,
        }


def judged_by(language: str, origin: str) -> str:
    """Say that a language was judged by something else than sentences of it.

    Args:
        language: BCP 47 tag.
        origin: What was spoken instead.
    """
    return f"{language} {NOT_ITS_OWN}: {origin}."


def choose(
    measured: Sequence[Measured], limits: Limits, notes: Sequence[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """Return the form that is taken of those that hold the limits, and the reasons, a sentence each.

    That is the fastest one; where a language wasn't judged by sentences of its own, the one that is quantised
    least, since nothing shows what the others do to its sounds.

    Args:
        measured: The forms.
        limits: What they must hold.
        notes: A sentence of `judged_by` for each such language.

    Raises:
        VoiceQualityError: None holds them.
    """
    reasons = tuple(entry.sentence(limits) for entry in measured)
    good = [entry for entry in measured if not entry.failures(limits)]
    if not good:
        raise VoiceQualityError(f"No form of the voice sounds like the model. {' '.join(reasons)}")
    if not notes:
        fastest = max(good, key=lambda entry: entry.speed).name
        return fastest, (*reasons, f"{fastest} was chosen: of those that pass, it is the fastest here.")
    nearest = min((entry.name for entry in good), key=LEAST_QUANTISED.index)
    why = (
        f"{nearest} was chosen: of those that pass, it is quantised least (importer.forms bounds the choice)."
    )
    return nearest, (*reasons, *notes, why)
