"""English: the verb group with do-support, the order of objects, questions and imperatives."""

import re

from .lexicon import Pronoun
from .trees import Gap, NounPhrase, Prepositional, agreement, is_asked, is_definite

BE = {"1sg": "am", "2sg": "are", "3sg": "is", "1pl": "are", "3pl": "are"}
WAS = {"1sg": "was", "2sg": "were", "3sg": "was", "1pl": "were", "3pl": "were"}


def article(following):
    """ "a" or "an" by the first sound of what follows."""
    return "an" if re.match(r"[aeio]|u(?!ni|se)", following) else "a"


def possessive(owner):
    """my brother -> my brother's, the boys -> the boys'"""
    text = nominal(owner)
    return text + ("'" if text.endswith("s") and getattr(owner, "plural", False) else "'s")


def noun_phrase(phrase):
    noun = phrase.noun.en_plural if phrase.plural else phrase.noun.en
    words = f"{phrase.adjective.en} {noun}" if phrase.adjective else noun
    word = phrase.determiner
    if phrase.owner is not None:
        word = possessive(phrase.owner)
    elif word == "a":
        word = article(words)
    elif word == "this" and phrase.plural:
        word = "these"
    elif word == "bare":
        return words
    return f"{word} {words}"


def nominal(phrase, role="subject"):
    if isinstance(phrase, NounPhrase):
        text = noun_phrase(phrase)
        return f"{text} {relative_clause(phrase.relative)}" if phrase.relative else text
    if isinstance(phrase, Pronoun):
        return phrase.en if role == "subject" else phrase.en_object
    return phrase.en


def relative_clause(clause):
    """who reads the book; that the woman reads"""
    if isinstance(clause.subject, Gap):
        person = any(tag in ("adult", "young", "infant") for tag in clause.subject.noun.tags)
        return join(["who" if person else "that", predicate(clause)])
    return "that " + statement(clause)


def adverbial(part):
    if isinstance(part, Prepositional):
        return f"{part.en} {nominal(part.phrase, 'object')}"
    return part.en


def main_verb(verb, form):
    """form is base, third, past or ing."""
    if verb == "be":
        return "be"
    if verb == "have":
        return {"base": "have", "third": "has", "past": "had", "ing": "having"}[form]
    return verb.en if form == "base" else getattr(verb, form)


def verb_group(clause, inverted=False):
    """(auxiliary, verb): ("", "reads"), ("does not", "read"), ("is", "reading"), ("was", "") for be itself."""
    person, verb, tense = agreement(clause.subject), clause.verb, clause.tense
    no = " not" if clause.negated else ""
    if tense == "future":
        return "will" + no, main_verb(verb, "base")
    if clause.modal and clause.modal.form == "modal":
        word = clause.modal.past if tense == "past" else clause.modal.en
        if clause.negated:
            word = clause.modal.negative if tense != "past" else word + " not"
        # "would like to" is inverted at its first word.
        first, _, rest = word.partition(" ")
        return (first, join([rest, main_verb(verb, "base")])) if inverted else (word, main_verb(verb, "base"))
    if tense == "progressive":
        return BE[person] + no, main_verb(verb, "ing")
    if verb == "be" and not clause.modal:
        return (WAS if tense == "past" else BE)[person] + no, ""
    third = tense != "past" and person == "3sg"
    tail = main_verb(verb, "base")
    if clause.negated or inverted:
        do = "did" if tense == "past" else "does" if third else "do"
        return do + no, join([clause.modal.en, tail]) if clause.modal else tail
    form = "past" if tense == "past" else "third" if third else "base"
    if clause.modal:
        return "", join([getattr(clause.modal, form) if form != "base" else clause.modal.en, tail])
    return "", main_verb(verb, form)


def objects(clause):
    """What follows the verb up to the adverbials: particle and objects in English order."""
    verb, accusative, dative = clause.verb, clause.accusative, clause.dative
    particle = "" if isinstance(verb, str) else verb.particle
    theme = visible(accusative)
    receiver = visible(dative)
    if accusative is not None and dative is not None:
        pattern = verb.options.get("pattern") or ("to" if is_definite(accusative) and theme else "double")
        return [theme, "to", receiver] if pattern == "to" else [receiver, theme]
    if isinstance(accusative, Pronoun):
        return [theme, particle, receiver]
    return [particle, theme, receiver, visible(clause.prepositional)]


def visible(phrase):
    if phrase is None or isinstance(phrase, Gap) or is_asked(phrase):
        return ""
    return nominal(phrase, "object")


def rest(clause):
    """Objects, complement, manner, direction, place, time: all that follows the verb and is not fronted."""
    later = [clause.complement.en if clause.complement else "", clause.manner.en if clause.manner else ""]
    for role in ("direction", "place", "time"):
        part = getattr(clause, role)
        later.append(adverbial(part) if part and clause.front != role else "")
    return objects(clause) + later


def frequency(clause):
    return clause.frequency.en if clause.frequency and clause.front != "frequency" else ""


def predicate(clause):
    auxiliary, verb = verb_group(clause)
    return join([auxiliary, frequency(clause), verb, *rest(clause)])


def statement(clause):
    """Subject first, after the fronted part if there is one."""
    part = getattr(clause, clause.front) if clause.front else None
    return join([adverbial(part) if part else "", nominal(clause.subject), predicate(clause)])


def question(clause, asked=""):
    """ "does the woman read the book", "where does the man live", "who bought the car" """
    if is_asked(clause.subject):
        return statement(clause)
    auxiliary, verb = verb_group(clause, inverted=True)
    return join([asked, auxiliary, nominal(clause.subject), frequency(clause), verb, *rest(clause)])


def bare_infinitive(clause):
    """What follows "to": "close the window"."""
    return join([main_verb(clause.verb, "base"), *rest(clause)])


def imperative(clause):
    return join(["do not" if clause.negated else "", bare_infinitive(clause)])


def comparative(adjective, other):
    """bigger than the dog"""
    return f"{adjective.en_comparative} than {nominal(other)}"


def join(parts):
    return " ".join(part for part in parts if part)
