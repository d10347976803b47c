"""What a manifest says, and which form of a voice is chosen."""

import string
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.engines.vits.making.description import language_tag, speakers, versions
from appliance.engines.vits.making.texts import TEXTS, texts_for
from appliance.engines.vits.making.verdict import LEAST_QUANTISED, Limits, Measured, choose, judged_by
from appliance.errors import VoiceQualityError
from appliance.voice_settings import plain_id


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("en", "en"),
        ("en-us", "en-US"),
        ("fr-fr", "fr-FR"),
        ("pt_br", "pt-BR"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("ewe", "ee"),
        ("lin", "ln"),
        ("tw_akuapem", "tw-akuapem"),
        ("tw-asante", "tw-asante"),
        ("chr", "chr"),
        ("zh-CN", "zh-CN"),
        ("en-us-nyc", "en-US"),
        ("Polish", "und"),
        ("english", "und"),
        ("pl pl", "und"),
        ("pl-", "und"),
        ("en-gb-x-rp", "en-GB"),
        ("", "und"),
        ("1", "und"),
    ],
)
def test_language_when_named_by_coqui_then_a_bcp_47_tag(name, tag) -> None:
    assert language_tag(name) == tag


def test_speakers_when_their_names_look_alike_then_every_id_is_another() -> None:
    made = speakers(["Anna", "anna", "Żółć", "日本", "p225\n"])
    assert [speaker.id for speaker in made] == ["anna", "anna-1", "zoc", "speaker-3", "p225"]
    assert [speaker.index for speaker in made] == [0, 1, 2, 3, 4]
    assert made[4].name == "p225"


@pytest.mark.parametrize("name", ["female-pt-4\n", " x", "y" * 201, "\n"])
def test_speaker_when_its_name_cannot_be_shown_as_it_is_then_the_models_own_is_kept(name) -> None:
    [made] = speakers([name])
    assert made.model_name == name
    assert 0 < len(made.name) <= 200
    assert made.name == made.name.strip()
    assert speakers(["p225"])[0].model_name is None


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["x-2", "x", "X"], ["x-2", "x", "x-3"]),
        (["speaker-1", "日本"], ["speaker-1", "speaker-1-1"]),
        (["a", "a-3", "a-4", "A", "A "], ["a", "a-3", "a-4", "a-5", "a-6"]),
    ],
)
def test_speakers_when_a_name_is_what_a_number_would_make_of_another_then_the_next_number(names, ids) -> None:
    assert [speaker.id for speaker in speakers(names)] == ids


@given(st.lists(st.sampled_from(["x", "X", "x-1", "x-2", "x-3", "x-1-1", "日", "speaker-1"]), max_size=12))
@example(["x-2", "x", "X"])
def test_speakers_when_their_names_are_near_each_other_then_their_ids_are_different(names) -> None:
    ids = [speaker.id for speaker in speakers(names)]
    assert len(set(ids)) == len(names)


@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=20))
def test_speakers_when_named_by_anything_then_their_ids_are_different_and_plain(names) -> None:
    ids = [speaker.id for speaker in speakers(names)]
    assert len(set(ids)) == len(names)
    assert set("".join(ids)) <= set(string.ascii_lowercase + string.digits + "-")


@given(st.text())
def test_plain_id_when_made_of_anything_then_fit_for_a_voice(name) -> None:
    made = plain_id(name)
    assert len(made) <= 60
    assert not made or (made[0].isalnum() and made[-1].isalnum() and made.isascii())


def test_versions_when_asked_then_at_least_the_processor() -> None:
    assert versions()["cpu"]


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_texts_when_compared_then_none_is_both_calibrated_with_and_held_out(language) -> None:
    texts = TEXTS[language]
    assert not set(texts.calibration) & set(texts.held_out)
    assert all(len(text) <= 90 for text in texts.calibration + texts.held_out)


def test_texts_when_the_language_is_not_there_then_the_configs_own_or_english() -> None:
    said = texts_for("xx-XX", ["one", ["two", "speaker"], "three"])
    assert said == (("one", "two"), ("three",), "the test_sentences of its config")
    assert texts_for("xx", [None, 5, []]) == (*TEXTS["en"][:2], "English sentences")
    assert texts_for("pl-PL", ["one", "two"]) == TEXTS["pl"]
    assert not any(texts.origin for texts in TEXTS.values())


GOOD = Measured("int8", 34.0, 0.5, 0.0, 5.0)
EXACT = Measured("fp32", 120.0, 0.0, 5e-7, 2.0)


def test_choice_when_several_pass_then_the_fastest_here() -> None:
    name, reasons = choose([GOOD, EXACT], Limits())
    assert name == "int8"
    assert reasons[0] == "int8: SNR 34.0 dB, log-mel distance 0.50 dB, 5.0 times real time; passes."
    assert reasons[-1].startswith("int8 was chosen")
    assert choose([Measured("int8", 34.0, 0.5, 0.0, 1.0), EXACT], Limits())[0] == "fp32"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Measured("int8", 24.9, 0.5, 0.0, 9.0), "SNR below 25 dB"),
        (Measured("int8", float("nan"), 0.5, 0.0, 9.0), "SNR below 25 dB"),
        (Measured("int8", 34.0, 1.1, 0.0, 9.0), "log-mel distance above 1 dB"),
        (Measured("int8", 34.0, float("nan"), 0.0, 9.0), "log-mel distance above 1 dB"),
        (Measured("int8", 34.0, 0.5, 1.1e-3, 9.0), "fails: windowed and whole audio differ by 1.1e-03"),
        (Measured("int8", 34.0, 0.5, float("nan"), 9.0), "windowed and whole audio differ"),
    ],
)
def test_choice_when_a_form_misses_a_limit_then_another_and_the_reason_is_said(bad, why) -> None:
    name, reasons = choose([bad, EXACT], Limits())
    assert name == "fp32"
    assert why in reasons[0]


@pytest.mark.parametrize(
    "inexact", [Measured("int8", 34.0, 0.5, 1e-9, 9.0), Measured("fp32", 120.0, 0.0, 1.1e-6, 9.0)]
)
def test_choice_when_windows_differ_by_what_is_rounded_then_taken_and_said(inexact) -> None:
    name, reasons = choose([inexact], Limits())
    assert name == inexact.name
    assert f"passes, though windowed and whole audio differ by {inexact.window_difference:.1e}." in reasons[0]
    assert inexact.figures()[f"{name}_window_difference"] == inexact.window_difference


CONV = Measured("int8-conv", 39.0, 0.4, 0.0, 3.0)


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ([GOOD, CONV, EXACT], "fp32"),
        ([EXACT, CONV, GOOD], "fp32"),
        ([GOOD, CONV], "int8-conv"),
        ([GOOD, replace(EXACT, snr_db=20.0)], "int8"),
    ],
)
def test_choice_when_a_language_has_no_sentences_then_the_least_quantised_that_passes_and_said(
    measured, chosen
) -> None:
    assert choose(measured, Limits())[0] == "int8" or GOOD not in measured
    name, reasons = choose(measured, Limits(), [judged_by("tr", "English sentences")])
    assert name == chosen
    assert reasons[-2] == "tr was judged by what isn't known to be its own: English sentences."
    assert reasons[-1].startswith(f"{chosen} was chosen: of those that pass, it is quantised least")


def test_forms_when_ranked_by_what_they_lose_then_every_one_is() -> None:
    assert sorted(LEAST_QUANTISED) == sorted(Limits().forms)


def test_choice_when_no_form_passes_then_an_error_with_every_reason() -> None:
    with pytest.raises(VoiceQualityError, match=r"int8: SNR 20.*fails"):
        choose([Measured("int8", 20.0, 0.5, 0.0, 9.0)], Limits())
