"""What happens to the container when its parts die, and when it is stopped amid work."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from appliance.lifecycle import EXIT_FATAL
from loadtests.figures import Figure
from tests.parts.appliance import eventually
from tests.parts.container import Container, say
from tests.parts.docker_engine import Engine
from tests.parts.green_watch import GreenWatch
from tests.parts.rounds import allowance_s, rounds
from tests.parts.speaking import Answer, speak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(rounds(1800, 7200))]

StartContainer = Callable[..., Container]

STOP_ROUNDS = rounds(3, 50)
CLIENTS = 4
AGAIN_WITHIN_S = 5.0
"""Bound of rows W9 and W10: from the death of a program to the next answer."""
RESTARTED_WITHIN_S = 10.0
"""Bound of row S1: of a container that has to start anew."""
KILLS = rounds(3, 20)
DEATHS_BY_MEMORY = rounds(1, 5)
FALSE_GREEN_S = 2.0
"""Seconds of a fault in which health may be green while nobody is heard."""
TONES: dict[str, Any] = {"WORKERS_TONE": 2, "WORKERS_ESPEAK": 0, "VOICES_DEFAULT": "tone-low"}
LEAKING = " ".join(["__LEAK__ and so it grows and grows, a sentence that is long enough to be alone."] * 20)


class Crowd:
    """Clients that ask for one text after the other, and remember what became of each request."""

    def __init__(self, container: Container) -> None:
        self.answers: list[Answer] = []
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(container,)) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, container: Container) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            answer = speak(container, f"Number {number} is on its way. " * 4)
            self.answers.append(answer)
            if not answer.status:
                self._stopped.wait(0.1)  # where nobody listens, the refusal comes at once

    def is_well_under_way(self) -> bool:
        """Whether every client has had some answers, so that another one is on its way."""
        return len(self.answers) > 2 * CLIENTS

    def end(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def spoken_again_s(container: Container, voice: str = "en-us") -> float:
    """The seconds until the next whole answer."""
    begun_s = time.monotonic()
    eventually(lambda: speak(container, "Once more.", voice=voice).is_whole, 120)
    return time.monotonic() - begun_s


def test_stop_when_requests_are_in_flight_then_none_that_was_accepted_is_lost_and_the_exit_code_is_0(
    engine: Engine, default_image: str
) -> None:
    """Row S7, as `docker stop` does it; the ledger has every request that was accepted."""
    settings = {**TONES, "TONE_DELAY_S": 0.3, "LOG_LEDGER_FILE": "ledger.jsonl", "CACHE_SPEECH": "false"}
    lost, taken_s, whole = 0, [], 0
    with contextlib.closing(Container(engine, default_image, **settings)) as container:
        for _ in range(STOP_ROUNDS):
            container.start_healthy()
            crowd = Crowd(container)
            eventually(crowd.is_well_under_way)
            begun_s = time.monotonic()
            assert container.stop() == 0
            taken_s.append(time.monotonic() - begun_s)
            crowd.end()
            lost += sum(answer.status == 200 and not answer.is_whole for answer in crowd.answers)
            whole += sum(answer.status == 200 and answer.is_whole for answer in crowd.answers)
            assert {answer.status for answer in crowd.answers} <= {0, 200, 503}
        states = Counter(entry["state"] for entry in ledger(container))
    say(
        "S7",
        Figure("docker stop under load, accepted requests lost", lost, "", most=0),
        Figure("docker stop under load, slowest", max(taken_s), "s", most=60.0),
        Figure("docker stop under load, times", STOP_ROUNDS, ""),
        Figure("docker stop under load, requests answered whole", whole, ""),
    )
    assert lost == 0
    assert set(states) == {"completed"}
    assert states["completed"] >= whole > 0


def ledger(container: Container) -> list[dict[str, Any]]:
    """What the stopped container's volume holds of every accepted request."""
    container.docker("cp", f"{container.name}:/var/lib/tts/ledger.jsonl", str(container.folder))
    lines = (container.folder / "ledger.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_gateway_when_killed_then_the_container_serves_again_soon(start_container: StartContainer) -> None:
    """Row W10."""
    container = start_container(WATCHDOG_EARLY_S=0)
    with contextlib.closing(GreenWatch(container, "en-us")) as watch:
        for _ in range(KILLS):
            watch.wait_until_heard()
            container.kill_program("gateway")
            watch.wait_until_heard()
            wait_until_running(container, "gateway")
    judge("W10", watch, "gateway killed", KILLS)
    assert container.inspected()["RestartCount"] == 0


def judge(row: str, watch: GreenWatch, cause: str, times: int) -> None:
    """Print what a client has seen of so many deaths, and hold it to the bounds."""
    assert watch.looks >= times
    gap_s, green_s = watch.longest_gap_s(), watch.false_green_s() / times
    say(
        row,
        Figure(f"{cause}, times", times, ""),
        Figure(f"{cause}, without an answer, longest", gap_s, "s", most=AGAIN_WITHIN_S),
        Figure(f"{cause}, false green, mean", green_s, "s", most=FALSE_GREEN_S),
    )
    assert gap_s <= AGAIN_WITHIN_S + allowance_s()
    assert green_s <= FALSE_GREEN_S + allowance_s()


def test_worker_when_the_limit_of_memory_kills_it_then_the_container_serves_again_soon(
    start_container: StartContainer,
) -> None:
    """Row W9: the kernel takes the only worker, and nothing else."""
    hooked = {"TONE_HOOKS": "true", "TEXT_MAKE_SPEAKABLE": "false", "CACHE_SPEECH": "false"}
    leaking = {"WORKERS_TONE": 1, "WORKERS_RECYCLE_RSS_BYTES": 0, "WATCHDOG_EARLY_S": 0}
    container = start_container(**{**TONES, **hooked, **leaking})
    gateway = container.execute("ttsctl", "supervisorctl", "pid", "gateway")
    with contextlib.closing(GreenWatch(container, "tone-low")) as watch:
        for _ in range(DEATHS_BY_MEMORY):
            leak_until_more_are_killed(container, container.killed_by_memory())
            watch.wait_until_heard()
    judge("W9", watch, "only worker killed by the limit of memory", DEATHS_BY_MEMORY)
    assert container.execute("ttsctl", "supervisorctl", "pid", "gateway") == gateway
    assert container.inspected()["RestartCount"] == 0


def leak_until_more_are_killed(container: Container, killed: int) -> None:
    """Have workers leak, text after text, until memory has killed one more."""

    def is_killed() -> bool:
        speak(container, f"{LEAKING} {time.monotonic()}.")
        return container.killed_by_memory() > killed

    eventually(is_killed, 240)


def test_supervisord_when_killed_then_the_container_starts_anew(start_container: StartContainer) -> None:
    """Row S1: the launcher ends with an error, and Docker starts the container again."""
    container = start_container()
    container.execute("sh", "-c", "kill -9 $(cat /run/tts/supervisord.pid)")
    eventually(lambda: container.inspected()["RestartCount"] == 1, 60)
    again_s = spoken_again_s(container)
    say("S1", Figure("supervisord killed, container serves after", again_s, "s", most=RESTARTED_WITHIN_S))
    assert again_s <= RESTARTED_WITHIN_S + allowance_s(10.0)


def test_engine_when_it_never_gets_ready_then_the_container_ends_with_an_error(
    engine: Engine, default_image: str
) -> None:
    settings = {**TONES, "TONE_FAIL_WARM_UP": "true", "WATCHDOG_NO_ENGINE_S": 8}
    unable = Container(engine, default_image, service={"restart": "no"}, **settings)
    with contextlib.closing(unable) as container:
        container.start()
        eventually(lambda: container.state()["Status"] == "exited", 120)
        assert container.state()["ExitCode"] == EXIT_FATAL
        assert container.events("appliance_gave_up")


def wait_until_running(container: Container, program: str) -> None:
    """Wait until supervisord counts a program as one that stays."""

    def is_running() -> bool:
        return " RUNNING " in container.execute("ttsctl", "supervisorctl", "status", program, check=False)

    eventually(is_running)
