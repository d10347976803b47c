"""A request whose later utterances are found while the first is spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import TextTooLongError
from appliance.speech import Utterance
from processes.gateway.ticket import Delivery
from processes.gateway.utterance_source import UtteranceSource
from tests.parts.dispatch_rig import DispatchRig, dispatch_rig, wanted_pcm
from tests.parts.tickets import make_utterance

FIRST, SECOND, THIRD = "The first one. ", "The second one. ", "The third one."


class Search:
    """Finds the rest when the test says so."""

    def __init__(self, *rest: Utterance, error: Exception | None = None) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.has_ended = asyncio.Event()
        self._rest = rest
        self._error = error

    async def __call__(self) -> tuple[Utterance, ...]:
        self.has_begun.set()
        try:
            await self.may_end.wait()
        finally:
            self.has_ended.set()
        if self._error is not None:
            raise self._error
        return self._rest


def numbered(*texts: str) -> list[Utterance]:
    return [replace(make_utterance(text), index=index) for index, text in enumerate(texts)]


def ask(rig: DispatchRig, first: Utterance, search: Search) -> Delivery:
    return rig.dispatcher.synthesize(UtteranceSource([first], search), client="a")


@pytest.fixture
async def rig(run_dir: Path) -> AsyncIterator[DispatchRig]:
    async with dispatch_rig(run_dir, 2) as made:
        yield made


async def test_delivery_when_the_rest_is_found_late_then_everything_comes_in_order(rig: DispatchRig) -> None:
    first, *rest = numbered(FIRST, SECOND, THIRD)
    search = Search(*rest)
    hearing = asyncio.ensure_future(rig.hear(ask(rig, first, search)))
    await search.has_begun.wait()
    await rig.idle()
    assert not hearing.done()
    search.may_end.set()
    assert await hearing == [wanted_pcm(text) for text in (FIRST, SECOND, THIRD)]


async def test_delivery_when_there_is_no_more_after_all_then_it_ends(rig: DispatchRig) -> None:
    (first,) = numbered(FIRST)
    search = Search()
    search.may_end.set()
    assert await rig.hear(ask(rig, first, search)) == [wanted_pcm(FIRST)]


async def test_delivery_when_the_rest_cannot_be_found_then_the_first_is_heard_and_then_the_error(
    rig: DispatchRig,
) -> None:
    (first,) = numbered(FIRST)
    search = Search(error=TextTooLongError("too long"))
    delivery = ask(rig, first, search)
    async with aclosing(delivery.chunks):
        heard = await anext(delivery.chunks)
        pcm = heard.pcm
        while not heard.is_last:
            heard = await anext(delivery.chunks)
            pcm += heard.pcm
        search.may_end.set()
        assert pcm == wanted_pcm(FIRST)
        with pytest.raises(TextTooLongError):
            await anext(delivery.chunks)


async def test_delivery_when_its_client_leaves_then_the_search_is_given_up(rig: DispatchRig) -> None:
    (first,) = numbered(FIRST)
    search = Search()
    hearing = asyncio.ensure_future(rig.hear(ask(rig, first, search)))
    await search.has_begun.wait()
    hearing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hearing
    await search.has_ended.wait()
    assert await rig.hear(rig.ask("The next one.")) == [wanted_pcm("The next one.")]


async def test_delivery_when_the_first_has_no_sound_then_the_rest_is_searched_and_heard(
    rig: DispatchRig,
) -> None:
    first, second = numbered("Nothing. __MUTE__", SECOND)
    search = Search(second)
    search.may_end.set()
    assert await rig.hear(ask(rig, first, search)) == [wanted_pcm(SECOND)]


async def test_search_when_the_first_sound_has_not_left_then_it_has_not_begun(rig: DispatchRig) -> None:
    (first,) = numbered(FIRST)
    search = Search()
    delivery = ask(rig, first, search)
    async with aclosing(delivery.chunks):
        await anext(delivery.chunks)
        assert not search.has_begun.is_set()
