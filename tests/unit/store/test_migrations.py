"""Steps of the schema: whole or not at all, and none that is ahead."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.store.check import check_database, connect, tables
from appliance.store.migrations import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    STEPS,
    Step,
    check_not_newer,
    migrate,
    split_statements,
)
from appliance.store.opening import prepare

NEXT = ("CREATE TABLE more (x)", "ALTER TABLE runs ADD COLUMN more TEXT", "CREATE TABLE last (x)")


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return list(connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name"))


def version_of(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_database_when_new_then_has_the_newest_schema_and_our_id(tmp_path: Path) -> None:
    prepare(tmp_path / "db")
    with contextlib.closing(connect(tmp_path / "db")) as connection:
        assert version_of(connection) == SCHEMA_VERSION
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


@pytest.mark.parametrize("failing", range(len(NEXT) + 1))
def test_step_when_it_fails_at_any_statement_then_nothing_of_it_is_there(
    tmp_path: Path, failing: int
) -> None:
    prepare(tmp_path / "db")
    statements = [*NEXT]
    statements.insert(failing, "INSERT INTO nowhere VALUES (1)")
    steps = [*STEPS, Step(SCHEMA_VERSION + 1, tuple(statements))]
    with contextlib.closing(connect(tmp_path / "db")) as connection:
        before = schema_of(connection)
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, steps)
        assert schema_of(connection) == before
    assert prepare(tmp_path / "db").state == "ok"
    with contextlib.closing(connect(tmp_path / "db")) as connection:
        check_database(connection)
        migrate(connection, [*STEPS, Step(SCHEMA_VERSION + 1, NEXT)])
        assert version_of(connection) == SCHEMA_VERSION + 1
        assert {"more", "last"} <= tables(connection)


def test_database_when_of_a_later_version_then_refused_with_what_to_do(tmp_path: Path) -> None:
    prepare(tmp_path / "db")
    with contextlib.closing(connect(tmp_path / "db")) as connection:
        migrate(connection, [*STEPS, Step(SCHEMA_VERSION + 1, NEXT)])
    for refused in (prepare, check_not_newer):
        with pytest.raises(ConfigurationError, match=f"schema {SCHEMA_VERSION + 1}.*backup"):
            refused(tmp_path / "db")


def test_script_when_split_then_a_semicolon_inside_of_a_trigger_or_text_ends_nothing() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\n  DELETE FROM c;\nEND;"
    assert list(split_statements(f"SELECT ';';\n{trigger}\n")) == ["SELECT ';';", trigger]
