"""A job's result: one audio file, made utterance by utterance, with captions and chapters beside it.

Owns: joining, stretching, encoding into a file, the times of words and chapters in it.
Refuses to know: jobs' rows and states, where utterances come from. Everything here blocks.

What is under way has another name: a kill leaves nothing under a final one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from appliance.audio.files import MAX_CHAPTERS, AudioFile, Chapter, Tags, begin_file, delay_frames
from appliance.audio.pcm import PcmJoiner
from appliance.audio.tempo import TempoStretcher
from appliance.captions import CaptionFormat, write_captions
from appliance.job_errors import AudioTooLargeError
from appliance.speech import SAMPLE_WIDTH_BYTES, JobFormat, PcmChunk, TimedWord
from appliance.voice_folders import sync
from appliance.word_times import WordTimes, pack_words, unpack_words
from processes.gateway.job_folder import (
    AUDIO_NAME,
    CHAPTERS_NAME,
    PARTIAL_SUFFIX,
    JobFolder,
    private,
)
from processes.gateway.job_pack import SpokenUtterance
from processes.gateway.job_text import JobUtterance

MAX_WAV_BYTES = 0xFFFFFFFF - 44
"""Source: the 32 bits of RIFF's sizes."""
SLICE_BYTES = 262_144
"""PCM encoded at a time; most utterances are shorter, and needn't be copied for it."""


class JobAudio:
    """The result while it is made; one thread at a time."""

    def __init__(self, folder: JobFolder, job_format: JobFormat, tempo: float, tags: Tags) -> None:
        """Begin anew, whatever is left of an earlier try.

        Args:
            folder: The job's.
            job_format: What it is to be.
            tempo: How much faster than it was spoken the audio is played.
            tags: What is said about it; chapters come with the utterances.

        Raises:
            OSError: Nothing can be written.
        """
        self._folder = folder
        self._format = job_format
        self._tempo = tempo
        self._tags = tags
        self._rate_hz = 0
        self._joined_bytes = 0
        self._pcm_bytes = 0
        self._chapters: list[Chapter] = []
        # Names of this try alone, whatever a kill has left of an earlier one.
        end = f"-{time.monotonic_ns()}{PARTIAL_SUFFIX}"
        self._partial, words, scratch = (
            folder.path / f"{name}{end}" for name in (AUDIO_NAME, "words", "scratch")
        )
        self._partials = (self._partial, words, scratch)
        self._audio, self._words, self._scratch = (private(path) for path in self._partials)

    def close(self) -> None:
        """Close the files, whatever state they are in, and give back the space of what isn't finished."""
        files = (self._audio, self._words, self._scratch)
        for file, path in zip(files, self._partials, strict=True):
            with suppress(OSError):  # on a full disk what is buffered fails once more
                file.close()
            path.unlink(missing_ok=True)

    def add(self, found: JobUtterance, spoken: SpokenUtterance) -> None:
        """Take the next utterance; whether there is room for it is the caller's business.

        Raises:
            EncoderFailedError: Its rate isn't the others', or the encoder failed.
            AudioTooLargeError: A wav file can't hold so much.
            OSError: It can't be written.
        """
        if not self._rate_hz:
            self._open(spoken.sample_rate_hz)
        begins_at_s = self._joined_bytes / (SAMPLE_WIDTH_BYTES * self._rate_hz)
        if found.chapter and len(self._chapters) < MAX_CHAPTERS:
            self._chapters.append(Chapter(found.chapter, begins_at_s / self._tempo + self._delay_s))
        if found.utterance.words:
            self._add_words(found, spoken, begins_at_s)
        pcm = self._joiner.feed(PcmChunk(spoken.pcm, spoken.sample_rate_hz, is_last=True))
        if spoken.pcm:
            pcm += self._joiner.pause(found.utterance.pause_after_s)
        self._joined_bytes += len(pcm)
        for start in range(0, len(pcm), SLICE_BYTES):
            part = pcm[start : start + SLICE_BYTES]
            self._encode(part if self._stretcher is None else self._stretcher.feed(part))

    def finish(self) -> tuple[float, int]:
        """End the audio; return its duration in seconds and its size in bytes.

        Raises:
            EncoderFailedError, AudioTooLargeError, OSError: As `add`, and chapters as captions.
        """
        if self._stretcher is not None:
            self._encode(self._stretcher.finish())
        self._file.finish(replace(self._tags, chapters=tuple(self._chapters)))
        self._audio.close()
        size_bytes = self._partial.stat().st_size
        sync(self._partial)
        self._partial.replace(self._folder.path / AUDIO_NAME)
        sync(self._folder.path)
        if self._chapters:
            self._write_chapters()
        return self._pcm_bytes / (SAMPLE_WIDTH_BYTES * self._rate_hz), size_bytes

    def _write_chapters(self) -> None:
        values = [{"title": each.title, "start": round(each.start_s, 3)} for each in self._chapters]
        self._folder.write(CHAPTERS_NAME, [json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")])

    def write_captions(self) -> None:
        """Write the captions of the finished audio, in every form.

        Raises:
            StoreFullError, OSError: They can't be written.
        """
        for caption_format in CaptionFormat:
            texts = write_captions(caption_format, self._read_words())
            parts = (text.encode("utf-8", "replace") for text in texts)
            self._folder.write(captions_name(caption_format), parts)

    def _open(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._joiner = PcmJoiner(rate_hz)
        self._stretcher = None if self._tempo == 1.0 else TempoStretcher(rate_hz, self._tempo)
        self._file: AudioFile = begin_file(self._format, self._audio, self._scratch, rate_hz)
        self._delay_s = delay_frames(self._format) / rate_hz

    def _encode(self, pcm: bytes) -> None:
        self._pcm_bytes += len(pcm)
        if self._format is JobFormat.WAV and self._pcm_bytes > MAX_WAV_BYTES:
            raise AudioTooLargeError
        self._file.write(pcm)

    def _add_words(self, found: JobUtterance, spoken: SpokenUtterance, begins_at_s: float) -> None:
        times = WordTimes(found.utterance, begins_at_s)
        words = [*times.take(spoken.marks), *times.finish(spoken.audio_s)]
        self._words.write(pack_words(self._heard(word) for word in words) + b"\n")

    def _heard(self, word: TimedWord) -> TimedWord:
        start_s = word.start_s / self._tempo + self._delay_s
        return replace(word, start_s=start_s, end_s=word.end_s / self._tempo + self._delay_s)

    def _read_words(self) -> Iterator[TimedWord]:
        self._words.seek(0)
        for line in self._words:
            yield from unpack_words(line)


def captions_name(caption_format: CaptionFormat) -> str:
    """Return the name of a job's captions."""
    return f"captions.{caption_format.value}"
