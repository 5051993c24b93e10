"""Patterns of one or two main clauses.

Each draws (English, German, final mark, combinations), or None if the choices are incompatible.
"""

from . import english, german
from .lexicon import PRONOUNS, THING_PRONOUNS
from .phrases import gender
from .trees import Clause, Complement, NounPhrase, agreement, combinations, is_definite, phrase_combinations

# The frames to draw a clause from; a frame's share is its number of occurrences here.
FRAMES = [
    "intransitive",
    "transitive",
    "transitive",
    "transitive",
    "dative",
    "prepositional",
    "ditransitive",
    "direction",
    "location",
]
DESCRIBED = [
    "adult",
    "young",
    "animal",
    "food",
    "text",
    "vehicle",
    "building",
    "room",
    "clothing",
    "thing",
    "furniture",
    "show",
]
TRAITS = [
    "happy",
    "tired",
    "hungry",
    "thirsty",
    "sick",
    "friendly",
    "angry",
    "lazy",
    "clever",
    "strong",
    "rich",
    "brave",
    "polite",
    "nervous",
    "sad",
]


def said(clause):
    """A statement in both languages, unfinished."""
    return english.statement(clause), german.main_clause(clause)


def statement(s, frames):
    verb = s.verb(s.pick(frames))
    negated = s.chance(0.17)
    clause = s.clause(verb, negated=negated)
    clause = s.timed(clause.but(tense=s.tense(verb)))
    return *said(clause), ".", combinations(clause)


def intransitive(s):
    return statement(s, ["intransitive", "location"])


def transitive(s):
    return statement(s, ["transitive"])


def dative(s):
    return statement(s, ["dative"])


def prepositional(s):
    return statement(s, ["prepositional"])


def ditransitive(s):
    return statement(s, ["ditransitive"])


def direction(s):
    return statement(s, ["direction"])


def position(s):
    return statement(s, ["position", "position", "placing"])


def modal(s):
    verb = s.verb(s.pick([frame for frame in FRAMES if frame != "location"]))
    if not verb.progressive:
        return None
    subject = s.subject(verb.options["subject"], indefinite=False)
    if not isinstance(subject, NounPhrase) or any(t in subject.noun.tags for t in ("adult", "young")):
        clause = s.clause(verb, subject=subject, negated=s.chance(0.25))
        clause = s.timed(s.with_modal(clause), frequency=0)
        return *said(clause), ".", combinations(clause)
    return None


def be(s):
    """A subject and an adjective."""
    subject = s.subject(DESCRIBED, adjective=0, indefinite=False, pronoun=0.05, name=0.05)
    if isinstance(subject, NounPhrase):
        complement = s.predicate_adjective(subject.noun)
    else:
        word = s.lexicon.adjectives[s.pick(TRAITS)]
        complement = Complement(word.en, word.de)
    tense = s.weighted([("present", 3), ("past", 2)])
    clause = Clause(subject, "be", tense, negated=s.chance(0.2), complement=complement)
    return *said(clause), ".", combinations(clause)


def comparison(s):
    noun, complement = s.comparison()
    subject = s.phrase(noun, adjective=0, indefinite=False, counted=False)
    negated = s.chance(0.4) if complement.en.startswith("as ") else False
    clause = Clause(subject, "be", s.weighted([("present", 4), ("past", 1)]), negated=negated, complement=complement)
    return *said(clause), ".", combinations(clause)


def profession(s):
    words = s.pick(s.lexicon.professions)
    kin = [n for n in s.lexicon.select(["kin", "neighbor", "friend"]) if n.pronoun]
    draw = s.random()
    if draw < 0.3:
        subject = s.pick(list(s.lexicon.names.values()))
    elif draw < 0.45:
        subject = PRONOUNS[s.pick(["he", "she"])]
    else:
        subject = s.phrase(s.pick(kin), adjective=0, plural=False, indefinite=False)
    clause = Clause(
        subject,
        "be",
        s.weighted([("present", 3), ("past", 1)]),
        complement=Complement(words["en"], words[gender(subject)]),
    )
    return *said(clause), ".", combinations(clause)


def have_clause(s, negated):
    subject = s.subject(s.lexicon.have["subject"], indefinite=False, adjective=0.15)
    phrase = s.object(s.lexicon.have["object"], avoid=(subject,), pronoun=-1, negated=negated, owner=0)
    indefinite = "bare" if phrase.plural or phrase.noun.mass else "a"
    if "kin" in phrase.noun.tags:
        few = phrase.plural and not negated
        phrase = NounPhrase(phrase.noun, phrase.plural, s.pick(["two", "three"]) if few else indefinite)
    elif is_definite(phrase):
        phrase = NounPhrase(phrase.noun, phrase.plural, indefinite, phrase.adjective)
    return Clause(subject, "have", negated=negated, accusative=phrase)


def have(s):
    clause = have_clause(s, s.chance(0.3)).but(tense=s.weighted([("present", 3), ("past", 2)]))
    return *said(clause), ".", combinations(clause)


def there_is(s):
    """es gibt with the accusative: "In der Stadt gibt es viele Hotels." """
    noun = s.pick(s.lexicon.select(s.lexicon.sights))
    place = s.place(["city", "village"])
    plural = s.chance(0.5)
    negated = s.chance(0.25)
    determiner = "no" if negated else s.pick(["many", "some", "two", "three", "four"]) if plural else "a"
    phrase = s.phrase(noun, plural=plural, owner=0)
    phrase = NounPhrase(noun, plural, determiner, phrase.adjective)
    verb = "are" if plural else "is"
    where, wo = english.adverbial(place), german.adverbial(place)
    thing, ding = english.nominal(phrase), german.nominal(phrase, "acc")
    pairs = phrase_combinations(phrase) | phrase_combinations(place)
    if s.chance(0.5):
        return f"there {verb} {thing} {where}", f"es gibt {ding} {wo}", ".", pairs
    return f"{where} there {verb} {thing}", f"{wo} gibt es {ding}", ".", pairs


def together(s):
    """One thing done to an object and a second to the pronoun for it: "kauft den Apfel und isst ihn"."""
    first, second = s.pick(s.lexicon.sequences)
    first, second = s.lexicon.verbs["transitive"][first], s.lexicon.verbs["transitive"][second]
    shared = s.lexicon.both(first.options["object"], second.options["object"])
    subjects = s.lexicon.both(first.options["subject"], second.options["subject"])
    noun = s.lexicon.nouns[s.pick(shared)]
    person = any(t in noun.tags for t in ("adult", "young", "infant"))
    if person and not noun.pronoun:
        return None
    each = any(v.options.get("each") for v in (first, second))
    subject = s.subject(subjects, indefinite=False) if s.chance(0.75) else s.somebody()
    if getattr(subject, "noun", None) is noun or (each and "ladies" in noun.tags and gender(subject) == "he"):
        return None
    plural = agreement(subject).endswith("pl") if each else None
    phrase = s.phrase(noun, counted=False, adjective=0.2, owner=0, plural=plural)
    if each:
        phrase = s.ones_own(phrase, subject)
    if phrase.plural or (noun.mass and phrase.determiner == "bare"):
        pronoun = PRONOUNS["they"] if phrase.plural else THING_PRONOUNS[noun.gender]
    else:
        pronoun = PRONOUNS[noun.pronoun] if person else THING_PRONOUNS[noun.gender]
    tense = s.weighted([("present", 3), ("past", 3), ("future", 1)])
    one = s.settled(Clause(subject, first, tense, accusative=phrase))
    two = Clause(subject, second, one.tense, accusative=pronoun)
    if (one.tense == "past" and first.auxiliary != second.auxiliary) or s.settled(two).tense != two.tense:
        return None
    _, verb = english.verb_group(two)
    tail = english.join([verb, *english.rest(two)])
    en = f"{english.statement(one)} and {tail}"
    finite, closing, prefix = german.verb_parts(two)
    inner = german.middle(two, subject=False)
    words = [*inner, closing] if closing else [finite, *inner, prefix]
    de = f"{german.main_clause(one)} und {german.join(words)}"
    pairs = combinations(one) | combinations(two) | {("object", second.id, noun.en)}
    if isinstance(subject, NounPhrase):
        pairs |= {("subject", second.id, subject.noun.en)}
    return en, de, ".", pairs


def contrast(s):
    """ "The king is old, but he works every day." """
    state = s.pick(list(s.lexicon.contrasts))
    word, deeds = s.lexicon.adjectives[state], s.lexicon.contrasts[state]
    negated = s.pick(["does"] * len(deeds.get("does", ())) + ["not"] * len(deeds.get("not", ()))) == "not"
    ident = s.pick(deeds["not" if negated else "does"])
    frames = ("intransitive", "transitive", "dative", "direction", "prepositional")
    verb = next(s.lexicon.verbs[frame][ident] for frame in frames if ident in s.lexicon.verbs[frame])
    nouns = [n for n in s.lexicon.select(["adult", "young"]) if n.pronoun and s.lexicon.suits(n, word.of)]
    nouns = [n for n in nouns if s.lexicon.suits(n, verb.options["subject"])]
    subject = s.phrase(s.pick(nouns), adjective=0, plural=s.chance(0.2), indefinite=False)
    noun = subject.noun
    pronoun = PRONOUNS["they"] if subject.plural else PRONOUNS[noun.pronoun]
    one = Clause(subject, "be", complement=Complement(word.en, word.de, (("adjective", word.en, noun.en),)))
    two = s.clause(verb, subject=pronoun, negated=negated)
    if getattr(two.accusative or two.dative, "noun", None) is noun:
        return None
    tense = s.pick(["present", "progressive"]) if verb.progressive else "present"
    two = s.timed(two.but(tense=tense), place=0.1, frequency=0, manner=0 if negated else 0.3, front=0)
    if two.front or two.tense == "past":
        return None
    en = f"{english.statement(one)}, but {english.statement(two)}"
    de = f"{german.main_clause(one)}, aber {german.main_clause(two)}"
    return en, de, ".", combinations(one) | combinations(two) | {("subject", verb.id, noun.en)}


def and_clause(s):
    """Two short main clauses joined by and."""
    first, second = s.verb("intransitive"), s.verb(s.pick(["intransitive", "transitive"]))
    tense = s.pick(["present", "progressive", "past"])
    if tense == "progressive" and not (first.progressive and second.progressive):
        return None
    subjects = [s.subject(verb.options["subject"], pronoun=0.05, indefinite=False) for verb in (first, second)]
    one, two = (
        s.clause(verb, subject=who).but(tense=tense) for verb, who in zip((first, second), subjects, strict=False)
    )
    alive = s.lexicon.suits(getattr(one.subject, "noun", None), ["adult", "young", "animal", "infant"])
    if s.settled(two) != two or not alive:
        return None
    if not isinstance(two.subject, NounPhrase) or two.subject.noun is one.subject.noun:
        return None
    en = f"{english.statement(one)} and {english.statement(two)}"
    return en, f"{german.main_clause(one)} und {german.main_clause(two)}", ".", combinations(one) | combinations(two)
