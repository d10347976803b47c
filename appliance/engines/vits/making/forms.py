"""Makes every form of a voice's decoder, has them judged, and keeps the chosen one.

Owns: the way from sentences to calibration windows and to held-out cases, and which files remain.
Refuses to know: how a form is quantised, and what is good enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from appliance.engines.vits.making.examples import Encode, Example, examples_of, in_windows
from appliance.engines.vits.making.export import FlowGraph, TextGraph
from appliance.engines.vits.making.graphs import open_graph, run, settle
from appliance.engines.vits.making.load import LoadedModel
from appliance.engines.vits.making.quality import WINDOW_FRAMES, Bench, Case
from appliance.engines.vits.making.quantise import FORMS, quantise
from appliance.engines.vits.making.texts import Texts, texts_for
from appliance.engines.vits.making.verdict import Limits, choose, judged_by
from appliance.engines.vits.windows import WindowPlan
from appliance.voice_store import VitsModel, VoiceManifest

CALIBRATION_FRAMES = 24
"""Length of a calibration window, without context. 50 frames take 0.6 GB while ranges are sought."""
MAX_CALIBRATION_WINDOWS = 24
"""Of full size, each takes 0.5 s of CPU."""
MAX_LANGUAGES = 4
"""A model with more is calibrated and judged in the first ones."""
DECODER = "decoder.onnx"
MADE_UP = "random symbols of the voice's own, as it can hardly read sentences that are here"
OnStage = Callable[[str, float], None]
"""Takes the stage, and how much of it is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a voice has said, for its forms to be made and judged. With it the model isn't needed any more."""

    calibration: list[dict[str, Any]]
    """Inputs of the decoder."""
    bench: Bench
    notes: tuple[str, ...]
    """A sentence for each language that has none of its own."""


def speak(loaded: LoadedModel, described: VoiceManifest, encode: Encode, folder: Path) -> Spoken:
    """Have the model and the exported graphs speak the sentences of the voice's languages.

    Blocks for seconds, or a quarter of a minute at full size.

    Args:
        loaded: The model.
        described: What is known of the voice so far.
        encode: The voice's own front end.
        folder: Holds the three graphs as exported.
    """
    speech = _Speech(loaded, described, encode, folder)
    heard, held_out = speech.examples(is_held_out=False), speech.examples(is_held_out=True)
    calibration = speech.windows(heard)
    cases = [speech.case(example) for example in held_out]
    vits = speech.vits
    bench = Bench(cases, vits.decoder_overlap_frames, described.sample_rate_hz, vits.hop_length)
    return Spoken(calibration, bench, speech.notes([*heard, *held_out]))


def choose_form(spoken: Spoken, folder: Path, limits: Limits, on_stage: OnStage) -> dict[str, Any]:
    """Replace the folder's decoder by the form that is taken of those that sound like the model.

    Blocks for seconds, or two minutes at full size.

    Args:
        spoken: Of `speak`.
        folder: Holds the three graphs as exported.
        limits: What a form must hold.
        on_stage: Called before each piece of work.

    Returns:
        The manifest's `variant`, `reasons` and `figures`.

    Raises:
        VoiceQualityError: Not even fp32 sounds like the model.
    """
    forms = [form for form in FORMS if form.name in limits.forms]
    paths = {
        form.name: folder / (f"decoder-{form.name}.onnx" if form.operations else DECODER) for form in forms
    }
    for number, form in enumerate(form for form in forms if form.operations):
        on_stage("quantise", number / len(forms))
        quantise(folder / DECODER, paths[form.name], form, spoken.calibration)
    on_stage("judge", 0.0)
    decoders = {name: open_graph(path) for name, path in paths.items()}
    measured = spoken.bench.measure(decoders, lambda done: on_stage("judge", done))
    chosen, reasons = choose(measured, limits, spoken.notes)
    _keep(chosen, paths, folder)
    figures = {key: value for entry in measured for key, value in entry.figures().items()}
    return {"variant": chosen, "reasons": reasons, "figures": figures}


def _keep(chosen: str, paths: dict[str, Path], folder: Path) -> None:
    """Leave the chosen decoder under its name, and no other; have all graphs settled."""
    for name in ("text.onnx", "flow.onnx"):
        settle(folder / name, folder / name)
    kept = folder / DECODER
    settle(paths.pop(chosen), kept)
    for path in set(paths.values()) - {kept}:
        path.unlink()
        path.with_name(f"{path.name}.data").unlink(missing_ok=True)


class _Speech:
    """Speaks examples with the exported graphs, and with the model itself."""

    def __init__(self, loaded: LoadedModel, described: VoiceManifest, encode: Encode, folder: Path) -> None:
        if described.vits is None or described.front_end is None:
            raise AssertionError("a VITS voice has both")
        self._loaded, self._described, self._encode = loaded, described, encode
        self.vits: VitsModel = described.vits
        self._reading = described.front_end
        self._text, self._flow = (open_graph(folder / f"{name}.onnx") for name in ("text", "flow"))

    def examples(self, *, is_held_out: bool) -> list[Example]:
        """Return the sentences of each of the voice's languages as examples."""
        sentences: list[tuple[str, str | None]] = []
        for name, _, texts in self._texts():
            sentences += [(text, name) for text in (texts.held_out if is_held_out else texts.calibration)]
        speakers = len(self._loaded.speakers)
        return examples_of(sentences, self._encode, self._reading, speakers, self._loaded.languages)

    def notes(self, examples: list[Example]) -> tuple[str, ...]:
        """Say of each language whose examples aren't sentences of it what they are."""
        made_up = {example.language for example in examples if example.is_made_up}
        found = []
        for number, (name, tag, texts) in enumerate(self._texts()):
            is_made_up = (self._loaded.languages.index(name) if name else number) in made_up
            if origin := MADE_UP if is_made_up else texts.origin:
                found.append(judged_by(tag, origin))
        return tuple(found)

    def _texts(self) -> list[tuple[str | None, str, Texts]]:
        """Return the languages that are spoken: Coqui's name where the model takes one, tag, sentences."""
        names = self._loaded.languages[:MAX_LANGUAGES] or (None,)
        tags = {name: tag for tag, name in self._described.model_languages.items()}
        main, tested_with = self._described.languages[0], self._loaded.config.test_sentences or ()
        spoken = [(name, tags.get(name, main) if name else main) for name in names]
        return [(name, tag, texts_for(tag, tested_with)) for name, tag in spoken]

    def windows(self, examples: list[Example]) -> list[dict[str, Any]]:
        """Return windows of decoder frames from everywhere in the examples, as the decoder's inputs."""
        found = []
        for example in examples:
            m, logs, logw = run(self._text, **example.text_inputs(self.vits))
            frames = self._frames(example, m, logs, example.durations(logw, self.vits))
            pieces = np.split(frames, range(CALIBRATION_FRAMES, frames.shape[2], CALIBRATION_FRAMES), axis=2)
            speaker = {"speaker": np.array([example.speaker])} if self._loaded.speakers else {}
            whole = speaker | {"trim": np.array([0, 0])}
            found += [{"z": np.ascontiguousarray(piece)} | whole for piece in pieces]
        step = max(1, -(-len(found) // MAX_CALIBRATION_WINDOWS))
        return found[::step]

    def case(self, example: Example) -> Case:
        """Speak a held-out example with the model, and make its frames with the graphs.

        Both get the same noise and the model's durations: a duration that is rounded the other way would move
        everything behind it, which can't be heard and would be measured.
        """
        inputs = example.text_inputs(self.vits)
        with torch.inference_mode():
            given = {name: torch.from_numpy(value) for name, value in inputs.items()}
            m, logs, logw = (found.numpy() for found in TextGraph(self._loaded)(**given))
            durations = example.durations(logw, self.vits)
            z_p = torch.from_numpy(example.prior(m, logs, durations, self.vits))
            audio = self._decode(FlowGraph(self._loaded)(z_p, given["speaker"]).numpy(), given["speaker"])
        m, logs, _ = run(self._text, **inputs)
        return Case(self._frames(example, m, logs, durations), example.speaker, audio)

    def _decode(self, z: Any, speaker: Any) -> Any:
        """Return the audio of the model's own decoder, in windows, since it needs 200 MB for a second."""
        vits, model = self.vits, self._loaded.model
        voice = model.emb_g(speaker).unsqueeze(-1) if self._loaded.speakers else None
        plan = WindowPlan(WINDOW_FRAMES, WINDOW_FRAMES, 0, vits.decoder_overlap_frames)

        def decode(window: Any, trim: tuple[int, int]) -> Any:
            before, behind = (frames * vits.hop_length for frames in trim)
            audio = model.waveform_decoder(torch.from_numpy(window), g=voice).numpy()
            return audio[..., before : audio.shape[-1] - behind]

        return in_windows(z, plan, decode)

    def _frames(self, example: Example, m: Any, logs: Any, durations: Any) -> Any:
        z_p = example.prior(m, logs, durations, self.vits)
        return run(self._flow, z_p=z_p, speaker=np.array([example.speaker]))[0]
