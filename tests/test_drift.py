"""Which requests are sampled, and that an error in counting for one model does not affect the others."""

import asyncio
import contextlib
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import generate_latest

from textpipe.errors import ModelError
from textpipe.serve.engine import drift
from textpipe.serve.engine.drift import DriftMonitor
from textpipe.serve.engine.metrics import Metrics

TEXTS = {"rows": 9, "unknown_share": 0.1, "source_tokens": {"at_most": [2, 4], "shares": [0.5, 0.25, 0.25]}}


ANSWERS = SimpleNamespace(answers_rows=True)


class Model:
    """A version with the attributes that the monitor uses."""

    number, model = 3, SimpleNamespace(fields=("source",))

    def __init__(self, name, about):
        self.name, self.about = name, about
        outputs = ("source_tokens", "source_unknown")
        self.token_counts = SimpleNamespace(inputs={"source": "string"}, outputs=outputs) if about else None

    def hold(self):
        return contextlib.nullcontext()


class Scheduler:
    waiting_rows = 0

    async def submit(self, version, signature, inputs, **options):
        if version.about.get("odd"):
            return {}
        count = len(inputs["source"])
        return {"source_tokens": np.full(count, 3), "source_unknown": np.zeros(count, int)}


def texts(*words):
    return np.array([word.encode() for word in words], object)


def num_sampled(model, inputs, outputs):
    monitor = DriftMonitor(Metrics())
    monitor.record(model, ANSWERS, inputs, outputs)
    return len(monitor.samples)


def test_answers_of_a_model_whose_inputs_have_no_tokens_are_not_sampled():
    model = Model("m", {"format": 1})
    model.token_counts.outputs = ("target_tokens",)
    assert num_sampled(model, {"source": texts("a", "b")}, {"answer": texts("c", "d")}) == 0


def test_texts_and_answers_are_sampled():
    model = Model("m", {"format": 1})
    assert num_sampled(model, {"source": texts("a", "b")}, {"answer": texts("c", "d")}) == 2
    assert num_sampled(model, {"source": texts("a")}, {"texts": texts("c", "d").reshape(1, 2)}) == 1


@pytest.mark.parametrize(
    ("about", "inputs", "outputs"),
    [
        ({}, {"source": texts("a")}, {"answer": texts("b")}),
        ({"format": 1}, {"a": texts("a"), "b": texts("b")}, {"answer": texts("c")}),
        ({"format": 1}, {}, {"answer": texts("c")}),
        ({"format": 1}, {"source": np.array(b"a", object)}, {"answer": np.array(b"b", object)}),
        ({"format": 1}, {"source": np.array([1.0])}, {"answer": texts("b")}),
        ({"format": 1}, {"source": texts("a", "b").reshape(1, 2)}, {"answer": texts("b")}),
        ({"format": 1}, {"source": texts("a")}, {"answer": np.array(b"b", object)}),
        ({"format": 1}, {"source": texts("a", "b")}, {"answer": texts("c", "d", "e")}),
        ({"format": 1}, {"source": texts("a")}, {"answer": np.zeros((1, 0), object)}),
    ],
)
def test_other_inputs_and_outputs_are_not_sampled(about, inputs, outputs):
    assert num_sampled(Model("m", about), inputs, outputs) == 0


def test_a_model_that_cannot_be_counted_is_logged_once_and_the_others_are_counted(caplog):
    models = [
        Model("hurt", {"format": 1, "texts": "x"}),
        Model("other", {"format": 1, "odd": True}),
        Model("good", {"format": 1, "texts": TEXTS}),
    ]
    monitor = DriftMonitor(Metrics(), interval=0)

    async def scene():
        task = asyncio.ensure_future(monitor.run(Scheduler()))
        for _ in range(3):
            for model in models:
                monitor.record(model, ANSWERS, {"source": texts("a b c")}, {"answer": texts("d")})
            while monitor.samples:
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["hurt version 3", "other version 3"]
    assert "textpipe.json: texts: expected" in caplog.text and "found 'x'" in caplog.text
    assert list(monitor.lengths["good"]) == list(monitor.lengths["hurt"]) == [3, 3, 3]
    assert b'textpipe_training_unknown_share{model="good"} 0.1' in generate_latest(monitor.metrics.registry)


@pytest.mark.parametrize(
    "hurt",
    [
        ["x"],
        5,
        {"unknown_share": 0.0},
        {**TEXTS, "unknown_share": "0.1"},
        {**TEXTS, "unknown_share": float("nan")},
        {**TEXTS, "unknown_share": 10**400},
        {**TEXTS, "unknown_share": True},
        {**TEXTS, "source_tokens": {"at_most": [2, 4], "shares": [0.5, 0.5]}},
        {**TEXTS, "source_tokens": {"at_most": [4, 2], "shares": [0.5, 0.25, 0.25]}},
        {**TEXTS, "source_tokens": {"at_most": 2, "shares": [0.5]}},
        {**TEXTS, "source_tokens": {"at_most": [2, None], "shares": [0.5, 0.25, 0.25]}},
    ],
)
def test_malformed_training_statistics_are_reported(hurt):
    with pytest.raises(ModelError, match="texts: expected .* found .*; export the model again"):
        drift.training_stats(hurt)


def test_training_statistics_are_optional():
    assert drift.training_stats({}) == {} and drift.training_stats(TEXTS) == TEXTS
