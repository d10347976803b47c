"""Pins whose voices tell late what they are, and those that no room is left for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from appliance.settings import load_settings
from appliance.voices import Voice
from processes.gateway import cache_pins
from processes.gateway.__main__ import build_gateway
from processes.gateway.answer_form import pack_request
from processes.gateway.cache_pins import keep_pins, renew_pins
from processes.gateway.gateway import Gateway
from processes.gateway.warm_list import MAX_WANTED

VOICE = Voice("tone-low", "Tone", "tone", "low", ("en",))
REQUEST = {"input": "Pinned.", "voice": VOICE.id}
FORMER = "ab" * 32
"""What the answer to it was called before."""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose engines have told what they have, with one pin by a former name; no voice is there."""
    environ = {"APPLIANCE_DATA_DIR": str(tmp_path), "APPLIANCE_CACHE_SPEECH": "true"}
    made = await asyncio.to_thread(lambda: build_gateway(load_settings(environ)))
    made.pool.known_engines.update(made.settings.pool_sizes())
    made.pool.engine_versions[VOICE.engine] = "1"
    await made.answers.files.open()
    await made.answers.files.pin(FORMER, pack_request(REQUEST))
    yield made
    made.answers.close()
    made.threads.close()
    made.jobs.threads.close()


async def until(check: Callable[[], object]) -> None:
    while True:
        if check():
            return
        await asyncio.sleep(0.01)


async def test_pin_when_a_worker_tells_its_voice_after_the_look_then_it_is_looked_at_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_pins, "LOOK_S", 0.01)
    files = gateway.answers.files
    looking = asyncio.create_task(keep_pins(gateway))
    await until(lambda: files.idle_pins == {FORMER})
    gateway.catalog.replace(VOICE.engine, [VOICE], [])
    await until(lambda: gateway.warm_list.waiting)
    assert await gateway.warm_list.next() == REQUEST
    await until(lambda: FORMER not in files.pins)
    assert (len(files.pins), files.idle_pins) == (1, set())
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


async def test_pin_when_it_is_renamed_while_the_list_is_full_then_it_is_spoken_once_there_is_room(
    gateway: Gateway,
) -> None:
    gateway.catalog.replace(VOICE.engine, [VOICE], [])
    assert gateway.warm_list.want([{"input": "Another."}] * MAX_WANTED) == MAX_WANTED
    waiting = deque([FORMER])
    await renew_pins(gateway, waiting)
    assert (waiting, gateway.answers.files.pins) == (deque([FORMER]), {FORMER})
    gateway.warm_list.done()
    await renew_pins(gateway, waiting)
    assert not waiting
    assert FORMER not in gateway.answers.files.pins
    assert gateway.warm_list._wanted[-1] == REQUEST
