"""All sentence patterns: SHARES are their frequencies, `draw` draws a finished pair."""

import re
from dataclasses import dataclass

from . import questions, statements, subordinates


@dataclass(frozen=True)
class Sentence:
    """One pair; `combinations` are the content-word combinations in it, `construction` the pattern's name."""

    en: str
    de: str
    construction: str
    combinations: frozenset


def finish(text, mark="."):
    """ "der Mann , der schläft , ist alt" -> "Der Mann, der schläft, ist alt." """
    text = re.sub(r"(\s*,)+", ",", text).strip()
    text = text.removesuffix(",") + mark
    return text[0].upper() + text[1:]


# Weights of the draws, not of the corpus: a pattern that often returns None, or repeats itself, gets more.
SHARES = {
    statements.transitive: 17,
    statements.intransitive: 8,
    statements.dative: 5,
    statements.ditransitive: 7,
    statements.prepositional: 6,
    statements.direction: 4.5,
    statements.position: 2.5,
    statements.be: 5,
    statements.comparison: 3.5,
    statements.profession: 0.8,
    statements.have: 3,
    statements.there_is: 1.5,
    statements.modal: 7.5,
    statements.together: 3,
    statements.contrast: 2,
    statements.and_clause: 2.5,
    questions.yes_or_no: 6,
    questions.who_does: 2.5,
    questions.whom_or_what: 2.5,
    questions.which: 2.5,
    questions.where: 2,
    questions.when_or_why: 2.5,
    questions.request: 4,
    subordinates.that: 4.5,
    subordinates.whether: 2,
    subordinates.because: 2.5,
    subordinates.weather: 2.5,
    subordinates.relative: 16,
    subordinates.infinitive: 3,
    subordinates.purpose: 2,
}


def draw(sampler):
    """One sentence, or None if the choices are incompatible."""
    construction = sampler.weighted(list(SHARES.items()))
    found = construction(sampler)
    if found is None:
        return None
    en, de, mark, pairs = found
    return Sentence(finish(en, mark), finish(de, mark), construction.__name__, frozenset(pairs))
