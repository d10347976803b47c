"""What a voice says while it is made.

Owns: a few sentences for each of the more common languages, some to calibrate with, others to judge by.
Refuses to know: what is done with them.

They are everyday prose with long and short words, a question and numbers written out, so that most sounds of
the language occur. A language that isn't here takes the sentences that its model's config was tested with,
which may be of another language, and is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MAX_CHARS = 90
"""Longer sentences of a config are cut: the model speaks them whole, with 8 MB of memory a character."""


class Texts(NamedTuple):
    """Sentences of one language."""

    calibration: tuple[str, ...]
    held_out: tuple[str, ...]
    """None of them is among the others."""
    origin: str = ""
    """What they are, for a person, where they aren't known to be of the language."""


TEXTS = {
    "cs": Texts(
        (
            "Dobré ráno, vlak do Prahy odjíždí za čtyři minuty.",
            "Přišla jsi včera pozdě, nebo už jsi spala?",
            "Na zahradě kvetou růže a pod stromem leží žlutá jablka.",
            "Zítra bude většinou zataženo a odpoledne může pršet.",
        ),
        ("Knihovna se otevírá v devět hodin.", "Kde jste nechali ten velký červený deštník?"),
    ),
    "de": Texts(
        (
            "Guten Morgen, der Zug nach München fährt in vier Minuten ab.",
            "Hast du gestern lange gearbeitet, oder warst du schon müde?",
            "Im Garten blühen Rosen, und unter dem Baum liegen gelbe Äpfel.",
            "Morgen ist es meist bewölkt, am Nachmittag kann es regnen.",
        ),
        ("Die Bücherei öffnet um neun Uhr.", "Wo habt ihr den großen roten Regenschirm gelassen?"),
    ),
    "en": Texts(
        (
            "Good morning, the train to London leaves in four minutes.",
            "Did you work late yesterday, or were you asleep already?",
            "Roses bloom in the garden, and yellow apples lie under the tree.",
            "Tomorrow will be cloudy for the most part, with some rain after lunch.",
        ),
        ("The library opens at nine.", "Where have they put that large red umbrella?"),
    ),
    "es": Texts(
        (
            "Buenos días, el tren a Sevilla sale dentro de cuatro minutos.",
            "¿Trabajaste ayer hasta tarde, o ya estabas durmiendo?",
            "En el jardín florecen las rosas, y bajo el árbol hay manzanas amarillas.",
            "Mañana estará nublado casi todo el día y puede llover por la tarde.",
        ),
        ("La biblioteca abre a las nueve.", "¿Dónde dejasteis aquel gran paraguas rojo?"),
    ),
    "fr": Texts(
        (
            "Bonjour, le train pour Lyon part dans quatre minutes.",
            "As-tu travaillé tard hier, ou dormais-tu déjà ?",
            "Les roses fleurissent au jardin, et des pommes jaunes sont sous l'arbre.",
            "Demain le ciel sera plutôt gris, avec un peu de pluie l'après-midi.",
        ),
        ("La bibliothèque ouvre à neuf heures.", "Où avez-vous laissé ce grand parapluie rouge ?"),
    ),
    "it": Texts(
        (
            "Buongiorno, il treno per Napoli parte fra quattro minuti.",
            "Hai lavorato fino a tardi ieri, o dormivi già?",
            "Nel giardino fioriscono le rose, e sotto l'albero ci sono mele gialle.",
            "Domani sarà per lo più nuvoloso, con qualche pioggia dopo pranzo.",
        ),
        ("La biblioteca apre alle nove.", "Dove avete lasciato quel grande ombrello rosso?"),
    ),
    "nl": Texts(
        (
            "Goedemorgen, de trein naar Utrecht vertrekt over vier minuten.",
            "Heb je gisteren lang gewerkt, of sliep je al?",
            "In de tuin bloeien rozen, en onder de boom liggen gele appels.",
            "Morgen is het meestal bewolkt en kan het na de middag regenen.",
        ),
        ("De bibliotheek gaat om negen uur open.", "Waar hebben jullie die grote rode paraplu gelaten?"),
    ),
    "pl": Texts(
        (
            "Dzień dobry, pociąg do Gdańska odjeżdża za cztery minuty.",
            "Czy pracowałaś wczoraj długo, czy już spałaś?",
            "W ogrodzie kwitną róże, a pod drzewem leżą żółte jabłka.",
            "Jutro będzie przeważnie pochmurno, po południu możliwy deszcz.",
        ),
        ("Biblioteka otwiera się o dziewiątej.", "Gdzie zostawiliście tę dużą czerwoną parasolkę?"),
    ),
    "pt": Texts(
        (
            "Bom dia, o comboio para o Porto parte dentro de quatro minutos.",
            "Trabalhaste ontem até tarde, ou já estavas a dormir?",
            "No jardim florescem as rosas, e debaixo da árvore há maçãs amarelas.",
            "Amanhã o céu estará quase sempre nublado, com chuva à tarde.",
        ),
        ("A biblioteca abre às nove horas.", "Onde deixaram aquele grande guarda-chuva vermelho?"),
    ),
    "uk": Texts(
        (
            "Доброго ранку, поїзд до Львова вирушає за чотири хвилини.",
            "Ти вчора довго працювала чи вже спала?",
            "У саду цвітуть троянди, а під деревом лежать жовті яблука.",
            "Завтра буде переважно хмарно, після обіду можливий дощ.",
        ),
        ("Бібліотека відчиняється о дев'ятій.", "Де ви залишили ту велику червону парасольку?"),
    ),
}


def texts_for(language: str, tested_with: Sequence[object]) -> Texts:
    """Return what a voice of a language says.

    Args:
        language: BCP 47 tag.
        tested_with: `test_sentences` of the model's config: texts, or lists that begin with one.

    Returns:
        The language's own; else the config's, of which the last is held out; else the English ones.
    """
    own = TEXTS.get(language.split("-", maxsplit=1)[0].lower())
    if own is not None:
        return own
    first = [entry[0] if isinstance(entry, list) and entry else entry for entry in tested_with]
    found = [text.strip()[:MAX_CHARS] for text in first if isinstance(text, str) and text.strip()]
    if len(found) > 1:
        return Texts(tuple(found[:-1][:8]), (found[-1],), "the test_sentences of its config")
    return TEXTS["en"]._replace(origin="English sentences")
