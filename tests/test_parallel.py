"""Parallel shards of a batch: the update of the whole batch, reproducible bits, and the configured cores."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests
import tiny
from test_accumulation import updated

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.objectives import sequence
from textpipe.pipeline import runner
from textpipe.runtime import threads
from textpipe.training import loop, steps
from textpipe.training.batching.batches import Batch
from textpipe.training.settings import Settings

SMALL = {
    "transformer": {"d_model": 16, "d_ff": 24, "num_heads": 2, "layers": 1},
    "recurrent": {
        "units": 12,
        "embedding_size": 10,
        "attention": "additive",
        "attention_size": 8,
        "input_feeding": True,
    },
}


def build(kind, dropout=0.0):
    options = {"dropout": dropout} | ({"embedding_dropout": dropout} if kind == "recurrent" else {})
    config = Plugin.check("models", {"kind": kind, **SMALL[kind], **options})
    return plugins.find("models", kind).build(config, Sizes({"source": tests.IDS}, "target", tests.IDS), seed=1)


@pytest.mark.parametrize(("kind", "accumulate"), [("transformer", True), ("recurrent", False)])
def test_parallel_shards_make_the_update_of_the_whole_batch(kind, accumulate):
    """A last batch of fewer rows than shards is not split."""
    rows = tests.reversals(30)
    batches = [Batch(np.arange(29), {"source": 8, "target": 8}), Batch(np.array([29]), {"source": 8, "target": 8})]
    groups = [batches] if accumulate else [[batch] for batch in batches]
    options = {"clip_norm": 0.5, "label_smoothing": 0.1}
    whole, one = updated(lambda: build(kind), rows, groups, **options, parallel=1)
    shared, other = updated(lambda: build(kind), rows, groups, **options, parallel=2)
    for first, second in zip(one, other, strict=True):
        assert first == pytest.approx(second, rel=1e-4)
    for first, second, before in zip(*map(tests.weights, (whole, shared, build(kind))), strict=True):
        np.testing.assert_allclose(first, second, atol=2e-6)
        assert not np.array_equal(first, before)


def test_parallel_shards_validate_like_the_whole_batch():
    rows, batch = tests.reversals(30), Batch(np.arange(30), {"source": 8, "target": 8})
    model = build("transformer")
    found = [
        steps.Steps(model, None, Settings(parallel=parts), tf.distribute.get_strategy(), 30, sequence).evaluate(
            rows, batch
        )
        for parts in (1, 3)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_shards_draw_the_same_random_numbers_every_time():
    rows = tests.reversals(1)
    batch = Batch(np.zeros(8, int), {"source": 8, "target": 8})
    options = {"scheduled_sampling": {"probability": 0.5, "steps": 1, "choose": "sample"}, "seed": 3}

    def trained():
        model, figures = updated(lambda: build("transformer", 0.4), rows, [[batch]] * 3, **options, parallel=2)
        return tests.weights(model), figures

    (first, figures), (again, repeated) = trained(), trained()
    assert figures == repeated and tests.same(first, again)


def test_each_shard_has_its_own_random_numbers(monkeypatch):
    """All rows are equal: a second shard with the random numbers of the first would have the same loss."""
    losses = []
    gradients = sequence.gradients

    def spying(*arguments, **options):
        sums, found = gradients(*arguments, **options)
        losses.append(sums["loss"])
        return sums, found

    monkeypatch.setattr(sequence, "gradients", spying)
    training_steps = steps.Steps(build("transformer", 0.5), None, Settings(), tf.distribute.get_strategy(), 8, sequence)
    ids = tf.constant(tests.reversals(1).target.gather(np.zeros(8, int), 8))
    training_steps.gradients(2, {"source": ids}, ids, tf.constant(1.0))
    assert len(losses) == 2 and float(losses[0]) != float(losses[1])


def test_a_resumed_run_keeps_its_number_of_shards(tmp_path, monkeypatch):
    rows = {"train": tests.reversals(64), "valid": tests.reversals(16, seed=1)}
    monkeypatch.setattr(threads, "num_shards", lambda: 2)

    def run(folder, **settings):
        model = tests.plain_generator()
        settings = {"epochs": 2, "batch_rows": 16, "checkpoint_steps": 1, "curve_steps": 1} | settings
        loop.fit(model, rows, Settings(**settings), folder)
        return tests.weights(model)

    whole = run(tmp_path / "whole")
    take = loop.Loop.update

    def interrupted(self, group):
        if self.global_step == 5:
            raise KeyboardInterrupt
        take(self, group)

    monkeypatch.setattr(loop.Loop, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed")
    monkeypatch.setattr(loop.Loop, "update", take)
    monkeypatch.setattr(threads, "num_shards", lambda: 1)
    assert tests.same(run(tmp_path / "resumed"), whole)
    assert not tests.same(run(tmp_path / "alone"), whole)


@pytest.mark.parametrize(("tables", "make", "expected"), [
    (tiny.GENERATOR, tiny.generator_rows, True), (tiny.CLASSIFIER, tiny.classifier_rows, False),
])  # fmt: skip
def test_a_pipeline_of_texts_leaves_cores_for_its_shards(tables, make, expected, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(threads, "limit_intra_op", lambda: asked.append(True))
    file = tmp_path / "tiny.toml"
    file.write_text(tiny.toml({**tables, "ingest": {"files": str(make(tmp_path / "rows.tsv", 30))}}), encoding="utf-8")
    runner.run(runner.Pipeline.load(file), until="ingest", artifacts=tmp_path / "artifacts")
    assert bool(asked) == expected


PROGRAM = """
import os, sys
from textpipe.runtime import threads
threads.num_cores = lambda: 2
{first}
threads.limit_intra_op()
print(os.environ.get(threads.VARIABLE), threads.num_shards())
if "tensorflow" in sys.modules:
    print(sys.modules["tensorflow"].config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("", ["1", "2"]),  # TensorFlow reads the variable itself
        ("import tensorflow", ["1", "2", "1"]),
        ("import tensorflow as tf; tf.constant(1)", ["None", "1", "0"]),
        ("os.environ[threads.VARIABLE] = '2'", ["2", "1"]),
        ("threads.num_cores = lambda: 17", ["4", "4"]),
    ],
)
def test_cores_are_left_for_parallel_operations_unless_too_late_or_configured(first, expected):
    environment = {name: value for name, value in os.environ.items() if name != threads.VARIABLE}
    program = PROGRAM.format(first=first)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected
