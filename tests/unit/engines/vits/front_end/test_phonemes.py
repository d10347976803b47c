"""The cuts at punctuation, and which word a phoneme belongs to."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.engines.vits.front_end.alignment import align
from appliance.engines.vits.front_end.phonemes import EspeakPhonemizer
from appliance.engines.vits.front_end.punctuation import cut
from appliance.engines.vits.front_end.traced import TracedText


def pieces(text: str) -> list[tuple[str, bool]]:
    return [(piece.text.text, piece.is_punctuation) for piece in cut(TracedText(text))]


def test_cut_when_marks_stand_anywhere_then_they_keep_the_spaces_around_them() -> None:
    assert pieces(' «Yes» , he said... "no') == [
        ("«", True),
        ("Yes", False),
        ("» , ", True),
        ("he said", False),
        ('... "', True),
        ("no", False),
    ]


@given(text=st.text(st.sampled_from("ab .,!?—\n"), max_size=40))
def test_cut_when_joined_again_then_nothing_is_lost(text) -> None:
    assert "".join(piece for piece, _ in pieces(text)) == text.strip()


def test_align_when_groups_are_fewer_than_words_then_splits_them_by_sound() -> None:
    alone = {"out": "aʊt", "of": "ʌv", "the": "ðə", "house": "haʊs"}
    sounds = "ˈaʊɾəvðə hˈaʊs"
    places = align("out of the house", sounds, alone.__getitem__)
    owners = [
        "".join(sound for sound, at in zip(sounds, places, strict=True) if at == start)
        for start in (0, 4, 7, 11)
    ]
    assert owners == ["ˈaʊɾə", "v", "ðə", "hˈaʊs"]


def test_align_when_a_word_is_silent_or_unlike_then_every_sound_has_an_owner() -> None:
    assert align("a b c", "x y", {"a": "x", "b": "", "c": "q"}.__getitem__) == [0, 1, 2]
    assert align("", "xy", str) == [0, 0]
    assert align("word", "", str) == []


@given(
    words=st.lists(st.text("abc1", min_size=1, max_size=4), min_size=1, max_size=8),
    sounds=st.text("abcxy ", max_size=30),
)
def test_align_when_given_anything_then_owners_are_words_and_never_fall(words, sounds) -> None:
    text = " ".join(words)
    places = align(text, sounds, str)
    assert len(places) == len(sounds)
    assert places == sorted(places)
    assert all(at == 0 or " " in {text[at - 1], (text + " ")[at]} for at in places)


def test_phonemes_when_a_clause_has_unstressed_words_only_then_the_last_is_stressed() -> None:
    """As where the library speaks it; espeak_TextToPhonemes gives wˌʌt."""
    phonemizer = EspeakPhonemizer()
    phonemizer.prepare("en-us")
    assert phonemizer.phonemes("what", "en-us") == "wˈʌt"


def test_phonemes_when_a_language_is_tonal_then_they_have_tones() -> None:
    phonemizer = EspeakPhonemizer()
    phonemizer.prepare("cmn")
    assert phonemizer.phonemes("你好世界", "cmn") == "niɜχˈɑu2 s.ˈi.5 tɕˈiɛ5"


def test_phonemes_when_a_text_has_lines_brackets_and_codes_then_all_are_words() -> None:
    phonemizer = EspeakPhonemizer()
    phonemizer.prepare("en")
    assert phonemizer.phonemes("one (two)\nthree", "en") == "wˈʌn tˈuː θɹˈiː"
    assert phonemizer.phonemes("", "en") == ""
    assert "həlˈoʊ" not in phonemizer.phonemes("[[h@l'oU]]", "en")
