"""What has changed since the appliance was started or configured, and which programs have to hear of it.

Owns: the comparison, and which setting concerns which program.
Refuses to know: how programs are started anew. The content of a key file is never looked at.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.pools import Pool
from appliance.running import Configuration
from appliance.settings import SECRET_NAMES
from appliance.worker_settings import POOLS

APPLIANCE = "appliance"
"""What only a restart of the whole appliance takes over."""
WORKERS = tuple(f"workers of {engine}" for engine in POOLS)
"""Every worker of an engine, in the order of `POOLS`."""
GATEWAY, EXPORTER, WATCHDOG = "gateway", "exporter", "watchdog"
SINGLE = (GATEWAY, EXPORTER, WATCHDOG)
CONCERNED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("http.host", "http.port", "run.dir", "data.dir", "dispatch.drain_s"), (APPLIANCE,)),
    **dict.fromkeys(("wyoming.enabled", "wyoming.host", "wyoming.port"), (APPLIANCE,)),
    "voices.import": (APPLIANCE,),  # the importer's program is made at the start
    "log.level": (*SINGLE, *WORKERS),
    "voices.default": (GATEWAY, "workers of vits"),  # they load it before they say that they are ready
    "exporter": (EXPORTER,),
    "watchdog": (*SINGLE,),
    "importer": (GATEWAY,),
    "workers": (GATEWAY, WATCHDOG, *WORKERS),  # it ends those that no gateway knows
    "store.file": (GATEWAY, EXPORTER),
    "tracing.endpoint": (GATEWAY, EXPORTER),  # which asks for exemplars only where there are any
    **{
        f"workers.{engine}": () for engine in (*POOLS, "streams")
    },  # sizes of pools are changed while they work
    **{engine: (f"workers of {engine}",) for engine in ("tone", "vits")},
    "coqui": ("workers of coqui",),
}
"""Setting, or else its section → who reads it at its start. All others are the gateway's alone."""
HIDDEN = "(not shown)"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that isn't as it was."""

    what: str
    """A setting, or a value of a file: `voices.toml: aliases.alloy`."""
    running: Any
    """None where there was none."""
    now: Any
    """None where there is none."""
    programs: tuple[str, ...]
    """Who has to start anew for it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """All that has changed."""

    changes: tuple[Change, ...]
    pools: tuple[tuple[Pool, Pool], ...]
    """Pools of another size: as they run, and as they would be."""

    @property
    def programs(self) -> frozenset[str]:
        """Who has to start anew, `APPLIANCE` too; the gateway also when an engine comes or goes."""
        named = {program for change in self.changes for program in change.programs}
        if any(not old.size or not new.size for old, new in self.pools):
            named.add(GATEWAY)
        return frozenset(named)

    def as_json(self) -> dict[str, Any]:
        """Return it as docs/operate/ttsctl.md describes it."""
        return {
            "same": not (self.changes or self.pools),
            "changes": [
                {"what": each.what, "running": each.running, "now": each.now, "restarts": list(each.programs)}
                for each in self.changes
            ],
            "pools": [
                {"engine": old.engine, "running": old.size, "now": new.size, "reason": new.reason}
                for old, new in self.pools
            ],
        }


def compare(
    running: Configuration, now: Configuration, pools: tuple[Pool, ...], planned: tuple[Pool, ...]
) -> Difference:
    """Return what has changed.

    Args:
        running: What the appliance was started with, or what was applied last.
        now: What a start now would be made of.
        pools: As they run.
        planned: As a start now would have them.
    """
    before = {pool.engine: pool for pool in pools}
    resized = ((before[pool.engine], pool) for pool in planned if pool.engine in before)
    return Difference(
        (*_settings(running, now), *_files(running, now), *_marks(running, now)),
        tuple((old, new) for old, new in resized if old.size != new.size),
    )


def programs_of(setting: str) -> tuple[str, ...]:
    """Return who has to start anew for a setting."""
    return CONCERNED.get(setting, CONCERNED.get(setting.partition(".")[0], (GATEWAY,)))


def _settings(running: Configuration, now: Configuration) -> Iterator[Change]:
    for setting in sorted(running.settings.keys() | now.settings.keys()):
        before, after = running.settings.get(setting), now.settings.get(setting)
        if before != after:
            if SECRET_NAMES.search(setting):  # a key may be there by mistake
                before, after = HIDDEN, HIDDEN
            yield Change(setting, before, after, programs_of(setting))


def _files(running: Configuration, now: Configuration) -> Iterator[Change]:
    """Yield values of the voices file; those of the settings file are settings."""
    before, after = (_values(each) for each in (running, now))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Change(name, before.get(name), after.get(name), (GATEWAY,))


def _values(configuration: Configuration) -> dict[str, Any]:
    """Return what the files beside the settings file hold: name and dotted key → value."""
    found = {}
    for path, text in [*configuration.files.items()][1:]:
        try:
            table = tomllib.loads(text or "")
        except ValueError:
            table = {"file": text}
        found.update({f"{Path(path).name}: {key}": value for key, value in _leaves(table)})
    return found


def _leaves(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _marks(running: Configuration, now: Configuration) -> Iterator[Change]:
    """Yield files that are only known by their marks, where the setting itself is the same."""
    for setting, mark in now.marks.items():
        is_same_file = running.settings.get(setting) == now.settings.get(setting)
        if is_same_file and running.marks.get(setting) != mark:
            yield Change(f"{setting}: its file", HIDDEN, HIDDEN, (GATEWAY,))
