"""What lies in a job's folder becomes its text; large files in a process of their own.

Owns: what each kind of file is read as, and that process: `python -m processes.gateway.document_reader`.
Refuses to know: requests, fields but for their names, and when that process is started (`job_document`).

    standard output   a line of JSON, {"fields", "has_text"} or {"error", "message"}, then the text in UTF-8
    exit code         0, also for an error that was told

A hostile file takes the time or the memory of this process at most, which the kernel bounds.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from appliance.documents.epub import read_epub
from appliance.documents.plain import decode_text
from appliance.errors import InvalidRequestError, RequestError, TextTooLongError
from appliance.job_errors import DocumentTooLargeError, ProtectedDocumentError, UnreadableDocumentError
from appliance.lifecycle import be_first_to_go, die_with_parent
from processes.gateway.job_folder import ENCODING
from processes.gateway.json_text import parse_json

MAX_CPU_S = 10
"""Seconds; the largest books that are taken need two on a small machine."""
MAX_MEMORY_BYTES = 536_870_912
"""Of address space: Python's own 100 MB, a file, its text, and what its markup needs."""
NICE = 5
"""A third of what listeners' processes get where both want all: a client waits for the answer.
Source: sched(7)."""
MAX_FIELDS_BYTES = 65_536
"""Of all fields but the text, as JSON."""


_ERRORS: dict[str, type[RequestError]] = {
    error_class.code: error_class
    for error_class in (
        DocumentTooLargeError,
        InvalidRequestError,
        ProtectedDocumentError,
        TextTooLongError,
        UnreadableDocumentError,
    )
}
"""What a file can be refused with."""


class DocumentKind(StrEnum):
    """What a file is."""

    JSON = "json"
    """A body of `POST /v1/jobs`, whose `input` is the text."""
    TEXT = "text"
    EPUB = "epub"


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds."""

    text: str | None
    """None where JSON has no text that could be one."""
    fields: dict[str, Any]
    """Of JSON."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be read, and how much of it."""

    kind: DocumentKind
    path: str
    max_text_bytes: int
    field_names: tuple[str, ...]
    """Fields of JSON that count."""

    def as_json(self) -> str:
        """Return it as it goes to the process."""
        return json.dumps([self.kind, self.path, self.max_text_bytes, self.field_names])

    @classmethod
    def from_json(cls, text: str) -> Reading:
        """Return what `as_json` has written."""
        kind, path, max_text_bytes, names = json.loads(text)
        return cls(DocumentKind(kind), path, max_text_bytes, tuple(names))


def read_document(reading: Reading) -> Document:
    """Read a file; blocks.

    Raises:
        RequestError: What is wrong with it; `param` is `input` where that is the text.
        OSError: The disk can't be read.
    """
    path = Path(reading.path)
    if reading.kind is DocumentKind.JSON:
        fields = _wanted(parse_json(path.read_bytes()), reading.field_names)
        text = fields.pop("input") if isinstance(fields.get("input"), str) else None
    else:
        fields, text = {}, _read_file(reading.kind, path, reading.max_text_bytes)
    if text is not None and len(text.encode(*ENCODING)) > reading.max_text_bytes:
        raise TextTooLongError(f"The text has more than {reading.max_text_bytes} bytes", param="input")
    return Document(text, fields)


def _wanted(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _read_file(kind: DocumentKind, path: Path, max_text_bytes: int) -> str:
    try:
        if kind is DocumentKind.TEXT:
            return decode_text(path.read_bytes())
        with path.open("rb") as file:
            return read_epub(file, max_text_bytes)
    except RequestError as error:
        error.param = "input"
        raise


def as_bytes(document: Document) -> bytes:
    """Return what is told of a document that could be read.

    Raises:
        InvalidRequestError: Its fields are too long.
    """
    text = document.text
    head = json.dumps({"fields": document.fields, "has_text": text is not None}).encode()
    if len(head) > MAX_FIELDS_BYTES:
        raise InvalidRequestError("The fields beside the text are too long")
    return head + b"\n" + (text or "").encode(*ENCODING)


def from_bytes(told: bytes) -> Document:
    """Return the document that was told of.

    Raises:
        RequestError: It couldn't be read.
        ValueError, KeyError: Something else was told.
    """
    head, _, text = told.partition(b"\n")
    values = json.loads(head)
    if "error" in values:
        raise _ERRORS[values["error"]](values["message"], param=values["param"])
    return Document(text.decode(*ENCODING) if values["has_text"] else None, values["fields"])


def main() -> int:
    """Read what the first argument describes for the gateway whose process the second one is."""
    die_with_parent(parent=int(sys.argv[2]))
    be_first_to_go(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    try:
        told = as_bytes(read_document(Reading.from_json(sys.argv[1])))
    except MemoryError:
        told = _refusal(DocumentTooLargeError(param="input"))
    except RequestError as error:
        told = _refusal(error)
    with os.fdopen(sys.stdout.fileno(), "wb", closefd=False) as channel:
        channel.write(told)
    return 0


def _refusal(error: RequestError) -> bytes:
    return json.dumps({"error": error.code, "message": error.message, "param": error.param}).encode()


if __name__ == "__main__":
    sys.exit(main())
