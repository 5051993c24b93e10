"""Patterns with a subordinate clause or an infinitive clause; see statements.py for what they return."""

from . import english, german
from .lexicon import PRONOUNS
from .statements import DESCRIBED, FRAMES, said
from .trees import Adverbial, Clause, Complement, Gap, NounPhrase, Prepositional, agreement, combinations


def under(outer, inner, en, de):
    """A clause with a second one introduced by the conjunction, in both languages."""
    return (
        f"{english.statement(outer)} {en} {english.statement(inner)}",
        f"{german.main_clause(outer)}, {german.subordinate(inner, de)}",
    )


def embedded(s, *, past, positive=False):
    """A short clause to follow a conjunction; in the past if the clause above it is."""
    draw = s.random()
    if draw < 0.2:
        noun = s.pick(s.lexicon.select(["adult", "young", "animal", "text", "vehicle", "building", "food", "show"]))
        phrase = s.phrase(noun, adjective=0, indefinite=False, counted=False)
        tense = "past" if past else s.pick(["present", "past"])
        return Clause(phrase, "be", tense, complement=s.predicate_adjective(noun))
    verb = s.verb(s.pick(FRAMES))
    inner = s.subject(verb.options["subject"], indefinite=False, adjective=0.1, pronoun=0.3)
    clause = s.clause(verb, subject=inner, negated=not positive and s.chance(0.15))
    clause = clause.but(tense="past" if past else s.tense(verb))
    if not past and s.chance(0.12) and verb.progressive and isinstance(inner, type(PRONOUNS["I"])):
        clause = s.with_modal(clause)
    return s.timed(clause, time=0.15, place=0.1, frequency=0.08, manner=0.15, front=0)


def that(s):
    verb = s.pick([v for v in s.lexicon.verbs["clausal"].values() if v.options["link"] == "that"])
    subject = s.subject(["adult"], indefinite=False, pronoun=0.5, name=0.2, adjective=0.05)
    outer = Clause(subject, verb, "past" if s.chance(0.2) and verb.id != "hope" else "present")
    inner = embedded(s, past=outer.tense == "past")
    if inner.front or getattr(inner.subject, "noun", None) is getattr(subject, "noun", 0):
        return None
    return *under(outer, inner, "that", "dass"), ".", combinations(outer) | combinations(inner)


def whether(s):
    verbs = s.lexicon.verbs["clausal"]
    if s.chance(0.5):
        subject = s.subject(["adult"], indefinite=False, pronoun=0.6, name=0.2, adjective=0)
        outer = Clause(subject, verbs["know"], negated=True)
    else:
        subject = s.subject(["person"], indefinite=False, pronoun=0.25, name=0.3, adjective=0)
        outer = Clause(subject, verbs["ask"], s.pick(["present", "past"]))
    inner = embedded(s, past=outer.tense == "past", positive=True)
    if inner.front:
        return None
    if getattr(inner.subject, "noun", None) is getattr(subject, "noun", 0):
        return None
    return *under(outer, inner, "whether", "ob"), ".", combinations(outer) | combinations(inner)


def because(s):
    """A mood and the event behind it: "..., weil sie den Schlüssel verloren hat." """
    mood = s.pick(list(s.lexicon.reasons))
    word = s.lexicon.adjectives[mood]
    ident = s.pick(s.lexicon.reasons[mood])
    verb = s.lexicon.verbs["transitive"].get(ident) or s.lexicon.verbs["intransitive"][ident]
    people = [n for n in s.lexicon.select(["adult", "young"]) if n.pronoun and s.lexicon.suits(n, word.of)]
    people = [n for n in people if s.lexicon.suits(n, verb.options["subject"])]
    if not people:
        return None
    noun = s.pick(people)
    draw = s.random()
    pairs = set()
    if draw < 0.3:
        subject = pronoun = s.pick(list(PRONOUNS.values()))
    elif draw < 0.45:
        subject = s.pick(list(s.lexicon.names.values()))
        pronoun = PRONOUNS[subject.pronoun]
    else:
        subject = s.phrase(noun, adjective=0, indefinite=False, owner=0)
        pronoun = PRONOUNS["they"] if subject.plural else PRONOUNS[noun.pronoun]
        pairs = {("subject", verb.id, noun.en), ("adjective", mood, noun.en)}
    # Tiredness comes from a longer activity, other moods from a single event.
    reason = s.clause(verb, subject=pronoun, definite=s.chance(0.8)).but(tense="past")
    if getattr(reason.accusative, "noun", None) is noun:
        return None
    outer = Clause(subject, "be", s.weighted([("present", 3), ("past", 2)]), complement=Complement(word.en, word.de))
    return *under(outer, reason, "because", "weil"), ".", combinations(outer) | combinations(reason) | pairs


FOUL = (
    ("location", "stay"),
    ("transitive", "put|on"),
    ("transitive", "take"),
    ("transitive", "wear"),
    ("direction", "go"),
    ("direction", "drive"),
)
FAIR = ("play", "dance", "work", "swim", "hike", "sing", "run")


def weather(s):
    """What people do in foul and fair weather, with weil, wenn or obwohl, in either order."""
    link = s.pick([("because", "weil"), ("if", "wenn"), ("although", "obwohl")])
    foul = s.chance(0.5)
    state = s.pick(s.lexicon.weather["foul" if foul else "fair"])
    indoors = foul != (link[0] == "although")
    people = ["adult", "young"] if indoors else ["young", "man", "woman", "student", "friend", "kin"]
    subject = s.subject(people, indefinite=False, pronoun=0.35, adjective=0.1)
    if indoors:
        frame, ident = s.pick(FOUL)
        verb = s.lexicon.verbs[frame][ident]
        if isinstance(subject, NounPhrase) and not s.lexicon.suits(subject.noun, verb.options["subject"]):
            return None
        if frame == "transitive" and ident == "take":
            wet = state["en"] in ("it is raining", "it is snowing") and link[0] != "although"
            noun = s.pick(s.lexicon.select(["bus", "taxi", "train"] + (["umbrella"] if wet else [])))
            phrase = s.phrase(noun, plural=False, adjective=0.1, owner=0, indefinite=False, counted=False)
            clause = Clause(subject, verb, accusative=s.ones_own(phrase, subject))
        elif frame == "transitive":
            noun, plural = s.pick(s.lexicon.select(["warmer"])), agreement(subject).endswith("pl")
            phrase = s.phrase(noun, plural=plural, adjective=0.3, owner=0, counted=False)
            clause = Clause(subject, verb, accusative=s.ones_own(phrase, subject))
        elif frame == "direction":
            clause = Clause(subject, verb, direction=Adverbial("home", "nach Hause"))
        else:
            clause = Clause(subject, verb, place=Adverbial("at home", "zu Hause"))
    else:
        verb = s.lexicon.verbs["intransitive"][s.pick(FAIR)]
        if isinstance(subject, NounPhrase) and not s.lexicon.suits(subject.noun, verb.options["subject"]):
            return None
        places = s.lexicon.both(verb.options.get("places", ["park"]), ["outdoor", "waters"])
        clause = Clause(subject, verb, place=s.place(places) if places else None)
    tense = s.pick(["present", "future"]) if link[0] == "if" else s.pick(["present", "progressive"])
    clause = s.settled(clause.but(tense=tense))
    if clause.tense == "past":
        return None
    en = f"{link[0]} {state['if' if link[0] == 'if' else 'en']}"
    de = f"{link[1]} {state['de']}"
    if s.chance(0.5):
        return f"{english.statement(clause)} {en}", f"{german.main_clause(clause)}, {de}", ".", combinations(clause)
    return f"{en}, {english.statement(clause)}", f"{de}, {german.question(clause)}", ".", combinations(clause)


def relative_of(s, noun, plural, role):
    """A relative clause about the noun, whose gap is its subject, its accusative or its dative object."""
    gap = Gap(noun, plural)
    if role == "subject":
        verb = s.verb(s.pick(FRAMES))
        if not s.lexicon.suits(noun, verb.options["subject"]):
            return None
        clause = s.clause(verb, subject=gap)
        clause = clause.but(tense=s.tense(verb, future=False))
        if getattr(clause.accusative or clause.dative or clause.prepositional, "noun", None) is noun:
            return None
        return s.timed(clause, time=0.1, place=0.2, frequency=0.08, manner=0.2, front=0).but(front="")
    verb = s.verb("transitive" if role == "accusative" else "dative")
    if not s.lexicon.suits(noun, verb.options["object"]) or verb.options.get("plural"):
        return None
    if verb.id == "belong to":
        return None
    subject = s.subject(verb.options["subject"], indefinite=False, pronoun=0.4, name=0.2, adjective=0)
    if getattr(subject, "noun", None) is noun:
        return None
    return s.settled(Clause(subject, verb, s.tense(verb, future=False), **{role: gap}))


def relative(s):
    """A relative clause on the subject of be, or on the object of know, see, look for and the like."""
    person = s.chance(0.6)
    living = ["adult", "young", "animal"]
    noun = s.pick(s.lexicon.select(living if person else [word for word in DESCRIBED if word not in living]))
    plural = s.chance(0.2) and not noun.mass
    if "kin" in noun.tags or "royal" in noun.tags:
        return None
    role = s.pick(["subject", "subject", "accusative", "dative"]) if person else "accusative"
    inner = relative_of(s, noun, plural, role)
    if inner is None:
        return None
    phrase = NounPhrase(noun, plural, "the", relative=inner)
    if s.chance(0.55):
        tense = s.weighted([("present", 3), ("past", 1)])
        complement = s.predicate_adjective(noun)
        clause = Clause(phrase, "be", tense, negated=s.chance(0.1), complement=complement)
    else:
        if not person and s.chance(0.4):
            phrase = NounPhrase(noun, plural, "this" if not s.chance(0.5) else "the", relative=inner)
        words = ["know", "look for", "see", "find", "like", "need", "visit", "meet"]
        verb = s.lexicon.verbs["transitive"][s.pick(words)]
        if not s.lexicon.suits(noun, verb.options["object"]) or verb is inner.verb:
            return None
        subject = s.subject(verb.options["subject"], indefinite=False, pronoun=0.55, adjective=0, owner=0)
        if getattr(subject, "noun", None) in (noun, getattr(inner.subject, "noun", 0)) or subject == inner.subject:
            return None
        clause = s.settled(Clause(subject, verb, s.tense(verb), accusative=phrase))
    return *said(clause), ".", combinations(clause)


def infinitive(s):
    """ "Der Mann versucht, die Tür zu öffnen." """
    outer_verb = s.verb("infinitival")
    ident = s.pick(outer_verb.options["pairs"])
    verb = next(verbs[ident] for verbs in (s.lexicon.verbs["transitive"], s.lexicon.verbs["dative"]) if ident in verbs)
    people = s.lexicon.both(verb.options["subject"], ["adult", "young"])
    subject = s.subject(people, indefinite=False) if s.chance(0.65) else s.somebody()
    inner = s.clause(verb, subject=subject)
    tense = s.weighted([("present", 1.5), ("past", 5), ("progressive", 2 if outer_verb.progressive else 0)])
    outer = Clause(subject, outer_verb, tense)
    en = f"{english.statement(outer)} to {english.bare_infinitive(inner)}"
    de = f"{german.main_clause(outer)}, {german.to_infinitive(inner)}"
    return en, de, ".", combinations(outer) | combinations(inner)


def purpose(s):
    """ "Die Frau fährt in die Stadt, um ein Kleid zu kaufen." """
    row = s.pick(s.lexicon.purposes)
    noun = s.lexicon.nouns[row["place"]]
    verb = s.lexicon.verbs["transitive"][row["verb"]]
    going = s.pick([v for v in s.lexicon.verbs["direction"].values() if row["place"] in v.options.get("places", [])])
    subject = s.subject(["adult"], indefinite=False, pronoun=0.3, adjective=0.1)
    en, de = noun.to
    where = Prepositional(en, de, "dat" if de == "zu" else "acc", NounPhrase(noun))
    phrase = s.object(row["object"], avoid=(subject,), pronoun=0)
    outer = Clause(subject, going, s.tense(going), direction=where)
    inner = Clause(subject, verb, accusative=phrase)
    if getattr(phrase, "noun", None) is None and row["verb"] not in ("meet", "visit", "pick|up"):
        return None
    en = f"{english.statement(outer)} to {english.bare_infinitive(inner)}"
    de = f"{german.main_clause(outer)}, {german.to_infinitive(inner, 'um')}"
    return en, de, ".", combinations(outer) | combinations(inner)
