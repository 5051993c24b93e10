"""The bundled phrases: their generator, the claims of the dataset card, and the grammar against manual translations."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "data" / "phrases"
SPLITS = ("train", "valid", "test")


def corpus_module(name):
    """Import a module in the corpus folder as `python data/phrases/generate.py` would."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def composer_module():
    return corpus_module("phrase_grammar.composer")


@pytest.fixture(scope="module")
def say(composer_module):
    return composer_module.Composer()


@pytest.fixture(scope="module")
def generator():
    return load_generator()


def load_generator():
    corpus_module("phrase_grammar.constructions")
    spec = importlib.util.spec_from_file_location("phrases_generator", FOLDER / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(generator):
    """split -> newly generated sentences with their combinations."""
    return generator.build()


@pytest.fixture(scope="module")
def rows():
    """The committed rows: split -> [(English, German)]."""
    return {split: [tuple(line.split("\t")) for line in lines_of(split)[1:]] for split in SPLITS}


def lines_of(split):
    return (FOLDER / f"{split}.tsv").read_text(encoding="utf-8").splitlines()


def words_of(pairs, column):
    return {word.strip(",.?!").lower() for pair in pairs for word in pair[column].split()}


# The files


def test_the_committed_files_match_the_generator(generator, built, tmp_path):
    generator.write(built, tmp_path)
    for split in SPLITS:
        assert (tmp_path / f"{split}.tsv").read_bytes() == (FOLDER / f"{split}.tsv").read_bytes(), (
            f"data/phrases/{split}.tsv is stale; run python data/phrases/generate.py"
        )


def test_another_seed_writes_another_corpus(generator, rows):
    small = generator.build(seed=generator.SEED + 1, sizes={"train": 400, "valid": 5, "test": 5})
    assert {s.en for s in small["train"]} - {en for en, _ in rows["train"]}


def test_there_are_at_least_twenty_thousand_distinct_pairs(rows):
    pairs = [pair for split in SPLITS for pair in rows[split]]
    assert len(set(pairs)) == len(pairs) >= 20_000


def test_every_file_has_the_header_and_two_nonempty_columns(rows):
    for split in SPLITS:
        assert lines_of(split)[0] == "en\tde"
        assert all(len(pair) == 2 and all(pair) for pair in rows[split])


def test_no_english_side_is_in_two_splits_or_has_two_german_sides(rows):
    english = [en for split in SPLITS for en, _ in rows[split]]
    assert len(set(english)) == len(english)


def test_sentences_have_three_to_fourteen_words(rows):
    assert all(3 <= len(side.split()) <= 14 for split in SPLITS for pair in rows[split] for side in pair)


def test_the_card_states_the_counts(rows):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "synthetic" in card.lower()
    for split in SPLITS:
        assert f"| {split} | {len(rows[split]):,} |" in card


# Held-out combinations


@pytest.mark.parametrize("split", ["valid", "test"])
def test_every_row_has_a_word_combination_unique_to_its_split(built, split):
    elsewhere = set().union(*(s.combinations for name in SPLITS if name != split for s in built[name]))
    assert not [s.en for s in built[split] if s.combinations <= elsewhere]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_held_out_contains_the_combinations_missing_in_train(generator, built, split):
    trained = set().union(*(s.combinations for s in built["train"]))
    for sentence in built[split]:
        told = generator.held_out(sentence)
        assert told
        assert trained.isdisjoint(told)
    assert not any(generator.held_out(s) for s in built["train"])


@pytest.mark.parametrize("split", ["valid", "test"])
def test_every_word_of_both_languages_occurs_in_train(rows, split):
    for column in (0, 1):
        assert words_of(rows[split], column) <= words_of(rows["train"], column)


def test_every_pattern_occurs_in_train(built):
    patterns = {s.construction for s in built["train"]}
    assert {s.construction for split in SPLITS for s in built[split]} == patterns
    assert len(patterns) == 30


# The grammar against manual translations. Each case is a call and the expected pair.

STATEMENTS = [
    # article and adjective by gender, number and case, after der-words, ein-words and nothing
    (
        ("read", "the woman"),
        {"object": "a book", "time": "today", "tense": "progressive", "front": "time"},
        "Today the woman is reading a book.",
        "Heute liest die Frau ein Buch.",
    ),
    (
        ("read", "the old woman"),
        {"object": "a book", "tense": "past"},
        "The old woman read a book.",
        "Die alte Frau hat ein Buch gelesen.",
    ),
    (
        ("see", "the old man"),
        {"object": "the young boy"},
        "The old man sees the young boy.",
        "Der alte Mann sieht den jungen Jungen.",
    ),
    (
        ("buy", "my brother"),
        {"object": "an expensive coat", "tense": "past"},
        "My brother bought an expensive coat.",
        "Mein Bruder hat einen teuren Mantel gekauft.",
    ),
    (
        ("see", "a small child"),
        {"object": "a big bear"},
        "A small child sees a big bear.",
        "Ein kleines Kind sieht einen großen Bären.",
    ),
    (("drink", "the guest"), {"object": "cold milk"}, "The guest drinks cold milk.", "Der Gast trinkt kalte Milch."),
    (("eat", "I"), {"object": "fresh bread"}, "I eat fresh bread.", "Ich esse frisches Brot."),
    (
        ("buy", "they"),
        {"object": "many old books", "tense": "past"},
        "They bought many old books.",
        "Sie haben viele alte Bücher gekauft.",
    ),
    (
        ("help", "the nurse"),
        {"object": "the sick children"},
        "The nurse helps the sick children.",
        "Die Krankenschwester hilft den kranken Kindern.",
    ),
    (("help", "you"), {"object": "a poor neighbor"}, "You help a poor neighbor.", "Du hilfst einem armen Nachbarn."),
    (
        ("thank", "we"),
        {"object": "our grandmother", "tense": "past"},
        "We thanked our grandmother.",
        "Wir haben unserer Großmutter gedankt.",
    ),
    (("follow", "the dog"), {"object": "her", "tense": "past"}, "The dog followed her.", "Der Hund ist ihr gefolgt."),
    (
        ("belong to", "the red car"),
        {"object": "my father"},
        "The red car belongs to my father.",
        "Das rote Auto gehört meinem Vater.",
    ),
    # two objects: order by definiteness and by pronoun
    (
        ("give", "the teacher"),
        {"object": "a book", "to": "the child"},
        "The teacher gives the child a book.",
        "Der Lehrer gibt dem Kind ein Buch.",
    ),
    (
        ("show", "Anna"),
        {"object": "the letter", "to": "him", "tense": "past"},
        "Anna showed the letter to him.",
        "Anna hat ihm den Brief gezeigt.",
    ),
    (
        ("explain", "the student"),
        {"object": "it/f", "to": "the pupils"},
        "The student explains it to the pupils.",
        "Der Student erklärt sie den Schülern.",
    ),
    # negation
    (
        ("buy", "the man"),
        {"object": "a car", "negated": True},
        "The man does not buy a car.",
        "Der Mann kauft kein Auto.",
    ),
    (
        ("buy", "the man"),
        {"object": "the car", "negated": True, "tense": "past"},
        "The man did not buy the car.",
        "Der Mann hat das Auto nicht gekauft.",
    ),
    (
        ("drink", "she"),
        {"object": "coffee", "negated": True},
        "She does not drink coffee.",
        "Sie trinkt keinen Kaffee.",
    ),
    (
        ("wait for", "I"),
        {"object": "the bus", "negated": True, "tense": "progressive"},
        "I am not waiting for the bus.",
        "Ich warte nicht auf den Bus.",
    ),
    (("be", "the soup"), {"adjective": "hot", "negated": True}, "The soup is not hot.", "Die Suppe ist nicht heiß."),
    # separable verbs, modals, future, perfect with sein
    (
        ("get up", "we"),
        {"time": "every morning", "front": "time"},
        "Every morning we get up.",
        "Jeden Morgen stehen wir auf.",
    ),
    (
        ("turn|off", "Peter"),
        {"object": "the lamp", "tense": "past"},
        "Peter turned off the lamp.",
        "Peter hat die Lampe ausgeschaltet.",
    ),
    (
        ("pick|up", "you"),
        {"object": "us", "time": "tomorrow", "tense": "future"},
        "You will pick us up tomorrow.",
        "Du wirst uns morgen abholen.",
    ),
    (
        ("call", "my mother"),
        {"object": "the doctor", "modal": "have to"},
        "My mother has to call the doctor.",
        "Meine Mutter muss den Arzt anrufen.",
    ),
    (
        ("swim", "the children"),
        {"modal": "can", "tense": "past", "negated": True},
        "The children could not swim.",
        "Die Kinder konnten nicht schwimmen.",
    ),
    (
        ("go", "the tourists"),
        {"direction": "cinema", "tense": "past"},
        "The tourists went to the cinema.",
        "Die Touristen sind ins Kino gegangen.",
    ),
    (
        ("drive", "my uncle"),
        {"direction": "Munich", "tense": "past", "time": "last week", "front": "time"},
        "Last week my uncle drove to Munich.",
        "Letzte Woche ist mein Onkel nach München gefahren.",
    ),
    # prepositions: case by meaning, and contractions
    (
        ("play", "the boys"),
        {"place": "garden", "tense": "progressive"},
        "The boys are playing in the garden.",
        "Die Jungen spielen im Garten.",
    ),
    (("go", "she"), {"direction": "church"}, "She goes to the church.", "Sie geht zur Kirche."),
    (("drive", "he"), {"direction": "airport"}, "He drives to the airport.", "Er fährt zum Flughafen."),
    (
        ("lie", "the cat"),
        {"place": "under the table", "tense": "progressive"},
        "The cat is lying under the table.",
        "Die Katze liegt unter dem Tisch.",
    ),
    (
        ("put", "the waiter"),
        {"object": "the cups", "direction": "on the table", "tense": "past"},
        "The waiter put the cups on the table.",
        "Der Kellner hat die Tassen auf den Tisch gestellt.",
    ),
    (
        ("dream of", "the princess"),
        {"object": "the lion"},
        "The princess dreams of the lion.",
        "Die Prinzessin träumt vom Löwen.",
    ),
    (
        ("talk to", "Martin"),
        {"object": "the policeman", "tense": "past"},
        "Martin talked to the policeman.",
        "Martin hat mit dem Polizisten gesprochen.",
    ),
    # reflexive verbs: sich before a noun that is not first, after a pronoun
    (
        ("look forward to", "the children"),
        {"object": "the party", "time": "today", "front": "time", "tense": "progressive"},
        "Today the children are looking forward to the party.",
        "Heute freuen sich die Kinder auf die Party.",
    ),
    (("remember", "I"), {"object": "the trip"}, "I remember the trip.", "Ich erinnere mich an die Reise."),
    # genitives, comparison, have and had
    (("sleep", "the teacher's dog"), {}, "The teacher's dog sleeps.", "Der Hund des Lehrers schläft."),
    (
        ("find", "Lena's uncle"),
        {"object": "the neighbor's key", "tense": "past"},
        "Lena's uncle found the neighbor's key.",
        "Lenas Onkel hat den Schlüssel des Nachbarn gefunden.",
    ),
    (
        ("be", "the train"),
        {"adjective": "fast", "than": "the bus"},
        "The train is faster than the bus.",
        "Der Zug ist schneller als der Bus.",
    ),
    (
        ("be", "this coat"),
        {"adjective": "expensive", "than": "the jacket", "tense": "past"},
        "This coat was more expensive than the jacket.",
        "Dieser Mantel war teurer als die Jacke.",
    ),
    (
        ("have", "the actress"),
        {"object": "a new apartment", "tense": "past"},
        "The actress had a new apartment.",
        "Die Schauspielerin hatte eine neue Wohnung.",
    ),
    # frequency: after a definite object, before an indefinite one
    (
        ("wash", "he"),
        {"object": "the car", "frequency": "often"},
        "He often washes the car.",
        "Er wäscht das Auto oft.",
    ),
    (("eat", "we"), {"object": "apples", "frequency": "never"}, "We never eat apples.", "Wir essen nie Äpfel."),
]


@pytest.mark.parametrize(("call", "slots", "en", "de"), STATEMENTS, ids=[case[2] for case in STATEMENTS])
def test_statements_match_manual_translations(say, call, slots, en, de):
    assert say.statement(*call, **slots) == (en, de)


QUESTIONS = [
    (("read", "the woman"), {"object": "the book"}, "Does the woman read the book?", "Liest die Frau das Buch?"),
    (("buy", "you"), {"object": "the shirt", "tense": "past"}, "Did you buy the shirt?", "Hast du das Hemd gekauft?"),
    (("help", "you"), {"object": "me", "modal": "can"}, "Can you help me?", "Kannst du mir helfen?"),
    (("arrive", "the train"), {"asked": ("when", "wann")}, "When does the train arrive?", "Wann kommt der Zug an?"),
    (
        ("go", "the pupils"),
        {"asked": ("where", "wohin"), "tense": "past"},
        "Where did the pupils go?",
        "Wohin sind die Schüler gegangen?",
    ),
    (
        ("thank", "the boy"),
        {"object": "who", "asked": ("who", "wem"), "tense": "past"},
        "Who did the boy thank?",
        "Wem hat der Junge gedankt?",
    ),
    (
        ("repair", "who"),
        {"object": "the clock", "asked": ("", "wer"), "tense": "past"},
        "Who repaired the clock?",
        "Wer hat die Uhr repariert?",
    ),
    (
        ("take care of", "the nurse"),
        {"object": "the baby"},
        "Does the nurse take care of the baby?",
        "Kümmert sich die Krankenschwester um das Baby?",
    ),
]


@pytest.mark.parametrize(("call", "slots", "en", "de"), QUESTIONS, ids=[case[2] for case in QUESTIONS])
def test_questions_match_manual_translations(say, call, slots, en, de):
    assert say.question(*call, **slots) == (en, de)


REQUESTS = [
    ("open", {"object": "the window"}, "Open the window!", "Öffne das Fenster!"),
    ("take|off", {"object": "your hat"}, "Take off your hat!", "Zieh deinen Hut aus!"),
    ("forget", {"object": "the key", "negated": True}, "Do not forget the key!", "Vergiss den Schlüssel nicht!"),
    ("give", {"object": "the ball", "to": "me"}, "Give the ball to me!", "Gib mir den Ball!"),
]


@pytest.mark.parametrize(("verb", "slots", "en", "de"), REQUESTS, ids=[case[2] for case in REQUESTS])
def test_requests_match_manual_translations(say, verb, slots, en, de):
    assert say.request(verb, **slots) == (en, de)


def test_the_verb_closes_a_subordinate_clause(say):
    inner = say.clause("read", "the woman", object="the book", tense="past")
    assert say.linked(say.clause("believe", "I"), ("that", "dass"), inner) == (
        "I believe that the woman read the book.",
        "Ich glaube, dass die Frau das Buch gelesen hat.",
    )


def test_a_separable_verb_is_one_word_at_the_end_of_a_clause(say):
    inner = say.clause("get up", "the boy", negated=True)
    assert say.linked(say.clause("know", "we", negated=True), ("whether", "ob"), inner)[1] == (
        "Wir wissen nicht, ob der Junge nicht aufsteht."
    )


def test_a_modal_follows_its_infinitive_in_a_subordinate_clause(say):
    inner = say.clause("buy", "he", object="a car", modal="want to")
    assert say.linked(say.clause("say", "Anna"), ("that", "dass"), inner) == (
        "Anna says that he wants to buy a car.",
        "Anna sagt, dass er ein Auto kaufen will.",
    )


RELATIVES = [
    (
        "the man",
        "buy",
        {"subject": "*", "object": "the house", "tense": "past"},
        "rich",
        "The man who bought the house is rich.",
        "Der Mann, der das Haus gekauft hat, ist reich.",
    ),
    (
        "the book",
        "read",
        {"subject": "the girl", "object": "*", "tense": "progressive"},
        "boring",
        "The book that the girl is reading is boring.",
        "Das Buch, das das Mädchen liest, ist langweilig.",
    ),
    (
        "the apple",
        "eat",
        {"subject": "he", "object": "*", "tense": "past"},
        "sweet",
        "The apple that he ate is sweet.",
        "Der Apfel, den er gegessen hat, ist süß.",
    ),
    (
        "the children",
        "help",
        {"subject": "the teacher", "object": "*"},
        "tired",
        "The children that the teacher helps are tired.",
        "Die Kinder, denen der Lehrer hilft, sind müde.",
    ),
    (
        "the woman",
        "trust",
        {"subject": "you", "object": "*"},
        "clever",
        "The woman that you trust is clever.",
        "Die Frau, der du vertraust, ist klug.",
    ),
]


@pytest.mark.parametrize(("noun", "verb", "slots", "adjective", "en", "de"), RELATIVES, ids=[r[4] for r in RELATIVES])
def test_a_relative_pronoun_has_its_nouns_gender_and_its_clauses_case(say, noun, verb, slots, adjective, en, de):
    phrase = say.relative(noun, verb, **slots)
    assert say.statement("be", phrase, adjective=adjective) == (en, de)


def test_the_relative_clause_of_an_object_follows_the_closing_verb(say):
    phrase = say.relative("the woman", "sing", subject="*", tense="past")
    assert say.statement("see", "I", object=phrase, tense="past") == (
        "I saw the woman who sang.",
        "Ich habe die Frau gesehen, die gesungen hat.",
    )


def test_zu_stands_inside_a_separable_infinitive(say):
    inner = say.clause("turn|off", "Tom", object="the radio")
    assert say.with_infinitive(say.clause("forget", "Tom", tense="past"), inner) == (
        "Tom forgot to turn off the radio.",
        "Tom hat vergessen, das Radio auszuschalten.",
    )


def test_an_infinitive_of_purpose_takes_um(say):
    outer = say.clause("drive", "she", direction="city")
    assert say.with_infinitive(outer, say.clause("buy", "she", object="a dress"), "um") == (
        "She drives to the city to buy a dress.",
        "Sie fährt in die Stadt, um ein Kleid zu kaufen.",
    )


# nominative, accusative, dative, genitive
DECLENSIONS = {
    "the old man": "der alte Mann, den alten Mann, dem alten Mann, des alten Mannes",
    "the young woman": "die junge Frau, die junge Frau, der jungen Frau, der jungen Frau",
    "the small child": "das kleine Kind, das kleine Kind, dem kleinen Kind, des kleinen Kindes",
    "the tired dogs": "die müden Hunde, die müden Hunde, den müden Hunden, der müden Hunde",
    "this strong bear": "dieser starke Bär, diesen starken Bären, diesem starken Bären, dieses starken Bären",
    "this sick cat": "diese kranke Katze, diese kranke Katze, dieser kranken Katze, dieser kranken Katze",
    "this white horse": "dieses weiße Pferd, dieses weiße Pferd, diesem weißen Pferd, dieses weißen Pferdes",
    "these new teachers": "diese neuen Lehrer, diese neuen Lehrer, diesen neuen Lehrern, dieser neuen Lehrer",
    "a rich uncle": "ein reicher Onkel, einen reichen Onkel, einem reichen Onkel, eines reichen Onkels",
    "a famous actress": "eine berühmte Schauspielerin, eine berühmte Schauspielerin, einer berühmten Schauspielerin, "
    "einer berühmten Schauspielerin",
    "a happy girl": "ein glückliches Mädchen, ein glückliches Mädchen, einem glücklichen Mädchen, "
    "eines glücklichen Mädchens",
    "my brave brothers": "meine mutigen Brüder, meine mutigen Brüder, meinen mutigen Brüdern, meiner mutigen Brüder",
    "our friendly neighbor": "unser freundlicher Nachbar, unseren freundlichen Nachbarn, "
    "unserem freundlichen Nachbarn, unseres freundlichen Nachbarn",
    "the long train": "der lange Zug, den langen Zug, dem langen Zug, des langen Zugs",
    "the full bus": "der volle Bus, den vollen Bus, dem vollen Bus, des vollen Busses",
    "this old table": "dieser alte Tisch, diesen alten Tisch, diesem alten Tisch, dieses alten Tisches",
    "no expensive cars": "keine teuren Autos, keine teuren Autos, keinen teuren Autos, keiner teuren Autos",
    "hot coffee": "heißer Kaffee, heißen Kaffee, heißem Kaffee, heißen Kaffees",
    "cold milk": "kalte Milch, kalte Milch, kalter Milch, kalter Milch",
    "clean water": "sauberes Wasser, sauberes Wasser, sauberem Wasser, sauberen Wassers",
    "big trees": "große Bäume, große Bäume, großen Bäumen, großer Bäume",
    "many high mountains": "viele hohe Berge, viele hohe Berge, vielen hohen Bergen, vieler hoher Berge",
    "Lena's poor aunt": "Lenas arme Tante, Lenas arme Tante, Lenas armer Tante, Lenas armer Tante",
    "the doctor's small boat": "das kleine Boot des Arztes, das kleine Boot des Arztes, dem kleinen Boot des Arztes, "
    "des kleinen Boots des Arztes",
}


@pytest.mark.parametrize("phrase", DECLENSIONS)
def test_phrases_decline_by_the_grammar_tables(say, composer_module, phrase):
    tree = say.phrase(phrase)
    cases = [composer_module.german.nominal(tree, case) for case in ("nom", "acc", "dat", "gen")]
    assert ", ".join(cases) == DECLENSIONS[phrase]


@pytest.mark.parametrize(
    ("noun", "pronouns"),
    [
        ("the man", "der den dem"),
        ("the woman", "die die der"),
        ("the child", "das das dem"),
        ("the men", "die die denen"),
    ],
)
def test_relative_pronouns_decline_by_the_grammar_tables(say, composer_module, noun, pronouns):
    gap = composer_module.Gap(say.phrase(noun).noun, say.phrase(noun).plural)
    assert " ".join(composer_module.german.nominal(gap, case) for case in ("nom", "acc", "dat")) == pronouns


CONJUGATIONS = {
    "read": "lese liest liest lesen lesen",
    "give": "gebe gibst gibt geben geben",
    "sleep": "schlafe schläfst schläft schlafen schlafen",
    "work": "arbeite arbeitest arbeitet arbeiten arbeiten",
    "open": "öffne öffnest öffnet öffnen öffnen",
    "draw": "zeichne zeichnest zeichnet zeichnen zeichnen",
    "dance": "tanze tanzt tanzt tanzen tanzen",
    "smile": "lächle lächelst lächelt lächeln lächeln",
    "hike": "wandere wanderst wandert wandern wandern",
    "learn": "lerne lernst lernt lernen lernen",
    "like": "mag magst mag mögen mögen",
    "close": "schließe schließt schließt schließen schließen",
}


@pytest.mark.parametrize("verb", CONJUGATIONS)
def test_verbs_conjugate_by_the_grammar_tables(say, composer_module, verb):
    tree = say.verb(verb, ("to",) if verb == "give" else ())
    forms = [composer_module.german.finite_verb(tree, person) for person in ("1sg", "2sg", "3sg", "1pl", "3pl")]
    assert " ".join(forms) == CONJUGATIONS[verb]


def test_the_error_names_a_wrong_word_in_the_lexicon(composer_module, tmp_path):
    broken = (FOLDER / "grammar.toml").read_text(encoding="utf-8").replace('object = ["text"]', 'object = ["texxt"]', 1)
    (tmp_path / "grammar.toml").write_text(broken, encoding="utf-8")
    with pytest.raises(ValueError, match="no noun is called or tagged 'texxt'"):
        corpus_module("phrase_grammar.lexicon").Lexicon(tmp_path / "grammar.toml")
