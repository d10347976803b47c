"""By when a request's listener needs audio."""

from appliance.speech import RequestClass
from processes.gateway.ticket import QUIET_LIMIT_S
from tests.parts.tickets import make_ticket

TARGET_S = 0.3
"""Requests of `make_ticket` have arrived at 0 s."""


def test_deadline_when_nothing_is_there_then_the_first_sound_is_due() -> None:
    assert make_ticket("a").stream.deadline_s(TARGET_S) == TARGET_S


def test_deadline_when_audio_has_come_then_the_end_of_it_although_nobody_has_taken_it() -> None:
    stream = make_ticket("a").stream
    stream.take_audio(0.25, 1.0)
    stream.take_audio(0.5, 1.1)
    assert stream.deadline_s(TARGET_S) == 1.75


def test_deadline_when_much_is_ahead_then_before_the_client_thinks_that_nothing_comes_any_more() -> None:
    stream = make_ticket("a").stream
    stream.take_audio(60.0, 1.0)
    assert stream.deadline_s(TARGET_S) == 1.0 + QUIET_LIMIT_S
    stream.take_audio(1.0, 4.0)
    assert stream.deadline_s(TARGET_S) == 4.0 + QUIET_LIMIT_S


def test_deadline_when_audio_is_lost_before_it_was_heard_then_the_first_sound_is_due() -> None:
    stream = make_ticket("a").stream
    stream.take_audio(0.25, 1.0)
    stream.lose_audio(0.25)
    assert stream.deadline_s(TARGET_S) == TARGET_S


def test_deadline_when_it_is_a_job_then_never() -> None:
    stream = make_ticket("a", RequestClass.BACKGROUND).stream
    stream.take_audio(0.25, 1.0)
    assert stream.deadline_s(TARGET_S) == float("inf")
