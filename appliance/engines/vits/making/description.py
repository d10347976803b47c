"""Turns what a model says of itself into the fields of `voice.json`.

Owns: tags of languages, ids of speakers, hashes, versions.
Refuses to know: how a voice is made and stored.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path

from appliance.voice_settings import plain_id
from appliance.voice_store import MAX_SPEAKER_NAME_CHARS, Speaker

PACKAGES = ("coqui-tts", "torch", "onnx", "onnxruntime")
LANGUAGE_NAME = re.compile(
    r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|\d{3}))?(?:[-_][A-Za-z0-9]+)*", re.ASCII
)
"""Language, script and region; what stands behind them, whole parts only, is left away."""
ODD_NAMES = {
    "ewe": "ee",
    "hau": "ha",
    "lin": "ln",
    "tw-akuapem": "tw-akuapem",
    "tw-asante": "tw-asante",
    "yor": "yo",
}
"""Names in Coqui's list that the rules don't fit, lower-case with hyphens → tag. Source: the IANA registry of
language subtags: a language with two letters is called by them; the last parts of Twi's are variants."""
UNKNOWN_LANGUAGE = "und"


def language_tag(name: str) -> str:
    """Return the BCP 47 tag for Coqui's or espeak's name of a language, as in `fr-fr` → `fr-FR`.

    A name that has another form, such as `Polish`, is `UNKNOWN_LANGUAGE`.

    Source: RFC 5646 section 2.1.1 for the case of the parts.
    """
    odd = ODD_NAMES.get(name.strip().lower().replace("_", "-"))
    if odd is not None:
        return odd
    found = LANGUAGE_NAME.fullmatch(name.strip())
    if found is None:
        return UNKNOWN_LANGUAGE
    language, script, region = found.groups()
    return "-".join(filter(None, (language.lower(), script and script.title(), region and region.upper())))


def speakers(names: Iterable[str]) -> tuple[Speaker, ...]:
    """Give every speaker an id that can stand in a URL, made of its name, each different."""
    taken: set[str] = set()
    made = []
    for index, name in enumerate(names):
        plain = speaker_id = plain_id(name) or f"speaker-{index}"
        numbers = count(index)
        while speaker_id in taken:
            speaker_id = f"{plain}-{next(numbers)}"
        taken.add(speaker_id)
        shown = name.strip()[:MAX_SPEAKER_NAME_CHARS] or speaker_id
        made.append(
            Speaker(id=speaker_id, name=shown, index=index, model_name=None if shown == name else name)
        )
    return tuple(made)


def versions() -> dict[str, str]:
    """Return what makes a voice here: package → version, and the processor."""
    found = {"cpu": cpu_name()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpu_name() -> str:
    """Return the processor's name as Linux gives it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0][:100] if names else platform.machine()
