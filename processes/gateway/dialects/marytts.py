"""MaryTTS, as Home Assistant's integration, openHAB and others ask it; Coqui's lists have the same shape.

Owns: MaryTTS's parameters, its effects and its lists of plain lines.
Refuses to know: how speech is made.

Its clients carry names of MaryTTS's own voices (`cmu-slt-hsmm`), so the locale says who speaks wherever no
voice is called so. Source: clients.md §6; MaryTTS 5.2, `/process` of its HTTP server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from aiohttp import web

import appliance
from appliance.errors import InvalidRequestError, UnsupportedFormatError
from appliance.speech import AudioFormat, InputType
from appliance.voices import Gender, usual_case
from processes.gateway.access import AccessRules, guarded
from processes.gateway.dialects.asking import Fields, read_number, read_values, speak_whole, voice_for
from processes.gateway.gateway import GATEWAY_KEY

NAMES = {"input": "INPUT_TEXT", "voice": "VOICE", "input_type": "INPUT_TYPE", "response_format": "AUDIO"}
FORMATS = {
    "": AudioFormat.WAV,
    "WAVE": AudioFormat.WAV,
    "WAVE_FILE": AudioFormat.WAV,
    "MP3_FILE": AudioFormat.MP3,
}
"""What `AUDIO` may say; nothing and `WAVE` are what old clients send."""
INPUT_TYPES = {"": None, "TEXT": None, "SSML": InputType.SSML}
AUDIO = "AUDIO"
EFFECT = re.compile(r"effect_(Volume|Rate)_selected")
VOLUMES, SPEEDS = (0.0, 2.0), (0.25, 4.0)
"""What the speech API takes; MaryTTS's own bounds are wider."""


@guarded(AccessRules.check_api_key)
async def process(request: web.Request) -> web.StreamResponse:
    """Speak a text and answer with the whole audio."""
    return await speak_whole(request, _read, NAMES)


@guarded(AccessRules.check_list_key)
async def get_voices(request: web.Request) -> web.Response:
    """List the voices: `name locale gender engine`."""
    genders = {Gender.UNKNOWN: "NA"}
    return _lines(
        f"{voice.id} {_locale(voice.languages[0])} {genders.get(voice.gender, voice.gender)} {voice.engine}"
        for voice in request.app[GATEWAY_KEY].catalog.voices()
    )


@guarded(AccessRules.check_list_key)
async def get_locales(request: web.Request) -> web.Response:
    """List the locales that there are voices for."""
    voices = request.app[GATEWAY_KEY].catalog.voices()
    return _lines(sorted({_locale(voice.languages[0]) for voice in voices}))


async def get_version(_request: web.Request) -> web.Response:
    """Say what this is, in the words that MaryTTS's clients look for."""
    return _lines([f"Mary TTS server 5.2 (tts-appliance {appliance.__version__})"])


async def get_audio_formats(_request: web.Request) -> web.Response:
    """List what `AUDIO` may say."""
    return _lines(name for name in FORMATS if name.endswith("_FILE"))


async def get_data_types(_request: web.Request) -> web.Response:
    """List what goes in and what comes out."""
    return _lines([*(f"{name} INPUT" for name in INPUT_TYPES if name), "AUDIO OUTPUT"])


async def _read(request: web.Request) -> Fields:
    """Return what is asked for.

    Raises:
        RequestError: A parameter is missing or wrong.
    """
    values = await read_values(request)
    audio, input_type = values.get("AUDIO", ""), values.get("INPUT_TYPE", "")
    if audio not in FORMATS:
        message = f"AUDIO isn't one of {', '.join(filter(None, FORMATS))}"
        raise UnsupportedFormatError(message, param="AUDIO")
    for name, known in (("INPUT_TYPE", INPUT_TYPES), ("OUTPUT_TYPE", ("", AUDIO))):
        if values.get(name, "") not in known:
            message = f"{name} isn't one of {', '.join(filter(None, known))}"
            raise InvalidRequestError(message, param=name)
    voice = voice_for(request.app[GATEWAY_KEY], values.get("VOICE", ""), values.get("LOCALE", ""))
    fields: Fields = {
        "input": values.get("INPUT_TEXT"),
        "voice": voice,
        "response_format": FORMATS[audio].value,
    }
    return fields | {"input_type": INPUT_TYPES[input_type]} | _effects(values)


def _effects(values: Mapping[str, str]) -> dict[str, float]:
    """Return the effects that engines here have; the others, such as `Robot`, are left out.

    Raises:
        InvalidRequestError: An amount isn't a number.
    """
    fields: dict[str, float] = {}
    for name, text in values.items():
        found = EFFECT.fullmatch(name)
        if found is None or text != "on":
            continue
        parameters = f"effect_{found[1]}_parameters"
        amount = values.get(parameters, "").partition(":")[2].strip().rstrip(";")
        if found[1] == "Volume":
            fields["volume"] = _within(read_number(amount, parameters), VOLUMES)
        else:  # how much longer each sound takes
            fields["speed"] = _within(1 / max(read_number(amount, parameters), 1 / SPEEDS[1]), SPEEDS)
    return fields


def _within(number: float, bounds: tuple[float, float]) -> float:
    return min(max(number, bounds[0]), bounds[1])


def _locale(tag: str) -> str:
    return usual_case(tag).replace("-", "_")


def _lines(lines: Iterable[str]) -> web.Response:
    return web.Response(text="".join(f"{line}\n" for line in lines))
