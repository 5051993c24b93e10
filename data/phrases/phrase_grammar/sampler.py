"""Draws clauses: a verb, phrases that suit it, a tense, and adverbials that suit the tense."""

from . import english, german
from .phrases import PhraseSampler
from .trees import Clause, Complement, NounPhrase, agreement, is_definite


class Sampler(PhraseSampler):
    """Adds clauses to the phrases."""

    def verb(self, frame):
        return self.pick(list(self.lexicon.verbs[frame].values()))

    def clause(self, verb, *, subject=None, negated=False, definite=False, kind=None):
        """A clause in the present with only the complements that the verb needs."""
        options = verb.options
        kind = kind or {}
        subject = subject or self.subject(options["subject"], indefinite=False if negated else None)
        clause = Clause(subject, verb, negated=negated)
        avoid = (subject,)
        if verb.frame in ("transitive", "placing"):
            if options.get("each"):
                kind = {"plural": agreement(subject).endswith("pl"), **kind}
            definite = definite or options.get("definite", False)
            if options.get("plural"):
                kind = {"plural": True, "owner": 0, **kind}
            kind = {"generic": options.get("generic", False), "pronoun": 0 if verb.frame == "placing" else 0.12, **kind}
            nouns = self.selection(verb, subject)
            phrase = self.object(nouns, avoid=avoid, negated=negated, definite=definite, **kind)
            clause = clause.but(accusative=phrase)
            if verb.frame == "placing":
                clause = clause.but(direction=self.surface("acc", phrase.noun))
            if options.get("owned"):
                clause = clause.but(accusative=self.ones_own(phrase, subject))
        elif verb.frame == "dative":
            phrase = self.object(options["object"], avoid=avoid, definite=negated or definite, **kind)
            clause = clause.but(dative=phrase)
        elif verb.frame == "prepositional":
            definite = negated or definite or options.get("definite", False)
            phrase = self.object(options["object"], avoid=avoid, definite=definite, **kind)
            clause = clause.but(prepositional=phrase)
        elif verb.frame == "ditransitive":
            kind = {"adjective": 0.2, **kind}
            rare = {"adjective": 0.1, "owner": 0, "pronoun": 0.35}
            receiver = self.object(options["recipient"], avoid=avoid, definite=True, **rare)
            # "brought her rolls" would leave open whose rolls they were.
            definite = definite or getattr(receiver, "en_object", "") == "her"
            avoid = (subject, receiver)
            theme = self.object(options["object"], avoid=avoid, negated=negated, definite=definite, **kind)
            clause = clause.but(dative=receiver, accusative=theme)
        elif verb.frame == "location":
            clause = clause.but(place=self.where(verb))
        elif verb.frame == "direction":
            clause = clause.but(direction=self.where(verb))
        elif verb.frame == "position":
            clause = clause.but(place=self.surface("dat", subject.noun), tense="progressive")
        return clause

    def tense(self, verb, *, future=True):
        if isinstance(verb, str):
            return self.weighted([("present", 5), ("past", 5), ("future", 1 if future else 0)])
        if verb.frame == "position":
            return "progressive"
        progressive = 2.5 if verb.progressive else 0
        ahead = 1.2 if future and not verb.options.get("stative") else 0
        return self.weighted([("present", 3), ("progressive", progressive), ("past", 3.5), ("future", ahead)])

    def settled(self, clause):
        """The clause, in the past if its present would read the same in English ("they read", "I cut")."""
        verb = clause.verb
        alike = not isinstance(verb, str) and verb.past == verb.en and not clause.negated and not clause.modal
        if alike and clause.tense == "present" and agreement(clause.subject) != "3sg":
            return clause.but(tense="past")
        return clause

    def recurs(self, clause):
        """False for an action done only once to its object: one does not build the house every day."""
        phrase = clause.accusative or clause.prepositional
        if not isinstance(phrase, NounPhrase) or (phrase.owner is None and phrase.determiner == "bare"):
            return True
        if clause.verb == "have":
            return False
        if clause.prepositional is not None:
            return is_definite(phrase)
        return clause.verb.id in self.lexicon.repeatable or (clause.dative is not None and not is_definite(phrase))

    def timed(self, clause, *, time=0.4, place=0.25, frequency=0.15, manner=0.3, front=0.5):
        """The clause with adverbials that fit its verb and tense, perhaps opening the sentence."""
        clause = self.settled(clause)
        verb = clause.verb
        options = {} if isinstance(verb, str) else verb.options
        if options.get("stative"):
            return clause
        if clause.place is None and clause.direction is None and options.get("places") and self.chance(place):
            clause = clause.but(place=self.place(options["places"]))
        elif options.get("manner") and self.chance(manner):
            clause = clause.but(manner=self.lexicon.manners[self.pick(options["manner"])])
        plain = clause.tense in ("present", "past") and not clause.negated and not clause.modal
        if plain and self.recurs(clause) and self.chance(frequency):
            adverb = self.pick(list(self.lexicon.frequencies.values()))
            clause = clause.but(frequency=adverb)
            return clause.but(front="frequency") if adverb.front and self.chance(0.4) else clause
        # "does not run every evening" would deny the evening, not the running.
        if self.chance(time) and not (clause.negated and clause.tense == "present" and not clause.modal):
            label = "modal" if clause.modal and clause.tense != "past" else clause.tense
            lasts = not isinstance(verb, str) and verb.id in self.lexicon.spans
            adverb = self.pick([t for t in self.lexicon.times.values() if label in t.tense and (lasts or not t.long)])
            if label == "present" and not self.recurs(clause):
                return clause
            clause = clause.but(time=adverb, manner=None if label == "present" else clause.manner)
            # After a definite object, "nicht" and the time usually change places in German.
            held = clause.negated and any(p is not None and is_definite(p) for p in (clause.accusative, clause.dative))
            if adverb.front and (held or self.chance(front)):
                return clause.but(front="time")
            return clause.but(time=None) if held else clause
        extra = clause.place and not isinstance(verb, str) and verb.frame not in ("location", "position")
        if extra and not clause.negated and self.chance(0.3):
            return clause.but(front="place")
        return clause

    def with_modal(self, clause):
        """The clause under a modal verb, sometimes in the past."""
        choices = [m for m in self.lexicon.modals.values() if m.negatable or not clause.negated]
        modal = self.pick(choices)
        past = bool(modal.past) and self.chance(0.3)
        return clause.but(modal=modal, tense="past" if past else "present")

    def predicate_adjective(self, noun):
        """ "too heavy" / "zu schwer" for a noun it fits."""
        adjective = self.pick(self.lexicon.adjectives_for(noun))
        degree = self.weighted([(("", ""), 5), (("very ", "sehr "), 2), (("too ", "zu "), 1)])
        if degree[0] and adjective.en not in self.lexicon.degrees[degree[0].strip()]:
            degree = ("", "")
        return Complement(degree[0] + adjective.en, degree[1] + adjective.de, (("adjective", adjective.en, noun.en),))

    def comparison(self):
        """(noun, complement): one noun and what it is compared with, both of the same kind."""
        adjective = self.lexicon.adjectives[self.pick(self.lexicon.degrees["compare"])]
        kinds = [word for word in adjective.of if len(self.lexicon.select([word])) > 1]
        if not kinds:
            return self.comparison()
        nouns = self.lexicon.select([self.pick(kinds)])
        noun = self.pick(nouns)
        other = self.pick([n for n in nouns if n is not noun])
        phrase = self.phrase(other, adjective=0, owner=0, plural=False, indefinite=False, counted=False)
        if self.chance(0.3):
            en = f"as {adjective.en} as {english.nominal(phrase)}"
            de = f"so {adjective.de} wie {german.nominal(phrase, 'nom')}"
        else:
            en, de = english.comparative(adjective, phrase), german.comparative(adjective, phrase)
        pairs = tuple(("adjective", adjective.en, n.en) for n in (noun, other))
        return noun, Complement(en, de, pairs)
