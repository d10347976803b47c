"""The faults: what is done to the appliance, when that shows, and what is allowed to come of it.

Owns: the list of faults and their bounds.
Refuses to know: the load that goes on meanwhile, how a run is judged.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from appliance.engines.tone import LEAK_BYTES
from loadtests.ledger.target import PROGRESS_S, RECYCLE_BYTES, WORKERS, Target, wait_for
from loadtests.open_loop import Speakers
from tests.parts.rogue import GARBAGE as BROKEN_FRAMES
from tests.parts.rogue import running_rogue

LOOK_LIMIT_S = 8.0
"""How long a fault is given to show: twice the largest bound."""
POISON_LIMIT_S = 4 * PROGRESS_S
"""How long the client of a text that hangs its workers waits: two of them, one after the other."""
HANG_UPS = 50
HANG_UP_WITHIN_S = 0.15
HALF_OPEN = 200
STALL_S = 5.0
STOP_S = 3.0
FAULT_ADDRESS = "127.0.0.201"
ATTACKER_ADDRESS = "127.0.0.202"
RECYCLED = "worker_recycled"
MIB = 1024 * 1024
MOST_LEAKS = WORKERS * RECYCLE_BYTES // LEAK_BYTES
"""So many fill every worker."""
MOST_WORKER_BYTES = RECYCLE_BYTES + LEAK_BYTES + 2 * MIB
"""The limit, what one text leaks, and the audio of it."""
WATCHDOG_SEEN_S = 30.0
"""Source: reference matrix, row S3."""
WATCHDOG_HANGS_S = 26.0
"""The launcher's patience of 20 s, a new watchdog's start, and some."""
WATCHDOG_HEALED_S = 30.0
LIVE_EVERY_S = 0.25
PROTOCOL_ERRORS = "tts_protocol_errors_total"
BURST = 20
"""Requests at once: more than there are workers, so that the one without a warm voice is asked too."""
BURSTS = 5
GARBAGE = b"GET / HTTP/1.1\r\n\r\n" * 100


class Victims(Enum):
    """Whose requests may fail."""

    NOBODY = "nobody"
    WORKERS = "those that the lost workers spoke for"
    IN_FLIGHT = "those that were in flight at that moment"
    UNTIL_WHOLE = "all, until every worker serves again"


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault that was made. Times are monotonic, in seconds."""

    begun_at_s: float
    ended_at_s: float
    """When the cause had gone: at once, or after a stall."""
    detected_at_s: float | None = None
    """When the appliance itself showed it; None if it never did, or shows it nowhere."""
    missed: tuple[str, ...] = ()
    """What must hold for this fault alone and didn't, in one line each."""

    @property
    def detected_s(self) -> float | None:
        """Seconds until the appliance itself showed it; None if it never did."""
        return None if self.detected_at_s is None else self.detected_at_s - self.begun_at_s


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault."""

    name: str
    inject: Callable[[Target, Speakers, str], Awaitable[Injection]]
    """Makes it; the text is different each time."""
    victims: Victims = Victims.NOBODY
    detect_s: float | None = 2.0
    """Most seconds until the appliance shows it; None where it shows nowhere."""
    whole_s: float = 6.0
    """Most seconds until every worker serves again."""
    takes_s: float = 0.0
    """Seconds that making it takes, where these are many."""


async def _kill_worker(target: Target, state: str) -> Injection:
    """Kill a worker in a state; the busy one in the middle of an utterance."""
    found: list[dict[str, Any]] = []

    def find() -> bool:
        found[:] = [each for each in target.workers() if each["state"] == state]
        return bool(found)

    def kill() -> Injection:
        wait_for(find, LOOK_LIMIT_S, 0.005)
        worker = (found or target.workers())[0]
        begun_at_s = time.monotonic()
        target.signal(worker["name"], signal.SIGKILL)
        return Injection(begun_at_s, begun_at_s, wait_for(target.misses_worker, LOOK_LIMIT_S))

    return await asyncio.to_thread(kill)


async def _kill_idle(target: Target, _speakers: Speakers, _name: str) -> Injection:
    return await _kill_worker(target, "ready")


async def _kill_busy(target: Target, _speakers: Speakers, _name: str) -> Injection:
    return await _kill_worker(target, "busy")


async def _stop_worker(target: Target, _speakers: Speakers, _name: str) -> Injection:
    return await asyncio.to_thread(_stop_workers, target, 1)


async def _stop_pool(target: Target, _speakers: Speakers, _name: str) -> Injection:
    return await asyncio.to_thread(_stop_workers, target, len(target.workers()))


def _stop_workers(target: Target, count: int) -> Injection:
    names = [worker["name"] for worker in target.workers()][:count]
    begun_at_s = time.monotonic()
    for name in names:
        target.signal(name, signal.SIGSTOP)
    return Injection(begun_at_s, begun_at_s, wait_for(target.misses_worker, LOOK_LIMIT_S))


async def _speak_poison(hook: str, target: Target, speakers: Speakers, name: str) -> Injection:
    """Send a text that kills or hangs whoever speaks it, and look meanwhile."""
    begun_at_s = time.monotonic()
    text = f"Poison of {name}: {hook} and no more."

    async def ask() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POISON_LIMIT_S):
                await speakers.ask(
                    name, FAULT_ADDRESS, begun_at_s, 0, input=text, normalize=False, kind="fault"
                )

    looking = asyncio.to_thread(wait_for, target.misses_worker, LOOK_LIMIT_S)
    _, detected_at_s = await asyncio.gather(ask(), looking)
    return Injection(begun_at_s, begun_at_s, detected_at_s)


async def _segfault(target: Target, speakers: Speakers, name: str) -> Injection:
    return await _speak_poison("__SEGV_0__", target, speakers, name)


async def _hang(target: Target, speakers: Speakers, name: str) -> Injection:
    return await _speak_poison("__HANG_0__", target, speakers, name)


async def _restart_gateway(target: Target, _speakers: Speakers, _name: str) -> Injection:
    begun_at_s = time.monotonic()
    await asyncio.to_thread(target.supervisorctl, "restart", "gateway")
    return Injection(begun_at_s, time.monotonic())


async def _kill_gateway(target: Target, _speakers: Speakers, _name: str) -> Injection:
    def kill() -> Injection:
        pid = target.pid("gateway")
        begun_at_s = time.monotonic()
        target.signal("gateway", signal.SIGKILL)
        return Injection(begun_at_s, begun_at_s, wait_for(lambda: target.pid("gateway") != pid, LOOK_LIMIT_S))

    return await asyncio.to_thread(kill)


async def _stall_log(target: Target, _speakers: Speakers, _name: str) -> Injection:
    begun_at_s = time.monotonic()
    target.log.stall()
    try:
        await asyncio.sleep(STALL_S)
    finally:
        target.log.go_on()
    return Injection(begun_at_s, time.monotonic())


async def _stop_watchdog(target: Target, _speakers: Speakers, _name: str) -> Injection:
    begun_at_s = time.monotonic()
    target.signal("watchdog", signal.SIGSTOP)
    try:
        await asyncio.sleep(STOP_S)
    finally:
        target.signal("watchdog", signal.SIGCONT)
    return Injection(begun_at_s, time.monotonic())


async def _kill_exporter(target: Target, _speakers: Speakers, _name: str) -> Injection:
    begun_at_s = time.monotonic()
    await asyncio.to_thread(target.signal, "exporter", signal.SIGKILL)
    return Injection(begun_at_s, begun_at_s)


async def _hang_up(_target: Target, speakers: Speakers, name: str) -> Injection:
    """Send many requests at once and leave each at a random moment."""
    chosen = random.Random(name)
    begun_at_s = time.monotonic()

    async def leave(number: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(chosen.uniform(0, HANG_UP_WITHIN_S)):
                await speakers.ask(f"{name}-{number}", FAULT_ADDRESS, begun_at_s, number, kind="fault")

    await asyncio.gather(*(leave(number) for number in range(HANG_UPS)))
    return Injection(begun_at_s, time.monotonic())


async def _half_open(target: Target, _speakers: Speakers, _name: str) -> Injection:
    """Open many connections from one address, send half a head on each, and hold them."""
    begun_at_s = time.monotonic()
    with ExitStack() as stack:
        for _ in range(HALF_OPEN):
            with suppress(OSError):
                half = await asyncio.to_thread(
                    socket.create_connection, ("127.0.0.1", target.port), STOP_S, (ATTACKER_ADDRESS, 0)
                )
                stack.enter_context(half)
                half.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: local")
        await asyncio.sleep(STOP_S)
    return Injection(begun_at_s, time.monotonic())


async def _garbage(target: Target, _speakers: Speakers, _name: str) -> Injection:
    """Say something else than wire frames where workers connect."""

    def send() -> Injection:
        begun_at_s = time.monotonic()
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as stranger, suppress(OSError):
                stranger.settimeout(STOP_S)
                stranger.connect(str(target.run_dir / "workers.sock"))
                stranger.sendall(GARBAGE)
                stranger.recv(1)
        return Injection(begun_at_s, time.monotonic())

    return await asyncio.to_thread(send)


async def _leak(target: Target, speakers: Speakers, name: str) -> Injection:
    """Send texts that leak until a worker is above its limit, and see that it is replaced."""
    begun_at_s = time.monotonic()
    before, largest_bytes, failed = target.log.events[RECYCLED], 0, 0
    for number in range(MOST_LEAKS):
        text = f"Leak {number} of {name}: __LEAK__ and no more."
        line = await speakers.ask(
            f"{name}-{number}", FAULT_ADDRESS, time.monotonic(), 0, input=text, normalize=False, kind="fault"
        )
        failed += not line.is_acknowledged
        largest_bytes = max(largest_bytes, await asyncio.to_thread(target.largest_worker_bytes))
        if largest_bytes > RECYCLE_BYTES or target.log.events[RECYCLED] > before:
            break
    replaced_at_s = await asyncio.to_thread(
        wait_for, lambda: target.log.events[RECYCLED] > before, LOOK_LIMIT_S
    )
    missed = []
    if replaced_at_s is None:
        missed.append(f"not replaced with {largest_bytes / MIB:.0f} MiB, limit {RECYCLE_BYTES / MIB:.0f} MiB")
    if largest_bytes > MOST_WORKER_BYTES:
        missed.append(f"{largest_bytes / MIB:.0f} MiB, at most {MOST_WORKER_BYTES / MIB:.0f} MiB")
    if failed:
        missed.append(f"{failed} of the texts that leak failed")
    return Injection(begun_at_s, time.monotonic(), missed=tuple(missed))


async def _hang_watchdog(target: Target, _speakers: Speakers, _name: str) -> Injection:
    """Stop the watchdog for good, and ask `ttsctl live` until it says so, and until all is well again."""

    def hang() -> Injection:
        begun_at_s = time.monotonic()
        target.signal("watchdog", signal.SIGSTOP)
        try:
            seen_at_s = wait_for(lambda: "watchdog" in target.dead_parts(), WATCHDOG_SEEN_S, LIVE_EVERY_S)
            healed_at_s = seen_at_s and wait_for(
                lambda: not target.dead_parts(), WATCHDOG_HEALED_S, LIVE_EVERY_S
            )
        finally:
            target.signal("watchdog", signal.SIGCONT)  # one that was replaced doesn't mind
        missed = () if healed_at_s else ("the watchdog wasn't replaced",)
        return Injection(begun_at_s, time.monotonic(), seen_at_s, missed)

    return await asyncio.to_thread(hang)


async def _let_rogue_in(target: Target, speakers: Speakers, name: str) -> Injection:
    """Let a worker join that answers its first order with a broken frame, and ask until it gets one.

    These requests count as load: one of them may fail with it.
    """
    deed = f"{random.Random(name).choice(sorted(BROKEN_FRAMES))}_in_an_utterance"
    before = await asyncio.to_thread(target.counted, PROTOCOL_ERRORS)
    with running_rogue(target.run_dir, deed) as rogue:
        await asyncio.to_thread(wait_for, lambda: len(target.workers()) > WORKERS, LOOK_LIMIT_S)
        begun_at_s = time.monotonic()
        looking = asyncio.create_task(
            asyncio.to_thread(
                wait_for, lambda: target.counted(PROTOCOL_ERRORS) not in {before, None}, LOOK_LIMIT_S
            )
        )
        for burst in range(BURSTS):
            if rogue.poll() is None:
                await asyncio.gather(
                    *(
                        speakers.ask(f"{name}-{burst}-{number}", FAULT_ADDRESS, time.monotonic(), number)
                        for number in range(BURST)
                    )
                )
        detected_at_s = await looking
    after = await asyncio.to_thread(target.counted, PROTOCOL_ERRORS)
    counted = None if before is None or after is None else after - before
    missed = () if counted == 1 else (f"{deed}: {counted} protocol errors counted, 1 was made",)
    return Injection(begun_at_s, time.monotonic(), detected_at_s, missed)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("worker-kill-idle", _kill_idle),
        Fault("worker-kill-busy", _kill_busy, Victims.WORKERS),
        Fault("worker-stop", _stop_worker, Victims.WORKERS),
        Fault("worker-segfault", _segfault, Victims.WORKERS),
        Fault("gateway-restart", _restart_gateway, detect_s=None, whole_s=10.0),
        Fault("gateway-kill", _kill_gateway, Victims.IN_FLIGHT, whole_s=10.0),
        Fault("hang-ups", _hang_up, detect_s=None),
        Fault("half-open", _half_open, detect_s=None),
        Fault("log-stall", _stall_log, detect_s=None),
        Fault("watchdog-stop", _stop_watchdog, detect_s=None),
        Fault("exporter-kill", _kill_exporter, detect_s=None),
        Fault("wire-garbage", _garbage, detect_s=None),
        Fault("pool-stop", _stop_pool, Victims.UNTIL_WHOLE, whole_s=10.0),
        Fault("worker-hang", _hang, Victims.WORKERS, detect_s=PROGRESS_S + 1, whole_s=2 * PROGRESS_S + 6),
        Fault("worker-leak", _leak, detect_s=None),
        Fault("rogue-worker", _let_rogue_in, Victims.WORKERS),
        Fault("watchdog-hang", _hang_watchdog, detect_s=WATCHDOG_SEEN_S, takes_s=WATCHDOG_HANGS_S),
    )
}
"""Every fault by its name, in the order in which a run goes through them."""
