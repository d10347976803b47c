"""What the tone engine's audio must be, computed without the appliance.

Owns: the texts of a run and the SHA-256 of their audio, as wav without its header.
Refuses to know: sockets.

The gateway splits a short text of a voice that it knows to be quick otherwise than one of a slow voice, so a
text has up to two right answers.
"""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from itertools import islice

from appliance.audio.pcm import PcmJoiner
from appliance.engine_settings import ToneSettings
from appliance.engines.tone import SAMPLE_RATE_HZ, ToneEngine, expected_pcm
from appliance.settings import TextSettings
from appliance.speech import PcmChunk, SpeechRequest
from appliance.text.utterances import split_into_utterances
from loadtests.texts import SEED, sentences

TEXTS = 500
"""Different texts, so that audio of one request in the answer of another is found."""
MOST_SENTENCES = 3
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
    text = texts()[text_number]
    return frozenset(hashlib.sha256(_pcm(text, is_quick=is_quick)).hexdigest() for is_quick in (True, False))


def _pcm(text: str, *, is_quick: bool) -> bytes:
    request = SpeechRequest(text, VOICE.id)
    pause_s = TextSettings().pause_s
    joiner = PcmJoiner(SAMPLE_RATE_HZ)
    parts: list[bytes] = []
    for utterance in split_into_utterances(request, VOICE, pause_s=pause_s, is_quick=is_quick):
        parts.append(joiner.feed(PcmChunk(expected_pcm(utterance), SAMPLE_RATE_HZ, is_last=True)))
        parts.append(joiner.pause(utterance.pause_after_s))
    return b"".join(parts)
