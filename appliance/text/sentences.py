"""Where sentences end.

Owns: sentencex, and a pass that mends what it splits wrongly (abbreviations, ordinals, initials).
Refuses to know: how long an utterance may be; mark-up.

sentencex takes quadratic time over a paragraph without spaces (100,000 Chinese characters: 5.6 s), so it
sees windows of bounded length only, which makes the whole linear.
"""

from __future__ import annotations

import re

import sentencex

from appliance.text.weight import primary_language

_WINDOW_CHARS = 500
_SURROGATE = re.compile("[\ud800-\udfff]")
_OPENING = "([\"“„«'‘"
_FINAL = ("!", "?", "…", "！", "？")
_TAIL_CHARS = 20
_ORDINAL_MAX_DIGITS = 2

# Languages whose names differ between espeak-ng and sentencex.
_SENTENCEX_NAMES = {"cmn": "zh", "yue": "zh", "hak": "zh", "nb": "no"}

# Words that end in a full stop without ending a sentence, in lower case and without the last stop.
_ABBREVIATIONS = {
    "en": "dr mr mrs ms prof st vs e.g i.e no fig approx dept est gen col sgt capt lt rev hon mt ft",
    "de": "z.b d.h u.a bzw ca dr prof nr str evtl ggf inkl vgl s abs bd hr fr st mio mrd tel sog zzgl",
    "fr": "m mm mme mlle mgr dr pr st ste no p.ex env av bd cf éd art chap fig vol tél",
    "es": "sr sra srta dr dra d dña ud uds pág núm art av avda p.ej aprox tel ee.uu",
    "it": "sig sig.ra sigg dott dott.ssa prof ing avv pag art es ca p.es tel",
    "pt": "sr sra dr dra prof profa pág nº av art ex p.ex aprox tel exmo",
    "nl": "dhr mevr mw dr prof drs ir ing bijv d.w.z m.a.w nr blz ca o.a t.a.v st",
    "pl": "tj m.in ok r np ul al dr prof mgr inż im św pt tzn tzw wg godz nr str zob por ks gen płk hab lek",
    "cs": "tj např tzv mj dr ing mgr prof ul č str sv p r cca resp popř",
    "sv": "t.ex bl.a dvs ca dr prof nr s.k kl st",
    "da": "f.eks bl.a dvs ca dr prof nr hr fr kl st",
    "ru": "т.е т.к г гг ул д стр им см рис тыс млн млрд проф акад руб",
    "uk": "т.з р рр вул буд стор ім див рис тис млн млрд проф акад грн",
    "tr": "dr prof doç av sn örn bkz no cad sok",
    "hu": "dr ifj id pl ún ill kb u st",
}
_ABBREVIATION_SETS = {language: frozenset(words.split()) for language, words in _ABBREVIATIONS.items()}

# Languages that write ordinals with a full stop, as in "am 3. Mai".
_ORDINAL = "de pl cs sk sl hr bs sr da nb no nn fo is fi et lv hu tr lb eu"
_ORDINAL_LANGUAGES = frozenset(_ORDINAL.split())


def sentence_ends(paragraph: str, language: str) -> list[int]:
    """Return the offset behind each sentence, in characters; the last one is the paragraph's length.

    Args:
        paragraph: Text without paragraph breaks; lone surrogates are allowed.
        language: BCP 47 tag; an unknown one is read as English.
    """
    primary = primary_language(language)
    if not paragraph.isascii():
        paragraph = _SURROGATE.sub("\ufffd", paragraph)
    ends = _raw_ends(paragraph, _SENTENCEX_NAMES.get(primary, primary))
    kept: list[int] = []
    start = 0
    for end in ends:
        if not _goes_on(paragraph, start, end, primary):
            kept.append(end)
            start = end
    return [*kept, len(paragraph)]


def _raw_ends(paragraph: str, language: str) -> list[int]:
    """Return where sentencex ends a sentence, without the paragraph's own end."""
    ends: list[int] = []
    position = 0
    while position < len(paragraph):
        window = paragraph[position : position + _WINDOW_CHARS]
        is_last = position + len(window) == len(paragraph)
        offset = position
        for part in sentencex.segment(language, window)[:-1]:
            offset += len(part)
            ends.append(offset)
        # The window's last sentence may be unfinished: the next window begins with it.
        position = offset if offset > position and not is_last else position + len(window)
    return ends


def _goes_on(paragraph: str, start: int, end: int, language: str) -> bool:
    """Return whether the sentence goes on behind this end after all.

    Before a word in lower case it does, as behind an abbreviation or `"Really?"` of which somebody tells who
    said it, but not behind a bare `!` or `?`.
    """
    if paragraph[end : end + 1].islower():
        tail = paragraph[max(start, end - _TAIL_CHARS) : end].rstrip()
        return not tail.endswith(_FINAL)
    return is_abbreviated(paragraph, start, end, language)


def is_abbreviated(paragraph: str, start: int, end: int, language: str) -> bool:
    """Return whether the full stop before `end` belongs to an abbreviation, an ordinal or an initial.

    Args:
        paragraph: Text without paragraph breaks.
        start: Where the sentence begins.
        end: Behind the full stop and the white space that follows it.
        language: First part of a BCP 47 tag.
    """
    tail = paragraph[max(start, end - _TAIL_CHARS) : end].rstrip()
    if not tail.endswith("."):
        return False
    word = tail[tail.rfind(" ") + 1 : -1].lstrip(_OPENING)
    if word.isdigit():
        is_whole_sentence = paragraph[start:end].strip() == f"{word}."
        return is_whole_sentence or (len(word) <= _ORDINAL_MAX_DIGITS and language in _ORDINAL_LANGUAGES)
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    return is_initial or word.lower() in _ABBREVIATION_SETS.get(language, ())
