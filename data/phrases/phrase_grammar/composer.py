"""Sentences from given slots instead of random ones, for tests and experiments."""

from dataclasses import replace

from . import english, german
from .constructions import finish
from .lexicon import PRONOUNS, THING_PRONOUNS, Adverbial, Lexicon
from .trees import NUMBERS, POSSESSIVES, Asked, Clause, Complement, Gap, NounPhrase, Prepositional

DETERMINERS = ("the", "a", "an", "this", "these", "every", "many", "some", "no", *POSSESSIVES, *NUMBERS)
FIXED = {"home": Adverbial("home", "nach Hause"), "at home": Adverbial("at home", "zu Hause")}
TABLES = {
    "time": "times",
    "frequency": "frequencies",
    "manner": "manners",
    "adjective": "adjectives",
    "modal": "modals",
}
SPATIAL = {"under": "unter", "next to": "neben", "in front of": "vor", "behind": "hinter", "on": "auf", "in": "in"}


class Composer:
    """Parses English phrases into trees and generates clauses in both languages.

    Composer().statement("read", "the old woman", object="a book", tense="past")
    -> ("The old woman read a book.", "Die alte Frau hat ein Buch gelesen.")
    """

    def __init__(self, lexicon=None):
        self.lexicon = lexicon or Lexicon()

    def phrase(self, text):
        """ "the old woman", "many books", "her", "Anna", "my brother's car", "it/m" (a pronoun for a masculine noun)."""
        for pronoun in PRONOUNS.values():
            if text in (pronoun.en, pronoun.en_object):
                return pronoun
        if text.startswith("it/"):
            return THING_PRONOUNS[text[-1]]
        if text in self.lexicon.names:
            return self.lexicon.names[text]
        owner, determiner = None, "bare"
        if "'s " in text:
            owner, _, text = text.partition("'s ")
            owner, determiner = self.phrase(owner), "the"
        words = text.split()
        if words[0] in DETERMINERS:
            determiner = {"an": "a", "these": "this"}.get(words[0], words[0])
            words = words[1:]
        noun, plural = self.noun(words[-1])
        adjective = self.lexicon.adjectives[words[0]] if len(words) > 1 else None
        return NounPhrase(noun, plural, determiner, adjective, owner)

    def noun(self, word):
        for noun in self.lexicon.nouns.values():
            if word in (noun.en, noun.en_plural):
                return noun, word == noun.en_plural
        raise ValueError(f"'{word}': no such noun in grammar.toml")

    def spot(self, text, role):
        """ "garden" takes the noun's own preposition for the role (at or to); "under the table" names one."""
        if text in FIXED:
            return FIXED[text]
        if text in self.lexicon.nouns:
            noun = self.lexicon.nouns[text]
            en, de = noun.at if role == "at" else noun.to
            return Prepositional(en, de, "dat" if role == "at" or de == "zu" else "acc", NounPhrase(noun))
        for city in self.lexicon.cities:
            if city.en == text:
                en, de = ("in", "in") if role == "at" else ("to", "nach")
                return Adverbial(f"{en} {city.en}", f"{de} {city.de}")
        en = next(preposition for preposition in SPATIAL if text.startswith(preposition + " "))
        phrase = self.phrase(text.removeprefix(en + " "))
        return Prepositional(en, SPATIAL[en], "dat" if role == "at" else "acc", phrase)

    def verb(self, word, filled):
        """The verb whose frame has the filled slots: "sing" with and without an object, "put" with a direction."""
        if word in ("be", "have"):
            return word
        frames = ["ditransitive"] if "to" in filled else ["transitive", "dative", "prepositional", "placing"]
        if "object" not in filled:
            frames = ["intransitive", "location", "direction", "position", "clausal", "infinitival", *frames]
        for frame in frames:
            if word in self.lexicon.verbs[frame]:
                return self.lexicon.verbs[frame][word]
        raise ValueError(f"'{word}': no verb of grammar.toml with that frame; tried {', '.join(frames)}")

    def clause(self, verb, subject, **slots):
        """A tree. `object` fills the role the verb's frame has, `to` is the indirect object, `adjective` (and
        `than`) what follows be; the other slots are those of Clause, given in English."""
        verb = self.verb(verb, slots)
        frame = verb if isinstance(verb, str) else verb.frame
        role = frame if frame in ("dative", "prepositional") else "accusative"
        filled = {{"object": role, "to": "dative"}.get(key, key): self.slot(key, value) for key, value in slots.items()}
        than = filled.pop("than", None)
        if "adjective" in filled:
            word = filled.pop("adjective")
            pair = (english.comparative(word, than), german.comparative(word, than)) if than else (word.en, word.de)
            filled["complement"] = Complement(*pair)
        return Clause(self.slot("subject", subject), verb, **filled)

    def slot(self, key, value):
        if not isinstance(value, str) or key in ("tense", "front"):
            return value
        if key in ("time", "frequency", "manner", "adjective", "modal"):
            return getattr(self.lexicon, TABLES[key])[value]
        if key in ("place", "direction"):
            return self.spot(value, "at" if key == "place" else "to")
        return Asked(value) if value in ("who", "what") else self.phrase(value)

    def statement(self, verb, subject, **slots):
        clause = self.clause(verb, subject, **slots)
        return finish(english.statement(clause)), finish(german.main_clause(clause))

    def question(self, verb, subject, *, asked=("", ""), **slots):
        """`asked` is the pair of question words in front, such as ("who", "wem"); none asks for yes or no."""
        clause = self.clause(verb, subject, **slots)
        return finish(english.question(clause, asked[0]), "?"), finish(german.question(clause, asked[1]), "?")

    def request(self, verb, **slots):
        clause = self.clause(verb, "you", **slots)
        return finish(english.imperative(clause), "!"), finish(german.imperative(clause), "!")

    def linked(self, outer, conjunction, inner):
        """Two clauses, the second introduced by a pair such as ("because", "weil")."""
        en = f"{english.statement(outer)} {conjunction[0]} {english.statement(inner)}"
        return finish(en), finish(f"{german.main_clause(outer)}, {german.subordinate(inner, conjunction[1])}")

    def with_infinitive(self, outer, inner, conjunction=""):
        """ "forgot to close the window"; with "um" the infinitive of purpose."""
        en = f"{english.statement(outer)} to {english.bare_infinitive(inner)}"
        return finish(en), finish(f"{german.main_clause(outer)}, {german.to_infinitive(inner, conjunction)}")

    def relative(self, text, verb, **slots):
        """A phrase with a relative clause; the slot given as "*" is the one that the phrase replaces."""
        phrase = self.phrase(text)
        gap = Gap(phrase.noun, phrase.plural)
        slots = {key: gap if value == "*" else value for key, value in slots.items()}
        return replace(phrase, relative=self.clause(verb, slots.pop("subject"), **slots))
