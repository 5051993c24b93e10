"""The training loop: a step, stopping, and that a killed run ends like an uninterrupted one."""

import json
import logging
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.data.columns import Ids, Labels
from textpipe.errors import ArtifactError, ConfigError, DataError
from textpipe.models import feed_forward, logistic_regression
from textpipe.objectives import sequence, softmax
from textpipe.stages import train
from textpipe.tasks import classify
from textpipe.training import full_batch_settings, loop, steps
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import EarlyStopping, Settings
from textpipe.training.state import checkpoint, early_stopping

IDS = {"kind": "ids", "vocab_size": 30, "max_length": 12}
LABELS = {"kind": "label", "classes": ["a", "b", "c"]}


def labelled(count, seed=0):
    """Rows of ids whose label is their first id modulo 3."""
    random = np.random.default_rng(seed)
    lists = [[*random.integers(4, 30, size=random.integers(1, 11)), 3] for _ in range(count)]
    return Rows({"source": Ids.from_lists(lists)}, Labels([row[0] % 3 for row in lists], 3))


def reversals(count, seed=0):
    """Rows whose target is their source in reverse."""
    random = np.random.default_rng(seed)
    lists = [list(random.integers(4, 30, size=random.integers(1, 7))) for _ in range(count)]
    return Rows(
        {"source": Ids.from_lists([[*row, 3] for row in lists])}, Ids.from_lists([[*row[::-1], 3] for row in lists])
    )


def classifier(seed=1):
    config = feed_forward.Config(units=(8,), embedding=6, dropout=0.3, normalization="batch")
    return feed_forward.build(config, Sizes({"text": IDS}, "label", LABELS), seed=seed)


def generator(seed=1):
    from textpipe.models import recurrent

    config = recurrent.Config(units=8, embedding_size=6, attention="none", dropout=0.2, embedding_dropout=0.2)
    return recurrent.build(config, Sizes({"source": IDS}, "target", IDS), seed=seed)


def weights(model):
    return [np.array(weight.value) for weight in model.weights]


def same(first, second):
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


# A step


class Table:
    """A generator whose logits are a hidden vector per position times a matrix: small enough to differentiate by hand."""

    pad_id, start_id = 0, 2

    def __init__(self, split):
        import keras

        random = np.random.default_rng(3)
        self.table = keras.Variable(random.normal(size=(30, 5)).astype(np.float32))
        self.weight = keras.Variable(random.normal(size=(5, 30)).astype(np.float32))
        self.bias = keras.Variable(random.normal(size=30).astype(np.float32))
        self.trainable_variables = [self.table, self.weight, self.bias]
        if split:
            self.hidden, self.project = self.look_up, self.multiply

    def look_up(self, source, target_in, training=False):
        from keras import ops

        return ops.take(self.table, target_in, axis=0)

    def multiply(self, hidden):
        from keras import ops

        return ops.matmul(hidden, self.weight) + self.bias

    def __call__(self, inputs, target_in, training=False):
        return self.multiply(self.look_up(inputs, target_in))


def by_hand(model, target, smoothing):
    """Loss, its gradients for table, weight and bias, and correct tokens: NumPy, float64, one token at a time."""
    table, weight, bias = (np.array(variable.value, np.float64) for variable in model.trainable_variables)
    loss, correct = 0.0, 0
    slopes = [np.zeros_like(part) for part in (table, weight, bias)]
    for row in target:
        for before, label in zip([2, *row[:-1]], row, strict=True):
            if label == 0:
                continue
            logits = table[before] @ weight + bias
            log_probabilities = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
            expected = np.full(30, smoothing / 30)
            expected[label] += 1 - smoothing
            loss -= expected @ log_probabilities
            correct += logits.argmax() == label
            difference = np.exp(log_probabilities) - expected
            slopes[0][before] += weight @ difference
            slopes[1] += np.outer(table[before], difference)
            slopes[2] += difference
    return loss, slopes, correct


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_cross_entropy_and_its_gradient_agree_with_numpy(split, smoothing, monkeypatch):
    import tensorflow as tf

    from textpipe.training import losses, vocabulary_loss

    monkeypatch.setattr(
        vocabulary_loss, "BLOCK_LOGITS", 30 * 4
    )  # four tokens per block, several blocks and a remainder
    model, target = Table(split), reversals(5).target.gather(np.arange(5), 8)
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(autograph=False)
    def step(target):
        return sequence.gradients(
            model,
            {"source": target},
            target,
            variables,
            total=tf.constant(7.0),
            config=Settings(label_smoothing=smoothing),
        )

    sums, gradients = step(tf.constant(target))
    loss, slopes, correct = by_hand(model, target.tolist(), smoothing)
    assert float(sums["weight"]) == np.count_nonzero(target)
    assert float(sums["loss"]) == pytest.approx(loss, rel=1e-5)
    for gradient, slope in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(losses.to_dense(gradient), slope / 7, atol=1e-5)
    measured = tf.function(sequence.sums, autograph=False)(model, {"source": target}, tf.constant(target))
    assert float(measured["loss"]) == pytest.approx(by_hand(model, target.tolist(), 0.0)[0], rel=1e-5)
    assert float(measured["correct"]) == correct


def test_targets_are_shifted_right_after_the_start_token():
    from textpipe.training.losses import shift_right

    assert shift_right(np.array([[7, 8, 3, 0]], np.int32), 2).numpy().tolist() == [[2, 7, 8, 3]]


@pytest.mark.parametrize(
    ("limit", "expected"), [({"clip_norm": 0.01}, 0.01), ({"clip_value": 0.001}, None), ({}, None)]
)
def test_a_clipped_step_has_the_length_of_the_limit(limit, expected, tmp_path):
    rows = labelled(64)
    model = logistic_regression.build(logistic_regression.Config(l2=0), Sizes({"text": IDS}, "label", LABELS), seed=1)
    settings = Settings(epochs=1, optimizer={"kind": "sgd", "learning_rate": 1.0}, num_shapes=1, **limit)
    loop.fit(model, {"train": rows}, settings, tmp_path)
    moved = np.concatenate([weight.ravel() for weight in weights(model)])  # from 0, in one step
    norm = json.loads((tmp_path / "history.jsonl").read_text())["gradient_norm"]
    if "clip_value" in limit:
        assert np.abs(moved).max() == pytest.approx(0.001)
    else:
        assert np.linalg.norm(moved) == pytest.approx(expected or norm, rel=1e-5)
    assert norm > 0.05


def test_schedules_reach_the_optimizer(tmp_path):
    settings = Settings(
        epochs=3,
        batch_rows=32,
        num_shapes=1,
        optimizer={"kind": "sgd", "learning_rate": 0.5},
        schedule={"kind": "exponential", "rate": 0.5, "steps": 2},
    )
    loop.fit(classifier(), {"train": labelled(64)}, settings, tmp_path)
    rates = [json.loads(line)["learning_rate"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(rates, [0.25, 0.125, 0.0625], rtol=1e-6)


@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "cosine", "warmup_steps": 7},
        {"kind": "constant", "warmup_steps": 10},
        {"kind": "inverse_square_root"},
        {"kind": "noam", "d_model": 8},
    ],
)
def test_a_warm_up_longer_than_the_run_warns(schedule, caplog, tmp_path):
    settings = Settings(epochs=3, batch_rows=32, num_shapes=1, schedule=schedule)
    result = loop.fit(classifier(), {"train": labelled(64)}, settings, tmp_path)
    assert result["steps"] == 6
    (warning,) = result["warnings"]
    assert "still rises at update 6" in warning and warning in caplog.text


def test_a_warm_up_that_ends_in_time_does_not_warn(tmp_path):
    settings = Settings(epochs=3, batch_rows=32, num_shapes=1, schedule={"kind": "cosine", "warmup_steps": 2})
    assert "warnings" not in loop.fit(classifier(), {"train": labelled(64)}, settings, tmp_path)


# Stopping and keeping weights


def scripted(monkeypatch, values):
    """Validation returns these losses; records the weights at each."""
    seen, values = [], iter(values)

    def validate(self, rows, order):
        seen.append(weights(self.model))
        return {"valid_loss": next(values), "valid_accuracy": 0.5}

    monkeypatch.setattr(steps.Steps, "validate", validate)
    return seen


@pytest.mark.parametrize(("keep", "kept"), [("best", 1), ("last", 3)])
def test_early_stopping_waits_and_keeps_the_requested_weights(monkeypatch, keep, kept):
    seen = scripted(monkeypatch, [3.0, 2.0, 2.5, 2.0, 1.0])
    rule = {"metric": "valid_loss", "patience": 2}
    model, rows = classifier(), labelled(64)
    settings = Settings(epochs=9, num_shapes=1, early_stopping=rule, keep=keep)
    result = loop.fit(model, {"train": rows, "valid": rows}, settings)
    assert (result["stopped"], result["epochs"], result["best"]["epoch"]) == ("early_stopping", 4, kept + 1)
    assert same(weights(model), seen[kept])


def test_patience_counts_from_the_best_and_higher_accuracy_is_better():
    rule = EarlyStopping(metric="valid_accuracy", patience=2, min_delta=0.01)
    history = [{"valid_accuracy": value} for value in (0.5, 0.6, 0.605, 0.59)]
    assert [early_stopping.should_stop(history[:n], rule, softmax.METRICS) for n in range(5)] == [
        False,
        False,
        False,
        False,
        True,
    ]
    assert early_stopping.best(history, "valid_accuracy", softmax.METRICS) == 2
    assert early_stopping.best([{"loss": 1.0}], "valid_loss", softmax.METRICS) is None


def test_without_validation_rows_the_last_weights_are_kept_with_a_warning(caplog):
    settings = Settings(epochs=2, num_shapes=1, early_stopping={"patience": 1})
    result = loop.fit(classifier(), {"train": labelled(64), "valid": labelled(0)}, settings)
    assert (result["stopped"], result["epochs"]) == ("epochs", 2)
    assert "early stopping is off" in caplog.text


def test_an_empty_training_split_is_refused():
    with pytest.raises(DataError, match="expected rows to train on"):
        loop.fit(classifier(), {"train": labelled(0)}, Settings())


def test_max_minutes_ends_training_after_a_step_with_a_validation():
    rows = labelled(256)
    settings = Settings(epochs=50, max_minutes=1e-9, num_shapes=1)
    result = loop.fit(classifier(), {"train": rows, "valid": rows}, settings)
    assert (result["stopped"], result["steps"]) == ("max_minutes", 1)
    assert math.isfinite(result["best"]["valid_loss"])


def test_max_steps_limits_the_updates_and_the_schedule():
    rows = labelled(256)
    schedule = {"optimizer": {"kind": "sgd", "learning_rate": 1.0}, "schedule": {"kind": "cosine"}}
    settings = Settings(epochs=50, max_steps=6, batch_rows=64, num_shapes=1, keep="last", **schedule)
    result = loop.fit(classifier(), {"train": rows, "valid": rows}, settings)
    assert (result["stopped"], result["steps"], result["epochs"]) == ("max_steps", 6, 2)
    assert result["best"]["learning_rate"] == pytest.approx(0, abs=1e-9)


def test_validate_steps_validates_within_an_epoch(tmp_path):
    rows = labelled(64 * 5)
    settings = Settings(epochs=2, batch_rows=64, num_shapes=1, validate_steps=3)
    loop.fit(classifier(), {"train": rows, "valid": rows}, settings, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6), (2, 9), (2, 10)]


def test_a_loss_that_is_not_finite_raises_with_a_cure_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    update, updated = loop.Loop.update, []

    def poisoned(self, batch):
        updated.append(batch)
        if len(updated) == 8:
            self.model.trainable_variables[0].assign(np.full(self.model.trainable_variables[0].shape, np.nan))
        update(self, batch)

    monkeypatch.setattr(loop.Loop, "update", poisoned)
    settings = Settings(epochs=5, batch_rows=64, num_shapes=1)
    with pytest.raises(
        ConfigError, match=r"lower optimizer.learning_rate \(now 0.001\) or set clip_norm.*checkpoint is kept"
    ):
        loop.fit(classifier(), {"train": labelled(64 * 5)}, settings, tmp_path)
    model = classifier()
    optimizer_variables = 2 + 2 * len(model.trainable_variables)
    with np.load(tmp_path / "resume" / "checkpoint") as saved:
        arrays = [saved[name] for name in sorted(saved.files) if name != "state"]
    assert len(arrays) == len(model.variables) + optimizer_variables
    assert all(np.isfinite(array).all() for array in arrays)


# Interruption


SETTINGS = {
    "epochs": 3,
    "batch_rows": 16,
    "num_shapes": 1,
    "checkpoint_steps": 5,
    "optimizer": {"kind": "adam", "learning_rate": 0.01},
    "schedule": {"kind": "plateau", "warmup_steps": 3},
    "clip_norm": 1.0,
}


def train_case(output):
    """Trains a classifier for 3 epochs of 8 steps, with dropout."""
    model = classifier()
    loop.fit(model, {"train": labelled(128), "valid": labelled(32, seed=1)}, Settings(**SETTINGS), output)
    return model


def killed(output):
    """Trains in another process that is killed before its 13th step, in the middle of the second epoch."""
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_training_loop as tests
take = tests.loop.Loop.update
def dying(self, group):
    if self.global_step == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    take(self, group)
tests.loop.Loop.update = dying
tests.train_case(tests.Path({str(output)!r}))
"""
    root = str(Path(loop.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)


def test_a_run_killed_within_an_epoch_ends_with_the_same_weights(tmp_path):
    """test_resume.py has generators, and kills during a checkpoint or a validation."""
    process = killed(tmp_path / "killed")
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not (tmp_path / "killed" / "model.weights.h5").exists()
    with np.load(tmp_path / "killed" / "resume" / "checkpoint") as saved:
        state = json.loads(saved["state"].tobytes())["loop"]
    assert (state["epoch"], state["step"], state["global_step"]) == (2, 2, 10)
    resumed = train_case(tmp_path / "killed")
    whole = train_case(tmp_path / "whole")
    assert same(weights(resumed), weights(whole))
    assert (tmp_path / "killed/history.jsonl").read_bytes() == (tmp_path / "whole/history.jsonl").read_bytes()


def test_ctrl_c_waits_for_the_step_saves_and_raises(tmp_path, monkeypatch):
    take = loop.Loop.update

    def interrupted(self, batch):
        if self.global_step == 6:
            signal.raise_signal(signal.SIGINT)
        take(self, batch)

    monkeypatch.setattr(loop.Loop, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_case(tmp_path / "stopped")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with np.load(tmp_path / "stopped" / "resume" / "checkpoint") as saved:
        assert json.loads(saved["state"].tobytes())["loop"]["global_step"] == 7
    monkeypatch.setattr(loop.Loop, "update", take)
    assert same(weights(train_case(tmp_path / "stopped")), weights(train_case(tmp_path / "whole")))


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    first = train_case(tmp_path)
    monkeypatch.setattr(loop.Loop, "update", None)
    assert same(weights(first), weights(train_case(tmp_path)))


def variables(*shapes):
    import keras

    return [keras.Variable(np.random.default_rng(0).normal(size=shape).astype(np.float32)) for shape in shapes]


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path, held = tmp_path / "checkpoint", variables((3, 2), (4,))
    checkpoint.save(path, held, {"step": 1})
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left on device; free space"):
        checkpoint.save(path, held, {"step": 2})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path):
    path, held = tmp_path / "checkpoint", variables((3, 2), (4,))
    assert checkpoint.restore(path, held) is None
    checkpoint.save(path, held, {"step": 1})
    with pytest.raises(ArtifactError, match="found 2 of other shapes"):
        checkpoint.restore(path, variables((3, 2), (5,)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    for broken in (bytes(data), path.read_bytes()[:-40], b""):
        path.write_bytes(broken)
        with pytest.raises(ArtifactError, match="damaged checkpoint"):
            checkpoint.restore(path, held)


# Several devices


REPLICAS = """
import sys
sys.path.insert(0, {folder!r})
import tensorflow as tf
device = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
import test_training_loop as tests
strategies = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for build, rows in ((tests.plain_classifier, tests.labelled(60)), (tests.plain_generator, tests.reversals(60))):
    found = []
    for strategy in strategies:
        with strategy.scope():
            model = build()
            options = {{"clip_norm": 0.05, "accumulate": 2, "ema": 0.5, "keep": "last"}}
            settings = tests.Settings(epochs=2, batch_rows=8, num_shapes=1, **options)
            result = tests.loop.fit(model, {{"train": rows, "valid": rows}}, settings)
            found.append((result["best"], tests.weights(model)))
    (one, single), (two, double) = found
    for name in ("loss", "gradient_norm", "valid_loss"):
        assert abs(one[name] - two[name]) < 1e-4, (one, two)
    for first, second in zip(single, double):
        np.testing.assert_allclose(first, second, atol=1e-4)

# Each replica draws its own dropout masks; afterwards their seeds are equal to those of a single replica.
from textpipe.layers import uniform_dropout
with strategies[1].scope():
    model = tests.classifier()
    optimizer = tests.steps.tf.keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    training_steps = tests.steps.Steps(model, optimizer, tests.Settings(), strategies[1], 8, tests.softmax)
masks, call = [], uniform_dropout.Dropout.call
def noted(self, inputs, training=False):
    found = call(self, tf.ones_like(inputs), training=training)
    tf.py_function(lambda mask: masks.append(mask.numpy()), [found], [])
    return inputs * found
uniform_dropout.Dropout.call = noted
from textpipe.training.batching.batches import Batch
batch = Batch(np.arange(8), {{"source": 12}})
for number in (1, 2):
    training_steps.train(tests.labelled(8), [batch], number)
assert len(masks) == 4 and len(set(mask.tobytes() for mask in masks)) == 4, masks
(state,) = [variable for variable in model.variables if variable.name == "seed_generator_state"]
assert all(copy.numpy()[1] == 2 for copy in state.value.values), state
print("equal")
"""


def plain_classifier():
    """Without dropout and batch normalization, which see only the rows of one replica."""
    config = feed_forward.Config(units=(8,), embedding=6, dropout=0.0, l2=0.1)
    return feed_forward.build(config, Sizes({"text": IDS}, "label", LABELS), seed=1)


def plain_generator():
    """Predicts a word from the previous word and the mean of the source, with one embedding table."""
    import keras
    from keras import ops

    class Bigrams(keras.Model):
        pad_id, start_id, end_id = 0, 2, 3

        def build(self, input_shape=None):
            normal = keras.initializers.RandomNormal(seed=1)
            self.table = self.add_weight(shape=(30, 6), initializer=normal, name="table")
            self.bias = self.add_weight(shape=(30,), initializer="zeros", name="bias")
            self.built = True

        def hidden(self, inputs, target_in, training=False):
            return ops.take(self.table, target_in, axis=0) + ops.mean(
                ops.take(self.table, inputs["source"], axis=0), 1, keepdims=True
            )

        def project(self, hidden):
            return ops.matmul(hidden, ops.transpose(self.table)) + self.bias

        def call(self, inputs, target_in, training=False):
            return self.project(self.hidden(inputs, target_in))

    model = Bigrams()
    model.build()
    return model


def test_two_replicas_train_like_one():
    program = REPLICAS.format(folder=str(Path(__file__).parent))
    root = str(Path(loop.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    process = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert process.stdout.strip() == "equal", process.stderr


# The stage


@pytest.fixture
def stages(tmp_path):
    """Outputs of tokenize and vectorize for labelled rows, by stage."""
    folder, tokenize = tmp_path / "vectorize", tmp_path / "tokenize"
    tokenize.mkdir()
    (tokenize / "codecs.json").write_text('{"text": {"kind": "characters", "name": "text"}}')
    (tokenize / "text.json").write_text(json.dumps([chr(ord("a") + place) for place in range(26)]))
    sizes = {"text": {**IDS, "feature": "ids"}, "label": {**LABELS, "feature": "label"}}
    for split, count, seed in (("train", 96, 0), ("valid", 32, 1), ("test", 32, 2)):
        rows = labelled(count, seed)
        (folder / split).mkdir(parents=True)
        lists = [row[row > 0].tolist() for row in rows.inputs["source"].gather(np.arange(count), 12)]
        columns = {"row": range(count), "text": pa.array(lists, pa.list_(pa.int32()))}
        table = pa.table(columns | {"label": pa.array(rows.target.values, pa.int32())})
        with pa.ipc.new_file(folder / split / "00000.arrow", table.schema) as writer:
            writer.write_table(table)
    (folder / "features.json").write_text(json.dumps(sizes))
    return {"tokenize": tokenize, "vectorize": folder}


def config(**settings):
    model = settings.pop("model", {"kind": "feed_forward", "units": [8], "embedding": 6})
    return train.Config(task="classify", model=model, epochs=2, **settings)


def test_the_stage_writes_equal_bytes_when_run_again(stages, tmp_path):
    outputs = tmp_path / "one", tmp_path / "two"
    for output in outputs:
        output.mkdir()
        train.run(config(), stages, output)
    names = ["history.jsonl", "model.json", "model.weights.h5", "train.json", "vocabulary.json"]
    assert sorted(path.name for path in outputs[0].iterdir()) == sorted([*names, "logs", "resume"])
    for name in names:
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()
    model = json.loads((outputs[0] / "model.json").read_text())
    sizes = Sizes.from_tables(model["sizes"], classify.FIELDS)
    again = feed_forward.build(feed_forward.Config(**model["model"]), sizes, seed=9)
    again.load_weights(outputs[0] / "model.weights.h5")
    assert train.summary(outputs[0]).startswith(f"{sum(w.size for w in weights(again)):,} parameters, 2 epochs")


def test_tensorboard_events_hold_the_curve(stages, tmp_path):
    import tensorflow as tf

    output = tmp_path / "out"
    output.mkdir()
    train.run(config(curve_steps=1), stages, output)
    (events,) = (output / "logs" / "tensorboard").iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found[value.tag, event.step] = tf.make_ndarray(value.tensor).item()
    lines = [json.loads(line) for line in (output / "logs" / "curve.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    assert sorted(losses) == list(range(1, json.loads((output / "train.json").read_text())["steps"] + 1))
    for step, loss in losses.items():
        assert found["loss", step] == pytest.approx(loss, rel=1e-6)
    assert any(tag == "valid_accuracy" for tag, _ in found)


def refusal(tmp_path, stages, config, sizes=None):
    if sizes:
        (stages["vectorize"] / "features.json").write_text(json.dumps(sizes))
    with pytest.raises((ConfigError, DataError)) as caught:
        train.run(config, stages, tmp_path)
    return str(caught.value)


def test_features_and_tasks_that_do_not_fit_a_model_are_refused_with_a_cure(stages, tmp_path):
    sparse = {"text": {"kind": "sparse", "dim": 9}, "label": LABELS}
    answers = config(model={"kind": "recurrent"})
    assert "answers with a text, but task 'classify' asks for a label; use" in refusal(tmp_path, stages, answers)
    assert "set [vectorize] features to ids" in refusal(tmp_path, stages, answers, sparse)
    one = {"text": IDS, "label": {"kind": "label", "classes": ["yes"]}}
    assert "at least two classes in 'label', found ['yes']" in refusal(tmp_path, stages, config(), one)


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ({"scheduled_sampling": {}}, "leave scheduled_sampling out"),
        ({"early_stopping": {"metric": "valid_perplexity"}}, "has no perplexity"),
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"optimizer": {"kind": "sgd", "nesterov": True}}, "nesterov: needs momentum, which is 0"),
        ({"parallel": 2}, "parallel: feed_forward trains on a batch as a whole"),
        (
            {"model": {"kind": "logistic_regression"}, "precision": "mixed_bfloat16"},
            "precision: logistic_regression is the",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused_before_any_data_is_read(settings, finding):
    with pytest.raises(ValueError, match=finding):
        config(**settings)


# A non-default value of every setting of [train] that an optimizer over all rows does not read.
NOT_FOR_ALL_ROWS = {
    "batch_tokens": 64, "batch_rows": 8, "accumulate": 2, "num_shapes": 2, "schedule": "cosine", "clip_norm": 1.0, "clip_tensor_norm": 1.0,
    "clip_value": 0.1, "label_smoothing": 0.1, "ema": 0.9, "precision": "mixed_bfloat16", "subword_sampling": {"alpha": 0.1},
    "freeze": ["bias"], "scheduled_sampling": {}, "early_stopping": {}, "metric": "valid_accuracy", "valid_bleu_rows": 9,
    "validate_steps": 5, "checkpoint_steps": 5, "checkpoint_minutes": 1, "max_steps": 50, "max_minutes": 3, "keep": "last",
    "average": {"last": 2}, "curve_steps": 5, "parallel": 2, "strategy": "mirrored", "epochs": 10, "mixup": 0.2, "r_drop": 1.0,
    "word_dropout": {"rate": 0.1}, "vectors": {"file": "v.vec"}, "layer_rates": {"decay": 0.5}, "workers": 2,
    "curriculum": {"epochs": 1},
}  # fmt: skip


FULL_BATCH = [
    name
    for name in plugins.names("training.optimizers")
    if hasattr(plugins.find("training.optimizers", name), "minimize")
]


@pytest.mark.parametrize("kind", FULL_BATCH)
def test_an_optimizer_over_all_rows_refuses_settings_that_it_does_not_read(kind):
    assert set(Settings.model_fields) - NOT_FOR_ALL_ROWS.keys() == {*full_batch_settings.READS, "unfreeze"}
    Settings(optimizer=kind, seed=3, class_weight="balanced", calibration="temperature")
    model = {"kind": "logistic_regression", "loss": "squared_hinge", "l2": [1.0, 2.0]}
    train.Config(task="classify", model=model, optimizer={"kind": kind, "tolerance": 0.5})
    for name, value in NOT_FOR_ALL_ROWS.items():
        with pytest.raises(ValueError, match=rf"{name}: .*{kind} .*(leave|set)"):
            Settings(optimizer=kind, **{name: value})
    with pytest.raises(ValueError, match=f"unfreeze: {kind} minimizes one function"):
        Settings(optimizer=kind, unfreeze={}, init={"from": "x"})
    with pytest.raises(
        ValueError, match=f"max_steps: {kind} stops by optimizer.tolerance .*; mixup: {kind} works on all rows"
    ):
        Settings(optimizer=kind, max_steps=50, mixup=0.2)


def test_a_users_own_optimizer_says_what_it_reads_and_fits(monkeypatch):
    from textpipe.training.optimizers import liblinear

    class Config(liblinear.Config):
        kind: str = "newton_method"

    module = ModuleType("newton_method")
    module.Config, module.minimize = Config, liblinear.minimize
    module.unused = lambda name: "newton_method halves epochs" if name == "epochs" else None
    monkeypatch.setitem(sys.modules, "my.newton_method", module)
    monkeypatch.setitem(sys.modules, "my", ModuleType("my"))
    optimizer = {"kind": "my.newton_method"}
    assert Settings(optimizer=optimizer, keep="last").keep == "last"
    with pytest.raises(ValueError, match="epochs: newton_method halves epochs"):
        Settings(optimizer=optimizer, epochs=4)
    with pytest.raises(ValueError, match='my.newton_method does not fit a list of l2; .*"lbfgs" or "liblinear"'):
        train.Config(task="classify", model={"kind": "logistic_regression", "l2": [1.0, 2.0]}, optimizer=optimizer)
    module.FITS_PATH = True
    train.Config(task="classify", model={"kind": "logistic_regression", "l2": [1.0, 2.0]}, optimizer=optimizer)


def test_widths_of_sparse_rows_are_refused(stages, tmp_path):
    sparse = {"text": {"kind": "sparse", "dim": 9}, "label": LABELS}
    assert "[train] num_shapes: applies to rows of token ids" in refusal(
        tmp_path, stages, config(num_shapes=2, model={"kind": "feed_forward"}), sparse
    )
    assert "[model] embedding: applies to rows of token ids" in refusal(tmp_path, stages, config(), sparse)


def test_progress_is_logged_without_a_terminal(caplog, monkeypatch):
    from textpipe.training.telemetry import progress

    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    with caplog.at_level(logging.INFO, logger="textpipe"):
        loop.fit(classifier(), {"train": labelled(64)}, Settings(epochs=1, num_shapes=1))
    assert "step 1 of 1, loss " in caplog.text
    assert "rows/s" in caplog.text
