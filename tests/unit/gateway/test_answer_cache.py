"""What the cache of answers remembers beside the answers."""

from __future__ import annotations

from pathlib import Path

from appliance.settings import load_settings
from appliance.speech import SpeechRequest, StreamFormat
from processes.gateway.__main__ import build_gateway
from processes.gateway.answer_cache import MAX_LONG_KEYS, AnswerCache

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
