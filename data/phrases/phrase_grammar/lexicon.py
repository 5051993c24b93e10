"""The words of grammar.toml as typed records, checked when they are read."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

GRAMMAR = Path(__file__).resolve().parent.parent / "grammar.toml"
VOWELS = "aeiou"
VERB_FIELDS = {
    "en",
    "past",
    "ing",
    "de",
    "ich",
    "du",
    "er",
    "part",
    "imp",
    "aux",
    "reflexive",
    "prep",
    "case",
    "progressive",
}


@dataclass(frozen=True)
class Noun:
    """One noun; `tags` are the groups it belongs to, `at` and `to` the (English, German) prepositions of a place."""

    en: str
    de: str
    gender: str
    en_plural: str
    de_plural: str
    genitive: str
    weak: bool
    mass: bool
    pronoun: str
    tags: tuple
    at: tuple
    to: tuple


@dataclass(frozen=True)
class Adjective:
    en: str
    de: str
    stem: str
    comparative: str
    en_comparative: str
    of: tuple


@dataclass(frozen=True)
class Verb:
    """One verb and its frame. `id` is the English base with a "|" before a particle, unique within a frame."""

    id: str
    frame: str
    en: str
    particle: str
    third: str
    past: str
    ing: str
    de: str
    prefix: str
    ich: str
    du: str
    er: str
    participle: str
    imperative: str
    auxiliary: str
    reflexive: bool
    preposition: str
    case: str
    progressive: bool
    options: dict

    def __hash__(self):
        return hash((self.frame, self.id))


@dataclass(frozen=True)
class Modal:
    en: str
    form: str
    third: str
    past: str
    negative: str
    negatable: bool
    de: dict
    de_past: dict

    def __hash__(self):
        return hash(self.en)


@dataclass(frozen=True)
class Adverbial:
    """A fixed phrase of time, frequency, manner or place; `tense` says which tenses a time goes with."""

    en: str
    de: str
    tense: tuple = ()
    front: bool = True
    long: bool = False


@dataclass(frozen=True)
class Pronoun:
    """A personal pronoun: subject and object in English, three cases and the reflexive in German."""

    en: str
    en_object: str
    nominative: str
    accusative: str
    dative: str
    reflexive: str
    agreement: str


@dataclass(frozen=True)
class Name:
    en: str
    pronoun: str


PRONOUNS = {
    "I": Pronoun("I", "me", "ich", "mich", "mir", "mich", "1sg"),
    "you": Pronoun("you", "you", "du", "dich", "dir", "dich", "2sg"),
    "he": Pronoun("he", "him", "er", "ihn", "ihm", "sich", "3sg"),
    "she": Pronoun("she", "her", "sie", "sie", "ihr", "sich", "3sg"),
    "we": Pronoun("we", "us", "wir", "uns", "uns", "uns", "1pl"),
    "they": Pronoun("they", "them", "sie", "sie", "ihnen", "sich", "3pl"),
}
# Only as an object that refers to a noun just mentioned, so that its gender is known.
THING_PRONOUNS = {
    "m": Pronoun("it", "it", "er", "ihn", "ihm", "sich", "3sg"),
    "f": Pronoun("it", "it", "sie", "sie", "ihr", "sich", "3sg"),
    "n": Pronoun("it", "it", "es", "es", "ihm", "sich", "3sg"),
}


def english_plural(word):
    """apple -> apples, baby -> babies, glass -> glasses"""
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "sh", "ch", "x", "z")) else "s")


def english_third(word):
    """read -> reads, wash -> washes, carry -> carries, go -> goes"""
    return word + "es" if word.endswith("o") else english_plural(word)


def english_past(word):
    """wash -> washed, use -> used, carry -> carried"""
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ied"
    return word + "ed"


def english_ing(word):
    """read -> reading, use -> using"""
    return (word[:-1] if word.endswith("e") and not word.endswith("ee") else word) + "ing"


def german_stem(infinitive):
    """kaufen -> kauf, wandern -> wander, sammeln -> sammel"""
    return infinitive[:-1] if infinitive.endswith(("eln", "ern")) else infinitive[:-2]


def needs_e(stem):
    """Stems that keep an e before -t and -st: arbeit-et, öffn-et, zeichn-et."""
    nasal = stem.endswith(("n", "m")) and stem[-2] not in VOWELS + "äöürlhmn"
    return nasal or stem.endswith(("t", "d", "chn"))


def german_verb(row):
    """Person forms, participle and imperative of one row, the regular ones by rule.

    kaufen -> kaufe kaufst kauft gekauft kaufe;  ein|kaufen -> participle eingekauft
    """
    prefix, _, base = row["de"].rpartition("|")
    stem = german_stem(base)
    e = "e" if needs_e(stem) else ""
    ich = stem[:-2] + "le" if base.endswith("eln") else stem + "e"
    du = stem + ("t" if stem.endswith(("s", "ß", "z", "x")) else e + "st")
    unstressed = base.startswith(("be", "ver", "er", "ge", "ent")) and base not in ("bellen", "bauen", "gehen", "geben")
    ge = "" if unstressed or base.endswith("ieren") else "ge"
    participle = prefix + row.get("part", ge + stem + e + "t")
    return {
        "de": base,
        "prefix": prefix,
        "participle": participle,
        "imperative": row.get("imp", ich),
        "ich": row.get("ich", ich),
        "du": row.get("du", du),
        "er": row.get("er", stem + e + "t"),
    }


def read_noun(row):
    mass = row.get("mass", False)
    genitive = row.get("gen")
    if genitive is None:
        suffix = "es" if row["de"].endswith(("s", "ß", "x", "z", "sch")) else "s"
        genitive = row["de"] if row["g"] == "f" else row["pl"] if row.get("weak") else row["de"] + suffix
    return Noun(
        en=row["en"],
        de=row["de"],
        gender=row["g"],
        en_plural="" if mass else row.get("plural", english_plural(row["en"])),
        de_plural="" if mass else row["pl"],
        genitive=genitive,
        weak=row.get("weak", False),
        mass=mass,
        pronoun=row.get("pron", ""),
        tags=tuple(row["tags"]),
        at=tuple(row.get("at", "").split()),
        to=tuple(row.get("to", "").split()),
    )


def read_adjective(row):
    stem = row.get("stem", row["de"].removesuffix("e"))
    return Adjective(
        row["en"],
        row["de"],
        stem,
        row.get("er", row["de"].removesuffix("e") + "er"),
        row.get("more", "more " + row["en"]),
        tuple(row["of"]),
    )


def read_verb(frame, row):
    en, _, particle = row["en"].partition("|")
    first, _, rest = en.partition(" ")
    rest = " " + rest if rest else ""
    past = row.get("past", english_past(first) + rest)
    ing = row.get("ing", english_ing(first) + rest)
    return Verb(
        id=row["en"],
        frame=frame,
        en=en,
        particle=particle,
        third=english_third(first) + rest,
        past=past,
        ing=ing,
        auxiliary=row.get("aux", "haben"),
        reflexive=row.get("reflexive", False),
        preposition=row.get("prep", ""),
        case=row.get("case", ""),
        progressive=row.get("progressive", True),
        options={k: v for k, v in row.items() if k not in VERB_FIELDS},
        **german_verb(row),
    )


def read_modal(row):
    persons = ("1sg", "2sg", "3sg", "1pl", "3pl")
    present = dict(zip(persons, (row["ich"], row["du"], row["er"], row["wir"], row["wir"]), strict=False))
    past = row.get("de_past")
    past = dict(zip(persons, (*past, past[3]), strict=False)) if past else {}
    return Modal(
        row["en"],
        row["form"],
        row.get("third", row["en"]),
        row.get("past", ""),
        row.get("neg", row["en"] + " not"),
        row.get("negatable", True),
        present,
        past,
    )


class Lexicon:
    """All of grammar.toml. Raises ValueError naming the word when a selection names something unknown."""

    def __init__(self, path=GRAMMAR):
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        self.groups = data["groups"]
        self.nouns = {row["en"]: read_noun(row) for rows in data["nouns"].values() for row in rows}
        self.adjectives = {row["en"]: read_adjective(row) for row in data["adjectives"]["all"]}
        self.verbs = {
            frame: {row["en"]: read_verb(frame, row) for row in rows} for frame, rows in data["verbs"].items()
        }
        self.modals = {row["en"]: read_modal(row) for row in data["modals"]["all"]}
        self.times = {
            r["en"]: Adverbial(r["en"], r["de"], tuple(r["tense"]), r.get("front", True), r.get("long", False))
            for r in data["times"]["all"]
        }
        self.frequencies = {
            row["en"]: Adverbial(row["en"], row["de"], (), row.get("front", False))
            for row in data["frequencies"]["all"]
        }
        self.manners = {row["en"]: Adverbial(row["en"], row["de"]) for row in data["manners"]["all"]}
        self.cities = [Adverbial(row["en"], row["de"]) for row in data["cities"]["all"]]
        self.names = {name: Name(name, pronoun) for pronoun in ("she", "he") for name in data["names"][pronoun]}
        self.have = data["have"]
        self.professions = data["professions"]["all"]
        self.degrees = data["degrees"]
        self.imperatives = data["imperatives"]["all"]
        self.sights = data["towns"]["has"]
        self.contrasts = data["contrasts"]
        self.spans = data["spans"]["verbs"]
        self.repeatable = data["repeatable"]["verbs"]
        self.weather = data["weather"]
        self.reasons = data["reasons"]
        self.sequences = [tuple(pair) for pair in data["sequences"]["all"]]
        self.purposes = data["purposes"]["all"]
        self.selections, self.fitting = {}, {}
        self.check(Path(path).name)

    def select(self, selection):
        """Nouns that have one of the tags, belong to one of the groups, or are named directly, in lexicon order."""
        key = tuple(selection)
        if key not in self.selections:
            tags = [tag for word in key for tag in self.groups.get(word, [word])]
            self.selections[key] = [n for n in self.nouns.values() if n.en in tags or any(t in tags for t in n.tags)]
        return self.selections[key]

    def both(self, one, other):
        """The English words of the nouns that match both selections."""
        return [noun.en for noun in self.select(one) if self.suits(noun, other)]

    def suits(self, noun, selection):
        return any(noun is chosen for chosen in self.select(selection))

    def adjectives_for(self, noun):
        if noun.en not in self.fitting:
            self.fitting[noun.en] = [a for a in self.adjectives.values() if self.suits(noun, a.of)]
        return self.fitting[noun.en]

    def check(self, source):
        selections = [(a.en, a.of) for a in self.adjectives.values()]
        for verbs in self.verbs.values():
            for verb in verbs.values():
                for field in ("subject", "object", "recipient", "places"):
                    selections.append((verb.id, verb.options.get(field, ())))
        selections += [(p["place"], p["object"]) for p in self.purposes]
        selections += [("have", self.have["subject"]), ("have", self.have["object"])]
        for owner, selection in selections:
            for word in selection:
                if not self.select([word]):
                    raise ValueError(f"{source}, '{owner}': no noun is called or tagged '{word}'; add one or drop it")
