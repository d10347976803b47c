"""The order in which waiting utterances are spoken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.speech import RequestClass
from processes.gateway.fair_queue import FairQueue
from processes.gateway.ticket import QUIET_LIMIT_S, Ticket
from tests.parts.tickets import make_ticket

AGEING_S = 10.0


def take_all(queue: FairQueue, now_s: float = 0.0) -> list[Ticket]:
    return list(iter(lambda: queue.take(now_s), None))


def test_take_when_classes_differ_then_first_utterances_come_first() -> None:
    queue = FairQueue(AGEING_S)
    job = make_ticket("a", RequestClass.BACKGROUND)
    rest = make_ticket("a", RequestClass.REST)
    first = make_ticket("b", RequestClass.FIRST)
    for ticket in (job, rest, first):
        queue.put(ticket)
    assert take_all(queue) == [first, rest, job]


def test_take_when_one_client_floods_then_others_wait_one_turn() -> None:
    queue = FairQueue(AGEING_S)
    flood = [make_ticket("greedy") for _ in range(30)]
    for ticket in flood:
        queue.put(ticket)
    late = make_ticket("modest")
    queue.put(late)
    taken = take_all(queue)
    assert taken.index(late) == 1
    assert [ticket for ticket in taken if ticket.client == "greedy"] == flood


def test_take_when_a_job_has_waited_long_then_it_moves_up() -> None:
    queue = FairQueue(AGEING_S)
    job = make_ticket("job", RequestClass.BACKGROUND, queued_at_s=0.0)
    queue.put(job)
    for round_s in range(100):
        queue.put(make_ticket("a", RequestClass.FIRST, queued_at_s=float(round_s)))
        queue.put(make_ticket("b", RequestClass.REST, queued_at_s=float(round_s)))
        if queue.take(float(round_s)) is job:
            break
    assert job.request_class is RequestClass.FIRST
    assert round_s <= 3 * AGEING_S


def test_take_when_a_listener_has_run_dry_then_its_rest_takes_turns_with_first_utterances() -> None:
    queue = FairQueue(AGEING_S)
    flood = [make_ticket("greedy") for _ in range(5)]
    rest = make_ticket("modest", RequestClass.REST)
    rest.stream.first_audio_at_s, rest.stream.audio_s = 1.0, 2.0
    for ticket in (*flood, rest):
        queue.put(ticket)
    assert queue.take(2.9) is flood[0]
    assert [queue.take(3.1) for _ in range(2)] == [flood[1], rest]


def test_take_when_nothing_has_come_for_a_listener_for_long_then_it_takes_turns_though_much_is_ahead() -> (
    None
):
    queue = FairQueue(AGEING_S)
    flood = [make_ticket("greedy", queued_at_s=1.0) for _ in range(5)]
    rest = make_ticket("modest", RequestClass.REST, queued_at_s=1.0)
    rest.stream.take_audio(60.0, 1.0)
    for ticket in (*flood, rest):
        queue.put(ticket)
    assert queue.take(1.0 + QUIET_LIMIT_S - 0.1) is flood[0]
    assert [queue.take(1.0 + QUIET_LIMIT_S + 0.1) for _ in range(2)] == [flood[1], rest]


def test_take_when_it_is_a_job_whose_audio_came_long_ago_then_only_its_age_counts() -> None:
    queue = FairQueue(AGEING_S)
    flood = [make_ticket("greedy", queued_at_s=1.0) for _ in range(2)]
    job = make_ticket("job", RequestClass.BACKGROUND, queued_at_s=1.0)
    job.stream.take_audio(60.0, 1.0)
    for ticket in (*flood, job):
        queue.put(ticket)
    assert [queue.take(1.0 + AGEING_S - 0.1) for _ in range(3)] == [*flood, job]
    assert job.request_class is RequestClass.BACKGROUND


def test_take_when_a_job_was_heard_long_ago_then_it_waits_its_time() -> None:
    queue = FairQueue(AGEING_S)
    job = make_ticket("job", RequestClass.BACKGROUND, queued_at_s=0.0)
    job.stream.first_audio_at_s = 0.0
    queue.put(job)
    queue.put(person := make_ticket("a", RequestClass.REST, queued_at_s=5.0))
    assert [queue.take(5.0), queue.take(5.0)] == [person, job]
    assert job.request_class is RequestClass.BACKGROUND


def test_put_back_when_a_worker_was_lost_then_its_utterance_is_next() -> None:
    queue = FairQueue(AGEING_S)
    lost, other = make_ticket("a"), make_ticket("b")
    queue.put(other)
    queue.put_back(lost)
    assert take_all(queue) == [lost, other]


def test_before_when_others_wait_then_it_counts_turns_not_backlogs() -> None:
    queue = FairQueue(AGEING_S)
    for _ in range(30):
        queue.put(make_ticket("greedy"))
    assert len(list(queue.before("newcomer"))) == 1
    queue.put(own := make_ticket("newcomer"))
    assert len(list(queue.before("newcomer"))) == 2
    assert list(queue.before("greedy")) == [own]


def test_before_when_the_rest_of_others_waits_then_only_a_later_utterance_counts_it() -> None:
    queue = FairQueue(AGEING_S)
    rest = {client: [make_ticket(client, RequestClass.REST) for _ in range(3)] for client in ("a", "b")}
    first = make_ticket("a", RequestClass.FIRST)
    for ticket in (*rest["a"], *rest["b"], first, make_ticket("a", RequestClass.BACKGROUND)):
        queue.put(ticket)
    assert list(queue.before("newcomer")) == [first]
    assert list(queue.before("newcomer", RequestClass.REST)) == [first, rest["a"][0], rest["b"][0]]
    assert list(queue.before("a", RequestClass.REST)) == rest["b"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(RequestClass), st.sampled_from(["put", "back", "take"])
        ),
        max_size=60,
    )
)
def test_queue_when_used_at_random_then_nothing_is_lost_or_repeated(
    steps: list[tuple[str, RequestClass, str]],
) -> None:
    queue = FairQueue(AGEING_S)
    inside: set[Ticket] = set()
    for now_s, (client, request_class, step) in enumerate(steps):
        if step == "take":
            taken = queue.take(float(now_s))
            assert (taken is None) == (not inside)
            inside.discard(taken) if taken is not None else None
            continue
        ticket = make_ticket(client, request_class, queued_at_s=float(now_s))
        (queue.put if step == "put" else queue.put_back)(ticket)
        inside.add(ticket)
        assert len(queue) == len(inside)
    left = take_all(queue)
    assert len(left) == len(inside)
    assert set(left) == inside


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(RequestClass)), min_size=1, max_size=20),
    st.data(),
)
def test_remove_when_a_ticket_waits_then_only_it_goes(
    clients: list[tuple[str, RequestClass]], data: st.DataObject
) -> None:
    queue = FairQueue(AGEING_S)
    tickets = [make_ticket(client, request_class) for client, request_class in clients]
    for ticket in tickets:
        queue.put(ticket)
    gone = data.draw(st.sampled_from(tickets))
    queue.remove(gone)
    assert set(take_all(queue)) == set(tickets) - {gone}
