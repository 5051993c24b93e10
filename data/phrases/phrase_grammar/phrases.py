"""Draws plausible phrases: every choice respects the lexicon's selections."""

import random

from .lexicon import PRONOUNS, Pronoun
from .trees import NUMBERS, POSSESSIVES, Adverbial, NounPhrase, Prepositional

HOME = Adverbial("home", "nach Hause")
AT_HOME = Adverbial("at home", "zu Hause")
SURFACES = (("on", "auf"), ("under", "unter"), ("next to", "neben"))
SIDES = (("in front of", "vor"), ("behind", "hinter"), ("next to", "neben"))
PERSON = ("adult", "young")
# Subjects, I and you more often than the rest: their verb forms occur with nothing else.
SPOKEN = ("I", "I", "you", "you", "he", "she", "we", "they")


def gender(phrase):
    """ "he" or "she" for people of a known one, else an empty string."""
    if isinstance(phrase, Pronoun):
        return phrase.en if phrase.en in ("he", "she") else ""
    return getattr(getattr(phrase, "noun", phrase), "pronoun", "")


class PhraseSampler:
    """A stream of choices. Uses only Random.random(), whose sequence is the same in every Python."""

    def __init__(self, lexicon, seed):
        self.lexicon = lexicon
        self.random = random.Random(seed).random

    def chance(self, probability):
        return self.random() < probability

    def pick(self, options):
        return options[int(self.random() * len(options))]

    def weighted(self, options):
        """One of [(value, weight), ...]."""
        left = self.random() * sum(weight for _, weight in options)
        for value, weight in options:
            left -= weight
            if left < 0:
                return value
        return options[-1][0]

    def determiner(self, noun, plural, *, indefinite=True, counted=True, generic=False):
        """A determiner that suits the noun. indefinite: a, bare; counted: many, some, numbers; generic: no "a"."""
        kin, own = "kin" in noun.tags, "own" in noun.tags
        owned = self.pick(list(POSSESSIVES))
        if noun.mass:
            return "bare" if indefinite and self.chance(0.65) else "the"
        if kin:
            return owned if self.chance(0.88) else "the"
        if plural:
            options = [("the", 4), ("this", 1), (owned, 1.5 if own else 0)]
            options += [("bare", 2.5)] if indefinite else []
            options += [("many", 0.5), ("some", 0.5), (self.pick(list(NUMBERS)), 1)] if counted and not generic else []
            return self.weighted(options)
        options = [("the", 5), ("this", 1), (owned, 2 if own else 0)]
        options += [("a", 5)] if indefinite and not generic and "royal" not in noun.tags else []
        return self.weighted(options)

    def phrase(self, noun, *, adjective=0.3, owner=0.06, plural=None, **kind):
        """A noun phrase around the noun; `kind` is passed on to `determiner`."""
        if plural is None:
            plural = not noun.mass and self.chance(0.08 if {"royal", "kin"} & set(noun.tags) else 0.27)
        plural = plural and "single" not in noun.tags
        chosen = self.determiner(noun, plural, **kind)
        possessor = None
        if "own" in noun.tags and self.chance(owner):
            possessor = self.owner(noun)
        fitting = self.lexicon.adjectives_for(noun)
        described = self.pick(fitting) if fitting and self.chance(adjective) else None
        return NounPhrase(noun, plural, chosen, described, possessor)

    def selection(self, verb, subject):
        """What the verb may have as its object; men do not wear skirts."""
        chosen = verb.options["object"]
        if verb.options.get("each") and gender(subject) == "he":
            return [noun.en for noun in self.lexicon.select(chosen) if "ladies" not in noun.tags]
        return chosen

    def ones_own(self, phrase, subject):
        """The phrase with the subject's possessive: one takes off one's own hat."""
        if not isinstance(phrase, NounPhrase) or (phrase.owner is None and phrase.determiner not in POSSESSIVES):
            return phrase
        if isinstance(subject, Pronoun):
            word = {"I": "my", "you": "your", "he": "his", "she": "her", "we": "our", "they": "their"}[subject.en]
        elif getattr(subject, "plural", False):
            word = "their"
        else:
            word = {"he": "his", "she": "her"}.get(gender(subject), "the")
        return NounPhrase(phrase.noun, phrase.plural, word, phrase.adjective)

    def owner(self, noun):
        fit = [n for n in self.lexicon.select(["adult"]) if n is not noun]
        names = list(self.lexicon.names.values())
        if "ladies" in noun.tags:
            fit, names = ([n for n in people if n.pronoun == "she"] for people in (fit, names))
        if self.chance(0.4):
            return self.pick(names)
        person = self.pick(fit)
        return NounPhrase(person, False, self.pick(list(POSSESSIVES)) if "kin" in person.tags else "the")

    def subject(self, selection, *, pronoun=0.22, name=0.1, indefinite=None, adjective=0.25, **kind):
        """A phrase in the nominative: a pronoun, a name or a noun phrase the verb may have as its subject."""
        people = any(word in selection for word in ("adult", "person", "creature"))
        draw = self.random()
        if people and draw < pronoun:
            return PRONOUNS[self.pick(SPOKEN)]
        if people and draw < pronoun + name:
            return self.pick(list(self.lexicon.names.values()))
        indefinite = self.chance(0.2) if indefinite is None else indefinite
        kind = {"counted": indefinite, "indefinite": indefinite, "adjective": adjective, **kind}
        return self.phrase(self.pick(self.lexicon.select(selection)), **kind)

    def somebody(self):
        """A pronoun or a name, as a subject."""
        return self.pick([*PRONOUNS.values(), *self.lexicon.names.values()])

    def object(self, selection, *, avoid=(), pronoun=0.12, negated=False, definite=False, **kind):
        """A phrase the verb may have as its object; `avoid` holds phrases already in the clause."""
        nouns = [n for n in self.lexicon.select(selection) if all(getattr(p, "noun", None) is not n for p in avoid)]
        noun = self.pick(nouns)
        if any(tag in PERSON for tag in noun.tags):
            draw = self.random()
            if draw < pronoun:
                # Nobody sees himself here, nor do we see me.
                taken = {p.agreement[0] for p in avoid if isinstance(p, Pronoun)} - {"3"}
                free = [p for p in PRONOUNS.values() if p not in avoid and p.agreement[0] not in taken]
                return self.pick(free)
            if draw < pronoun + 0.08:
                return self.pick([n for n in self.lexicon.names.values() if n not in avoid])
        return self.phrase(noun, indefinite=not definite, counted=not definite and not negated, **kind)

    def place(self, selection, role="at"):
        """ "in the garden" / "im Garten", or with role "to" "to the garden" / "in den Garten"."""
        noun = self.pick(self.lexicon.select(selection))
        adjective = None
        fitting = self.lexicon.adjectives_for(noun)
        if fitting and self.chance(0.12):
            adjective = self.pick(fitting)
        en, de = noun.at if role == "at" else noun.to
        case = "dat" if role == "at" or de == "zu" else "acc"
        return Prepositional(en, de, case, NounPhrase(noun, adjective=adjective))

    def where(self, verb):
        """The place or direction that a verb of location or direction needs."""
        options, towards = verb.options, verb.frame == "direction"
        if options.get("home") and self.chance(0.15):
            return HOME if towards else AT_HOME
        if options.get("cities") and self.chance(0.25 if "places" in options else 1):
            city = self.pick(self.lexicon.cities)
            pair = (f"to {city.en}", f"nach {city.de}") if towards else (f"in {city.en}", f"in {city.de}")
            return Adverbial(*pair)
        return self.place(options["places"], "to" if towards else "at")

    def surface(self, case, noun):
        """Where the noun is or is put: vehicles by a building, all else at a piece of furniture."""
        if "vehicle" in noun.tags:
            (en, de), sites = self.pick(SIDES), ["building"]
        else:
            fragile = "upright" in noun.tags and "luggage" not in noun.tags
            en, de = self.pick([pair for pair in SURFACES if not (fragile and pair[0] == "under")])
            sites = ["table"] if "upright" in noun.tags and en == "on" else ["surface"]
        return Prepositional(en, de, case, NounPhrase(self.pick(self.lexicon.select(sites))))
