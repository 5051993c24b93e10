"""F1 of words that are rare or unseen in training, as recorded by evaluate."""

import json
import random
from collections import Counter

import pytest
import tiny

from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.metrics import words

TRAINING = Counter({"der": 50, "ein": 40, "hund": 9, "läuft": 6, "emu": 2, "okapi": 1})


def test_words_are_case_folded_runs_of_letters():
    assert list(words.split_words("It's 5 O'Clock, Straße_1!")) == ["it", "s", "5", "o", "clock", "strasse_1"]


def test_a_word_is_correct_at_most_as_often_as_it_occurs_in_the_reference():
    # Unseen words: zebu (3 in the answer, 2 in the reference: 2 matches), kudu (only in the reference), gnu (only in the answer).
    scores = words.f1(["der Zebu zebu ZEBU Gnu"], ["Zebu, zebu und Kudu"], TRAINING, 0, 0, resamples=0)
    assert (scores["matches"], scores["answer_words"], scores["reference_words"]) == (
        2,
        4,
        4,
    )  # "und" is unseen as well
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.5, 0.5, 0.5)


def test_a_bucket_contains_only_the_words_of_its_frequency_range():
    answers, references = ["der Emu läuft", "ein Okapi"], ["ein Emu läuft", "das Okapi und ein Emu"]
    rare = words.f1(answers, references, TRAINING, 1, 5, resamples=0)
    assert (rare["matches"], rare["answer_words"], rare["reference_words"]) == (2, 2, 3)
    once = words.f1(answers, references, TRAINING, 1, 1, resamples=0)
    assert (once["matches"], once["answer_words"], once["reference_words"]) == (1, 1, 1)
    unseen = words.f1(answers, references, TRAINING, 0, 0, resamples=0)
    assert (unseen["matches"], unseen["answer_words"], unseen["reference_words"]) == (0, 0, 2)
    assert (unseen["precision"], unseen["recall"], unseen["f1"]) == (None, 0.0, 0.0)


def test_matches_agree_with_counting_by_hand():
    draw = random.Random(1)
    names = [f"w{number}" for number in range(12)]
    counts = {name: number % 4 for number, name in enumerate(names)}
    answers, references = ([" ".join(draw.choices(names, k=8)) for _ in range(30)] for _ in range(2))
    matches = 0
    for answer, reference in zip(answers, references, strict=True):
        left = [word for word in reference.split() if counts[word] == 1]
        for word in answer.split():
            if word in left:
                left.remove(word)
                matches += 1
    scores = words.f1(answers, references, counts, 1, 1, resamples=200)
    assert scores["matches"] == matches > 0
    low, high = scores["interval"]
    assert low < scores["f1"] < high


def test_metrics_are_none_without_words_to_count():
    scores = words.f1([], [], TRAINING, 0, 0)
    assert (scores["f1"], scores["precision"], scores["recall"], scores["matches"]) == (None, None, None, 0)
    assert "interval" not in scores


@pytest.mark.parametrize(("text", "holds"), [("der Emu", True), ("der hund", False), ("ein zebu", False), ("", False)])
def test_rows_are_selected_by_the_words_they_contain(text, holds):
    assert words.has_word_with_count(TRAINING, 1, 5, text) == holds


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    files = {}
    draw = random.Random(3)
    nouns = {"house": "Haus", "car": "Auto", "dog": "Hund"}
    rows = [(f"the {noun} is old", f"das {german} ist alt") for noun, german in nouns.items()]
    train = [rows[draw.randrange(2)] for _ in range(80)] + [rows[2]] * 3  # "dog" thrice: rare
    split = {"train": train, "valid": rows[:2], "test": [*rows, ("the emu is old", "der Emu ist alt")]}
    for name, pairs in split.items():
        files[name] = folder / f"{name}.tsv"
        files[name].write_text("source\ttarget\n" + "".join(f"{s}\t{t}\n" for s, t in pairs), encoding="utf-8")
    tables = {**tiny.GENERATOR, "ingest": {"files": {name: str(path) for name, path in files.items()}}}
    tables["tokenize"] = {"codec": {"kind": "words", "min_count": 2}}
    tables["decode"] = {"kind": "greedy", "max_length": 8}
    paths = tiny.build(folder / "built", tables, files["train"], until="train")
    stage = plugins.find("stages", "evaluate")
    config = stage.Config(task="translate", decode=Plugin.check("decoding", tables["decode"]), resamples=20, rare=3)
    output = folder / "evaluate"
    output.mkdir()
    stage.run(config, paths, output)
    return json.loads((output / "metrics.json").read_text(encoding="utf-8")), stage.summary(output)


def test_evaluate_reports_rows_and_words_that_are_rare_in_training(report):
    metrics, summary = report
    assert metrics["unseen_words"]["rows"] == 1  # emu
    assert metrics["rare_words"]["rows"] == 1  # dog
    assert {"bleu", "unknown_in_answers"} <= set(metrics["rare_words"]["metrics"])
    unseen, rare = (metrics[name]["target_words"] for name in ("unseen_words", "rare_words"))
    assert (unseen["least"], unseen["most"], unseen["reference_words"]) == (0, 0, 2)  # der, Emu
    assert (rare["least"], rare["most"], rare["reference_words"]) == (1, 3, 1)  # Hund
    assert any("1 to 3 times" in note for note in metrics["notes"])
    assert "1 rows with words unseen in training: bleu" in summary and "(2 expected)" in summary
