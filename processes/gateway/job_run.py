"""One job on its way: split, spoken and encoded; whatever was spoken before a kill isn't spoken again.

Owns: the order of the steps, and what a job's result is.
Refuses to know: which jobs run, what becomes of an error (`job_runner`), how utterances are spoken and
encoded (`job_making`), SQL.

    text ──split──▶ utterances.jsonl ──spoken and encoded──▶ audio, captions ──▶ completed
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from appliance.audio.files import Tags
from appliance.errors import NothingToSpeakError
from appliance.job_errors import JobFilesGoneError
from appliance.speech import InputType, JobFormat, SpeechRequest
from appliance.store.jobs import JobResult, Row, complete_job, note_utterance_count
from appliance.voices import Voice
from processes.gateway.job_audio import JobAudio
from processes.gateway.job_folder import UTTERANCES_NAME
from processes.gateway.job_making import JobMaking, JobTry
from processes.gateway.job_pack import SpokenPack
from processes.gateway.job_text import as_line, find_utterances, from_line


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
        spell_out=bool(row["spell_out"]),
        wants_word_times=bool(row["captions"]),
    )


class JobRun:
    """One try of a job. Where it is cancelled none of its threads is at the job's files any more."""

    def __init__(self, job_try: JobTry) -> None:
        """Take the job and what it is done with."""
        self._try = job_try
        self._row = job_try.row
        self._database = job_try.database
        self._folder = job_try.folder
        self._threads = job_try.threads
        self._progress = job_try.progress

    async def run(self, voice: Voice, pause_s: float) -> Row | None:
        """Do what is left of the job; return its row as completed, or None if somebody ended it meanwhile.

        Args:
            voice: Who speaks.
            pause_s: Seconds of silence between two sentences.

        Raises:
            ApplianceError, OSError: It can't be done, or not now.
        """
        await self._split(voice, pause_s)
        return await complete_job(self._database, self._row, await self._make(voice))

    async def _split(self, voice: Voice, pause_s: float) -> None:
        """Split the text once and for all."""
        progress, row = self._progress, self._row
        if not await self._threads.run_out(self._folder.has_utterances):
            if not await self._threads.run_out(self._folder.has_text):
                raise JobFilesGoneError
            progress.step = "splitting"
            pronunciations = self._try.speaker.book.of(voice)
            request = replace(request_of(row), pronunciations=pronunciations)
            await self._threads.run_out(lambda: self._write_utterances(request, voice, pause_s))
        if row["utterances"] is None:
            progress.utterances = await self._threads.run_out(self._count_utterances)
            if not progress.utterances:
                raise NothingToSpeakError(param="input")
            await note_utterance_count(self._database, row["job"], progress.utterances)
        else:
            progress.utterances = row["utterances"]

    def _write_utterances(self, request: SpeechRequest, voice: Voice, pause_s: float) -> None:
        found = find_utterances(
            request,
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

    async def _make(self, voice: Voice) -> JobResult:
        """Make the result and note what it is, beside it."""
        row, folder, threads = self._row, self._folder, self._threads
        await threads.run_out(lambda: folder.check_room(row["result_bytes"]))
        request = request_of(row)
        # As its utterances say: the voice may have other bounds by now.
        lines, _ = await threads.run_out(lambda: folder.read_lines(0, 1))
        tempo = request.speed / from_line(b"".join(lines), 0).utterance.speed
        job_format, tags = JobFormat(row["format"]), Tags(row["title"], row["voice"])
        audio = await threads.run_out(lambda: JobAudio(folder, job_format, tempo, tags))
        try:
            async with self._pack() as pack:
                await JobMaking(self._try, pack, audio, voice.sample_rate_hz).make()
            self._progress.step = "encoding"
            audio_s, size_bytes = await threads.run_out(audio.finish)
            if request.wants_word_times:
                await threads.run_out(audio.write_captions)
            result = JobResult(audio_s, size_bytes, self._progress.utterances)
            await threads.run_out(lambda: folder.put_result(result))
            return result
        finally:
            await threads.run_out(audio.close)

    @asynccontextmanager
    async def _pack(self) -> AsyncGenerator[SpokenPack, None]:
        """Lend what keeps the job's utterances, with all that earlier tries have left there."""
        pack = self._folder.pack()
        try:
            await self._threads.run_out(pack.open)
            while await self._threads.run_out(pack.index_some):
                pass
            yield pack
        finally:
            pack.close()
