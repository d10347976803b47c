"""The body of `POST /v1/jobs` goes to the disk as it comes, whatever it is.

Owns: which bodies there are (JSON, a form with a file, a file alone), their bounds, fields written as text.
Refuses to know: what is in a file (`document_reader`), and what the fields do (`body`).

Nobody waits for a client that dribbles: nothing is held meanwhile but its connection and a piece of memory.
No name that a client sent becomes a path.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Never

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from appliance.documents.epub import MEDIA_TYPE
from appliance.errors import BodyTooLargeError, InvalidRequestError, UnsupportedMediaTypeError
from processes.gateway.body import JobBody, read_text_value
from processes.gateway.document_reader import MAX_FIELDS_BYTES, DocumentKind
from processes.gateway.encoding import EncoderThreads
from processes.gateway.job_folder import JobFolder

FORM = "multipart/form-data"
FILE = "file"
"""The form's part with the file."""
FILE_TYPES = {
    "text/plain": DocumentKind.TEXT,
    "text/markdown": DocumentKind.TEXT,
    MEDIA_TYPE: DocumentKind.EPUB,
}
TYPES = {"application/json": DocumentKind.JSON, **FILE_TYPES}
SUFFIXES = {".txt": DocumentKind.TEXT, ".md": DocumentKind.TEXT, ".epub": DocumentKind.EPUB}
"""By which the file in a form is known; most clients send a type that says nothing."""
CHARSETS = ("", "utf-8", "us-ascii", "utf-16")
MAX_FILE_BYTES = 16_777_216
"""Of a .txt, .md or .epub; its text has a bound of its own."""
MAX_JSON_BYTES_PER_TEXT_BYTE = 3
"""An escape of six for a letter of two; only ASCII that needs none takes more when it is written so."""
MAX_FIELD_BYTES = 16_384
"""Of a form's field: 4,096 characters."""
PIECE_BYTES = 262_144
"""What is collected before it goes to the disk."""
WRONG_TYPE = (
    "The body must be application/json, multipart/form-data, text/plain, text/markdown or " + MEDIA_TYPE
)
WRONG_FILE = "The file's name must end with .txt, .md or .epub, or its type be that of one"
BROKEN_FORM = (ValueError, RuntimeError, AssertionError)
"""What aiohttp raises, the last two for a first part `_charset_` that names none."""
UNREADABLE_FORM = "The form can't be read: its boundary is missing, or a part is broken or isn't whole"


@dataclass(slots=True)
class Upload:
    """A body that lies on the disk."""

    kind: DocumentKind
    param: str | None
    """What errors call its text."""
    size_bytes: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    """Of a form or a query, as JSON would have them."""
    given: set[str] = field(default_factory=set)
    """Names of those that were there, empty ones among them."""


FIELDS = {name: name for name in JobBody.model_fields if name != "input"} | {"format": "response_format"}
"""Names in a form or a query → the fields of JSON."""
MAX_NAME_CHARS = 64
"""Of a name that an error repeats."""


class UploadReader:
    """Takes one body in."""

    def __init__(self, folder: JobFolder, threads: EncoderThreads, max_text_bytes: int) -> None:
        """Take where it goes.

        Args:
            folder: The job's, made already.
            threads: Where files are written.
            max_text_bytes: Of the text in UTF-8.
        """
        self._folder = folder
        self._threads = threads
        self._max_text_bytes = max_text_bytes

    async def read(self, request: web.Request) -> Upload:
        """Take a request's body in; cancelled when its client leaves.

        Raises:
            RequestError: It can't be taken.
            StorageError, OSError: It can't be written.
        """
        if "Content-Encoding" in request.headers:
            raise UnsupportedMediaTypeError(WRONG_TYPE)
        if request.content_type == FORM:
            return await self._read_form(request)
        kind = TYPES.get(request.content_type)
        if kind is None or (kind is DocumentKind.TEXT and _is_foreign(request.charset)):
            raise UnsupportedMediaTypeError(WRONG_TYPE)
        is_json = kind is DocumentKind.JSON
        upload = Upload(kind, "input" if is_json else None)
        if not is_json:
            for name, text in request.query.items():
                _add_field(upload, name, text)
        await self._keep(upload, request.content.iter_any(), request.content_length or 0)
        return upload

    def _max_bytes(self, kind: DocumentKind) -> int:
        if kind is DocumentKind.JSON:
            return MAX_JSON_BYTES_PER_TEXT_BYTE * self._max_text_bytes + MAX_FIELDS_BYTES
        return MAX_FILE_BYTES

    async def _keep(self, upload: Upload, pieces: AsyncIterator[bytes], announced_bytes: int) -> None:
        """Write the file, counting its bytes before they are kept."""
        max_bytes = self._max_bytes(upload.kind)
        waiting = bytearray()
        if announced_bytes > max_bytes:
            _refuse_size(upload, max_bytes)
        async for piece in pieces:
            upload.size_bytes += len(piece)
            if upload.size_bytes > max_bytes:
                _refuse_size(upload, max_bytes)
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                await self._append(bytes(waiting))
                waiting.clear()
        await self._append(bytes(waiting))

    async def _append(self, piece: bytes) -> None:
        """Write a piece; if the caller is cancelled, it is written before anything else is done."""
        work = asyncio.ensure_future(self._threads.run(lambda: self._folder.append_upload(piece)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            with suppress(Exception):  # nobody is there to be told
                work.result()
            raise

    async def _read_form(self, request: web.Request) -> Upload:
        """Take a form in: any fields, in any order, and one file."""
        form = Upload(DocumentKind.TEXT, FILE)
        try:
            reader = await request.multipart()
            has_file = False
            while (part := await reader.next()) is not None:
                if isinstance(part, MultipartReader) or _is_encoded(part):
                    raise InvalidRequestError(UNREADABLE_FORM)
                if part.name != FILE:
                    _add_field(form, part.name or "", await _text_of(part))
                elif has_file:
                    raise InvalidRequestError("There is more than one file", param=FILE)
                else:
                    has_file, form.kind = True, _kind_of(part)
                    await self._keep(form, _pieces(part), 0)
        except (*BROKEN_FORM, HttpProcessingError):
            raise InvalidRequestError(UNREADABLE_FORM) from None
        if not has_file:
            raise InvalidRequestError("The form has no file", param=FILE)
        return form


def _add_field(upload: Upload, name: str, text: str) -> None:
    """Take in a field of a form or a query; an empty one counts as absent.

    Raises:
        InvalidRequestError: There is no such field, or it is there already.
    """
    known = FIELDS.get(name)
    shown = name[:MAX_NAME_CHARS]
    if known is None:
        message = (
            "There is no such field here; the text is the file's"
            if name == "input"
            else "There is no such field"
        )
        raise InvalidRequestError(message, param=shown)
    if known in upload.given:
        raise InvalidRequestError(f"{shown} is given twice", param=shown)
    upload.given.add(known)
    if text:
        upload.fields[known] = read_text_value(known, text)


async def _text_of(part: BodyPartReader) -> str:
    """Return a field's text.

    Raises:
        InvalidRequestError: It is too long or no UTF-8.
    """
    data = bytearray()
    async for piece in _pieces(part):
        data += piece
        if len(data) > MAX_FIELD_BYTES:
            name = (part.name or "")[:MAX_NAME_CHARS]
            raise InvalidRequestError(f"A field may have {MAX_FIELD_BYTES} bytes", param=name)
    return data.decode()


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk():
        yield piece


def _is_encoded(part: BodyPartReader) -> bool:
    """Return whether a part's bytes aren't those of the file, which no client of today does to them."""
    encoding = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    return "Content-Encoding" in part.headers or encoding not in ("7bit", "8bit", "binary")


def _kind_of(part: BodyPartReader) -> DocumentKind:
    """Return what the form's file is, by its name, else by its type.

    Raises:
        UnsupportedMediaTypeError: It is nothing that is read here.
    """
    media_type = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    kind = SUFFIXES.get(PurePath(part.filename or "").suffix.lower())
    if kind is None:
        kind = FILE_TYPES.get(media_type)
    if kind is None or _is_foreign(part.get_charset("")):
        raise UnsupportedMediaTypeError(WRONG_FILE, param=FILE)
    return kind


def _is_foreign(charset: str | None) -> bool:
    return (charset or "").lower() not in CHARSETS


def _refuse_size(upload: Upload, max_bytes: int) -> Never:
    param = FILE if upload.param == FILE else None
    raise BodyTooLargeError(f"The {param or 'body'} has more than {max_bytes} bytes", param=param)
