"""Group the parts of an SSML document into documents short enough to be spoken in one go.

Owns: where SSML is cut (between elements, and between sentences of an element's text), and the elements
that are closed there and opened again.
Refuses to know: parsing (`ssml`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from appliance.errors import InvalidRequestError, TextTooLongError
from appliance.speech import MAX_UTTERANCE_CHARS, NO_PRONUNCIATIONS, Pronunciations, SpokenText
from appliance.text.digits import spell_digits
from appliance.text.inline import InlineScanner, fold_spaces, white_space_edits
from appliance.text.normalize import compose_letters, drop_unspeakable, has_something_to_speak
from appliance.text.offsets import apply_edits, cut_out
from appliance.text.respelling import respell
from appliance.text.split import FIRST_MAX_CHARS, Border, split_into_spans
from appliance.text.spoken.form import spell_out
from appliance.text.ssml import Closing, Leaf, Opening, Part, Run, escaped
from appliance.text.weight import spoken_weight

MAX_FRAGMENT_CHARS = 16_000
"""Characters of one fragment, tags included: it must fit the meta of a wire frame (64 KiB)."""

_UNITS_PER_S = 10
_SLOWEST_RATE = 0.45
"""A `rate` in the document may slow espeak-ng from 175 to its floor of 80 words a minute."""
_BORDERS = {"s": Border.SENTENCE, "p": Border.PARAGRAPH}
_LANGUAGE = re.compile(r" xml:lang=[\"']([^\"']+)")
_RATE = re.compile(r"<prosody[^>]* rate=")


class Wanted(NamedTuple):
    """What is to become of an element's text."""

    names_emoji: bool = True
    spells_out: bool = True
    pronunciations: Pronunciations = NO_PRONUNCIATIONS


class Fragment(NamedTuple):
    """A whole SSML document that is part of a longer one."""

    spoken: SpokenText
    start_char: int
    """Where it begins in the original, in characters."""
    border: Border
    """What stands at its end."""


_ALL = Wanted()


def group_parts(
    parts: list[Part], language: str, *, max_chars: int = MAX_UTTERANCE_CHARS, wanted: Wanted = _ALL
) -> list[Fragment]:
    """Return the document in fragments, each of which has something to speak.

    Takes linear time.

    Args:
        parts: What `parse_ssml` found.
        language: BCP 47 tag of the voice.
        max_chars: Most characters of text in a fragment; fewer where they take longer to speak.
        wanted: What becomes of the text; that of `<say-as>` and `<sub>` isn't spelled out or respelled.

    Raises:
        TextTooLongError: A `<say-as>` or `<sub>`, which can't be cut, is longer than `max_chars`.
        InvalidRequestError: There are too many tags for too little text.
    """
    if any(isinstance(part, Opening) and _RATE.match(part.markup) for part in parts):
        max_chars = int(max_chars * _SLOWEST_RATE)
    grouper = _Grouper(language, max_chars, wanted)
    for part in parts:
        grouper.take(part)
    return grouper.finish()


class _Grouper:
    """Collects parts into a fragment until the next one would be too much."""

    def __init__(self, language: str, max_weight: int, wanted: Wanted) -> None:
        self._language = language
        self._max_weight = max_weight
        self._wanted = wanted
        self._fragments: list[Fragment] = []
        self._open: list[Opening] = []
        self._at = 0
        self._begin()

    def _begin(self) -> None:
        """Start a fragment with all elements that are open."""
        self._pieces: list[str] = []
        self._origins: list[tuple[int, int]] = []
        self._length = 0
        self._weight = 0
        self._has_speech = False
        self._pending: Border | None = None
        self._start = self._at
        for opening in self._open:
            self._add(opening.markup, self._at)

    def take(self, part: Part) -> None:
        """Add a part, and end the fragment before it if that is due."""
        match part:
            case Opening():
                self._flush_pending()
                self._add(part.markup, part.start_char)
                self._open.append(part)
            case Closing():
                self._open.pop()
                self._add(f"</{part.name}>", part.start_char)
                if part.name in _BORDERS:
                    self._end_soon(_BORDERS[part.name])
            case Leaf():
                self._take_leaf(part)
            case Run(around=None):
                said = self._spelled_out(self._speakable(part.text))
                self._take_text(respell(said, self._wanted.pronunciations))
            case Run():
                self._take_whole(part)

    def finish(self) -> list[Fragment]:
        """Return all fragments; what is left without anything to speak is dropped."""
        if self._has_speech:
            self._flush(Border.PARAGRAPH)
        return self._fragments

    def _speakable(self, text: SpokenText) -> SpokenText:
        """Return an element's text cleaned, its white space folded, its emoji named."""
        clean = drop_unspeakable(text.text)
        if clean.text != text.text:
            text = SpokenText(
                clean.text, tuple((at, text.original_offset(source)) for at, source in clean.origins)
            )
        text = spell_digits(compose_letters(text), self._language)
        if not self._wanted.names_emoji:
            return apply_edits(text, white_space_edits(text.text, 0, len(text.text)))
        scanner = InlineScanner(text.text, self._language)
        scanner.scan(0, len(text.text), is_code=True)
        return fold_spaces(apply_edits(text, scanner.edits()))

    def _spelled_out(self, text: SpokenText) -> SpokenText:
        """Return an element's text as it is said in the language that it stands in."""
        if not self._wanted.spells_out:
            return text
        named = (_LANGUAGE.search(opening.markup) for opening in reversed(self._open))
        return spell_out(text, next((found[1] for found in named if found), self._language))

    def _take_leaf(self, leaf: Leaf) -> None:
        weight = 1 + round(leaf.pause_s * _UNITS_PER_S)
        # Before the first word only so much silence that a full span of text still fits behind it.
        limit = self._max_weight if self._has_speech else self._max_weight // 3
        if self._weight + weight <= limit:
            self._weight += weight
            self._add(leaf.markup, leaf.start_char)

    def _take_text(self, text: SpokenText) -> None:
        is_first = not self._fragments and not self._has_speech
        spans = split_into_spans(
            text.text,
            self._language,
            max_chars=self._max_weight,
            first_max_chars=FIRST_MAX_CHARS if is_first else self._max_weight,
        )
        for number, span in enumerate(spans, 1):
            part = cut_out(text, span.start_char, span.end_char)
            if not part.text.isspace():
                self._flush_pending()
            self._add_spoken(part, part.text)
            if number < len(spans):
                self._end_soon(span.border)

    def _take_whole(self, run: Run) -> None:
        assert run.around is not None
        text = self._speakable(run.text)
        spoken = run.alias or text.text
        if spoken_weight(spoken, self._language) > self._max_weight:
            raise TextTooLongError(
                f"A <{run.around.name}> element takes too long to speak: at most {self._max_weight} "
                "characters, of which a digit counts as five and a capital as three.",
                param="input",
            )
        self._flush_pending()
        opening, closing = run.around.markup, f"</{run.around.name}>"
        inner = escaped(text)
        pairs = [(at + len(opening), original) for at, original in inner.origins]
        whole = SpokenText(opening + inner.text + closing, ((0, run.around.start_char), *pairs))
        self._add_spoken(whole, spoken, is_markup=True)

    def _add_spoken(self, part: SpokenText, spoken: str, *, is_markup: bool = False) -> None:
        """Add text, in a new fragment if it is too much for this one."""
        weight = spoken_weight(spoken, self._language)
        if self._weight + weight > self._max_weight:
            if not self._has_speech and not has_something_to_speak(spoken):
                return
            if self._has_speech:
                self._flush(Border.NONE)
        self._weight += weight
        self._has_speech = self._has_speech or has_something_to_speak(spoken)
        if not is_markup:
            part = escaped(part)
        self._origins += [(self._length + at, original) for at, original in part.origins]
        self._pieces.append(part.text)
        self._length += len(part.text)
        self._at = part.original_offset(len(part.text))

    def _add(self, markup: str, original: int) -> None:
        self._at = original
        self._origins.append((self._length, original))
        self._pieces.append(markup)
        self._length += len(markup)

    def _end_soon(self, border: Border) -> None:
        """End the fragment before the next text, so that what has no sound stays with this one."""
        if self._has_speech:
            self._pending = max(border, self._pending or border)

    def _flush_pending(self) -> None:
        if self._pending is not None:
            self._flush(self._pending)

    def _flush(self, border: Border) -> None:
        at = self._at
        for opening in reversed(self._open):
            self._add(f"</{opening.name}>", at)
        if self._length > MAX_FRAGMENT_CHARS:
            raise InvalidRequestError("The SSML holds too many tags for its text.", param="input")
        spoken = SpokenText("".join(self._pieces), tuple(self._origins))
        self._fragments.append(Fragment(spoken, self._start, border))
        self._at = at
        self._begin()
