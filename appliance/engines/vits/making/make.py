"""Makes a voice of a model's folder: load, export, quantise, judge, put it into the store.

Owns: the order of the stages, their part in the whole, the manifest.
Refuses to know: where a model comes from, and who waits for it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.engines.coqui.library import import_coqui
from appliance.engines.vits.free_memory import give_memory_back
from appliance.engines.vits.making.description import language_tag, speakers, versions
from appliance.engines.vits.making.refusals import config_error
from appliance.engines.vits.making.verdict import Limits
from appliance.errors import EngineFailedError, NothingToSpeakError
from appliance.packages import HOW_TO_INSTALL, MAKER, missing_packages
from appliance.voice_store import FileRecord, FrontEnd, VitsModel, VoiceManifest, VoiceStore

OnProgress = Callable[[str, float], None]
"""Takes the stage and how much of the whole is done, 0 to 1; ends with `done` and 1."""
STAGES = {
    "load": 0.0,
    "export": 0.1,
    "speak": 0.2,
    "quantise": 0.25,
    "judge": 0.4,
    "store": 0.99,
    "done": 1.0,
}
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


def require_packages() -> None:
    """See that everything is installed that making a voice takes; 2 s of CPU.

    Raises:
        EngineFailedError: Something isn't, or can't be imported.
    """
    import_coqui()
    if missing := missing_packages(MAKER):
        raise EngineFailedError(f"{', '.join(missing)} can't be imported; {HOW_TO_INSTALL}")


def make_voice(
    source: Path, store: VoiceStore, wanted: Wanted, limits: Limits, on_progress: OnProgress
) -> VoiceManifest:
    """Make a voice and put it into the store; one of the same id is replaced.

    Blocks for seconds, or minutes at full size. Killed or failed, it leaves nothing but a folder that the
    next one removes; the store is unchanged until the voice is whole.

    Args:
        source: A folder with a VITS checkpoint and its `config.json`. Nothing outside of it is read.
        store: Where the voice goes.
        wanted: What can't be read in the model.
        limits: What the voice must hold to be taken.
        on_progress: Called about ten times, from this thread. What it raises ends the making.

    Raises:
        VoiceImportError: The class says what is wrong with the model.
        EngineFailedError: torch or Coqui can't be imported.
        OSError: The disk is full or can't be written.
    """
    progress = _Progress(on_progress)
    progress("load")
    import_coqui()
    with store.making() as folder:
        manifest = _make(source, folder, wanted, limits, progress)
        progress("store")
        files = {path.name: FileRecord.of(path) for path in sorted(folder.iterdir())}
        manifest = manifest.model_copy(update={"versions": versions(), "files": files})
        store.put(folder, manifest)
    progress("done")
    return manifest


def _make(source: Path, folder: Path, wanted: Wanted, limits: Limits, progress: _Progress) -> VoiceManifest:
    """Make the voice's files in a folder, and the manifest as far as it doesn't describe them."""
    from appliance.engines.vits.making.characters import front_end
    from appliance.engines.vits.making.export import export_graphs
    from appliance.engines.vits.making.forms import choose_form, speak
    from appliance.engines.vits.making.load import load_model

    loaded = load_model(source)
    reading = front_end(loaded.config, loaded.characters)
    manifest = _described(loaded, wanted, reading)
    encode = _encoder(reading, manifest.languages[0])
    _drop_and_give_back()
    progress("export")
    export_graphs(loaded, folder)
    _drop_and_give_back()
    progress("speak")
    spoken = speak(loaded, manifest, encode, folder)
    del loaded
    _drop_and_give_back()
    return manifest.model_copy(update=choose_form(spoken, folder, limits, progress))


class _Progress:
    """Turns a stage and how much of it is done into a part of the whole."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress

    def __call__(self, stage: str, done: float = 0.0) -> None:
        begins = STAGES[stage]
        ends = min((begin for begin in STAGES.values() if begin > begins), default=1.0)
        self._on_progress(stage, begins + done * (ends - begins))


def _drop_and_give_back() -> None:
    """Hand what nobody refers to any more to the system: after speaking, 0.3 GB of full-size tensors."""
    gc.collect()
    give_memory_back()


def _encoder(reading: FrontEnd, said_language: str) -> Callable[[str, str | None], Sequence[int]]:
    """Return the voice's own way from text to ids, the one with which it will be spoken."""
    from appliance.engines.vits.front_end.phonemes import EspeakPhonemizer
    from appliance.engines.vits.front_end.tokenizer import Tokenizer

    tokenizer = Tokenizer(reading, EspeakPhonemizer(), said_language)

    def encode(text: str, language: str | None) -> Sequence[int]:
        try:
            return tokenizer.encode(text, language).ids
        except NothingToSpeakError:
            return ()

    return encode


def _described(loaded: Any, wanted: Wanted, reading: FrontEnd) -> VoiceManifest:
    """Return the manifest as far as the model and the caller say it."""
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
        )
    except ValueError as error:
        raise config_error(error) from None


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
    )
