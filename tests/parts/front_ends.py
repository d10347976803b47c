"""Front ends of every kind and the texts they are tried with."""

from typing import Final

from appliance.voice_store import FrontEnd

PUNCTUATION: Final = "!'(),-.:;? "
LETTERS: Final = "abcdefghijklmnopqrstuvwxyzàäçèéêñóöùúüąćęłńóśźżßœ"
IPA: Final = "abdefhijklmnoprstuvwxzæðøŋœɐɑɒɔɕəɚɛɜɡɣɨɪɲɹɾʁʂʃʊʌʐʑʒʲˈˌː̃βθᵻʎçɟʔ"

CORPUS: Final = {
    "en": (
        "Hello, world!",
        "Dr. Smith and Mrs. Jones met at St. Paul's; it wasn't far.",
        "In 1905 and 2007, 1,234 people paid $3.50 (or £2) at 3:05 pm on the 21st.",
        "The state-of-the-art one of the lot: what is it?",
        "Wait... what?! — no.",
    ),
    "pl": (
        "Zażółć gęślą jaźń!",
        "Dnia 25 maja 2024 r. było 3,5 stopnia, m.in. w Łodzi.",
        "W szczebrzeszynie chrząszcz brzmi w trzcinie; i co z tego?",
    ),
    "de": (
        "Grüße aus Köln, sagte er.",
        "Das Meeting ist um 12:30 Uhr am 3. Mai: 1.234,56 € und 20 %.",
        "Der Computer-Download dauert; z. B. eine Straße weiter.",
    ),
    "fr": (
        "M. Dupont et Mlle Martin sont-ils là ?",
        "« Ça va », dit-il : l'été, c.-à-d. 21 jours de week-end au parking !",
        "Le football, etc. N.B. dix-sept œufs & du pain.",
    ),
    "es": (
        "¿Qué tal? ¡El niño tiene 3 años!",
        "La Sra. García pagó 1.500 euros; adiós.",
        "El pingüino y la cigüeña",
    ),
}
HARD: Final = (
    "",
    " ",
    "a",
    "I",
    ".",
    "...!?",
    "a.b,c",
    "x\ty\n\nz",
    "line one\nline two, line three",
    "e\u0301te\u0301 \u0130stanbul \u1e9e",
    "\U0001f600 smile \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u4f60\u597d and \u041f\u0440\u0438\u0432\u0435\u0442",
    '(brackets) [and] <more> "quotes"',
    "--- dashes --- everywhere ---",
    "the the the, the a of",
    "word " * 30,
    "a" * 90,
    "WiFi USB NASA e.g. i.e. etc.",
    "it\u2019s \u201cquoted\u201d \u2026 and\u2014so on",
)


def letters_voice(**fields: object) -> FrontEnd:
    """Return the front end of a voice that speaks letters."""
    vocabulary = ("_", "^", "~", "#", *LETTERS, *PUNCTUATION)
    specials = {"pad": "_", "bos": "^", "eos": "~", "blank": "#", "cleaner": "multilingual_cleaners"}
    return FrontEnd.model_validate({"vocabulary": vocabulary, "language": "en", **specials, **fields})


def phoneme_voice(language: str = "en-us", **fields: object) -> FrontEnd:
    """Return the front end of a voice that speaks espeak-ng's phonemes."""
    vocabulary = ("_", *PUNCTUATION, *IPA, "#")
    described = {"pad": "_", "blank": "#", "add_blank": True, "cleaner": "phoneme_cleaners"}
    described |= {
        "phonemizer": "espeak",
        "phoneme_language": language,
        "language": language.partition("-")[0],
    }
    return FrontEnd.model_validate({"vocabulary": vocabulary, **described, **fields})
