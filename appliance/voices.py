"""What is known of a voice, and the catalogue that finds one by any name a client uses.

Owns: `Voice`, `Variant`, and their JSON shape inside HELLO.
Refuses to know: which worker has a voice warm, and how an engine loads it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError, VoiceNotFoundError

FALLBACK_ENGINE = "espeak"
"""The engine that speaks where another can't: it is always there, and knows some way to say anything."""
AUTOMATIC, NOBODY = "auto", "none"
"""In the place of a voice that speaks for another: one of the same language; none."""


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


def usual_case(tag: str) -> str:
    """Return a BCP 47 tag as people write it: `en-us` → `en-US`, `vi-vn-x-south` → `vi-VN-x-south`.

    Source: RFC 5646 section 2.1.1: parts of two letters are regions, of four scripts, but for the first part
    and those behind a single letter.
    """
    first, *parts = tag.split("-")
    written = [first.lower()]
    for part in parts:
        is_free = len(written[-1]) > 1 and "x" not in written
        cased = {2: part.upper(), 4: part.title()}.get(len(part), part.lower())
        written.append(cased if is_free else part.lower())
    return "-".join(written)


class VoiceCatalog:
    """All voices that were ever heard of, found by any name; survives an empty pool.

    Filled from the HELLOs of all that are connected whenever a worker joins; lists are answered from memory
    at any time.
    """

    def __init__(
        self,
        aliases: dict[str, str],
        default: str,
        fallbacks: dict[str, str] | None = None,
        coming: Iterable[str] = (),
    ) -> None:
        """Take the names that stand for other names, and who speaks for whom.

        Args:
            aliases: Lower-case name → voice id, possibly with a variant.
            default: Voice id for callers that name none.
            fallbacks: Lower-case voice id or alias, or the beginning of ids with `*` behind it → the voice
                that speaks in its place, `AUTOMATIC` or `NOBODY`.
            coming: Ids of voices that are to be imported: until they are there, a voice of their language
                speaks for them, unless `fallbacks` says otherwise.
        """
        self._aliases = aliases
        self._fallbacks = {aliases.get(name, name).lower(): by for name, by in (fallbacks or {}).items()}
        self._coming = tuple(coming)
        self._heard: dict[str, list[Voice]] = {}
        """What each engine has told."""
        self._voices: dict[str, Voice] = {}
        """Those that are listed, by lower-case id."""
        self._variants: dict[tuple[str, str], Variant] = {}
        self._withdrawn: set[tuple[str, str]] = set()
        """Engines and, of their voices' names inside them, the first part, of which no voice is listed."""
        self.default = default
        self.listings = 0
        """How often other voices or variants were listed than before."""

    def replace(self, engine: str, voices: Iterable[Voice], variants: Iterable[Variant]) -> None:
        """Learn all voices and variants of an engine, and forget those that it no longer has.

        Of several voices with one id always the same one is listed, whichever was heard of last: that of
        `FALLBACK_ENGINE`, else an imported voice `a-b` before the speaker `b` of a voice `a`.
        """
        self._heard[engine] = [voice for voice in voices if self._is_there(voice)]
        self._list()
        others = {key: variant for key, variant in self._variants.items() if variant.engine != engine}
        listed = others | {(variant.engine, variant.id.lower()): variant for variant in variants}
        if listed != self._variants:
            self._variants = listed
            self.listings += 1

    def withdraw(self, engine: str, stored_id: str) -> None:
        """Forget what an engine speaks with one stored voice, although workers still name it.

        Args:
            engine: Of its voices those are forgotten whose name inside the engine is `<stored_id>/…`.
            stored_id: The voice's id in the store.
        """
        self._withdrawn.add((engine, stored_id))
        self._heard[engine] = [voice for voice in self._heard.get(engine, ()) if self._is_there(voice)]
        self._list()

    def readmit(self, stored_ids: Iterable[str]) -> None:
        """List stored voices of these ids again, as soon as a worker that joins names them."""
        present = set(stored_ids)
        self._withdrawn = {each for each in self._withdrawn if each[1] not in present}

    def _is_there(self, voice: Voice) -> bool:
        return (voice.engine, voice.engine_voice.partition("/")[0]) not in self._withdrawn

    def _list(self) -> None:
        """Find out anew whose each id is."""
        heard = [voice for voices in self._heard.values() for voice in voices]
        listed = {voice.id.lower(): voice for voice in sorted(heard, key=_precedence, reverse=True)}
        if listed != self._voices:
            self._voices = listed
            self.listings += 1

    def voices(self) -> list[Voice]:
        """Return every voice, sorted by id."""
        return [self._voices[key] for key in sorted(self._voices)]

    def variants(self) -> list[Variant]:
        """Return every variant, sorted by engine and id."""
        return [self._variants[key] for key in sorted(self._variants)]

    def aliases(self) -> dict[str, str]:
        """Return the names that stand for voices, and the voices."""
        return dict(self._aliases)

    def lost_fallbacks(self) -> dict[str, str]:
        """Return the entries of `fallbacks` whose right side is no voice of `FALLBACK_ENGINE`."""
        named = {name: by for name, by in self._fallbacks.items() if by not in (AUTOMATIC, NOBODY)}
        return {name: by for name, by in sorted(named.items()) if self._of_fallback_engine(by) is None}

    def needless_fallbacks(self) -> list[str]:
        """Return the entries of `fallbacks` that are for a voice of `FALLBACK_ENGINE` itself."""
        return [name for name in sorted(self._fallbacks) if self._of_fallback_engine(name) is not None]

    def fallback_of(self, voice: Voice) -> Voice | None:
        """Return the voice of `FALLBACK_ENGINE` that may speak in the place of another.

        None where nobody has asked for that, or there is none of the voice's main language.
        """
        if voice.engine == FALLBACK_ENGINE:
            return None
        language = voice.languages[0] if voice.languages else ""
        return self._fallback(self._wished_for(voice.id.lower()), language)

    def fallback_of_absent(self, name: str, *, is_expected: bool) -> Voice | None:
        """Return the voice that may speak in the place of one that isn't there.

        Its language is what its id begins with, as in the ids that imports give. One that is to be imported
        needs no entry.

        Args:
            name: As a client has named it.
            is_expected: Whether it may be there soon; if not, it must be entered by its whole name.
        """
        voice_id = self._id_of(name)
        if self._is_coming(voice_id):
            wish = self._wished_for(voice_id, AUTOMATIC)
        elif is_expected:
            wish = self._wished_for(voice_id)
        else:
            wish = self._fallbacks.get(voice_id, NOBODY)
        return self._fallback(wish, voice_id)

    def speaker_of(self, name: str) -> Voice | None:
        """Return who speaks when a client asks for a name: its voice, or who does while that isn't there."""
        try:
            return self.resolve(name)
        except VoiceNotFoundError:
            return self.fallback_of_absent(name, is_expected=False)

    def of_language(self, tag: str) -> Voice | None:
        """Return who speaks for somebody who names only a language: the default voice, where that speaks it.

        Args:
            tag: In any case, with hyphens or underscores; None is returned where nobody speaks it.
        """
        tag = tag.strip().replace("_", "-").lower()
        default = self.speaker_of(self.default)
        if default is not None and tag in default.languages:
            return default
        others = (voice for voice in self.voices() if tag in voice.languages)
        return self._of_language(tag) or next(others, None)

    def resolve(self, voice_id: str) -> Voice:
        """Find the voice that a client means.

        Args:
            voice_id: A voice's id in any case, an alias, or either with `+variant` behind it.

        Raises:
            VoiceNotFoundError: No voice has this name.
        """
        name = self._id_of(voice_id)
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

    def _id_of(self, name: str) -> str:
        """Return the id that a client means by a name, in lower case; there needn't be such a voice."""
        name = name.strip().lower()
        return self._aliases.get(name, name).lower()

    def _is_coming(self, voice_id: str) -> bool:
        """Return whether a voice, or a speaker of one, is to be imported and isn't there yet."""
        return any(
            name not in self._voices and (voice_id == name or voice_id.startswith(f"{name}-"))
            for name in self._coming
        )

    def _wished_for(self, voice_id: str, otherwise: str = NOBODY) -> str:
        """Return what is entered for a voice: by its whole id, or else by the longest beginning of it."""
        if voice_id in self._fallbacks:
            return self._fallbacks[voice_id]
        beginnings = [name for name in self._fallbacks if name[-1:] == "*" and voice_id.startswith(name[:-1])]
        return self._fallbacks[max(beginnings, key=len)] if beginnings else otherwise

    def _fallback(self, wish: str, language: str) -> Voice | None:
        if wish == NOBODY:
            return None
        if wish == AUTOMATIC:
            return self._of_language(language.lower())
        return self._of_fallback_engine(wish)

    def _of_fallback_engine(self, name: str) -> Voice | None:
        try:
            voice = self.resolve(name)
        except VoiceNotFoundError:
            return None
        return voice if voice.engine == FALLBACK_ENGINE else None

    def _of_language(self, tag: str) -> Voice | None:
        """Return the voice for a language tag, or for the longest beginning of it that there is one for.

        Of several, the one that the tag is a name of; else the one whose file is called so, which is the
        language's own where the others are of regions; else the one with the shortest id.
        Source: the lookup of RFC 4647, section 3.4.
        """
        mine = [voice for voice in self._voices.values() if voice.engine == FALLBACK_ENGINE]
        while tag:
            if (named := self._of_fallback_engine(tag)) is not None:
                return named
            if speaking := [voice for voice in mine if tag in voice.languages]:
                files = {voice.id: voice.engine_voice.rpartition("/")[2].lower() for voice in speaking}
                return min(speaking, key=lambda voice: (files[voice.id] != tag, len(voice.id), voice.id))
            tag = tag.rpartition("-")[0]
        return None


def _precedence(voice: Voice) -> tuple[bool, str, str]:
    """Return what is least for the voice that has an id if several are called so.

    A hyphen sorts before the slash that ends a stored voice's id.
    """
    return voice.engine != FALLBACK_ENGINE, voice.engine_voice, voice.engine


@dataclass(frozen=True, slots=True)
class VoicesFile:
    """The tables of `config/voices.toml`; names of voices in lower case."""

    aliases: dict[str, str]
    """Name → voice id."""
    models: dict[str, str]
    """Name → description."""
    fallbacks: dict[str, str]
    """Voice id, alias, or the beginning of ids with `*` behind it → who speaks in its place."""


def read_voices_file(path: Path) -> VoicesFile:
    """Read the names that stand for voices and models, and who speaks for whom.

    Args:
        path: A TOML file with the tables of `VoicesFile`.

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
    names = [field.name for field in fields(VoicesFile)]
    found = {name: tables.pop(name, {}) for name in names}
    if tables or not all(_is_text_table(table) for table in found.values()):
        message = f"{path}: must hold the tables {', '.join(names)}, with texts, and nothing else"
        raise ConfigurationError(message)
    aliases, fallbacks = (
        {name.lower(): by for name, by in found[table].items()} for table in ("aliases", "fallbacks")
    )
    for name, by in fallbacks.items():
        if fault := _fault_of_fallback(name, by):
            message = f"{path}: fallbacks: {name[:80]!r} = {by[:80]!r}: {fault} (docs/operate/voices.md)"
            raise ConfigurationError(message)
    return VoicesFile(aliases, found["models"], fallbacks)


def _fault_of_fallback(name: str, by: str) -> str:
    """Say what is wrong with an entry, whatever voices there are; empty for nothing."""
    if not name.strip() or "*" in name[:-1]:
        return "on the left stands a voice's id, an alias, or the beginning of ids with * behind it"
    if "+" in name:
        return "on the left a variant, as espeak-ng's voices have them, has no fallback"
    if not by.strip() or "*" in by:
        return f"on the right stands a voice of espeak-ng, {AUTOMATIC!r} or {NOBODY!r}"
    return ""


def _is_text_table(table: object) -> bool:
    return isinstance(table, dict) and all(isinstance(value, str) for value in table.values())
