"""diagrams/how-it-stops.puml, made of the deadlines in the code and in config/supervisord.conf."""

from __future__ import annotations

import configparser

from appliance.settings import Settings
from appliance.worker_programs import WORKER_STOP_S
from processes.gateway.__main__ import LINGER_S
from processes.launcher.launch import HURRY_S, LATE_S, SUPERVISORD_STOP_S, stop_limit_s
from processes.launcher.rendering import gateway_stop_s
from tests.docs.checkout import ROOT


def stop_wait_s(section: str) -> float:
    """`stopwaitsecs` of a program in config/supervisord.conf."""
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "config" / "supervisord.conf", encoding="utf-8")
    return float(parser[section]["stopwaitsecs"])


def diagram() -> str:
    """The text of the diagram, with the default settings."""
    settings = Settings()
    drain_s = settings.dispatch.drain_s
    rest_s = f"{stop_wait_s('program:exporter'):g} s and {stop_wait_s('eventlistener:watchdog'):g} s"
    return f"""\
@startuml
' Written by `make docs` from the deadlines in the code and in config/supervisord.conf.
title A stop takes {stop_limit_s(settings):g} s at most, and each deadline lies inside the next.
participant launcher
participant supervisord
participant gateway
participant workers
participant "exporter, watchdog" as rest

[-> launcher : SIGTERM, SIGINT or SIGHUP
launcher -> supervisord : stop the gateway, wait {gateway_stop_s(settings):g} + {LATE_S:g} s
supervisord -> gateway : SIGTERM, SIGKILL after {gateway_stop_s(settings):g} s
gateway -> gateway : accept no more, serve what is in the sockets for {LINGER_S:g} s
gateway -> gateway : let running requests finish, {drain_s:g} s (dispatch.drain_s)
gateway --> workers : hang up
launcher -> supervisord : stop all else, wait {WORKER_STOP_S:g} + {LATE_S:g} s
supervisord -> workers : SIGTERM, SIGKILL after {WORKER_STOP_S:g} s
supervisord -> rest : SIGTERM, SIGKILL after {rest_s}
launcher -> supervisord : SIGTERM, wait {SUPERVISORD_STOP_S:g} + {LATE_S:g} s
launcher -> launcher : kill whatever is left
[<- launcher : exit code 0
note over launcher : After a second signal everything\\nhas {HURRY_S:g} s more at most.
@enduml
"""
