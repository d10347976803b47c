"""The catalogue's voices come and go with what the newest worker of their engine names."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError, VoiceNotFoundError
from appliance.voices import Variant, Voice, VoiceCatalog, read_voices_file, usual_case

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


@pytest.mark.parametrize(
    ("tag", "usual"),
    [
        ("pl", "pl"),
        ("EN", "en"),
        ("en-us", "en-US"),
        ("zh-latn-cn", "zh-Latn-CN"),
        ("es-419", "es-419"),
        ("en-gb-scotland", "en-GB-scotland"),
        ("vi-vn-x-south", "vi-VN-x-south"),
        ("en-gb-x-rp", "en-GB-x-rp"),
    ],
)
def test_tag_when_its_case_is_any_then_written_as_usual(tag, usual) -> None:
    assert usual_case(tag) == usual


def test_catalog_when_a_stored_voice_is_withdrawn_then_no_worker_brings_it_back_before_it_is_readmitted() -> (
    None
):
    catalog = VoiceCatalog({}, "en-us")
    catalog.replace("espeak", [ENGLISH], [])
    speakers = [LESSAC, replace(LESSAC, id="lessac-s1", engine_voice="lessac/1")]
    others = [replace(LESSAC, id="lessac2", engine_voice="lessac2/0")]
    catalog.replace("vits", [*speakers, *others], [])
    catalog.withdraw("vits", "lessac")
    catalog.withdraw("vits", "gmw")  # the first part of a name inside another engine
    assert [voice.id for voice in catalog.voices()] == ["en-us", "lessac2"]
    catalog.replace("vits", [*speakers, *others], [])
    assert [voice.id for voice in catalog.voices()] == ["en-us", "lessac2"]
    catalog.readmit(["lessac2"])
    catalog.replace("vits", [*speakers, *others], [])
    assert [voice.id for voice in catalog.voices()] == ["en-us", "lessac2"]
    catalog.readmit(["lessac", "lessac2"])
    catalog.replace("vits", [*speakers, *others], [])
    assert [voice.id for voice in catalog.voices()] == ["en-us", "lessac", "lessac-s1", "lessac2"]


@pytest.mark.parametrize("order", list(itertools.permutations(("espeak", "vits", "coqui"))))
def test_catalog_when_several_voices_have_one_id_then_always_the_same_one_counts(order) -> None:
    heard = {
        "espeak": [ENGLISH],
        "vits": [replace(LESSAC, id="en-us"), replace(LESSAC, id="les-sac", engine_voice="les-sac/0")],
        "coqui": [
            replace(LESSAC, id=voice_id, engine="coqui", engine_voice=engine_voice)
            for voice_id, engine_voice in (("les-sac", "les/1"), ("en-US", "en/1"), ("les", "les/0"))
        ],
    }
    catalog = VoiceCatalog({}, "en-us")
    for engine in order:
        catalog.replace(engine, heard[engine], [])
    found = {voice.id: voice.engine for voice in catalog.voices()}
    assert found == {"en-us": "espeak", "les": "coqui", "les-sac": "vits"}
    catalog.replace("vits", [], [])
    assert catalog.resolve("les-sac").engine == "coqui"


ESPEAK = [
    Voice(tags.split()[0], tags, "espeak", engine_voice, tuple(tags.split()))
    for tags, engine_voice in (
        ("cmn zh-cmn zh", "sit/cmn"),
        ("cmn-latn-pinyin zh-cmn zh", "sit/cmn-Latn-pinyin"),
        ("de", "gmw/de"),
        ("en-029 en", "gmw/en-029"),
        ("en-gb en", "gmw/en"),
        ("en-us en", "gmw/en-US"),
        ("fr-be fr", "roa/fr-BE"),
        ("fr-fr fr", "roa/fr"),
        ("nb no", "gmq/nb"),
        ("pt pt-pt", "roa/pt"),
        ("pt-br pt", "roa/pt-BR"),
        ("yue zh-yue zh", "sit/yue"),
    )
]


def speaks_for(voice: Voice, fallbacks: dict[str, str], aliases: dict[str, str] | None = None) -> str | None:
    catalog = VoiceCatalog(aliases or {}, "en-us", fallbacks)
    catalog.replace("espeak", ESPEAK, [Variant("f3", "Female 3", "espeak")])
    catalog.replace("vits", [LESSAC], [])
    found = catalog.fallback_of(voice)
    return None if found is None else found.id


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("en", "en-gb"),
        ("en-US", "en-us"),
        ("fr", "fr-fr"),
        ("pt", "pt"),
        ("pt-BR", "pt-br"),
        ("zh-CN", "cmn"),
        ("no", "nb"),
        ("tlh", None),
        ("e", None),
        ("", None),
    ],
)
def test_fallback_when_chosen_by_language_then_the_nearest_voice_or_none(language: str, voice: str) -> None:
    assert speaks_for(replace(LESSAC, languages=(language, "de")), {"*": "auto"}) == voice


def test_fallback_when_an_alias_stands_for_a_language_then_its_voice_unless_that_is_another_engines() -> None:
    assert speaks_for(LESSAC, {"*": "auto"}, {"en": "en-us"}) == "en-us"
    assert speaks_for(LESSAC, {"*": "auto"}, {"en": "lessac"}) == "en-gb"


@pytest.mark.parametrize(
    ("fallbacks", "voice"),
    [
        ({}, None),
        ({"amy": "auto"}, None),
        ({"lessac": "de"}, "de"),
        ({"lessac": "en-us+f3"}, "en-us+f3"),
        ({"narrator": "de"}, "de"),
        ({"l*": "de"}, "de"),
        ({"*": "de", "les*": "fr-fr", "l*": "none"}, "fr-fr"),
        ({"*": "de", "lessac": "none"}, None),
        ({"lessac": "nobody"}, None),
        ({"lessac": "lessac"}, None),
    ],
)
def test_fallback_when_entered_then_the_nearest_entry_counts_and_names_a_voice_of_espeak(
    fallbacks: dict[str, str], voice: str | None
) -> None:
    assert speaks_for(LESSAC, fallbacks, {"narrator": "lessac"}) == voice


def test_fallback_when_the_voice_is_espeaks_own_then_none() -> None:
    assert speaks_for(ESPEAK[0], {"*": "auto"}) is None


@pytest.mark.parametrize(
    ("name", "is_expected", "voice"),
    [
        ("en-later-vits", True, "en-gb"),
        ("EN-Later-vits", False, "en-gb"),
        ("soon", False, "en-gb"),
        ("de-other-vits", True, "de"),
        ("de-other-vits", False, None),
        ("tlh-other-vits", True, None),
    ],
)
def test_fallback_when_the_voice_is_absent_then_by_its_name_and_unless_expected_only_where_entered_whole(
    name: str, is_expected: bool, voice: str | None
) -> None:
    fallbacks = {"*": "auto", "en-later-vits": "auto"}
    catalog = VoiceCatalog({"soon": "en-later-vits"}, "en-us", fallbacks)
    catalog.replace("espeak", ESPEAK, [])
    found = catalog.fallback_of_absent(name, is_expected=is_expected)
    assert (None if found is None else found.id) == voice


@pytest.mark.parametrize(
    ("fallbacks", "name", "speaker"),
    [
        ({}, "de-later-vits", "de"),
        ({}, "narrator", "de"),
        ({}, "DE-Later-vits-anna", "de"),
        ({}, "de-laterally", None),
        ({}, "de-later-vits+f3", None),
        ({}, "tlh-later-vits", None),
        ({"*": "en-us"}, "de-later-vits", "en-us"),
        ({"de-later-vits": "fr-fr", "*": "none"}, "de-later-vits", "fr-fr"),
        ({"de-*": "none"}, "de-later-vits", None),
    ],
)
def test_fallback_when_the_voice_is_to_be_imported_then_one_of_its_language_unless_the_entries_say_otherwise(
    fallbacks: dict[str, str], name: str, speaker: str | None
) -> None:
    coming = ["de-later-vits", "tlh-later-vits"]
    catalog = VoiceCatalog({"narrator": "de-later-vits"}, "en-us", fallbacks, coming)
    catalog.replace("espeak", ESPEAK, [])
    found = catalog.speaker_of(name)
    assert (None if found is None else found.id) == speaker
    german = Voice("de-later-vits", "Later", "vits", "de-later-vits/0", ("de",))
    catalog.replace("vits", [german], [])
    assert catalog.speaker_of("narrator") == german
    assert catalog.speaker_of("de-later-vits-anna") is None


def test_voices_file_when_read_then_names_are_in_lower_case(tmp_path: Path) -> None:
    path = tmp_path / "voices.toml"
    path.write_text('[aliases]\nNarrator = "amy"\n[fallbacks]\nAmy = "de"\n', "utf-8")
    read = read_voices_file(path)
    assert (read.aliases, read.models, read.fallbacks) == ({"narrator": "amy"}, {}, {"amy": "de"})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('"*x" = "auto"', "left stands"),
        ('"e*n" = "auto"', "left stands"),
        ('"" = "auto"', "left stands"),
        ('"**" = "auto"', "left stands"),
        ('"en-us+f3" = "auto"', "variant"),
        ('"*" = ""', "right stands"),
        ('"*" = "en*"', "right stands"),
    ],
)
def test_voices_file_when_a_fallback_cannot_mean_anything_then_it_is_named(
    tmp_path: Path, entry: str, said: str
) -> None:
    path = tmp_path / "voices.toml"
    path.write_text(f"[fallbacks]\n{entry}\n", "utf-8")
    with pytest.raises(ConfigurationError, match=f"fallbacks: .* = .*{said}"):
        read_voices_file(path)


@pytest.mark.parametrize("text", ["[fallbacks]\namy = 7\n", "[fallback]\n", "fallbacks = 'amy'\n"])
def test_voices_file_when_a_table_is_wrong_then_says_which_there_are(tmp_path: Path, text: str) -> None:
    path = tmp_path / "voices.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match="aliases, models, fallbacks"):
        read_voices_file(path)
