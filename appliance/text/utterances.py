"""Hop 3 of the path of an utterance: a request's text becomes what workers speak.

Owns: `split_into_utterances`: the pauses between utterances, and speed as the engine can take it.
Refuses to know: the queue, workers, audio.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import NothingToSpeakError
from appliance.speech import (
    MAX_UTTERANCE_CHARS,
    InputType,
    SpeechRequest,
    SpokenText,
    Utterance,
    WrittenWord,
)
from appliance.text.fragments import Fragment, Wanted, group_parts
from appliance.text.normalize import has_something_to_speak, make_speakable
from appliance.text.offsets import cut_out, trimmed
from appliance.text.respelling import respell
from appliance.text.split import FIRST_MAX_CHARS, Border, Span, split_into_spans
from appliance.text.spoken.form import spell_out
from appliance.text.ssml import parse_ssml
from appliance.text.weight import spoken_weight
from appliance.text.written import Stretch, written_words
from appliance.voices import Voice

PAUSE_FACTORS = {Border.NONE: 0.0, Border.CLAUSE: 0.4, Border.SENTENCE: 1.0, Border.PARAGRAPH: 2.5}
"""How long the silence behind an utterance is, as a factor of the pause between two sentences."""

_SLOW_SHARE = 0.9
"""A slow voice's pauses grow too."""

_DEFAULT_LANGUAGE = "en"


@dataclass(slots=True)
class _Piece:
    """What one utterance speaks, and what ends it."""

    spoken: SpokenText
    start_char: int
    border: Border
    words: tuple[WrittenWord, ...] = ()


def language_of(voice: Voice) -> str:
    """Return the BCP 47 tag of the language that a voice's texts are taken to be in."""
    return voice.languages[0] if voice.languages else _DEFAULT_LANGUAGE


def speak_whole(request: SpeechRequest, language: str) -> SpokenText:
    """Return what is spoken of a plain or markdown text: speakable, in spoken form, then by the dictionary.

    Takes linear time.

    Args:
        request: The text, what is to become of it, and the dictionary's words for its voice.
        language: BCP 47 tag of the voice.
    """
    whole = make_speakable(request.text, language, is_enabled=request.make_speakable)
    if request.spell_out:
        whole = spell_out(whole, language)
    return respell(whole, request.pronunciations)


def split_into_utterances(
    request: SpeechRequest,
    voice: Voice,
    *,
    pause_s: float = 0.15,
    max_chars: int = MAX_UTTERANCE_CHARS,
    first_max_chars: int = FIRST_MAX_CHARS,
    is_quick: bool = False,
) -> list[Utterance]:
    """Return what workers are to speak, in order.

    The utterances' spans are contiguous and cover the request's text exactly; what can't be spoken lies
    in the span of the utterance before it. Takes linear time and doesn't block, except that the first
    emoji of a language reads a file of a library.

    Args:
        request: Any text, also with NUL or lone surrogates; its length is the caller's to limit.
        voice: Who speaks.
        pause_s: Seconds of silence between two sentences; clauses get less, paragraphs more.
        max_chars: Most characters of an utterance; fewer where they take longer to speak.
        first_max_chars: Characters of plain text from which on the first is cut short for an early sound.
        is_quick: Whether the whole is spoken so soon that a paragraph which fits one utterance is best
            left in one piece: every further utterance is work for three processes.

    Raises:
        NothingToSpeakError: The text holds no letter, digit or sign that has a name.
        InvalidRequestError: The SSML isn't well-formed or isn't allowed.
        TextTooLongError: An SSML element that can't be cut is longer than an utterance.
    """
    language = language_of(voice)
    speed = min(max(request.speed, voice.min_speed), voice.max_speed)
    # A slow voice fills its share of memory with fewer characters.
    max_chars = max_chars if speed >= 1 else max(1, int(max_chars * _SLOW_SHARE * speed))
    if request.input_type is InputType.SSML:
        pieces = _ssml_pieces(request, language, max_chars)
    else:
        pieces = _text_pieces(request, language, (max_chars, first_max_chars), is_quick=is_quick)
    if not pieces:
        raise NothingToSpeakError(param="input")
    return _utterances(request, voice, pieces, speed, pause_s)


def _utterances(
    request: SpeechRequest, voice: Voice, pieces: list[_Piece], speed: float, pause_s: float
) -> list[Utterance]:
    """Return an utterance for each piece; together they cover the request's text."""
    starts = [0, *(piece.start_char for piece in pieces[1:]), len(request.text)]
    last = len(pieces) - 1
    return [
        Utterance(
            index=index,
            start_char=starts[index],
            end_char=starts[index + 1],
            spoken=piece.spoken,
            engine=voice.engine,
            engine_voice=voice.engine_voice,
            speed=speed,
            pitch=request.pitch,
            volume=request.volume,
            randomness=request.randomness,
            is_ssml=request.input_type is InputType.SSML,
            pause_after_s=pause_s * PAUSE_FACTORS[piece.border] if index < last else 0.0,
            wants_early_sound=index == 0,
            wants_word_marks=request.wants_word_times,
            words=piece.words,
        )
        for index, piece in enumerate(pieces)
    ]


def _text_pieces(
    request: SpeechRequest, language: str, limits: tuple[int, int], *, is_quick: bool
) -> list[_Piece]:
    """Return the spans of a plain or markdown text that have something to speak."""
    whole = speak_whole(request, language)
    pieces: list[_Piece] = []
    starts: list[int] = []
    for span in _spans(whole.text, language, limits, is_quick=is_quick):
        start, end = trimmed(whole.text, span.start_char, span.end_char)
        if has_something_to_speak(whole.text[start:end]):
            spoken = cut_out(whole, start, end)
            pieces.append(_Piece(spoken, spoken.original_offset(0), span.border))
            starts.append(start)
        elif pieces:
            pieces[-1].border = max(pieces[-1].border, span.border)
    if request.wants_word_times and pieces:
        _add_words(request.text, whole, pieces, starts)
    return pieces


def _add_words(original: str, whole: SpokenText, pieces: list[_Piece], starts: list[int]) -> None:
    """Give each piece the words from its beginning to the next one's; before the first none is lost."""
    ends = [*starts[1:], len(whole.text)]
    for index, (piece, start, end) in enumerate(zip(pieces, starts, ends, strict=True)):
        begin = start if index else 0
        stretch = Stretch(begin, end, start, len(piece.spoken.text), is_last=index + 1 == len(pieces))
        piece.words = written_words(original, whole, stretch)


def _spans(text: str, language: str, limits: tuple[int, int], *, is_quick: bool) -> list[Span]:
    max_chars, first_max_chars = limits
    is_one_paragraph = len(text) <= max_chars and "\n" not in text.strip()
    if is_quick and is_one_paragraph and spoken_weight(text, language) <= max_chars:
        return [Span(0, len(text), Border.SENTENCE)]
    return split_into_spans(text, language, max_chars=max_chars, first_max_chars=first_max_chars)


def _ssml_pieces(request: SpeechRequest, language: str, max_chars: int) -> list[_Piece]:
    """Return the fragments of an SSML document."""
    parts = parse_ssml(request.text, request.max_elements)
    wanted = Wanted(request.make_speakable, request.spell_out, request.pronunciations)
    fragments: list[Fragment] = group_parts(parts, language, max_chars=max_chars, wanted=wanted)
    pieces = [_Piece(*fragment) for fragment in fragments]
    if request.wants_word_times:
        for piece in pieces:
            length = len(piece.spoken.text)
            stretch = Stretch(0, length, 0, length, is_last=True)
            piece.words = written_words(request.text, piece.spoken, stretch, is_ssml=True)
    return pieces
