"""What `ttsctl doctor` checks of speech: workers, probes, requests, the queue, and the gateway as a whole.

Owns: from which share of failures and lateness somebody has to look.
Refuses to know: programs that don't run (`programs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from appliance.diagnoses import FAILURES, OTHER_FAILURE, REMEDIES, REQUEST_ID, STATUS
from appliance.errors import ProtocolError
from appliance.pools import SET, Pool
from appliance.running import CHANGED
from appliance.worker_programs import WORKER_PREFIX
from processes.ttsctl.check import Check
from processes.ttsctl.checks.configuration import SETTINGS_WRONG
from processes.ttsctl.finding import Finding, failure, hint, ok, unseen, warning
from processes.ttsctl.patient import Patient
from processes.ttsctl.process_table import GATEWAY
from processes.ttsctl.remedies import apply_changes, restart, shell
from processes.ttsctl.table import format_delay

POISON = warning("poison_request", "a text was refused, since it had killed two workers")
PROTOCOL_BROKEN = warning("protocol_broken", "a worker has broken the protocol since the gateway's start")
LOOP_LATE = warning("loop_late", "the gateway's event loop woke up late in 5 % of cases: a machine too busy")
POOLS_CHANGED = warning("pools_changed", "a start would choose other numbers of workers")
POOL_SHORT = warning("pool_short", "a pool is smaller than promised: memory, or missing packages")
NO_WORKER = failure("no_worker", "an engine has no worker at all")
WORKER_MISSING = warning("worker_missing", "fewer workers are connected than are set")
DEFAULT_MISSING = failure("default_voice_missing", "nobody speaks for `voices.default`")
PROBE_STALE = failure("probe_stale", "the last real synthesis is too old to say anything")
PROBE_FAILED = failure("probe_failed", "the last real synthesis with the default voice wasn't heard")
PROBE_AWAITED = warning("probe_awaited", "nothing has been spoken yet since the start")
ENGINE_PROBE = warning("engine_probe_failed", "the last real synthesis with another engine wasn't heard")
REQUESTS_FAIL = warning("requests_fail", "fewer than 95 % of the latest requests were answered well")
SLOW = warning("slow", "a tenth of the latest requests waited longer than `dispatch.first_audio_target_s`")
OVERLOADED = warning(
    "overloaded", "newcomers are refused, as others' work would keep them waiting for too long"
)
REFUSED = hint("refused", "requests were refused since the start, for load or for a quota")
SILENT = failure("gateway_silent", "the gateway doesn't answer on its socket")
DRAINING = warning("draining", "somebody drains it: new requests are refused")
MAINTENANCE = warning("maintenance", "somebody has switched maintenance on: new requests are refused")
STARTING = warning("starting", "it starts")
DEGRADED = warning("degraded", "it speaks, but not everything is well")
DOWN = failure("down", "nobody could speak the default voice")

ALIVE_STATES = ("ready", "busy")
LATE_RATIO = 0.05
LATE_BUCKET = "0.25"
"""Seconds: a wake-up that is later counts as late."""
LEAST_TICKS = 100
LEAST_REQUESTS = 20
"""Latest requests from which shares say something."""
LEAST_SUCCESS = 0.95
"""Source: the thresholds of the hand-over document: success below 95 % alerts."""
MAX_NAMED = 4
NO_GATEWAY = "the gateway doesn't answer"
CAPACITY = 'docs/operate/capacity.md, "How many workers"'
STATUS_FAULTS = {fault.code: fault for fault in (DRAINING, MAINTENANCE, STARTING, DEGRADED, DOWN)}
"""`status` of `/admin/status` → what is wrong."""
REFUSING = (DRAINING.code, MAINTENANCE.code)
"""Causes of a failed probe that say nothing of speech: probes are refused as all else is."""


def check_poison(patient: Patient) -> Finding:
    """Texts that kill whoever speaks them."""
    if patient.status is None:
        return unseen(NO_GATEWAY)
    refused = patient.sample("tts_requests_rejected_total", reason="poison")
    if refused:
        seen = f"{refused:.0f} requests were refused, as their text has killed two workers"
        advice = "report it with its request_id (request_refused in the log); it is free again after an hour"
        return POISON.found(seen, advice, "ttsctl supervisorctl tail gateway")
    return ok("no text has killed two workers")


def check_protocol(patient: Patient) -> Finding:
    """Workers that say what no worker says."""
    if patient.status is None:
        return unseen(NO_GATEWAY)
    errors = patient.sample("tts_protocol_errors_total")
    if errors:
        seen = f"{errors:.0f} connections of workers were closed for it"
        diagnosis = FAILURES[ProtocolError.code]
        return PROTOCOL_BROKEN.found(seen, diagnosis.advice, diagnosis.command)
    return ok("every worker keeps to it")


def check_loop(patient: Patient) -> Finding:
    """How often the gateway's event loop woke up late since its start."""
    name = "tts_event_loop_lag_seconds"
    ticks = patient.sample(f"{name}_count")
    if not ticks:
        return unseen(NO_GATEWAY)
    late = ticks - patient.sample(f"{name}_bucket", le=LATE_BUCKET)
    seen = f"{late:.0f} of {ticks:.0f} wake-ups were more than {LATE_BUCKET} s late"
    if ticks >= LEAST_TICKS and late > LATE_RATIO * ticks:
        return LOOP_LATE.found(seen, "see who else computes on this machine", "top -b -n 1 | head -20")
    return ok(seen)


def check_pools(patient: Patient) -> Finding:
    """How many workers each engine has, and why; whether a start would choose other sizes now."""
    if patient.settings is None or not patient.planned:
        return unseen(SETTINGS_WRONG)
    shown = [pool for pool in patient.pools if pool.size or pool.reason != SET]
    seen = "; ".join(f"{pool.engine} {pool.size}, {pool.reason}" for pool in shown)
    pairs = zip(patient.pools, patient.planned, strict=True)
    others = [(old, new) for old, new in pairs if old.size != new.size]
    if others:
        advice, command = _resized(patient, others)
        return POOLS_CHANGED.found(seen, advice, command)
    if any(pool.is_short for pool in patient.pools):
        return POOL_SHORT.found(seen, CAPACITY, "free -m")
    return ok(seen)


def _resized(patient: Patient, others: list[tuple[Pool, Pool]]) -> tuple[str, str]:
    """Return the advice and the command for pools of another size: as they run, and as they would be."""
    named = ", ".join(f"{new.engine} {new.size}, {new.reason}" for _, new in others)
    if all(old.reason == CHANGED and old.size and new.size for old, new in others):
        kept = ", ".join(f"workers.{old.engine} = {old.size}" for old, _ in others)
        sizes = [f"{WORKER_PREFIX}{new.engine}={new.size}" for _, new in others]
        return f"set {kept} to keep them; else go back to {named}", shell("ttsctl", "scale", *sizes)
    return f"change them to {named}", apply_changes(patient)


def check_workers(patient: Patient) -> Finding:
    """Connected workers against the pools' sizes, and why one is missing."""
    if patient.settings is None or patient.status is None:
        return unseen(NO_GATEWAY)
    alive = Counter(each["engine"] for each in patient.status["workers"] if each["state"] in ALIVE_STATES)
    sizes = {pool.engine: pool.size for pool in patient.pools if pool.size}
    seen = ", ".join(f"{engine} {alive[engine]} of {size}" for engine, size in sizes.items())
    short = [engine for engine, size in sizes.items() if alive[engine] < size]
    if not short:
        return ok(seen)
    missing = list(_missing(patient, sizes))
    named = ", ".join(f"{name} is {why}" for name, why, _ in missing[:MAX_NAMED])
    _name, _why, command = missing[0] if missing else ("", "", STATUS)
    advice = REMEDIES[WORKER_MISSING.code].advice
    fault = WORKER_MISSING if all(alive[engine] for engine in short) else NO_WORKER
    return fault.found(f"{seen}{f' ({named})' if named else ''}", advice, command)


def _missing(patient: Patient, sizes: dict[str, int]) -> Iterator[tuple[str, str, str]]:
    """Yield each worker that can't speak now: its name, what it is, and what to do."""
    known = {each["name"]: each["state"] for each in (patient.status or {}).get("workers", ())}
    for engine, size in sizes.items():
        for name in (f"worker-{engine}-{slot}" for slot in range(1, size + 1)):
            if known.get(name) not in ALIVE_STATES:
                yield name, *_why(patient, name, known.get(name))


def _why(patient: Patient, name: str, connected: str | None) -> tuple[str, str]:
    watched = patient.watched.get(name, {})
    last = watched.get("last_exit")
    if connected is not None:  # hung or recycling: replaced within seconds
        return connected, STATUS
    if watched.get("held_until_s"):
        return f"held, its last exit was {last}", f"ttsctl supervisorctl tail {name}"
    state = patient.program(name).get("statename", "unknown to supervisord")
    if state in ("STARTING", "RUNNING"):
        return "not ready yet", f"ttsctl supervisorctl tail {name}"
    return state, f"ttsctl supervisorctl start {name}"


def check_speech(patient: Patient) -> Finding:
    """The last real synthesis with the default voice, and with the other engines."""
    if patient.speech is None:
        return unseen(NO_GATEWAY)
    status, cause, age_s = patient.speech["status"], patient.speech.get("cause"), patient.speech.get("age_s")
    seen = f"{status}{f': {cause}' if cause else ''} ({patient.speech['engine']})"
    if status in ("ok", "busy"):
        return _other_engines(patient.speech)
    if cause in REFUSING:
        return unseen("new requests are refused, see gateway")
    is_starting = status == "starting"
    if cause is None and age_s is not None and patient.speech.get("workers_ready") and not is_starting:
        seen = f"the last one was {age_s:.0f} s ago"
        return PROBE_STALE.found(seen, "see loop and queue", STATUS)
    fault = PROBE_AWAITED if is_starting else DEFAULT_MISSING if cause == "voice_not_found" else PROBE_FAILED
    remedy = REMEDIES[fault.code]
    return fault.found(seen, remedy.advice, remedy.command)


def _other_engines(speech: dict[str, Any]) -> Finding:
    failed = {
        engine: each["cause"]
        for engine, each in speech.get("engines", {}).items()
        if engine != speech["engine"] and not each["audio_ok"] and each["cause"] not in (None, "busy")
    }
    if failed:
        seen = ", ".join(f"{engine}: {cause}" for engine, cause in failed.items())
        remedy = REMEDIES[ENGINE_PROBE.code]
        return ENGINE_PROBE.found(seen, remedy.advice, remedy.command)
    latency_ms = speech.get("sample_latency_ms")
    return ok(f"{speech['status']}, first audio after {format_delay(latency_ms and latency_ms / 1000)}")


def check_requests(patient: Patient) -> Finding:
    """Success and lateness of the latest requests."""
    if patient.status is None or patient.settings is None:
        return unseen(NO_GATEWAY)
    latency, ratio = patient.status["latency"], patient.status["success_ratio"]
    count, late_s = latency["samples"], latency["ttfa_p90_s"]
    if ratio is None or count < LEAST_REQUESTS:
        return ok(f"{count} requests, too few to say anything")
    seen = f"{ratio:.1%} of {count} requests succeeded, first audio p90 {format_delay(late_s)}"
    if ratio < LEAST_SUCCESS:
        failed = patient.status["requests"]["finished"]
        seen = f"{seen}; {failed['failed']} failed, {failed['expired']} expired"
        return _failing(patient, seen)
    target_s = patient.settings.dispatch.first_audio_target_s
    if late_s is not None and late_s > target_s:
        advice = f'{target_s:g} s are wanted: docs/operate/observe.md, "Is it slow?"'
        return SLOW.found(seen, advice, STATUS)
    return ok(seen)


def _failing(patient: Patient, seen: str) -> Finding:
    """Say what most of the latest failures point to."""
    latest = patient.failures["data"] if patient.failures else []
    if not latest:
        return REQUESTS_FAIL.found(seen, "see request_finished in the log: code and worker", STATUS)
    [(code, count)] = Counter(each["ended_by"] for each in latest).most_common(1)
    diagnosis = FAILURES.get(code, OTHER_FAILURE)
    newest = next(each["request_id"] for each in latest if each["ended_by"] == code)
    seen = f"{seen}; {count} of the last {len(latest)} by {code}: {diagnosis.cause}"
    return REQUESTS_FAIL.found(seen, diagnosis.advice, diagnosis.command.replace(REQUEST_ID, newest))


def check_queue(patient: Patient) -> Finding:
    """Who waits, and who was refused."""
    if patient.status is None:
        return unseen(NO_GATEWAY)
    queue = patient.status["queue"]
    seen = f"{queue['waiting']} utterances wait, {format_delay(queue['expected_wait_s'])} expected"
    if patient.status["status"] == "overloaded":
        remedy = REMEDIES[OVERLOADED.code]
        return OVERLOADED.found(seen, remedy.advice, remedy.command)
    refused = {
        reason: count
        for reason in ("capacity", "quota", "storage")
        if (count := patient.sample("tts_requests_rejected_total", reason=reason))
    }
    if refused:
        named = ", ".join(f"{count:.0f} for {reason}" for reason, count in refused.items())
        return REFUSED.found(f"{seen}; refused since the start: {named}", CAPACITY, STATUS)
    return ok(seen)


def check_gateway(patient: Patient) -> Finding:
    """What the gateway says of itself."""
    if patient.status is None:
        if not patient.is_there:
            return unseen("nothing runs, see programs")
        advice = "the watchdog kills and replaces one that hangs; it says last what it did"
        command = "ttsctl supervisorctl tail gateway" if patient.programs is not None else restart(patient)
        seen = "it doesn't answer on gateway.sock" + (
            "" if patient.has_process(GATEWAY) else ", and isn't there"
        )
        return SILENT.found(seen, advice, command)
    status, queue, requests = (patient.status[name] for name in ("status", "queue", "requests"))
    seen = f"{status}, {requests['in_flight']} requests in flight, {queue['waiting']} utterances waiting"
    if status not in STATUS_FAULTS:  # overloaded is the queue's
        return ok(seen)
    remedy = REMEDIES[status]
    return STATUS_FAULTS[status].found(seen, remedy.advice, remedy.command)


CHECKS = {
    "poison": Check(check_poison, (POISON,), "texts that kill whoever speaks them"),
    "protocol": Check(check_protocol, (PROTOCOL_BROKEN,), "workers that say what no worker says"),
    "loop": Check(check_loop, (LOOP_LATE,), "how often the gateway's event loop woke up late"),
    "pools": Check(
        check_pools,
        (POOLS_CHANGED, POOL_SHORT),
        "how many workers each engine has, why, and what a start would choose",
    ),
    "workers": Check(
        check_workers,
        (NO_WORKER, WORKER_MISSING),
        "connected workers against the pools, and why one is missing",
    ),
    "speech": Check(
        check_speech,
        (DEFAULT_MISSING, PROBE_STALE, PROBE_FAILED, PROBE_AWAITED, ENGINE_PROBE),
        "the last real synthesis with the default voice and with each engine",
    ),
    "queue": Check(check_queue, (OVERLOADED, REFUSED), "who waits, and who was refused"),
    "requests": Check(check_requests, (REQUESTS_FAIL, SLOW), "success and lateness of the latest requests"),
    "gateway": Check(
        check_gateway,
        (SILENT, DRAINING, MAINTENANCE, STARTING, DEGRADED, DOWN),
        "what the gateway says of itself",
    ),
}
