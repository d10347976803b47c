"""What lies on the disk when the gateway is gone: held against what its clients were promised.

Owns: the rules of that comparison.
Refuses to know: how the gateway went, and HTTP. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.audio.encoders.wav import HEADER_BYTES
from appliance.settings import Settings
from appliance.store.check import connect
from appliance.store.jobs import ENDED
from appliance.store.opening import prepare
from loadtests.durability.orders import Order
from loadtests.ledger.reference import job_audio_hash, texts
from processes.gateway.job_folder import (
    AUDIO_NAME,
    JOBS_NAME,
    PACK_NAME,
    SPOKEN_NAME,
    TEXT_NAME,
    UTTERANCES_NAME,
)
from tests.parts.packs import opened_copy

JOBS = "SELECT id, job, state, idempotency_key FROM jobs"
SPOKEN = "SELECT name, sha256 FROM job_utterances WHERE job = ?"
DATABASE = Settings().store.file


@dataclass
class Seen:
    """What all looks together have found that may not be; each entry says what and where."""

    databases: list[str] = field(default_factory=list)
    """Not whole, or not the one that was there."""
    lost: set[str] = field(default_factory=set)
    """Acknowledged jobs without a row."""
    changed: set[str] = field(default_factory=set)
    """Jobs that had ended, and had another state later."""
    strange: set[str] = field(default_factory=set)
    """Rows that nobody asked for, or whose deletion was acknowledged."""
    files: list[str] = field(default_factory=list)
    """Missing or not as they were written."""


def look(data_dir: Path, orders: Sequence[Order], seen: Seen) -> None:
    """Open the database as the next gateway does and compare it with what was acknowledged.

    Args:
        data_dir: The gateway's.
        orders: All that were ever handed in; the end in which each is first seen is noted there.
        seen: Gets what may not be.
    """
    path = data_dir / DATABASE
    opened = prepare(path)
    if opened.state != "ok":
        seen.databases.append(f"{opened.state}: {opened.reason}")
        return
    with contextlib.closing(connect(path, mode="ro")) as connection:
        connection.row_factory = sqlite3.Row
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            seen.databases.append(verdict)
        rows = {row["id"]: row for row in connection.execute(JOBS)}
        kept = {order.stored_key for order in orders if not order.is_deleted}
        seen.strange |= {row["id"] for row in rows.values() if row["idempotency_key"] not in kept}
        for order in orders:
            if not order.is_open:
                continue
            row = rows.get(order.id)
            if row is None:
                seen.lost.add(order.id)
                continue
            _note_end(order, row["state"], seen)
            spoken = connection.execute(SPOKEN, (row["job"],)).fetchall()
            seen.files += _broken(data_dir / JOBS_NAME / order.id, order, row["state"], spoken)


def _note_end(order: Order, state: str, seen: Seen) -> None:
    if order.ended_as not in ("", state):
        seen.changed.add(order.id)
    if state in ENDED:
        order.ended_as = order.ended_as or state


def _broken(folder: Path, order: Order, state: str, spoken: Iterable[Any]) -> Iterator[str]:
    """Yield the files of a job that aren't as its row says."""
    if state == "completed":
        audio = _read(folder / AUDIO_NAME)
        if audio is None or _sha256(audio[HEADER_BYTES:]) != job_audio_hash(order.text_number):
            yield f"{order.id}: {AUDIO_NAME}"
        return
    if (_read(folder / TEXT_NAME) or b"").partition(b"\n")[2] != texts()[order.text_number].encode():
        yield f"{order.id}: {TEXT_NAME}"
    utterances = _read(folder / UTTERANCES_NAME)
    if utterances is not None and not utterances.endswith(b"\n"):
        yield f"{order.id}: {UTTERANCES_NAME}"
    with opened_copy(folder / SPOKEN_NAME / PACK_NAME) as pack:
        for name, sha256 in spoken:
            if pack.read(name, sha256) is None:
                yield f"{order.id}: {SPOKEN_NAME}/{PACK_NAME}, {name}"


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
