"""How many workers each engine gets on this machine, and why.

Owns: the sizes of the pools that the settings leave to the appliance.
Refuses to know: how workers are started. The launcher asks once and hands the sizes to everybody, so that a
voice which is imported later, or another look at the memory, leaves no two programs of different opinions.

One worker speaks one utterance at a time. An engine that is much faster than speech needs as many as there
are cores; one that isn't, and speaks in windows, as many as there are listeners, since run grants keep them
from computing more windows than there are cores (docs/decisions/0023-sizes-of-pools.md).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from appliance.errors import ConfigurationError
from appliance.machine import available_cores, memory_bytes
from appliance.packages import HOW_TO_INSTALL, missing_packages
from appliance.settings import PREFIX, Settings
from appliance.voice_imports import missing_models
from appliance.voice_store import VoiceStore
from appliance.worker_settings import AUTO, LEAST_SIZES, MAX_WORKERS, POOLS

MB, MIB = 1_000_000, 1024 * 1024
OTHERS_BYTES = (109 + 93) * MIB
"""What all programs but the workers have for themselves. Source: docs/operate/capacity.md, "Memory"."""
FIRST_BYTES = {"vits": 83_000_000}
"""What the workers of an engine share. Source: decision 21, 158 MB for one less the 75 MB of its own."""
FULL_VOICE_BYTES = 72_000_000
"""The files of a full-size voice with an int8 decoder, which those two numbers have in them."""
VOICE_SHARE = 0.65
"""What a worker has for itself of each further byte of voices that it keeps loaded; the files are shared.
Source: decision 21; a second voice takes 0.43 of its files in int8 and 0.64 in fp32."""
WORKER_BYTES = {"espeak": 25 * MIB, "tone": 25 * MIB, "vits": 105_000_000, "coqui": 1_600_000_000}
"""What each worker has for itself while it speaks.

Source: docs/operate/capacity.md for espeak; decision 21 for vits; for coqui 300 characters of a full-size
VITS model with Coqui's own code, between the 1.2 GB measured for 150 and the 1.9 GB for 400.
"""
BY_NEED = ("tone", "vits", "espeak", "coqui")
"""Engines in the order in which they get memory: espeak's least is kept for it, and more than that it gets
behind the streams that are promised, as it serves many listeners with a few workers."""
OTHER_MODELS = re.compile(
    r"tacotron|glow|speedy|fast_?pitch|fast_?speech|delightful|align|overflow|hmm|capacitron|xtts|bark|tortoise"
)
"""In the last part of a Coqui model's name: it is no VITS. Names of VITS say it or not (`jenny`).
Source: coqui-tts, `TTS/.models.json` and the folders of `TTS/tts/models`."""
NEURAL = ("vits", "coqui")
"""Engines of which nobody has a voice until one is imported."""
SET = "as set"
"""The reason for a size that the operator has chosen."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the sizes follow from, besides the settings."""

    cores: int
    """Workers that compute at a time."""
    memory_bytes: int | None
    """Of this machine, or a limit; None where nobody says."""
    voiced: frozenset[str]
    """Neural engines of which a voice is imported, or about to be."""
    missing: Mapping[str, list[str]]
    """Engine → packages that it lacks."""
    voices: tuple[int, ...] = ()
    """Bytes of the files of each voice of the vits engine that is there, or about to be."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The workers of one engine."""

    engine: str
    size: int
    reason: str
    """Why so many, for a person."""
    is_short: bool = False
    """Whether somebody has to wait for that, or isn't served at all: it should be larger."""
    voice_bytes: int = 0
    """What each vits worker may come to keep loaded, by the voices' files."""


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The pools of every engine, those without workers too, and what they follow from."""

    cores: int
    memory_bytes: int | None
    pools: tuple[Pool, ...]

    def variables(self) -> dict[str, str]:
        """Return the environment by which programs have these sizes, whatever they find themselves."""
        return {f"{PREFIX}WORKERS_{pool.engine.upper()}": str(pool.size) for pool in self.pools}

    def applied_to(self, settings: Settings) -> Settings:
        """Return the settings with these sizes."""
        sizes = {pool.engine: pool.size for pool in self.pools}
        return settings.model_copy(update={"workers": settings.workers.model_copy(update=sizes)})


def look_at_machine(settings: Settings) -> Facts:
    """Return what there is now; blocks for the disk."""
    store = VoiceStore(settings.data.dir)
    # What a model becomes is known when it is there; nearly every VITS becomes a voice of the vits engine.
    kinds = [name.rpartition("/")[2] for name in missing_models(settings, store)]
    wanted = ["coqui" if OTHER_MODELS.search(kind.lower()) else "vits" for kind in kinds]
    manifests = store.manifests()
    stored = [each.size_bytes for each in manifests if each.engine == "vits"]
    return Facts(
        cores=settings.dispatch.cores or available_cores(),
        memory_bytes=memory_bytes(),
        voiced=frozenset({*(manifest.engine for manifest in manifests), *wanted}),
        missing={engine: missing_packages(engine) for engine in NEURAL},
        voices=(*stored, *[FULL_VOICE_BYTES] * wanted.count("vits")),
    )


def plan_pools(settings: Settings, facts: Facts) -> PoolPlan:
    """Choose the sizes that are left to the appliance.

    Raises:
        ConfigurationError: No engine would have a worker.
    """
    kept_bytes = pool_bytes(_least_espeak(settings))
    left_bytes = None if facts.memory_bytes is None else facts.memory_bytes - OTHERS_BYTES - kept_bytes
    found = {}
    for engine in BY_NEED:
        if left_bytes is not None and engine == "espeak":
            left_bytes += kept_bytes
        found[engine] = _plan(engine, settings, facts, left_bytes)
        if left_bytes is not None:
            left_bytes -= pool_bytes(found[engine])
    pools = tuple(found[engine] for engine in POOLS)
    if not any(pool.size for pool in pools):
        names = ", ".join(f"workers.{engine}" for engine in POOLS)
        why = "".join(f"; {pool.engine}: {pool.reason}" for pool in pools if pool.reason != SET)
        message = f"workers: every pool is empty; set at least one of {names}{why}"
        raise ConfigurationError(message)
    return PoolPlan(facts.cores, facts.memory_bytes, pools)


def kept_voice_bytes(settings: Settings, facts: Facts) -> int:
    """Return what a vits worker may come to keep loaded, by the voices' files, in bytes.

    The most that some of the voices have together within `vits.memory_bytes`, or the largest one, which is
    kept in any case; at least one of full size, as more of them may come while the appliance runs.
    """
    sums = {0}  # of some of the voices, in whole MB, so that they stay few
    for size_mb in (-(-size_bytes // MB) for size_bytes in facts.voices):
        sums |= {each + size_mb for each in sums if (each + size_mb) * MB <= settings.vits.memory_bytes}
    return max(FULL_VOICE_BYTES, max(sums) * MB, *facts.voices)


def pool_bytes(pool: Pool) -> int:
    """Return the memory that the workers of a pool take while they speak, in bytes."""
    if not pool.size:
        return 0
    first_bytes, worker_bytes = _parts(pool.engine, pool.voice_bytes)
    return first_bytes + pool.size * worker_bytes


def _parts(engine: str, voice_bytes: int) -> tuple[int, int]:
    """Return what the workers of an engine share, and what each of them has for itself, in bytes.

    Args:
        engine: Theirs.
        voice_bytes: What a vits worker keeps loaded.
    """
    further_bytes = max(0, voice_bytes - FULL_VOICE_BYTES) if engine == "vits" else 0
    own_bytes = WORKER_BYTES[engine] + int(VOICE_SHARE * further_bytes)
    return FIRST_BYTES.get(engine, 0) + further_bytes, own_bytes


def unserved(pools: Iterable[Pool], voiced: Container[str]) -> list[str]:
    """Return the engines that would have workers from a start now: their first voice has come since the last.

    Args:
        pools: Those of the appliance that runs.
        voiced: Neural engines of which a voice is stored now.
    """
    left_out = [pool for pool in pools if not pool.size and pool.reason != SET and not pool.is_short]
    return [pool.engine for pool in left_out if pool.engine in voiced]


def workers_hint(engines: Iterable[str]) -> str:
    """Return what to do for engines without workers, for a person."""
    named = list(engines)
    missing = sorted({package for engine in named for package in missing_packages(engine)})
    first = f"install {' and '.join(missing)} ({HOW_TO_INSTALL}), then " if missing else ""
    return f"{first}run ttsctl config apply once, so that it gets {' and '.join(named)} workers"


def _least_espeak(settings: Settings) -> Pool:
    """Return the workers that espeak gets whatever the others take."""
    size = settings.workers.espeak
    return Pool("espeak", LEAST_SIZES["espeak"] if size == AUTO else size, "the least")


def _plan(engine: str, settings: Settings, facts: Facts, left_bytes: int | None) -> Pool:
    size: int = getattr(settings.workers, engine)
    voice_bytes = kept_voice_bytes(settings, facts) if engine == "vits" else 0
    if size != AUTO:
        return Pool(engine, size, SET, voice_bytes=voice_bytes)
    if engine in NEURAL and engine not in facts.voiced:
        return Pool(engine, 0, "no voice is imported for it, nor named by voices.import")
    if missing := facts.missing.get(engine):
        reason = f"it has voices, but {', '.join(missing)} isn't installed; {HOW_TO_INSTALL}"
        return Pool(engine, 0, reason, is_short=True)
    wanted, reason = _wanted(engine, settings, facts)
    fitting = _fitting(engine, left_bytes, voice_bytes)
    if fitting >= wanted:
        return Pool(engine, wanted, reason, voice_bytes=voice_bytes)
    left_mb = max(0, left_bytes or 0) // MB
    room = f"memory has room for no more, with {left_mb:,} MB left for it; {wanted} would be {reason}"
    if voice_bytes > FULL_VOICE_BYTES:
        room += f"; each keeps {voice_bytes // MB} MB of voices loaded (vits.memory_bytes)"
    is_short = engine == "vits" or not fitting
    return Pool(engine, fitting, room, is_short, voice_bytes)


def _wanted(engine: str, settings: Settings, facts: Facts) -> tuple[int, str]:
    """Return how many workers an engine should have, whatever the memory, and why."""
    if engine == "vits":
        return settings.workers.streams, "as many as streams are promised (workers.streams)"
    least = LEAST_SIZES.get(engine, 1)
    if facts.cores < least:
        return least, "the least"
    return min(facts.cores, MAX_WORKERS), "as many as cores"


def _fitting(engine: str, left_bytes: int | None, voice_bytes: int) -> int:
    """Return for how many workers of an engine there is room; coqui alone may get none."""
    if left_bytes is None:
        return MAX_WORKERS
    first_bytes, worker_bytes = _parts(engine, voice_bytes)
    least = 0 if engine == "coqui" else LEAST_SIZES.get(engine, 1)
    return max(least, (left_bytes - first_bytes) // worker_bytes)
