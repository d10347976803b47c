"""Hop 1: what a client sent becomes a `SpeechRequest`, or an error that names the field.

Owns: reading and bounding a JSON body, the fields of the speech API and their limits.
Refuses to know: voices, engines, what the fields do.

Unknown fields are ignored (clients send extras); null stands for a field that isn't there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from aiohttp import web
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from appliance.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    TextTooLongError,
    UnsupportedFormatError,
    UnsupportedMediaTypeError,
)
from appliance.speech import AudioFormat, InputType, SpeechRequest, StreamFormat
from appliance.text.ssml import is_ssml

Name = Annotated[str, StringConstraints(min_length=1, max_length=256, strict=True)]
Number = Annotated[float, Strict()]
"""A JSON number, whole or not; neither `true` nor `"2"`."""


class VoiceReference(BaseModel):
    """The object form of `voice`."""

    model_config = ConfigDict(extra="ignore")

    id: Name


class SpeechBody(BaseModel):
    """The body of `POST /v1/audio/speech`."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: Name = Field("tts-1", description="A model of GET /v1/models.")
    input: Annotated[str, StringConstraints(strict=True)] = Field(description="What to speak.")
    voice: Name | VoiceReference | None = Field(
        None,
        description="A voice of GET /v1/audio/voices, possibly with +VARIANT; the default voice if absent.",
    )
    instructions: Annotated[str, StringConstraints(max_length=4096, strict=True)] | None = Field(
        None, description="Accepted for clients that send it; no engine here follows instructions."
    )
    response_format: AudioFormat = Field(AudioFormat.MP3, description="What to get.")
    speed: Number = Field(1.0, ge=0.25, le=4.0, description="Factor of the voice's normal speed.")
    stream_format: StreamFormat = Field(StreamFormat.AUDIO, description="Bytes, or server-sent events.")
    pitch: Number = Field(1.0, ge=0.5, le=2.0, description="Factor of the voice's normal pitch.")
    volume: Number = Field(1.0, ge=0.0, le=2.0, description="Factor of the voice's normal loudness.")
    input_type: InputType | None = Field(
        None, description="text or ssml; if absent, an input that begins with <speak is SSML."
    )
    normalize: StrictBool | None = Field(
        None, description="Whether markdown and emoji become words; the appliance's setting if absent."
    )


TEXT_READERS: dict[str, TypeAdapter[Any]] = {
    "speed": TypeAdapter(float),
    "pitch": TypeAdapter(float),
    "volume": TypeAdapter(float),
    "normalize": TypeAdapter(bool),
}
"""Fields that aren't texts, for the query of a GET, where everything is written as text."""


async def read_json(request: web.Request) -> dict[str, Any]:
    """Read a request's body as a JSON object.

    Raises:
        UnsupportedMediaTypeError: The body isn't declared as plain application/json.
        BodyTooLargeError: It is longer than the limit.
        InvalidRequestError: It isn't a JSON object, or a key stands in it twice.
    """
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise UnsupportedMediaTypeError
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLargeError from None
    try:
        values = json.loads(raw, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        message = (
            f"The body isn't JSON: {error}" if isinstance(error, ValueError) else "The body nests too deep"
        )
        raise InvalidRequestError(message) from None
    if not isinstance(values, dict):
        message = "The body must be a JSON object"
        raise InvalidRequestError(message)
    return values


def read_text_value(field: str, text: str) -> Any:
    """Return a field's value from its text in a query; a text that can't be read stays, to be refused.

    Args:
        field: Name in `SpeechBody`.
        text: For example `1.5`; `true`, `yes`, `on` and `1` are true.
    """
    reader = TEXT_READERS.get(field)
    if reader is None:
        return text
    try:
        return reader.validate_python(text)
    except ValidationError:
        return text


def parse_speech_body(values: Mapping[str, Any], max_input_chars: int) -> SpeechBody:
    """Check the fields of a speech request.

    Args:
        values: JSON object or query parameters; null values count as absent.
        max_input_chars: Most characters of `input`.

    Raises:
        InvalidRequestError, UnsupportedFormatError, TextTooLongError: With the field's name as `param`.
    """
    try:
        body = SpeechBody.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise _field_error(error) from None
    if len(body.input) > max_input_chars:
        message = f"The text has {len(body.input)} characters, the limit is {max_input_chars}"
        raise TextTooLongError(message, param="input")
    return body


def parse_speech_request(body: SpeechBody, *, default_voice: str, make_speakable: bool) -> SpeechRequest:
    """Turn a checked body into the noun that travels on.

    Args:
        body: The checked fields.
        default_voice: The voice for a client that names none.
        make_speakable: Whether markdown and emoji become words when the client doesn't say.
    """
    voice = body.voice.id if isinstance(body.voice, VoiceReference) else body.voice
    input_type = body.input_type or (InputType.SSML if is_ssml(body.input) else InputType.TEXT)
    return SpeechRequest(
        text=body.input,
        voice_id=voice or default_voice,
        speed=body.speed,
        pitch=body.pitch,
        volume=body.volume,
        format=body.response_format,
        stream_format=body.stream_format,
        input_type=input_type,
        make_speakable=make_speakable if body.normalize is None else body.normalize,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        message = "a key stands in an object twice"
        raise ValueError(message)
    return values


def _refuse_constant(name: str) -> None:
    message = f"{name} isn't a JSON number"
    raise ValueError(message)


def _field_error(error: ValidationError) -> InvalidRequestError | UnsupportedFormatError:
    detail = error.errors(include_input=False, include_url=False)[0]
    param = str(detail["loc"][0]) if detail["loc"] else None
    if param == "response_format":
        return UnsupportedFormatError(param=param)
    message = f"{param}: {detail['msg']}" if param else detail["msg"]
    return InvalidRequestError(message, param=param)
