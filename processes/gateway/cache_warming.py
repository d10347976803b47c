"""What is spoken before anybody asks for it.

Owns: that it is spoken one after the other, in the class of jobs, so that nobody who listens waits for it;
that it waits for as long as it can't be spoken now.
Refuses to know: HTTP, what is wanted (`warm_list`), where answers are kept.
"""

from __future__ import annotations

import asyncio

from loguru import logger

from appliance.errors import ApplianceError, CapacityError, NoWorkersError
from appliance.speech import RequestClass
from processes.gateway.gateway import Gateway
from processes.gateway.planned_speech import CheckedSpeech, check_speech, split_speech
from processes.gateway.shared_speech import SharedSpeech
from processes.gateway.sharing import Making, begin

WARMING_CLIENT = "warming"
"""Whose requests these are, for the dispatcher."""
AGAIN_S = 2.0
"""Seconds until the next is tried when one couldn't be spoken now."""
NOT_KEPT = "not_kept"
"""Why something isn't spoken ahead whose answer wouldn't be kept."""


async def warm(gateway: Gateway) -> None:
    """Speak what is wanted, one after the other, until cancelled."""
    await gateway.warm_list.load()
    while True:
        values = await gateway.warm_list.next()
        try:
            reason = await _speak_for_cache(gateway, check_speech(gateway, values))
        except CapacityError:
            gateway.warm_list.postpone()
            await asyncio.sleep(AGAIN_S)
            continue
        except ApplianceError as error:
            reason = error.code
        except Exception as error:  # noqa: BLE001 (one text that nobody has thought of mustn't end all speech)
            # Its message may hold the text.
            logger.error("cache_warming_crashed", error=type(error).__name__)
            gateway.warm_list.failed += 1
            reason = ""
        gateway.warm_list.done()
        if reason:
            gateway.warm_list.failed += 1
            logger.warning("cache_warming_failed", reason=reason)


def name_answer(gateway: Gateway, asked: CheckedSpeech) -> tuple[str, str]:
    """Return the key under which an answer is kept, and why it can't be; one of the two is empty.

    Raises:
        NoWorkersError: Nobody can say now, as workers are missing or being replaced.
    """
    if asked.replaced is not None:
        if asked.replaced.reason == NoWorkersError.code:
            raise NoWorkersError
        return "", asked.replaced.reason
    if not gateway.answers.keeps(asked.request):
        return "", NOT_KEPT
    key = gateway.answers.key(asked.request, asked.voice)
    if not key:
        raise NoWorkersError  # none that could be named: they are being replaced
    return key, ""


async def _speak_for_cache(gateway: Gateway, asked: CheckedSpeech) -> str:
    """Have something spoken and kept that isn't kept yet; return why it isn't, empty where it is.

    Raises:
        CapacityError: It can't be spoken now.
        ApplianceError: It can't be spoken.
    """
    key, reason = name_answer(gateway, asked)
    if reason or gateway.answers.has(key):
        return reason
    shared = gateway.answers.under_way.get(key) or _begin(gateway, asked, key)
    listener = shared.join()
    try:
        audio = await listener.whole()
    finally:
        shared.leave(listener)
    if shared.replaced is not None:
        return shared.replaced.reason
    return NOT_KEPT if audio is None else ""


def _begin(gateway: Gateway, asked: CheckedSpeech, key: str) -> SharedSpeech:
    speech = split_speech(gateway, asked)
    source = speech.source(gateway.threads, is_whole=True)
    delivery = gateway.dispatcher.synthesize(
        source,
        client=WARMING_CLIENT,
        fingerprint=speech.fingerprint(),
        request_class=RequestClass.BACKGROUND,
    )
    return begin(gateway, Making(key, speech, delivery, is_whole=True))
