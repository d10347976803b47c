"""The catalogue's voices come and go with what the newest worker of their engine names."""

from dataclasses import replace

import pytest

from appliance.errors import VoiceNotFoundError
from appliance.voices import Variant, Voice, VoiceCatalog

LESSAC = Voice("lessac", "Lessac", "vits", "lessac/0", ("en",))
ENGLISH = Voice("en-us", "English", "espeak", "gmw/en-US", ("en-US",))


def test_catalog_when_an_engine_no_longer_names_a_voice_then_forgotten_and_others_stay() -> None:
    catalog = VoiceCatalog({}, "en-us")
    catalog.replace("espeak", [ENGLISH], [Variant("f3", "Female 3", "espeak")])
    catalog.replace("vits", [LESSAC, replace(LESSAC, id="amy")], [])
    catalog.replace("vits", [LESSAC], [])
    assert [voice.id for voice in catalog.voices()] == ["en-us", "lessac"]
    assert [variant.id for variant in catalog.variants()] == ["f3"]
    with pytest.raises(VoiceNotFoundError):
        catalog.resolve("amy")
    catalog.replace("espeak", [ENGLISH], [])
    assert catalog.variants() == []
