"""The steps from one schema to the next: `schema/NNNN_name.sql`, each in one transaction.

Owns: which steps there are, running those that a database lacks, refusing one that is ahead of this version.
Refuses to know: what a step changes, and the backup before it (`opening`).

A step's transaction ends with `user_version`, so that a database has all of a step or nothing of it. SQLite
takes changes of the schema back like any other.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.store.statements import STATEMENTS

APPLICATION_ID = 0x54545341
"""`TTSA`: tells our database from any other. Source: sqlite.org/pragma.html#pragma_application_id."""
MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
"""Source: sqlite.org/fileformat2.html, 1.3: `user_version` at offset 60, `application_id` at 68."""
FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Step:
    """One file of `schema/`."""

    version: int
    """What `user_version` is after it; from 1, without gaps."""
    statements: tuple[str, ...]


def read_steps() -> tuple[Step, ...]:
    """Read every step, in order."""
    folder = resources.files("appliance.store").joinpath("schema")
    texts = {
        entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")
    }
    steps = []
    for number, name in enumerate(sorted(texts), 1):
        found = FILE_NAME.fullmatch(name)
        if found is None or int(found[1]) != number:
            message = f"schema/{name} isn't step {number:04}"
            raise ValueError(message)
        steps.append(Step(number, tuple(split_statements(texts[name]))))
    return tuple(steps)


def split_statements(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""


STEPS = read_steps()
SCHEMA_VERSION = STEPS[-1].version
"""The schema that this version works with."""


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Bring a database to the newest schema; each step is there wholly or not at all.

    Args:
        connection: In autocommit mode, and the only one that writes.
        steps: The steps.

    Raises:
        ConfigurationError: Its schema is newer than the last step's.
        sqlite3.Error: A step failed and was taken back.
    """
    (version,) = connection.execute(STATEMENTS["read_schema_version"]).fetchone()
    refuse_newer(version, "the database", steps[-1].version)
    for step in steps[version:]:
        connection.execute(STATEMENTS["begin"])
        try:
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {step.version}")
            connection.execute(STATEMENTS["commit"])
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute(STATEMENTS["rollback"])
            raise


def refuse_newer(version: int, what: str, newest: int = SCHEMA_VERSION) -> None:
    """Refuse a schema that a later version of the appliance has made.

    Raises:
        ConfigurationError: It is newer than `newest`.
    """
    if version > newest:
        message = (
            f"{what} has schema {version}, and this version knows no later one than {newest}: "
            "start the later version, or restore a backup (docs/operate/store.md)"
        )
        raise ConfigurationError(message)


def check_not_newer(path: Path) -> None:
    """Refuse a database of a later version by its first bytes, without opening it.

    Raises:
        ConfigurationError: Its schema is newer than ours.
    """
    version = schema_of(path)
    if version is not None:  # else the gateway will say what is the matter with it
        refuse_newer(version, str(path))


def schema_of(path: Path) -> int | None:
    """Return the schema of a database by its first bytes, without opening it; None if it is none of ours."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        return None
    if header.startswith(MAGIC) and header[68:72] == APPLICATION_ID.to_bytes(4, "big"):
        return int.from_bytes(header[60:64], "big")
    return None
