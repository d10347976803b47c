"""What speaking costs, learned from what was spoken.

Owns: seconds of work per character for each (engine, voice), the expected work of an utterance, and of a
whole request.
Refuses to know: queues and workers.
"""

from __future__ import annotations

from collections import OrderedDict

from appliance.speech import Utterance

INITIAL_S_PER_CHAR = 50e-6
"""Source: espeak-ng takes about 48 µs of CPU per character (measurements A 2)."""
WEIGHT = 0.2
"""Weight of the newest utterance in the moving average."""
LEAST_CHARS = 20
"""Shorter texts cost as much as this: there is a fixed part in every utterance."""
MAX_VOICES = 1024
"""Voices remembered; the one not used for longest is forgotten first."""


class CostModel:
    """Moving averages per (engine, voice), falling back to the engine's own."""

    def __init__(self) -> None:
        self._per_voice: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._per_engine: dict[str, float] = {}
        self._per_request_s: dict[str, float] = {}

    def expected_s(self, utterance: Utterance) -> float:
        """Return the seconds of work that an utterance is likely to take."""
        per_char_s = self.per_char_s(utterance.engine, utterance.engine_voice)
        return per_char_s * _chars(utterance) / utterance.speed

    def per_char_s(self, engine: str, engine_voice: str) -> float:
        """Return the seconds of work that a character of a voice is likely to take at normal speed."""
        default = self._per_engine.get(engine, INITIAL_S_PER_CHAR)
        return self._per_voice.get((engine, engine_voice), default)

    def learn(self, utterance: Utterance, synthesis_s: float) -> None:
        """Take in how long an utterance really took, in seconds of work."""
        per_char = synthesis_s * utterance.speed / _chars(utterance)
        engine, voice = utterance.engine, utterance.engine_voice
        old = self._per_engine.get(engine, per_char)
        self._per_engine[engine] = old + WEIGHT * (per_char - old)
        old = self._per_voice.pop((engine, voice), per_char)
        self._per_voice[engine, voice] = old + WEIGHT * (per_char - old)
        if len(self._per_voice) > MAX_VOICES:
            self._per_voice.popitem(last=False)

    def request_s(self, first: Utterance) -> float:
        """Return the seconds of work that a request is likely to take, going by the latest ones."""
        return max(self.expected_s(first), self._per_request_s.get(first.engine, 0.0))

    def learn_request(self, engine: str, synthesis_s: float) -> None:
        """Take in how long all utterances of a request took together, in seconds of work."""
        old = self._per_request_s.get(engine, synthesis_s)
        self._per_request_s[engine] = old + WEIGHT * (synthesis_s - old)


def _chars(utterance: Utterance) -> int:
    return max(len(utterance.spoken.text), LEAST_CHARS)
