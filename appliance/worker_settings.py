"""The settings of workers: how many each engine has, and when one counts as hung or is replaced.

Owns: the section's fields and bounds.
Refuses to know: where values come from (`settings`), and who judges a worker by them.
"""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from appliance.engine_settings import Section

AUTO = -1
"""The size of a pool that is left to the appliance."""
MAX_WORKERS = 64
"""Of one engine."""
POOLS = ("espeak", "tone", "vits", "coqui")
"""Engines that can have workers, each a setting of its name."""
LEAST_SIZES = {"espeak": 2}
"""Of pools that are left to the appliance; one worker speaks on while another is replaced."""
SILENCE_HEARTBEATS = 2
"""With less, a heartbeat that comes a little late already counts as a hang."""


def checked_silence(section: str, value: float, info: ValidationInfo) -> float:
    """Refuse a silence in which a healthy process has no time to beat."""
    heartbeat_s = info.data.get("heartbeat_s")  # missing if it is wrong itself
    if heartbeat_s is not None and value < SILENCE_HEARTBEATS * heartbeat_s:
        bound_s = SILENCE_HEARTBEATS * heartbeat_s
        message = f"must be at least {bound_s:g}, two heartbeats ({section}.heartbeat_s = {heartbeat_s:g})"
        raise ValueError(message)
    return value


class WorkersSettings(Section):
    """How many workers each engine has, when one counts as hung, and when one is replaced."""

    espeak: int = Field(
        AUTO, ge=AUTO, le=MAX_WORKERS, description="Workers with the espeak engine; -1 as many as cores."
    )
    tone: int = Field(0, ge=0, le=MAX_WORKERS, description="Workers with the tone engine.")
    vits: int = Field(
        AUTO,
        ge=AUTO,
        le=MAX_WORKERS,
        description="Workers with the vits engine; -1 for `streams`, where a voice is imported.",
    )
    coqui: int = Field(
        AUTO,
        ge=AUTO,
        le=MAX_WORKERS,
        description="Workers with the coqui engine; -1 as many as cores, where a voice needs it.",
    )
    streams: int = Field(
        4,
        ge=1,
        le=MAX_WORKERS,
        description="Listeners to vits voices that nobody makes wait for a worker, as far as memory goes.",
    )
    heartbeat_s: float = Field(0.25, ge=0.05, le=10, description="Seconds between two heartbeats.")
    silence_s: float = Field(
        1.0, ge=0.2, le=60, description="Seconds without heartbeat that mean hung; two heartbeats or more."
    )
    progress_s: float = Field(5.0, ge=0.5, le=600, description="Least seconds without audio that mean hung.")
    vits_progress_s: float = Field(
        10.0, ge=0.5, le=600, description="The same for vits workers, which may have to load a voice first."
    )
    coqui_progress_s: float = Field(
        60.0, ge=0.5, le=3600, description="The same for coqui workers, which compute whole utterances."
    )
    cancel_s: float = Field(
        2.0, ge=0.1, le=60, description="Seconds a cancelled worker has before it is killed."
    )
    warm_up_s: float = Field(
        120.0, ge=0.1, le=3600, description="Seconds an engine has to get warm before its worker ends."
    )
    recycle_rss_bytes: int = Field(
        268_435_456,
        ge=0,
        le=1_099_511_627_776,
        description="Memory of its own, without mapped files, that ends a worker; 0 never.",
    )
    coqui_recycle_rss_bytes: int = Field(
        4_294_967_296,
        ge=0,
        le=1_099_511_627_776,
        description="The same for coqui workers, whose models are memory of their own.",
    )
    recycle_utterances: int = Field(
        0, ge=0, le=1_000_000_000, description="Utterances that end a worker, 10 % more or less; 0 never."
    )

    def pool_sizes(self) -> dict[str, int]:
        """Return the number of workers of each engine that has any.

        A size that is left to the appliance, and that nobody has chosen yet (`appliance.pools`), is the least
        that it may become.
        """
        sizes = {engine: getattr(self, engine) for engine in POOLS}
        least = {
            engine: LEAST_SIZES.get(engine, 0) if size == AUTO else size for engine, size in sizes.items()
        }
        return {engine: size for engine, size in least.items() if size}

    def least_progress_s(self, engine: str) -> float:
        """Return the seconds without audio that an engine may always take, whatever it speaks."""
        least_s = {"vits": self.vits_progress_s, "coqui": self.coqui_progress_s}
        return least_s.get(engine, self.progress_s)

    def recycle_bytes(self, engine: str) -> int:
        """Return the memory that ends a worker of an engine, in bytes; 0 for none."""
        return self.coqui_recycle_rss_bytes if engine == "coqui" else self.recycle_rss_bytes

    @field_validator("silence_s")
    @classmethod
    def _spans_heartbeats(cls, value: float, info: ValidationInfo) -> float:
        return checked_silence("workers", value, info)
