"""One imported VITS voice in memory: three graphs, run one after the other, the last two in windows.

Owns: the onnxruntime sessions, the arithmetic between the graphs, what the graphs' inputs are called.
Refuses to know: text, int16, grants, where voices lie and when they are dropped.

    ids --> text graph --> m, logs, logw
                            |     |     |  durations: how many model frames each token gets
                            v     v     v
                 z_p = m + noise * exp(logs), each token as often as it has frames
                            |
                            v  in windows
                       flow graph --> z --> decoder graph --> wav

Source: Kim et al. 2021, "Conditional Variational Autoencoder with Adversarial Learning for End-to-End
Text-to-Speech", section 2 and its inference; the cut into three graphs, and that randomness is an input of
them, is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from appliance.engines.vits.noise import FloatArray, Noise
from appliance.engines.vits.windows import Window, WindowPlan
from appliance.errors import EngineFailedError
from appliance.voice_store import VitsModel

TEXT_GRAPH, FLOW_GRAPH, DECODER_GRAPH = "text.onnx", "flow.onnx", "decoder.onnx"
_MUST_HAVE = {TEXT_GRAPH: {"ids"}, FLOW_GRAPH: {"z_p"}, DECODER_GRAPH: {"z", "trim"}}
_MAY_HAVE = {
    TEXT_GRAPH: {"noise", "speaker", "language"},
    FLOW_GRAPH: {"speaker"},
    DECODER_GRAPH: {"speaker"},
}
_FATAL = 4
"""Of onnxruntime's own log only what ends the process: its warnings go to stderr as they are, and what fails
is raised as well. Source: onnxruntime's `OrtLoggingLevel`."""

IntArray: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a voice speaks in one go."""

    ids: Sequence[int]
    """Token ids as the front end made them, at least one."""
    speaker: int = 0
    """The speaker's index; without meaning where the voice has one."""
    language: int = 0
    """Likewise the language's."""
    slowness: float = 1.0
    """Factor of the normal duration, above 0."""
    noise_scale: float | None = None
    """Factor of the noise that colours the sound, at least 0; None for the voice's own."""
    duration_noise_scale: float | None = None
    """Likewise of the noise that durations vary by; without meaning where the voice's durations don't."""


class VitsVoice:
    """A voice whose graphs are loaded. One thread at a time; nothing is to be closed."""

    def __init__(self, folder: Path, model: VitsModel, threads: int) -> None:
        """Load the graphs; blocks for some 0.3 s with a full-size voice.

        Weights that lie beside a graph are mapped, not read: all processes share them.

        Args:
            folder: Where `TEXT_GRAPH` and the others lie, with their weights.
            model: What the voice's manifest says of it.
            threads: How many compute a graph.

        Raises:
            EngineFailedError: A graph is missing, broken or another's.
        """
        self.model = model
        self._text = _Graph(folder, TEXT_GRAPH, threads)
        self._flow = _Graph(folder, FLOW_GRAPH, threads)
        self._decoder = _Graph(folder, DECODER_GRAPH, threads)

    def begin(self, sentence: Sentence, noise: Noise, max_frames: int) -> Speech:
        """Compute how long each token sounds; blocks for the text graph.

        Args:
            sentence: What to speak.
            noise: Used up by the speech; the same noise gives the same audio.
            max_frames: Model frames that the sentence may have. What would have more is spoken faster.

        Raises:
            EngineFailedError: Even one frame for each token is more than that, or the graph failed.
        """
        ids = np.asarray([sentence.ids], np.int64)
        tokens = len(sentence.ids)
        scale, duration_scale = self._noise_scales(sentence)
        m, logs, logw = self._text.run(
            ids=ids,
            noise=noise.durations(tokens) * duration_scale,
            speaker=np.asarray([sentence.speaker], np.int64),
            language=np.asarray([sentence.language], np.int64),
        )
        usual = count_frames(logw[0, 0], self.model.length_scale)
        frames = spread_frames(usual, sentence.slowness, max_frames)
        return Speech(self, sentence, frames, _Latents(m[0], logs[0], frames, noise, scale))

    def _noise_scales(self, sentence: Sentence) -> tuple[np.float32, np.float32]:
        """Return the factors of the noise for the sound and for the durations."""
        scale, duration_scale = sentence.noise_scale, sentence.duration_noise_scale
        return (
            np.float32(self.model.noise_scale if scale is None else scale),
            np.float32(self.model.duration_noise_scale if duration_scale is None else duration_scale),
        )

    def flow(self, z_p: FloatArray, speaker: int) -> FloatArray:
        """Run the flow over model frames, shape (channels, frames) in and out; blocks.

        Raises:
            EngineFailedError: The graph failed.
        """
        (z,) = self._flow.run(z_p=_batch_of(z_p), speaker=np.asarray([speaker], np.int64))
        return z[0]

    def decode(self, z: FloatArray, trim: tuple[int, int], speaker: int) -> FloatArray:
        """Run the decoder over model frames, shape (channels, frames); return samples. Blocks.

        Args:
            z: With as many frames around those that are wanted as the decoder can look.
            trim: How many of them come before, and behind; their audio isn't returned.
            speaker: The speaker's index.

        Raises:
            EngineFailedError: The graph failed.
        """
        (wav,) = self._decoder.run(
            z=_batch_of(z), speaker=np.asarray([speaker], np.int64), trim=np.asarray(trim, np.int64)
        )
        return wav.reshape(-1)


class Speech:
    """A sentence under way: its durations are known, its audio is made window by window."""

    def __init__(self, voice: VitsVoice, sentence: Sentence, frames: IntArray, latents: _Latents) -> None:
        """Take what `VitsVoice.begin` found.

        Args:
            voice: Who speaks.
            sentence: What is spoken.
            frames: Model frames of each token, at least one each.
            latents: What the flow gets.
        """
        self._voice = voice
        self._speaker = sentence.speaker
        self._latents = latents
        self._begins = np.concatenate(([0], np.cumsum(frames)))

    @property
    def total_frames(self) -> int:
        """Model frames of the whole sentence."""
        return int(self._begins[-1])

    def token_starts(self) -> list[int]:
        """Return the PCM frame with which each token begins, and behind the last the one where all ends."""
        return [int(begin) * self._voice.model.hop_length for begin in self._begins]

    def windows(self, first_frames: int, max_frames: int) -> Iterator[FloatArray]:
        """Compute the audio, a window at a time; blocks for each. Stopping early is free.

        Args:
            first_frames: Model frames of the first window.
            max_frames: Model frames to which windows grow.

        Yields:
            Samples, usually within −1 to 1, `hop_length` for each model frame. All windows together equal
            one run over everything.

        Raises:
            EngineFailedError: A graph failed.
        """
        model = self._voice.model
        plan = WindowPlan(first_frames, max_frames, model.flow_overlap_frames, model.decoder_overlap_frames)
        z: FloatArray = np.empty((model.hidden_channels, self.total_frames), np.float32)
        for window in plan.windows(self.total_frames):
            yield self._window(window, z)

    def _window(self, window: Window, z: FloatArray) -> FloatArray:
        """Return the window's samples; fills in what of `z` it needs."""
        flow, source = window.flow, window.flow_input
        if flow.frames:
            made = self._voice.flow(self._latents.upto(source.end)[:, source.start :], self._speaker)
            z[:, flow.start : flow.end] = made[:, flow.start - source.start : flow.end - source.start]
        seen = window.decoder_input
        return self._voice.decode(z[:, seen.start : seen.end], window.trim, self._speaker)


class _Latents:
    """z_p: made as far as it is needed: a first sound doesn't wait for the rest of a long sentence."""

    def __init__(
        self, m: FloatArray, logs: FloatArray, frames: IntArray, noise: Noise, noise_scale: np.float32
    ) -> None:
        self._m, self._logs = m, logs
        self._token_of: IntArray = np.repeat(np.arange(len(frames)), frames)
        self._noise = noise
        self._noise_scale = noise_scale
        self._z_p: FloatArray = np.empty((len(m), len(self._token_of)), np.float32)
        self._made = 0

    def upto(self, end: int) -> FloatArray:
        """Return the model frames before `end`, shape (channels, frames)."""
        if end > self._made:
            tokens = self._token_of[self._made : end]
            noise = self._noise.frames(len(tokens), len(self._z_p))
            spread = np.exp(self._logs[:, tokens]) * self._noise_scale
            self._z_p[:, self._made : end] = self._m[:, tokens] + noise * spread
            self._made = end
        return self._z_p[:, :end]


class _Graph:
    """One graph in an onnxruntime session."""

    def __init__(self, folder: Path, name: str, threads: int) -> None:
        try:
            self._session: Any = ort.InferenceSession(
                folder / name, _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime's own classes have no other root, and their messages name places of this machine.
            raise EngineFailedError(f"{name} can't be loaded: {type(error).__name__}") from error
        self._name = name
        self._inputs = {value.name for value in self._session.get_inputs()}
        if not _MUST_HAVE[name] <= self._inputs <= _MUST_HAVE[name] | _MAY_HAVE[name]:
            raise EngineFailedError(f"{name} has other inputs than a {name.partition('.')[0]} graph")

    def run(self, **inputs: npt.NDArray[Any]) -> list[FloatArray]:
        """Compute the outputs; inputs that this graph hasn't are left out."""
        known = {name: value for name, value in inputs.items() if name in self._inputs}
        try:
            outputs: list[FloatArray] = self._session.run(None, known)
        except Exception as error:
            raise EngineFailedError(f"{self._name} failed: {type(error).__name__}") from error
        return outputs


def count_frames(logw: FloatArray, length_scale: float) -> IntArray:
    """Return how many model frames each token gets at normal speed, at least one.

    Source: Coqui's VITS inference rounds exp(logw) × length_scale up.

    Args:
        logw: Logarithm of the durations, shape (tokens,).
        length_scale: The voice's own factor.

    Raises:
        EngineFailedError: A duration isn't a number.
    """
    if not np.isfinite(logw).all():
        raise EngineFailedError("The voice gave durations that are no numbers")
    # e^20 frames are months; without the bound a broken voice would overflow.
    frames = np.ceil(np.exp(np.minimum(logw, np.float32(20))) * np.float32(length_scale))
    return np.maximum(frames, 1).astype(np.int64)


def spread_frames(usual: IntArray, slowness: float, max_frames: int) -> IntArray:
    """Return how many model frames each token gets at another speed, at least one.

    Each keeps one frame, and what it has beyond that is shortened or lengthened so that the sum is right:
    twice the speed is half the time, down to one frame a token. What is rounded never adds up.

    Args:
        usual: Model frames at normal speed, at least one each, shape (tokens,).
        slowness: Factor of the normal duration.
        max_frames: In all; what would have more is spoken faster.

    Raises:
        EngineFailedError: There are more tokens than that.
    """
    tokens, total = len(usual), int(usual.sum())
    if tokens > max_frames:
        raise EngineFailedError("The text is too long for one utterance")
    wanted = max(tokens, min(round(total * slowness), max_frames))
    if wanted == total:
        return usual
    spare = np.cumsum(usual - 1)
    if not spare[-1]:
        spare = np.arange(1, tokens + 1)
    ends = np.rint(spare * ((wanted - tokens) / spare[-1])).astype(np.int64)
    spread: IntArray = 1 + np.diff(ends, prepend=0)
    return spread


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # The arena never gives anything back, and isn't faster. Prepacking stays on: without it nothing is saved
    # while it speaks, and the decoder takes 10 % longer. Source: docs/decisions/0021-memory-of-a-voice.md
    options.enable_cpu_mem_arena = False
    # A thread that spins takes the core from other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _batch_of(frames: FloatArray) -> FloatArray:
    return np.ascontiguousarray(frames)[np.newaxis]
