"""Where the import of voices stands, for the program that does it and for everybody who asks.

Owns: the states, what is believed of what somebody has written about them, `run/import.json` and what it is
worth once its writer is dead, the way to ask for an import, which of the wanted models are missing.
Refuses to know: how a voice is imported (`processes.importer`), importers elsewhere (`imports_beside`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from appliance.lifecycle import read_json, write_json
from appliance.settings import Settings
from appliance.voice_settings import is_model_name
from appliance.voice_store import VoiceStore

IMPORTS_FILE = "import.json"
"""In the run directory, by the importer: the imports of its life, who it is, and `OTHERS`."""
OTHERS = "others"
"""The same of importers that wait for their next try meanwhile, and of those that had theirs meanwhile."""
REQUEST_FILE = "import-request.json"
"""In the run directory, by the gateway: the model that the importer is started for."""
PROGRAM_FILE = Path("workers.d", "importer.conf")
"""In the run directory: the importer as a program of supervisord's, there while one is wanted."""
PROGRAM = """\
[program:importer]
command=python -m processes.importer --appliance
priority=999
autostart=true
autorestart=false
startsecs=0
startretries=0
stopwaitsecs=5
stopasgroup=true
killasgroup=true
stdout_logfile=%(here)s/../log/importer.log
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=2
stderr_logfile=/dev/fd/1
stderr_logfile_maxbytes=0
"""
"""It starts as soon as supervisord knows it and ends by itself; the watchdog takes it away then."""
KILLED = "The importer was killed"
MAX_IMPORTS = 100
"""That are shown, of one importer and of all together."""
MAX_CHARS = {"model": 200, "reason": 500, "code": 64, "voice": 100}
"""Texts of an import → the most that is shown of them."""


class ImportState(StrEnum):
    """How far an import is."""

    WAITING = "waiting"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    EXPORTING = "exporting"
    QUANTISING = "quantising"
    CHECKING = "checking"
    STORING = "storing"
    DONE = "done"
    FAILED = "failed"


ENDED = (ImportState.DONE, ImportState.FAILED)


@dataclass(frozen=True, slots=True)
class VoiceImport:
    """One import."""

    model: str
    """Coqui's name of the model; a folder's own name where somebody gave a folder."""
    state: ImportState = ImportState.WAITING
    fraction: float = 0.0
    """How much of the making is done, 0 to 1."""
    reason: str = ""
    """Why it failed, or why it waits; a sentence for a person."""
    code: str = ""
    """The error's code, where it failed."""
    voice: str = ""
    """The voice's id, once it is there."""

    @property
    def is_under_way(self) -> bool:
        """Whether it waits or runs."""
        return self.state not in ENDED

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "fraction": round(self.fraction, 3)}


def write_imports(
    run_dir: Path, pid: int, imports: Iterable[VoiceImport], others: Iterable[dict[str, Any]] = ()
) -> None:
    """Say how the imports stand; blocks for the disk.

    Args:
        run_dir: The run directory; where there is none, no appliance ran here and nobody asks.
        pid: The importer, whose death ends what is under way.
        imports: Those of its life.
        others: What `other_importers` has returned.

    Raises:
        OSError: The disk is full or can't be written.
    """
    if run_dir.is_dir():
        entries = [each.as_dict() for each in imports]
        content = {"pid": pid, "started": _started(pid), "imports": entries, OTHERS: list(others)}
        write_json(run_dir / IMPORTS_FILE, content)


def read_imports(run_dir: Path) -> list[VoiceImport]:
    """Return the imports of the importer that ran last, and of those that wait beside it.

    Those that nobody can end any more have failed. Of a model that several import, it is that of the importer
    that has told something last. Blocks for the disk. An absent or broken file is no import.
    """
    found = {each.model: each for content in _importers(run_dir) for each in _imports_of(content)}
    return list(found.values())


def parse_imports(values: object) -> list[VoiceImport]:
    """Return imports that somebody has written; what is none is left out, what is too long is cut."""
    entries = values[:MAX_IMPORTS] if isinstance(values, list) else []
    return [found for each in entries if (found := _parsed(each)) is not None]


def _parsed(value: object) -> VoiceImport | None:
    if not isinstance(value, dict):
        return None
    texts = {name: value.get(name, "") for name in MAX_CHARS}
    fraction = value.get("fraction", 0.0)
    if type(fraction) not in (int, float) or not all(isinstance(text, str) for text in texts.values()):
        return None
    try:
        state = ImportState(value["state"])
    except (KeyError, ValueError):
        return None
    shown = {
        name: "".join(char if char.isprintable() else " " for char in text[: MAX_CHARS[name]])
        for name, text in texts.items()
    }
    return VoiceImport(state=state, fraction=float(fraction) if 0 <= fraction <= 1 else 0.0, **shown)


def buried(entry: VoiceImport) -> VoiceImport:
    """Return how an import stands whose importer is gone: what was under way has failed."""
    if not entry.is_under_way:
        return entry
    return replace(entry, state=ImportState.FAILED, reason=KILLED, code="import_killed")


def other_importers(run_dir: Path, pid: int, *, are_all: bool) -> list[dict[str, Any]]:
    """Return what other importers than this one have written; blocks for the disk.

    Args:
        run_dir: The run directory.
        pid: This one, which is the only one that imports just now: what others have begun waits.
        are_all: Whether those that have ended are among them, too; else only those that live and wait.
    """
    return [
        {name: content[name] for name in ("pid", "started", "imports")}
        for content in _importers(run_dir)
        if content.get("pid") != pid
        and (entries := _imports_of(content))
        and (are_all or any(each.is_under_way for each in entries))
    ]


def request_import(run_dir: Path, model: str) -> None:
    """Leave word for the importer, which is to be started next; blocks for the disk.

    Raises:
        OSError: The disk is full or can't be written.
    """
    write_json(run_dir / REQUEST_FILE, {"model": model})


def provide_importer(run_dir: Path) -> None:
    """Have supervisord start the importer when it next reads its configuration; blocks for the disk.

    Raises:
        OSError: The file can't be written.
    """
    (run_dir / PROGRAM_FILE).write_text(PROGRAM, "utf-8")


def is_requested(run_dir: Path) -> bool:
    """Return whether an import is asked for that no importer has taken yet."""
    return (run_dir / REQUEST_FILE).exists()


def take_request(run_dir: Path) -> str | None:
    """Return the model that an import was asked for; None if there is none, or somebody else has taken it."""
    path = run_dir / REQUEST_FILE
    model = read_json(path).get("model")
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    return model if isinstance(model, str) and is_model_name(model) else None


def missing_models(settings: Settings, store: VoiceStore) -> list[str]:
    """Return the models of `voices.import` of which no voice has been made yet, each once; blocks."""
    wanted = dict.fromkeys(settings.voices.wanted)
    if not wanted:
        return []
    made = {manifest.model for manifest in store.manifests()}
    return [model for model in wanted if model not in made]


def _importers(run_dir: Path) -> list[dict[str, Any]]:
    """Return what each importer of the file has written, that which ran last at the end."""
    content = read_json(run_dir / IMPORTS_FILE)
    others = content.get(OTHERS)
    return [
        each for each in (*(others if isinstance(others, list) else ()), content) if isinstance(each, dict)
    ]


def _imports_of(content: dict[str, Any]) -> list[VoiceImport]:
    found = parse_imports(content.get("imports"))
    pid, started = content.get("pid"), content.get("started")
    is_alive = isinstance(pid, int) and started is not None and _started(pid) == started
    return found if is_alive else [buried(each) for each in found]


def _started(pid: int) -> int | None:
    """Return when a process was started, so that another one of the same number isn't taken for it.

    Source: proc(5), `/proc/pid/stat`: field 22, in clock ticks since the machine's start.
    """
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return None
