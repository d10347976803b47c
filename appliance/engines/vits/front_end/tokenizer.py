"""From a text to the token ids that a voice was trained on, and back to the words they belong to.

Owns: the order of the steps, the vocabulary, blanks, bounds, which tokens belong to which word.
Refuses to know: the model, audio, durations.

    text -> spelled out -> cleaned -> phonemes -> ids -> blanks between -> begin and end

Source: TTS.tts.utils.text.tokenizer, `TTSTokenizer.text_to_ids`; the ids are the same but for what
`spelling`, `punctuation` and `Tokenizer._known` rescue.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.engines.espeak_words import find_words
from appliance.engines.vits.front_end import punctuation
from appliance.engines.vits.front_end.alignment import align
from appliance.engines.vits.front_end.cleaners import SPEAKS_NUMBERS, clean, find_cleaner
from appliance.engines.vits.front_end.phonemes import EspeakPhonemizer
from appliance.engines.vits.front_end.spelling import spell_out
from appliance.engines.vits.front_end.traced import TracedText, join
from appliance.errors import (
    EngineFailedError,
    ModelUnsupportedError,
    NothingToSpeakError,
    TextTooLongError,
    VoiceConfigError,
)
from appliance.voice_store import FrontEnd

MAX_TEXT_CHARS = 2000
"""Longer texts are refused before anything is done with them."""
MAX_TOKENS = 2048
"""More tokens are refused: attention needs memory for every pair, 16 MiB per head for this many."""
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and lone surrogates, which have no UTF-8 or end a C string."""


@dataclass(frozen=True, slots=True)
class WordTokens:
    """Which tokens a word of the text became."""

    start_char: int
    """Where the word begins in the text, in characters."""
    end_char: int
    """Where the word ends there, exclusive."""
    start_token: int
    end_token: int
    """Exclusive, blanks inside included; `start_token` where the word makes no sound of its own."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as a model takes it."""

    ids: tuple[int, ...]
    """At least one, at most `MAX_TOKENS`."""
    words: tuple[WordTokens, ...] = ()
    """Every word of the text in its order, places ascending; empty unless asked for."""


class Tokenizer:
    """The front end of one voice."""

    def __init__(
        self, front_end: FrontEnd, phonemizer: EspeakPhonemizer, said_language: str | None = None
    ) -> None:
        """Check that this voice's texts can be prepared here.

        Args:
            front_end: What `voice.json` says.
            phonemizer: The process's one; it is only used where the voice needs phonemes.
            said_language: BCP 47 tag of the language in which a voice with one language says numbers. Models
                that don't name theirs count as English for their cleaner, so their own name won't do.

        Raises:
            ModelUnsupportedError: The cleaner, the phonemizer or its language isn't there; says which.
            VoiceConfigError: A special token isn't in the vocabulary.
            EngineFailedError: espeak-ng is missing or broken.
        """
        self._front_end = front_end
        self._phonemizer = phonemizer
        self._said_language = said_language or front_end.language
        self._ids = {symbol: place for place, symbol in enumerate(front_end.vocabulary)}
        self._cleaner = find_cleaner(front_end.cleaner)
        self._blank_id = self._special("blank", front_end.blank) if front_end.add_blank else None
        self._bos_ids, self._eos_ids = (
            ([self._special("bos", front_end.bos)], [self._special("eos", front_end.eos)])
            if front_end.use_eos_bos
            else ([], [])
        )
        for language in self._phoneme_languages():
            phonemizer.prepare(language)

    def encode(self, text: str, language: str | None = None, *, wants_words: bool = False) -> Tokens:
        """Turn a text into token ids.

        Blocks for about 1 ms for 150 characters, up to 20 ms where words are wanted, and half a second
        once where num2words is loaded. Needs the phonemizer's thread.

        Args:
            text: Plain text, at most `MAX_TEXT_CHARS`.
            language: The model's own name of the language; None takes the voice's only one.
            wants_words: Whether to say which tokens belong to which word.

        Raises:
            NothingToSpeakError: The voice knows nothing of the text.
            TextTooLongError: The text is too long, or gives more than `MAX_TOKENS`.
            EngineFailedError: espeak-ng failed, or the voice doesn't know the language.
        """
        if len(text) > MAX_TEXT_CHARS:
            raise TextTooLongError(f"A voice takes at most {MAX_TEXT_CHARS} characters at once")
        said = language or self._said_language
        language = language or self._front_end.language
        written = self._write(TracedText(_UNWRITABLE.sub(" ", text)), language, said)
        sounds = self._speak(written, language, wants_words=wants_words)
        known = self._known(sounds.text) or self._known(sounds.text, is_last_resort=True)
        if not known:
            raise NothingToSpeakError("The voice has no sound for anything in the text")
        self._check_length(len(known))
        places = [sounds.origins[at] for _, at in known]
        return Tokens(
            self._with_specials([token for token, _ in known]),
            tuple(self._words(text, places)) if wants_words else (),
        )

    def _phoneme_languages(self) -> Sequence[str]:
        """Return the languages that espeak-ng has to know for this voice."""
        front_end = self._front_end
        if front_end.phonemizer is None:
            return ()
        if front_end.phonemizer == "espeak":
            if not front_end.phoneme_language:
                raise VoiceConfigError("The voice needs phonemes and doesn't say of which language")
            return (front_end.phoneme_language,)
        for language, name in front_end.phonemizers.items():
            if name != "espeak":
                raise ModelUnsupportedError(f"The phonemizer {name!r} of {language!r} isn't available")
        return tuple(front_end.phonemizers)

    def _special(self, role: str, symbol: str | None) -> int:
        """Return the id of a special token; one without a symbol has the id behind the vocabulary."""
        if not symbol:
            return len(self._front_end.vocabulary)
        if symbol not in self._ids:
            raise VoiceConfigError(f"The voice's {role} {symbol!r} isn't in its vocabulary")
        return self._ids[symbol]

    def _write(self, text: TracedText, language: str | None, said: str | None) -> TracedText:
        """Return the text cleaned, and spelled out where the voice speaks letters."""
        if self._front_end.phonemizer is not None:
            return clean(text, self._cleaner, language)
        if self._front_end.cleaner in SPEAKS_NUMBERS:
            return spell_out(clean(text, self._cleaner, language), said, self._ids.keys())
        return clean(spell_out(text, said, self._ids.keys()), self._cleaner, language)

    def _speak(self, text: TracedText, language: str | None, *, wants_words: bool) -> TracedText:
        """Return the text's phonemes with its punctuation; a voice that speaks letters gets the text."""
        front_end = self._front_end
        if front_end.phonemizer is None:
            self._check_length(len(text.text))
            return text
        spoken = front_end.phoneme_language if front_end.phonemizer == "espeak" else language
        if front_end.phonemizer == "multi_phonemizer" and spoken not in front_end.phonemizers:
            raise EngineFailedError(f"The voice doesn't know the language {spoken!r}")
        assert spoken is not None, "checked at the start"
        parts: list[TracedText] = []
        length = 0
        for piece in punctuation.cut(text):
            part = piece.text
            if not piece.is_punctuation:
                sounds = self._phonemizer.phonemes(part.text, spoken)
                self._check_length(length + len(sounds))
                part = TracedText(sounds, self._origins(part, sounds, spoken, wants_words=wants_words))
            length += len(part.text)
            parts.append(part)
        self._check_length(length)
        return join(parts)

    def _origins(self, part: TracedText, sounds: str, language: str, *, wants_words: bool) -> list[int]:
        if not wants_words:
            return [part.origins[0]] * len(sounds)
        places = align(part.text, sounds, lambda word: self._phonemizer.word(word, language))
        return [part.origins[at] for at in places]

    def _known(self, text: str, *, is_last_resort: bool = False) -> list[tuple[int, int]]:
        """Return the voice's tokens in a text, each with its offset; none where all of them are white space.

        Args:
            text: Letters, or phonemes.
            is_last_resort: Whether letters that it doesn't know are spoken without their marks.
        """
        found = [
            (part, at)
            for at, symbol in enumerate(text)
            for part in self._known_parts(symbol, is_last_resort=is_last_resort)
        ]
        return [(self._ids[part], at) for part, at in found] if any(not p.isspace() for p, _ in found) else []

    def _known_parts(self, symbol: str, *, is_last_resort: bool) -> Sequence[str]:
        """Return what the voice knows of a symbol: itself, or the parts of a letter, if it knows all of them.

        The text's letters are composed, and a voice may have been made of texts whose letters weren't.
        """
        if symbol in self._ids:
            return symbol
        if self._front_end.phonemizer is not None or symbol.isascii():
            return ()
        parts = unicodedata.normalize("NFD", symbol)
        known = [part for part in parts if part in self._ids]
        return known if is_last_resort or len(known) == len(parts) else ()

    def _check_length(self, symbols: int) -> None:
        if symbols * (1 if self._blank_id is None else 2) + 3 > MAX_TOKENS:
            raise TextTooLongError(f"The text gives the voice more than {MAX_TOKENS} tokens")

    def _with_specials(self, ids: list[int]) -> tuple[int, ...]:
        """Return the ids with a blank before, between and behind them, then begin and end."""
        if self._blank_id is not None:
            spaced = [self._blank_id] * (2 * len(ids) + 1)
            spaced[1::2] = ids
            ids = spaced
        return (*self._bos_ids, *ids, *self._eos_ids)

    def _words(self, text: str, places: list[int]) -> list[WordTokens]:
        """Return the words with their tokens.

        Args:
            text: The text as it came.
            places: For each known symbol the offset in it, never falling.
        """
        words = []
        for start_char, end_char in find_words(text, is_ssml=False):
            first, end = bisect_left(places, start_char), bisect_left(places, end_char)
            start_token = self._place(first)
            words.append(
                WordTokens(
                    start_char,
                    end_char,
                    start_token,
                    self._place(end - 1) + 1 if end > first else start_token,
                )
            )
        return words

    def _place(self, symbol: int) -> int:
        """Return the place of a known symbol among all tokens."""
        return len(self._bos_ids) + (symbol if self._blank_id is None else 2 * symbol + 1)
