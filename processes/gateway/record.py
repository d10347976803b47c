"""The one record of a speech request: accepted once, ended once, counted and logged.

Owns: `tts_requests_*`, `tts_voice_fallbacks_total`, the stage durations, the canonical log line, the line of
the ledger's file, and the row of the history.
Refuses to know: the text (its length only).

A request that succeeds has ended before its answer's last byte leaves (`complete`); every other one ends with
its handler.

`accepted − finished = in flight` holds at every scrape, because all three change in plain calls on the
event loop and the scrape is rendered there too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from loguru import logger

from appliance.errors import (
    ApplianceError,
    CapacityError,
    DrainingError,
    OverloadedError,
    PoisonRequestError,
    QueueFullError,
    QuotaExceededError,
)
from appliance.metrics import OUTCOMES, GatewayMetrics
from appliance.speech import SpeechRequest
from appliance.store.errors import StorageError
from appliance.store.history import RUNNING, HistoryRow
from appliance.voices import Voice
from processes.gateway.account import EncodingTime
from processes.gateway.fallback import Replaced
from processes.gateway.history import History
from processes.gateway.ledger_file import LedgerFile, LedgerLine
from processes.gateway.request_trace import RequestTrace, exemplar_of
from processes.gateway.ticket import Stream

RECENT = 500
"""Requests that the percentiles of `ttsctl status` look back on."""


def rejection_reason(error: ApplianceError) -> str:
    """Return the label under which a refusal is counted."""
    match error:
        case QueueFullError() | QuotaExceededError():
            return "quota"
        case DrainingError():
            return "draining"
        case CapacityError():
            return "capacity"
        case PoisonRequestError():
            return "poison"
        case StorageError():
            return "storage"
        case _:
            return "invalid"


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """What the percentiles are made from."""

    ttfa_s: float | None
    total_s: float
    is_success: bool | None
    """None for a request whose client left."""


@dataclass(slots=True)
class Unspoken:
    """The figures of a request that no worker speaks for: of its own, as `Stream` has them."""

    audio_s: float = 0.0
    queue_wait_s: float | None = 0.0
    synthesis_s: float = 0.0
    utterance_count: int = 0
    worker: str = ""
    order_count: int = 0
    is_retried: bool = False


class RequestLedger:
    """Opens records and remembers the latest."""

    def __init__(
        self, metrics: GatewayMetrics, file: LedgerFile | None = None, history: History | None = None
    ) -> None:
        """Take where the requests are counted, and what gets a line or a row for each, if anything does."""
        self.metrics = metrics
        self.file = file
        self.history = history
        self.recent: deque[RecentRequest] = deque(maxlen=RECENT)
        self.accepted = 0
        self.rejected = 0
        self.finished = dict.fromkeys(OUTCOMES, 0)
        self.is_stopping = False
        """Set when the gateway cuts requests short: what is cancelled then wasn't left by its client."""
        self._idle = asyncio.Event()
        self._idle.set()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self.file is not None:
            self.file.close()

    @property
    def in_flight(self) -> int:
        """Requests that were accepted and haven't ended."""
        return self.accepted - sum(self.finished.values())

    async def until_idle(self) -> None:
        """Wait until no accepted request is left."""
        await self._idle.wait()

    def reject(self, error: ApplianceError) -> None:
        """Count a request that was refused before any work."""
        self.rejected += 1
        self.metrics.rejected.labels(rejection_reason(error)).inc()

    def accept(
        self,
        request_id: str,
        arrived_at_s: float,
        request: SpeechRequest,
        voice: Voice,
        stream: Stream | Unspoken,
        trace: RequestTrace | None = None,
    ) -> RequestRecord:
        """Open the record of a request that was taken in; use it as a context manager."""
        self.accepted += 1
        self._idle.clear()
        self.metrics.accepted.inc()
        self.metrics.in_flight.inc()
        record = RequestRecord(self, request_id, arrived_at_s, request, voice, stream)
        record.trace = trace
        return record

    def finish(self, outcome: str, recent: RecentRequest) -> None:
        """Count the end of an accepted request."""
        self.finished[outcome] += 1
        if not self.in_flight:
            self._idle.set()
        self.metrics.in_flight.dec()
        self.metrics.finished.labels(outcome).inc()
        self.recent.append(recent)


class RequestRecord:
    """One accepted request, until its one end."""

    def __init__(
        self,
        ledger: RequestLedger,
        request_id: str,
        arrived_at_s: float,
        request: SpeechRequest,
        voice: Voice,
        stream: Stream | Unspoken,
    ) -> None:
        self._ledger = ledger
        self._request_id = request_id
        self._arrived_at_s = arrived_at_s
        self._request = request
        self._voice = voice
        self._replaced: Replaced | None = None
        self._stream = stream
        self._cache: str | None = None
        self._ttfa_s: float | None = None
        self._error: BaseException | None = None
        self._has_ended = False
        self.encoding = EncodingTime()
        self.trace: RequestTrace | None = None
        """Where the request is traced."""
        self.sent_bytes = 0
        self._accepted_at = time.time()
        self._number = 0 if ledger.history is None else ledger.history.accept(self._row)

    def __enter__(self) -> Self:
        """Begin; nothing more happens here."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the request in exactly one state."""
        error = error or self._error
        if error is None:
            self.complete()
        elif isinstance(error, asyncio.CancelledError) and self._ledger.is_stopping:
            self._end("interrupted", "stop")
        elif isinstance(error, asyncio.CancelledError | ConnectionError):
            self._end("cancelled", "client")
        elif isinstance(error, OverloadedError) and error.has_waited:
            self._end("expired", error.code)
        else:
            self._end("failed", error.code if isinstance(error, ApplianceError) else "internal_error")

    @property
    def has_ended(self) -> bool:
        """Whether its end has been counted."""
        return self._has_ended

    def complete(self) -> None:
        """End the request as completed, if it hasn't ended: all but the answer's last byte was handed over.

        What happens to that byte changes nothing any more.
        """
        self._end("completed", "completed")

    def fail(self, error: BaseException) -> None:
        """Note what broke the answer off after it had begun, as nothing is raised for it any more."""
        self._error = error

    def spoken_by(self, voice: Voice, replaced: Replaced | None) -> None:
        """Note who speaks, and in whose place, which is counted."""
        self._voice, self._replaced = voice, replaced
        if replaced is not None:
            self._ledger.metrics.fallbacks.labels(replaced.reason, replaced.engine).inc()

    def answered_from(self, cache: str, stream: Stream | Unspoken) -> None:
        """Note what the cache had for it, and whose figures are its own.

        Args:
            cache: `hit`, `miss` or `shared`.
            stream: What workers do for it, or nothing.
        """
        self._cache, self._stream = cache, stream

    def hand_over(self, heir: RequestRecord) -> None:
        """Leave the figures of what workers do, so far and from now on, to another request that hears it.

        Args:
            heir: That request's, which hasn't ended.
        """
        heir._stream, self._stream = self._stream, Unspoken(queue_wait_s=self._stream.queue_wait_s)

    def first_audio(self) -> None:
        """Note that the first audio byte was written, or a finished answer is whole; counts once."""
        if self._ttfa_s is None:
            self._ttfa_s = time.monotonic() - self._arrived_at_s
            ttfa_s = self._ledger.metrics.ttfa_s.labels(self._voice.engine)
            ttfa_s.observe(self._ttfa_s, exemplar_of(self.trace))

    def _end(self, outcome: str, ended_by: str) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        total_s = time.monotonic() - self._arrived_at_s
        stream = self._stream
        self._ledger.metrics.duration_s.labels("total").observe(total_s, exemplar_of(self.trace))
        if isinstance(stream, Stream):
            self._observe_work(stream)
        is_success = None if outcome in ("cancelled", "interrupted") else outcome == "completed"
        self._ledger.finish(outcome, RecentRequest(self._ttfa_s, total_s, is_success))
        self._log(outcome, ended_by, total_s)
        if self.trace is not None:
            self._tell(self.trace, outcome, ended_by)
        if self._ledger.file is not None:
            self._ledger.file.write(self._line(outcome, ended_by))
        if self._ledger.history is not None:
            row = self._row(outcome, ended_by, ended_at=time.time(), total_s=total_s)
            self._ledger.history.end(self._number, row)

    def _observe_work(self, stream: Stream) -> None:
        """Count what workers and encoders did; for a request that nobody speaks for, nothing."""
        metrics = self._ledger.metrics
        if stream.queue_wait_s is not None:
            metrics.duration_s.labels("queue").observe(stream.queue_wait_s)
        metrics.duration_s.labels("synth").observe(stream.synthesis_s)
        metrics.duration_s.labels("encode").observe(self.encoding.work_s)
        metrics.audio_s.inc(max(0.0, stream.audio_s))

    def _row(
        self, state: str = RUNNING, ended_by: str = "", ended_at: float | None = None, total_s: float = 0.0
    ) -> HistoryRow:
        """Return the row of the history, by default that of a request that runs."""
        request, stream = self._request, self._stream
        keeps_text = self._ledger.history is not None and self._ledger.history.keeps_text
        return HistoryRow(
            request_id=self._request_id,
            accepted_at=self._accepted_at,
            ended_at=ended_at,
            state=state,
            ended_by=ended_by,
            voice=self._voice.id,
            format=request.format.value,
            chars=len(request.text),
            utterances=stream.utterance_count,
            queue_wait_s=stream.queue_wait_s,
            ttfa_s=self._ttfa_s,
            synthesis_s=stream.synthesis_s,
            audio_s=stream.audio_s,
            total_s=total_s,
            bytes=self.sent_bytes,
            worker=stream.worker,
            # SQLite takes no lone surrogates.
            text=request.text.encode("utf-8", "replace").decode() if keeps_text else None,
        )

    def _line(self, outcome: str, ended_by: str) -> LedgerLine:
        stream = self._stream
        return LedgerLine(
            request_id=self._request_id,
            state=outcome,
            ended_by=ended_by,
            bytes=self.sent_bytes,
            audio_s=round(stream.audio_s, 6),
            worker=stream.worker,
            utterances=stream.utterance_count,
            orders=stream.order_count,
            retried=stream.is_retried,
        )

    def _log(self, outcome: str, ended_by: str, total_s: float) -> None:
        """Write the canonical line; every request that was taken in has exactly one."""
        stream, replaced = self._stream, self._replaced
        rtf = stream.synthesis_s / stream.audio_s if stream.audio_s > 0 else None
        logger.info(
            "request_finished",
            request_id=self._request_id,
            outcome=outcome,
            voice=self._voice.id if replaced is None else replaced.voice_id,
            fallback=None if replaced is None else self._voice.id,
            fallback_reason=None if replaced is None else replaced.reason,
            format=self._request.format.value,
            cache=self._cache,
            chars=len(self._request.text),
            utterances=stream.utterance_count,
            queue_wait_s=_rounded(stream.queue_wait_s),
            ttfa_s=_rounded(self._ttfa_s),
            synthesis_s=_rounded(stream.synthesis_s),
            audio_s=_rounded(stream.audio_s),
            rtf=_rounded(rtf),
            total_s=_rounded(total_s),
            bytes=self.sent_bytes,
            worker=stream.worker,
            ended_by=ended_by,
            ended_in=self._stage(),
            trace_id=None if self.trace is None else self.trace.context.trace_id,
        )

    def _tell(self, trace: RequestTrace, outcome: str, ended_by: str) -> None:
        """Say in the request's span what became of it, and when it was encoded."""
        encoding, stream, replaced = self.encoding, self._stream, self._replaced
        if encoding.begun_at_s is not None:
            trace.add("encode", encoding.begun_at_s, encoding.ended_at_s, {"tts.work_s": encoding.work_s})
        trace.note(
            request_id=self._request_id,
            outcome=outcome,
            ended_by=ended_by,
            voice=self._voice.id,
            engine=self._voice.engine,
            fallback_reason=None if replaced is None else replaced.reason,
            format=self._request.format.value,
            cache=self._cache,
            chars=len(self._request.text),
            utterances=stream.utterance_count,
            ttfa_s=self._ttfa_s,
            synthesis_s=stream.synthesis_s,
            audio_s=stream.audio_s,
            bytes=self.sent_bytes,
        )
        if outcome not in ("completed", "cancelled"):
            trace.error = ended_by

    def _stage(self) -> str:
        """Return how far the request came."""
        if self._stream.queue_wait_s is None:
            return "queue"
        if self._ttfa_s is None:
            return "synthesis"
        return "stream"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
