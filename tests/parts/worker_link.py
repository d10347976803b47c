"""A real worker process, and the gateway's end of its connection in the hands of a test."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from appliance.ipc.blocking_channel import BlockingChannel
from appliance.ipc.messages import Audio, Done, Failed, Grant, Heartbeat, Hello, Message, Synthesize
from appliance.lifecycle import listen_unix
from appliance.speech import PcmChunk, Utterance

PATIENCE_S = 15.0
"""Seconds after which a test gives up; no test waits for it to pass."""


def worker_command(engine: str, slot: int = 1, give_up_s: float = 30.0) -> list[str]:
    module = [sys.executable, "-m", "processes.worker"]
    return [*module, "--engine", engine, "--slot", str(slot), "--give-up-s", str(give_up_s)]


def worker_environ(run_dir: Path, **environ: str) -> dict[str, str]:
    return {**os.environ, "APPLIANCE_RUN_DIR": str(run_dir), **environ}


class WorkerProcess:
    """`python -m processes.worker`, with its log lines readable as they come."""

    def __init__(
        self, run_dir: Path, engine: str = "tone", *, slot: int = 1, give_up_s: float = 30.0, **environ: str
    ) -> None:
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.output: list[str] = []
        """Every line taken from `lines` so far."""
        self._process = subprocess.Popen(
            worker_command(engine, slot, give_up_s),
            env=worker_environ(run_dir, **environ),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self.lines.put(line)
        self.lines.put(None)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(PATIENCE_S)

    def wait_for_line(self, part: str, patience_s: float = PATIENCE_S) -> str:
        """Return the next line of its stderr that holds this."""
        while (line := self.lines.get(timeout=patience_s)) is not None:
            self.output.append(line)
            if part in line:
                return line
        message = f"the worker ended without saying {part!r}: {''.join(self.output)}"
        raise AssertionError(message)

    def wait_for_event(self, event: str, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return the next log line of this event."""
        values: dict[str, Any] = json.loads(self.wait_for_line(f'"event":"{event}"', patience_s))
        return values

    def remaining_output(self) -> str:
        """Return everything it has said, once it has ended."""
        while (line := self.lines.get(timeout=PATIENCE_S)) is not None:
            self.output.append(line)
        return "".join(self.output)


class WorkerLink:
    """One accepted connection of a worker."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.channel = BlockingChannel(connection)
        self.heartbeats = 0
        """HEARTBEATs taken in so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.channel.close()

    def send(self, message: Message) -> None:
        self.channel.send(message)

    def send_bytes(self, data: bytes) -> None:
        self._connection.sendall(data)

    def shutdown_sending(self) -> None:
        """Say that nothing more will be sent; the worker may have hung up already."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def next_heartbeat(self, timeout_s: float = PATIENCE_S) -> Heartbeat | None:
        message = self.channel.receive(timeout_s)
        assert message is None or isinstance(message, Heartbeat), message
        return message

    def next_message(self) -> Message:
        """Return the next message that isn't a heartbeat."""
        deadline_s = time.monotonic() + PATIENCE_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            message = self.channel.receive(left_s)
            if isinstance(message, Heartbeat):
                self.heartbeats += 1
            elif message is not None:
                return message
        raise TimeoutError

    def hello(self) -> list[Hello]:
        """Take in every page of HELLO."""
        pages: list[Hello] = []
        while not pages or len(pages) < pages[0].pages:
            page = self.next_message()
            assert isinstance(page, Hello), page
            pages.append(page)
        return pages

    def next_audio(self) -> PcmChunk:
        message = self.next_message()
        assert isinstance(message, Audio), message
        return message.chunk

    def speak(self, utterance_id: int, order: Utterance) -> tuple[list[PcmChunk], Done | Failed]:
        """Have an utterance spoken with as many grants as it wants; every frame must carry its id."""
        self.send(Synthesize(utterance_id, order))
        self.send(Grant(utterance_id))
        return self.finish(utterance_id)

    def finish(self, utterance_id: int) -> tuple[list[PcmChunk], Done | Failed]:
        """Take in what is left of an utterance that has its grant."""
        chunks: list[PcmChunk] = []
        while True:
            message = self.next_message()
            assert isinstance(message, Audio | Done | Failed), message
            assert message.utterance_id == utterance_id
            if not isinstance(message, Audio):
                return chunks, message
            chunks.append(message.chunk)
            if message.chunk.ends_window:
                self.send(Grant(utterance_id))


class WorkersSocket:
    """The gateway's listening socket."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "workers.sock"
        self._server = listen_unix(self.path)
        self._server.settimeout(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.close()
        self.path.unlink(missing_ok=True)

    def accept(self) -> WorkerLink:
        """Wait for a worker to connect."""
        connection, _ = self._server.accept()
        connection.setblocking(True)
        return WorkerLink(connection)

    def greet(self) -> WorkerLink:
        """Wait for a worker and take in its hello."""
        link = self.accept()
        link.hello()
        return link


def messages_of(link: WorkerLink) -> Iterator[Message]:
    """Yield what comes until the worker closes the connection."""
    while True:
        try:
            yield link.next_message()
        except EOFError:
            return
