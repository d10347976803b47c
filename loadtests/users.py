"""The clients of the load test, as Locust users.

Owns: when each kind of client sends what.
Refuses to know: how a request is sent (`exchange`), limits.

Every client has a schedule of intended starts, `pacing_s` apart, and seconds count from those: a client that
is kept waiting doesn't ask less often and so hide the wait (coordinated omission).
"""

from __future__ import annotations

import random
import time
from typing import Any

from gevent.pool import Pool
from locust import User, constant_pacing, task
from locust.exception import StopUser

from loadtests.control import ask_control
from loadtests.exchange import Manner, Order, Outcome, Target, speak
from loadtests.limits import Entry
from loadtests.load_run import LoadRun

BURST = 32
"""Sentences of an answer that Open WebUI asks for at once."""
GREEDY = 80
"""More than `dispatch.client_backlog` (64) lets one client have waiting."""
CONTROL_PACING_S = 0.2


class RefusedOrBrokenError(Exception):
    """What Locust's own table shows for a request that wasn't answered whole."""


class PacedUser(User):
    """A client with a schedule of intended starts."""

    abstract = True
    pacing_s = 1.0

    def on_start(self) -> None:
        """Take an identity and a place in time, so that not all clients ask in the same moment."""
        self.run_shared: LoadRun = self.environment.load_run
        self.target: Target = self.run_shared.next_target()
        time.sleep(random.uniform(0, self.pacing_s))
        self._due_s = time.monotonic()

    def next_due_s(self) -> float:
        """Return when the request that begins now should have begun.

        Raises:
            StopUser: The run is over; a request that Locust may kill at once would never end.
        """
        if self.run_shared.is_over:
            raise StopUser
        due_s = self._due_s
        self._due_s += self.pacing_s
        return due_s

    def wait_time(self) -> float:
        """Wait for the next intended start; not at all if it has passed."""
        return max(0.0, self._due_s - time.monotonic())

    def tell_locust(self, kind: str, name: str, due_s: float, seconds: float, reason: str = "") -> None:
        """Put a line into Locust's own tables and page."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=seconds * 1000,
            response_length=0,
            exception=RefusedOrBrokenError(reason) if reason else None,
            context={},
            start_time=time.time() - (time.monotonic() - due_s),
        )


class SpeechUser(PacedUser):
    """A client that has texts spoken."""

    abstract = True
    entry: Entry

    def ask(self, order: Order, due_s: float) -> Outcome:
        """Have one text spoken and note what came of it."""
        samples = self.run_shared.samples
        samples.begin(self.entry, due_s)
        outcome = speak(self.target, order, due_s)
        samples.end(self.entry, due_s, outcome)
        if outcome.first_audio_s is not None:
            self.tell_locust("first audio", self.entry, due_s, outcome.first_audio_s)
        self.tell_locust("answer", self.entry, due_s, outcome.total_s, outcome.reason)
        return outcome

    def ask_at_once(self, count: int) -> None:
        """Have many sentences spoken at the same time, as one client; raises what any of them raised."""
        due_s = self.next_due_s()
        orders = [self.run_shared.next_sentence() for _ in range(count)]
        pool = Pool(count)
        requests = [pool.spawn(self.ask, order, due_s) for order in orders]
        try:
            pool.join()
        finally:
            pool.kill()
        for request in requests:
            request.get()


class Interactive(SpeechUser):
    """A person or a home automation: one sentence, any voice and format."""

    entry = Entry.SENTENCE

    @task
    def sentence(self) -> None:
        """Ask for a sentence."""
        self.ask(self.run_shared.next_sentence(), self.next_due_s())


class Listener(SpeechUser):
    """Somebody who listens to a long text as it comes."""

    entry = Entry.TEXT

    @task
    def text(self) -> None:
        """Ask for a long text."""
        self.ask(self.run_shared.next_text(Manner.LISTENING), self.next_due_s())


class OpenWebui(SpeechUser):
    """Open WebUI with `split on punctuation`: all sentences of an answer at once, by one client."""

    entry = Entry.BURST

    @task
    def answer(self) -> None:
        """Ask for all sentences."""
        self.ask_at_once(BURST)


class Greedy(SpeechUser):
    """One client that asks for more at once than anybody may have waiting; a slow engine refuses some."""

    entry = Entry.GREEDY

    @task
    def everything(self) -> None:
        """Ask for too much."""
        self.ask_at_once(GREEDY)


class Leaver(SpeechUser):
    """A client that hangs up as soon as it hears something."""

    entry = Entry.LEAVER

    @task
    def beginning(self) -> None:
        """Ask for a long text and leave."""
        self.ask(self.run_shared.next_text(Manner.LEAVING), self.next_due_s())


class SlowReader(SpeechUser):
    """A client that takes the audio far more slowly than it comes."""

    entry = Entry.SLOW

    @task
    def drops(self) -> None:
        """Ask for a long text and take a little of it."""
        self.ask(self.run_shared.next_text(Manner.SLOW), self.next_due_s())


class Control(PacedUser):
    """Asks a server of known delay, so that the generator's own delay is known."""

    pacing_s = CONTROL_PACING_S
    wait_time = constant_pacing(CONTROL_PACING_S)

    @task
    def known_delay(self) -> None:
        """Measure how much later than it was sent an answer is noted."""
        due_s = time.monotonic()
        delay_s = ask_control(self.environment.control_port)
        self.run_shared.samples.add_control(due_s, delay_s)
        self.tell_locust("control", "delay of the generator", due_s, delay_s)


SPEECH_USERS: dict[Entry, type[SpeechUser]] = {
    user.entry: user for user in (Interactive, Listener, OpenWebui, Leaver, SlowReader, Greedy)
}


def entry_of(user: Any) -> Entry | None:
    """Return the entry of the user or task set that broke down, if it has one."""
    return getattr(getattr(user, "user", user), "entry", None)
