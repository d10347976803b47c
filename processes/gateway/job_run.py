"""One job on its way: split, spoken, encoded; whatever was done before a kill isn't done again.

Owns: the order of the steps, how many utterances are under way, when rows are written, how far it is.
Refuses to know: which jobs run, what becomes of an error (`job_runner`), SQL.

    text ──split──▶ utterances.jsonl ──spoken──▶ spoken/… and a row each ──encoded──▶ audio ──▶ completed
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from appliance.audio.files import Tags
from appliance.errors import NothingToSpeakError
from appliance.job_errors import JobDamagedError, JobFilesGoneError
from appliance.speech import InputType, JobFormat, SpeechRequest, Utterance
from appliance.store.database import Database
from appliance.store.jobs import (
    DoneUtterance,
    JobResult,
    Row,
    complete_job,
    forget_utterances,
    list_utterances,
    note_utterance_count,
    record_utterances,
    sum_utterances,
)
from appliance.voices import Voice
from processes.gateway.encoding import EncoderThreads
from processes.gateway.job_audio import JobAudio
from processes.gateway.job_folder import UTTERANCES_NAME, JobFolder
from processes.gateway.job_speaker import JobSpeaker
from processes.gateway.job_text import JobUtterance, as_line, find_utterances, from_line
from processes.gateway.single_flight import SingleFlight

BATCH = 16
"""Utterances read, looked for and encoded at a time."""
ROWS = 32
ROWS_S = 1.0
"""Rows are written together: so many, or what has come in so many seconds."""
MENDS = 3
"""Times that damaged audio is spoken anew before the job fails."""


@dataclass(slots=True)
class Progress:
    """How far a job is; told to whoever asks."""

    step: str = "waiting"
    """`waiting`, `splitting`, `speaking` or `encoding`."""
    utterances: int = 0
    done: int = 0
    audio_s: float = 0.0
    began_at_s: float = field(default_factory=time.monotonic)
    began_done: int = 0
    """Utterances that had been done when this run began."""
    has_gone_on: bool = False
    """Whether this run has written any of its own into the database."""

    def left_s(self) -> float | None:
        """Return the seconds that speaking the rest is likely to take; None while nothing tells."""
        new = self.done - self.began_done
        if self.step != "speaking" or new <= 0:
            return None
        return (time.monotonic() - self.began_at_s) / new * (self.utterances - self.done)


class Stored(NamedTuple):
    """An utterance's audio on the disk; the rest of its row but for the number."""

    name: str
    sha256: str
    audio_s: float


def request_of(row: Row) -> SpeechRequest:
    """Return how a job is to be spoken, without its text."""
    return SpeechRequest(
        text="",
        voice_id=row["voice"],
        speed=row["speed"],
        pitch=row["pitch"],
        volume=row["volume"],
        input_type=InputType(row["input_type"]),
        make_speakable=bool(row["make_speakable"]),
        wants_word_times=bool(row["captions"]),
    )


class JobRun:
    """One try of a job. Where it is cancelled none of its threads is at the job's files any more."""

    def __init__(
        self,
        row: Row,
        database: Database,
        folder: JobFolder,
        speaker: JobSpeaker,
        threads: EncoderThreads,
        progress: Progress,
    ) -> None:
        """Take the job and what it is done with.

        Args:
            row: The job, running.
            database: Where its utterances are noted.
            folder: Its files.
            speaker: Speaks.
            threads: Where files are read and written, and audio is encoded.
            progress: Is kept up to date.
        """
        self._row = row
        self._database = database
        self._folder = folder
        self._speaker = speaker
        self._threads = threads
        self._progress = progress
        self._flights = SingleFlight[Stored]()
        self._known: dict[str, Stored] = {}
        self._put_lately: dict[str, Stored] = {}
        self._unwritten: list[DoneUtterance] = []
        self._written_at_s = time.monotonic()

    async def run(self, voice: Voice, pause_s: float) -> Row | None:
        """Do what is left of the job; return its row as completed, or None if somebody ended it meanwhile.

        Args:
            voice: Who speaks.
            pause_s: Seconds of silence between two sentences.

        Raises:
            ApplianceError, OSError: It can't be done, or not now.
        """
        await self._split(voice, pause_s)
        for mend in range(MENDS):
            await self._speak_all(voice)
            try:
                result = await self._encode()
            except JobDamagedError:
                if mend + 1 == MENDS:
                    raise
            else:
                return await complete_job(self._database, self._row, result)
        return None

    async def _split(self, voice: Voice, pause_s: float) -> None:
        """Split the text once and for all."""
        progress, row = self._progress, self._row
        if not await self._threads.run_out(self._folder.has_utterances):
            if not await self._threads.run_out(self._folder.has_text):
                raise JobFilesGoneError
            progress.step = "splitting"
            await self._threads.run_out(lambda: self._write_utterances(voice, pause_s))
        if row["utterances"] is None:
            progress.utterances = await self._threads.run_out(self._count_utterances)
            if not progress.utterances:
                raise NothingToSpeakError(param="input")
            await note_utterance_count(self._database, row["job"], progress.utterances)
        else:
            progress.utterances = row["utterances"]

    def _write_utterances(self, voice: Voice, pause_s: float) -> None:
        found = find_utterances(
            request_of(self._row),
            voice,
            self._folder.read_text(),
            pause_s=pause_s,
            has_chapters=bool(self._row["chapters"]),
        )
        self._folder.write(UTTERANCES_NAME, map(as_line, found))

    def _count_utterances(self) -> int:
        count = at_byte = 0
        while True:
            lines, at_byte = self._folder.read_lines(at_byte, 1_000)
            count += len(lines)
            if not lines:
                return count

    async def _speak_all(self, voice: Voice) -> None:
        """Speak what isn't on the disk, some utterances side by side, noted in order."""
        progress = self._progress
        done, audio_s = await sum_utterances(self._database, self._row["job"])
        progress.step, progress.done, progress.audio_s = "speaking", done, audio_s
        progress.began_done, progress.began_at_s = done, time.monotonic()
        under_way: deque[asyncio.Task[DoneUtterance]] = deque()
        self._known, self._put_lately = {}, {}
        try:
            async with aclosing(self._batches(done)) as batches:
                async for batch in batches:
                    for name, found in await self._look_up(batch):
                        under_way.append(asyncio.create_task(self._speak(name, found, voice.sample_rate_hz)))
                        if len(under_way) > self._speaker.cores:
                            await self._note(await under_way.popleft())
            while under_way:
                await self._note(await under_way.popleft())
            await self._write_rows()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _batches(self, first: int) -> AsyncGenerator[list[JobUtterance], None]:
        at_byte = await self._threads.run_out(lambda: self._folder.place_of(first))
        while True:
            lines, at_byte = await self._threads.run_out(
                lambda at_byte=at_byte: self._folder.read_lines(at_byte, BATCH)  # type: ignore[misc]  # bound now
            )
            if not lines:
                if first != self._progress.utterances:
                    raise JobDamagedError("Utterances are missing")
                return
            yield [from_line(line, first + place) for place, line in enumerate(lines)]
            first += len(lines)

    async def _look_up(self, batch: list[JobUtterance]) -> list[tuple[str, JobUtterance]]:
        """Return utterances with the names of their sounds; see which are on the disk already.

        What has been put there since the batch before is remembered: it may have come behind this look.
        """
        sounds = self._speaker.sounds
        named = [(sounds.utterance_name(found.utterance) or uuid.uuid4().hex, found) for found in batch]
        stored = await self._threads.run_out(lambda: self._find_spoken({name for name, _ in named}))
        self._known, self._put_lately = self._put_lately | stored, {}
        return named

    def _find_spoken(self, names: set[str]) -> dict[str, Stored]:
        stored: dict[str, Stored] = {}
        for name in names:
            found = self._folder.find_spoken(name)
            if found is not None:
                stored[name] = Stored(name, found[1], found[0].audio_s)
        return stored

    async def _speak(self, name: str, found: JobUtterance, rate_hz: int) -> DoneUtterance:
        """Return an utterance that has its file: from an earlier run or an equal one, or spoken now."""
        utterance = found.utterance
        stored = await self._flights.do(name, lambda: self._put(name, utterance, rate_hz))
        return DoneUtterance(utterance.index, *stored)

    async def _put(self, name: str, utterance: Utterance, rate_hz: int) -> Stored:
        """See that an utterance's audio has its file, which is forced to the disk before its row.

        What was spoken while its voice was made anew gets a name of its own, under which only its row finds
        it: nobody knows which of the two voices that is.
        """
        stored = self._known.get(name)
        if stored is None:
            spoken = await self._speaker.speak(name, utterance, self._row["id"], rate_hz)
            if self._speaker.sounds.utterance_name(utterance) != name:
                name = uuid.uuid4().hex
            sha256 = await self._threads.run_out(lambda: self._folder.put_spoken(name, spoken))
            stored = Stored(name, sha256, spoken.audio_s)
            self._known[name] = self._put_lately[name] = stored
        return stored

    async def _note(self, done: DoneUtterance) -> None:
        self._unwritten.append(done)
        self._progress.done += 1
        self._progress.audio_s += done.audio_s
        if len(self._unwritten) >= ROWS or time.monotonic() - self._written_at_s >= ROWS_S:
            await self._write_rows()

    async def _write_rows(self) -> None:
        if self._unwritten:
            names = {done.name for done in self._unwritten}
            await self._threads.run_out(lambda: self._folder.sync_spoken(names))
            progress = self._progress
            await record_utterances(
                self._database, self._row["job"], self._unwritten, progress.done, progress.audio_s
            )
            progress.has_gone_on = True
        self._unwritten = []
        self._written_at_s = time.monotonic()

    async def _encode(self) -> JobResult:
        """Make the result and note what it is, beside it."""
        self._progress.step = "encoding"
        await self._threads.run_out(lambda: self._folder.check_room(self._row["result_bytes"]))
        request = request_of(self._row)
        # As it was spoken: the voice may have other bounds by now.
        lines, _ = await self._threads.run_out(lambda: self._folder.read_lines(0, 1))
        tempo = request.speed / from_line(b"".join(lines), 0).utterance.speed
        job_format, tags = JobFormat(self._row["format"]), Tags(self._row["title"], self._row["voice"])
        audio = await self._threads.run_out(lambda: JobAudio(self._folder, job_format, tempo, tags))
        try:
            async with aclosing(self._batches(0)) as batches:
                async for batch in batches:
                    await self._add(audio, batch)
            audio_s, size_bytes = await self._threads.run_out(audio.finish)
            if request.wants_word_times:
                await self._threads.run_out(audio.write_captions)
            result = JobResult(audio_s, size_bytes, self._progress.utterances)
            await self._threads.run_out(lambda: self._folder.put_result(result))
            return result
        finally:
            await self._threads.run_out(audio.close)

    async def _add(self, audio: JobAudio, batch: list[JobUtterance]) -> None:
        job, first = self._row["job"], batch[0].utterance.index
        rows = await list_utterances(self._database, job, first, len(batch))
        names = [row.number for row in rows]
        if names != [found.utterance.index for found in batch]:
            await forget_utterances(self._database, job, first)
            raise JobDamagedError("An utterance's row is missing")
        damaged = await self._threads.run_out(lambda: self._add_all(audio, batch, rows))
        if damaged is not None:
            await forget_utterances(self._database, job, damaged)
            raise JobDamagedError("An utterance's audio is damaged")

    def _add_all(self, audio: JobAudio, batch: list[JobUtterance], rows: list[DoneUtterance]) -> int | None:
        """Take the next utterances; return the number of the first whose audio is damaged, and stop there."""
        for found, row in zip(batch, rows, strict=True):
            spoken = self._folder.read_spoken(row.name, row.sha256)
            if spoken is None:
                return row.number
            audio.add(found, spoken)
        return None


def described(row: Row, progress: Progress | None, held_by: str) -> dict[str, Any]:
    """Return what a job looks like to who may see it: never its text.

    Args:
        row: The job.
        progress: How far it is, if it runs.
        held_by: Code of the error that it waits out; empty for none.
    """
    state, reason = row["state"], row["reason"]
    done, audio_s, utterances = row["done"], row["audio_s"], row["utterances"]
    left_s, step = None, None
    if progress is not None and state in ("queued", "running"):
        state, step, left_s = "running", progress.step, progress.left_s()
        utterances = progress.utterances or utterances
        if progress.step != "waiting":
            done, audio_s = max(done, progress.done), max(audio_s, progress.audio_s)
    if held_by and state in ("queued", "running"):
        state, reason = "paused", held_by
    return {
        "id": row["id"],
        "object": "job",
        "state": state,
        "reason": reason,
        "step": step,
        "title": row["title"],
        "voice": row["voice"],
        "format": row["format"],
        "speed": row["speed"],
        "captions": bool(row["captions"]),
        "chars": row["chars"],
        "utterances": utterances,
        "utterances_done": done,
        "progress": 1.0 if state == "completed" else round(done / utterances, 4) if utterances else 0.0,
        "audio_s": round(audio_s, 3),
        "left_s": None if left_s is None else round(left_s, 1),
        "bytes": row["bytes"],
    }
