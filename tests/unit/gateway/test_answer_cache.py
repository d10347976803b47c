"""What the cache of answers remembers beside the answers, and what it forgets."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from appliance.settings import load_settings
from appliance.speech import SpeechRequest, StreamFormat
from processes.gateway.__main__ import build_gateway
from processes.gateway.answer_cache import MAX_LONG_KEYS, AnswerCache
from processes.gateway.audio_memory import finished_audio

SPOKEN = SpeechRequest("Hello.", "tone-low")
OF_GET = SpeechRequest("Hello.", "tone-low", wants_word_times=True)
EVENTS = SpeechRequest("Hello.", "tone-low", stream_format=StreamFormat.SSE, wants_word_times=True)


def cache_of(run_dir: Path, speech: str = "true") -> AnswerCache:
    environ = {"APPLIANCE_RUN_DIR": str(run_dir), "APPLIANCE_DATA_DIR": str(run_dir)}
    return build_gateway(load_settings(environ | {"APPLIANCE_CACHE_SPEECH": speech})).answers


def test_long_keys_when_there_are_many_then_the_least_used_is_forgotten(run_dir: Path) -> None:
    cache = cache_of(run_dir)
    for number in range(MAX_LONG_KEYS):
        cache.note_long(str(number))
    assert cache.is_known_as_long("0")
    cache.note_long("last")
    assert cache.is_known_as_long("0")
    assert not cache.is_known_as_long("1")
    assert not cache.is_known_as_long("")


def test_keeps_when_switched_off_then_only_answers_of_get(run_dir: Path) -> None:
    on, off = (cache_of(run_dir, speech) for speech in ("true", "false"))
    assert [on.keeps(request) for request in (SPOKEN, OF_GET, EVENTS)] == [True, True, False]
    assert [off.keeps(request) for request in (SPOKEN, OF_GET, EVENTS)] == [False, True, False]


async def test_purge_when_other_answers_are_in_memory_than_in_files_then_each_counts_once(
    run_dir: Path,
) -> None:
    cache = await asyncio.to_thread(cache_of, run_dir)
    names = ("memory", "both", "1", "2", "pinned")
    keys = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    audio = finished_audio(b"1234", "audio/mpeg")
    for name in ("both", "1", "2", "pinned"):
        await cache.store(keys[name], audio)
    for name in ("memory", "both", "pinned"):
        cache.keep(keys[name], audio)
    await cache.files.pin(keys["pinned"], b"{}")
    assert await cache.purge() == (4, True)
    assert [name for name, key in keys.items() if cache.has(key)] == ["pinned"]
    cache.close()
