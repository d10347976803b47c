"""`POST /v1/jobs`: what a client asks for becomes a job that nothing loses.

Owns: the order of acceptance (taken in, read, checked, text on the disk, row committed, 202), the estimate of
space, and that nothing is left of what isn't accepted.
Refuses to know: which bodies there are (`job_upload`), how files are read (`job_document`) and jobs done.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from appliance.errors import (
    ApplianceError,
    InvalidRequestError,
    NothingToSpeakError,
)
from appliance.job_errors import AudioTooLargeError, IdempotencyConflictError
from appliance.speech import SAMPLE_WIDTH_BYTES, InputType, JobFormat, SpeechRequest
from appliance.store.errors import StoreBusyError, storage_error
from appliance.store.jobs import NewJob, Row, add_job, find_repeated
from appliance.text.weight import spoken_weight
from appliance.voices import Voice
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.body import JobBody, VoiceReference, parse_fields, parse_speech_request
from processes.gateway.document_reader import DocumentKind, Reading
from processes.gateway.encoding import BYTES_PER_S
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.job_audio import MAX_WAV_BYTES
from processes.gateway.job_bounds import bytes_with_one_more
from processes.gateway.job_control import job_values
from processes.gateway.job_document import read_apart
from processes.gateway.job_folder import ENCODING, JobFolder
from processes.gateway.job_text import find_utterances
from processes.gateway.job_upload import Upload, UploadReader
from processes.gateway.planned_speech import find_voice

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
ID_BYTES = 16
USUAL_WEIGHT_S = 0.08
"""Seconds of audio that a unit of `spoken_weight` takes for what people write, at most."""
WEIGHED_CHARS = 65_536
"""Of a text at a time: weighing and encoding let nothing else run meanwhile, 4 ms for so much."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What was asked for, checked."""

    request: SpeechRequest
    voice: Voice
    format: JobFormat
    has_captions: bool
    has_chapters: bool
    title: str
    sha256: str

    def expected_bytes(self) -> tuple[int, int]:
        """Return the space that the job's PCM and its result take while it is done; blocks for a second.

        Raises:
            AudioTooLargeError: A wav file couldn't hold it.
        """
        request, languages = self.request, self.voice.languages
        language, text = languages[0] if languages else "", request.text
        pieces = (text[start : start + WEIGHED_CHARS] for start in range(0, len(text), WEIGHED_CHARS))
        audio_s = sum(spoken_weight(piece, language) for piece in pieces) * USUAL_WEIGHT_S
        pcm_bytes = audio_s * self.voice.sample_rate_hz * SAMPLE_WIDTH_BYTES
        played_s = audio_s / request.speed
        wav_bytes = pcm_bytes / request.speed
        is_wav = self.format is JobFormat.WAV
        if is_wav and wav_bytes > MAX_WAV_BYTES:
            raise AudioTooLargeError(param="response_format")
        result_bytes = max(played_s * BYTES_PER_S[self.format.audio_format], wav_bytes if is_wav else 0.0)
        reached = min(max(request.speed, self.voice.min_speed), self.voice.max_speed)
        return int(pcm_bytes / reached), int(result_bytes)


@dataclass(slots=True)
class Draft:
    """A job that isn't accepted yet."""

    id: str
    folder: JobFolder
    is_kept: bool = False
    """Whether its folder stays, as there may be a row."""


@guarded(AccessRules.check_api_key)
async def post_job(request: web.Request) -> web.Response:
    """Accept a text to be spoken in the background: 202 once nothing can lose it any more."""
    gateway = request.app[GATEWAY_KEY]
    jobs, owner = gateway.jobs, gateway.access.owner(request)
    key = _idempotency_key(gateway, request, owner)
    try:
        async with _draft(gateway) as draft:
            reader = UploadReader(draft.folder, jobs.threads, gateway.settings.jobs.max_text_bytes)
            upload = await reader.read(request)
            async with jobs.intake(gateway.access.client(request)):
                order = await _order(gateway, upload, draft.folder)
                row = await _accepted(gateway, order, draft, owner, key)
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    response = json_response(job_values(gateway, row), status=202)
    response.headers["Location"] = f"/v1/jobs/{row['id']}"
    return response


@asynccontextmanager
async def _draft(gateway: Gateway) -> AsyncGenerator[Draft, None]:
    """Lend a folder for a job, which is gone at the block's end unless it is kept.

    Raises:
        StorageError: The disk can't be used.
    """
    jobs, job_id = gateway.jobs, secrets.token_hex(ID_BYTES)
    draft = Draft(job_id, jobs.folder(job_id))
    try:
        await jobs.threads.run(draft.folder.make)
        yield draft
    except ConnectionError:  # the client's
        raise
    except OSError as error:
        what = functools.partial(storage_error, error, gateway.settings.data.dir)
        raise await jobs.threads.run(what) from error
    finally:
        if not draft.is_kept:
            await jobs.threads.run(draft.folder.remove)


async def _order(gateway: Gateway, upload: Upload, folder: JobFolder) -> JobOrder:
    """Read what lies in a folder, and check what was asked for; errors name the text as its client does.

    Raises:
        RequestError: What is wrong with it.
        OSError: The disk can't be read.
    """
    try:
        return await _checked(gateway, upload, folder)
    except ApplianceError as error:
        if error.param == "input":
            error.param = upload.param
        raise


async def _checked(gateway: Gateway, upload: Upload, folder: JobFolder) -> JobOrder:
    threads, max_bytes = gateway.jobs.threads, gateway.settings.jobs.max_text_bytes
    reading = Reading(upload.kind, str(folder.upload_path), max_bytes, tuple(JobBody.model_fields))
    document = await read_apart(reading, upload.size_bytes, threads)
    fields = {**upload.fields, **document.fields}
    if document.text is not None:
        fields["input"] = document.text
    body = parse_fields(fields, max_bytes, JobBody)
    if upload.kind is DocumentKind.EPUB:
        body = _as_markdown(body)
    gateway.models.check(body.model)
    text = gateway.settings.text
    request = parse_speech_request(body, default_voice=gateway.catalog.default, text=text)
    request = replace(request, wants_word_times=body.captions)
    voice = find_voice(gateway, request.voice_id)
    order_sha256 = await threads.run(lambda: _sha256(body))
    order = JobOrder(
        request,
        voice,
        body.response_format,
        has_captions=body.captions,
        has_chapters=body.chapters,
        title=body.title,
        sha256=order_sha256,
    )
    await threads.run(lambda: _check_speakable(order))
    return order


def _as_markdown(body: JobBody) -> JobBody:
    """Return what is asked for of a book, whose text is always markdown.

    Raises:
        InvalidRequestError: Something else is asked for.
    """
    if body.input_type is InputType.SSML:
        raise InvalidRequestError("A book's text is no SSML", param="input_type")
    if body.normalize is False:
        raise InvalidRequestError("A book's text is always made speakable", param="normalize")
    return body.model_copy(update={"input_type": InputType.TEXT, "normalize": True})


def _check_speakable(order: JobOrder) -> None:
    """See that there is an utterance at all; SSML is read to its end, a text to its first one.

    Its words are looked for when it is split: those of 5 MB of SSML take 12 s and 200 MiB.
    """
    request = replace(order.request, wants_word_times=False)
    found = find_utterances(request, order.voice, [request.text], pause_s=0.0)
    if next(iter(found), None) is None:
        raise NothingToSpeakError(param="input")


async def _accepted(gateway: Gateway, order: JobOrder, draft: Draft, owner: str, key: str | None) -> Row:
    """Put a job on the disk, or find the one that was accepted under the same key.

    Raises:
        ApplianceError, OSError: It isn't accepted.
    """
    runner, settings = gateway.jobs, gateway.settings
    database = runner.database
    if key is not None:
        row = await find_repeated(database, owner, key)
        if row is not None:
            return _same(row, order)
    gateway.dispatcher.admission.check_open()
    gateway.disk.watch.check()
    job = _new_job(order, draft.id, owner, key, await runner.threads.run(order.expected_bytes))
    async with runner.acceptance:
        own_bytes = job.pcm_bytes + job.result_bytes
        needed_bytes = await bytes_with_one_more(database, settings.jobs, owner, own_bytes)
        await runner.threads.run(lambda: _put_text(draft.folder, order, needed_bytes))
        draft.is_kept = True  # whoever leaves now doesn't know whether it was committed
        try:
            row, is_new = await add_job(database, job)
        except StoreBusyError:  # which is told before anything is written
            draft.is_kept = False
            raise
    if not is_new:
        draft.is_kept = False
        return _same(row, order)
    gateway.metrics.jobs_accepted.inc()
    runner.wake()
    return row


def _put_text(folder: JobFolder, order: JobOrder, needed_bytes: float) -> None:
    """Write a job's text, if there is room for all that will come of it and of those before it.

    Raises:
        StoreFullError: There isn't.
        OSError: It can't be written.
    """
    folder.check_room(needed_bytes)
    folder.put_text(order.request.text)


def _same(row: Row, order: JobOrder) -> Row:
    if row["order_sha256"] != order.sha256:
        raise IdempotencyConflictError
    return row


def _new_job(
    order: JobOrder, job_id: str, owner: str, key: str | None, expected_bytes: tuple[int, int]
) -> NewJob:
    request = order.request
    return NewJob(
        id=job_id,
        owner=owner,
        idempotency_key=key,
        order_sha256=order.sha256,
        voice=request.voice_id.encode("utf-8", "replace").decode(),
        format=order.format.value,
        speed=request.speed,
        pitch=request.pitch,
        volume=request.volume,
        input_type=request.input_type.value,
        make_speakable=request.make_speakable,
        spell_out=request.spell_out,
        captions=order.has_captions,
        chapters=order.has_chapters,
        chars=len(request.text),
        pcm_bytes=expected_bytes[0],
        result_bytes=expected_bytes[1],
        title=order.title,
    )


def _sha256(body: JobBody) -> str:
    """Return a hash of all that was asked for, however it was written; what is no field of it is no part.

    Neither are defaults, so that the same order stays the same when a later version knows more fields.
    """
    asked = body.model_dump(exclude_defaults=True, exclude={"input"})
    if isinstance(body.voice, VoiceReference):
        asked["voice"] = body.voice.id
    order = hashlib.sha256(repr(sorted(asked.items())).encode(*ENCODING) + b"\n")
    for start in range(0, len(body.input), WEIGHED_CHARS):
        order.update(body.input[start : start + WEIGHED_CHARS].encode(*ENCODING))
    return order.hexdigest()


def _idempotency_key(gateway: Gateway, request: web.Request, owner: str) -> str | None:
    """Return what an order is found again by, if its client wants that.

    Whose jobs have no owner has keys of its own all the same, so that no stranger who happens upon one is
    told another's job. No row names a client, so it is a hash.

    Raises:
        InvalidRequestError: The header can't be a key.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        message = "Idempotency-Key must have 1 to 255 visible characters of ASCII"
        raise InvalidRequestError(message, param="Idempotency-Key")
    if key is None or owner:
        return key
    return scoped_key(gateway.access.client(request), key)


def scoped_key(client: str, key: str) -> str:
    """Return what a row has for a client's Idempotency-Key whose jobs have no owner.

    Args:
        client: Its name, as `AccessRules.client` has it: its address.
        key: Its own.
    """
    return hashlib.sha256(f"{client}\n{key}".encode("utf-8", "surrogateescape")).hexdigest()
