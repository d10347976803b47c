"""Has the file of a job read, where that costs nobody else anything.

Owns: which files are read in a thread and which in a process, that process's life, its time limit.
Refuses to know: what is in a file (`document_reader`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from loguru import logger

from appliance.job_errors import DocumentTooLargeError, UnreadableDocumentError
from appliance.settings import ROOT
from processes.gateway.document_reader import Document, DocumentKind, Reading, from_bytes, read_document
from processes.gateway.encoding import EncoderThreads

IN_A_THREAD_BYTES = 262_144
"""Up to this size JSON is parsed in 2 ms, for which the interpreter does nothing else; 15 MB take 80 ms, and
500 MB of memory where they are hostile."""
READ_S = 300.0
"""Seconds that the process may take on a machine that has no time for it, as what it computes is bounded."""
_TOO_MUCH = (signal.SIGKILL, signal.SIGXCPU, signal.SIGSEGV, signal.SIGABRT)
"""What ends a process that has used up its time or its memory."""


async def read_apart(reading: Reading, size_bytes: int, threads: EncoderThreads) -> Document:
    """Read a file; if the caller is cancelled, a process that does it is gone.

    Args:
        reading: Which file.
        size_bytes: Its size.
        threads: Where small ones are read.

    Raises:
        RequestError: What is wrong with it.
        OSError: The disk can't be read, or no process be started.
    """
    if reading.kind is not DocumentKind.EPUB and size_bytes <= IN_A_THREAD_BYTES:
        return await threads.run(lambda: read_document(reading))
    output = os.memfd_create("document")
    try:
        await _run(reading, output)
        return await threads.run(lambda: from_bytes(Path(f"/proc/self/fd/{output}").read_bytes()))
    finally:
        os.close(output)


async def _run(reading: Reading, output: int) -> None:
    """Have the process write into a file in memory; it is gone when this returns.

    Raises:
        DocumentTooLargeError: It took too long or too much memory.
        UnreadableDocumentError: It stumbled over the file.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "processes.gateway.document_reader", reading.as_json(), str(os.getpid())),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.DEVNULL,  # a traceback could hold text
    )
    status = None
    try:
        with suppress(TimeoutError):  # told below
            async with asyncio.timeout(READ_S):
                status = await process.wait()
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            process.kill()
        await process.wait()
    if status == 0:
        return
    logger.warning("document_not_read", kind=reading.kind.value, status=status)
    if status is None or -status in _TOO_MUCH:
        raise DocumentTooLargeError(param="input")
    raise UnreadableDocumentError(param="input")
