"""Any order of events between listeners, dispatcher, pool and workers; real sockets, scripted workers.

Hypothesis chooses who asks, joins, speaks, ends, lies, leaves or dies next. After every step all that must
always hold is looked at; in the end fresh workers speak what is left, and everything must have ended once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from contextlib import aclosing
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from appliance.errors import ApplianceError, DrainingError, QueueFullError
from appliance.ipc.messages import Audio, Done, Drain, Failed, Grant, Heartbeat
from appliance.speech import AudioFormat, PcmChunk, SpeechRequest
from appliance.voices import Voice
from processes.gateway.ticket import Delivery
from processes.gateway.worker_link import WorkerState
from tests.parts.dispatch_rig import wanted_pcm
from tests.parts.scripted_worker import Bodies, ScriptedWorker
from tests.parts.session_model import BACKLOG, ENDS, SLOTS, Listener, SessionModel, chosen

EXAMPLES = int(os.environ.get("SESSION_EXAMPLES", "25"))
STEPS = int(os.environ.get("SESSION_STEPS", "30"))
ROUNDS = 500
"""Bound of the orders that fresh workers answer in the end."""
GARBAGE = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"TS\x02",
    b"TS\x01\x0b" + bytes(16),
    b"TS\x01\x01\xff\xff\xff\xff" + bytes(12),
]
shares = st.sampled_from([0.0, 0.3, 1.0])
picks = st.integers(0, 100)


class Session(SessionModel):
    """What may happen, in any order."""

    ended: ClassVar[Counter[str]] = Counter()
    """How all requests of all examples ended."""

    # What listeners do.

    @initialize(counts=st.lists(st.integers(1, 3), min_size=2, max_size=4), slots=st.integers(1, SLOTS))
    def begin(self, counts: list[int], slots: int) -> None:
        for slot in range(1, slots + 1):
            self.join(slot)
        for client, count in zip("abca", counts, strict=False):
            self.ask(client, count, takes_at_once=True)

    @rule(client=st.sampled_from("abc"), count=st.integers(1, 3), takes_at_once=st.booleans())
    def ask(self, client: str, count: int, takes_at_once: bool) -> None:
        texts = [f"{next(self.numbers)} " * 3 for _ in range(count)]
        waiting = sum(not each.heard for each in self.asking() if each.client == client)
        listener = Listener(client, [wanted_pcm(text) for text in texts])
        if takes_at_once:
            listener.may_take.set()

        async def admitted() -> Delivery:
            return self.rig.ask(*texts, client=client)

        try:
            delivery = self.run(admitted())
        except QueueFullError as error:
            assert waiting >= BACKLOG
            self.ledger.reject(error)
            return
        assert waiting < BACKLOG
        listener.task = self.loop.create_task(self.hear(listener, delivery))
        self.listeners.append(listener)
        self.by_text.update(dict.fromkeys(texts, listener))
        self.settle()

    async def hear(self, listener: Listener, delivery: Delivery) -> None:
        """Take a delivery as a handler does, and note its one end."""
        request = SpeechRequest("text", "tone-low", format=AudioFormat.PCM)
        voice = Voice("tone-low", "Tone", "tone", "low", ("en",))
        try:
            with self.ledger.accept("id", time.monotonic(), request, voice, delivery.stream):
                async with aclosing(delivery.chunks):
                    async for chunk in delivery.chunks:
                        listener.heard.setdefault(chunk.utterance_index, bytearray()).extend(chunk.pcm)
                        await listener.may_take.wait()
        except ApplianceError as error:
            listener.ends.append(error.code)
        except asyncio.CancelledError:
            listener.ends.append("cancelled")
        else:
            listener.ends.append("completed")

    @precondition(lambda self: self.asking())
    @rule(pick=picks)
    def leave(self, pick: int) -> None:
        """A listener hangs up."""
        task = chosen(self.asking(), pick).task
        assert task is not None
        task.cancel()
        self.settle()

    @precondition(lambda self: self.asking())
    @rule(pick=picks)
    def stall_or_go_on(self, pick: int) -> None:
        """A listener stops reading, or reads again."""
        may_take = chosen(self.asking(), pick).may_take
        if may_take.is_set():
            may_take.clear()
        else:
            may_take.set()
        self.settle()

    @rule()
    def ask_while_the_gateway_drains(self) -> None:
        self.rig.dispatcher.admission.is_draining = True
        with pytest.raises(DrainingError):
            self.rig.ask("Too late.", client="a")
        self.rig.dispatcher.admission.is_draining = False

    # What workers do.

    @rule(slot=st.integers(1, SLOTS))
    def join(self, slot: int) -> None:
        """A worker comes; one of its name that is there still is killed."""
        worker = ScriptedWorker(self.bodies.take(), self.folder / "workers.sock", slot)
        replaced = [each for each in self.joined() if each.name == worker.name]
        self.workers.append(worker)
        worker.hello()
        self.settle()
        for old in replaced:
            old.body.process.wait()  # aborted, so the kernel would close its connection
            self.hang_up(old, was_killed=True)

    @precondition(lambda self: self.speaking())
    @rule(pick=picks, share=shares, ends_window=st.booleans())
    def speak(self, pick: int, share: float, ends_window: bool) -> None:
        worker = chosen(self.speaking(), pick)
        if not worker.has_sent_last:
            worker.audio(share, ends_window=ends_window)
            self.settle()

    @precondition(lambda self: self.speaking())
    @rule(pick=picks)
    def finish(self, pick: int) -> None:
        """Speak the rest and say so."""
        self.answer(chosen(self.speaking(), pick))

    @precondition(lambda self: self.speaking())
    @rule(pick=picks, lies=st.booleans())
    def end_early(self, pick: int, lies: bool) -> None:
        """Say DONE, whatever is missing."""
        worker = chosen(self.speaking(), pick)
        assert worker.order is not None
        worker.end(Done(worker.order.utterance_id, 0.01, 0, was_cancelled=worker.is_cancelled != lies))
        self.settle()

    @precondition(lambda self: self.speaking())
    @rule(pick=picks)
    def fail(self, pick: int) -> None:
        worker = chosen(self.speaking(), pick)
        assert worker.order is not None
        worker.end(Failed(worker.order.utterance_id, "engine_failed", "no", 0))
        self.settle()

    @precondition(lambda self: any(worker.is_cancelled and worker.order for worker in self.joined()))
    @rule(pick=picks)
    def obey_cancel(self, pick: int) -> None:
        """Answer a CANCEL, also while no grant is held."""
        worker = chosen([each for each in self.joined() if each.is_cancelled and each.order], pick)
        assert worker.order is not None
        worker.end(Done(worker.order.utterance_id, 0.0, 0, was_cancelled=True))
        self.settle()

    @precondition(lambda self: any(worker.last_end for worker in self.joined()))
    @rule(pick=picks)
    def answer_again(self, pick: int) -> None:
        """The same DONE or FAILED a second time."""
        worker = chosen([each for each in self.joined() if each.last_end], pick)
        assert worker.last_end is not None
        worker.say(worker.last_end)
        self.stale += 1
        self.settle()

    @precondition(lambda self: self.joined())
    @rule(pick=picks, number=st.integers(0, 2**64 - 1), is_audio=st.booleans())
    def speak_of_another(self, pick: int, number: int, is_audio: bool) -> None:
        """A frame with an id that isn't this worker's, perhaps another's."""
        worker = chosen(self.joined(), pick)
        others = [each.order.utterance_id for each in self.joined() if each is not worker and each.order]
        stale_id = others[number % len(others)] if others and number % 2 else number
        if worker.order is not None and worker.order.utterance_id == stale_id:
            return
        chunk = PcmChunk(b"\x07\x07" * 50, 22_050, is_last=True)
        worker.say(Audio(stale_id, chunk) if is_audio else Done(stale_id, 1.0, 0))
        self.stale += 1
        self.settle()

    @precondition(lambda self: self.living())
    @rule(pick=picks, data=st.sampled_from(GARBAGE), is_message=st.booleans())
    def talk_garbage(self, pick: int, data: bytes, is_message: bool) -> None:
        """Bytes that are no frame, or a frame that no worker may send; its connection alone ends."""
        worker = chosen(self.living(), pick)
        if is_message:
            worker.say(Grant(1))
        else:
            worker.say_bytes(data)
        self.garbage += 1
        self.losses += worker.has_joined
        self.settle()
        assert worker.is_closed
        self.bodies.give_back(worker.body)

    @precondition(lambda self: self.living())
    @rule(pick=picks)
    def die(self, pick: int) -> None:
        self.hang_up(chosen(self.living(), pick))

    @precondition(lambda self: self.speaking())
    @rule(pick=picks, share=shares)
    def die_in_the_middle(self, pick: int, share: float) -> None:
        """Some audio and then nothing more; what was heard can't be spoken again."""
        worker = chosen(self.speaking(), pick)
        if not worker.has_sent_last:
            worker.audio(share, ends_window=False)
            self.settle()
        self.hang_up(worker)

    @precondition(lambda self: self.joined())
    @rule(pick=picks)
    def be_stopped(self, pick: int) -> None:
        """SIGTERM: the worker says DRAIN, gets it back, and ends once it has nothing to speak."""
        worker = chosen(self.joined(), pick)
        worker.say(Drain())
        self.settle()
        assert worker.is_leaving

    @precondition(lambda self: self.living())
    @rule(pick=picks)
    def beat(self, pick: int) -> None:
        chosen(self.living(), pick).say(Heartbeat(1000))
        self.settle()

    @rule()
    def connect_and_wait(self) -> None:
        """A worker that never gets warm."""
        if len(self.living()) <= SLOTS:
            self.workers.append(ScriptedWorker(self.bodies.take(), self.folder / "workers.sock", SLOTS + 1))
            self.settle()

    def teardown(self) -> None:
        """Let fresh workers speak what is left; then nothing may be left anywhere."""
        try:
            self.speak_the_rest()
        finally:
            for worker in self.living():
                worker.close()
                self.bodies.give_back(worker.body)
            self.run(self.stack.__aexit__(None, None, None))
            self.loop.close()
            shutil.rmtree(self.folder)

    def speak_the_rest(self) -> None:
        for listener in self.listeners:
            listener.may_take.set()
        for slot in range(1, SLOTS + 1):
            self.join(slot)
        for _ in range(ROUNDS):
            if not self.speaking():
                break
            self.answer(self.speaking()[0])
        for check in (
            self.gateway_and_workers_agree,
            self.nobody_hears_what_is_not_theirs,
            self.every_request_ends_once_and_is_counted,
            self.what_workers_did_wrong_is_counted,
        ):
            check()
        assert self.asking() == []
        self.ended.update(end for listener in self.listeners for end in listener.ends)
        assert self.rig.dispatcher.waiting_count() == self.rig.dispatcher.running_count() == 0
        assert all(link.state is WorkerState.READY for link in self.rig.pool.links())


@pytest.mark.timeout(300)
def test_session_when_anything_happens_in_any_order_then_all_of_it_holds() -> None:
    with Bodies() as bodies:
        Session.bodies, Session.ended = bodies, Counter()
        run_state_machine_as_test(
            Session,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                phases=[Phase.reuse, Phase.generate],  # making a failure shorter would take minutes
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert Session.ended.keys() <= ENDS
    assert Session.ended["completed"] >= EXAMPLES
