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
from contextlib import ExitStack
from dataclasses import fields, replace
from typing import Any

from appliance.lifecycle import read_json
from appliance.pools import SET, restart_hint, unserved
from appliance.settings import Settings
from appliance.voices import FALLBACK_ENGINE, Variant, Voice, VoiceCatalog, VoicesFile, read_voices_file
from appliance.watched import ONE_SHOT_PROGRAM
from processes.ttsctl.finding import Finding, Verdict, fail, ok, warn, worst
from processes.ttsctl.patient import LAUNCHER, Patient
from processes.ttsctl.table import format_delay

EXPORTER = "processes.exporter"
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
    is_running = patient.program("exporter").get("statename") in FINE_STATES
    is_exporting = is_running or (patient.programs is None and patient.has_process(EXPORTER))
    written = read_json(patient.run_dir / EXPORTER_FILE).get("port") if is_exporting else None
    with ExitStack() as held:
        findings = [
            _port(held, "http", http.host, http.port, patient.launcher.get("http_port")),
            _port(held, "exporter", exporter.host, exporter.port, written),
        ]
    if http.port == exporter.port and [each.verdict for each in findings] == [Verdict.OK, Verdict.FAIL]:
        findings[1] = replace(findings[1], advice="give http.port and exporter.port different numbers")
    return worst(findings)


def _port(held: ExitStack, section: str, host: str, port: int, ours: int | None) -> Finding:
    """Look at one port; one that is free is listened on until `held` is closed, as the appliance would."""
    if ours is not None:
        if port in (0, ours):
            return ok(f"{section}: {ours} is ours")
        advice = "restart the appliance, or take the setting back"
        return warn(f"{section}: it listens on {ours}, and {section}.port is {port} now", advice)
    try:
        family, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        probe = held.enter_context(socket.socket(family))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()
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
    """Processes of this run directory that neither a living launcher nor somebody's import looks after."""
    parents = {each.pid: each.parent for each in patient.processes}
    owners = {each.pid for each in patient.processes if each.module == LAUNCHER or each.is_by_hand}
    left = []
    for process in patient.processes:
        pid = process.pid
        while pid in parents and pid not in owners:
            pid = parents[pid]
        if pid not in owners:
            left.append(process)
    if not left:
        is_import = any(each.is_by_hand for each in patient.processes)
        of_whom = "of a living launcher or an import by hand" if is_import else "of a living launcher"
        return ok(f"{len(patient.processes)} processes, all {of_whom}" if owners else "none")
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


def check_pools(patient: Patient) -> Finding:
    """How many workers each engine has, and why; whether a start would choose other sizes now."""
    if patient.settings is None:
        return warn("can't be seen: the configuration is wrong", "ttsctl check-config")
    shown = [pool for pool in patient.pools if pool.size or pool.reason != SET]
    seen = "; ".join(f"{pool.engine} {pool.size}, {pool.reason}" for pool in shown)
    others = [new for old, new in zip(patient.pools, patient.planned, strict=True) if old.size != new.size]
    if others:
        named = ", ".join(f"{pool.engine} {pool.size}, {pool.reason}" for pool in others)
        fresh = unserved(patient.pools, [pool.engine for pool in others])
        why = f"{restart_hint(fresh)}: {named}" if fresh else f"restart the appliance for {named}"
        return warn(seen, why)
    if any(pool.is_short for pool in patient.pools):
        return warn(seen, 'docs/operate/capacity.md, "How many workers"')
    return ok(seen)


def check_workers(patient: Patient) -> Finding:
    """Connected workers against the pools' sizes."""
    if patient.settings is None or patient.status is None:
        return warn(NO_GATEWAY, "see gateway and configuration")
    alive = Counter(each["engine"] for each in patient.status["workers"] if each["state"] in ALIVE_STATES)
    sizes = {pool.engine: pool.size for pool in patient.pools if pool.size}
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


def check_fallbacks(patient: Patient) -> Finding:
    """The voices that `[fallbacks]` names, against those that there are."""
    if patient.settings is None:
        return warn("can't be seen: the configuration is wrong", "ttsctl check-config")
    file = patient.settings.config_dir() / patient.settings.voices.file
    names = read_voices_file(file)
    if not names.fallbacks:
        return ok("none is set")
    if patient.voices is None:
        return warn(NO_GATEWAY, "see gateway")
    catalog = _espeaks_catalog(patient.settings, names, patient.voices)
    if not catalog.voices():
        return warn(f"{FALLBACK_ENGINE} has no voice, so nobody speaks for another", "see workers")
    lost = [f"{name} = {by}" for name, by in catalog.lost_fallbacks().items()]
    faults = [f"{entry}: {FALLBACK_ENGINE} has no such voice" for entry in lost]
    faults += [f"{name} is {FALLBACK_ENGINE}'s own and needs none" for name in catalog.needless_fallbacks()]
    if not faults:
        return ok(f"{len(names.fallbacks)} set")
    advice = f"mend [fallbacks] in {file}, then ttsctl supervisorctl restart gateway"
    return warn("; ".join(faults[:MAX_NAMED]), advice)


def _espeaks_catalog(settings: Settings, names: VoicesFile, listed: dict[str, Any]) -> VoiceCatalog:
    """Return the voices that may speak for others, with the names of a file.

    Args:
        settings: Name the default voice.
        names: The file.
        listed: The answer of GET /v1/audio/voices.
    """
    catalog = VoiceCatalog(names.aliases, settings.voices.default, names.fallbacks)
    voices, variants = (
        [each for each in listed[name] if each["engine"] == FALLBACK_ENGINE]
        for name in ("voices", "variants")
    )
    known = {field.name for field in fields(Voice)}
    catalog.replace(
        FALLBACK_ENGINE,
        [Voice.from_dict({name: each[name] for name in known}) for each in voices],
        map(Variant.from_dict, variants),
    )
    return catalog


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
