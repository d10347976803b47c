"""A file as an answer: whole, a part of it, or the error that says why not.

Owns: what a client's conditions and its range mean, before anything leaves.
Refuses to know: which file it is, and who may have it.

aiohttp sends the file, but would refuse with an empty body and looks at no ETag in If-Range. So it is told
only what was decided here. Source: RFC 9110, sections 13 and 14.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from appliance.errors import RangeNotSatisfiableError
from appliance.job_errors import PreconditionFailedError
from processes.gateway.answer_headers import is_known_to_client, wanted_range
from processes.gateway.answers import error_response


class _FileAnswer(web.FileResponse):
    """A file that is sent as it was decided, whatever the client's own headers ask for."""

    def __init__(self, path: Path, decided: Mapping[str, str], headers: Mapping[str, str]) -> None:
        super().__init__(path, headers=headers)
        self._decided = decided

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return await super().prepare(request.clone(headers=self._decided))


def answer_file(
    request: web.Request, path: Path, status: os.stat_result, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Return the answer to a GET or a HEAD for a file; nothing is read yet.

    Args:
        request: What is answered.
        path: The file, which can be read.
        status: What the system says of it.
        headers: The answer's, Content-Type among them; ETag and Last-Modified come by themselves.

    Raises:
        PreconditionFailedError: The client wants other bytes than these, or none.
    """
    etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'  # as aiohttp makes it
    if _is_other(request, etag, status.st_mtime):
        raise PreconditionFailedError
    if _is_unchanged(request, etag, status.st_mtime):
        return _FileAnswer(path, {"If-None-Match": etag}, headers)
    wanted = _wanted_range(request, etag, status.st_mtime)
    if wanted is None:
        return _FileAnswer(path, {}, headers)
    start, stop, _ = wanted.indices(status.st_size)
    if start < stop:
        return _FileAnswer(path, {"Range": f"bytes={start}-{stop - 1}"}, headers)
    response = error_response(RangeNotSatisfiableError())
    response.headers["Content-Range"] = f"bytes */{status.st_size}"
    return response


def _is_other(request: web.Request, etag: str, changed_s: float) -> bool:
    """Return whether a client wants only bytes that these aren't."""
    if (tags := request.if_match) is not None:
        return not any(tag.value == "*" or (f'"{tag.value}"' == etag and not tag.is_weak) for tag in tags)
    since = request.if_unmodified_since
    return since is not None and changed_s > since.timestamp()


def _is_unchanged(request: web.Request, etag: str, changed_s: float) -> bool:
    """Return whether a client says that it has these bytes."""
    if "If-None-Match" in request.headers:
        return is_known_to_client(request, etag)
    since = request.if_modified_since
    return since is not None and changed_s <= since.timestamp()


def _wanted_range(request: web.Request, etag: str, changed_s: float) -> slice | None:
    """Return the range that counts: none for HEAD, if it can't be read, or is about other bytes than ours."""
    since = request.if_range
    is_ours = since is not None and changed_s <= since.timestamp()
    if request.method != "GET" or (request.headers.get("If-Range", etag) != etag and not is_ours):
        return None
    return wanted_range(request)
