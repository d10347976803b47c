"""What speaking costs, learned from what was spoken.

Owns: seconds of work by length for each (engine, voice), the expected work of an utterance, and of a
whole request.
Refuses to know: queues and workers.

An utterance costs a fixed part and a part for each character. Both are drawn through what short, middling and
long utterances took lately: one average for each length, so that a probe every few seconds, which is always
short, says nothing about long ones however often it comes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from statistics import fmean

from appliance.speech import Utterance

INITIAL_S_PER_CHAR = 50e-6
"""Source: espeak-ng takes about 48 µs of CPU per character (measurements A 2)."""
NEURAL_S_PER_CHAR = {"vits": 0.011, "coqui": 0.05}
"""The same of neural engines, a first guess that the first utterances replace. Source: an early run of
`loadtests.bench neural`, 1.7 s of one core for 150 characters of a full-size voice, and 7.3 s with Coqui's
own server; docs/benchmarks.md has the latest run."""
WEIGHT = 0.2
"""Weight of the newest utterance in the moving average."""
LEAST_CHARS = 20
"""Shorter texts cost as much as this while nothing is known: there is a fixed part in every utterance."""
SHORT_CHARS, MIDDLING_CHARS = 40, 120
"""Bounds of the lengths: a greeting or a probe, a sentence (60 to 100), what nears the splitter's 300."""
USUAL_CHARS = 100
MAX_VOICES = 1024
"""Voices remembered; the one not used for longest is forgotten first."""

_Points = dict[int, tuple[float, float]]
"""For each length (0 short, 1 middling, 2 long) the average characters and the average seconds."""


@dataclass(frozen=True, slots=True)
class _Line:
    fixed_s: float
    per_char_s: float

    def at(self, chars: float) -> float:
        return self.fixed_s + self.per_char_s * chars


class CostModel:
    """Lines through moving averages per (engine, voice), with the engine's own where a voice has none."""

    def __init__(self) -> None:
        self._per_voice: OrderedDict[tuple[str, str], _Points] = OrderedDict()
        self._per_engine: dict[str, _Points] = {}
        self._per_request_s: dict[str, float] = {}

    def expected_s(self, utterance: Utterance) -> float:
        """Return the seconds of work that an utterance is likely to take."""
        return self._seconds(utterance.engine, utterance.engine_voice, _chars(utterance))

    def per_char_s(self, engine: str, engine_voice: str) -> float:
        """Return the seconds of work for a character of a usual sentence at normal speed."""
        return self._seconds(engine, engine_voice, USUAL_CHARS) / USUAL_CHARS

    def usual_s(self, engine: str) -> float:
        """Return the seconds of work for a usual sentence in any of an engine's voices."""
        return self._seconds(engine, "", USUAL_CHARS)

    def learn(self, utterance: Utterance, synthesis_s: float) -> None:
        """Take in how long an utterance really took, in seconds of work."""
        engine, voice = utterance.engine, utterance.engine_voice
        of_voice = self._per_voice.pop((engine, voice), {})
        self._per_voice[engine, voice] = of_voice
        if len(self._per_voice) > MAX_VOICES:
            self._per_voice.popitem(last=False)
        chars = _chars(utterance)
        length = bisect_left((SHORT_CHARS, MIDDLING_CHARS), chars)
        for points in (of_voice, self._per_engine.setdefault(engine, {})):
            old_chars, old_s = points.get(length, (chars, synthesis_s))
            points[length] = (
                old_chars + WEIGHT * (chars - old_chars),
                old_s + WEIGHT * (synthesis_s - old_s),
            )

    def request_s(self, first: Utterance) -> float:
        """Return the seconds of work that a request is likely to take, going by the latest ones."""
        return max(self.expected_s(first), self._per_request_s.get(first.engine, 0.0))

    def learn_request(self, engine: str, synthesis_s: float) -> None:
        """Take in how long all utterances of a request took together, in seconds of work."""
        old = self._per_request_s.get(engine, synthesis_s)
        self._per_request_s[engine] = old + WEIGHT * (synthesis_s - old)

    def _seconds(self, engine: str, engine_voice: str, chars: float) -> float:
        points = self._per_engine.get(engine, {}) | self._per_voice.get((engine, engine_voice), {})
        initial_s = NEURAL_S_PER_CHAR.get(engine, INITIAL_S_PER_CHAR)
        if not points:
            return initial_s * max(chars, LEAST_CHARS)
        return _line_through(list(points.values()), initial_s).at(chars)


def _chars(utterance: Utterance) -> float:
    """Return the characters that take as long at normal speed."""
    return max(1, len(utterance.spoken.text)) / utterance.speed


def _line_through(points: list[tuple[float, float]], initial_s: float) -> _Line:
    """Return the line of least squares, neither part of it below zero.

    One length alone doesn't tell the parts from each other: a short text's time counts as fixed, beyond what
    the engine is expected to need for its characters; a longer text's time as proportional.

    Args:
        points: Characters and seconds of each length that is known.
        initial_s: Seconds for a character that were expected before.
    """
    (chars, seconds) = points[0]
    if len(points) == 1:
        if chars > SHORT_CHARS:
            return _Line(0.0, seconds / chars)
        per_char_s = min(initial_s, seconds / chars)
        return _Line(seconds - per_char_s * chars, per_char_s)
    mean_chars, mean_s = (fmean(values) for values in zip(*points, strict=True))
    slope_s = sum((chars - mean_chars) * (seconds - mean_s) for chars, seconds in points)
    slope_s = max(0.0, slope_s / sum((chars - mean_chars) ** 2 for chars, _ in points))
    fixed_s = mean_s - slope_s * mean_chars
    if fixed_s >= 0:
        return _Line(fixed_s, slope_s)
    return _Line(0.0, sum(chars * s for chars, s in points) / sum(chars**2 for chars, _ in points))
