"""The jobs beside the requests: handed in, followed, some cancelled, and accounted for.

Owns: the jobs' clients, what each knows at the end, the comparison with the rows, its table.
Refuses to know: faults.

    acknowledged   the client has a 202
    lost           acknowledged, and there is no row
    unexpected     a row that nobody asked for, or of a deleted job
    unfinished     a row that is no end, when its client was to have seen one
    contradicted   the client saw another end than the row has, or cancelled and it was completed
    failed         ended otherwise than completed or cancelled
    wrong          completed, and the audio isn't what the text gives
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from appliance.audio.encoders.wav import HEADER_BYTES
from appliance.settings import Settings
from appliance.store.check import connect
from appliance.store.jobs import ENDED
from loadtests.figures import Table
from loadtests.ledger.compare import SHOWN_IDS
from loadtests.ledger.reference import TEXTS, VOICE, job_audio_hash, texts
from loadtests.open_loop import run_schedule
from processes.gateway.job_intake import scoped_key

RATE_HZ = 2.0
CANCEL_EVERY = 8
ANSWER_S = 30.0
AGAIN_S = 0.1
PATIENCE_S = 120.0
"""From handing a job in to its end: a job waits while everybody else is served."""
AWAY = frozenset({429, 503, 507})
"""Answers of a gateway that has only just started, or drains."""
ACCEPTED = 202
ADDRESS = "127.0.0.203"
DATABASE = Settings().store.file


@dataclass(slots=True)
class JobLine:
    """A job, as its client knows it in the end."""

    key: str
    text_number: int
    id: str = ""
    """Of the 202; empty without one."""
    state: str = ""
    """What the client saw last: its end, if it saw one; `gone` where nobody knew of it any more."""
    is_cancelled: bool = False
    """Whether the client was told that it is cancelled."""
    is_deleted: bool = False
    """Whether it had ended when its client cancelled it, so that this has deleted it."""
    sha256: str = ""
    """Of the audio, without its header."""

    @property
    def stored_key(self) -> str:
        """What the job's row has for its key."""
        return scoped_key(f"address:{ADDRESS}", self.key)


@dataclass(frozen=True, slots=True)
class JobAccount:
    """What the comparison found; each field but the first two holds keys of jobs."""

    handed_in: int
    states: Mapping[str, int]
    acknowledged: tuple[str, ...]
    lost: tuple[str, ...]
    unexpected: tuple[str, ...]
    unfinished: tuple[str, ...]
    contradicted: tuple[str, ...]
    failed: tuple[str, ...]
    wrong: tuple[str, ...]

    def faults(self) -> dict[str, tuple[str, ...]]:
        """Return what must be empty."""
        names = ("lost", "unexpected", "unfinished", "contradicted", "failed", "wrong")
        return {name: getattr(self, name) for name in names}

    def misses(self) -> Iterator[str]:
        """Say in one line each what isn't as it must be."""
        if len(self.acknowledged) < self.handed_in:
            yield f"jobs: {self.handed_in - len(self.acknowledged)} were never acknowledged"
        for name, keys in self.faults().items():
            if keys:
                yield f"jobs {name}: {len(keys)} ({', '.join(keys[:SHOWN_IDS])})"

    def table(self) -> Table:
        """Return the counts as a table."""
        counts = {
            "jobs": self.handed_in,
            "acknowledged": len(self.acknowledged),
            "completed": self.states.get("completed", 0),
            "cancelled": self.states.get("cancelled", 0),
            **{name: len(keys) for name, keys in self.faults().items()},
        }
        return Table(tuple(counts), [tuple(f"{count:,}" for count in counts.values())])


async def run_jobs(port: int, duration_s: float) -> list[JobLine]:
    """Hand jobs in by a schedule for some seconds and follow each to its end; return what became of them."""
    lines: list[JobLine] = []
    begun_s = time.monotonic()
    connector = TCPConnector(local_addr=(ADDRESS, 0), force_close=True, limit=0)
    timeout = ClientTimeout(total=ANSWER_S)
    async with ClientSession(f"http://127.0.0.1:{port}", connector=connector, timeout=timeout) as session:

        async def one(number: int, _at_s: float) -> None:
            line = JobLine(f"job-{number}", number % TEXTS)
            lines.append(line)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await _JobClient(session, line).follow(is_leaver=number % CANCEL_EVERY == 0)

        starts_s = (begun_s + number / RATE_HZ for number in range(int(duration_s * RATE_HZ)))
        await run_schedule(starts_s, one)
    return lines


def read_job_rows(data_dir: Path) -> dict[str, tuple[str, str]]:
    """Return id and state of each job's row, by the key that it is kept under; blocks."""
    with contextlib.closing(connect(data_dir / DATABASE, mode="ro")) as connection:
        rows = connection.execute("SELECT idempotency_key, id, state FROM jobs")
        return {str(key): (job_id, state) for key, job_id, state in rows}


def compare_jobs(lines: Sequence[JobLine], rows: Mapping[str, tuple[str, str]]) -> JobAccount:
    """Compare what the clients know with the rows."""
    states: dict[str, int] = {}
    for _, state in rows.values():
        states[state] = states.get(state, 0) + 1
    acknowledged = [line for line in lines if line.id]
    there = [(line, rows[line.stored_key][1]) for line in acknowledged if _has_row(line, rows)]
    return JobAccount(
        handed_in=len(lines),
        states=states,
        acknowledged=_keys(acknowledged),
        lost=_keys(line for line in acknowledged if not line.is_deleted and not _has_row(line, rows)),
        unexpected=tuple(sorted(rows.keys() - {line.stored_key for line in lines if not line.is_deleted})),
        unfinished=tuple(sorted(key for key, (_, state) in rows.items() if state not in ENDED)),
        contradicted=_keys(line for line, state in there if _is_contradicted(line, state)),
        failed=tuple(sorted(key for key, (_, state) in rows.items() if state == "failed")),
        wrong=_keys(line for line, state in there if state == "completed" and _is_wrong(line)),
    )


class _JobClient:
    """The client of one job; asks again whenever the gateway is away."""

    def __init__(self, session: ClientSession, line: JobLine) -> None:
        self._session = session
        self._line = line

    async def follow(self, *, is_leaver: bool) -> None:
        """Hand the job in and see it to its end; what is known is kept in its line.

        Args:
            is_leaver: Whether to cancel it as soon as it is accepted.
        """
        line = self._line
        order = {"input": texts()[line.text_number], "voice": VOICE.id, "response_format": "wav"}
        status, body = await self._ask("POST", "/v1/jobs", json.dumps(order).encode())
        if status != ACCEPTED:
            return
        line.id = json.loads(body)["id"]
        path = f"/v1/jobs/{line.id}"
        if is_leaver:
            await self._cancel(path)
        while line.state not in ENDED and not line.is_deleted:
            line.state = json.loads((await self._ask("GET", path))[1]).get("state", "gone")
            if is_leaver and line.state == "gone":
                line.is_deleted = True
            await asyncio.sleep(AGAIN_S)
        if line.state == "completed" and not line.is_deleted:
            _, audio = await self._ask("GET", f"{path}/audio")
            line.sha256 = hashlib.sha256(audio[HEADER_BYTES:]).hexdigest()

    async def _cancel(self, path: str) -> None:
        """Cancel the job, once: a second time would delete it. Unanswered, what came of it shows later."""
        with contextlib.suppress(ClientError, OSError, TimeoutError):
            async with self._session.delete(path) as answer:
                state = json.loads(await answer.read()).get("state")
                self._line.is_cancelled = state == "cancelled"
                self._line.is_deleted = state in ENDED and not self._line.is_cancelled

    async def _ask(self, method: str, path: str, data: bytes | None = None) -> tuple[int, bytes]:
        """Ask until a gateway answers that can; return status and body."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": self._line.key}
        while True:
            with contextlib.suppress(ClientError, OSError, TimeoutError):
                async with self._session.request(method, path, data=data, headers=headers) as answer:
                    body = await answer.read()
                    if answer.status not in AWAY:
                        return answer.status, body
            await asyncio.sleep(AGAIN_S)


def _has_row(line: JobLine, rows: Mapping[str, tuple[str, str]]) -> bool:
    return line.stored_key in rows and rows[line.stored_key][0] == line.id


def _is_contradicted(line: JobLine, state: str) -> bool:
    return line.state != state or (line.is_cancelled and state != "cancelled")


def _is_wrong(line: JobLine) -> bool:
    return line.sha256 != job_audio_hash(line.text_number)


def _keys(lines: Iterable[JobLine]) -> tuple[str, ...]:
    return tuple(line.key for line in lines)
