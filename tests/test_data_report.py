"""The data report: duplicates, leaks, contradicting labels, languages, personal data and drift."""

import itertools
import json
import random

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from click.testing import CliRunner
from test_report import HOSTILE, parse

from textpipe.cli import main
from textpipe.config.fields import Field
from textpipe.errors import ThresholdError
from textpipe.pipeline import runner
from textpipe.quality import corpus, drift, duplicates, findings, languages, measurement, minhash, personal_data
from textpipe.quality import requirements as limits
from textpipe.report import data_page
from textpipe.stages import ingest

WORDS = "report budget meeting invoice contract server customer delivery figures schedule draft agenda summary".split()
FIELDS = (Field("text", "source", "text"), Field("label", "target", "label"))


def sentence(rng):
    return " ".join(rng.choices(WORDS, k=9))


def corpus_of(**splits):
    """A corpus of rows (text, label)."""
    made = corpus.Corpus("made", FIELDS)
    for split, rows in splits.items():
        texts, labels = zip(*rows, strict=True)
        corpus.add_split(made, split, [[pa.array(texts), pa.array(labels)]], [np.arange(len(rows))])
    return made


def jaccard(one, other):
    first, second = ({text[at : at + 5] for at in range(len(text) - 4)} for text in (f" {one} ", f" {other} "))
    return len(first & second) / len(first | second)


def test_near_duplicates_are_those_of_brute_force():
    rng = random.Random(1)
    texts = [sentence(rng) for _ in range(120)]
    for text in texts[:60]:
        at = rng.randrange(len(text))
        texts.append(text[:at] + rng.choice("xyz") + text[at + 1 :])
        texts.append(text + " " + rng.choice(WORDS))
    texts = list(dict.fromkeys(texts))
    pairs = minhash.near_duplicates(texts)
    found = {(a, b): s for a, b, s in zip(pairs.first, pairs.second, pairs.similarity, strict=True)}
    exact = {(a, b): jaccard(texts[a], texts[b]) for a, b in itertools.combinations(range(len(texts)), 2)}
    close = {pair: value for pair, value in exact.items() if value >= minhash.THRESHOLD}
    assert 60 < len(close) == len(found)
    assert found == pytest.approx(close)


def test_many_variants_of_a_text_are_all_paired_with_an_earlier_one():
    base = "please find attached the signed contract and the invoice of the delivery to our customer in spring"
    texts = [f"{base} {number}" for number in range(500)]
    assert set(range(1, 500)) <= set(minhash.near_duplicates(texts).second.tolist())


@pytest.mark.parametrize("texts", [[], ["a"], ["", "a", "ab"], ["same words " * 9000, "same words " * 9000 + "end"]])
def test_texts_of_any_length_are_compared(texts):
    pairs = minhash.near_duplicates(texts)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == ([(0, 1)] if len(texts) == 2 else [])


LONG = "Could you please send me the signed contract and the invoice before the meeting on"
ROWS = {
    "train": [
        ("Send the report!", "yes"),
        ("send  the REPORT", "no"),  # equal, contradicting
        (f"{LONG} Monday", "yes"),
        (f"{LONG} Sunday", "yes"),  # nearly equal to the one before
        ("Nothing to do here.", "no"),
        ("Nothing to do here.", "no"),
    ],
    "test": [("nothing to do here", "no"), (f"{LONG} monday.", "yes"), (f"{LONG} Tuesday", "no"), ("Other", "no")],
}


def test_duplicates_leaks_and_contradictions_are_counted_by_hand():
    table = duplicates.measure(corpus_of(**ROWS))
    train, test = table["duplicates"]["train"], table["duplicates"]["test"]
    assert (train["distinct"], train["duplicates"], train["near_duplicates"]) == (4, 2, 1)
    assert (test["distinct"], test["duplicates"], test["near_duplicates"]) == (4, 0, 1)
    leak = table["leakage"]["test"]["train"]
    assert (leak["rows"], leak["share"], leak["near_rows"]) == (2, 0.5, 1)
    assert {entry["text"]["text"] for entry in leak["examples"]} == {"Nothing to do here.", f"{LONG} Monday"}
    contradicting = table["contradictions"]
    # Nearly equal texts with other labels: Monday (train, test), Sunday, and Tuesday.
    assert (contradicting["rows"], contradicting["near_rows"], contradicting["texts"]) == (2, 4, 1)
    assert contradicting["examples"][0]["labels"] == {"no": 1, "yes": 1}


def test_a_missed_limit_names_its_rows():
    """Every limit, at its measured value and just below it."""
    made = corpus_of(**ROWS)
    measured = duplicates.measure(made)
    stats = {"splits": {"train": {"fields": {"label": {"classes": {"yes": 3, "no": 3, "later": 2}}}}}}
    at = {
        "max_duplicates": (2 / 6, "Send the report!"),
        "max_near_duplicates": (1 / 4, "(1 row; test)"),
        "max_leakage": (2 / 4, "Nothing to do here."),
        "max_near_leakage": (1 / 4, "test rows nearly in train"),
        "max_contradictions": (2 / 10, "Send the report!"),
        "max_near_contradictions": (4 / 10, "all splits"),
    }
    for name, (value, shown) in at.items():
        assert not list(limits.faults(name, value + 1e-6, measured, stats)), name
        (fault, *_) = limits.faults(name, value - 1e-3, measured, stats)
        assert shown in fault and f"{value:.4g}"[:5] in fault, fault
    assert not list(limits.faults("min_rows_per_class", 2, measured, stats))
    assert "'later' 2" in next(limits.faults("min_rows_per_class", 3, measured, stats))
    assert {*at, "min_rows_per_class"} == set(limits.Requirements.model_fields)


PIPELINE = """
task = "classify"
[ingest]
files = { train = "train.tsv", test = "test.tsv" }
split = { valid = 0 }
[tokenize]
codec = "none"
[vectorize]
features = "tfidf"
[model]
kind = "logistic_regression"
[ingest.require]
"""


def write_files(folder):
    for split, rows in ROWS.items():
        lines = "".join(f"{text}\t{label}\n" for text, label in rows)
        (folder / f"{split}.tsv").write_text(f"text\tlabel\n{lines}", encoding="utf-8")


def test_rows_that_miss_a_limit_stop_the_pipeline_after_ingest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    (tmp_path / "p.toml").write_text(PIPELINE + "max_leakage = 0\n", encoding="utf-8")
    with pytest.raises(
        ThresholdError, match=r"max_leakage at most 0, found 0\.5 \(2 rows; test rows in train\)"
    ) as caught:
        runner.run(runner.Pipeline.load("p.toml"), until="normalize")
    kept = caught.value.result.artifacts["ingest"]
    first = (kept.path / limits.FILE).read_bytes()
    result = runner.run(runner.Pipeline.load("p.toml", ("ingest.require.max_leakage=0.5",)), until="ingest")
    assert (result.artifacts["ingest"].path / limits.FILE).read_bytes() == first
    plain = runner.run(runner.Pipeline.load("p.toml", ("ingest.require=",)), until="ingest").artifacts["ingest"]
    assert not (plain.path / limits.FILE).exists()
    assert (plain.path / "stats.json").read_bytes() == (kept.path / "stats.json").read_bytes()


def test_a_limit_on_labels_needs_labels():
    with pytest.raises(ValueError, match="require.max_contradictions: task 'translate' has no labels"):
        ingest.Config(task="translate", files="a.tsv", require={"max_contradictions": 0})


@pytest.mark.parametrize("number", ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "NO9386011117947"])
def test_ibans_have_valid_check_digits(number):
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert personal_data.is_iban(number) and not personal_data.is_iban(wrong)
    assert [match[0] for match in personal_data.IBAN.finditer(f"to {number}.")] == [number]


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"])
def test_card_numbers_have_a_valid_check_digit(number):
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert personal_data.is_card(number) and not personal_data.is_card(wrong)
    assert [match[0] for match in personal_data.CARD.finditer(f"my card {number}, please")] == [number]


def test_personal_data_is_counted_once_and_not_shown():
    texts = [
        "Hi Bob, write to ann.lee@example.org or bo@example.com, see https://example.org/?a=x@y.org",
        "Call +1 415 555 0100. Pay to DE89 3704 0044 0532 0130 00.",
        "card 4111111111111111, not 4111111111111112",
        "nothing",
    ]
    table = personal_data.measure(texts, [10, 11, 12, 13])
    assert {kind: (entry["rows"], entry["count"]) for kind, entry in table.items()} == {
        "addresses": (1, 2), "urls": (1, 1), "names": (1, 1), "phones": (1, 1), "ibans": (1, 1), "cards": (1, 1),
    }  # fmt: skip
    assert table["addresses"]["examples"] == [10] and table["cards"]["examples"] == [12]
    assert "example.org" not in json.dumps(table)


def test_languages_are_identified_or_their_library_is_named(monkeypatch):
    if languages.available():
        texts = ["Could you please send me the report?", "Könnten Sie mir bitte den Bericht schicken?"] * 3
        table = languages.measure([*texts, "Pourriez-vous m'envoyer le rapport ?"], list(range(7)))
        assert table["shares"] == {"de": 0.4286, "en": 0.4286, "fr": 0.1429}
        assert table["examples"]["fr"][0]["row"] == 6
    monkeypatch.setattr(languages, "available", lambda: False)
    table = measurement.measure(corpus_of(**ROWS))
    assert "languages" not in table and "py3langid" in data_page.document(table)


def test_two_halves_of_a_data_set_do_not_differ_and_two_domains_do():
    rng = random.Random(2)
    rows = [(sentence(rng), rng.choice(("yes", "no"))) for _ in range(400)]
    other = [(f"the weather is {text.replace('report', 'sunny')}", "yes") for text, _ in rows]
    same = drift.measure(corpus_of(train=rows[::2]), corpus_of(train=rows[1::2]))
    assert same["domain_classifier"]["low"] < 0.5 < same["domain_classifier"]["high"]
    assert same["vocabulary"]["divergence"] < 2 * same["vocabulary"]["chance"] and same["lengths"]["p_value"] > 0.05
    moved = drift.measure(corpus_of(train=rows), corpus_of(train=other))
    assert moved["domain_classifier"]["roc_auc"] > 0.99
    assert moved["vocabulary"]["divergence"] > 10 * moved["vocabulary"]["chance"]
    assert {"weather", "sunny"} <= {item["word"] for item in moved["vocabulary"]["more_in_other"]}
    assert moved["lengths"]["statistic"] == 1
    counts = np.array([[sum(label == name for _, label in side) for name in ("no", "yes")] for side in (rows, other)])
    expected = scipy.stats.chi2_contingency(counts, correction=False)
    assert moved["classes"]["chi_squared"] == pytest.approx(expected.statistic, abs=1e-4)


def test_the_divergence_is_0_of_equal_and_1_of_disjoint_words():
    from collections import Counter

    one, other = Counter("aab"), Counter("ccdd")
    assert drift.jensen_shannon(one, one)[0] == pytest.approx(0)
    divergence, parts = drift.jensen_shannon(one, other)
    assert divergence == pytest.approx(1) == sum(parts.values())


def report(*arguments):
    return CliRunner().invoke(main, ["data", "report", *map(str, arguments)])


def test_the_command_reports_files_and_pipelines_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    (tmp_path / "p.toml").write_text(PIPELINE + "max_leakage = 0\n", encoding="utf-8")
    files = report("train=train.tsv", "test=test.tsv", "--json", "--html", "page.html", "--against", "test.tsv")
    assert files.exit_code == 0, files.output
    pipeline = report("p.toml", "--json")
    assert "max_leakage at most 0" in pipeline.stderr
    first, second = json.loads(files.stdout), json.loads(pipeline.stdout)
    for key in ("splits", "duplicates", "leakage", "contradictions", "classes", "personal_data"):
        assert first[key] == second[key]
    assert json.loads(report("p.toml", "--json").stdout) == second
    page = parse((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.table("split", "rows", "distinct texts")[1][:4] == ["train", "6", "4", "2"]
    assert page.table("rows of", "whose text is in")[1][:3] == ["test", "train", "2"]
    shown = report("train=train.tsv", "test=test.tsv").stdout
    assert "test: 2 rows (50 %) with a text that occurs in train" in shown and "send  the REPORT" not in shown


def test_hostile_texts_are_reported_and_escaped(tmp_path):
    lines = [json.dumps({"text": text * 2, "label": text[:40] or "none"}) for text in HOSTILE for _ in range(2)]
    path = tmp_path / "hostile.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    result = report(path, "--html", tmp_path / "page.html", "--against", path)
    assert result.exit_code == 0, result.output
    assert "empty rows dropped" in result.stdout and "\x07" not in result.stdout
    parse((tmp_path / "page.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.tsv"], "absent.tsv: no such file or dataset"),
        (["banking7"], "did you mean 'banking77'?"),
        (["other.tsv"], "name the column of the texts with --text COLUMN"),
        (["train.tsv", "--text", "txt"], "no column 'txt'; did you mean 'text'?"),
        (["train.tsv", "--text", "text", "--label", "text"], "expected different columns, found text, text"),
        (["empty.tsv"], "no rows with a text"),
        (["train.tsv", "-s", "seed=2"], "-s: overrides a setting of a pipeline file"),
        (["p.toml", "--text", "text"], "a pipeline file names its columns"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    (tmp_path / "other.tsv").write_text("a\tb\n1\t2\n", encoding="utf-8")
    (tmp_path / "empty.tsv").write_text("text\tlabel\n", encoding="utf-8")
    (tmp_path / "p.toml").write_text(PIPELINE, encoding="utf-8")
    result = report(*arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.output


def test_findings_of_clean_rows_are_empty():
    rng = random.Random(3)
    halves = {"no": WORDS[:6], "yes": WORDS[6:]}  # labels that follow from the text
    rows = [(" ".join(rng.choices(words, k=14)), label) for label, words in halves.items() for _ in range(30)]
    table = {**measurement.measure(corpus_of(train=rows)), "languages": {}}
    assert findings.sentences(table) == []
