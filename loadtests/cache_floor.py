"""The floor of a kept answer: the same bytes from a dictionary, in the plainest handler that can give them.

Owns: a server of aiohttp in a process of its own, and its CPU.
Refuses to know: the appliance.

Source: measurements A 5, "in-memory LRU": JSON is read, a key made of it, an ordered dictionary asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
from collections import OrderedDict
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from aiohttp import web

from loadtests.client import END_OF_HEADERS
from processes.ttsctl.voice_bench.usage import cpu_s


class LruFloor:
    """The server."""

    def __init__(self, sizes_bytes: Mapping[bytes, int], media_type: str) -> None:
        """Start it and wait until it listens.

        Args:
            sizes_bytes: How many bytes answer a request, headers and body.
            media_type: What these bytes are said to be.
        """
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._pipe = ours
        self._process = context.Process(target=_serve, args=(theirs, dict(sizes_bytes), media_type))
        self._process.start()
        theirs.close()  # so that a server that can't start is noticed
        self.port: int = ours.recv()

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used since its start."""
        return cpu_s(self._process.pid or 0)

    def close(self) -> None:
        """End it."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, sizes_bytes: Mapping[bytes, int], media_type: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_closed(pipe, sizes_bytes, media_type))


async def _serve_until_closed(pipe: Connection, sizes_bytes: Mapping[bytes, int], media_type: str) -> None:
    kept: OrderedDict[str, bytes] = OrderedDict()
    for request, size_bytes in sizes_bytes.items():
        kept[_key(json.loads(request.partition(END_OF_HEADERS)[2]))] = bytes(size_bytes)

    async def answer(request: web.Request) -> web.Response:
        key = _key(await request.json())
        audio = kept[key]
        kept.move_to_end(key)
        return web.Response(body=audio, content_type=media_type)

    app = web.Application()
    app.router.add_post("/v1/audio/speech", answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pipe.send(runner.addresses[0][1])
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
    await closed.wait()
    await runner.cleanup()


def _key(values: dict[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()
