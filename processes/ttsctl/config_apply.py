"""`ttsctl config apply`: what has changed comes into force, or everything is as it was.

Owns: the order: validated, pools, workers one by one, the rest, a real sample; else the way back.
Refuses to know: what concerns whom (`config_changes`), how workers come and go (`worker_pool`, `restart`).

    checked ─▶ pools grow and shrink ─▶ workers, rolling ─▶ watchdog, exporter ─▶ gateway ─▶ /health/tts
                        └── anything fails, or Ctrl-C: the former files in their places, and all of it again
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError, VoiceNotFoundError
from appliance.pools import PoolPlan
from appliance.running import Configuration, running_pools, write_configuration
from appliance.settings import Settings, load_settings
from appliance.worker_programs import worker_name
from processes.ttsctl.config_changes import APPLIANCE, GATEWAY, SINGLE, WORKERS, Difference
from processes.ttsctl.config_sides import look_at_both, plan_of
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.programs import restart_program, undisturbed
from processes.ttsctl.restart import restart_worker, serving
from processes.ttsctl.worker_pool import alone, renew_program, replace_program, resize, slots_of

REJECTED = ".rejected"
"""What was tried in vain lies beside the file that is in force again, under this ending."""
PAUSE_S = 0.2
HEARD = ("ok", "busy")
"""Source: `GET /health/tts`."""


def run(arguments: argparse.Namespace, run_dir: Path) -> ExitCode:
    """Apply what has changed; blocks until a sample was heard, or until all is as before.

    Raises:
        CommandError: It was refused and nothing has changed, or all is as it was before.
    """
    with alone(run_dir):
        both = look_at_both(run_dir)
        difference = both.difference
        if not (difference.changes or difference.pools):
            with contextlib.suppress(OSError):
                write_configuration(run_dir, both.now)  # with other comments, which a way back keeps
            return _told(arguments, difference, "nothing has changed since the start")
        _check(run_dir, difference, both.running, both.now, has_way_back=not arguments.no_revert)
        apply = _Apply(run_dir, difference, arguments.wait_s, is_told=not arguments.json)
        try:
            apply.run(both.settings, both.plan)
            write_configuration(run_dir, both.now)
        except (CommandError, OSError, KeyboardInterrupt) as error:
            reason = _reason(error)
            if arguments.no_revert:
                message = f"{reason}; the new configuration stays in force as far as it came"
                raise CommandError(message, code="not_applied") from None
            with undisturbed():
                raise _returned(apply, both.running, both.now, reason) from None
        return _told(arguments, difference, f"applied: a sample was heard after {apply.sample_ms:.0f} ms")


def _told(arguments: argparse.Namespace, difference: Difference, words: str) -> ExitCode:
    if arguments.json:
        print_json({"applied": True, **difference.as_json()})
    else:
        print(words)
    return ExitCode.OK


def _reason(error: BaseException) -> str:
    if isinstance(error, CommandError):
        return error.message
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"can't be noted: {error}"


def _check(
    run_dir: Path,
    difference: Difference,
    running: Configuration,
    now: Configuration,
    *,
    has_way_back: bool,
) -> None:
    """Refuse what can't be applied, before anything is touched.

    Raises:
        CommandError: It needs a restart, the appliance drains, or there would be no way back.
    """
    if APPLIANCE in difference.programs:
        whole = ", ".join(each.what for each in difference.changes if APPLIANCE in each.programs)
        message = f"only a restart of the appliance takes over {whole}; nothing was changed"
        raise CommandError(message, code="needs_restart")
    if ask_json(run_dir, "GET", "/admin/status")["draining"]:
        message = "the appliance drains, so no sample can be heard; ttsctl drain off first"
        raise CommandError(message, code="draining")
    if has_way_back:
        for path in _changed_files(running, now):
            if not os.access(path.parent, os.W_OK) or os.path.ismount(path):
                message = (
                    f"{path} can't be replaced, so not put back either; --no-revert applies it all the same"
                )
                raise CommandError(message, code="no_way_back")


def _changed_files(running: Configuration, now: Configuration) -> list[Path]:
    """Return the files whose text has changed, of those that were there before."""
    return [Path(path) for path, text in running.files.items() if now.files.get(path) != text]


@dataclass(slots=True)
class _Apply:
    """One way forward or back."""

    run_dir: Path
    difference: Difference
    wait_s: float
    is_told: bool
    sample_ms: float = 0.0

    def run(self, settings: Settings, plan: PoolPlan) -> None:
        """Have the programs concerned start anew, and hear a sample.

        Raises:
            CommandError: Something didn't come back; what follows wasn't touched.
        """
        concerned = self.difference.programs
        settings = plan.applied_to(settings)
        sizes = {pool.engine: pool.size for pool in running_pools(self.run_dir)}
        for old, new in self.difference.pools:
            sizes[new.engine] = new.size
            resize(self.run_dir, settings, new.engine, sizes, self.wait_s)
            self._tell(f"{new.engine}: {new.size} workers, {old.size} before")
        for engine in (each.removeprefix("workers of ") for each in WORKERS if each in concerned):
            self._roll(settings, engine)
        for name in reversed(SINGLE):
            if name in concerned:
                took_s = restart_program(self.run_dir, name, self._stop_s(name, settings), self.wait_s)
                self._tell(f"{name} is back after {took_s:.1f} s")
        self._hear()

    def _roll(self, settings: Settings, engine: str) -> None:
        """Start every worker of an engine anew, one after the other."""
        slots = {worker_name(engine, slot): slot for slot in slots_of(self.run_dir, engine)}
        present = serving(self.run_dir)
        names = sorted(
            slots, key=lambda name: (name in present, slots[name])
        )  # those that nobody misses first
        for name in names:
            if renew_program(self.run_dir, settings, engine, slots[name]):
                took_s = replace_program(self.run_dir, name, self.wait_s)
            else:
                took_s = restart_worker(self.run_dir, name, names, self.wait_s)
            self._tell(f"{name} is back after {took_s:.1f} s")

    def _hear(self) -> None:
        """Wait for a sample that was asked for after all that was changed.

        Raises:
            CommandError: None was heard.
        """
        begun_s = time.monotonic()
        told: dict[str, Any] = {}
        is_asked_for = False
        while time.monotonic() < begun_s + self.wait_s:
            is_asked_for = is_asked_for or bool(self._asked("POST", "/admin/probe"))
            told = self._asked("GET", "/health/tts")
            is_fresh = (told.get("age_s") or 0.0) < time.monotonic() - begun_s
            if told.get("status") in HEARD and told.get("age_s") is not None and is_fresh:
                self.sample_ms = told["sample_latency_ms"] or 0.0
                return
            if told.get("cause") == VoiceNotFoundError.code:  # all engines have told their voices
                break
            time.sleep(PAUSE_S)
        cause = told.get("cause") or told.get("status") or "no answer"
        raise CommandError(f"no sample was heard with it: {cause}", code="no_sample")

    def _asked(self, method: str, path: str) -> dict[str, Any]:
        statuses = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            return ask_json(self.run_dir, method, path, statuses=statuses)
        except CommandError:  # it is being started
            return {}

    def _stop_s(self, name: str, settings: Settings) -> float:
        return settings.dispatch.drain_s if name == GATEWAY else 0.0

    def _tell(self, words: str) -> None:
        if self.is_told:
            print(words, flush=True)


def _returned(apply: _Apply, running: Configuration, now: Configuration, reason: str) -> CommandError:
    """Put the former configuration back; return what is to be said of it."""
    try:
        if apply.is_told:
            print(f"{reason}; going back", file=sys.stderr, flush=True)
        kept = [_put_back(Path(path), running.files[path]) for path in map(str, _changed_files(running, now))]
        settings = load_settings()
        plan = plan_of(apply.run_dir, settings)
        turned = tuple((new, old) for old, new in apply.difference.pools)
        back = _Apply(
            apply.run_dir, Difference(apply.difference.changes, turned), apply.wait_s, apply.is_told
        )
        back.run(settings, plan)
    except (CommandError, ConfigurationError, OSError) as error:
        message = (
            f"{reason}; and going back failed, too: {getattr(error, 'message', error)}; see ttsctl doctor"
        )
        return CommandError(message, code="stuck", exit_code=ExitCode.DOWN)
    named = f"; what was tried lies in {', '.join(kept)}" if kept else ""
    return CommandError(f"{reason}; the former configuration is in force again{named}", code="reverted")


def _put_back(path: Path, text: str | None) -> str:
    """Put a file's former text in its place and what is there beside it; return the name of that.

    Raises:
        OSError: It can't be written.
    """
    beside = path.with_name(path.name + REJECTED)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    if path.exists():
        path.replace(beside)
    if text is not None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.touch(mode)
        temporary.write_text(text, "utf-8")
        temporary.replace(path)
    return str(beside)
