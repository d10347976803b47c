"""What the history costs a request: CPU on its way, and CPU of writing its row afterwards.

Owns: the section `history` of the measurements.
Refuses to know: HTTP and processes; accounts are opened and closed here as a handler does it.

A round takes accounts with and without a history in turn, so that both share the machine's good and bad
moments. The database is a real one, in the system's folder for temporary files.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from loguru import logger

from appliance.metrics import GatewayMetrics
from appliance.speech import AudioFormat, RequestClass, SpeechRequest
from appliance.store.accepted import AcceptedCounter
from appliance.store.database import Database
from appliance.store.opening import prepare
from appliance.voices import Voice
from loadtests.figures import Figure
from processes.gateway.history import History
from processes.gateway.record import RequestLedger
from processes.gateway.ticket import Stream
from processes.gateway.utterance_source import UtteranceSource
from processes.ttsctl.voice_bench.texts import CHARS_150

MOST_ON_THE_WAY_US = 20.0
"""CPU of a request on its way, in millionths of a second. Source: the plan of the history."""
ROUNDS = {False: 200, True: 40}
BLOCK = 500
"""Requests between two writes: what 2,000 requests a second leave in 250 ms."""
MICROSECONDS = 1e6


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes some seconds."""
    logger.remove()  # the line of each request would be most of what is measured
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        return asyncio.run(_measured(Path(folder) / "appliance.sqlite", ROUNDS[is_short]))


async def _measured(path: Path, rounds: int) -> list[Figure]:
    plain_us, kept_us, afterwards_us = [], [], []
    async with _opened(path) as database:
        history = History(AcceptedCounter(path), keeps_text=False)
        await history.join(database)
        without = RequestLedger(GatewayMetrics())
        with_history = RequestLedger(GatewayMetrics(), None, history)
        for _ in range(rounds):
            plain_us.append(_block_cpu_s(without) / BLOCK * MICROSECONDS)
            kept_us.append(_block_cpu_s(with_history) / BLOCK * MICROSECONDS)
            begun_s = time.process_time()
            await history.write(database)
            afterwards_us.append((time.process_time() - begun_s) / BLOCK * MICROSECONDS)
        await history.close(database)
    return [
        Figure(
            "history, CPU of a request on its way",
            median(kept - plain for kept, plain in zip(kept_us, plain_us, strict=True)),
            "µs",
            min(kept_us) - min(plain_us),
            most=MOST_ON_THE_WAY_US,
        ),
        Figure("history, CPU of its row afterwards", median(afterwards_us), "µs", min(afterwards_us)),
    ]


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Database]:
    await asyncio.to_thread(prepare, path)
    database = await Database.open(path)
    try:
        yield database
    finally:
        await database.close()


def _block_cpu_s(ledger: RequestLedger) -> float:
    """Return the CPU seconds of a block of accounts, each opened and closed, of all threads together.

    One of them writes the number of accepted requests into its file.
    """
    request = SpeechRequest(CHARS_150, "tone-low", format=AudioFormat.MP3)
    voice = Voice("tone-low", "Tone", "tone", "low", ("en",))
    now_s = time.monotonic()
    streams = [
        Stream("address:127.0.0.1", RequestClass.FIRST, UtteranceSource([]), b"", now_s, 1.0)
        for _ in range(BLOCK)
    ]
    begun_s = time.process_time()
    for stream in streams:
        with ledger.accept("0123456789abcdef0123456789abcdef", now_s, request, voice, stream) as account:
            account.first_audio()
            account.complete()
    return time.process_time() - begun_s
