"""Hops 1 to 3: a request becomes what can be spoken.

Owns: the checked request with its voice and its utterances, and the same request with another voice.
Refuses to know: workers, audio, answers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from appliance.errors import ApplianceError, NoWorkersError, VoiceNotFoundError
from appliance.speech import Randomness, SpeechRequest
from appliance.text.early import EarlyUtterances
from appliance.voices import FALLBACK_ENGINE, Voice
from processes.gateway.body import parse_speech_body, parse_speech_request
from processes.gateway.encoding import EncoderThreads
from processes.gateway.fallback import FALLBACK_HEADER, Replaced
from processes.gateway.fingerprint import fingerprint
from processes.gateway.gateway import Gateway
from processes.gateway.imports import STORE_ENGINES
from processes.gateway.utterance_source import UtteranceSource

QUICK_WORK_S = 0.1
"""A text with at most this much expected work isn't cut for an early first sound, and as wav or flac of one
utterance it is finished first, with exact sizes."""


@dataclass(frozen=True, slots=True)
class CheckedSpeech:
    """A request whose fields are right and whose voice was found; its text isn't split yet."""

    request: SpeechRequest
    voice: Voice
    """Who speaks."""
    replaced: Replaced | None = None
    """The voice that was asked for, where this is its fallback."""


@dataclass(frozen=True, slots=True)
class PlannedSpeech:
    """A request that can be spoken: checked, its voice found, its text split."""

    request: SpeechRequest
    voice: Voice
    """Who speaks."""
    utterances: EarlyUtterances
    replaced: Replaced | None = None
    """The voice that was asked for, where this is its fallback."""

    @property
    def headers(self) -> dict[str, str]:
        """What its answer says of it."""
        return {} if self.replaced is None else {FALLBACK_HEADER: self.voice.id}

    def fingerprint(self) -> bytes:
        """Return a hash of all that decides what a worker does with it."""
        request = self.request
        return fingerprint(
            request.text,
            self.voice.engine,
            self.voice.engine_voice,
            request.input_type.value,
            request.speed,
            request.pitch,
            request.volume,
            request.make_speakable,
            request.spell_out,
            request.pronunciations.version,
            *request.randomness.given().items(),
        )

    def source(self, threads: EncoderThreads, *, is_whole: bool) -> UtteranceSource:
        """Return its utterances for the dispatcher.

        Args:
            threads: Where the rest of a long text is split.
            is_whole: Whether the answer is finished first, so that no sound need come early.
        """
        utterances = self.utterances
        known = utterances.known
        if is_whole:
            known = [replace(each, wants_early_sound=False) for each in known]
        find_rest = None if utterances.is_whole else lambda: threads.run(utterances.split_rest)
        return UtteranceSource(known, find_rest)


def check_speech(
    gateway: Gateway, values: Mapping[str, Any], *, wants_word_times: bool = False
) -> CheckedSpeech:
    """Hops 1 and 2: check the fields, find the voice and the dictionary's words for it.

    Args:
        gateway: The gateway.
        values: The fields as the client sent them.
        wants_word_times: Whether the times of the words are to be known even if the client doesn't ask.

    Raises:
        RequestError, NoWorkersError: What is wrong with the request.
    """
    settings = gateway.settings
    body = parse_speech_body(values, settings.http.max_input_chars)
    gateway.models.check(body.model)
    request = parse_speech_request(body, default_voice=gateway.catalog.default, text=settings.text)
    if wants_word_times:
        request = replace(request, wants_word_times=True)
    try:
        voice = find_voice(gateway, request.voice_id)
    except (NoWorkersError, VoiceNotFoundError) as error:
        # Later, a name that nobody has told is more likely a typing error than a voice under way.
        is_expected = isinstance(error, NoWorkersError) and _is_just_started(gateway)
        found = gateway.fallbacks.replace_absent(request.voice_id, error, is_expected=is_expected)
        return CheckedSpeech(_with_words(gateway, request, found[0]), *found)
    return CheckedSpeech(_with_words(gateway, request, voice), voice)


def split_speech(gateway: Gateway, checked: CheckedSpeech) -> PlannedSpeech:
    """Hop 3: split the text.

    Raises:
        RequestError: It can't be spoken.
    """
    return _plan(gateway, checked.request, checked.voice, checked.replaced)


def plan_fallback(gateway: Gateway, speech: PlannedSpeech, error: ApplianceError) -> PlannedSpeech:
    """Plan a request anew, for the fallback of its voice.

    Raises:
        ApplianceError: The error itself, where there is none or another voice doesn't mend it.
    """
    voice, replaced = gateway.fallbacks.replace(speech.voice, error)
    return _plan(gateway, _with_words(gateway, speech.request, voice), voice, replaced)


def find_voice(gateway: Gateway, voice_id: str) -> Voice:
    """Hop 2: find the voice.

    Raises:
        VoiceNotFoundError: No voice has this name.
        NoWorkersError: None has it yet, and an engine has yet to tell its voices, however long that takes.
    """
    try:
        return gateway.catalog.resolve(voice_id)
    except VoiceNotFoundError:
        if gateway.pool.sizes.keys() <= gateway.pool.known_engines:
            raise
        raise NoWorkersError from None


def _is_just_started(gateway: Gateway) -> bool:
    """Return whether an engine without workers is still waited for, even if none was ever there."""
    return time.monotonic() - gateway.started_at_s <= gateway.settings.dispatch.outage_limit_s


def _with_words(gateway: Gateway, request: SpeechRequest, voice: Voice) -> SpeechRequest:
    """Return a request with the dictionary's words for who speaks it, by which it is named and split."""
    return replace(request, pronunciations=gateway.book.of(voice))


def _plan(
    gateway: Gateway, request: SpeechRequest, voice: Voice, replaced: Replaced | None = None
) -> PlannedSpeech:
    if (
        voice.engine == FALLBACK_ENGINE
    ):  # it draws no lots, so another seed is no other sound and no other text
        request = replace(request, randomness=Randomness())
    is_quick = _is_quick(gateway, request, voice)
    pause_s = gateway.settings.text.pause_s
    utterances = EarlyUtterances(request, voice, pause_s=pause_s, is_quick=is_quick)
    return PlannedSpeech(request, voice, utterances, replaced)


def _is_quick(gateway: Gateway, request: SpeechRequest, voice: Voice) -> bool:
    """Return whether a text is spoken so soon that it isn't cut for an early first sound.

    One for which a seed counts always is. What a voice costs is learned, and each utterance draws by itself:
    later the same request would be cut otherwise, and sound so.
    """
    if request.randomness.seed is not None and voice.engine in STORE_ENGINES:
        return False
    per_char_s = gateway.dispatcher.costs.per_char_s(voice.engine, voice.engine_voice)
    return per_char_s * len(request.text) / request.speed <= QUICK_WORK_S
