"""Which activation function learns fastest, and how many units die?

A feed-forward classifier (two layers of 128 units) on Banking77, trained for 300 updates of Adam at a usual learning
rate and at ten times that rate. A unit is dead if its output is constant over all validation rows (it varies by less
than 1e-6): a ReLU unit that is never positive, for example.
"""

from typing import Any

import numpy as np

from textpipe.laboratory import _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("activation", "learning_rate")
MEASURES = {"accuracy": "validation accuracy", "dead": "share of dead units"}
ACTIVATIONS = ("relu", "elu", "gelu", "silu", "tanh", "sigmoid")
RATES = (0.003, 0.03)
SEEDS = (1, 2, 3)


def trial(context: Any, *, activation: str, learning_rate: float, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = {"kind": "feed_forward", "units": [128, 128], "activation": activation, "dropout": 0.0}
    optimizer = {"kind": "adam", "learning_rate": learning_rate}
    settings = {"optimizer": optimizer, "batch_rows": 64, "max_steps": 300, "validate_steps": 300, "keep": "last"}
    done = _trials.fit(data, model, settings, seed=seed)
    return {"accuracy": done.last, "dead": dead_units(done.model, data.valid)}


def dead_units(model: Any, rows: Any) -> float:
    """The share of hidden units whose output is constant over these rows."""
    low: list[Any] = [np.inf] * len(model.hidden)
    high: list[Any] = [-np.inf] * len(model.hidden)
    for first in range(0, len(rows), 256):
        chosen = np.arange(first, min(first + 256, len(rows)))
        (features,) = (_trials.gather(column, chosen) for column in rows.inputs.values())
        for position, layer in enumerate(model.hidden):
            features = layer(features, training=False)
            values = np.asarray(features)
            low[position] = np.minimum(low[position], values.min(axis=0))
            high[position] = np.maximum(high[position], values.max(axis=0))
    return float(np.mean([high[position] - low[position] < 1e-6 for position in range(len(low))]))


def run(context: Any) -> list[dict[str, Any]]:
    return [
        context.once(trial, activation=activation, learning_rate=rate, seed=seed)
        for rate in RATES
        for activation in ACTIVATIONS
        for seed in SEEDS
    ]


def sentence(table: Any) -> str:
    parts = []
    for rate in RATES:
        ranked = sorted(ACTIVATIONS, key=lambda name: -table.mean("accuracy", activation=name, learning_rate=rate).mean)
        best, second, worst = ({"activation": name, "learning_rate": rate} for name in (*ranked[:2], ranked[-1]))
        lead = table.difference("accuracy", best, second, comparisons=len(ACTIVATIONS) - 1)
        gain = table.difference("accuracy", best, worst, comparisons=len(ACTIVATIONS) - 1)
        relu = table.mean("dead", activation="relu", learning_rate=rate)
        parts.append(
            f"at learning rate {rate:g}, {ranked[0]} is best ({table.mean('accuracy', **best).text()}), with {verdict(lead)} from "
            f"{ranked[1]}, the second best, and {verdict(gain)} from {ranked[-1]}, the worst; {relu.mean:.0%} of the ReLU units are dead"
        )
    return f"After 300 updates {'; '.join(parts)}."


def picture(table: Any, figure: Any) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, measure in ((left, "accuracy"), (right, "dead")):
        for rate, marker in zip(RATES, "os", strict=True):
            values = [table.mean(measure, activation=name, learning_rate=rate).mean for name in ACTIVATIONS]
            axes.plot(values, range(len(ACTIVATIONS)), marker, label=f"learning rate {rate:g}", alpha=0.7)
        axes.set_yticks(range(len(ACTIVATIONS)), ACTIVATIONS)
        axes.set_xlabel(MEASURES[measure])
    left.legend()
