"""Explanations: contributions that add up to the logit, on the words they belong to; and what a word left out changes."""

import io
import json
import random

import click.testing
import numpy as np
import pytest
import tiny

import textpipe
from textpipe.cli import main
from textpipe.errors import ConfigError, DataError, ModelError
from textpipe.explanation import alignment, classes, ngram_spans, occlusion, page, terminal
from textpipe.explanation import picture as pictures
from textpipe.explanation.explain import explain
from textpipe.explanation.linear import Linear
from textpipe.explanation.subject import Subject
from textpipe.servable.graph import Servable

RICH = {
    "kind": "tfidf", "words": [1, 3], "characters": [1, 4], "norm": "family", "frequency": "log", "casefold": True,
    "marks": True, "num_buckets": 512, "pairs": 3, "idf_power": 0.5, "weights": {"pairs": 0.7},
}  # fmt: skip
TEXTS = ["Could you SEND the Grüße, don't — the plan? 𝒳 \x00 <b>hi</b>", "", "x", " \n "]


def subject(folder, tables, rows, task="classify"):
    """The subject of a model trained on rows, without an export."""
    outputs = tiny.build(folder, {**tiny.CLASSIFIER, "train": {"epochs": 2}, **tables}, rows, until="train")
    vocabulary = json.loads((outputs["train"] / "vocabulary.json").read_text())
    return Subject.of_graph("tiny", Servable.load(outputs, task), vocabulary)


def several_rows(path):
    draw = random.Random(3)
    lines = ["subject\tbody\tnumber\tlabel"]
    for _ in range(120):
        label = draw.choice(("a", "b", "c"))
        word = {"a": "Hello", "b": "Bye", "c": "Later"}[label]
        lines.append(
            f"Re: {label}{label} {draw.randrange(9)}\t{word} https://x.y/z {draw.randrange(50)}!\t{draw.random()}\t{label}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def label_set_rows(path):
    draw = random.Random(4)
    lines = ["text\tlabels"]
    for _ in range(120):
        labels = [name for name in ("bill", "urgent", "spam") if draw.random() < 0.5]
        lines.append(f"about {' '.join(labels)} {draw.randrange(50)}\t{'|'.join(labels)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def total(explanation):
    return explanation.bias + explanation.rest + sum(part.contribution for part in explanation.parts)


SETTINGS = {
    "families, marks, casefold": {"vectorize": {"features": RICH}, "normalize": {"steps": ["unicode", "html", "whitespace"]}},
    "long characters, one norm": {"vectorize": {"features": {**RICH, "norm": "l2", "weights": {}, "characters": [3, 4], "casefold": False}}},
    "hashed, no punctuation": {"vectorize": {"features": {"kind": "hashed", "punctuation": False, "num_buckets": 64}}},
    "subwords": {"tokenize": {"codec": {"kind": "unigram", "vocab_size": 320}}, "vectorize": {"features": "ids"}},
    "bytes": {"tokenize": {"codec": "bytes"}, "vectorize": {"features": "ids"}},
    "calibrated": {"train": {"optimizer": "lbfgs", "calibration": "temperature"}},
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_the_parts_of_a_linear_model_add_up_to_its_logit(name, tmp_path):
    model = subject(tmp_path / "model", SETTINGS[name], tiny.classifier_rows(tmp_path / "rows.tsv"))
    for text in TEXTS:
        probability = model.answer({"text": text})["probabilities"]
        for at, label in enumerate(("no", "yes")):
            found = explain(model, text, label=label)
            assert found.method == "exact"
            assert total(found) == pytest.approx(found.logit, abs=1e-9)
            assert 1 / (1 + np.exp(-found.logit)) == pytest.approx(probability[at], abs=1e-5)
            for part in found.parts:
                assert part.start is None or text[part.start : part.end] == part.text


def test_an_n_gram_is_shared_by_the_characters_it_covers():
    """By hand: "ab cd" with the word pair and one character trigram; an n-gram's share is spread evenly over its letters."""
    config = ngram_spans.options(
        {"words": [2, 2], "characters": [3, 3], "pieces": [], "punctuation": True, "num_buckets": 2**20}
    )
    grams = ngram_spans.of_text("ab cd", config)
    names = {gram.name(at): int(gram.bucket[at]) for gram in grams for at in range(len(gram.bucket))}
    assert sorted(names) == [" ab", " cd", "ab ", "ab cd", "cd "]
    chosen = np.array(sorted([names["ab cd"], names["cd "]]))
    shares = np.array([8.0 if bucket == names["ab cd"] else 6.0 for bucket in chosen])
    letters, rest = ngram_spans.spread(grams, chosen, shares, 5)
    assert letters.tolist() == pytest.approx([2, 2, 0, 2 + 3, 2 + 3]) and rest == 0


def test_several_fields_and_numbers_are_explained_by_field(tmp_path):
    task = "classify(subject: text, body: text, number: number) -> label"
    features = {"kind": "counts", "words": [1, 2], "characters": [2, 3], "num_buckets": 1024}
    steps = ["unicode", "mask_urls", "casefold", "whitespace"]
    tables = {
        "task": task,
        "vectorize": {"features": features},
        "normalize": {"steps": steps},
        "train": {"optimizer": "lbfgs"},
    }
    model = subject(tmp_path / "model", tables, several_rows(tmp_path / "rows.tsv"), task)
    row = {"subject": "Re: AA now", "body": "HELLO there https://q.r/s", "number": 3.5}
    found = explain(model, row)
    assert total(found) == pytest.approx(found.logit, abs=1e-9) and found.label == "a"
    parts = {(part.field, part.text): part for part in found.parts}
    assert parts["body", "https://q.r/s"].start == 12  # the URL that the step masks is one part
    assert max(parts.values(), key=lambda part: part.contribution).text == "HELLO"
    weight = Linear.of(model).kernels["number"][0, 0]
    assert parts["number", "3.5"].contribution == pytest.approx(
        weight * model.features(row)["number"]["values"], rel=1e-6
    )
    assert total(explain(model, {**row, "number": None, "body": ""})) != pytest.approx(found.logit, abs=1e-3)
    assert found.frame["contribution"].sum() == pytest.approx(found.logit - found.bias, abs=1e-6)
    with pytest.raises(DataError, match="field 'body' must be a text"):
        explain(model, {"subject": "x"})
    with pytest.raises(DataError, match="the model takes subject, body, number"):
        explain(model, "one text")


def test_any_of_several_labels_is_explained(tmp_path):
    model = subject(tmp_path / "model", {"task": "multi_label"}, label_set_rows(tmp_path / "rows.tsv"), "multi_label")
    for label in ("bill", "spam"):
        found = explain(model, "about bill urgent", label=label)
        strongest = found.top(1)[0]
        assert total(found) == pytest.approx(found.logit, abs=1e-9)
        assert (strongest.text == "bill" and strongest.contribution > 0) == (label == "bill")
    with pytest.raises(ConfigError, match="no such class; did you mean 'spam'"):
        explain(model, "about bill", label="spma")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    tables = {"model": {"kind": "feed_forward", "units": [8]}, "train": {"epochs": 8, "batch_rows": 16}}
    return subject(folder / "model", tables, tiny.classifier_rows(folder / "rows.tsv"))


def test_other_models_are_explained_by_what_a_word_left_out_changes(network):
    text = "could you send the plan"
    found = explain(network, text, label="yes")
    assert found.method == "occlusion" and found.bias is None

    def log_odds(text):
        no, yes = network.answer({"text": text})["probabilities"]
        return np.log(yes / no)

    assert found.logit == pytest.approx(log_odds(text), abs=1e-5)
    for part in found.parts:
        without = text[: part.start] + text[part.end :]
        assert part.contribution == pytest.approx(log_odds(text) - log_odds(without), abs=1e-4)
    assert [part.text for part in found.parts] == text.split()
    assert explain(network, "").parts == []


def test_a_long_text_is_tried_in_passages_and_then_in_words(network, monkeypatch):
    monkeypatch.setattr(occlusion, "MAX_ROWS", 16)
    calls = []
    counting = Subject(
        network.name, network.dtypes, network.described,
        lambda rows, signature: calls.append(len(rows)) or network.call(rows, signature), network.about,
    )  # fmt: skip
    found = explain(counting, "nothing " * 300 + "could you send " + "nothing " * 300, label="yes")
    assert found.top(1)[0].text in ("could", "you", "send") and "passages" in found.note
    assert max(calls) <= 16 + 8 and "".join(part.text for part in found.parts).count("nothing") == 600


def test_a_terminal_shows_the_text_in_colours(network):
    from rich.console import Console

    text = "could you send \x1b[31m the plan"
    console = Console(force_terminal=True, color_system="truecolor", width=100, file=io.StringIO())
    terminal.print_rich(explain(network, text, label="yes"), console)
    printed = console.file.getvalue()
    assert "\x1b[37;48;2;0;" in printed and "\x1b[31m the" not in printed and "you" in printed


def test_independent_labels_and_saturated_probabilities_have_finite_log_odds():
    assert occlusion.log_odds_of([0.9, 0.8], 0) == pytest.approx(np.log(9))
    assert occlusion.log_odds_of([1.0, 1e-30], 0) == pytest.approx(np.log(1 / 1e-7))
    assert occlusion.log_odds_of([0.2, 0.3, 0.5], 2) == pytest.approx(0)


@pytest.mark.parametrize("exact", [3000, 0])
def test_words_are_found_again_in_the_text_as_given(exact, monkeypatch):
    monkeypatch.setattr(alignment, "MAX_EXACT", exact)
    given = "Dear SUE,\n> quoted line one\nSee https://a.b/c for the STRASSE plan"
    normalized = "dear sue , see <url> for the straße plan"
    spans = alignment.align(given, normalized)
    shown = [(normalized[one.first : one.last], one.start is not None and given[one.start : one.end]) for one in spans]
    assert ("sue", "SUE") in shown and ("straße", "STRASSE") in shown and ("plan", "plan") in shown
    assert [one.first for one in spans] == sorted(one.first for one in spans)
    if exact:
        assert ("<url>", "https://a.b/c") in shown


# The command, over an exported model


@pytest.fixture
def project(classifier, monkeypatch):
    monkeypatch.chdir(classifier["ingest"].parents[3])


def run(*words, code=0, **options):
    done = click.testing.CliRunner().invoke(main, ["explain", *words], **options)
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_explains_an_export_and_a_pipeline_alike(project, tmp_path):
    text = "Could you send <b>the</b> plan 7"
    page_file, picture = tmp_path / "out/x.html", tmp_path / "x.svg"
    found = json.loads(run("saved_models/classifier", text, "--json", "--top", "3"))
    assert found["method"] == "exact" and found["answer"] == "yes" and len(found["parts"]) == 3
    parts = sum(part["contribution"] for part in found["parts"])
    assert found["bias"] + found["rest"] + parts + found["others"] == pytest.approx(found["logit"], abs=1e-9)
    same = json.loads(run("classifier.toml", "-", "--json", "--top", "3", input=text + "\n"))
    assert {**same, "model": ""} == {**found, "model": ""}
    output = run("saved_models/classifier/1", text, "--html", str(page_file), "--picture", str(picture))
    assert "send" in output and "bias" in output
    assert "&lt;" in page_file.read_text() and "<b>the</b>" not in page_file.read_text()
    assert "send" in picture.read_text()


def test_the_strongest_features_are_named_by_the_training_texts(project):
    found = json.loads(run("saved_models/classifier", "--classes", "--json", "--top", "4"))
    assert found["named_by"] == "training texts" and found["unnamed"] == 0
    assert list(found["classes"]) == ["yes"] and len(found["classes"]["yes"]) == 4
    known = {
        "could",
        "you",
        "send",
        "please",
        "tell",
        "me",
        "thank",
        "for",
        "i",
        "have",
        "read",
        "we",
        "received",
        "when",
        "will",
        "bring",
        "the",
    }
    for feature in found["classes"]["yes"]:
        assert set(feature["name"].casefold().replace(" / ", " ").split()) <= known
    opposite = json.loads(run("saved_models/classifier", "--classes", "--json", "--top", "4", "--label", "no"))
    assert [one["weight"] for one in opposite["classes"]["no"]] == [-one["weight"] for one in found["classes"]["yes"]]
    elsewhere = json.loads(run("saved_models/classifier", "--classes", "--json", "--artifacts", "elsewhere"))
    assert elsewhere["named_by"] == "sample rows of the export"


def test_the_weights_of_a_class_are_those_that_were_trained(project, classifier):
    model = Subject.of(textpipe.load_model("saved_models/classifier").model)
    found = classes.strongest(model, top=10**6)["classes"]["yes"]
    kernel = Linear.of(model).kernels["text"][:, 0]
    assert [one["weight"] for one in found] == sorted(
        (value for value in kernel if value), key=lambda value: -abs(value)
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere/x", "text"), "nowhere/x: no such model"),
        (("saved_models/classifier", "text", "--label", "maybe"), "no such class; known: no, yes"),
        (("saved_models/classifier", "text", "--picture", "x.gif"), "expected a name that ends in .png or .svg"),
        (("saved_models/classifier", "text", "--classes"), "leave TEXT 'text' out"),
        (("saved_models/classifier", "text", "-s", "seed=2"), "is not a pipeline, so it has no settings"),
        (("classifier.toml", "text", "-s", "seed=2"), "first run: textpipe run classifier.toml -s seed=2"),
        (("saved_models/classifier", '{"text": 3}'), "'text' must be a text, found a number"),
        (("saved_models/classifier", '{"txt": "x"}'), "no key 'text'; did you mean 'txt'"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_a_cure(project, words, message):
    assert message in run(*words, code=2)


def test_an_empty_standard_input_is_not_explained(project):
    assert "expected a text to explain, found none; give TEXT" in run("saved_models/classifier", input="\n", code=2)


def test_python_explains_models_and_results(project):
    model = textpipe.load_model("saved_models/classifier")
    found = textpipe.explain(model, "could you send <i>it</i>", label="no")
    assert found.label == "no" and repr(found).startswith("Explanation('no', logit -")
    assert textpipe.explain(textpipe.run("classifier.toml"), "could you send <i>it</i>").logit == pytest.approx(
        -found.logit
    )
    assert "bias" in str(found)
    shown = found._repr_html_()
    assert "&lt;" in shown and "<i>it" not in shown and "background:rgba(" in shown
    fragment = page.fragment(textpipe.explain(model, "<script>alert(1)</script>"))
    assert "&lt;script" in fragment and "<script" not in fragment


def test_a_generator_is_explained_by_the_likelihood_of_its_answer(generator):
    model = textpipe.load_model(generator["ingest"].parents[3] / "saved_models/generator")
    found = model.explain("the house 7 is red")
    assert found.method == "occlusion" and found.quantity == "log-probability of the answer" and found.parts
    (pair,) = model.score([{"source": "the house 7 is red", "target": found.answer}])
    assert found.logit == pytest.approx(pair["log_prob"], abs=1e-4)
    with pytest.raises(ModelError, match="is not a linear model"):
        classes.strongest(Subject.of(model.model), top=3)


def test_a_picture_that_no_file_holds_is_refused_with_the_cure(tmp_path):
    rows = [("word", 1.0)] * 3000
    with pytest.raises(ConfigError, match=r"3,000 bars are too many for a \.png; give a smaller --top"):
        pictures.bars(tmp_path / "x.png", {"title": rows}, "weight")
