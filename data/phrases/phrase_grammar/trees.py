"""The trees from which both languages are generated: phrases, clauses, and the combinations of content words in them."""

from dataclasses import dataclass, replace

from .lexicon import Adjective, Adverbial, Modal, Name, Noun, Pronoun, Verb

POSSESSIVES = {"my": "mein", "your": "dein", "his": "sein", "her": "ihr", "our": "unser", "their": "ihr"}
NUMBERS = {"two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}


@dataclass(frozen=True)
class NounPhrase:
    """A noun with its determiner: the, a, this, every, which, how many, bare, many, some, no, a number,
    a possessive, or an owner."""

    noun: Noun
    plural: bool = False
    determiner: str = "the"
    adjective: Adjective | None = None
    owner: "NounPhrase | Name | None" = None
    relative: "Clause | None" = None


@dataclass(frozen=True)
class Gap:
    """Where a relative pronoun replaces the noun before the clause."""

    noun: Noun
    plural: bool = False


@dataclass(frozen=True)
class Asked:
    """A questioned person (who) or thing (what)."""

    en: str


@dataclass(frozen=True)
class Prepositional:
    en: str
    de: str
    case: str
    phrase: NounPhrase
    front: bool = True


@dataclass(frozen=True)
class Complement:
    """What follows "be": an adjective, a comparison or a profession, already in both languages."""

    en: str
    de: str
    pairs: tuple = ()


@dataclass(frozen=True)
class Clause:
    """One clause, before word order is applied.

    tense is present, progressive, past or future; front names the part that opens the sentence
    (time, frequency or place) or is empty; pattern is the English order of two objects (double or to).
    """

    subject: object
    verb: Verb | str
    tense: str = "present"
    modal: Modal | None = None
    negated: bool = False
    accusative: object = None
    dative: object = None
    prepositional: object = None
    complement: Complement | None = None
    time: Adverbial | None = None
    frequency: Adverbial | None = None
    manner: Adverbial | None = None
    place: Adverbial | Prepositional | None = None
    direction: Adverbial | Prepositional | None = None
    front: str = ""

    def but(self, **changes):
        return replace(self, **changes)


def agreement(phrase):
    """The person and number a verb agrees with: 1sg 2sg 3sg 1pl 3pl."""
    if isinstance(phrase, Pronoun):
        return phrase.agreement
    return "3pl" if getattr(phrase, "plural", False) else "3sg"


def is_asked(phrase):
    """who, what, which book, how many books"""
    return isinstance(phrase, Asked) or (isinstance(phrase, NounPhrase) and phrase.determiner in ("which", "how many"))


def is_definite(phrase):
    """True for what precedes the negation in German; "a book", "books" and "many books" follow it."""
    if isinstance(phrase, NounPhrase):
        return phrase.owner is not None or phrase.determiner not in ("a", "bare", "many", "some", *NUMBERS)
    return True


def takes_no(phrase):
    """True when the negation of the clause is expressed by kein: a book -> kein Buch."""
    return isinstance(phrase, NounPhrase) and phrase.owner is None and phrase.determiner in ("a", "bare")


def phrase_combinations(phrase):
    """{("adjective", "old", "book")} of "the old book", and those of its owner and relative clause."""
    if isinstance(phrase, Prepositional):
        return phrase_combinations(phrase.phrase)
    found = set()
    if isinstance(phrase, NounPhrase):
        if phrase.adjective:
            found.add(("adjective", phrase.adjective.en, phrase.noun.en))
        if phrase.owner:
            found |= phrase_combinations(phrase.owner)
        if phrase.relative:
            found |= combinations(phrase.relative)
    return found


def combinations(clause):
    """Content-word combinations of one clause: adjective with noun, verb with subject, verb with object.

    The tired woman reads -> {("adjective", "tired", "woman"), ("subject", "read", "woman")}
    """
    found = set()
    verb = clause.verb if isinstance(clause.verb, str) else clause.verb.id
    objects = [("object", phrase) for phrase in (clause.accusative, clause.dative, clause.prepositional)]
    roles = [("subject", clause.subject), *objects]
    for role, phrase in roles:
        if isinstance(phrase, (NounPhrase, Gap)) and not (role == "subject" and verb == "be"):
            found.add((role, verb, phrase.noun.en))
        found |= phrase_combinations(phrase)
    for part in (clause.place, clause.direction):
        found |= phrase_combinations(part)
    if clause.complement:
        found |= set(clause.complement.pairs)
    return found
