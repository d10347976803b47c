"""One connection to the gateway: hello, then one utterance at a time.

Owns: the order of messages, the waiting for grants, looking for CANCEL and DRAIN between two chunks.
Refuses to know: how the connection came about, what an engine does, which utterance is more urgent.

                 +------ SYNTHESIZE ------> waiting for a grant --- GRANT --> computing --+
      idle ------+                              ^                               |   |     |
       ^                                        +-------- AUDIO ends_window ----+   |     |
       +---------------------------- DONE, or FAILED, or DONE was_cancelled --------+-----+

SIGTERM makes the worker say DRAIN, once. The gateway orders nothing more and answers with DRAIN, which comes
behind every order that was under way; so a worker that is stopped finishes what it speaks, and loses nothing.

The loop is synchronous: an engine that hangs is one stack in this process's SIGABRT dump. The text to speak
is never logged, nor is any value that could hold it.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from enum import Enum, auto

from loguru import logger

from appliance.engines.base import Engine
from appliance.errors import BadMessageError, EngineFailedError, SynthesisError
from appliance.ipc.blocking_channel import BlockingChannel
from appliance.ipc.messages import (
    MAX_WINDOWS,
    Audio,
    Cancel,
    Done,
    Drain,
    Failed,
    Grant,
    Message,
    Synthesize,
    hello_pages,
)
from appliance.sound_sources import sound_sources
from appliance.speech import MAX_UTTERANCE_PCM_BYTES, PcmChunk, Utterance
from appliance.tracing import Window
from processes.worker.containment import private_bytes
from processes.worker.heartbeat import HeartbeatThread
from processes.worker.stop_signal import StopSignal

FINISH_S = 4.0
"""Seconds after SIGTERM in which what is spoken may be finished; supervisord's `stopwaitsecs` is longer."""
SOURCES_CHARS = 16
"""Hexadecimal digits of the sources' hash that follow an engine's version."""
ANSWER_S = 1.0
"""Seconds that the gateway has to answer DRAIN; without an answer an idle worker ends."""


class Ending(Enum):
    """Why a session ended without an error."""

    DRAINED = auto()
    """The gateway asked the worker to end, and what ran is finished."""
    STOPPED = auto()
    """SIGTERM has come, and what ran is finished or would have taken too long."""


class _CancelledError(Exception):
    """The gateway cancelled the current utterance."""


class _OutOfTimeError(Exception):
    """SIGTERM has come, and the current utterance takes longer than `FINISH_S`."""


class Session:
    """What a worker says and hears over one connection."""

    def __init__(
        self, worker: str, engine: Engine, channel: BlockingChannel, stop: StopSignal, store_mark: str = ""
    ) -> None:
        """Take what the session works with; closes none of it.

        Args:
            worker: The worker's program name under supervisord.
            engine: Warm.
            channel: Connected, nothing said yet.
            stop: SIGTERM.
            store_mark: Says which voices the engine has listed, those of the store as it was then.
        """
        self._worker = worker
        self._store_mark = store_mark
        self._engine = engine
        self._channel = channel
        self._stop = stop
        self._is_draining = False
        self._leave_by_s: float | None = None
        """Monotonic time by which to end; set by SIGTERM."""
        self._farewell = threading.Lock()
        """Taken, for good, by the thread that says DRAIN."""
        self._grants = 0
        self._windows: list[Window] | None = None
        """What is computed of the current utterance; None where nobody wants to know."""
        self._window_since_s: float | None = None
        """Monotonic time since which it is computed; None while it waits for a grant."""
        self.utterances = 0
        """Orders to speak that have come."""

    def serve(self, heartbeat_s: float, leave_s: float, on_stuck: Callable[[], None]) -> Ending:
        """Say hello and speak utterances; blocks until the session is over.

        Args:
            heartbeat_s: Seconds between two heartbeats, from hello on.
            leave_s: Seconds that an engine may go on once the gateway has gone.
            on_stuck: Called in another thread when it goes on for longer.

        Raises:
            EOFError: The gateway went away; what was being spoken is stopped.
            ProtocolError: The gateway broke the protocol; likewise.
        """
        engine = self._engine
        version = f"{engine.version} {sound_sources()[:SOURCES_CHARS]}"
        for page in hello_pages(
            self._worker, engine.name, version, os.getpid(), engine.voices(), engine.variants()
        ):
            self._channel.send(replace(page, store_mark=self._store_mark, is_on_cpu=engine.is_on_cpu))
        logger.info("worker_ready", worker=self._worker, engine_version=version)
        with HeartbeatThread(self._channel, heartbeat_s, self._say_drain, leave_s, on_stuck):
            try:
                return self._serve_utterances()
            except _OutOfTimeError:
                return Ending.STOPPED

    def _serve_utterances(self) -> Ending:
        while not self._is_draining:
            was_leaving = self._leave_by_s is not None
            message = self._channel.receive(ANSWER_S if was_leaving else None)
            self._look_for_stop()
            match message:
                case Synthesize():
                    self._speak(message)
                case Drain():
                    self._is_draining = True
                case Cancel() | Grant():
                    pass  # for an utterance that has ended meanwhile
                case None:
                    self._is_draining = was_leaving
                case _:
                    raise _unexpected(message)
        return Ending.DRAINED if self._leave_by_s is None else Ending.STOPPED

    def _look_for_stop(self) -> None:
        """Once SIGTERM has come, set this worker's end and tell the gateway; later calls change nothing."""
        if self._stop.is_set and self._leave_by_s is None:
            self._leave_by_s = time.monotonic() + FINISH_S
            self._stop.acknowledge()
            self._say_drain()

    def _say_drain(self) -> None:
        """Once SIGTERM has come, say so, once; any thread may call it.

        The heartbeat does, for an engine that computes so long that only supervisord's SIGKILL ends it.
        """
        if self._stop.has_come() and self._farewell.acquire(blocking=False):
            self._channel.send(Drain())

    def _left_s(self) -> float | None:
        """Return the seconds until this worker has to end; None without an end in sight."""
        return None if self._leave_by_s is None else max(0.0, self._leave_by_s - time.monotonic())

    def _speak(self, order: Synthesize) -> None:
        """Speak one utterance to its DONE or FAILED."""
        self._grants = 0
        self._windows = [] if order.traceparent else None
        self.utterances += 1
        utterance_id = order.utterance_id
        try:
            synthesis_s = self._send_audio(utterance_id, order.utterance)
        except _CancelledError:
            windows = self._take_windows()
            reply: Message = Done(utterance_id, 0.0, private_bytes(), was_cancelled=True, windows=windows)
        except SynthesisError as error:
            traced = {"traceparent": order.traceparent} if order.traceparent else {}
            logger.warning("synthesis_failed", utterance_id=utterance_id, code=error.code, **traced)
            windows = self._take_windows()
            reply = Failed(utterance_id, error.code, error.message, private_bytes(), windows)
        else:
            reply = Done(utterance_id, synthesis_s, private_bytes(), windows=self._take_windows())
        self._channel.send(reply)

    def _take_windows(self) -> tuple[Window, ...]:
        """End the window that is being computed, if any is; return all of the utterance's."""
        self._end_window()
        return tuple(self._windows or ())

    def _end_window(self) -> None:
        since_s, self._window_since_s = self._window_since_s, None
        if self._windows is not None and since_s is not None and len(self._windows) < MAX_WINDOWS:
            self._windows.append((since_s, time.monotonic()))

    def _send_audio(self, utterance_id: int, utterance: Utterance) -> float:
        """Send every chunk of an utterance, each window with a grant; return the seconds it took to compute.

        Raises:
            _CancelledError: CANCEL has come.
            _OutOfTimeError: SIGTERM has come too long ago.
            SynthesisError: The engine failed, or gave more than an utterance may hold.
        """
        ordered_s = time.perf_counter()
        self._await_grant(utterance_id)
        started_s = time.perf_counter()
        utterance = replace(utterance, waited_s=started_s - ordered_s)
        waited_s = 0.0
        sent_bytes = 0
        with closing(self._engine.synthesize(utterance)) as chunks:
            while True:
                chunk = _next_chunk(chunks)
                sent_bytes += len(chunk.pcm)
                if sent_bytes > MAX_UTTERANCE_PCM_BYTES:
                    message = "The engine gave more audio than an utterance may hold"
                    raise EngineFailedError(message)
                self._take_in(utterance_id, self._channel.poll())
                self._channel.send(Audio(utterance_id, chunk))
                if chunk.is_last:
                    return time.perf_counter() - started_s - waited_s
                if chunk.ends_window:
                    waiting_since_s = time.perf_counter()
                    self._await_grant(utterance_id)
                    waited_s += time.perf_counter() - waiting_since_s

    def _await_grant(self, utterance_id: int) -> None:
        """Use up one grant of the utterance, waiting for it where none has come."""
        self._end_window()
        while not self._grants:
            self._take_in(utterance_id, self._channel.receive(self._left_s()))
        self._grants -= 1
        self._window_since_s = time.monotonic()

    def _take_in(self, utterance_id: int, message: Message | None) -> None:
        """Note what a message means while an utterance is being spoken; None is no message."""
        self._look_for_stop()
        if self._left_s() == 0:
            raise _OutOfTimeError
        match message:
            case Grant(granted_id):
                self._grants += granted_id == utterance_id
            case Cancel(cancelled_id):
                if cancelled_id == utterance_id:
                    raise _CancelledError
            case Drain():
                self._is_draining = True
            case None:
                pass
            case _:
                raise _unexpected(message)


def _next_chunk(chunks: Iterator[PcmChunk]) -> PcmChunk:
    """Return the engine's next chunk; whatever goes wrong in the engine is a `SynthesisError`."""
    try:
        return next(chunks)
    except SynthesisError:
        raise
    except StopIteration:
        message = "The engine ended without a last chunk"
    except Exception as error:  # noqa: BLE001 (whatever an engine throws, the worker lives on)
        # Its message could hold the text, so only the class and the places are logged.
        places = "".join(traceback.format_tb(error.__traceback__))
        logger.error("engine_raised", error=type(error).__name__, places=places)
        message = f"The engine failed: {type(error).__name__}"
    raise EngineFailedError(message)


def _unexpected(message: Message | None) -> BadMessageError:
    return BadMessageError(f"A worker doesn't expect {type(message).__name__} now")
