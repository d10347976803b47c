"""The utterances of a request, the first of them early.

Owns: the order of work, and whether what is spoken alone decides how a text sounds. Splitting a long text
whole takes longer than a first sound may wait, so the first utterance is cut from the text's head, and the
rest is split once it is asked for.
Refuses to know: how a text is split (`utterances`).
"""

from __future__ import annotations

from dataclasses import replace

from appliance.errors import NothingToSpeakError
from appliance.speech import InputType, SpeechRequest, Utterance
from appliance.text.tags import may_hide
from appliance.text.utterances import language_of, speak_whole, split_into_utterances
from appliance.voices import Voice

HEAD_CHARS = 1_000
"""Enough for a first utterance and a second one that shows where the first really ends."""
WHOLE_CHARS = 2 * HEAD_CHARS
"""A text up to this length is split whole at once."""


def deciding_text(request: SpeechRequest, voice: Voice) -> str | None:
    """Return what is spoken of a text, where that alone decides how the text sounds.

    Blocks for some 25 µs for a sentence, and 5 ms for `WHOLE_CHARS` full of dates and amounts.

    Returns:
        None where it doesn't: of a long text, whose first utterance is cut from what is written, of SSML, and
        where words are wanted, which are those that are written.
    """
    if request.input_type is InputType.SSML or request.wants_word_times or len(request.text) > WHOLE_CHARS:
        return None
    return speak_whole(request, language_of(voice)).text


class EarlyUtterances:
    """A request's utterances, which cover its text as those of `split_into_utterances` do."""

    def __init__(
        self, request: SpeechRequest, voice: Voice, *, pause_s: float, is_quick: bool = False
    ) -> None:
        """Find the first utterance; a text that isn't long is split whole at once.

        Args:
            request: The text and how to speak it.
            voice: Who speaks.
            pause_s: Seconds of silence between two sentences.
            is_quick: As of `split_into_utterances`.

        Raises:
            NothingToSpeakError, InvalidRequestError, TextTooLongError: As `split_into_utterances`.
        """
        self._request = request
        self._voice = voice
        self._pause_s = pause_s
        self._is_quick = is_quick
        first = self._first_of_head()
        self.is_whole = first is None
        """Whether `known` holds every utterance."""
        self.known = self._split(request) if first is None else [first]
        """The utterances found so far, by index."""

    def split_rest(self) -> list[Utterance]:
        """Split the whole text; return the utterances behind the first, which are known from then on.

        Where the first one of the whole text ends elsewhere, what is left is split by itself. Blocks for some
        3 ms per 10,000 characters of prose, ten times as long for emoji; may be called once, in any thread.

        Raises:
            InvalidRequestError, TextTooLongError: As `split_into_utterances`.
        """
        rest = self._rest()
        self.known += rest
        self.is_whole = True
        return rest

    def _split(self, request: SpeechRequest) -> list[Utterance]:
        return split_into_utterances(request, self._voice, pause_s=self._pause_s, is_quick=self._is_quick)

    def _first_of_head(self) -> Utterance | None:
        request = self._request
        if request.input_type is InputType.SSML or len(request.text) <= WHOLE_CHARS:
            return None
        head = request.text[:HEAD_CHARS]
        if may_hide(head):
            return None
        try:
            found = self._split(replace(request, text=head))
        except NothingToSpeakError:
            return None
        return found[0] if len(found) > 1 else None

    def _rest(self) -> list[Utterance]:
        first = self.known[0]
        whole = self._split(self._request)
        if whole[0].end_char == first.end_char:
            return whole[1:]
        try:
            rest = self._split(replace(self._request, text=self._request.text[first.end_char :]))
        except NothingToSpeakError:
            return []
        return [_moved(utterance, first.end_char) for utterance in rest]


def _moved(utterance: Utterance, offset_chars: int) -> Utterance:
    """Return an utterance of a text's end as one of the whole text."""
    origins = tuple((spoken, original + offset_chars) for spoken, original in utterance.spoken.origins)
    return replace(
        utterance,
        index=utterance.index + 1,
        start_char=utterance.start_char + offset_chars,
        end_char=utterance.end_char + offset_chars,
        spoken=replace(utterance.spoken, origins=origins or ((0, offset_chars),)),
        words=tuple(
            replace(word, start_char=word.start_char + offset_chars, end_char=word.end_char + offset_chars)
            for word in utterance.words
        ),
    )
