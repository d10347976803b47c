"""Databases of the store as a test wants to find them: of an older version, damaged in one place only."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from appliance.store.check import connect
from appliance.store.migrations import STEPS, migrate

LEAF_OF_AN_INDEX = 0x0A
"""First byte of such a page. Source: sqlite.org/fileformat2.html, 1.6."""


def make_old(path: Path, version: int, runs: int) -> None:
    """Make a database as a gateway of an older version leaves it.

    Args:
        path: Its file.
        version: Of its schema.
        runs: Number of rows of `runs`.
    """
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(connect(path, mode="rwc")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection, STEPS[:version])
        rows = [(number,) for number in range(runs)]
        connection.executemany("INSERT INTO runs (started_at, token) VALUES (0, ?)", rows)


def job_row(job_id: str, created_at: float = 0.0) -> str:
    """A statement that adds the row of a job that has failed."""
    return (
        "INSERT INTO jobs (id, created_at, owner, order_sha256, state, voice, format, speed, pitch, volume,"
        f" input_type, make_speakable, captions, chapters, chars) VALUES ('{job_id}', {created_at!r},"
        " '', '', 'failed', 'tone-low', 'wav', 1, 1, 1, 'text', 0, 0, 0, 1)"
    )


def damage_an_index(path: Path, age_s: float = 0.0) -> None:
    """Give a request another name in an index: a quick check doesn't see that, a whole one does.

    Args:
        path: The database, which nobody has open.
        age_s: Seconds since the request; whoever deletes it meets the damage.
    """
    name, other = b"in-the-index", b"in-no-tables"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        with connection:
            connection.execute(
                "INSERT INTO requests (id, request_id, accepted_at, state, ended_by, voice, format, chars,"
                " utterances, synthesis_s, audio_s, total_s, bytes, worker)"
                " SELECT coalesce(max(id), 0) + 1, ?, ?, 'completed', '', '', '', 0, 0, 0, 0, 0, 0, ''"
                " FROM requests",
                (name.decode(), time.time() - age_s),
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    content = path.read_bytes()
    pages = [content[start : start + page_bytes] for start in range(0, len(content), page_bytes)]
    damaged = [page.replace(name, other) if page[0] == LEAF_OF_AN_INDEX else page for page in pages]
    assert damaged != pages
    path.write_bytes(b"".join(damaged))


def spoil_a_name(path: Path) -> None:
    """Have a name in a database's schema be no UTF-8; nobody has it open."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = path.read_bytes()
    spoilt = content.replace(b"tablejobsjobs", b"table\xffobsjobs")
    assert spoilt != content
    path.write_bytes(spoilt)
