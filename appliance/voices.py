"""What is known of a voice, and the catalogue that finds one by any name a client uses.

Owns: `Voice`, `Variant`, and their JSON shape inside HELLO.
Refuses to know: which worker has a voice warm, and how an engine loads it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError, VoiceNotFoundError


class Gender(StrEnum):
    """How a voice sounds to most listeners."""

    FEMALE = "female"
    MALE = "male"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice as the appliance lists it."""

    id: str
    """What a client sends as `voice`; unique, for example `en-us`."""
    name: str
    """For a person to read, for example `English (America)`."""
    engine: str
    """Name of the engine that speaks it."""
    engine_voice: str
    """The voice's name inside the engine, for example `gmw/en-US`."""
    languages: tuple[str, ...]
    """BCP 47 tags, the main one first."""
    gender: Gender = Gender.UNKNOWN
    sample_rate_hz: int = 22050
    min_speed: float = 0.25
    """Slowest factor of normal speed that the engine reaches itself; below it the gateway stretches."""
    max_speed: float = 4.0
    """Fastest factor of normal speed that the engine reaches itself."""

    def as_dict(self) -> dict[str, Any]:
        """Return the voice as JSON-ready values."""
        return {**asdict(self), "languages": list(self.languages)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Voice:
        """Rebuild a voice from `as_dict`.

        Raises:
            KeyError, TypeError, ValueError: A field is missing, unknown or of a wrong kind.
        """
        return cls(**{**values, "languages": tuple(values["languages"]), "gender": Gender(values["gender"])})


@dataclass(frozen=True, slots=True)
class Variant:
    """A colouring that any voice of an engine can take, as in `en-us+f3`."""

    id: str
    """What stands behind the plus sign."""
    name: str
    engine: str
    gender: Gender = Gender.UNKNOWN

    def as_dict(self) -> dict[str, Any]:
        """Return the variant as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Variant:
        """Rebuild a variant from `as_dict`.

        Raises:
            KeyError, TypeError, ValueError: A field is missing, unknown or of a wrong kind.
        """
        return cls(**{**values, "gender": Gender(values["gender"])})


class VoiceCatalog:
    """All voices that were ever heard of, found by any name; survives an empty pool.

    Filled from the HELLOs of all that are connected whenever a worker joins; lists are answered from memory
    at any time.
    """

    def __init__(self, aliases: dict[str, str], default: str) -> None:
        """Take the names that stand for other names.

        Args:
            aliases: Lower-case name → voice id, possibly with a variant.
            default: Voice id for callers that name none.
        """
        self._aliases = aliases
        self._voices: dict[str, Voice] = {}
        self._variants: dict[tuple[str, str], Variant] = {}
        self.default = default

    def replace(self, engine: str, voices: Iterable[Voice], variants: Iterable[Variant]) -> None:
        """Learn all voices and variants of an engine, and forget those that it no longer has.

        A voice of another engine that has one of the ids is replaced.
        """
        kept = {key: voice for key, voice in self._voices.items() if voice.engine != engine}
        self._voices = kept | {voice.id.lower(): voice for voice in voices}
        others = {key: variant for key, variant in self._variants.items() if variant.engine != engine}
        self._variants = others | {(variant.engine, variant.id.lower()): variant for variant in variants}

    def voices(self) -> list[Voice]:
        """Return every voice, sorted by id."""
        return [self._voices[key] for key in sorted(self._voices)]

    def variants(self) -> list[Variant]:
        """Return every variant, sorted by engine and id."""
        return [self._variants[key] for key in sorted(self._variants)]

    def aliases(self) -> dict[str, str]:
        """Return the names that stand for voices, and the voices."""
        return dict(self._aliases)

    def resolve(self, voice_id: str) -> Voice:
        """Find the voice that a client means.

        Args:
            voice_id: A voice's id in any case, an alias, or either with `+variant` behind it.

        Raises:
            VoiceNotFoundError: No voice has this name.
        """
        name = voice_id.strip().lower()
        name = self._aliases.get(name, name).lower()
        base, plus, variant_id = name.partition("+")
        base = self._aliases.get(base, base).lower() if plus else base
        voice = self._voices.get(base)
        if voice is None or (plus and (voice.engine, variant_id) not in self._variants):
            message = f"No voice is called {voice_id[:80]!r}; GET /v1/audio/voices lists them"
            raise VoiceNotFoundError(message, param="voice")
        if not plus:
            return voice
        variant = self._variants[voice.engine, variant_id]
        return replace(
            voice,
            id=f"{voice.id}+{variant.id}",
            name=f"{voice.name}, {variant.name}",
            engine_voice=f"{voice.engine_voice}+{variant.id}",
            gender=variant.gender if variant.gender != Gender.UNKNOWN else voice.gender,
        )


def read_voices_file(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read the names that stand for voices and models.

    Args:
        path: A TOML file with the tables `aliases` (name → voice id) and `models` (name → description).

    Returns:
        Both tables; alias names in lower case.

    Raises:
        ConfigurationError: The file can't be read or holds something else.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        message = f"{path}: can't be read: {error.strerror}"
        raise ConfigurationError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: isn't TOML: {error}"
        raise ConfigurationError(message) from None
    aliases, models = tables.pop("aliases", {}), tables.pop("models", {})
    if tables or not all(_is_text_table(table) for table in (aliases, models)):
        message = f"{path}: must hold the tables aliases and models, with texts, and nothing else"
        raise ConfigurationError(message)
    return {name.lower(): voice_id for name, voice_id in aliases.items()}, models


def _is_text_table(table: object) -> bool:
    return isinstance(table, dict) and all(isinstance(value, str) for value in table.values())
