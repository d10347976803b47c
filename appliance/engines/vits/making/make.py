"""Makes a voice of a model's folder: load, export, quantise, judge, put it into the store.

Owns: the order of the stages, their part in the whole, the manifest.
Refuses to know: where a model comes from, and who waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.engines.coqui.library import import_coqui
from appliance.engines.vits.making.description import file_record, language_tag, speakers, versions
from appliance.errors import VoiceConfigError
from appliance.voice_store import FrontEnd, VitsModel, VoiceManifest, VoiceStore

OnProgress = Callable[[str, float], None]
"""Takes the stage that begins, and how much of the whole is done, 0 to 1."""
STAGES = {"load": 0.0, "export": 0.1, "quantise": 0.3, "judge": 0.6, "store": 0.95}
"""Stage → the part of the time that has passed when it begins; full-size VITS on one core."""
CHECKPOINT = "checkpoint"
"""What a manifest calls the model where somebody gave a folder."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller says of the voice to be made."""

    id: str
    """The voice's id; `plain_id` makes one of any name."""
    name: str
    """For a person to read."""
    model: str = CHECKPOINT
    """Coqui's name of the model."""
    languages: tuple[str, ...] = ()
    """BCP 47 tags, the main one first, where the model's own config doesn't say them."""
    license: str = ""
    attribution: str = ""


def make_voice(source: Path, store: VoiceStore, wanted: Wanted, on_progress: OnProgress) -> VoiceManifest:
    """Make a voice and put it into the store; one of the same id is replaced.

    Blocks for seconds, or minutes at full size. Killed or failed, it leaves nothing but a folder that the
    next one removes; the store is unchanged until the voice is whole.

    Args:
        source: A folder with a VITS checkpoint and its `config.json`. Nothing outside of it is read.
        store: Where the voice goes.
        wanted: What can't be read in the model.
        on_progress: Called at the beginning of every stage, from this thread. What it raises ends the making.

    Raises:
        VoiceImportError: The class says what is wrong with the model.
        EngineFailedError: torch or Coqui can't be imported.
        OSError: The disk is full or can't be written.
    """
    on_progress("load", STAGES["load"])
    import_coqui()
    from appliance.engines.vits.making.characters import front_end
    from appliance.engines.vits.making.export import export_graphs
    from appliance.engines.vits.making.load import load_model

    loaded = load_model(source)
    reading = front_end(loaded.config, loaded.characters)
    with store.making() as folder:
        on_progress("export", STAGES["export"])
        export_graphs(loaded, folder)
        on_progress("store", STAGES["store"])
        manifest = _manifest(loaded, wanted, reading, folder)
        store.put(folder, manifest)
    on_progress("store", 1.0)
    return manifest


def _manifest(loaded: Any, wanted: Wanted, reading: FrontEnd, folder: Path) -> VoiceManifest:
    names = _languages(loaded, wanted)
    try:
        return VoiceManifest(
            id=wanted.id,
            name=wanted.name,
            engine="vits",
            model=wanted.model,
            languages=tuple(names),
            model_languages=names if loaded.languages else {},
            language_indexes={
                tag: loaded.languages.index(name) for tag, name in names.items() if loaded.languages
            },
            speakers=speakers(loaded.speakers),
            license=wanted.license,
            attribution=wanted.attribution,
            sample_rate_hz=loaded.config.audio.sample_rate,
            front_end=reading,
            vits=_vits_model(loaded),
            variant="fp32",
            versions=versions(),
            files={path.name: file_record(path) for path in sorted(folder.iterdir())},
        )
    except ValueError as error:
        raise VoiceConfigError(f"config.json: {str(error)[:300]}") from None


def _languages(loaded: Any, wanted: Wanted) -> dict[str, str]:
    """Return BCP 47 tag → Coqui's name, the main language first."""
    config = loaded.config
    if not loaded.languages and wanted.languages:
        return {tag: tag for tag in wanted.languages}
    names = [config.phoneme_language] if config.use_phonemes and config.phoneme_language else config.languages
    tags = {language_tag(name): name for name in reversed(loaded.languages or names)}
    first = [tag for tag in wanted.languages if tag in tags]
    return {tag: tags[tag] for tag in (*first, *reversed(tags))}


def _vits_model(loaded: Any) -> VitsModel:
    from appliance.engines.vits.making.decoder import decoder_reach_frames, flow_reach_frames

    args = loaded.config.model_args
    return VitsModel(
        hop_length=loaded.config.audio.hop_length,
        hidden_channels=args.hidden_channels,
        noise_scale=args.inference_noise_scale,
        duration_noise_scale=args.inference_noise_scale_dp,
        length_scale=args.length_scale,
        flow_overlap_frames=flow_reach_frames(loaded.model.flow),
        decoder_overlap_frames=decoder_reach_frames(loaded.model.waveform_decoder),
        has_stochastic_durations=args.use_sdp,
    )
