"""What is to be imported, as the command line or the settings say it.

Owns: the choice between a model's name and a folder, the voice's id and name where nobody gives one.
Refuses to know: where a model comes from, and how a voice is made.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.engines import espeak
from appliance.engines.vits.making.description import UNKNOWN_LANGUAGE, language_tag
from appliance.errors import ConfigurationError
from appliance.voice_settings import is_model_name, plain_id, voice_id_of
from appliance.voice_store import VOICE_ID

MULTILINGUAL = "multilingual"
"""What Coqui's list says in the place of a language."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One voice to be made."""

    source: str
    """A name of Coqui's list, or a folder's absolute path."""
    is_model: bool
    """Which of the two it is."""
    id: str
    name: str
    languages: tuple[str, ...] = ()
    """BCP 47 tags, the main one first, where the caller or the list knows them."""
    license: str = ""
    """Where the caller knows better than Coqui's list."""
    attribution: str = ""

    @property
    def title(self) -> str:
        """What the import is called in states and logs: never a path."""
        return self.source if self.is_model else Path(self.source).name

    def as_json(self) -> str:
        """Return it as one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Errand:
        """Rebuild it from `as_json`."""
        values = json.loads(text)
        return cls(**{**values, "languages": tuple(values["languages"])})


def model_errand(model: str) -> Errand:
    """Return the errand for a model of Coqui's list, with the id and the name that follow from its name."""
    _, language, dataset, kind = model.split("/")
    languages = () if language == MULTILINGUAL else (language_tag(language),)
    return Errand(model, True, voice_id_of(model), f"{dataset} {kind} ({language})", languages)


def make_errand(
    source: str, *, voice_id: str, name: str, language: str, license_name: str, attribution: str
) -> Errand:
    """Return the errand that a command line asks for; an empty text stands for what nobody gave.

    Raises:
        ConfigurationError: The source is neither a model's name nor a folder, no voice can have the id or
            espeak-ng has it, or the language isn't a tag.
        EngineFailedError: espeak-ng is missing or broken.
    """
    if is_model_name(source):
        known = model_errand(source)
    elif Path(source).is_dir():
        folder = Path(source).resolve()
        known = Errand(str(folder), False, plain_id(folder.name) or "voice", folder.name)
    else:
        raise ConfigurationError(
            f"{source!r} is neither a folder nor a model's name such as tts_models/en/ljspeech/vits"
        )
    if voice_id and not re.fullmatch(VOICE_ID, voice_id):
        raise ConfigurationError(
            f"{voice_id!r} can't be the id of a voice: lower-case letters, digits, hyphens"
        )
    if (voice_id or known.id) in espeak.voice_ids():
        raise ConfigurationError(
            f"{voice_id or known.id!r} is a voice of espeak-ng's; call this one otherwise with --id"
        )
    if language and language_tag(language) == UNKNOWN_LANGUAGE:
        raise ConfigurationError(f"{language[:40]!r} isn't a language's tag such as pl or pt-BR")
    return Errand(
        known.source,
        known.is_model,
        voice_id or known.id,
        name or known.name,
        (language_tag(language),) if language else known.languages,
        license_name,
        attribution,
    )
