"""diagrams/what-is-stored.puml, made of the schema and of the names of folders and files in the code."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from appliance.settings import KEYS_FILE, KEYS_FOLDER, Settings
from appliance.store.ballast import BALLAST_NAME
from appliance.store_settings import BACKUPS_NAME
from appliance.voice_store import CHANGE_FILE, VOICES_FOLDER
from processes.gateway.answer_cache import FOLDER as CACHE_FOLDER
from processes.gateway.job_folder import (
    AUDIO_NAME,
    JOBS_NAME,
    PACK_NAME,
    RESULT_NAME,
    SPOKEN_NAME,
    TEXT_NAME,
    UTTERANCES_NAME,
)
from tests.docs.checkout import ROOT

COLUMNS_OF_A_LINE = 4
PLACES = {
    f"{JOBS_NAME}/ID/": (
        f"{TEXT_NAME}, {UTTERANCES_NAME}",
        f"{SPOKEN_NAME}/{PACK_NAME}",
        f"{AUDIO_NAME}, {RESULT_NAME}",
    ),
    f"{BACKUPS_NAME}/": ("appliance-TIME.sqlite", "appliance-TIME.json"),
    f"{CACHE_FOLDER}/": ("kept answers of POST", "*.pin: kept for good"),
    f"{VOICES_FOLDER}/ID/": ("voice.json, the model's files", f"{CHANGE_FILE} beside the folder"),
    f"{KEYS_FOLDER}/": (f"{KEYS_FILE}: SHA-256 only",),
    BALLAST_NAME: ("given up first on a full disk",),
}
"""What lies beside the database in `data.dir`, and what is in it."""


def tables() -> dict[str, list[str]]:
    """Columns of each table that the migrations make."""
    with closing(_migrated()) as database:
        names = database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        ).fetchall()
        return {name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")] for (name,) in names}


def references() -> list[tuple[str, str]]:
    """Each table that refers to another, and that one."""
    with closing(_migrated()) as database:
        return [
            (name, row[2])
            for name in tables()
            for row in database.execute(f"PRAGMA foreign_key_list({name})").fetchall()
        ]


def diagram() -> str:
    """The text of the diagram."""
    file = Settings().store.file
    return (
        "@startuml\n"
        "' Written by `make docs` from appliance/store/schema and the names in the code.\n"
        "title Rows lie in one SQLite database; texts, sound, voices and keys are files beside it.\n"
        "hide circle\n"
        "hide empty members\n"
        f'package "data/{file}" {{\n'
        + "".join(f"class {name} {{\n{_columns(columns)}}}\n" for name, columns in tables().items())
        + "}\n"
        + "".join(f"{other} <-- {name}\n" for name, other in references())
        + "".join(
            f'class "data/{place}" as {_name(place)} {{\n' + "".join(f"  {line}\n" for line in lines) + "}\n"
            for place, lines in PLACES.items()
        )
        + f"jobs .. {_name(f'{JOBS_NAME}/ID/')} : id\n"
        f"job_utterances .. {_name(f'{JOBS_NAME}/ID/')} : name\n"
        f"requests .. {_name(f'{BACKUPS_NAME}/')} : whole copies\n"
        "@enduml\n"
    )


def _columns(columns: list[str]) -> str:
    lines = [columns[at : at + COLUMNS_OF_A_LINE] for at in range(0, len(columns), COLUMNS_OF_A_LINE)]
    return "".join(f"  {', '.join(line)}\n" for line in lines)


def _name(place: str) -> str:
    return "in_" + place.split("/", maxsplit=1)[0]


def _migrated() -> sqlite3.Connection:
    """An empty database of the newest schema, in memory."""
    database = sqlite3.connect(":memory:")
    for step in sorted((ROOT / "appliance/store/schema").glob("*.sql")):
        database.executescript(step.read_text("utf-8"))
    return database
