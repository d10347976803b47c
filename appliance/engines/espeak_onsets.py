"""From espeak-ng's word events to the moments at which the words are heard.

Owns: how far behind its event a word's sound may begin, and waiting for the PCM that shows it.
Refuses to know: the library, which word an event belongs to (`espeak_words`), threads.

An event comes where the word's first phoneme begins. A stop, as `p` or `k`, begins with the closed mouth: up
to 50 ms of silence at normal speed, 85 ms at half of that, before anything is heard. espeak-ng makes such a
silence of zeros, while the last sound before it may still fade.

Source: espeak-ng 1.52, PCM of six languages at 0.5 to 2 times the normal speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from appliance.engines.espeak_library import WordEvent
from appliance.speech import SAMPLE_WIDTH_BYTES

MAX_SILENCE_S = 0.15
"""A longer silence isn't the word's own."""
FADE_S = 0.01
"""How long the sound before the word may still be heard behind its event."""
LEAST_SILENCE_S = 0.005
"""Less is within a sound."""


class WordOnsets:
    """Takes in the PCM and the events of one utterance and gives out each event at its sound."""

    def __init__(self, rate_hz: int) -> None:
        """Begin an utterance.

        Args:
            rate_hz: Sample rate of the PCM.
        """
        self._rate_hz = rate_hz
        self._silence = bytes(SAMPLE_WIDTH_BYTES * round(LEAST_SILENCE_S * rate_hz))
        self._pcm = bytearray()
        """What is needed from the first waiting event on."""
        self._begin_frame = 0
        """Where in the utterance that begins."""
        self._waiting: list[WordEvent] = []

    def take(self, pcm: bytes, events: Sequence[WordEvent]) -> list[WordEvent]:
        """Take in a run of PCM and the events in it; return those whose sound has been found, or isn't there.

        Args:
            pcm: int16 little-endian mono.
            events: In their order.
        """
        self._pcm += pcm
        self._waiting += events
        settled = list(self._settled())
        del self._waiting[: len(settled)]
        done = len(self._pcm) // SAMPLE_WIDTH_BYTES
        if self._waiting:
            done = min(done, self._place(self._waiting[0].time_s) // SAMPLE_WIDTH_BYTES)
        del self._pcm[: SAMPLE_WIDTH_BYTES * done]
        self._begin_frame += done
        return settled

    def finish(self) -> list[WordEvent]:
        """Return the events that are left, behind which there was no sound."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _settled(self) -> Iterator[WordEvent]:
        for index, event in enumerate(self._waiting):
            end_s = event.time_s + MAX_SILENCE_S
            if index + 1 < len(self._waiting):
                end_s = min(end_s, self._waiting[index + 1].time_s)
            silence_s = self._silence_s(self._place(event.time_s), self._place(end_s))
            if silence_s is None:
                return
            yield replace(event, time_s=event.time_s + silence_s)

    def _place(self, time_s: float) -> int:
        """Return where a moment is in what is kept; one that rounding has put before is at its beginning."""
        return max(0, SAMPLE_WIDTH_BYTES * (self._frame(time_s) - self._begin_frame))

    def _silence_s(self, begin: int, end: int) -> float | None:
        """Return how many seconds behind `begin` a word's sound begins, if it does before `end`, else 0.

        None while that can't be told.
        """
        part = bytes(self._pcm[begin:end])
        latest = SAMPLE_WIDTH_BYTES * self._frame(FADE_S) + len(self._silence)
        is_all = len(part) == end - begin
        if not is_all and len(part) < latest:
            return None
        at = part.find(self._silence, 0, latest)
        if at < 0:
            return 0.0
        silent_bytes = len(part) - len(part[at:].lstrip(b"\0"))
        if silent_bytes == len(part):
            return 0.0 if is_all else None
        return silent_bytes // SAMPLE_WIDTH_BYTES / self._rate_hz

    def _frame(self, time_s: float) -> int:
        return round(time_s * self._rate_hz)
