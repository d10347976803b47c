"""The worker's heartbeat: a thread that says the interpreter still runs.

Owns: the thread and its rhythm; noticing that the main thread doesn't leave a connection that has ended.
Refuses to know: whether the engine makes progress; the gateway judges that by the audio that comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from appliance.ipc.blocking_channel import BlockingChannel
from appliance.ipc.messages import Heartbeat
from processes.worker.containment import private_bytes


class HeartbeatThread:
    """Sends HEARTBEAT over one connection for as long as its `with` block lasts or the peer is there."""

    def __init__(
        self,
        channel: BlockingChannel,
        interval_s: float,
        before_beat: Callable[[], None],
        leave_s: float,
        on_stuck: Callable[[], None],
    ) -> None:
        """Take what the thread works with.

        Args:
            channel: Where to beat.
            interval_s: Seconds between two beats.
            before_beat: Called in the thread before each beat; may raise EOFError.
            leave_s: Seconds that the `with` block may last once the peer has gone.
            on_stuck: Called in the thread when it lasts longer.
        """
        self._channel = channel
        self._interval_s = interval_s
        self._before_beat = before_beat
        self._leave_s = leave_s
        self._on_stuck = on_stuck
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()

    def _beat(self) -> None:
        try:
            while not self._ended.wait(self._interval_s):
                self._before_beat()
                self._channel.send(Heartbeat(private_bytes()))
        except (EOFError, OSError):
            # The session sees the same end of the connection, and reports it; but not from inside an engine
            # that hangs, and no gateway would ever know of that.
            if not self._ended.wait(self._leave_s):
                self._on_stuck()
