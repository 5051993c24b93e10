"""The settings that `textpipe new classify` writes and textpipe.Classifier has, by the size of the data."""

import tomllib

import pytest

from textpipe.features import tfidf
from textpipe.pipeline import classifier_defaults, scaffold


@pytest.mark.parametrize(
    ("num_characters", "num_texts", "counted"),
    [
        (150 * 1000, 1000, {"words", "characters", "pairs"}),
        (150 * 1000 + 1, 1000, {"words", "characters"}),
        (classifier_defaults.MAX_CHARACTERS + 1, 10**9, {"words"}),
        (0, 0, {"words", "characters"}),
    ],
)
def test_pairs_are_counted_in_short_texts_and_characters_unless_there_are_too_many(num_characters, num_texts, counted):
    table = classifier_defaults.features(num_characters, num_texts)
    config = tfidf.Config(**table)
    assert {name for name in ("words", "characters", "pairs") if getattr(config, name)} == counted
    assert config.idf_power == 0.5
    assert set(config.weights) == counted - {"words"}


@pytest.mark.parametrize(("words", "pairs"), [(8, 8), (60, None)])
def test_a_new_classifier_file_counts_pairs_by_the_length_of_its_texts(tmp_path, words, pairs):
    lines = (f"{'could you ' * (words // 2)}{number}\t{'yes' if number % 2 else 'no'}\n" for number in range(60))
    (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "".join(lines))
    scaffold.write("classify", tmp_path / "rows.tsv", "", tmp_path / "new.toml")
    written = tomllib.loads((tmp_path / "new.toml").read_text())["vectorize"]["features"]
    assert written.get("pairs") == pairs and written["idf_power"] == 0.5


def test_a_text_that_ingest_drops_for_its_length_does_not_choose_the_settings(tmp_path):
    lines = [f"short text number {number}\tyes" for number in range(40)]
    for name, more in (("short", []), ("long", ["word " * 210_000 + "\tno"])):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines, *more]), encoding="utf-8")
        scaffold.write("classify", tmp_path / f"{name}.tsv", "", tmp_path / f"{name}.toml")
    short, long = ((tmp_path / f"{name}.toml").read_text(encoding="utf-8") for name in ("short", "long"))
    assert "pairs = 8" in short and long.replace("long.t", "short.t") == short


def test_many_classes_are_fitted_one_against_the_rest_without_pairs_and_rare_ngrams(tmp_path):
    most = classifier_defaults.MANY_CLASSES
    for count in (most, most + 1):
        lines = (
            f"part number {number} of machine {copy}\tsku-{number}\n" for number in range(count) for copy in range(3)
        )
        (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "".join(lines))
        scaffold.write("classify", tmp_path / "rows.tsv", "", tmp_path / f"{count}.toml")
    few, many = (tomllib.loads((tmp_path / f"{count}.toml").read_text()) for count in (most, most + 1))
    assert few["train"] == {"optimizer": "lbfgs"} and few["vectorize"]["features"]["pairs"] == 8
    assert many["model"] == {"kind": "logistic_regression", "loss": "squared_hinge", "l2": 0.1}
    assert many["train"] == {"optimizer": "liblinear", "calibration": "temperature"}
    assert many["vectorize"]["features"]["min_df"] == 2 and "pairs" not in many["vectorize"]["features"]
    assert classifier_defaults.train(many["model"], several_labels=False, num_classes=most + 1) == {
        "optimizer": "liblinear"
    }
