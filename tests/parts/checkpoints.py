"""Tiny models with random weights, and voices made of them by the real code."""

from pathlib import Path
from typing import Any, Final

from appliance.engines.vits.making.make import OnProgress, Wanted, make_voice
from appliance.engines.vits.making.verdict import Limits
from appliance.voice_store import VoiceManifest, VoiceStore
from loadtests.checkpoints import Kind, make_checkpoint

KINDS: Final = {
    "single": Kind(),
    "speakers": Kind(speakers=3),
    "vectors": Kind(speakers=3, has_vectors=True),
    "multilingual": Kind(speakers=2, languages=("en", "de", "fr-fr")),
    "phonemes": Kind(phoneme_language="en-us", cleaner="phoneme_cleaners"),
    "plain-durations": Kind(speakers=2, is_stochastic=False),
}
"""One of every way in which a VITS model can differ, by a name that can be a voice's id."""


def coquis_speaker(folder: Path, kind: str, number: int) -> dict[str, Any]:
    """Return what Coqui's own `inference` is told of a speaker, by Coqui's own list of them."""
    import torch

    told: dict[str, Any] = {"speaker_ids": None, "d_vectors": None}
    if KINDS[kind].has_vectors:
        from TTS.tts.utils.speakers import SpeakerManager

        manager = SpeakerManager(d_vectors_file_path=str(folder / "vectors.json"))
        name = sorted(manager.embedding_names)[number]
        vector = torch.tensor(manager.get_mean_embedding(name), dtype=torch.float32)
        return told | {"d_vectors": vector[None]}
    return told | ({"speaker_ids": torch.tensor([number])} if KINDS[kind].speakers else {})


DEFAULT_LIMITS: Final = Limits()


def make_tiny_voice(
    data_dir: Path,
    kind: str = "single",
    limits: Limits = DEFAULT_LIMITS,
    on_progress: OnProgress = lambda _stage, _done: None,
) -> VoiceManifest:
    """Make a checkpoint of a kind and import it into the store below `data_dir`; takes five seconds.

    For a shell: `python -c "from tests.parts.checkpoints import *; make_tiny_voice(Path('data'))"`.
    """
    source = make_checkpoint(data_dir / "checkpoints" / kind, KINDS[kind])
    return make_voice(source, VoiceStore(data_dir), Wanted(kind, f"Tiny {kind}"), limits, on_progress)
