"""`GET /v1/audio/captions.srt|.vtt|.json?text=…`: when each word of a text sounds.

Owns: which audio captions belong to: that of `GET /v1/audio/speech` with the same query, kept with its words.
Refuses to know: how audio is made and kept (`speech_get`), how captions are written (`appliance.captions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from appliance.captions import CAPTION_TYPES, CaptionFormat, write_captions
from appliance.speech import TimedWord
from appliance.word_times import unpack_words
from processes.gateway.access import AccessRules, guarded
from processes.gateway.asker import asker_of
from processes.gateway.gateway import GATEWAY_KEY
from processes.gateway.planned_speech import CheckedSpeech
from processes.gateway.record import RequestRecord
from processes.gateway.shared_speech import Listener
from processes.gateway.sharing import (
    accept_unspoken,
    fallback_headers,
    listening,
    note_encoding,
    take_kept,
)
from processes.gateway.speech_get import check_query

KINDS = "|".join(CaptionFormat)
"""What the path may end with, as a regular expression."""
AUDIO_ETAG = "X-Audio-ETag"
"""Header with the ETag of the audio that captions belong to, where that is kept."""


@guarded(AccessRules.check_api_key)
async def get_captions(request: web.Request) -> web.StreamResponse:
    """Answer with captions for a text's audio, which is made and kept if it isn't yet."""
    gateway = request.app[GATEWAY_KEY]
    asked, key = check_query(request, gateway)
    audio = gateway.answers.recent(key)
    if audio is None and not gateway.answers.has(key):
        return await _hear(request, asked, key)
    with accept_unspoken(asker_of(request), asked) as record:
        audio = await take_kept(request, key, audio, record)
        if audio is None:
            return await _hear(request, asked, key, record)
        packed = audio.words
        return await _answer(request, lambda: unpack_words(packed), {AUDIO_ETAG: audio.etag}, record)


async def _hear(
    request: web.Request, asked: CheckedSpeech, key: str, record: RequestRecord | None = None
) -> web.StreamResponse:
    """Answer with captions once all of the audio has been made.

    Args:
        request: Who asks.
        asked: For what.
        key: What the audio is kept under; empty where it can't be shared.
        record: The request's, where it has one already.

    Raises:
        ApplianceError: It is refused, or fails.
    """
    with listening(asker_of(request), asked, key, record) as (listener, mine):
        words = await _heard_words(listener)
        shared = listener.shared
        mine.spoken_by(shared.voice, shared.replaced)
        note_encoding(shared, mine)
        kept = request.app[GATEWAY_KEY].answers.recent(key)
        headers = {AUDIO_ETAG: kept.etag} if kept is not None else fallback_headers(shared)
        return await _answer(request, lambda: words, headers, mine)


async def _answer(
    request: web.Request,
    find_words: Callable[[], Sequence[TimedWord]],
    headers: dict[str, str],
    record: RequestRecord,
) -> web.Response:
    """Answer with captions; the request has ended before they leave."""
    caption_format = CaptionFormat(request.match_info["kind"])
    threads = request.app[GATEWAY_KEY].threads
    body = await threads.run(lambda: _written(caption_format, find_words()))
    record.first_audio()
    record.sent_bytes = len(body)
    record.complete()
    content_type = CAPTION_TYPES[caption_format]
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)


async def _heard_words(listener: Listener) -> Sequence[TimedWord]:
    """Return the words of a synthesis when all of it has been made; what of it isn't kept is thrown away.

    Raises:
        ApplianceError: It can't be made.
    """
    if await listener.whole() is None:
        while await listener.next_part():
            pass
    return listener.shared.words


def _written(caption_format: CaptionFormat, words: Sequence[TimedWord]) -> bytes:
    """Return captions as UTF-8. Blocks for some 6 ms for a thousand words."""
    return "".join(write_captions(caption_format, words)).encode()
