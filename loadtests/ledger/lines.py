"""The two halves of the ledger: a line for each attempt of a client, a row for each request the server ended.

Owns: their fields, reading and writing them as JSON lines.
Refuses to know: how they are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

SUCCESS = range(200, 300)
MAX_LINE_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class ClientLine:
    """One attempt, as its client saw it. Times are of the machine's monotonic clock, in seconds."""

    id: str
    """The request's `X-Request-ID`."""
    kind: str
    """`load`, `leaver` (hangs up beside one of these), `synthetic` (the sampler's) or `fault` (sent in order
    to break something)."""
    text_number: int
    """Which text was asked for; -1 for one of a fault's own."""
    intended_at_s: float
    sent_at_s: float
    ended_at_s: float
    first_audio_at_s: float | None = None
    """None without any audio."""
    status: int | None = None
    """None where the connection ended before an answer."""
    code: str | None = None
    """The error's code, of an answer that has one."""
    exception: str | None = None
    """What broke the attempt off; None for a whole answer."""
    sha256: str = ""
    """Of the audio, without its header; empty where there is no whole answer."""
    bytes: int = 0
    """Bytes of the body."""
    retry_after_s: int | None = None
    """What the answer's `Retry-After` says."""

    @property
    def is_acknowledged(self) -> bool:
        """Whether the client has a whole answer with success."""
        return self.status in SUCCESS and self.exception is None

    @property
    def is_rejected(self) -> bool:
        """Whether the client has a whole answer that says no, with a code for programs."""
        return self.status is not None and self.exception is None and self.code is not None

    @property
    def first_audio_s(self) -> float | None:
        """Seconds from the intended start to the first audio."""
        return None if self.first_audio_at_s is None else self.first_audio_at_s - self.intended_at_s


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One accepted request, as `log.ledger_file` has it."""

    id: str
    state: str
    ended_by: str = ""
    bytes: int = 0
    worker: str = ""
    utterances: int = 1
    orders: int = 1
    """Orders to speak one of its utterances that workers were given."""
    retried: bool = False

    @property
    def is_spoken_twice(self) -> bool:
        """Whether workers were ordered more than there was to speak, without a worker having been lost."""
        return self.orders > self.utterances and not self.retried


def write_client_lines(path: Path, lines: Iterable[ClientLine]) -> None:
    """Write the clients' half, one JSON line for each attempt."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(line), separators=(",", ":")) + "\n" for line in lines)


def read_server_rows(path: Path) -> tuple[list[ServerRow], int]:
    """Read the server's half.

    Returns:
        The rows in their order, and how many lines can't be read: a killed gateway may leave a torn one.

    Raises:
        OSError: The file can't be read.
    """
    rows: list[ServerRow] = []
    unreadable = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            row = parse_row(line)
            if row is None:
                unreadable += 1
            else:
                rows.append(row)
    return rows, unreadable


def parse_row(line: bytes) -> ServerRow | None:
    """Return the row in a line of the server's file, or None for a line that isn't whole."""
    try:
        values = json.loads(line)
        return ServerRow(
            id=str(values["request_id"]),
            state=str(values["state"]),
            ended_by=str(values["ended_by"]),
            bytes=int(values["bytes"]),
            worker=str(values["worker"]),
            utterances=int(values["utterances"]),
            orders=int(values["orders"]),
            retried=bool(values["retried"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
