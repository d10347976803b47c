"""A real worker process that is told to stop, with the test as its gateway."""

import signal
import time

import pytest

from appliance.engines.tone import expected_pcm
from appliance.ipc.messages import Audio, Done, Drain, Grant, Synthesize
from appliance.speech import PcmChunk
from appliance.worker_programs import WORKER_STOP_S
from tests.parts.utterances import SENTENCE, utterance, whole_pcm
from tests.parts.worker_link import (
    PATIENCE_S,
    messages_of,
)

SLOW = {"APPLIANCE_TONE_CHUNK_DELAY_S": "0.2"}


def test_worker_when_drained_while_idle_then_exits_0(gateway, start) -> None:
    worker = start()
    with gateway.greet() as link:
        link.send(Drain())
        assert list(messages_of(link)) == []
        assert worker.wait() == 0


def test_worker_when_drained_while_speaking_then_finishes_first(gateway, start) -> None:
    worker = start()
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        link.send(Drain())
        link.send(Grant(1))
        chunks, ending = link.finish(1)
        assert whole_pcm(chunks) == expected_pcm(utterance(SENTENCE))
        assert isinstance(ending, Done)
        assert worker.wait() == 0


def test_worker_when_terminated_while_idle_then_says_drain_and_exits_0_with_the_answer(
    gateway, start
) -> None:
    worker = start()
    with gateway.greet() as link:
        worker.signal(signal.SIGINT)
        assert link.channel.receive(PATIENCE_S)
        worker.signal(signal.SIGTERM)
        assert link.next_message() == Drain()
        link.send(Drain())
        assert list(messages_of(link)) == []
        assert worker.wait() == 0
    assert worker.wait_for_event("worker_ends")["reason"] == "stopped"


def test_worker_when_terminated_and_the_gateway_does_not_answer_then_exits_0(gateway, start) -> None:
    worker = start()
    with gateway.greet() as link:
        worker.signal(signal.SIGTERM)
        assert list(messages_of(link)) == [Drain()]
        assert worker.wait() == 0


@pytest.mark.parametrize("moment", ["waiting", "speaking"])
def test_worker_when_terminated_while_it_has_an_order_then_finishes_it_and_exits_0(
    gateway, start, moment
) -> None:
    worker = start(**SLOW)
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        chunks: list[PcmChunk] = []
        if moment == "speaking":
            link.send(Grant(1))
            chunks.append(link.next_audio())
        worker.signal(signal.SIGTERM)
        heard = [link.next_message()]
        while not isinstance(heard[-1], Drain):
            heard.append(link.next_message())
        link.send(Drain())
        if moment == "waiting":
            link.send(Grant(1))
        heard += messages_of(link)
        chunks += [message.chunk for message in heard if isinstance(message, Audio)]
        assert whole_pcm(chunks) == expected_pcm(utterance(SENTENCE))
        assert isinstance(heard[-1], Done)
        assert worker.wait() == 0


def test_worker_when_terminated_with_an_order_under_way_then_that_is_spoken_too(gateway, start) -> None:
    worker = start()
    with gateway.greet() as link:
        worker.signal(signal.SIGTERM)
        assert link.next_message() == Drain()
        link.send(Synthesize(1, utterance(SENTENCE)))
        link.send(Drain())
        link.send(Grant(1))
        chunks, _ = link.finish(1)
        assert whole_pcm(chunks) == expected_pcm(utterance(SENTENCE))
        assert worker.wait() == 0


def test_worker_when_terminated_and_no_grant_comes_then_exits_0_before_supervisord_kills(
    gateway, start
) -> None:
    worker = start()
    with gateway.greet() as link:
        link.send(Synthesize(1, utterance(SENTENCE)))
        assert link.channel.receive(PATIENCE_S)
        worker.signal(signal.SIGTERM)
        terminated_s = time.monotonic()
        assert list(messages_of(link)) == [Drain()]
        assert worker.wait() == 0
        assert time.monotonic() - terminated_s < WORKER_STOP_S


def test_worker_when_terminated_before_a_gateway_is_there_then_exits_0_at_once(start) -> None:
    worker = start(give_up_s=600)
    worker.wait_for_event("engine_warm")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    worker.wait_for_event("worker_ends")
