"""Tiny voices that Coqui itself speaks, made by the real import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from appliance.engines.vits.making.make import Wanted
from appliance.voice_store import VoiceManifest, VoiceStore
from loadtests.checkpoints import Kind, make_checkpoint
from loadtests.coqui_checkpoints import make_glow_tts, make_tacotron2, make_xtts


def make_vits(folder: Path) -> Path:
    """A model with two speakers and three languages."""
    return make_checkpoint(folder, Kind(speakers=2, languages=("en", "de", "fr-fr")))


MAKERS: dict[str, Callable[[Path], Path]] = {
    "fairseq-vits": make_vits,  # a name that Coqui would take for another format, were it in a path
    "glow": make_glow_tts,
    "tacotron2": make_tacotron2,
    "xtts": make_xtts,
}
"""Id of a voice → what makes its model."""


def make_coqui_voice_of(data_dir: Path, voice_id: str) -> VoiceManifest:
    """Make a model and import it into the store below `data_dir`; takes some seconds."""
    from appliance.engines.vits.making.with_coqui import make_coqui_voice

    source = MAKERS[voice_id](data_dir / "models" / voice_id)
    wanted = Wanted(voice_id, f"Tiny {voice_id}")
    reasons = ("It isn't VITS.",)
    return make_coqui_voice(source, VoiceStore(data_dir), wanted, lambda *_: None, reasons=reasons)


def make_coqui_voices(data_dir: Path) -> None:
    """Make a voice of every kind below `data_dir`; takes half a minute."""
    for voice_id in MAKERS:
        make_coqui_voice_of(data_dir, voice_id)
