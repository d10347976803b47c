"""What the tone engine's audio must be, computed without the appliance.

Owns: the texts of a run and the SHA-256 of their audio, as wav without its header.
Refuses to know: sockets.

The gateway splits a short text of a voice that it knows to be quick otherwise than one of a slow voice, so a
text has up to two right answers. A job, whose first sound nobody waits for, has one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from appliance.audio.pcm import PcmJoiner
from appliance.engine_settings import ToneSettings
from appliance.engines.tone import SAMPLE_RATE_HZ, ToneEngine, expected_pcm
from appliance.speech import PcmChunk, SpeechRequest, Utterance
from appliance.text.utterances import split_into_utterances
from appliance.text_settings import TextSettings
from processes.gateway.job_text import find_utterances
from processes.ttsctl.voice_bench.texts import SEED, sentences

TEXTS = 500
"""Different texts, so that audio of one request in the answer of another is found."""
MOST_SENTENCES = 3
PAUSE_S = TextSettings().pause_s
VOICE = next(voice for voice in ToneEngine(ToneSettings()).voices() if voice.id == "tone-low")


@lru_cache(maxsize=1)
def texts() -> tuple[str, ...]:
    """Return the texts of a run: one to three sentences each, no two alike, the same ones in every run."""
    chosen = random.Random(SEED)
    source = sentences()
    made: dict[str, None] = {}
    while len(made) < TEXTS:
        made[" ".join(islice(source, chosen.randint(1, MOST_SENTENCES)))] = None
    return tuple(made)


@lru_cache(maxsize=TEXTS)
def audio_hashes(text_number: int) -> frozenset[str]:
    """Return the SHA-256 that the audio of a text may have, in hexadecimal."""
    return frozenset(
        _sha256(split_into_utterances(_request(text_number), VOICE, pause_s=PAUSE_S, is_quick=is_quick))
        for is_quick in (True, False)
    )


@lru_cache(maxsize=TEXTS)
def job_audio_hash(text_number: int) -> str:
    """Return the SHA-256 of the audio of a text that is spoken as a job, in hexadecimal."""
    request = _request(text_number)
    found = find_utterances(request, VOICE, [request.text], pause_s=PAUSE_S)
    return _sha256(each.utterance for each in found)


def _request(text_number: int) -> SpeechRequest:
    return SpeechRequest(texts()[text_number], VOICE.id)


def _sha256(utterances: Iterable[Utterance]) -> str:
    joiner = PcmJoiner(SAMPLE_RATE_HZ)
    made = hashlib.sha256()
    for utterance in utterances:
        made.update(joiner.feed(PcmChunk(expected_pcm(utterance), SAMPLE_RATE_HZ, is_last=True)))
        made.update(joiner.pause(utterance.pause_after_s))
    return made.hexdigest()
