"""What `ttsctl doctor` checks of programs and processes: whether they run, and what has become of them.

Owns: which states are well, how long an end is news, what to do about each.
Refuses to know: what a program does while it runs (`speaking`, `storing`).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from appliance.diagnoses import REMEDIES
from appliance.lifecycle import SUPERVISOR_SOCKET, read_json
from appliance.watched import BEAT_FILE, ONE_SHOT_PROGRAM
from processes.ttsctl.check import Check
from processes.ttsctl.checks.configuration import SETTINGS_WRONG
from processes.ttsctl.finding import Fault, Finding, failure, hint, ok, unseen, warning, worst
from processes.ttsctl.live import why_silent
from processes.ttsctl.patient import Patient
from processes.ttsctl.process_table import EXPORTER, LAUNCHER
from processes.ttsctl.remedies import START, is_in_container, restart, shell
from processes.ttsctl.table import format_span

PORT_TAKEN = failure("port_taken", "another program has a port")
PORT_UNUSABLE = failure("port_unusable", "the address isn't this machine's, or the port is below 1024")
PORTS_EQUAL = failure("ports_equal", "both servers have one port")
PORT_CHANGED = warning("port_changed", "it listens on another port than is set by now")
SUSPENDED = failure("process_suspended", "somebody has stopped a process (SIGSTOP), which does nothing now")
NOT_RUNNING = failure("not_running", "nothing of the appliance runs")
SUPERVISORD_SILENT = failure("supervisord_silent", "supervisord doesn't answer")
GIVEN_UP = failure("program_given_up", "supervisord has given a program up (FATAL)")
GATEWAY_DOWN = failure("gateway_not_running", "the gateway doesn't run")
STOPPED = warning("program_stopped", "a program is stopped, or about to be started again")
HELD = failure("program_held", "a program ends again and again, and waits before each start")
WATCHDOG_SILENT = failure("watchdog_silent", "the watchdog doesn't beat, so nobody sees a hang")
LEFT = failure("process_left", "processes of a dead appliance are still there")
DIED_HUNG = warning("died_hung", "within the last hour a program was killed because it hung")
DIED_CRASHED = warning("died_crashed", "within the last hour a program crashed in native code")
DIED_KILLED = warning("died_killed", "within the last hour somebody, or the kernel, has killed a program")
DIED_PROTOCOL = warning("died_protocol", "within the last hour a worker broke the protocol")
DIED = warning("died", "within the last hour a program ended by itself")
EXPORTER_SILENT = warning("exporter_silent", "the exporter runs, and gives no metrics")
EXPORTER_OPEN = hint("exporter_open", "metrics are given to everybody who reaches the exporter's port")
SUPERVISOR_OPEN = failure("supervisor_open", "others may reach supervisord, and so run anything")
LINES_LOST = warning("log_lines_lost", "lines of the log were lost since the start")

EXPORTER_FILE = "exporter.json"
"""In the run directory, by the exporter: `port`."""
EXPORTER_S = 3.0
"""Seconds that the exporter has to answer: it asks the gateway and supervisord for a second each."""
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy the environment names: it is this machine that is asked."""
FINE_STATES = ("STARTING", "RUNNING")
STOPPED_LETTERS = ("T", "t")
"""By a signal, by a debugger. Source: proc(5)."""
NEWS_S = 3600.0
"""Seconds for which an end is news."""
CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
HANGS = ("hung", "progress", "cancel")
"""Causes by the gateway, which kills such a worker by SIGABRT."""
KILLED_FOR = (*HANGS, "protocol")
"""Causes by the gateway for which it ends a worker that would have gone on."""
WANTED_ENDS = ("", "expected", "stopped", "SIGTERM")
WATCHDOG = "watchdog"
MAX_NAMED = 4
SERVER_SECTION = "[inet_http_server]"
"""Of supervisord's configuration: it would listen on TCP."""


def check_ports(patient: Patient) -> Finding:
    """Are the ports ours, or free?"""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    http, exporter, wyoming = patient.settings.http, patient.settings.exporter, patient.settings.wyoming
    written = read_json(patient.run_dir / EXPORTER_FILE).get("port") if _is_exporting(patient) else None
    with ExitStack() as held:
        findings = [
            _port(patient, held, "http", (http.host, http.port), patient.launcher.get("http_port")),
            _port(patient, held, "exporter", (exporter.host, exporter.port), written),
        ]
        if wyoming.enabled:
            address, ours = (wyoming.host, wyoming.port), patient.launcher.get("wyoming_port")
            findings.append(_port(patient, held, "wyoming", address, ours))
    if http.port == exporter.port and [each.fault for each in findings[:2]] == ["", PORT_TAKEN.code]:
        advice = "give http.port and exporter.port different numbers"
        return PORTS_EQUAL.found(findings[1].seen, advice, "ttsctl check-config")
    return worst(findings)


def _is_exporting(patient: Patient) -> bool:
    is_running = patient.program("exporter").get("statename") in FINE_STATES
    return is_running or (patient.programs is None and patient.has_process(EXPORTER))


def _port(
    patient: Patient, held: ExitStack, section: str, address: tuple[str, int], ours: int | None
) -> Finding:
    """Look at one port; one that is free is listened on until `held` is closed, as the appliance would."""
    host, port = address
    if ours is not None:
        if port in (0, ours):
            return ok(f"{section}: {ours} is ours")
        advice = "restart the appliance, or take the setting back"
        seen = f"{section}: it listens on {ours}, and {section}.port is {port} now"
        return PORT_CHANGED.found(seen, advice, restart(patient))
    try:
        family, *_, place = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        probe = held.enter_context(socket.socket(family))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
        probe.listen()
    except OSError as error:
        return port_refused(section, address, error)
    return ok(f"{section}: {port} is free" if port else f"{section}: takes a free one")


def port_refused(section: str, address: tuple[str, int], error: OSError) -> Finding:
    """Return the finding that a port can't be listened on.

    Args:
        section: Of the settings.
        address: Host and port.
        error: Why.
    """
    host, port = address
    seen = f"{section}: {port} on {host or '*'}: {error.strerror}"
    match error.errno:
        case errno.EADDRINUSE:
            advice = f"find out who has it, or set {section}.port"
            return PORT_TAKEN.found(seen, advice, f"ss -ltnp 'sport = :{port}'")
        case errno.EACCES:
            advice = (
                f"set {section}.port to 1024 or more, or allow it (AmbientCapabilities=CAP_NET_BIND_SERVICE"
                " of the unit)"
            )
            return PORT_UNUSABLE.found(seen, advice, "ttsctl check-config")
        case _:
            return PORT_UNUSABLE.found(
                seen, f"set {section}.host to an address of this machine", "ip address"
            )


def check_suspended(patient: Patient) -> Finding:
    """Processes that somebody has stopped, and that therefore do nothing."""
    found = [each for each in patient.processes if each.state in STOPPED_LETTERS]
    if not found:
        return ok("none of them" if patient.processes else "no processes")
    named = ", ".join(f"{each.module} {each.pid}" for each in found[:MAX_NAMED])
    advice = "have it go on; what is watched is killed and replaced meanwhile"
    return SUSPENDED.found(f"stopped: {named}", advice, shell("kill", "-CONT", *(each.pid for each in found)))


def check_programs(patient: Patient) -> Finding:
    """supervisord, and the state of every program."""
    if patient.programs is None:
        if patient.launcher:
            advice = "end it, and start the appliance again"
            return SUPERVISORD_SILENT.found("supervisord doesn't answer", advice, restart(patient))
        return NOT_RUNNING.found("supervisord isn't there, and no launcher", "start it", START)
    lasting = [each for each in patient.programs if each["name"] != ONE_SHOT_PROGRAM]
    bad = {each["name"]: each["statename"] for each in lasting if each["statename"] not in FINE_STATES}
    held = {name for name, seen in patient.watched.items() if seen.get("held_until_s")}
    if not bad.keys() - held:  # the next check has those
        return ok(f"{len(lasting) - len(bad)} programs run")
    given_up = [name for name, state in bad.items() if state == "FATAL"]
    name = next(iter(given_up or ["gateway"] if "gateway" in bad else [*bad.keys() - held]))
    seen = ", ".join(f"{each} is {state}" for each, state in list(bad.items())[:MAX_NAMED])
    fault = GIVEN_UP if given_up else GATEWAY_DOWN if "gateway" in bad else STOPPED
    remedy = REMEDIES[GIVEN_UP.code].of(name)
    return fault.found(f"{seen}{_last_exit(patient, name)}", remedy.advice, remedy.command)


def _last_exit(patient: Patient, name: str) -> str:
    last = patient.watched.get(name, {}).get("last_exit")
    return f"; the last exit of {name} was {last}" if last and last != "stopped" else ""


def check_restarts(patient: Patient) -> Finding:
    """Programs that end again and again, which the watchdog holds back."""
    if not patient.watched:
        return unseen("the watchdog has written nothing")
    held = {name: seen for name, seen in patient.watched.items() if seen.get("degraded")}
    if not held:
        return ok(f"{sum(each.get('restarts', 0) for each in patient.watched.values())} restarts, none held")
    seen = ", ".join(
        f"{name} ends again and again ({each.get('last_exit')}, {each.get('restarts', 0)} restarts)"
        for name, each in list(held.items())[:MAX_NAMED]
    )
    remedy = REMEDIES[HELD.code].of(next(iter(held)))
    return HELD.found(seen, remedy.advice, remedy.command)


def check_deaths(patient: Patient) -> Finding:
    """Programs whose last process ended within the last hour, though nobody has asked for it."""
    if not patient.watched:
        return unseen("the watchdog has written nothing")
    now_s = time.monotonic()
    losses = {each["name"]: each["last_loss"] for each in (patient.status or {}).get("workers", ())}
    findings = [
        _death(name, seen["last_exit"], losses.get(name), now_s - seen["started_s"])
        for name, seen in patient.watched.items()
        if _is_news(name, seen, losses.get(name), now_s)
    ]
    return worst(findings) if findings else ok("none within the last hour")


def _is_news(name: str, seen: dict[str, Any], loss: str | None, now_s: float) -> bool:
    is_unwanted = seen.get("last_exit", "") not in WANTED_ENDS or loss in KILLED_FOR
    is_recent = now_s - seen.get("started_s", 0.0) < NEWS_S
    return name != ONE_SHOT_PROGRAM and is_unwanted and is_recent and bool(seen.get("restarts"))


def _death(name: str, how: str, loss: str | None, age_s: float) -> Finding:
    fault, advice = _kind_of_death(how, loss)
    cause = f"{how}, {loss}" if loss and loss not in ("lost", how) else how
    seen = f"{name} ended {format_span(age_s)} ago ({cause}), and was replaced"
    return fault.found(seen, advice, _tail(name))


def _tail(name: str) -> str:
    """Return the command that shows what a program said last; the watchdog says that in the log only."""
    return f"ttsctl supervisorctl {'status' if name == WATCHDOG else 'tail'} {name}"


def _kind_of_death(how: str, loss: str | None) -> tuple[Fault, str]:
    if loss == "protocol":
        return DIED_PROTOCOL, "is it of another version? Else report it with protocol_error of the log"
    if how == "hung" or loss in HANGS:
        return DIED_HUNG, "its stack is in the log (output): a machine too busy, a disk, or a fault of ours"
    if how in CRASHES:
        return DIED_CRASHED, "its stack is in the log (output), and the text's request_id in worker_lost"
    if how == "SIGKILL":
        return DIED_KILLED, "see oom, and who else may kill it; nothing was lost but what it spoke"
    return DIED, "read what it said last"


def check_watchdog(patient: Patient) -> Finding:
    """The watchdog's own heartbeat, and what it says of supervisord."""
    if not patient.launcher:
        return unseen("no launcher")
    silent = {part: why for part, why in why_silent(os.fspath(patient.run_dir / BEAT_FILE)).items() if why}
    if "supervisord" in silent:
        advice = "restart the appliance: it speaks, but nothing that dies is replaced"
        return SUPERVISORD_SILENT.found(silent["supervisord"], advice, restart(patient))
    if silent:
        advice = "nothing for 20 seconds: the launcher replaces it, unless somebody has stopped it"
        return WATCHDOG_SILENT.found(silent["watchdog"], advice, "ttsctl supervisorctl start watchdog")
    return ok("it beats")


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
    command = shell("kill", *(each.pid for each in left))
    return LEFT.found(f"left by a dead appliance: {named}", "end them, then start it", command)


def check_exporter(patient: Patient) -> Finding:
    """Does the exporter give metrics?"""
    if patient.settings is None or patient.program("exporter").get("statename") != "RUNNING":
        return unseen("it doesn't run, or hasn't for long")
    port, host = read_json(patient.run_dir / EXPORTER_FILE).get("port"), patient.settings.exporter.host
    here = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 (compared, not listened on)
    address = f"http://{here}:{port}/metrics"
    try:
        with DIRECTLY.open(address, timeout=EXPORTER_S) as answer:
            answer.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        advice = "restart it; speech goes on without"
        return EXPORTER_SILENT.found(f"{address}: {reason}", advice, "ttsctl supervisorctl restart exporter")
    if here != host and not is_in_container():
        advice = "nobody is asked for a key there: exporter.host = 127.0.0.1, unless Prometheus is elsewhere"
        return EXPORTER_OPEN.found(f"it listens on {host or '*'}", advice, "ttsctl check-config")
    return ok(address)


def check_supervisor_access(patient: Patient) -> Finding:
    """Who may reach supervisord, which runs what it is told."""
    configuration = patient.run_dir / "supervisord.conf"
    path = patient.run_dir / SUPERVISOR_SOCKET
    if not path.exists():
        return ok("nobody: it has no socket")
    mode = stat.S_IMODE(path.lstat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        advice = "let the appliance's user alone reach it"
        return SUPERVISOR_OPEN.found(f"{path}, mode {mode:04o}", advice, shell("chmod", "700", path))
    if _has_server(configuration):
        advice = f"take {SERVER_SECTION} out of config/supervisord.conf: whoever reaches it runs anything"
        return SUPERVISOR_OPEN.found(f"{configuration} has {SERVER_SECTION}", advice, restart(patient))
    return ok(f"{path}, mode {mode:04o}, and no port")


def _has_server(configuration: Path) -> bool:
    try:
        lines = configuration.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return False
    return any(line.strip().startswith(SERVER_SECTION) for line in lines)


def check_logs(patient: Patient) -> Finding:
    """Log lines that were lost or held back since the start."""
    if not patient.launcher:
        return unseen("no launcher")
    of_gateway = patient.sample("tts_log_lines_dropped_total")
    lost = int(patient.launcher.get("log_lines_dropped", 0) + of_gateway)
    held_back = patient.sample("tts_log_lines_suppressed_total")
    held_back += patient.launcher.get("log_lines_suppressed", 0)
    seen = f"{lost} lines lost and {held_back:.0f} repeated ones held back since the start"
    if lost:
        advice = "whoever reads the appliance's output is too slow: look at the log driver or journal"
        return LINES_LOST.found(seen, advice, f"ls -l /proc/{patient.launcher['pid']}/fd/1")
    return ok(seen)


CHECKS = {
    "ports": Check(
        check_ports,
        (PORT_TAKEN, PORT_UNUSABLE, PORTS_EQUAL, PORT_CHANGED),
        "whether `http.port` and `exporter.port` are ours, or free",
    ),
    "suspended": Check(check_suspended, (SUSPENDED,), "processes that somebody has stopped by a signal"),
    "programs": Check(
        check_programs,
        (NOT_RUNNING, SUPERVISORD_SILENT, GIVEN_UP, GATEWAY_DOWN, STOPPED),
        "supervisord, and the state of each of its programs",
    ),
    "restarts": Check(check_restarts, (HELD,), "programs that the watchdog holds back, with their last exit"),
    "watchdog": Check(
        check_watchdog, (WATCHDOG_SILENT, SUPERVISORD_SILENT), "the watchdog's heartbeat, and what it says"
    ),
    "leftovers": Check(
        check_leftovers,
        (LEFT,),
        "processes that no launcher looks after; an import at a command line is none",
    ),
    "supervisor_access": Check(
        check_supervisor_access, (SUPERVISOR_OPEN,), "mode of supervisord's socket, and that it has no port"
    ),
    "exporter": Check(check_exporter, (EXPORTER_SILENT, EXPORTER_OPEN), "whether the exporter gives metrics"),
    "deaths": Check(
        check_deaths,
        (DIED_HUNG, DIED_CRASHED, DIED_KILLED, DIED_PROTOCOL, DIED),
        "programs that ended by themselves within the last hour, and how",
    ),
    "logs": Check(check_logs, (LINES_LOST,), "lines of the log that were lost since the start"),
}
