"""Workers that die, crash, hang or leave children behind, and requests that make them do so.

Each test breaks something, and then says what the client saw, what the log and the metrics say, and that all
workers came back. The rows W1 to W6, W13 and T2 of the fault matrix.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait

import psutil
import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.measured import say
from tests.parts.rounds import MACHINE_IS_BUSY_S, allowance_s, rounds
from tests.parts.speaking import (
    HOOKED,
    Answer,
    Clients,
    asked_locally,
    busy_worker,
    connected_workers,
    counted,
    exits,
    let_pass,
    listening,
    percentile,
    speak,
    stack_is_logged,
    wait_for_looks,
    wait_until_whole,
    whole_before_and_after,
)

pytestmark = pytest.mark.timeout(rounds(180, 900))

SIZE = 3
PROGRESS_S = 1.0
BACK_WITHIN_S = 2.0
SEEN_WITHIN_S = 2.0
REPLACED_WITHIN_S = 6.0
PAUSE_S = 3.0
"""Longer than the silence that means hung."""
POISON_ANSWER_S = 0.02
GONE_WITHIN_S = 2.0
CAUSES = ("lost", "hung", "progress")
RECOVERED_WITHIN_S = 10.0
REQUESTS = 60
FAMILIES = rounds(1, 34)
"""How often all workers are parents of a child that they leave behind (row W13): 100 times and more."""


def started(appliance_factory: Callable[..., Appliance], **settings: object) -> Appliance:
    made = appliance_factory(
        WORKERS_TONE=SIZE,
        WORKERS_PROGRESS_S=PROGRESS_S,
        DISPATCH_CORES=8,
        DISPATCH_FIRST_AUDIO_LIMIT_S=30,
        WATCHDOG_EARLY_S=0,  # so many deaths are no crash loop here
        **HOOKED,
        **settings,
    )
    made.wait_until_ready()
    return made


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    return started(appliance_factory)


@pytest.fixture(scope="module")
def keeping(appliance_factory: Callable[..., Appliance]) -> Appliance:
    return started(appliance_factory, CACHE_SPEECH="true")


@pytest.fixture(autouse=True)
def _whole(used: Appliance) -> Iterator[None]:
    """Each test begins with all workers, and ends with all of them back."""
    with whole_before_and_after(used, SIZE):
        yield


@pytest.fixture
def clients(used: Appliance) -> Iterator[Clients]:
    with contextlib.closing(Clients(used, SIZE)) as made:
        yield made


def signals(appliance: Appliance, name: str) -> float:
    return counted(appliance, f'tts_worker_signals_total{{signal="{name}"}}')


def answers_of(hearing: list[Future[Answer]]) -> list[Answer]:
    wait(hearing)
    return [each.result() for each in hearing]


def events(appliance: Appliance, after: int) -> list[str]:
    return [str(line["event"]) for line in appliance.lines[after:]]


def test_worker_when_killed_while_idle_then_no_client_sees_it_and_capacity_is_back(
    appliance: Appliance,
) -> None:
    seen, lost, killed = len(appliance.lines), exits(appliance, "lost"), signals(appliance, "SIGKILL")
    victim = "worker-tone-1"
    appliance.program(victim).send_signal(signal.SIGKILL)
    begun_s = time.monotonic()
    assert [speak(appliance, f"Number {number}.").status for number in range(20)] == [200] * 20
    appliance.wait_for("worker_lost", after=seen, worker=victim, cause="lost")
    appliance.wait_for("worker_process_ended", after=seen, worker=victim, signal=9)
    appliance.wait_for("worker_joined", after=seen, worker=victim)
    back_s = time.monotonic() - begun_s
    say("W1", Figure("capacity back after", back_s, "s", most=BACK_WITHIN_S))
    assert back_s <= BACK_WITHIN_S + allowance_s()
    assert exits(appliance, "lost") == lost + 1
    assert signals(appliance, "SIGKILL") == killed + 1


def test_worker_when_killed_after_audio_has_left_then_the_transfer_is_broken_off(
    either: Appliance, clients: Clients
) -> None:
    seen, retries = len(either.lines), counted(either, "tts_utterance_retries_total")
    begun = threading.Event()
    hearing = clients.ask("Heard only in part, as it ends here. __HANG_1__", sound="pcm", begun=begun)
    assert begun.wait(30)
    os.kill(busy_worker(either)["pid"], signal.SIGKILL)
    answer = hearing.result()
    assert answer.status == 200
    assert answer.body
    assert not answer.is_whole
    line = either.wait_for("request_finished", after=seen, outcome="failed")
    assert (line["ended_by"], line["ended_in"]) == ("worker_lost", "stream")
    assert counted(either, "tts_utterance_retries_total") == retries


def test_worker_when_killed_and_its_successor_too_then_503_with_retry_after(
    either: Appliance, clients: Clients
) -> None:
    seen, lost = len(either.lines), exits(either, "lost")
    hearing = clients.ask("Nobody lives to say it. __HANG__")
    first = busy_worker(either)
    os.kill(first["pid"], signal.SIGKILL)
    second = eventually(
        lambda: [
            each
            for each in connected_workers(either, "busy")
            if each["speaks"] != "probe" and each["pid"] != first["pid"]
        ]
    )[0]
    killed_at_s = time.monotonic()
    os.kill(second["pid"], signal.SIGKILL)
    answer = hearing.result()
    print(f"W2: 503 within {answer.ended_at_s - killed_at_s:.3f} s of the second death")
    assert (answer.status, answer.code) == (503, "worker_lost")
    assert answer.headers["Retry-After"] in ("1", "2")
    assert exits(either, "lost") == lost + 2
    either.wait_for("utterance_retried", after=seen)


def test_worker_when_native_code_crashes_then_the_signal_and_the_stack_are_named(
    appliance: Appliance,
) -> None:
    seen, crashed = len(appliance.lines), signals(appliance, "SIGSEGV")
    answer = speak(appliance, "This one crashes. __SEGV__")
    assert (answer.status, answer.code) == (503, "worker_lost")
    eventually(lambda: signals(appliance, "SIGSEGV") == crashed + 2)
    for line in [line for line in appliance.lines[seen:] if line["event"] == "worker_lost"]:
        ended = appliance.wait_for("worker_process_ended", after=seen, worker=line["worker"])
        assert (ended["signal"], ended["signal_name"]) == (signal.SIGSEGV, "SIGSEGV")
    eventually(lambda: stack_is_logged(appliance, "_crash", seen))


def test_workers_when_stopped_in_a_request_then_seen_replaced_and_the_clients_served(
    either: Appliance, clients: Clients
) -> None:
    seen, hung = len(either.lines), exits(either, "hung")
    victims = [f"worker-tone-{slot}" for slot in range(1, SIZE)]
    for victim in victims:
        either.program(victim).send_signal(signal.SIGSTOP)
    begun_s = time.monotonic()
    hearing = [clients.ask(f"Client {number} waits a little.") for number in range(SIZE)]
    for victim in victims:
        either.wait_for("worker_killed", after=seen, worker=victim, cause="hung")
    seen_s = time.monotonic() - begun_s
    assert [each.result().status for each in hearing] == [200] * SIZE
    for victim in victims:
        either.wait_for("worker_joined", after=seen, worker=victim)
    replaced_s = time.monotonic() - begun_s
    say(
        "W4",
        Figure("hung workers, seen after", seen_s, "s", most=SEEN_WITHIN_S),
        Figure("hung workers, replaced after", replaced_s, "s", most=REPLACED_WITHIN_S),
    )
    assert seen_s <= SEEN_WITHIN_S + allowance_s()
    assert replaced_s <= REPLACED_WITHIN_S + allowance_s(2 * MACHINE_IS_BUSY_S)  # two starts of Python
    assert exits(either, "hung") == hung + len(victims)


@pytest.mark.parametrize(
    ("hook", "cause", "function"),
    [("SPIN", "progress", "_spin"), ("HANG", "progress", "_hang"), ("BLOCK", "hung", "_block")],
)
def test_worker_when_it_hangs_in_the_engine_then_killed_with_its_stack_and_the_client_gets_504(
    appliance: Appliance, clients: Clients, hook: str, cause: str, function: str
) -> None:
    seen, killed = len(appliance.lines), exits(appliance, cause)
    begun_s = time.monotonic()
    hearing = clients.ask(f"It never ends. __{hook}__")
    name = busy_worker(appliance)["name"]
    appliance.wait_for("worker_killed", after=seen, worker=name, cause=cause)
    seen_s = time.monotonic() - begun_s
    appliance.wait_for("worker_joined", after=seen, worker=name)
    name = f"worker that hangs with {'no ' if hook == 'BLOCK' else ''}heartbeats ({hook.lower()})"
    limit_s = SEEN_WITHIN_S if hook == "BLOCK" else PROGRESS_S + 1
    say("W5", Figure(f"{name}, killed after", seen_s, "s", most=limit_s))
    answer = hearing.result()
    assert (answer.status, answer.code) == (504, "synthesis_timeout")
    assert exits(appliance, cause) == killed + 2
    eventually(lambda: stack_is_logged(appliance, function, seen))
    assert seen_s < limit_s + allowance_s()


def test_poison_when_tried_again_then_refused_at_once_and_nobody_else_notices(either: Appliance) -> None:
    seen, lost = len(either.lines), exits(either, "lost")
    refused = counted(either, 'tts_requests_rejected_total{reason="poison"}')
    text = "Poison. __SEGV__"
    with listening(either) as others:
        first = speak(either, text)
        again = [speak(either, text) for _ in range(REQUESTS)]
        eventually(lambda: len(connected_workers(either)) == SIZE)
    assert first.status == 503
    assert {(answer.status, answer.code) for answer in again} == {(422, "poison_request")}
    took_s = percentile([answer.took_s for answer in again], 0.5)
    print(f"W6: refused within {took_s * 1000:.1f} ms, {len(others.answers)} answers to others")
    assert took_s <= POISON_ANSWER_S + allowance_s()
    assert others.answers
    assert others.failed() == []
    assert exits(either, "lost") == lost + 2
    assert counted(either, 'tts_requests_rejected_total{reason="poison"}') == refused + len(again)
    either.wait_for("request_refused", after=seen, status=422, code="poison_request")
    assert events(either, seen).count("worker_lost") == 2


def test_grandchildren_when_their_worker_is_killed_then_none_survives(
    appliance: Appliance, clients: Clients
) -> None:
    gone_s = []
    for number in range(FAMILIES):
        wait_until_whole(appliance, SIZE)
        gone_s.append(orphans_gone_after_s(appliance, clients, f"of family {number}"))
    say(
        "W13",
        Figure(
            f"children of {FAMILIES} × 2 killed workers, gone after", max(gone_s), "s", most=GONE_WITHIN_S
        ),
    )
    assert max(gone_s) <= GONE_WITHIN_S + allowance_s()


def orphans_gone_after_s(appliance: Appliance, clients: Clients, words: str) -> float:
    """Kill all workers but the first, which the gateway kills; return how long children outlived them."""
    seen = len(appliance.lines)
    lost, progress, killed = (
        exits(appliance, "lost"),
        exits(appliance, "progress"),
        signals(appliance, "SIGKILL"),
    )
    begun = [threading.Event() for _ in range(SIZE)]
    hearing = [
        clients.ask(
            f"Parent {number} {words} speaks, then stays. __FORK____HANG_1__", sound="pcm", begun=each
        )
        for number, each in enumerate(begun)
    ]
    assert all(each.wait(30) for each in begun)
    first, *others = [appliance.program(f"worker-tone-{slot + 1}") for slot in range(SIZE)]
    left_to_the_gateway, orphans = first.children(), [child for each in others for child in each.children()]
    assert len(left_to_the_gateway + orphans) == SIZE
    for worker in others:
        worker.send_signal(signal.SIGKILL)
    begun_s = time.monotonic()
    assert psutil.wait_procs(orphans, 30)[1] == []
    gone_s = time.monotonic() - begun_s
    assert psutil.wait_procs(left_to_the_gateway, 30)[1] == []
    assert [answer.is_whole for answer in answers_of(hearing)] == [False] * SIZE
    for slot in range(SIZE):
        appliance.wait_for("worker_process_ended", after=seen, worker=f"worker-tone-{slot + 1}")
    assert exits(appliance, "lost") == lost + len(others)
    assert exits(appliance, "progress") == progress + 1
    eventually(lambda: signals(appliance, "SIGKILL") >= killed + len(others))
    return gone_s


def test_grandchildren_when_they_have_a_session_of_their_own_then_the_launcher_ends_them(
    appliance: Appliance, clients: Clients
) -> None:
    gone_s = []
    for number in range(FAMILIES):
        wait_until_whole(appliance, SIZE)
        gone_s.append(daemons_gone_after_s(appliance, clients, f"of household {number}"))
    say(
        "W13",
        Figure(
            f"children in sessions of their own, {FAMILIES} × {SIZE}, gone after",
            max(gone_s),
            "s",
            most=GONE_WITHIN_S,
        ),
    )
    assert max(gone_s) <= GONE_WITHIN_S + allowance_s()


def daemons_gone_after_s(appliance: Appliance, clients: Clients, words: str) -> float:
    """Kill all workers at once; return how long their children, of which no group knows, outlived them."""
    seen, lost = len(appliance.lines), exits(appliance, "lost")
    workers = [appliance.program(f"worker-tone-{slot + 1}") for slot in range(SIZE)]

    def are_parents() -> bool:
        asked = [clients.ask(f"Parent {number} {words} speaks. __DAEMON__") for number in range(SIZE)]
        assert [answer.status for answer in answers_of(asked)] == [200] * SIZE
        return all(worker.children() for worker in workers)

    eventually(are_parents)
    daemons = {child: child.name() for worker in workers for child in worker.children()}
    eventually(lambda: all(os.getsid(daemon.pid) == daemon.pid for daemon in daemons))
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    begun_s = time.monotonic()
    assert psutil.wait_procs(daemons, 30)[1] == []
    gone_s = time.monotonic() - begun_s
    for daemon, name in daemons.items():
        line = appliance.wait_for("orphan_killed", after=seen, orphan_pid=daemon.pid)
        assert (line["program"], line["level"], line["name"]) == ("launcher", "WARNING", name)
    assert speak(appliance, f"Somebody {words} speaks on.").status == 200
    for slot in range(SIZE):
        appliance.wait_for("worker_lost", after=seen, worker=f"worker-tone-{slot + 1}", cause="lost")
    assert exits(appliance, "lost") == lost + SIZE
    return gone_s


@pytest.mark.parametrize("who", ["gateway", "everything"])
def test_workers_when_the_gateway_or_everything_was_stopped_for_a_while_then_none_is_killed(
    either: Appliance, clients: Clients, who: str
) -> None:
    seen = len(either.lines)
    before = {worker["pid"] for worker in connected_workers(either)}
    ended = [exits(either, cause) for cause in CAUSES]
    stopped = [either.program("gateway")] if who == "gateway" else either.left_processes()
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    hearing = [clients.ask(f"Client {number} waits for all of them.") for number in range(SIZE)]
    let_pass(PAUSE_S)
    for process in stopped:
        process.send_signal(signal.SIGCONT)
    resumed_at_s = time.monotonic()
    assert [answer.status for answer in answers_of(hearing)] == [200] * SIZE
    recovered_s = time.monotonic() - resumed_at_s
    print(f"T2: all answered {recovered_s:.2f} s after {who} went on")
    assert recovered_s <= RECOVERED_WITHIN_S + allowance_s()
    wait_for_looks(either, 20)  # for longer than the silence that means hung
    assert {worker["pid"] for worker in connected_workers(either)} == before
    assert not {"worker_killed", "worker_lost"} & set(events(either, seen))
    assert [exits(either, cause) for cause in CAUSES] == ended
    assert counted(either, 'tts_worker_state{state="ready"}') == SIZE
    assert asked_locally(either, "/health")["status"] == "ok"
