"""What `ttsctl doctor` checks of the appliance: settings, run directory, ports, programs, speech, logs.

Owns: what is well and what isn't, and what to do about it.
Refuses to know: how it was asked (`patient`).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections import Counter

from appliance.lifecycle import read_json
from appliance.watched import ONE_SHOT_PROGRAM
from processes.ttsctl.finding import Finding, fail, ok, warn, worst
from processes.ttsctl.patient import LAUNCHER, Patient
from processes.ttsctl.table import format_delay

EXPORTER_FILE = "exporter.json"
"""In the run directory, by the exporter: `port`."""
START_IT = "start it: make run, or systemctl start with your unit"
NO_GATEWAY = "can't be seen: the gateway doesn't answer"
FINE_STATES = ("STARTING", "RUNNING")
ALIVE_STATES = ("ready", "busy")
STATUS_ADVICE = {"draining": "ttsctl drain off", "overloaded": "wait, or see docs/operate/capacity.md"}
MAX_NAMED = 4


def check_configuration(patient: Patient) -> Finding:
    """Would it start with these settings?"""
    if patient.settings is None:
        return fail(patient.settings_error, "mend the setting that is named (docs/settings.md), then restart")
    return ok(f"{patient.settings.config_dir()}")


def check_run_directory(patient: Patient) -> Finding:
    """The run directory's owner and mode."""
    try:
        found = patient.run_dir.stat()
    except FileNotFoundError:
        return ok(f"{patient.run_dir} isn't there yet")
    mode = stat.S_IMODE(found.st_mode)
    seen = f"{patient.run_dir}, user {found.st_uid}, mode {mode:04o}"
    if found.st_uid != os.geteuid():
        return fail(seen, f"run ttsctl as user {found.st_uid}, or the appliance as user {os.geteuid()}")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return fail(seen, f"chmod 700 {patient.run_dir}: whoever may enter needs no key")
    return ok(seen)


def check_ports(patient: Patient) -> Finding:
    """Are the ports ours, or free?"""
    if patient.settings is None:
        return warn("can't be seen: the configuration is wrong", "ttsctl check-config")
    http, exporter = patient.settings.http, patient.settings.exporter
    is_exporting = patient.program("exporter").get("statename") in FINE_STATES
    written = read_json(patient.run_dir / EXPORTER_FILE).get("port") if is_exporting else None
    return worst(
        [
            _port("http", http.host, http.port, patient.launcher.get("http_port")),
            _port("exporter", exporter.host, exporter.port, written),
        ]
    )


def _port(section: str, host: str, port: int, ours: int | None) -> Finding:
    if ours is not None:
        if port in (0, ours):
            return ok(f"{section}: {ours} is ours")
        advice = "restart the appliance, or take the setting back"
        return warn(f"{section}: it listens on {ours}, and {section}.port is {port} now", advice)
    try:
        family, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        seen = f"{section}: {port} on {host or '*'}: {error.strerror}"
        return fail(seen, _port_advice(section, port, error))
    return ok(f"{section}: {port} is free" if port else f"{section}: takes a free one")


def _port_advice(section: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"find out who has it (ss -ltnp 'sport = :{port}'), or set {section}.port"
        case errno.EACCES:
            allow = "allow it (AmbientCapabilities=CAP_NET_BIND_SERVICE of the unit)"
            return f"set {section}.port to 1024 or more, or {allow}"
        case _:
            return f"set {section}.host to an address of this machine"


def check_programs(patient: Patient) -> Finding:
    """supervisord, and the state of every program."""
    if patient.programs is None:
        if patient.launcher:
            advice = f"kill {patient.launcher['pid']}, and start it again"
            return fail("supervisord doesn't answer", advice)
        return fail("supervisord isn't there, and no launcher", START_IT)
    lasting = [each for each in patient.programs if each["name"] != ONE_SHOT_PROGRAM]
    bad = {each["name"]: each["statename"] for each in lasting if each["statename"] not in FINE_STATES}
    if not bad:
        return ok(f"{len(lasting)} programs run")
    name = next(iter(bad))
    seen = ", ".join(f"{each} is {state}" for each, state in list(bad.items())[:MAX_NAMED])
    advice = f"ttsctl supervisorctl tail {name}, then ttsctl supervisorctl start {name}"
    return fail(seen, advice) if "gateway" in bad or "FATAL" in bad.values() else warn(seen, advice)


def check_leftovers(patient: Patient) -> Finding:
    """Processes of this run directory that no living launcher looks after."""
    parents = {each.pid: each.parent for each in patient.processes}
    launchers = {each.pid for each in patient.processes if each.module == LAUNCHER}
    left = []
    for process in patient.processes:
        pid = process.pid
        while pid in parents and pid not in launchers:
            pid = parents[pid]
        if pid not in launchers:
            left.append(process)
    if not left:
        return ok(f"{len(patient.processes)} processes, all of a living launcher" if launchers else "none")
    named = ", ".join(f"{each.module} {each.pid}" for each in left[:MAX_NAMED])
    return fail(f"left by a dead appliance: {named}", f"kill {' '.join(str(each.pid) for each in left)}")


def check_gateway(patient: Patient) -> Finding:
    """What the gateway says of itself."""
    if patient.status is None:
        is_supervised = patient.programs is not None
        advice = "ttsctl supervisorctl tail gateway" if is_supervised else "see programs"
        return fail("it doesn't answer on gateway.sock", advice)
    status, queue, requests = (patient.status[name] for name in ("status", "queue", "requests"))
    seen = f"{status}, {requests['in_flight']} requests in flight, {queue['waiting']} utterances waiting"
    if status == "ok":
        return ok(seen)
    advice = STATUS_ADVICE.get(status, "ttsctl status names what is missing")
    return fail(seen, advice) if status == "down" else warn(seen, advice)


def check_workers(patient: Patient) -> Finding:
    """Connected workers against the pools' sizes."""
    if patient.settings is None or patient.status is None:
        return warn(NO_GATEWAY, "see gateway and configuration")
    alive = Counter(each["engine"] for each in patient.status["workers"] if each["state"] in ALIVE_STATES)
    sizes = patient.settings.pool_sizes()
    seen = ", ".join(f"{engine} {alive[engine]} of {size}" for engine, size in sizes.items())
    advice = "ttsctl status says how each ended; ttsctl supervisorctl tail NAME says why"
    if any(not alive[engine] for engine in sizes):
        return fail(seen, advice)
    return warn(seen, advice) if any(alive[engine] < size for engine, size in sizes.items()) else ok(seen)


def check_speech(patient: Patient) -> Finding:
    """The last real synthesis with the default voice."""
    if patient.speech is None:
        return warn(NO_GATEWAY, "see gateway")
    status, cause = patient.speech["status"], patient.speech.get("cause")
    if status in ("ok", "busy"):
        latency_ms = patient.speech.get("sample_latency_ms")
        return ok(f"{status}, first audio after {format_delay(latency_ms and latency_ms / 1000)}")
    seen = f"{status}{f': {cause}' if cause else ''} ({patient.speech['engine']})"
    if status == "starting":
        return warn(seen, "ask again in some seconds")
    return fail(seen, 'docs/operate/troubleshooting.md, "It starts and says nothing"')


def check_logs(patient: Patient) -> Finding:
    """Log lines that were lost or held back since the start."""
    if not patient.launcher:
        return warn("can't be seen: no launcher", "see programs")
    of_gateway = patient.metrics.get("tts_log_lines_dropped_total", 0)
    lost = int(patient.launcher.get("log_lines_dropped", 0) + of_gateway)
    held_back = patient.metrics.get("tts_log_lines_suppressed_total", 0)
    held_back += patient.launcher.get("log_lines_suppressed", 0)
    seen = f"{lost} lines lost and {held_back:.0f} repeated ones held back since the start"
    if lost:
        return warn(
            seen, "whoever reads the appliance's output is too slow: look at the log driver or journal"
        )
    return ok(seen)
