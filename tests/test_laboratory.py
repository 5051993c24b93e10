"""The laboratory: kept runs, intervals, results, and every experiment's sentence and picture on rows it has not measured."""

import csv
import itertools
import json
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from textpipe import cli
from textpipe.config import plugins
from textpipe.data.columns import Labels, Sparse
from textpipe.laboratory import (
    _context,
    _data,
    _results,
    _statistics,
    _trials,
    augmentation,
    losses,
    optimizers,
    transfer,
)
from textpipe.training.batching.rows import Rows

NAMES = plugins.names("laboratory")


def context(tmp_path, on_run=None):
    return _context.Context("x", results=tmp_path, artifacts=tmp_path / "artifacts", on_run=on_run)


# Kept runs

SCALE = 2.0
calls = []


def double(context, *, seed):
    calls.append(seed)
    return {"figure": scaled(seed)}


def scaled(number):
    return number * SCALE


def test_a_run_is_kept_until_its_settings_or_the_code_and_constants_it_uses_change(tmp_path, monkeypatch):
    calls.clear()
    one = context(tmp_path).once(double, seed=3)
    assert context(tmp_path).once(double, seed=3) == one == {"seed": 3, "figure": 6.0}
    assert calls == [3]
    context(tmp_path).once(double, seed=4)
    assert calls == [3, 4]
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert context(tmp_path).once(double, seed=3)["figure"] == 15.0
    monkeypatch.setitem(globals(), "scaled", lambda number: -number)
    assert context(tmp_path).once(double, seed=3)["figure"] == -3


def test_a_damaged_run_is_measured_again(tmp_path):
    calls.clear()
    context(tmp_path).once(double, seed=3)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text(kept.read_text()[:10])
    assert context(tmp_path).once(double, seed=3)["figure"] == 6.0
    assert calls == [3, 3]


def test_processor_time_counts_each_run_once(tmp_path):
    one = context(tmp_path)
    one.once(double, seed=3)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"processor_seconds": 7.0}))
    one.once(double, seed=3)
    one.once(double, seed=3)
    assert one.processor_seconds == 7


# Intervals


def test_an_interval_is_that_of_students_t_test():
    left, right = np.random.default_rng(1).normal(size=(2, 6))
    rows = [{"side": side, "seed": seed, "y": float(value)} for side, values in (("a", left), ("b", right)) for seed, value in enumerate(values)]  # fmt: skip
    table = _statistics.Table(rows, ["side"], {"y": "y"})
    expected = stats.ttest_rel(left, right).confidence_interval(0.95)
    interval = table.difference("y", {"side": "a"}, {"side": "b"})
    assert np.allclose((interval.low, interval.high), expected)
    wider = table.difference("y", {"side": "a"}, {"side": "b"}, comparisons=5)
    assert np.allclose((wider.low, wider.high), stats.ttest_rel(left, right).confidence_interval(0.99))
    assert table.summary()[0]["y"][0] == pytest.approx(left.mean())


def test_runs_that_never_reach_a_goal_are_named():
    rows = [{"kind": kind, "seed": seed, "updates": value} for kind, values in (("a", [40, 60, None]), ("b", [None] * 3)) for seed, value in enumerate(values)]  # fmt: skip
    table = _statistics.Table(rows, ["kind"], {"updates": "updates"})
    assert table.reached("updates", kind="a").startswith("50 [")
    assert table.reached("updates", kind="a").endswith("in 2 of 3 runs")
    assert table.reached("updates", kind="b") == "not reached in 3 runs"
    assert [line["updates"] and line["updates"][3] for line in table.summary()] == [2, None]


def test_a_difference_whose_interval_contains_zero_is_not_significant():
    assert "no significant difference" in _statistics.verdict(_statistics.mean_interval([0.1, -0.1, 0.05]))
    assert "no significant difference" not in _statistics.verdict(_statistics.mean_interval([0.1, 0.11, 0.12]))


# Measurements


@pytest.fixture(scope="module")
def data():
    """Rows of three classes, each with two features of its own among ten."""
    import scipy.sparse

    random, labels = np.random.default_rng(1), np.arange(120) % 3
    dense = random.uniform(0, 0.3, (120, 10))
    dense[np.arange(120), 2 * labels] += 1
    rows = Rows({"text": Sparse.from_scipy(scipy.sparse.csr_matrix(dense))}, Labels(labels, 3), "label")
    sizes = _data.Sizes({"text": {"kind": "sparse", "dim": 10}}, "label", {"kind": "label", "classes": ["a", "b", "c"]})
    return _data.Data(sizes, dict.fromkeys(("train", "valid", "test"), rows), {}, 3)


def test_every_update_rule_equals_its_formula(tmp_path):
    for optimizer in optimizers.RATES:
        assert optimizers.deviation(context(tmp_path), optimizer=optimizer)["deviation"] < 1e-9
    sgd, adam = optimizers.FORMULAS["sgd"], optimizers.FORMULAS["adam"]
    gradients = np.ones((2, 1))
    assert not np.allclose(sgd(np.zeros(1), gradients, 0.1), adam(np.zeros(1), gradients, 0.01))


def test_a_dead_unit_is_one_whose_output_never_changes(data):
    from textpipe.laboratory import activations

    model = _trials.build(data, {"kind": "feed_forward", "units": [4], "dropout": 0.0}, seed=1)
    assert activations.dead_units(model, data.valid) == 0
    model.hidden[0].bias.assign([-100, 0, 0, 0])
    assert activations.dead_units(model, data.valid) == 0.25


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_loss_equals_its_formula(loss, data):
    import tensorflow as tf
    from scipy.special import log_softmax

    logits = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1])
    logs = log_softmax(logits, axis=1)
    own, onehot = np.exp(logs[range(5), labels]), np.eye(3)[labels]
    expected = {
        "cross-entropy": -np.log(own).sum(),
        "squared error": ((np.exp(logs) - onehot) ** 2).sum(),
        "focal": -((1 - own) ** 2 * np.log(own)).sum(),
        "label smoothing": -((0.9 * onehot + 0.1 / 3) * logs).sum(),
    }[loss]
    sums = losses.objective(loss).sums(lambda inputs, training: tf.constant(logits), {}, tf.constant(labels))
    assert float(sums["loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_sample_is_a_prefix_of_larger_ones_and_trains_a_model(data):
    small, large = _data.sample(data.train, 30, 1), _data.sample(data.train, 60, 1)
    assert np.array_equal(_data.labels(small), _data.labels(large)[:30])
    settings = {"max_steps": 60, "validate_steps": 10, "batch_rows": 16, "optimizer": {"kind": "adam", "learning_rate": 0.05}}  # fmt: skip
    done = _trials.fit(data, {"kind": "feed_forward", "units": [8]}, settings, seed=1, train=large)
    assert done.updates_to(0.9) in range(10, 61, 10)
    assert done.updates_to(1.01) is None
    assert _trials.accuracy(done.model, data.valid) == pytest.approx(done.last) == pytest.approx(1.0, abs=0.05)


def test_a_swap_keeps_the_words_and_a_deletion_their_order():
    text = "how do i top up my new card at home today"
    words = text.split()
    for seed in range(20):
        swapped = augmentation.swap(text, 0.1, np.random.default_rng(seed)).split()
        assert sorted(swapped) == sorted(words)
        assert sum(one != other for one, other in zip(swapped, words, strict=True)) == 2
        left = iter(words)
        deleted = augmentation.delete(text, 0.5, np.random.default_rng(seed)).split()
        assert 0 < len(deleted) < len(words)
        assert all(word in left for word in deleted)  # a subsequence
    assert augmentation.overlap("a b C d", "c A x") == 0.5
    for text in ("", "help"):
        assert augmentation.swap(text, 0.3, np.random.default_rng(1)) == text
        assert augmentation.delete(text, 0.99, np.random.default_rng(1)) == text


@pytest.fixture(scope="module")
def mail(tmp_path_factory):
    return _data.prepare("mail", tmp_path_factory.mktemp("mail"), features={"kind": "ids", "max_length": 250}, codec={"kind": "unigram", "vocab_size": 500})  # fmt: skip


def test_further_texts_are_encoded_like_the_stored_ones(mail):
    texts, chosen = _data.texts(mail, "valid", stage="ingest"), np.arange(len(mail.valid))
    rows = _data.encode(mail, texts, _data.labels(mail.valid))
    assert np.array_equal(rows.inputs["text"].gather(chosen, 250), mail.valid.inputs["text"].gather(chosen, 250))
    samples = [augmentation.with_sampled_subwords(mail, rows, 0.1, seed=1).for_epoch(number) for number in (1, 2)]
    lengths = [sample.inputs["text"].lengths.sum() for sample in samples]
    assert min(lengths) > rows.inputs["text"].lengths.sum()
    assert lengths[0] != lengths[1]


def test_a_pretrained_encoder_is_taken_over(mail, tmp_path):
    from textpipe.config.sections import Plugin
    from textpipe.training.warm_start import vocabulary_axes

    encoder = {"kind": "convolution", "embedding_size": 4, "filters": 3}
    table, text = {"kind": "masked_language_model", "encoder": encoder}, mail.sizes.single_input[1]
    names = vocabulary_axes.describe_vocabulary(mail.folders["tokenize"], mail.folders["vectorize"], mail.sizes)["text"]
    sizes = _data.Sizes({"text": text}, "filled", text)
    language_model = plugins.find("models", table["kind"]).build(Plugin.check("models", table), sizes, seed=5)
    (tmp_path / "model.json").write_text(json.dumps({"model": table, "sizes": {"text": text, "filled": text}}))
    (tmp_path / "vocabulary.json").write_text(json.dumps({"text": names, "filled": names | {"side": "target"}}))
    language_model.save_weights(tmp_path / "model.weights.h5")
    pooled = {"kind": "pooled", "encoder": encoder}
    model = transfer.warm_started(mail, pooled, {"from": str(tmp_path)}, seed=1)
    expected = {variable.path: variable.numpy() for variable in language_model.encoder.trainable_variables}
    assert expected
    fresh = _trials.build(mail, pooled, seed=1)
    for variable, random in zip(model.trainable_variables, fresh.trainable_variables, strict=True):
        _, inside, name = variable.path.partition("/encoder/")
        same = [value for path, value in expected.items() if inside and path.endswith(f"/encoder/{name}")]
        assert len(same) == bool(inside)
        assert np.array_equal(variable.numpy(), same[0] if same else random.numpy()), variable.path


# Results


class Replayed:
    """A context whose runs are drawn instead of measured."""

    processor_seconds = 0.0

    def once(self, function, **settings):
        random = np.random.default_rng(zlib.crc32(json.dumps(settings, sort_keys=True).encode()))
        names = (*plugins.find("laboratory", function.__module__.split(".")[-1]).MEASURES, "valid")
        drawn = {name: float(random.uniform(0.3, 0.9)) for name in names}
        return {**drawn, "by_lag": [float(-lag) for lag in range(60)], **settings}


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_gives_a_table_a_sentence_and_a_picture(name, tmp_path):
    module = plugins.find("laboratory", name)
    rows = module.run(Replayed())
    table = _statistics.Table(rows, module.FACTORS, module.MEASURES)
    assert _results.question(module).endswith("?")
    assert len(_results.method(module)) > 100
    sentence = module.sentence(table)
    assert sentence.endswith(".")
    assert "nan" not in sentence
    _results.draw(module, table, tmp_path / "picture.svg")
    first = (tmp_path / "picture.svg").read_bytes()
    _results.draw(module, table, tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_bytes() == first
    shifted = [{**row, **{key: row[key] * 0.5 for key in module.MEASURES if row[key]}} for row in rows]
    assert module.sentence(_statistics.Table(shifted, module.FACTORS, module.MEASURES)) != sentence


def test_a_picture_is_compact_and_keeps_its_labels():
    before = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "x" "y">
<svg>
 <metadata>
  <a/>
 </metadata>
 <g id="line2d_1">
  <path id="m5045bc1d2" d="M 82.246334 0.5
L -0.001 12
" style="stroke: #000000"/>
  <use xlink:href="#m5045bc1d2" x="1.5"/>
  <text style="font-family: 'DejaVu Sans', 'Arial', sans-serif; color: red" x="0.12345">0.003 "0.0001"</text>
 </g>
</svg>
"""
    after = """<?xml version="1.0"?><svg>
 <g><path id="m5045bc1d2" d="M 82.25 0.5 L 0 12" style="stroke: #000000"/><use xlink:href="#m5045bc1d2" x="1.5"/>\
<text style="font-family: 'DejaVu Sans', sans-serif; color: red" x="0.12">0.003 "0.0001"</text></g>
</svg>
"""
    assert _results.compact(before) == after
    assert _results.compact(after) == after


def test_results_are_written_and_reported(tmp_path, monkeypatch):
    from textpipe.laboratory import data_size

    counter = itertools.count()
    accuracy = {size: 1 - 3 * size**-0.4 for size in data_size.SIZES}
    monkeypatch.setattr(
        data_size, "trial", lambda _, *, rows, seed: {"accuracy": accuracy[rows] + seed / 100, "epochs": next(counter)}
    )
    monkeypatch.setattr(_context, "run_key", lambda function, settings: f"{settings['rows']}-{settings['seed']}")
    options = {"runs": tmp_path / "runs", "output": tmp_path / "out", "artifacts": tmp_path / "artifacts"}
    result = _results.run("data_size", **options)
    again = _results.run("data_size", **options)
    assert again == result
    assert next(counter) == len(data_size.SIZES) * len(data_size.SEEDS)  # nothing was measured twice
    with (tmp_path / "out/data_size.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert float(lines[2]["accuracy"]) == pytest.approx(accuracy[500] + 0.02)
    assert float(lines[2]["accuracy_low"]) < float(lines[2]["accuracy"]) < float(lines[2]["accuracy_high"])
    page = CliRunner().invoke(cli.main, ["lab", "report", str(tmp_path / "out"), "--pictures", "pictures"]).output
    assert result["sentence"] in page
    assert "pictures/data_size.svg" in page
    assert f"Not measured yet: {', '.join(name for name in NAMES if name != 'data_size')}." in page


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["lab", "run", "optimisers"], "did you mean 'optimizers'"),
        (["lab", "report", "nowhere"], "run an experiment first"),
        (["lab", "run", "optimizers"], "banking77/train.csv: no such file in the folder TEXTPIPE_DATA names"),
    ],
)
def test_a_wrong_name_or_missing_data_is_explained(arguments, cure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTPIPE_DATA", str(tmp_path / "empty"))
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 2, done.output
    assert cure in done.stderr


def test_the_list_names_every_experiment_with_its_data_and_question():
    lines = CliRunner().invoke(cli.main, ["lab", "list"]).output.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert all(line.endswith("?") for line in lines)
