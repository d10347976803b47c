"""Messages: one frozen dataclass for each kind of wire frame, with its way in and out of a `Frame`.

Owns: which fields a kind has and their types.
Refuses to know: sockets; what the receiver does with a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.errors import BadMessageError, EngineFailedError, SynthesisError
from appliance.ipc.frames import MAX_META_BYTES, Frame, Kind
from appliance.ipc.meta import (
    as_flag,
    as_noise_scale,
    as_number,
    as_seed,
    as_text,
    as_traceparent,
    as_whole,
    dump_meta,
    load_meta,
)
from appliance.speech import PcmChunk, Randomness, SpokenText, Utterance, WordMark
from appliance.tracing import Window
from appliance.voices import Variant, Voice

PAGE_BYTES = MAX_META_BYTES // 2
"""Bytes of voices and variants on one HELLO page; the rest of the meta stays free."""
MAX_PAGES = 64
"""HELLO pages of one worker, about 8,000 voices: what a gateway learns from a worker is bounded."""
MAX_WINDOWS = 256
"""Windows that an answer tells of: an utterance of 300 characters has some thirty."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker's engine is warm; in pages, since many voices don't fit one frame."""

    worker: str
    """The worker's program name under supervisord, for example `worker-espeak-1`."""
    engine: str
    engine_version: str
    """Its library's, and a hash of our own sources that the worker has loaded."""
    pid: int
    page: int
    """From 0."""
    pages: int
    voices: tuple[Voice, ...] = ()
    variants: tuple[Variant, ...] = ()
    store_mark: str = ""
    """`VoiceStore.change_mark` from before the engine listed its voices."""
    is_on_cpu: bool = True
    """Whether the engine computes on the CPU; if it doesn't, its GRANTs wait for nobody."""


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Speak an utterance, as soon as a grant has come."""

    utterance_id: int
    utterance: Utterance
    """Only what the engine needs: spoken text, voice, speed, pitch, volume, randomness."""
    traceparent: str = ""
    """The span that it is a part of, where its request is traced; then the answer has `windows`."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A chunk of an utterance's audio."""

    utterance_id: int
    chunk: PcmChunk


@dataclass(frozen=True, slots=True)
class Done:
    """The utterance has ended, spoken or cancelled; the worker is free."""

    utterance_id: int
    synthesis_s: float
    """Seconds from the first grant to the last chunk, without waiting for grants."""
    rss_bytes: int
    """Resident memory of the worker's own, without mapped files."""
    was_cancelled: bool = False
    windows: tuple[Window, ...] = ()
    """What was computed with each grant, the first `MAX_WINDOWS`; only where the order has a parent."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The utterance can't be spoken; the worker is free."""

    utterance_id: int
    code: str
    """Code of a `SynthesisError`."""
    message: str
    rss_bytes: int
    windows: tuple[Window, ...] = ()
    """As for `Done`."""

    def error(self) -> SynthesisError:
        """Rebuild the error; a code that isn't of its branch becomes `EngineFailedError`."""
        for error_class in SynthesisError.__subclasses__():
            if error_class.code == self.code:
                return error_class(self.message)
        return EngineFailedError(self.message)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this utterance; DONE or FAILED answers."""

    utterance_id: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Compute one window of this utterance."""

    utterance_id: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker's interpreter still runs."""

    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Finish what runs, then end the process. From a worker: it was told to stop, and ends so."""


Message = Hello | Synthesize | Audio | Done | Failed | Cancel | Grant | Heartbeat | Drain


def hello_pages(
    worker: str,
    engine: str,
    engine_version: str,
    pid: int,
    voices: Sequence[Voice],
    variants: Sequence[Variant],
) -> list[Hello]:
    """Spread voices and variants over as many HELLO pages as they need, at least one."""
    batches: list[tuple[list[Voice], list[Variant]]] = [([], [])]
    size_bytes = 0
    items: list[Voice | Variant] = [*voices, *variants]
    for item in items:
        item_bytes = len(dump_meta(item.as_dict()))
        if size_bytes + item_bytes > PAGE_BYTES:
            batches.append(([], []))
            size_bytes = 0
        size_bytes += item_bytes
        if isinstance(item, Voice):
            batches[-1][0].append(item)
        else:
            batches[-1][1].append(item)
    return [
        Hello(
            worker, engine, engine_version, pid, page, len(batches), tuple(page_voices), tuple(page_variants)
        )
        for page, (page_voices, page_variants) in enumerate(batches)
    ]


def to_frame(message: Message) -> Frame:  # noqa: C901, PLR0911 (one flat case for each kind)
    """Return the wire frame of a message."""
    match message:
        case Hello():
            return Frame(Kind.HELLO, 0, dump_meta(_hello_meta(message)))
        case Synthesize(utterance_id, utterance, traceparent):
            trace = {"traceparent": traceparent} if traceparent else {}
            return Frame(Kind.SYNTHESIZE, utterance_id, dump_meta(_utterance_meta(utterance) | trace))
        case Audio(utterance_id, chunk):
            return Frame(Kind.AUDIO, utterance_id, dump_meta(_chunk_meta(chunk)), chunk.pcm)
        case Done(utterance_id, synthesis_s, rss_bytes, was_cancelled, windows):
            values: dict[str, Any] = {
                "synthesis_s": synthesis_s,
                "rss_bytes": rss_bytes,
                "was_cancelled": was_cancelled,
            }
            return Frame(Kind.DONE, utterance_id, dump_meta(values | _windows_meta(windows)))
        case Failed(utterance_id, code, text, rss_bytes, windows):
            values = {"code": code, "message": text, "rss_bytes": rss_bytes}
            return Frame(Kind.FAILED, utterance_id, dump_meta(values | _windows_meta(windows)))
        case Cancel(utterance_id):
            return Frame(Kind.CANCEL, utterance_id)
        case Grant(utterance_id):
            return Frame(Kind.GRANT, utterance_id)
        case Heartbeat(rss_bytes):
            return Frame(Kind.HEARTBEAT, 0, dump_meta({"rss_bytes": rss_bytes}))
        case Drain():
            return Frame(Kind.DRAIN, 0)


def from_frame(frame: Frame) -> Message:
    """Return the message that a wire frame carries.

    Raises:
        BadMessageError: The meta isn't a JSON object with the fields of its kind.
    """
    try:
        return _read(frame, load_meta(frame.meta))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        message = f"{frame.kind.name} has a bad meta: {error!r:.200}"
        raise BadMessageError(message) from None


def _read(frame: Frame, meta: dict[str, Any]) -> Message:  # noqa: C901, PLR0911 (one flat case for each kind)
    match frame.kind:
        case Kind.HELLO:
            return _read_hello(meta)
        case Kind.SYNTHESIZE:
            traceparent = as_traceparent(meta.get("traceparent", ""))
            return Synthesize(frame.utterance_id, _read_utterance(meta), traceparent)
        case Kind.AUDIO:
            return Audio(frame.utterance_id, _read_chunk(meta, frame.payload))
        case Kind.DONE:
            return Done(
                frame.utterance_id,
                as_number(meta["synthesis_s"]),
                as_whole(meta["rss_bytes"]),
                as_flag(meta["was_cancelled"]),
                _read_windows(meta),
            )
        case Kind.FAILED:
            return Failed(
                frame.utterance_id,
                as_text(meta["code"]),
                as_text(meta["message"]),
                as_whole(meta["rss_bytes"]),
                _read_windows(meta),
            )
        case Kind.CANCEL:
            return Cancel(frame.utterance_id)
        case Kind.GRANT:
            return Grant(frame.utterance_id)
        case Kind.HEARTBEAT:
            return Heartbeat(as_whole(meta["rss_bytes"]))
        case Kind.DRAIN:
            return Drain()


def _hello_meta(hello: Hello) -> dict[str, Any]:
    return {
        "worker": hello.worker,
        "engine": hello.engine,
        "engine_version": hello.engine_version,
        "pid": hello.pid,
        "page": hello.page,
        "pages": hello.pages,
        "voices": [voice.as_dict() for voice in hello.voices],
        "variants": [variant.as_dict() for variant in hello.variants],
        "store_mark": hello.store_mark,
        "is_on_cpu": hello.is_on_cpu,
    }


def _read_hello(meta: dict[str, Any]) -> Hello:
    page, pages = as_whole(meta["page"]), as_whole(meta["pages"])
    if not page < pages <= MAX_PAGES:
        message = f"page {page} of {pages}"
        raise ValueError(message)
    return Hello(
        as_text(meta["worker"]),
        as_text(meta["engine"]),
        as_text(meta["engine_version"]),
        as_whole(meta["pid"]),
        page,
        pages,
        tuple(Voice.from_dict(values) for values in meta["voices"]),
        tuple(Variant.from_dict(values) for values in meta["variants"]),
        as_text(meta.get("store_mark", "")),
        as_flag(meta.get("is_on_cpu", True)),
    )


def _utterance_meta(utterance: Utterance) -> dict[str, Any]:
    return {
        "index": utterance.index,
        "text": utterance.spoken.text,
        "engine": utterance.engine,
        "voice": utterance.engine_voice,
        "speed": utterance.speed,
        "pitch": utterance.pitch,
        "volume": utterance.volume,
        "is_ssml": utterance.is_ssml,
        "early": utterance.wants_early_sound,
        "marks": utterance.wants_word_marks,
        **utterance.randomness.given(),
    }


def _read_utterance(meta: dict[str, Any]) -> Utterance:
    text = as_text(meta["text"])
    return Utterance(
        index=as_whole(meta["index"]),
        start_char=0,
        end_char=len(text),
        spoken=SpokenText(text),
        engine=as_text(meta["engine"]),
        engine_voice=as_text(meta["voice"]),
        speed=as_number(meta["speed"]),
        pitch=as_number(meta["pitch"]),
        volume=as_number(meta["volume"]),
        is_ssml=as_flag(meta["is_ssml"]),
        wants_early_sound=as_flag(meta["early"]),
        wants_word_marks=as_flag(meta["marks"]),
        randomness=Randomness(
            seed=as_seed(meta["seed"]) if "seed" in meta else None,
            noise_scale=as_noise_scale(meta["noise_scale"]) if "noise_scale" in meta else None,
            noise_scale_w=as_noise_scale(meta["noise_scale_w"]) if "noise_scale_w" in meta else None,
        ),
    )


def _chunk_meta(chunk: PcmChunk) -> dict[str, Any]:
    meta: dict[str, Any] = {"rate": chunk.sample_rate_hz, "last": chunk.is_last, "window": chunk.ends_window}
    if chunk.word_marks:
        meta["marks"] = [(mark.start_char, mark.end_char, mark.time_s) for mark in chunk.word_marks]
    return meta


def _read_chunk(meta: dict[str, Any], payload: bytes) -> PcmChunk:
    rate_hz, is_last = as_whole(meta["rate"]), as_flag(meta["last"])
    if not rate_hz or len(payload) % 2:
        message = "AUDIO must hold whole PCM frames at a sample rate above 0"
        raise ValueError(message)
    if not payload and not is_last:  # an engine that gives nothing for ever would fill the gateway's memory
        message = "AUDIO without PCM must be the last"
        raise ValueError(message)
    marks = tuple(
        WordMark(as_whole(start), as_whole(end), as_number(time_s))
        for start, end, time_s in meta.get("marks", ())
    )
    return PcmChunk(payload, rate_hz, marks, is_last=is_last, ends_window=as_flag(meta["window"]))


def _windows_meta(windows: Sequence[Window]) -> dict[str, Any]:
    return {"windows": windows} if windows else {}


def _read_windows(meta: dict[str, Any]) -> tuple[Window, ...]:
    windows = tuple((as_number(begun_s), as_number(ended_s)) for begun_s, ended_s in meta.get("windows", ()))
    if len(windows) > MAX_WINDOWS:
        message = f"{len(windows)} windows"
        raise ValueError(message)
    return windows
