"""Utterances and tickets for tests that need no worker."""

from __future__ import annotations

import itertools
from typing import Any

from appliance.speech import RequestClass, SpokenText, Utterance
from processes.gateway.ticket import Stream, Ticket
from processes.gateway.utterance_source import UtteranceSource

_ids = itertools.count(1)


def make_utterance(
    text: str = "Hello.", voice: str = "low", engine: str = "tone", **fields: Any
) -> Utterance:
    return Utterance(0, 0, len(text), SpokenText(text), engine, voice, **fields)


def make_ticket(
    client: str,
    request_class: RequestClass = RequestClass.FIRST,
    *,
    queued_at_s: float = 0.0,
) -> Ticket:
    stream = Stream(client, request_class, UtteranceSource(()), b"", 0.0, 0.0)
    return Ticket(next(_ids), make_utterance(), stream, request_class, queued_at_s)
