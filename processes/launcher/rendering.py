"""The files that supervisord is started from, in the run directory.

Owns: `run/supervisord.conf`, made of `config/supervisord.conf`, and a program in `run/workers.d/` for each
worker, and for the importer where a voice is missing.
Refuses to know: supervisord's life.
"""

from __future__ import annotations

import configparser
import math
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.lifecycle import LOG_DIR
from appliance.settings import ROOT, Settings
from appliance.voice_imports import missing_models, provide_importer
from appliance.voice_store import VoiceStore
from appliance.worker_programs import WORKERS_DIR, program_file, program_text

TEMPLATE = ROOT / "config" / "supervisord.conf"
RENDERED_NAME = "supervisord.conf"

GATEWAY_MARGIN_S = 5.0
"""Seconds that the gateway has beyond its drain, before supervisord kills it."""


def gateway_stop_s(settings: Settings) -> float:
    """Return the seconds after which supervisord kills a gateway that was asked to stop."""
    return settings.dispatch.drain_s + GATEWAY_MARGIN_S


def render_configuration(settings: Settings, template: Path = TEMPLATE) -> Path:
    """Write all files that supervisord reads, and remove those of workers that no longer exist.

    Args:
        settings: Name the run directory, the pools and the drain.
        template: supervisord's configuration for the default run directory.

    Returns:
        The configuration file to start supervisord with.

    Raises:
        ConfigurationError: The template can't be read, or the run directory can't be written to.
    """
    run_dir = settings.run.dir
    try:
        for name in (WORKERS_DIR, LOG_DIR):
            (run_dir / name).mkdir(mode=0o700, exist_ok=True)
        _render_workers(settings, run_dir / WORKERS_DIR)
        if not settings.importer.elsewhere and missing_models(settings, VoiceStore(settings.data.dir)):
            provide_importer(run_dir)
        rendered = run_dir / RENDERED_NAME
        with rendered.open("w", encoding="utf-8") as file:
            _rendered(settings, template).write(file, space_around_delimiters=False)
    except (OSError, configparser.Error) as error:
        message = f"run.dir = {run_dir}: supervisord's files can't be written: {error}"
        raise ConfigurationError(message.replace("\n", " ")) from None
    return rendered


def _rendered(settings: Settings, template: Path) -> configparser.RawConfigParser:
    """Return the template with its paths beside the rendered file, and the gateway's time to stop."""
    parser = configparser.RawConfigParser(strict=True)
    parser.read_string(template.read_text("utf-8"))
    for section in parser.values():
        for key, value in section.items():
            section[key] = value.replace("/../run/", "/").replace("../run/", "")
    parser["program:gateway"]["stopwaitsecs"] = str(math.ceil(gateway_stop_s(settings)))
    return parser


def _render_workers(settings: Settings, directory: Path) -> None:
    programs = {
        directory / program_file(engine, slot): program_text(engine, slot, settings)
        for engine, size in settings.pool_sizes().items()
        for slot in range(1, size + 1)
    }
    for stale in set(directory.glob("*.conf")) - programs.keys():
        stale.unlink()
    for path, text in programs.items():
        path.write_text(text, "utf-8")
