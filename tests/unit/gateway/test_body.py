"""What a client sent becomes a speech request, or an error that names the field."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidRequestError, RequestError, TextTooLongError, UnsupportedFormatError
from appliance.speech import AudioFormat, InputType, Randomness, SpeechRequest, StreamFormat
from appliance.text_settings import TextSettings
from processes.gateway.body import (
    MAX_SEED,
    JobBody,
    SpeechBody,
    parse_fields,
    parse_speech_body,
    parse_speech_request,
    read_text_value,
)


def parsed(values: dict[str, Any], max_input_chars: int = 100) -> SpeechRequest:
    body = parse_speech_body(values, max_input_chars)
    return parse_speech_request(body, default_voice="default", text=TextSettings())


def test_parse_when_only_a_text_is_given_then_the_defaults_are_openais() -> None:
    request = parsed({"input": "Hello."})
    assert request.format is AudioFormat.MP3
    assert request.stream_format is StreamFormat.AUDIO
    assert (request.speed, request.voice_id, request.input_type) == (1.0, "default", InputType.TEXT)


def test_parse_when_the_voice_is_an_object_then_its_id_counts() -> None:
    assert parsed({"input": "x", "voice": {"id": "nova", "extra": 1}}).voice_id == "nova"


def test_parse_when_fields_are_null_or_unknown_then_they_are_ignored() -> None:
    assert parsed({"input": "x", "speed": None, "voice": None, "future_field": [1]}).speed == 1.0


@pytest.mark.parametrize(
    ("values", "is_ssml"),
    [
        ({"input": "<speak>a</speak>"}, True),
        ({"input": "  <speak>a</speak>"}, True),
        ({"input": "<speak>a</speak>", "input_type": "text"}, False),
        ({"input": "a", "input_type": "ssml"}, True),
        ({"input": "a <speak>"}, False),
    ],
)
def test_parse_when_mark_up_is_sent_then_it_is_recognised_unless_named(
    values: dict[str, Any], is_ssml: bool
) -> None:
    assert (parsed(values).input_type is InputType.SSML) is is_ssml


@pytest.mark.parametrize(
    ("values", "error_class", "param"),
    [
        ({}, InvalidRequestError, "input"),
        ({"input": "x", "speed": 4.01}, InvalidRequestError, "speed"),
        ({"input": "x", "speed": float("nan")}, InvalidRequestError, "speed"),
        ({"input": "x", "speed": True}, InvalidRequestError, "speed"),
        ({"input": "x", "speed": "2"}, InvalidRequestError, "speed"),
        ({"input": "x", "pitch": "1"}, InvalidRequestError, "pitch"),
        ({"input": "x", "volume": False}, InvalidRequestError, "volume"),
        ({"input": "x", "seed": -1}, InvalidRequestError, "seed"),
        ({"input": "x", "seed": MAX_SEED + 1}, InvalidRequestError, "seed"),
        ({"input": "x", "seed": 0.5}, InvalidRequestError, "seed"),
        ({"input": "x", "seed": "5"}, InvalidRequestError, "seed"),
        ({"input": "x", "seed": True}, InvalidRequestError, "seed"),
        ({"input": "x", "noise_scale": -0.01}, InvalidRequestError, "noise_scale"),
        ({"input": "x", "noise_scale": float("nan")}, InvalidRequestError, "noise_scale"),
        ({"input": "x", "noise_scale_w": 1.01}, InvalidRequestError, "noise_scale_w"),
        ({"input": "x", "noise_scale_w": "0"}, InvalidRequestError, "noise_scale_w"),
        ({"input": "x", "normalize": "true"}, InvalidRequestError, "normalize"),
        ({"input": "x", "normalize": 1}, InvalidRequestError, "normalize"),
        ({"input": "x", "spell_out": "yes"}, InvalidRequestError, "spell_out"),
        ({"input": "x", "response_format": "ogg"}, UnsupportedFormatError, "response_format"),
        ({"input": "x" * 101}, TextTooLongError, "input"),
        ({"input": "x", "instructions": "y" * 4097}, InvalidRequestError, "instructions"),
    ],
)
def test_parse_when_a_field_is_wrong_then_the_error_names_it(
    values: dict[str, Any], error_class: type[RequestError], param: str
) -> None:
    with pytest.raises(error_class) as caught:
        parsed(values)
    assert caught.value.param == param


def test_parse_when_a_number_is_whole_then_it_counts() -> None:
    assert parsed({"input": "x", "speed": 2}).speed == 2.0


def test_parse_when_a_noise_scale_is_minus_zero_then_it_is_zero() -> None:
    """As part of an answer's name it would be another one."""
    assert repr(parsed({"input": "x", "noise_scale": -0.0}).randomness.noise_scale) == "0.0"


@pytest.mark.parametrize(
    ("values", "randomness"),
    [
        ({}, Randomness()),
        ({"seed": None, "noise_scale": None}, Randomness()),
        ({"seed": 0, "noise_scale": 0, "noise_scale_w": 1}, Randomness(0, 0.0, 1.0)),
        ({"seed": 5.0}, Randomness(5)),  # JSON doesn't tell it from 5
        ({"seed": MAX_SEED, "noise_scale_w": 0.3}, Randomness(MAX_SEED, None, 0.3)),
    ],
)
def test_parse_when_randomness_is_asked_for_then_just_that(
    values: dict[str, Any], randomness: Randomness
) -> None:
    assert parsed({"input": "x", **values}).randomness == randomness


def test_parse_when_a_job_asks_for_randomness_then_it_is_no_field_of_it() -> None:
    body = parse_fields({"input": "x", "seed": 5, "noise_scale": "no number"}, 100, JobBody)
    request = parse_speech_request(body, default_voice="default", text=TextSettings())
    assert request.randomness == Randomness()


@pytest.mark.parametrize(
    ("values", "is_set", "spells_out"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"spell_out": False}, True, False),
        ({"spell_out": True}, False, True),
        ({"normalize": False}, True, False),
        ({"normalize": True}, False, False),
        ({"normalize": False, "spell_out": True}, True, True),
    ],
)
def test_parse_when_the_spoken_form_is_asked_for_or_not_then_so(
    values: dict[str, Any], is_set: bool, spells_out: bool
) -> None:
    body = parse_fields({"input": "x", **values}, 100, SpeechBody)
    request = parse_speech_request(body, default_voice="any", text=TextSettings(spell_out=is_set))
    assert request.spell_out is spells_out


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("speed", "2", 2.0),
        ("pitch", "0.5", 0.5),
        ("seed", "5", 5),
        ("seed", "5.5", "5.5"),
        ("noise_scale", "0", 0.0),
        ("noise_scale_w", "1e-1", 0.1),
        ("normalize", "true", True),
        ("normalize", "0", False),
        ("spell_out", "no", False),
        ("speed", "fast", "fast"),
        ("normalize", "perhaps", "perhaps"),
        ("input", "2", "2"),
    ],
)
def test_read_text_when_a_query_holds_it_then_the_fields_value_or_the_text(
    field: str, text: str, value: object
) -> None:
    assert read_text_value(field, text) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*SpeechBody.model_fields, "other"]), json_values))
def test_parse_when_anything_is_sent_then_only_request_errors_come(values: dict[str, Any]) -> None:
    with suppress(RequestError):
        assert 0.25 <= parsed(values).speed <= 4.0
