"""What a model's config says of its text: the vocabulary, and the fields of the front end.

Owns: the choice of Coqui's vocabulary class from a closed list, `FrontEnd` made of it.
Refuses to know: how text is cleaned or turned into phonemes (`engines.vits.front_end`).
"""

from __future__ import annotations

from typing import Any

from appliance.engines.vits.making.refusals import config_error
from appliance.errors import ModelUnsupportedError, VoiceConfigError
from appliance.voice_store import FrontEnd

CLASSES = ("Graphemes", "IPAPhonemes", "BaseCharacters", "BaseVocabulary")
VITS_CLASSES = ("VitsCharacters",)
"""Vocabularies that a config may name. Coqui would import whatever stands there."""
NO_ESPEAK = ("be", "bn", "ja-jp", "ko-kr", "zh-cn")
"""Languages for which Coqui doesn't take espeak by itself. Source: TTS/tts/utils/text/phonemizers."""


def coqui_characters(config: Any) -> Any:
    """Return Coqui's vocabulary object for a config.

    Raises:
        VoiceConfigError: The config names a class that isn't one, or a vocabulary that can't be.
    """
    from TTS.tts.models import vits
    from TTS.tts.utils.text import characters

    described = config.characters
    name = (described.characters_class or "") if described is not None else ""
    short = name.rpartition(".")[2] or ("IPAPhonemes" if config.use_phonemes else "Graphemes")
    if short not in CLASSES + VITS_CLASSES:
        raise VoiceConfigError(f"config.json: no vocabulary is called {name[:80]!r}")
    kind = getattr(vits if short in VITS_CLASSES else characters, short)
    try:
        made, _ = kind.init_from_config(config)
    except (TypeError, ValueError, AttributeError, KeyError, AssertionError) as error:
        raise config_error(error, "characters") from None
    return made


def front_end(config: Any, characters: Any) -> FrontEnd:
    """Describe how text becomes ids for a model.

    Args:
        config: Coqui's `VitsConfig`.
        characters: Its vocabulary, of `coqui_characters`.

    Raises:
        ModelUnsupportedError: The text needs a phonemizer other than espeak.
        VoiceConfigError: A field has a value that can't be.
    """
    by_language: dict[str, str] = {}
    phonemizer = None
    if config.use_phonemes:
        phonemizer = config.phonemizer or "espeak"
        if phonemizer == "multi_phonemizer":
            by_language = {
                entry.language: _espeak(entry.phonemizer, entry.language) for entry in config.datasets
            }
        else:
            phonemizer = _espeak(config.phonemizer, config.phoneme_language)
    try:
        return _described(config, characters, phonemizer, by_language)
    except (AttributeError, TypeError, ValueError) as error:
        raise config_error(error) from None


def _described(config: Any, characters: Any, phonemizer: Any, by_language: dict[str, str]) -> FrontEnd:
    return FrontEnd(
        vocabulary=tuple(characters.vocab),
        pad=characters.pad,
        blank=characters.blank,
        bos=characters.bos,
        eos=characters.eos,
        add_blank=config.add_blank,
        use_eos_bos=config.enable_eos_bos_chars,
        cleaner=config.text_cleaner or None,
        phonemizer=phonemizer,
        phoneme_language=config.phoneme_language if config.use_phonemes else None,
        phonemizers=by_language,
        language=config.languages[0] if len(config.languages) == 1 else None,
    )


def _espeak(name: str | None, language: str | None) -> str:
    """Return `espeak` where Coqui would speak with it."""
    if name == "espeak" or (not name and language and language not in NO_ESPEAK):
        return "espeak"
    raise ModelUnsupportedError(f"The model's text needs the phonemizer {name!r} for {language!r}")
