"""Messages: one frozen dataclass for each kind of wire frame, with its way in and out of a `Frame`.

Owns: which fields a kind has and their types.
Refuses to know: sockets; what the receiver does with a message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.errors import BadMessageError, EngineFailedError, SynthesisError
from appliance.ipc.frames import MAX_META_BYTES, Frame, Kind
from appliance.speech import MAX_NOISE_SCALE, PcmChunk, Randomness, SpokenText, Utterance, WordMark
from appliance.voices import Variant, Voice

PAGE_BYTES = MAX_META_BYTES // 2
"""Bytes of voices and variants on one HELLO page; the rest of the meta stays free."""
SEED_BITS = 64
MAX_PAGES = 64
"""HELLO pages of one worker, about 8,000 voices: what a gateway learns from a worker is bounded."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: with other than its usual arguments `json.dumps` makes one for every call."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker's engine is warm; in pages, since many voices don't fit one frame."""

    worker: str
    """The worker's program name under supervisord, for example `worker-espeak-1`."""
    engine: str
    engine_version: str
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


@dataclass(frozen=True, slots=True)
class Failed:
    """The utterance can't be spoken; the worker is free."""

    utterance_id: int
    code: str
    """Code of a `SynthesisError`."""
    message: str
    rss_bytes: int

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
        item_bytes = len(_dump(item.as_dict()))
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
            return Frame(Kind.HELLO, 0, _dump(_hello_meta(message)))
        case Synthesize(utterance_id, utterance):
            return Frame(Kind.SYNTHESIZE, utterance_id, _dump(_utterance_meta(utterance)))
        case Audio(utterance_id, chunk):
            return Frame(Kind.AUDIO, utterance_id, _dump(_chunk_meta(chunk)), chunk.pcm)
        case Done(utterance_id, synthesis_s, rss_bytes, was_cancelled):
            values: dict[str, Any] = {
                "synthesis_s": synthesis_s,
                "rss_bytes": rss_bytes,
                "was_cancelled": was_cancelled,
            }
            return Frame(Kind.DONE, utterance_id, _dump(values))
        case Failed(utterance_id, code, text, rss_bytes):
            values = {"code": code, "message": text, "rss_bytes": rss_bytes}
            return Frame(Kind.FAILED, utterance_id, _dump(values))
        case Cancel(utterance_id):
            return Frame(Kind.CANCEL, utterance_id)
        case Grant(utterance_id):
            return Frame(Kind.GRANT, utterance_id)
        case Heartbeat(rss_bytes):
            return Frame(Kind.HEARTBEAT, 0, _dump({"rss_bytes": rss_bytes}))
        case Drain():
            return Frame(Kind.DRAIN, 0)


def from_frame(frame: Frame) -> Message:
    """Return the message that a wire frame carries.

    Raises:
        BadMessageError: The meta isn't a JSON object with the fields of its kind.
    """
    try:
        return _read(frame, _load(frame.meta))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        message = f"{frame.kind.name} has a bad meta: {error!r:.200}"
        raise BadMessageError(message) from None


def _read(frame: Frame, meta: dict[str, Any]) -> Message:  # noqa: C901, PLR0911 (one flat case for each kind)
    match frame.kind:
        case Kind.HELLO:
            return _read_hello(meta)
        case Kind.SYNTHESIZE:
            return Synthesize(frame.utterance_id, _read_utterance(meta))
        case Kind.AUDIO:
            return Audio(frame.utterance_id, _read_chunk(meta, frame.payload))
        case Kind.DONE:
            return Done(
                frame.utterance_id,
                _number(meta["synthesis_s"]),
                _whole(meta["rss_bytes"]),
                _flag(meta["was_cancelled"]),
            )
        case Kind.FAILED:
            return Failed(
                frame.utterance_id, _text(meta["code"]), _text(meta["message"]), _whole(meta["rss_bytes"])
            )
        case Kind.CANCEL:
            return Cancel(frame.utterance_id)
        case Kind.GRANT:
            return Grant(frame.utterance_id)
        case Kind.HEARTBEAT:
            return Heartbeat(_whole(meta["rss_bytes"]))
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
    page, pages = _whole(meta["page"]), _whole(meta["pages"])
    if not page < pages <= MAX_PAGES:
        message = f"page {page} of {pages}"
        raise ValueError(message)
    return Hello(
        _text(meta["worker"]),
        _text(meta["engine"]),
        _text(meta["engine_version"]),
        _whole(meta["pid"]),
        page,
        pages,
        tuple(Voice.from_dict(values) for values in meta["voices"]),
        tuple(Variant.from_dict(values) for values in meta["variants"]),
        _text(meta.get("store_mark", "")),
        _flag(meta.get("is_on_cpu", True)),
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
    text = _text(meta["text"])
    return Utterance(
        index=_whole(meta["index"]),
        start_char=0,
        end_char=len(text),
        spoken=SpokenText(text),
        engine=_text(meta["engine"]),
        engine_voice=_text(meta["voice"]),
        speed=_number(meta["speed"]),
        pitch=_number(meta["pitch"]),
        volume=_number(meta["volume"]),
        is_ssml=_flag(meta["is_ssml"]),
        wants_early_sound=_flag(meta["early"]),
        wants_word_marks=_flag(meta["marks"]),
        randomness=Randomness(
            seed=_seed(meta["seed"]) if "seed" in meta else None,
            noise_scale=_noise_scale(meta["noise_scale"]) if "noise_scale" in meta else None,
            noise_scale_w=_noise_scale(meta["noise_scale_w"]) if "noise_scale_w" in meta else None,
        ),
    )


def _chunk_meta(chunk: PcmChunk) -> dict[str, Any]:
    meta: dict[str, Any] = {"rate": chunk.sample_rate_hz, "last": chunk.is_last, "window": chunk.ends_window}
    if chunk.word_marks:
        meta["marks"] = [(mark.start_char, mark.end_char, mark.time_s) for mark in chunk.word_marks]
    return meta


def _read_chunk(meta: dict[str, Any], payload: bytes) -> PcmChunk:
    rate_hz, is_last = _whole(meta["rate"]), _flag(meta["last"])
    if not rate_hz or len(payload) % 2:
        message = "AUDIO must hold whole PCM frames at a sample rate above 0"
        raise ValueError(message)
    if not payload and not is_last:  # an engine that gives nothing for ever would fill the gateway's memory
        message = "AUDIO without PCM must be the last"
        raise ValueError(message)
    marks = tuple(
        WordMark(_whole(start), _whole(end), _number(time_s)) for start, end, time_s in meta.get("marks", ())
    )
    return PcmChunk(payload, rate_hz, marks, is_last=is_last, ends_window=_flag(meta["window"]))


def _dump(values: dict[str, Any]) -> bytes:
    return _ENCODER.encode(values).encode()


def _load(meta: bytes) -> dict[str, Any]:
    values = json.loads(meta) if meta else {}
    if not isinstance(values, dict):
        message = "not a JSON object"
        raise TypeError(message)
    return values


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    message = f"not a text: {value!r:.50}"
    raise TypeError(message)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    message = f"not a whole number from 0: {value!r:.50}"
    raise TypeError(message)


def _seed(value: object) -> int:
    seed = _whole(value)
    if seed.bit_length() > SEED_BITS:
        message = f"a seed of more than {SEED_BITS} bits"
        raise ValueError(message)
    return seed


def _noise_scale(value: object) -> float:
    scale = _number(value)
    if not 0 <= scale <= MAX_NOISE_SCALE:
        message = f"a noise scale of {scale}"
        raise ValueError(message)
    return scale


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e9:  # noqa: PLR0124, PLR2004 (NaN differs from itself; no figure here is near 1e9)
        return float(value)
    message = f"not a finite number: {value!r:.50}"
    raise TypeError(message)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    message = f"not true or false: {value!r:.50}"
    raise TypeError(message)
