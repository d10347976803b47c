"""Two full-size voices in every worker that 1 GiB has room for, spoken at once.

Owns: the section `neural-memory` of the measurements: which workers there are, who speaks what, the figures.
Refuses to know: how memory is read, and how the sizes of pools are chosen (`appliance.pools`).

Memory isn't limited here: what the kernel would take back under a limit, as mapped weights, stays and counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from appliance.pools import OTHERS_BYTES, PoolPlan, look_at_machine, plan_pools, pool_bytes
from appliance.settings import load_settings
from loadtests.appliance import Appliance, on_cores
from loadtests.figures import Figure
from loadtests.neural import voices
from loadtests.neural.alone import one_core, other_cores
from loadtests.neural.clients import clients
from processes.ttsctl.voice_bench.course import with_memory
from processes.ttsctl.voice_bench.crowds import Heard, at_once
from processes.ttsctl.voice_bench.figures import MB
from processes.ttsctl.voice_bench.texts import SENTENCE_150

LIMIT_BYTES = 1024**3
"""The container's limit. Source: docker-compose.yml, `mem_limit`."""
ROUNDS = {False: 5, True: 2}


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes some three minutes, or one and a half.

    At first a voice is imported, which takes torch and Coqui and can fail as `voices.voice` does.
    """
    with on_cores(other_cores()):
        ids = voices.two_voices()
        plan = plan_for_limit()
        settings: dict[str, Any] = {f"WORKERS_{pool.engine.upper()}": pool.size for pool in plan.pools}
        settings["DATA_DIR"] = voices.two_voices_dir()
        with one_core(**settings) as appliance:
            return [_planned(plan), *_measured(appliance, ids, ROUNDS[is_short])]


def plan_for_limit() -> PoolPlan:
    """Return the pools of an appliance on one core that has these two voices and so much memory."""
    settings = load_settings({"APPLIANCE_DATA_DIR": str(voices.two_voices_dir())})
    return plan_pools(settings, replace(look_at_machine(settings), cores=1, memory_bytes=LIMIT_BYTES))


def _planned(plan: PoolPlan) -> Figure:
    sizes = ", ".join(f"{pool.size} {pool.engine}" for pool in plan.pools if pool.size)
    needed_bytes = OTHERS_BYTES + sum(map(pool_bytes, plan.pools))
    return _memory(
        f"counted for all processes with the workers of 1 GiB ({sizes}) and two voices", needed_bytes
    )


def _measured(appliance: Appliance, ids: tuple[str, str], rounds: int) -> Iterator[Figure]:
    speak = [clients(appliance.port, voice) for voice in ids]
    workers = len(_own_bytes(appliance))
    one = median(_own_bytes(appliance))
    for each in speak:  # as many at a time as workers, so that each of them loads each voice
        at_once(each, SENTENCE_150, workers)
    two = median(_own_bytes(appliance))
    yield Figure("private memory (USS) of a worker's second voice", (two - one) / MB, "MB")
    yield _memory(
        "memory (PSS) of all processes, two voices in each worker, idle", appliance.shared_out_bytes()
    )

    def ask(place: int, text: str) -> Heard:
        return speak[place % len(speak)](place, text)

    _tell(f"two voices at once, {rounds} rounds")
    heard, largest_bytes = with_memory(
        appliance, lambda: [each for _ in range(rounds) for each in at_once(ask, SENTENCE_150, workers)]
    )
    yield _memory("the same, both spoken by all workers at once, the most of all samples", largest_bytes)
    yield Figure("texts of 150 characters that failed", sum(not each.is_whole for each in heard), "", most=0)


def _memory(name: str, used_bytes: float) -> Figure:
    return Figure(name, used_bytes / MB, "MB", most=LIMIT_BYTES // MB)


def _own_bytes(appliance: Appliance) -> list[int]:
    used = appliance.memory_bytes()
    return [own for name, own in used.items() if name.startswith("worker-vits-")]


def _tell(what: str) -> None:
    print(f"-- {what}", file=sys.stderr, flush=True)
