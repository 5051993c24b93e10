"""German: declension of phrases, and the order of words in main, inverted and subordinate clauses."""

from .lexicon import Name, Pronoun
from .trees import (
    NUMBERS,
    POSSESSIVES,
    Asked,
    Gap,
    NounPhrase,
    Prepositional,
    agreement,
    is_asked,
    is_definite,
    takes_no,
)

COLUMNS = ("m", "f", "n", "pl")
# Rows are cases, columns are m f n pl.
THE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den", "gen": "des der des der"}
DER_ENDINGS = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "es er es er"}
EIN_ENDINGS = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en", "gen": "es er es er"}
WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en", "gen": "en en en en"}
MIXED = {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en", "gen": "en en en en"}
STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "en er en er"}
RELATIVE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem denen"}
DER_WORDS = {"this": "dies", "every": "jed", "which": "welch"}
STRONG_WORDS = {"many": "viel", "some": "einig", "how many": "wie viel"}
CONTRACTIONS = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("von", "dem"): "vom",
    ("bei", "dem"): "beim",
}
ASKED = {"who": {"nom": "wer", "acc": "wen", "dat": "wem"}, "what": {"nom": "was", "acc": "was"}}
BE = {"1sg": "bin", "2sg": "bist", "3sg": "ist", "1pl": "sind", "3pl": "sind"}
WAS = {"1sg": "war", "2sg": "warst", "3sg": "war", "1pl": "waren", "3pl": "waren"}
HAVE = {"1sg": "habe", "2sg": "hast", "3sg": "hat", "1pl": "haben", "3pl": "haben"}
HAD = {"1sg": "hatte", "2sg": "hattest", "3sg": "hatte", "1pl": "hatten", "3pl": "hatten"}
WILL = {"1sg": "werde", "2sg": "wirst", "3sg": "wird", "1pl": "werden", "3pl": "werden"}


def ending(table, case, gender, plural):
    """DER_ENDINGS, "dat", "f", False -> "er"; "-" in a table means no ending."""
    return table[case].split()[COLUMNS.index("pl" if plural else gender)].strip("-")


def noun_form(noun, case, plural):
    """Mann, Männer, den Männern, des Mannes, den Jungen"""
    if plural:
        form = noun.de_plural
        return form + "n" if case == "dat" and not form.endswith(("n", "s")) else form
    if case == "gen":
        return noun.genitive
    return noun.de_plural if noun.weak and case != "nom" else noun.de


def determiner(phrase, case):
    """The determiner's word and the table its adjective follows."""
    gender, plural, word = phrase.noun.gender, phrase.plural, phrase.determiner
    if phrase.owner is not None:
        # A name's genitive stands in front, as in English; any other owner follows its noun.
        if isinstance(phrase.owner, Name):
            return phrase.owner.en + "s", STRONG
        return ending(THE, case, gender, plural), WEAK
    if word == "the":
        return ending(THE, case, gender, plural), WEAK
    if word in DER_WORDS:
        return DER_WORDS[word] + ending(DER_ENDINGS, case, gender, plural), WEAK
    if word in STRONG_WORDS:
        return STRONG_WORDS[word] + ending(DER_ENDINGS, case, gender, plural), STRONG
    if word in NUMBERS:
        return NUMBERS[word], STRONG
    if word == "bare":
        return "", STRONG
    stem = {"a": "ein", "no": "kein"}.get(word) or POSSESSIVES[word]
    return stem + ending(EIN_ENDINGS, case, gender, plural), MIXED


def noun_phrase(phrase, case):
    """ "the old house", dat -> "dem alten Haus". A relative clause is not part of it: see `relative_clause`."""
    word, table = determiner(phrase, case)
    parts = [word]
    if phrase.adjective:
        parts.append(phrase.adjective.stem + ending(table, case, phrase.noun.gender, phrase.plural))
    parts.append(noun_form(phrase.noun, case, phrase.plural))
    if isinstance(phrase.owner, NounPhrase):
        parts.append(noun_phrase(phrase.owner, "gen"))
    return " ".join(part for part in parts if part)


def nominal(phrase, case):
    """Any phrase in a case: noun phrase, name, pronoun, question word or relative pronoun."""
    if isinstance(phrase, NounPhrase):
        return noun_phrase(phrase, case)
    if isinstance(phrase, Pronoun):
        return {"nom": phrase.nominative, "acc": phrase.accusative, "dat": phrase.dative}[case]
    if isinstance(phrase, Asked):
        return ASKED[phrase.en][case]
    if isinstance(phrase, Gap):
        return ending(RELATIVE, case, phrase.noun.gender, phrase.plural)
    return phrase.en


def with_preposition(preposition, phrase, case):
    """("in", "the garden", dat) -> "im Garten"; only the plain article is contracted."""
    text = nominal(phrase, case)
    first, _, rest = text.partition(" ")
    plain = isinstance(phrase, NounPhrase) and (phrase.determiner == "the" or isinstance(phrase.owner, NounPhrase))
    if plain and rest and not isinstance(phrase.owner, Name) and (preposition, first) in CONTRACTIONS:
        return f"{CONTRACTIONS[preposition, first]} {rest}"
    return f"{preposition} {text}"


def adverbial(part):
    if isinstance(part, Prepositional):
        return with_preposition(part.de, part.phrase, part.case)
    return part.de


def is_pronoun(phrase):
    return isinstance(phrase, Pronoun)


def finite_verb(verb, person):
    if verb == "be":
        return BE[person]
    if verb == "have":
        return HAVE[person]
    return {"1sg": verb.ich, "2sg": verb.du, "3sg": verb.er}.get(person, verb.de)


def infinitive(verb):
    return {"be": "sein", "have": "haben"}[verb] if isinstance(verb, str) else verb.prefix + verb.de


def verb_parts(clause):
    """(finite verb, what closes the clause, separable prefix).

    has read -> ("hat", "gelesen", "");  gets up -> ("steht", "", "auf");  wants to read -> ("will", "lesen", "")
    """
    person, verb = agreement(clause.subject), clause.verb
    if clause.modal:
        forms = clause.modal.de_past if clause.tense == "past" else clause.modal.de
        return forms[person], infinitive(verb), ""
    if clause.tense == "future":
        return WILL[person], infinitive(verb), ""
    if clause.tense == "past":
        if isinstance(verb, str):
            return (WAS if verb == "be" else HAD)[person], "", ""
        return (BE if verb.auxiliary == "sein" else HAVE)[person], verb.participle, ""
    return finite_verb(verb, person), "", "" if isinstance(verb, str) else verb.prefix


def negated_object(phrase):
    """a book -> kein Buch, books -> keine Bücher"""
    return NounPhrase(phrase.noun, phrase.plural, "no", phrase.adjective)


def middle(clause, subject=True):
    """What stands between the finite verb and the closing verb, in order.

    Pronouns first, then time, definite dative (before the time if there are two objects) and accusative,
    frequency or nicht, manner, place, indefinite objects, complement, prepositional object, direction. What opens the
    sentence, and gaps, are left out.
    """
    verb, accusative, dative = clause.verb, clause.accusative, clause.dative
    fronted = clause.front
    person = [nominal(clause.subject, "nom")] if subject and not isinstance(clause.subject, (Gap, Asked)) else []
    reflexive = []
    if not isinstance(verb, str) and verb.reflexive:
        reflexive = [clause.subject.reflexive if is_pronoun(clause.subject) else "sich"]
    parts = person + reflexive if is_pronoun(clause.subject) else reflexive + person
    early = [(accusative, "acc"), (dative, "dat")]
    parts += [nominal(phrase, case) for phrase, case in early if is_pronoun(phrase)]
    standing = (NounPhrase, Name)
    receiver = [nominal(dative, "dat")] if isinstance(dative, standing) and is_definite(dative) else []
    time = [adverbial(clause.time)] if clause.time and fronted != "time" else []
    # With a second object, the indirect object usually comes first: "gibt dem Kind heute ein Buch".
    parts += receiver + time if accusative is not None else time + receiver
    says_no = clause.negated and takes_no(accusative)
    held = isinstance(accusative, standing) and fronted != "accusative"
    if held and is_definite(accusative):
        parts.append(nominal(accusative, "acc"))
    if clause.frequency and fronted != "frequency":
        parts.append(clause.frequency.de)
    if clause.negated and not says_no:
        parts.append("nicht")
    if clause.manner:
        parts.append(clause.manner.de)
    if clause.place and fronted != "place":
        parts.append(adverbial(clause.place))
    if isinstance(dative, standing) and not is_definite(dative):
        parts.append(nominal(dative, "dat"))
    if held and not is_definite(accusative):
        parts.append(nominal(negated_object(accusative) if says_no else accusative, "acc"))
    if clause.complement:
        parts.append(clause.complement.de)
    if clause.prepositional and not isinstance(clause.prepositional, Asked):
        parts.append(with_preposition(verb.preposition, clause.prepositional, verb.case))
    if clause.direction and fronted != "direction":
        parts.append(adverbial(clause.direction))
    return parts


def after_field(clause):
    """Relative clauses of objects, moved behind the closing verb: ", die das Auto gekauft hat,"."""
    held = (clause.accusative, clause.dative, clause.prepositional)
    return [relative_clause(p) for p in held if isinstance(p, NounPhrase) and p.relative]


def relative_clause(phrase):
    return ", " + subordinate(phrase.relative) + " ,"


def subject_text(subject):
    text = nominal(subject, "nom")
    return text + " " + relative_clause(subject) if isinstance(subject, NounPhrase) and subject.relative else text


def main_clause(clause):
    """Verb second: the fronted part or the subject, the finite verb, the rest, what closes it."""
    finite, closing, prefix = verb_parts(clause)
    part = getattr(clause, clause.front) if clause.front else None
    opening = adverbial(part) if part else subject_text(clause.subject)
    return join([opening, finite, *middle(clause, subject=bool(part)), prefix, closing, *after_field(clause)])


def question(clause, asked=""):
    """Verb first, or second after a question word: "Wo wohnt der Mann"."""
    finite, closing, prefix = verb_parts(clause)
    inside = middle(clause, subject=not is_asked(clause.subject))
    return join([asked, finite, *inside, prefix, closing, *after_field(clause)])


def subordinate(clause, conjunction=""):
    """Verb last: "weil die Frau das Buch gelesen hat"; a separable prefix rejoins its verb."""
    finite, closing, prefix = verb_parts(clause)
    gaps = [(clause.subject, "nom"), (clause.accusative, "acc"), (clause.dative, "dat")]
    opening = [nominal(phrase, case) for phrase, case in gaps if isinstance(phrase, Gap)]
    return join([conjunction, *opening, *middle(clause), closing, prefix + finite, *after_field(clause)])


def to_infinitive(clause, conjunction=""):
    """ "das Fenster zu schließen", "um das Licht auszuschalten" """
    verb = clause.verb
    last = f"{verb.prefix}zu{verb.de}" if verb.prefix else f"zu {verb.de}"
    return join([conjunction, *middle(clause, subject=False), last])


def imperative(clause):
    """ "Lies das Buch nicht", "Schalte das Radio aus" """
    return join([clause.verb.imperative, *middle(clause, subject=False), clause.verb.prefix])


def join(parts):
    return " ".join(part for part in parts if part)


def comparative(adjective, other):
    """größer als der Hund"""
    return f"{adjective.comparative} als {nominal(other, 'nom')}"
