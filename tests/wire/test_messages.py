"""Every message comes out of its wire frame as it went in, and a wrong meta is a BadMessageError."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadMessageError
from appliance.ipc.frames import MAX_META_BYTES, Frame, FrameDecoder, Kind, encode_frame
from appliance.ipc.messages import (
    MAX_PAGES,
    MAX_WINDOWS,
    Audio,
    Cancel,
    Done,
    Drain,
    Failed,
    Grant,
    Heartbeat,
    Hello,
    Message,
    Synthesize,
    from_frame,
    hello_pages,
    to_frame,
)
from appliance.speech import PcmChunk, Randomness, SpokenText, Utterance, WordMark
from appliance.voices import Gender, Variant, Voice
from tests.parts.frames import feed

ids = st.integers(0, 2**64 - 1)
counts = st.integers(0, 2**53)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
factors = st.floats(0, 100)
scales = st.none() | st.floats(0, 1)
randomness = st.builds(Randomness, st.none() | st.integers(0, 2**64 - 1), scales, scales)
pcm = st.binary(max_size=40).filter(lambda data: len(data) % 2 == 0)
marks = st.lists(st.builds(WordMark, counts, counts, factors), max_size=3).map(tuple)
voices = st.builds(
    Voice,
    texts,
    texts,
    texts,
    texts,
    st.lists(texts, min_size=1, max_size=3).map(tuple),
    st.sampled_from(Gender),
    st.integers(8000, 48000),
    factors,
    factors,
)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
windows = st.lists(st.tuples(factors, factors), max_size=MAX_WINDOWS // 64).map(tuple)
variants = st.builds(Variant, texts, texts, texts, st.sampled_from(Gender))


def as_received(text: str, index: int, speed: float, is_ssml: bool, randomness: Randomness) -> Utterance:
    """An utterance with just the fields that cross the wire."""
    return Utterance(
        index,
        0,
        len(text),
        SpokenText(text),
        "tone",
        "low",
        speed,
        is_ssml=is_ssml,
        randomness=randomness,
    )


messages = st.one_of(
    st.builds(
        Hello,
        texts,
        texts,
        texts,
        counts,
        st.integers(0, 2),
        st.integers(3, MAX_PAGES),
        st.lists(voices, max_size=3).map(tuple),
        st.lists(variants, max_size=3).map(tuple),
        texts,
        st.booleans(),
    ),
    st.builds(
        Synthesize,
        ids,
        st.builds(as_received, texts, counts, factors, st.booleans(), randomness),
        st.sampled_from(["", TRACEPARENT]),
    ),
    st.builds(
        Audio,
        ids,
        st.builds(
            PcmChunk,
            pcm,
            st.integers(1, 192_000),
            marks,
            is_last=st.booleans(),
            ends_window=st.booleans(),
        ).filter(lambda chunk: chunk.pcm or chunk.is_last),
    ),
    st.builds(Done, ids, factors, counts, st.booleans(), windows),
    st.builds(Failed, ids, texts, texts, counts, windows),
    st.builds(Cancel, ids),
    st.builds(Grant, ids),
    st.builds(Heartbeat, counts),
    st.just(Drain()),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(messages)
def test_message_when_sent_then_received_alike(message: Message) -> None:
    (frame,) = feed(FrameDecoder(), encode_frame(to_frame(message)))
    assert from_frame(frame) == message


def test_order_and_answer_when_not_traced_then_no_byte_says_so() -> None:
    order = Synthesize(1, Utterance(0, 0, 1, SpokenText("a"), "vits", "amy/0"))
    answers = (Done(1, 0.5, 1), Failed(1, "engine_failed", "no", 1))
    for message in (order, *answers):
        meta = to_frame(message).meta
        assert b"trace" not in meta
        assert b"windows" not in meta


@pytest.mark.parametrize("field", ["windows", "traceparent", "of_a_later_version"])
def test_order_and_answer_when_of_another_version_then_unknown_fields_are_ignored(field: str) -> None:
    """A worker and a gateway of before read the fields that they know, and no others."""
    for message in (Done(1, 0.5, 1), Grant(1), Heartbeat(1)):
        frame = to_frame(message)
        meta = {**json.loads(frame.meta or b"{}"), field: []}
        assert (
            from_frame(Frame(frame.kind, 1 if frame.utterance_id else 0, json.dumps(meta).encode()))
            == message
        )


def test_synthesize_when_nothing_random_is_asked_for_then_no_byte_says_so() -> None:
    plain = Utterance(0, 0, 1, SpokenText("a"), "vits", "amy/0")
    assert (
        not {"seed", "noise_scale", "noise_scale_w"} & json.loads(to_frame(Synthesize(1, plain)).meta).keys()
    )
    asked = replace(plain, randomness=Randomness(seed=0, noise_scale=0.0))
    meta = json.loads(to_frame(Synthesize(1, asked)).meta)
    assert (meta["seed"], meta["noise_scale"], "noise_scale_w" in meta) == (0, 0.0, False)


@given(st.sampled_from(Kind), st.binary(max_size=60), st.binary(max_size=9))
def test_from_frame_when_meta_is_random_then_only_bad_message(
    kind: Kind, meta: bytes, payload: bytes
) -> None:
    assert is_read_alike_or_refused(Frame(kind, 1, meta, payload))


@given(messages, st.data())
def test_from_frame_when_a_field_is_anything_then_only_bad_message(message: Message, data) -> None:
    frame = to_frame(message)
    values = json.loads(frame.meta or "{}")
    if values:
        values[data.draw(st.sampled_from(sorted(values)))] = data.draw(json_values)
    assert is_read_alike_or_refused(Frame(frame.kind, 1, json.dumps(values).encode(), frame.payload))


def is_read_alike_or_refused(frame: Frame) -> bool:
    """Whether what is read of a frame can be sent on and is read alike again; one that is refused is well."""
    try:
        message = from_frame(frame)
    except BadMessageError:
        return True
    return from_frame(to_frame(message)) == message


@pytest.mark.parametrize("count", [0, 1, 2000])
def test_hello_pages_when_voices_are_many_then_all_arrive_and_each_page_fits(count: int) -> None:
    many = [Voice(f"v{n}", "Żółw " * 20, "tone", f"low{n}", ("en", "pl")) for n in range(count)]
    others = [Variant(f"f{n}", "f", "tone") for n in range(count)]
    pages = hello_pages("worker-tone-1", "tone", "1", 7, many, others)
    assert [page.page for page in pages] == list(range(len(pages)))
    assert {page.pages for page in pages} == {len(pages)}
    assert all(len(to_frame(page).meta) <= MAX_META_BYTES for page in pages)
    assert [voice for page in pages for voice in page.voices] == many
    assert [variant for page in pages for variant in page.variants] == others
