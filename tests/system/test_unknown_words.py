"""A test set with an unseen word in every sentence: subwords can spell it, words cannot and report it."""

import json

import pytest

SEEN = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas")
UNSEEN = ("Xaver", "Zoë", "Quirin", "Ödön", "Yngve", "Wu", "Þóra", "Łucja")
SAYINGS = (
    ("hello {}", "hallo {}"),
    ("good night {}", "gute nacht {}"),
    ("where is {}", "wo ist {}"),
    ("this is {} today", "das ist {} heute"),
)

PIPELINE = """
task = "translate"

[ingest]
files = {{ train = "train.tsv", valid = "valid.tsv", test = "test.tsv" }}
columns = {{ source = "en", target = "de" }}

[tokenize]
codec = {codec}

[vectorize]
features = {{ kind = "ids", max_length = 40 }}

[model]
kind = "recurrent"
units = 16
embedding_size = 16
attention_size = 8

[train]
epochs = 3
batch_rows = 16
optimizer = {{ kind = "adam", learning_rate = 0.02 }}

[decode]
kind = "greedy"
max_length = 30

[evaluate]
resamples = 0
"""


def rows(names):
    pairs = [(en.format(name), de.format(name)) for name in names for en, de in SAYINGS]
    return "en\tde\n" + "".join(f"{en}\t{de}\n" for en, de in pairs)


@pytest.fixture
def named(project):
    project.write("train.tsv", rows(SEEN))
    project.write("valid.tsv", rows(SEEN[:3]))
    project.write("test.tsv", rows(UNSEEN))
    return project


def scores(project, codec):
    project.write("names.toml", PIPELINE.format(codec=codec))
    metrics = json.loads(
        (project.folder / project.succeeds("evaluate", "names.toml").strip() / "metrics.json").read_text()
    )
    stats = json.loads((project.folder / project.succeeds("tokenize", "names.toml").strip() / "stats.json").read_text())
    return metrics, stats["splits"]


def test_subwords_never_answer_with_an_unknown_token(named):
    metrics, splits = scores(named, '{ kind = "unigram", vocab_size = 320 }')
    assert metrics["unseen_words"]["rows"] == metrics["rows"] == len(UNSEEN) * len(SAYINGS)
    assert metrics["metrics"]["unknown_in_answers"] == 0
    assert [splits["test"][field]["unknown"] for field in ("source", "target")] == [0, 0]


def test_words_count_unknown_words(named):
    # Twelve words: some of those in train are unknown, so the model learns to answer with <unk>.
    metrics, splits = scores(named, '{ kind = "words", vocab_size = 16 }')
    assert splits["test"]["source"]["rows_with_unknown"] == metrics["rows"]
    assert splits["test"]["target"]["unknown_rate"] > 0.2
    assert metrics["metrics"]["unknown_in_answers"] > 0
