"""Pins stay pins of their requests, whatever an answer is called by now.

Owns: that a pin is that of the answer which its request has under this version, these settings and the voices
of now, and that this answer is spoken.
Refuses to know: HTTP, what an answer's name is made of (`sounds`), how it is spoken (`cache_warming`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from loguru import logger

from appliance.errors import ApplianceError, CapacityError
from processes.gateway.answer_form import pack_request
from processes.gateway.cache_warming import name_answer
from processes.gateway.gateway import Gateway
from processes.gateway.planned_speech import check_speech

LOOK_S = 2.0
"""Seconds between two looks: whether voices have changed, and at pins that couldn't be looked at before."""
BOOK_S = 10.0
"""Seconds to wait for the pronunciation dictionary at the start."""
MANY_HELD = 50
"""Pins that can't be looked at now, after which a look ends."""


def want_pinned(gateway: Gateway, key: str, values: dict[str, Any]) -> bool:
    """Have a pinned answer that isn't in a file spoken; return whether there was room for that."""
    gateway.answers.memory.drop(key)  # so that it is spoken anew, and written
    return gateway.warm_list.want([values]) > 0


async def keep_pins(gateway: Gateway) -> None:
    """Look at all pins at the start and whenever imported voices or the dictionary change, until cancelled.

    The idle ones are looked at again whenever the catalogue lists other voices: of a voice that has come back
    the store knows before any worker does.
    """
    files = gateway.answers.files
    await files.opened.wait()
    with suppress(TimeoutError):  # by the dictionary's words an answer has its name, where the store opens
        async with asyncio.timeout(BOOK_S):
            await gateway.book.loaded.wait()
    mark: tuple[str, int] | None = None
    waiting = deque[str]()
    listings = 0
    while True:
        now = gateway.imports.mark, gateway.book.changes
        if now != mark:
            mark, waiting = now, deque(sorted(files.pins))
        if gateway.catalog.listings != listings:
            listings = gateway.catalog.listings
            waiting.extend(sorted(files.idle_pins.difference(waiting)))
        await renew_pins(gateway, waiting)
        await asyncio.sleep(LOOK_S)


async def renew_pins(gateway: Gateway, waiting: deque[str]) -> None:
    """Look at pins, each once; those that can't be looked at now go to the end."""
    held, reasons = 0, set[str]()
    for _ in range(len(waiting)):
        key = waiting.popleft()
        reason = await _look_at(gateway, key)
        if reason is None:
            waiting.append(key)
            held += 1
            if held >= MANY_HELD:
                break
        else:
            gateway.answers.files.note_idle(key, is_idle=bool(reason))
            reasons |= {reason} if reason else set()
    if reasons:
        logger.warning("cache_pins_idle", count=len(gateway.answers.files.idle_pins), reasons=sorted(reasons))


async def _look_at(gateway: Gateway, key: str) -> str | None:
    """Renew a pin; return why no answer to its request can be kept, empty where one can, None for not now."""
    try:
        return await _renew(gateway, key)
    except FileNotFoundError:  # somebody has deleted it
        gateway.answers.files.pins.discard(key)
        return ""
    except (CapacityError, OSError, TimeoutError):  # what ails the disk is said by the files
        return None
    except ApplianceError as error:
        return error.code
    except Exception as error:  # noqa: BLE001 (one pin that nobody has thought of mustn't end all speech)
        return type(error).__name__  # its message may hold the text


async def _renew(gateway: Gateway, key: str) -> str:
    """Let a pin be that of its request's answer; return why there can't be one, empty where there can.

    Raises:
        CapacityError: Nobody can say now what that is, or it can't be spoken now.
        ApplianceError: The request isn't possible any more.
        OSError, TimeoutError: The disk can't be read or written now.
    """
    files = gateway.answers.files
    values = await files.pinned_request(key)
    if values is None:
        return "unreadable"
    name, reason = name_answer(gateway, check_speech(gateway, values))
    if not reason:
        await _have_kept(gateway, key, name, values)
    return reason


async def _have_kept(gateway: Gateway, key: str, name: str, values: dict[str, Any]) -> None:
    """Let a pin be that of another name, if it has one, and have its answer spoken where that isn't kept.

    Args:
        gateway: The gateway.
        key: What the answer was called.
        name: What it is called now.
        values: The request.

    Raises:
        CapacityError: It can't be spoken now; the pin is still found by the name that it had.
        OSError, TimeoutError: The disk can't be written now.
    """
    files = gateway.answers.files
    if not files.has(name) and not gateway.warm_list.has_room:
        raise CapacityError  # before anything has changed
    is_renamed = name != key and key in files.pins
    if is_renamed:
        await files.pin(name, pack_request(values))
    if name in files.pins and not files.has(name) and not want_pinned(gateway, name, values):
        raise CapacityError  # the list has been filled meanwhile
    if is_renamed:
        await files.remove(key)
        await files.unpin(key)
