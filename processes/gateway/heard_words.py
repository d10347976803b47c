"""When the words of a request sound in the audio that its client gets.

Owns: where each utterance begins behind those before it, and what stretching and encoding do to its times.
Refuses to know: which word a mark belongs to (`appliance.word_times`), and how audio is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from appliance.speech import SAMPLE_WIDTH_BYTES, PcmChunk, TimedWord, Utterance
from appliance.word_times import WordTimes


class HeardWords:
    """Follows a request's audio chunk by chunk; does nothing where nobody wants to know its words."""

    def __init__(
        self, utterances: Sequence[Utterance], sample_rate_hz: int, tempo: float, delay_s: float
    ) -> None:
        """Begin with the first utterance.

        Args:
            utterances: All that are known; may grow.
            sample_rate_hz: Hertz, of the PCM as it is joined.
            tempo: How much faster than that it is played.
            delay_s: Seconds that a player hears before the first PCM frame.
        """
        self._utterances = utterances
        self._rate_hz = sample_rate_hz
        self._tempo = tempo
        self._delay_s = delay_s
        self._next_index = 0
        """The utterance whose chunks come, or the next one's."""
        self._joined_bytes = 0
        """PCM so far, with pauses."""
        self._utterance_s = 0.0
        """Audio of the current utterance so far, in seconds."""
        self._times: WordTimes | None = None
        """Those of the current utterance; None between two."""
        self._words: list[TimedWord] = []

    def feed(self, chunk: PcmChunk) -> None:
        """Take in the word marks of a chunk that has yet to be joined."""
        self._pass_over(chunk.utterance_index)
        utterance = self._utterances[chunk.utterance_index]
        if chunk.is_last:
            self._next_index += 1
        if not utterance.words:
            return
        if self._times is None:
            self._times = WordTimes(utterance, self._joined_s())
            self._utterance_s = 0.0
        self._utterance_s += chunk.audio_s
        words = self._times.take(chunk.word_marks)
        if chunk.is_last:
            words += self._times.finish(self._utterance_s)
            self._times = None
        self._words += [self._heard(word) for word in words]

    def finish(self) -> None:
        """Note that no chunk comes any more."""
        self._pass_over(len(self._utterances))

    def join(self, pcm_bytes: int) -> None:
        """Note that so many bytes of PCM have been joined: at an utterance's end all of it, and its pause."""
        self._joined_bytes += pcm_bytes

    def take(self) -> list[TimedWord]:
        """Return the words whose times have become known since the last call."""
        words, self._words = self._words, []
        return words

    def _pass_over(self, index: int) -> None:
        """Give the words of utterances that had no sound, before one, the time at which they would have."""
        while self._next_index < index:
            silent = WordTimes(self._utterances[self._next_index], self._joined_s())
            self._words += [self._heard(word) for word in silent.finish(0.0)]
            self._next_index += 1

    def _joined_s(self) -> float:
        return self._joined_bytes / (SAMPLE_WIDTH_BYTES * self._rate_hz)

    def _heard(self, word: TimedWord) -> TimedWord:
        start_s = word.start_s / self._tempo + self._delay_s
        return replace(word, start_s=start_s, end_s=word.end_s / self._tempo + self._delay_s)
