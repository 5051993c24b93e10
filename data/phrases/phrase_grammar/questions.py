"""Patterns of questions and requests; see statements.py for what they return."""

from . import english, german
from .lexicon import PRONOUNS
from .phrases import gender
from .statements import DESCRIBED, FRAMES, have_clause
from .trees import Asked, Clause, NounPhrase, combinations


def asked(clause, en="", de=""):
    return english.question(clause, en), german.question(clause, de)


def yes_or_no(s):
    draw = s.random()
    if draw < 0.15:
        clause = have_clause(s, False)
    elif draw < 0.3:
        subject = s.subject(DESCRIBED, adjective=0, indefinite=False, pronoun=0, name=0)
        clause = Clause(subject, "be", s.pick(["present", "past"]), complement=s.predicate_adjective(subject.noun))
    else:
        verb = s.verb(s.pick(FRAMES))
        subject = s.subject(verb.options["subject"], indefinite=False, pronoun=0.35)
        clause = s.clause(verb, subject=subject).but(tense=s.tense(verb))
        thing = isinstance(subject, NounPhrase) and "vehicle" in subject.noun.tags
        if s.chance(0.25) and verb.progressive and not thing:
            modals = [m for m in s.lexicon.modals.values() if m.en not in ("must", "would like to")]
            clause = clause.but(modal=s.pick(modals), tense="present")
        clause = s.timed(clause, front=0, frequency=0.1)
        if clause.front or (subject is PRONOUNS["I"] and clause.tense != "past" and not clause.modal):
            return None
    return *asked(clause), "?", combinations(clause)


def who_does(s):
    """The subject in question: "Wer hat das Auto gekauft?" """
    verb = s.verb(s.pick(FRAMES))
    subjects = verb.options["subject"]
    if "infant" in subjects or not any(word in ("adult", "person", "creature") for word in subjects):
        return None
    clause = s.clause(verb, subject=Asked("who"), definite=s.chance(0.5)).but(tense=s.tense(verb))
    clause = s.timed(clause, front=0, frequency=0)
    if clause.front:
        return None
    return english.question(clause), german.question(clause, "wer"), "?", combinations(clause)


def whom_or_what(s):
    """An object in question: was, wen, wem, auf wen."""
    frame = s.pick(["transitive", "transitive", "dative", "prepositional"])
    verb = s.verb(frame)
    nouns = s.lexicon.select(verb.options["object"])
    people = [n for n in nouns if any(t in n.tags for t in ("adult", "young"))]
    things = [n for n in nouns if not any(t in n.tags for t in ("adult", "young", "animal", "infant"))]
    clause = Clause(s.subject(verb.options["subject"], indefinite=False, pronoun=0.3), verb, s.tense(verb))
    if verb.id == "belong to":
        clause = clause.but(tense="present")
    if clause.subject is PRONOUNS["I"]:
        return None
    if frame == "transitive" and things and (not people or s.chance(0.5)):
        clause, de = clause.but(accusative=Asked("what")), "was"
    elif frame == "transitive" and people:
        clause, de = clause.but(accusative=Asked("who")), "wen"
    elif frame == "dative":
        clause, de = clause.but(dative=Asked("who")), "wem"
    elif frame == "prepositional" and people:
        de = f"{verb.preposition} {'wen' if verb.case == 'acc' else 'wem'}"
        clause = clause.but(prepositional=Asked("who"))
    else:
        return None
    clause = s.timed(clause, front=0, frequency=0, place=0.1)
    return *asked(clause, "what" if de == "was" else "who", de), "?", combinations(clause)


def which(s):
    """ "Welches Buch liest die Frau?", "Wie viele Bücher hast du gekauft?" """
    verb = s.verb("transitive")
    noun = s.pick(s.lexicon.select(verb.options["object"]))
    many = s.chance(0.3) and not noun.mass and not verb.options.get("stative")
    if "kin" in noun.tags or (verb.options.get("plural") and not many):
        return None
    phrase = s.phrase(noun, plural=many or (None if not noun.mass else False), adjective=0.15, owner=0)
    phrase = NounPhrase(noun, phrase.plural, "how many" if many else "which", phrase.adjective)
    subject = s.subject(verb.options["subject"], indefinite=False, pronoun=0.3)
    odd = "ladies" in noun.tags and gender(subject) == "he"
    if odd or getattr(subject, "noun", None) is noun or subject is PRONOUNS["I"]:
        return None
    clause = Clause(subject, verb, s.tense(verb), accusative=phrase)
    clause = s.timed(clause, front=0, frequency=0, place=0).but(front="accusative")
    return *asked(clause, english.noun_phrase(phrase), german.nominal(phrase, "acc")), "?", combinations(clause)


def where(s):
    draw = s.random()
    if draw < 0.35:
        sought = ["kin", "pet", "thing", "child", "teacher", "doctor", "print", "private"]
        subject = s.subject(sought, indefinite=False, adjective=0.2, counted=False)
        clause = Clause(subject, "be", s.weighted([("present", 4), ("past", 1)]))
        return *asked(clause, "where", "wo"), "?", combinations(clause)
    towards = draw < 0.6
    frames = ["direction"] if towards else ["location", "intransitive", "transitive"]
    verb = s.pick([v for frame in frames for v in s.lexicon.verbs[frame].values() if towards or "places" in v.options])
    if verb.id == "come" or (verb.options.get("stative") and verb.id != "live"):
        return None
    subject = s.subject(verb.options["subject"], indefinite=False, pronoun=0.25)
    clause = s.clause(verb, subject=subject, definite=True).but(place=None, direction=None, tense=s.tense(verb))
    clause = s.timed(clause, place=0, front=0, frequency=0, manner=0, time=0.3)
    return *asked(clause, "where", "wohin" if towards else "wo"), "?", combinations(clause)


def when_or_why(s):
    why = s.chance(0.5)
    verb = s.verb(s.pick([frame for frame in FRAMES if frame not in ("location", "ditransitive")]))
    if not verb.progressive and not why:
        return None
    tenses = ["past", "present" if why else "future"]
    if why and verb.progressive:
        tenses.append("progressive")
    subject = s.subject(verb.options["subject"], indefinite=False, pronoun=0.25)
    clause = s.clause(verb, subject=subject, definite=True).but(tense=s.pick(tenses))
    clause = s.timed(clause, time=0.15 if why else 0, front=0, frequency=0, place=0.1, manner=0.1)
    if clause.front:
        return None
    words = ("why", "warum") if why else ("when", "wann")
    return *asked(clause, *words), "?", combinations(clause)


def request(s):
    word = s.pick(s.lexicon.imperatives)
    frames = [frame for frame in s.lexicon.verbs if frame not in ("clausal", "infinitival")]
    verb = s.pick([s.lexicon.verbs[frame][word] for frame in frames if word in s.lexicon.verbs[frame]])
    negated = s.chance(0.2)
    clause = s.clause(verb, subject=PRONOUNS["you"], negated=negated, definite=s.chance(0.7))
    received = (clause.accusative, clause.dative, clause.prepositional)
    if any(isinstance(p, NounPhrase) and p.plural and p.determiner == "bare" for p in received):
        return None
    en, de = english.imperative(clause), german.imperative(clause)
    if not negated and s.chance(0.35):
        en, de = "please " + en, "bitte " + de
    return en, de, "!", combinations(clause)
