"""`GET /v1/audio/captions.srt|.vtt|.json?text=…`: when each word of a text sounds.

Owns: which audio captions belong to: that of `GET /v1/audio/speech` with the same query, kept with its words.
Refuses to know: how audio is made and kept (`speech_get`), how captions are written (`appliance.captions`).
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from appliance.captions import CAPTION_TYPES, CaptionFormat, write_captions
from appliance.speech import TimedWord
from appliance.word_times import unpack_words
from processes.gateway.access import AccessRules, guarded
from processes.gateway.gateway import GATEWAY_KEY
from processes.gateway.shared_speech import Listener
from processes.gateway.sharing import fallback_headers, listening
from processes.gateway.speech_get import check_query, find_kept

KINDS = "|".join(CaptionFormat)
"""What the path may end with, as a regular expression."""
AUDIO_ETAG = "X-Audio-ETag"
"""Header with the ETag of the audio that captions belong to, where that is kept."""


@guarded(AccessRules.check_api_key)
async def get_captions(request: web.Request) -> web.StreamResponse:
    """Answer with captions for a text's audio, which is made and kept if it isn't yet."""
    gateway = request.app[GATEWAY_KEY]
    caption_format = CaptionFormat(request.match_info["kind"])
    asked, key = check_query(request, gateway)
    audio = find_kept(gateway, key)
    if audio is not None:
        packed = audio.words
        body = await gateway.threads.run(lambda: _written(caption_format, unpack_words(packed)))
        headers = {AUDIO_ETAG: audio.etag}
    else:
        with listening(request, asked, key) as (listener, record):
            words = await _heard_words(listener)
            shared = listener.shared
            record.spoken_by(shared.voice, shared.replaced)
            body = await gateway.threads.run(lambda: _written(caption_format, words))
            record.first_audio()
            record.sent_bytes = len(body)
        kept = gateway.answers.recent(key)
        headers = {AUDIO_ETAG: kept.etag} if kept is not None else fallback_headers(shared)
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
