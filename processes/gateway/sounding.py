"""One text on the same path as a request for speech by HTTP, its audio handed on as it is made.

Owns: the order in which the cache, a synthesis under way and the workers are asked, for protocols that aren't
one answer to one HTTP request.
Refuses to know: how audio reaches a client (Wyoming's events, a WebSocket's messages), how speech is made and
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from appliance.errors import ApplianceError
from processes.gateway.asker import Asker
from processes.gateway.audio_memory import Audio
from processes.gateway.planned_speech import CheckedSpeech, check_speech
from processes.gateway.record import RequestRecord, Unspoken
from processes.gateway.sharing import accept_unspoken, listening, note_encoding
from processes.gateway.unsent import Held, Holder
from processes.gateway.whole_answer import pieces


class Hearer(Protocol):
    """Who is sent audio."""

    peer: str
    """Its address."""

    async def hear(self, audio: bytes) -> None:
        """Send the next bytes of audio.

        Raises:
            ConnectionError: The client has left, or is too slow.
        """

    def cut(self) -> None:
        """Break its connection off; doesn't block."""


async def sound(asker: Asker, fields: Mapping[str, Any], hearer: Hearer) -> None:
    """Speak a text: a request of its own, with one row and one end.

    Args:
        asker: Who asks.
        fields: As in `SpeechBody`, not checked yet.
        hearer: Gets the audio.

    Raises:
        ApplianceError: It is refused, or failed, maybe behind its first audio.
        ConnectionError: The client has left.
    """
    gateway = asker.gateway
    try:
        asked = check_speech(gateway, fields)
    except ApplianceError as error:
        gateway.ledger.reject(error)
        raise
    key = gateway.answers.key(asked.request, asked.voice) if asked.replaced is None else ""
    if not key or (gateway.answers.recent(key) is None and not gateway.answers.has(key)):
        await _hear(asker, asked, key, hearer)
        return
    with accept_unspoken(asker, asked) as record:
        audio = gateway.answers.recent(key) or await gateway.answers.read(key)
        if audio is None:
            await _hear(asker, asked, key, hearer, record)
        else:
            await _send_kept(asker, audio, hearer, record)


async def _hear(
    asker: Asker, asked: CheckedSpeech, key: str, hearer: Hearer, record: RequestRecord | None = None
) -> None:
    """Send audio as it is made."""
    with listening(asker, asked, key, record) as (listener, mine):
        await listener.begun()
        shared = listener.shared
        mine.spoken_by(shared.voice, shared.replaced)
        with _holding(asker, listener.held, hearer) as holder:
            while part := await listener.next_part():
                await hearer.hear(part)
                mine.first_audio()
                mine.sent_bytes += len(part)
                holder.taken_bytes += len(part)
        note_encoding(shared, mine)


async def _send_kept(asker: Asker, audio: Audio, hearer: Hearer, record: RequestRecord) -> None:
    asker.gateway.answers.count("hit")
    record.answered_from("hit", Unspoken(audio.audio_s))
    held = Held(id(audio.data), len(audio.data))
    with _holding(asker, lambda: held, hearer) as holder:
        for piece in pieces(memoryview(audio.data)):
            await hearer.hear(piece)
            record.first_audio()
            record.sent_bytes += len(piece)
            holder.taken_bytes += len(piece)


def _holding(asker: Asker, held: Callable[[], Held], hearer: Hearer) -> AbstractContextManager[Holder]:
    """Count what is held for this client, whose connection may be broken off for it."""
    return asker.gateway.answers.unsent.holding(held, hearer.cut, hearer.peer)
