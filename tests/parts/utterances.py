"""Utterances as a dispatcher would send them."""

from __future__ import annotations

from typing import Any

from appliance.speech import PcmChunk, SpokenText, Utterance

SENTENCE = (
    "The quick brown fox jumps over the lazy dog while seven wise owls watch it from the old oak tree, "
    "and nobody in the village says anything about it."
)
"""About 150 characters, 8 s of espeak's audio, 4 s of tones in four chunks."""


def utterance(text: str, voice: str = "low", engine: str = "tone", **fields: Any) -> Utterance:
    return Utterance(0, 0, len(text), SpokenText(text), engine, voice, **fields)


def english(text: str = SENTENCE, voice: str = "gmw/en-US", **fields: Any) -> Utterance:
    return utterance(text, voice, "espeak", **fields)


def whole_pcm(chunks: list[PcmChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


def audio_s(chunks: list[PcmChunk]) -> float:
    return sum(chunk.audio_s for chunk in chunks)
