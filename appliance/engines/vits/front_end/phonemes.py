"""Phonemes from espeak-ng, in this process.

Owns: how a text's phonemes are asked for and what is left of the library's answer.
Refuses to know: tokens, punctuation (`punctuation`), C declarations (`engines.espeak_library`).

What comes out is what Coqui gets from a subprocess `espeak-ng -q -b 1 --ipa=1` for each piece of a sentence.
Source: TTS.tts.utils.text.phonemizers.espeak_wrapper, `phonemize_espeak`. Two things differ on purpose:
`[[…]]` is read as text, not as phoneme codes, and control characters are spaces.
"""

from __future__ import annotations

import re
from functools import lru_cache

from appliance.engines.espeak_library import EspeakLibrary
from appliance.errors import EngineFailedError, ModelUnsupportedError

LANGUAGE_NAMES = {"en": "en-us", "zh-cn": "cmn"}
"""Coqui's name of a language → espeak-ng's, where they differ."""
MAX_WORDS = 4096
"""Words whose phonemes are remembered: about 1 MiB. Each takes 0.3 ms to make."""
_CHANGE_OF_LANGUAGE = re.compile(r"\(.+?\)")


class EspeakPhonemizer:
    """Turns text into phonemes. One per process and one thread at a time: the library has global state."""

    def __init__(self, library: EspeakLibrary | None = None) -> None:
        """Take the process's library, or load it when it is first needed."""
        self._library = library
        self._word = lru_cache(MAX_WORDS)(self.phonemes)
        self._voices: dict[str, str] = {}
        self._current: str | None = None

    def prepare(self, language: str) -> None:
        """Make sure that a language can be asked for.

        Args:
            language: As Coqui names it.

        Raises:
            ModelUnsupportedError: espeak-ng has no voice for it.
            EngineFailedError: The library is missing or broken.
        """
        library = self._loaded()
        if language not in self._voices:
            self._current = None
            try:
                self._voices[language] = library.find_voice(LANGUAGE_NAMES.get(language, language))
            except EngineFailedError as error:
                raise ModelUnsupportedError(error.message) from None

    def phonemes(self, text: str, language: str) -> str:
        """Return the phonemes of a text without punctuation: IPA, spaces between words.

        Blocks for 0.5 ms for 80 characters.

        Args:
            text: At most some hundred characters.
            language: One that was prepared.

        Raises:
            EngineFailedError: The library refused the voice or the text.
        """
        library = self._loaded()
        voice = self._voices[language]
        if self._current != voice:
            self._current = None
            library.select_voice(voice)
            self._current = voice
        clauses = library.to_phonemes(text)
        kept = (_CHANGE_OF_LANGUAGE.sub("", clause.strip()).strip() for clause in clauses)
        return "".join(kept).replace("_", "")

    def word(self, word: str, language: str) -> str:
        """Return the phonemes of a word alone, as `phonemes` does; the last `MAX_WORDS` are remembered."""
        return self._word(word, language)

    def _loaded(self) -> EspeakLibrary:
        if self._library is None:
            self._library = EspeakLibrary()
        return self._library
