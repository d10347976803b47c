"""Hop 1: what a client sent becomes a `SpeechRequest`, or an error that names the field.

Owns: bounding a JSON body, the fields of the speech API and their limits.
Refuses to know: voices, engines, what the fields do.

Unknown fields are ignored (clients send extras); null stands for a field that isn't there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
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
from appliance.speech import (
    MAX_NOISE_SCALE,
    AudioFormat,
    InputType,
    JobFormat,
    Randomness,
    SpeechRequest,
    StreamFormat,
    Timestamps,
)
from appliance.text.ssml import is_ssml
from appliance.text_settings import TextSettings
from processes.gateway.json_text import parse_json

Name = Annotated[str, StringConstraints(min_length=1, max_length=256, strict=True)]
Title = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strict=True)]
"""On one line, with no control character in it."""
Number = Annotated[float, Strict()]
"""A JSON number, whole or not; neither `true` nor `"2"`."""
MAX_SEED = 2**53 - 1
"""Up to here every JSON client can write a whole number. Source: RFC 8259, section 6."""


def _as_whole(value: object) -> object:
    """Return 5 for 5.0, which JSON doesn't tell apart."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seed = Annotated[int, Strict(), Field(ge=0, le=MAX_SEED), BeforeValidator(_as_whole)]


def _without_sign(value: float) -> float:
    """Return 0.0 for -0.0, which is the same scale under another name."""
    return value + 0.0


NoiseScale = Annotated[Number, Field(ge=0.0, le=MAX_NOISE_SCALE), AfterValidator(_without_sign)]


class VoiceReference(BaseModel):
    """The object form of `voice`."""

    model_config = ConfigDict(extra="ignore")

    id: Name


class SpokenBody(BaseModel):
    """What every body says that has a text spoken."""

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
    speed: Number = Field(1.0, ge=0.25, le=4.0, description="Factor of the voice's normal speed.")
    pitch: Number = Field(1.0, ge=0.5, le=2.0, description="Factor of the voice's normal pitch.")
    volume: Number = Field(1.0, ge=0.0, le=2.0, description="Factor of the voice's normal loudness.")
    input_type: InputType | None = Field(
        None, description="text or ssml; if absent, an input that begins with <speak is SSML."
    )
    normalize: StrictBool | None = Field(
        None, description="Whether markdown and emoji become words; the appliance's setting if absent."
    )
    spell_out: StrictBool | None = Field(
        None,
        description="Whether units, dates, abbreviations and signs become words of the voice's language; "
        "the appliance's setting if absent, and false where normalize is.",
    )


class SpeechBody(SpokenBody):
    """The body of `POST /v1/audio/speech`."""

    response_format: AudioFormat = Field(AudioFormat.MP3, description="What to get.")
    stream_format: StreamFormat = Field(StreamFormat.AUDIO, description="Bytes, or server-sent events.")
    timestamps: Timestamps | None = Field(
        None, description="word: events with the times of the words; with stream_format sse only."
    )
    seed: Seed | None = Field(
        None, description="What a neural voice draws its lots from; by text and voice if absent."
    )
    noise_scale: NoiseScale | None = Field(
        None, description="How much the colour of a neural voice varies; the voice's own if absent."
    )
    noise_scale_w: NoiseScale | None = Field(
        None, description="How much a neural voice's durations vary; the voice's own if absent."
    )

    @property
    def randomness(self) -> Randomness:
        """What is asked for of the lots that an engine draws."""
        return Randomness(self.seed, self.noise_scale, self.noise_scale_w)


class JobBody(SpokenBody):
    """The body of `POST /v1/jobs`: what is wanted beside the audio."""

    response_format: JobFormat = Field(JobFormat.MP3, description="What to get.")
    title: Title = Field("", description="What the result is called, in its tags and as a file.")
    captions: StrictBool = Field(default=False, description="Whether captions are made, too.")
    chapters: StrictBool = Field(
        default=False, description="Whether the headings of a markdown text are listed with their times."
    )


Body = TypeVar("Body", bound=SpokenBody)
TEXT_READERS: dict[str, TypeAdapter[Any]] = {
    "speed": TypeAdapter(float),
    "pitch": TypeAdapter(float),
    "volume": TypeAdapter(float),
    "seed": TypeAdapter(int),
    "noise_scale": TypeAdapter(float),
    "noise_scale_w": TypeAdapter(float),
    "normalize": TypeAdapter(bool),
    "spell_out": TypeAdapter(bool),
    "captions": TypeAdapter(bool),
    "chapters": TypeAdapter(bool),
}
"""Fields that aren't texts, for a query or a form, where everything is written as text."""


async def read_json(request: web.Request) -> dict[str, Any]:
    """Read a request's body as a JSON object.

    Raises:
        UnsupportedMediaTypeError: The body isn't declared as plain application/json.
        BodyTooLargeError: It is longer than the limit.
        InvalidRequestError: It isn't a JSON object, or a key stands in it twice.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError
    return parse_json(await read_body(request))


async def read_body(request: web.Request) -> bytes:
    """Read a request's body, whatever it is declared as.

    Raises:
        UnsupportedMediaTypeError: It is compressed.
        BodyTooLargeError: It is longer than the limit.
    """
    if "Content-Encoding" in request.headers:
        raise UnsupportedMediaTypeError
    if (request.content_length or 0) > request.client_max_size:  # there is nothing to wait for
        raise BodyTooLargeError
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLargeError from None


def read_text_value(field: str, text: str) -> Any:
    """Return a field's value from its text in a query or a form; one that can't be read stays, to be refused.

    Args:
        field: Name in `SpeechBody` or `JobBody`.
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
    """Check the fields of a speech request; see `parse_fields`."""
    body = parse_fields(values, max_input_chars, SpeechBody)
    if body.timestamps is not None and body.stream_format is not StreamFormat.SSE:
        message = "timestamps need stream_format sse; captions are at GET /v1/audio/captions.json"
        raise InvalidRequestError(message, param="timestamps")
    return body


def parse_fields(values: Mapping[str, Any], max_input_chars: int, body_class: type[Body]) -> Body:
    """Check the fields of a request for speech.

    Args:
        values: JSON object or query parameters; null values count as absent.
        max_input_chars: Most characters of `input`.
        body_class: What the fields are.

    Raises:
        InvalidRequestError, UnsupportedFormatError, TextTooLongError: With the field's name as `param`.
    """
    try:
        body = body_class.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise _field_error(error, body_class) from None
    if len(body.input) > max_input_chars:
        message = f"The text has {len(body.input)} characters, the limit is {max_input_chars}"
        raise TextTooLongError(message, param="input")
    return body


def parse_speech_request(body: SpokenBody, *, default_voice: str, text: TextSettings) -> SpeechRequest:
    """Turn a checked body into the noun that travels on.

    Args:
        body: The checked fields.
        default_voice: The voice for a client that names none.
        text: What becomes of the text where the client doesn't say.
    """
    voice = body.voice.id if isinstance(body.voice, VoiceReference) else body.voice
    input_type = body.input_type or (InputType.SSML if is_ssml(body.input) else InputType.TEXT)
    return SpeechRequest(
        text=body.input,
        voice_id=voice or default_voice,
        speed=body.speed,
        pitch=body.pitch,
        volume=body.volume,
        randomness=body.randomness if isinstance(body, SpeechBody) else Randomness(),
        format=body.response_format if isinstance(body, SpeechBody) else AudioFormat.MP3,
        stream_format=body.stream_format if isinstance(body, SpeechBody) else StreamFormat.AUDIO,
        input_type=input_type,
        make_speakable=text.make_speakable if body.normalize is None else body.normalize,
        spell_out=_spells_out(body, text),
        wants_word_times=isinstance(body, SpeechBody) and body.timestamps is not None,
    )


def _spells_out(body: SpokenBody, text: TextSettings) -> bool:
    """Return whether a text is spelled out: not where it is to stay as it is, unless that is asked for."""
    if body.spell_out is not None:
        return body.spell_out
    return text.spell_out and body.normalize is not False


def _field_error(
    error: ValidationError, body_class: type[SpokenBody]
) -> InvalidRequestError | UnsupportedFormatError:
    detail = error.errors(include_input=False, include_url=False)[0]
    param = str(detail["loc"][0]) if detail["loc"] else None
    if param == "response_format":
        message = f"The audio format isn't one of {', '.join(JobFormat)}" if body_class is JobBody else None
        return UnsupportedFormatError(message, param=param)
    message = f"{param}: {detail['msg']}" if param else detail["msg"]
    return InvalidRequestError(message, param=param)
