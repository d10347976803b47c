"""The importer's command: `python -m processes.importer MODEL|DIR`, and `--appliance` under supervisord.

Owns: the command line, signals, the exit code.
Refuses to know: how an import goes on (`work`).
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

from loguru import logger

from appliance.errors import ApplianceError, ConfigurationError
from appliance.imports_beside import claimed
from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.logs import configure_logging
from appliance.pools import unserved, workers_hint
from appliance.running import running_pools
from appliance.settings import Settings, load_settings
from appliance.voice_imports import missing_models, take_request
from appliance.voice_store import VoiceStore
from processes.importer.errand import Errand, make_errand, model_errand
from processes.importer.exit_code import ExitCode, exit_code_of
from processes.importer.telling import ImportLog, command_teller
from processes.importer.work import Importer, Stopped, only_import


class _Parser(argparse.ArgumentParser):
    """argparse with sysexits.h's code."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and exit."""
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Import what the command line or the settings name; return the exit code."""
    arguments = _parse_arguments()
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # ttsctl has held them until now
        settings = load_settings()
        return _serve_appliance(settings) if arguments.appliance else _run_command(settings, arguments)
    except ApplianceError as error:
        print(f"importer: {error.message}", file=sys.stderr)
        return exit_code_of(error)
    except OSError as error:
        print(f"importer: {error}", file=sys.stderr)
        return ExitCode.NOT_WRITTEN
    except Stopped as stopped:
        print("importer: cancelled, and nothing is left of it", file=sys.stderr)
        return ExitCode.INTERRUPTED if stopped.number == signal.SIGINT else ExitCode.STOPPED


def _run_command(settings: Settings, arguments: argparse.Namespace) -> ExitCode:
    """Import one voice for somebody at the command line."""
    logger.remove()
    try:
        errand = make_errand(
            arguments.source,
            voice_id=arguments.id,
            name=arguments.name,
            language=arguments.language,
            license_name=arguments.license,
            attribution=arguments.attribution,
        )
    except ConfigurationError as error:
        print(f"importer: {error.message}", file=sys.stderr)
        return ExitCode.USAGE
    with only_import(VoiceStore(settings.data.dir), wait=False), _told_beside(settings) as beside:
        importer = Importer(settings, command_teller(as_json=arguments.json), beside)
        importer.expect([errand])
        importer.do(errand)
    tell_of_workers(settings)
    return ExitCode.OK


def _told_beside(settings: Settings) -> AbstractContextManager[Path | None]:
    """Return where to say how it stands for an appliance elsewhere; None while one runs here."""
    return nullcontext() if _launcher(settings) else claimed(settings.data.dir)


def _launcher(settings: Settings) -> dict[str, Any]:
    """Return what the launcher of the appliance that runs here has written; empty where none runs."""
    launcher = read_json(settings.run.dir / LAUNCHER_FILE)
    return launcher if Path("/proc", str(launcher.get("pid"))).exists() else {}


def tell_of_workers(settings: Settings) -> None:
    """Say it when the appliance that runs here has no workers for what has just come."""
    launcher = _launcher(settings)
    if not launcher:
        return
    voiced = {manifest.engine for manifest in VoiceStore(settings.data.dir).manifests()}
    if engines := unserved(running_pools(settings.run.dir, launcher), voiced):
        print(f"importer: {workers_hint(engines)}", file=sys.stderr)


def _serve_appliance(settings: Settings) -> ExitCode:
    """Import what the gateway has asked for, and what the settings name and isn't there; then end.

    In a container of its own nobody asks; its log and what it writes beside the voices tell how it stands.
    """
    configure_logging("importer", settings.log.level)
    store = VoiceStore(settings.data.dir)
    with only_import(store, wait=True):  # what another one has just made isn't missing any more
        there = store.manifests()
        errands = find_errands(settings, store)
    with _told_beside(settings) as beside:
        return Importer(settings, ImportLog(), beside).do_patiently(errands, there)


def find_errands(settings: Settings, store: VoiceStore) -> list[Errand]:
    """Return what is to be done; what somebody has just asked for comes first."""
    request = take_request(settings.run.dir)
    missing = [] if settings.importer.elsewhere else missing_models(settings, store)
    models = dict.fromkeys([*([request] if request else []), *missing])
    return [model_errand(model) for model in models]


def _stop(number: int, _frame: object) -> NoReturn:
    """End whatever is going on, once: a second signal finds the end under way already."""
    for each in STOP_SIGNALS:
        with suppress(ValueError):
            signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _parse_arguments() -> argparse.Namespace:
    parser = _Parser(prog="tts-importer", description="Make voices of Coqui's models.")
    parser.add_argument("source", nargs="?", metavar="MODEL|DIR", help="a name of Coqui's list, or a folder")
    parser.add_argument("--id", default="", help="the voice's id")
    parser.add_argument("--name", default="", help="the voice's name, for a person to read")
    parser.add_argument("--language", default="", metavar="TAG", help="where the model doesn't say it")
    parser.add_argument("--license", default="", metavar="TEXT", help="to be recorded with the voice")
    parser.add_argument("--attribution", default="", metavar="TEXT", help="to be recorded with the voice")
    parser.add_argument("--json", action="store_true", help="no bar, but a JSON line for each state")
    parser.add_argument(
        "--appliance",
        action="store_true",
        help="import what is asked for and what `voices.import` names; so supervisord and Compose start it",
    )
    arguments = parser.parse_args()
    if arguments.appliance == bool(arguments.source):
        parser.error("name a model or a folder")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
