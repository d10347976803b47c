"""What is written short is said in the voice's language, and captions show it as it was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance
from tests.parts.asked import asked
from tests.parts.jobs import ended, submitted

TEXTS = {
    "en-us": "On 3/5/2024, Dr. Smith paid $5.50 for 2 lbs., i.e. **10 000** g & more. Mail me@example.com!",
    "de": "Am 3. Mai 1984 um 10:30 Uhr sind es 21,5 °C, 80 km/h und 12 %; z. B. 3 Mio. €.",
    "pl": "W 2024 r. o 10:30 zapłacił 2,50 zł za 22 km, m.in. na ul. Długiej 5.",
    "fr-fr": "M. Dupont paie 5,50 € à 10 h 30, p. ex. le 1er mai, 21 min. après.",
    "es": "El Sr. López paga 1.234,56 € por 21 kg, p. ej. a las 10:30.",
    "it": "Il sig. Rossi paga 5,50 € per 1 kg, ad es. il 1º maggio alle 10:30.",
    "uk": "3 травня 2024 року він заплатив 22 грн за 5 км, напр. на вул. Довгій, буд. 7.",
}


async def events_of(http: ClientSession, text: str, voice: str, **fields: Any) -> list[dict[str, Any]]:
    body = {"input": text, "voice": voice, "stream_format": "sse", "timestamps": "word", **fields}
    async with http.post("/v1/audio/speech", json=body) as answer:
        assert answer.status == 200, await answer.text()
        raw = await answer.text()
    return [json.loads(line.removeprefix("data: ")) for line in raw.split("\n\n") if line]


@pytest.mark.parametrize("voice", TEXTS)
@pytest.mark.parametrize("fields", [{}, {"spell_out": False}])
async def test_words_when_spoken_in_full_or_not_then_those_that_were_written(
    http: ClientSession, voice: str, fields: dict[str, Any]
) -> None:
    text = TEXTS[voice]
    words = [
        word for event in await events_of(http, text, voice, **fields) for word in event.get("words", ())
    ]
    assert [word["word"] for word in words] == text.replace("**", "").split()
    assert all(word["start"] <= word["end"] for word in words)


async def audio_bytes(http: ClientSession, **fields: Any) -> int:
    body = {"input": "Es sind 80 km/h.", "voice": "de", "response_format": "pcm", **fields}
    async with http.post("/v1/audio/speech", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return len(await answer.read())


async def test_speech_when_a_unit_is_written_short_then_it_sounds_as_in_full_unless_switched_off(
    http: ClientSession,
) -> None:
    in_full = await audio_bytes(http, input="Es sind 80 Kilometer pro Stunde.")
    assert await audio_bytes(http) == pytest.approx(in_full, rel=0.02)
    for fields in ({"spell_out": False}, {"normalize": False}):
        assert await audio_bytes(http, **fields) < 0.9 * in_full
    assert await audio_bytes(http, normalize=False, spell_out=True) == pytest.approx(in_full, rel=0.02)


async def test_address_when_it_says_no_then_the_text_stays(http: ClientSession) -> None:
    sizes = []
    for value in ("true", "false"):
        params = {"text": "Es sind 80 km/h.", "voice": "de", "format": "pcm", "spell_out": value}
        async with http.get("/v1/audio/speech", params=params) as answer:
            assert answer.status == 200
            sizes.append(len(await answer.read()))
    assert sizes[1] < 0.9 * sizes[0]


async def test_ssml_when_it_names_a_language_then_its_units_are_said_in_that(http: ClientSession) -> None:
    written = '<speak xml:lang="de">Es sind 80 km/h.</speak>'
    said = '<speak xml:lang="de">Es sind 80 Kilometer pro Stunde.</speak>'
    short, in_full = [await audio_bytes(http, input=text, voice="en-us") for text in (written, said)]
    assert short == pytest.approx(in_full, rel=0.02)


@pytest.mark.parametrize("spells_out", [True, False])
def test_job_when_it_has_captions_then_their_words_are_those_of_the_text(
    speaking: Appliance, spells_out: bool
) -> None:
    text = TEXTS["de"]
    job_id = submitted(speaking, text, voice="de", captions=True, spell_out=spells_out)
    assert ended(speaking, job_id)["state"] == "completed"
    cues = asked(speaking, f"/v1/jobs/{job_id}/captions.json")
    assert [word["word"] for cue in cues["cues"] for word in cue["words"]] == text.split()
