"""The zip file of a book, opened without trusting what it says of itself.

Owns: bounds on entries, on what they unpack to, and on how far they were packed; entries that are encrypted.
Refuses to know: what an entry is. Its name is a key and never becomes a path.

What the directory says is looked at before anything is unpacked, and bytes are counted while they come: a
directory may lie, and entries may share their bytes.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import BinaryIO

from appliance.job_errors import (
    DocumentTooLargeError,
    ProtectedDocumentError,
    UnreadableDocumentError,
)

MAX_ENTRIES = 10_000
MAX_DIRECTORY_BYTES = 2_097_152
"""Of the list of entries, which is read whole: 10,000 with names of 160 bytes."""
MAX_ENTRY_BYTES = 16_777_216
"""Of an entry that is read, unpacked."""
MAX_TOTAL_BYTES = 268_435_456
"""Of all entries, unpacked, pictures among them; and of all that is read."""
MAX_RATIO = 200
"""Unpacked bytes for each packed one; a chapter has 3 to 10, deflate reaches 1,032."""
RATIO_FREE_BYTES = 1_048_576
"""Entries up to this size may be packed as far as they like."""
_END = struct.Struct("<4s4H2LH")
"""End of central directory: mark, two disks, entries here, entries, directory's bytes, its place, comment.
Source: APPNOTE.TXT, 4.3.16."""
_END_MARK = b"PK\x05\x06"
_ZIP64_MARK = b"PK\x06\x07"
_ZIP64_BYTES = 20
"""Zip64 end of central directory locator: stands right before the end record, if at all, and leads to another
one, which counts instead. Source: APPNOTE.TXT, 4.3.15."""
_MAX_COMMENT_BYTES = 65_535
_ENCRYPTED = 0x1
"""Source: APPNOTE.TXT, 4.4.4, bit 0."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What a book may use. Source: EPUB 3.3, OCF, 4.2."""
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, struct.error, NotImplementedError)


class Archive:
    """A zip file that is read entry by entry."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the list of entries and hold it against the bounds.

        Args:
            file: Can be sought in; stays the caller's.

        Raises:
            UnreadableDocumentError: It is no zip file.
            DocumentTooLargeError: It holds too much.
        """
        self._left_bytes = MAX_TOTAL_BYTES
        _check_directory(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except _BROKEN:
            raise UnreadableDocumentError("The file is no whole zip file") from None
        infos = self._zip.infolist()
        if len(infos) > MAX_ENTRIES:
            raise DocumentTooLargeError(f"The book has more than {MAX_ENTRIES} files")
        if sum(info.file_size for info in infos) > MAX_TOTAL_BYTES:
            raise DocumentTooLargeError(f"The book unpacks to more than {MAX_TOTAL_BYTES} bytes")
        for info in infos:
            if info.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * info.compress_size):
                raise DocumentTooLargeError("A file of the book unpacks to far more than it takes")

    def __contains__(self, name: str) -> bool:
        """Return whether there is an entry."""
        return name in self._zip.NameToInfo

    def read(self, name: str) -> bytes:
        """Return an entry, unpacked.

        Raises:
            UnreadableDocumentError: There is no such entry, or it is damaged.
            ProtectedDocumentError: It is encrypted.
            DocumentTooLargeError: It is larger than the bounds, whatever the list says.
        """
        info = self._zip.NameToInfo.get(name)
        if info is None:
            raise UnreadableDocumentError("A file is missing in the book that it speaks of")
        if info.flag_bits & _ENCRYPTED:
            raise ProtectedDocumentError
        if info.compress_type not in _METHODS:
            raise UnreadableDocumentError("A file of the book is packed in a way that no book may use")
        limit_bytes = min(MAX_ENTRY_BYTES, self._left_bytes)
        if info.file_size > limit_bytes:
            raise _too_large(limit_bytes)
        try:
            with self._zip.open(info) as entry:
                data = entry.read(limit_bytes + 1)
        except _BROKEN:
            raise UnreadableDocumentError("A file of the book is damaged") from None
        if len(data) > limit_bytes:
            raise _too_large(limit_bytes)
        self._left_bytes -= len(data)
        return data


def _too_large(limit_bytes: int) -> DocumentTooLargeError:
    return DocumentTooLargeError(f"A file of the book unpacks to more than {limit_bytes} bytes")


def _check_directory(file: BinaryIO) -> None:
    """See that the list of entries isn't larger than may be read; the file's end says where it is."""
    size_bytes = file.seek(0, 2)
    file.seek(max(0, size_bytes - _END.size - _MAX_COMMENT_BYTES - _ZIP64_BYTES))
    tail = file.read()
    place = tail.rfind(_END_MARK)
    if place < 0 or len(tail) - place < _END.size:
        raise UnreadableDocumentError("The file is no zip file, as an EPUB book is")
    if tail.startswith(_ZIP64_MARK, max(0, place - _ZIP64_BYTES)):
        raise UnreadableDocumentError("The book is a Zip64 file, a form for larger ones than are taken")
    *_, entries, directory_bytes, _, _ = _END.unpack_from(tail, place)
    if entries > MAX_ENTRIES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise DocumentTooLargeError(f"The book has more than {MAX_ENTRIES} files")
