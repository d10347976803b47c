"""The utterances of a job on their way into its audio, in order: spoken or found, kept, encoded, noted.

Owns: how many are under way, when files and rows are written, what becomes of what the disk has lost.
Refuses to know: how a text is split, how the audio ends, what becomes of an error, SQL.

    utterance ──spoken, or found on the disk──▶ the job's pack ──▶ its audio ──▶ the utterance's row

What was done before a kill is read and encoded anew, and not spoken again.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from appliance.job_errors import JobDamagedError
from appliance.speech import SAMPLE_WIDTH_BYTES
from appliance.store.database import Database
from appliance.store.jobs import DoneUtterance, Row, list_utterances, record_utterances, sum_utterances
from processes.gateway.encoding import EncoderThreads
from processes.gateway.job_audio import JobAudio
from processes.gateway.job_folder import JobFolder
from processes.gateway.job_pack import SpokenPack, SpokenUtterance, Stored
from processes.gateway.job_progress import Progress
from processes.gateway.job_speaker import JobSpeaker
from processes.gateway.job_text import JobUtterance, from_line

BATCH = 16
"""Utterances read and looked for at a time."""
HEARD = 8
HEARD_BYTES = 1_048_576
"""Utterances are written and encoded together: so many, so much PCM, or what has come in `WRITE_S`."""
ROWS = 32
COPIES = 2
"""Of an utterance's PCM at most: in the pack, and in a wav file."""
GO_S = 0.03
"""Seconds for which is encoded in one go though a listener waits."""
WRITE_S = 1.0
"""Rows are written together: so many, or what has come in so many seconds."""


@dataclass(slots=True)
class Heard:
    """An utterance on its way."""

    found: JobUtterance
    name: str
    """Of its sound, and of the record in the pack."""
    stored: Stored | None = None
    """What lies on the disk; None before it is there."""
    spoken: SpokenUtterance | None = None
    """Its audio; None where that lies on the disk."""
    has_row: bool = False
    """Whether its row says what lies on the disk."""

    @property
    def number(self) -> int:
        """Its place in the job, from 0."""
        return self.found.utterance.index

    def pcm_bytes(self, rate_hz: int) -> float:
        """Return the size of its audio."""
        if self.spoken is not None:
            return len(self.spoken.pcm)
        return 0.0 if self.stored is None else self.stored.audio_s * rate_hz * SAMPLE_WIDTH_BYTES


class JobTry(NamedTuple):
    """One try of a job, and what it is done with."""

    row: Row
    """The job, running."""
    database: Database
    """Where its utterances are noted."""
    folder: JobFolder
    """Its files."""
    speaker: JobSpeaker
    """Speaks."""
    threads: EncoderThreads
    """Where files are read and written, and audio is encoded."""
    progress: Progress
    """Is kept up to date."""


class JobMaking:
    """One try of a job's utterances. Where it is cancelled none of its threads is at the job's files."""

    def __init__(self, job_try: JobTry, pack: SpokenPack, audio: JobAudio, rate_hz: int) -> None:
        """Take what is done.

        Args:
            job_try: The job and what it is done with.
            pack: Keeps its utterances; open.
            audio: Takes its utterances.
            rate_hz: Hertz of an utterance that has no sound in its voice.
        """
        self._try = job_try
        self._folder = job_try.folder
        self._speaker = job_try.speaker
        self._threads = job_try.threads
        self._progress = job_try.progress
        self._pack = pack
        self._audio = audio
        self._rate_hz = rate_hz
        self._hearing: dict[str, asyncio.Task[Heard]] = {}
        self._unkept: dict[str, SpokenUtterance] = {}
        self._known: dict[str, Stored] = {}
        self._kept_lately: dict[str, Stored] = {}
        self._heard: list[Heard] = []
        self._unwritten: list[DoneUtterance] = []
        self._encoded_at_s = self._written_at_s = time.monotonic()

    async def make(self) -> None:
        """Bring every utterance into the audio, in order; some are spoken side by side.

        Raises:
            ApplianceError, OSError: It can't be done, or not now.
        """
        self._progress.begin(*await sum_utterances(self._try.database, self._try.row["job"]))
        under_way: deque[asyncio.Task[Heard]] = deque()
        try:
            async with aclosing(self._batches()) as batches:
                async for batch in batches:
                    for each in await self._look_up(batch):
                        under_way.append(self._begin(each))
                        if len(under_way) > self._speaker.cores:
                            await self._take(under_way)
            while under_way:
                await self._take(under_way)
            await self._keep_all()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _batches(self) -> AsyncGenerator[list[JobUtterance], None]:
        first = at_byte = 0
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

    async def _look_up(self, batch: list[JobUtterance]) -> list[Heard]:
        """See which utterances have rows and records, and which lie on the disk without a row.

        What has been kept since the batch before is remembered for those that were on their way meanwhile.
        """
        first = batch[0].utterance.index
        rows: dict[int, Stored] = {}
        if first < self._progress.began_done:
            done = await list_utterances(self._try.database, self._try.row["job"], first, len(batch))
            rows = {each.number: Stored(each.name, each.sha256, each.audio_s) for each in done}
        names = [self._name_of(found) for found in batch]  # by what only the event loop may look at
        heard, stored = await self._threads.run_out(lambda: self._find_all(batch, names, rows))
        self._known, self._kept_lately = self._kept_lately | stored, {}
        self._hearing = {name: task for name, task in self._hearing.items() if not task.done()}
        if not all(each.has_row for each in heard):
            self._progress.speak()
        return heard

    def _find_all(
        self, batch: list[JobUtterance], names: list[str], rows: dict[int, Stored]
    ) -> tuple[list[Heard], dict[str, Stored]]:
        heard: list[Heard] = []
        for found, name in zip(batch, names, strict=True):
            row = rows.get(found.utterance.index)
            if row is not None and self._pack.has(row.name):
                heard.append(Heard(found, row.name, row, has_row=True))
            else:
                heard.append(Heard(found, name))
        without_row = {each.name for each in heard if not each.has_row}
        stored = ((name, self._pack.find(name)) for name in without_row)
        return heard, {name: found for name, found in stored if found is not None}

    def _name_of(self, found: JobUtterance) -> str:
        return self._speaker.sounds.utterance_name(found.utterance) or uuid.uuid4().hex

    def _begin(self, each: Heard) -> asyncio.Task[Heard]:
        """Begin to hear an utterance; one whose equal is on its way is heard with that."""
        equal = self._hearing.get(each.name)
        if equal is not None and not equal.done():
            return asyncio.create_task(self._hear_with(each, equal))
        task = asyncio.create_task(self._hear(each))
        if not each.has_row:
            self._hearing[each.name] = task
        return task

    async def _hear_with(self, each: Heard, equal: asyncio.Task[Heard]) -> Heard:
        await asyncio.wait([equal])
        other = equal.result()
        return Heard(each.found, other.name, other.stored, other.spoken)

    async def _hear(self, each: Heard) -> Heard:
        """Return an utterance with its audio: from an earlier run or an equal one, or spoken now.

        What was spoken while its voice was made anew gets a name of its own, under which only its row finds
        it: nobody knows which of the two voices that is.
        """
        if not each.has_row:
            each.stored = self._known.get(each.name)
        if each.stored is None:
            each.spoken = self._unkept.get(each.name)
        if each.stored is None and each.spoken is None:
            utterance = each.found.utterance
            each.spoken = await self._speaker.speak(each.name, utterance, self._try.row["id"], self._rate_hz)
            if self._speaker.sounds.utterance_name(utterance) != each.name:
                each.name = uuid.uuid4().hex
            self._unkept[each.name] = each.spoken
        return each

    async def _take(self, under_way: deque[asyncio.Task[Heard]]) -> None:
        """Wait for the next utterance; what has been heard before it isn't left lying meanwhile.

        Raises:
            ApplianceError: It can't be spoken; what was heard before it is kept.
        """
        head = under_way[0]
        if self._heard or self._unwritten:
            if not head.done():
                await asyncio.wait([head], timeout=WRITE_S)
            if not head.done() or head.exception() is not None:
                await self._keep_all()
        self._heard.append(await head)
        del under_way[0]
        heard_bytes = sum(each.pcm_bytes(self._rate_hz) for each in self._heard)
        is_old = time.monotonic() - self._encoded_at_s >= WRITE_S
        if len(self._heard) >= HEARD or heard_bytes >= HEARD_BYTES or is_old:
            await self._encode()
        if len(self._unwritten) >= ROWS or time.monotonic() - self._written_at_s >= WRITE_S:
            await self._write_rows()

    async def _keep_all(self) -> None:
        await self._encode()
        await self._write_rows()

    async def _encode(self) -> None:
        """Keep and encode what has been heard, without a break unless a listener comes."""
        while self._heard:
            await self._speaker.step_back()
            count, is_lost = await self._threads.run_out(self._encode_some)
            for each in self._heard[:count]:
                self._note(each)
            self._heard = self._heard[count:]
            if is_lost:
                await self._write_rows()  # it may take long
                self._heard[0] = await self._hear_anew(self._heard[0])
        self._encoded_at_s = time.monotonic()

    def _encode_some(self) -> tuple[int, bool]:
        """Return how many were encoded, and whether the next one isn't on the disk as it was."""
        self._folder.check_room(COPIES * sum(each.pcm_bytes(self._rate_hz) for each in self._heard))
        begun_s = time.monotonic()
        for place, each in enumerate(self._heard):
            if self._speaker.is_awaited() and place and time.monotonic() - begun_s >= GO_S:
                return place, False
            spoken = each.spoken
            if spoken is None and each.stored is not None:
                spoken = self._pack.read(each.stored.name, each.stored.sha256)
            if spoken is None:
                return place, True
            if each.stored is None:
                each.stored = self._keep(each.name, spoken)
            self._audio.add(each.found, spoken)
        return len(self._heard), False

    async def _hear_anew(self, lost: Heard) -> Heard:
        """Return an utterance whose record is damaged or gone: under its name of today, or spoken."""
        anew = Heard(lost.found, self._name_of(lost.found))
        stored = await self._threads.run_out(lambda: self._pack.find(anew.name))
        for known in (self._known, self._kept_lately):
            known.pop(anew.name, None)
            if stored is not None:
                known[anew.name] = stored
        return await self._hear(anew)

    def _keep(self, name: str, spoken: SpokenUtterance) -> Stored:
        """See that an utterance's audio has its record, which is forced to the disk before its row."""
        stored = self._known.get(name) or self._pack.find(name) or self._pack.put(name, spoken)
        self._known[name] = self._kept_lately[name] = stored
        return stored

    def _note(self, each: Heard) -> None:
        self._unkept.pop(each.name, None)
        if each.stored is not None and not each.has_row:
            self._unwritten.append(DoneUtterance(each.number, *each.stored))
            self._progress.note(each.number, each.stored.audio_s)

    async def _write_rows(self) -> None:
        if self._unwritten:
            await self._threads.run_out(self._pack.sync)
            progress = self._progress
            await record_utterances(
                self._try.database, self._try.row["job"], self._unwritten, progress.done, progress.audio_s
            )
            progress.has_gone_on = True
        self._unwritten = []
        self._written_at_s = time.monotonic()
