"""Does the scale of the inputs matter?

A feed-forward classifier (128 tanh units) on Banking77, whose TF-IDF rows of unit length are multiplied by a factor.
For all factors, SGD and Adam use the learning rate that is the best of three for unscaled rows with seed 0.
"""

from dataclasses import replace
from typing import Any

from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("optimizer", "factor")
MEASURES = {"accuracy": "validation accuracy after 200 updates"}
FACTORS_OF_INPUT = (0.1, 1.0, 10.0)
RATES: dict[str, tuple[float, ...]] = {"sgd": (1.0, 3.0, 10.0), "adam": (0.001, 0.003, 0.01)}
SEEDS = (1, 2, 3)


class Scaled:
    """A sparse column with its values multiplied by a factor."""

    kind, lengths = "sparse", None

    def __init__(self, column: Any, factor: float):
        self.column, self.factor = column, factor

    def __len__(self) -> int:
        return len(self.column)

    def gather(self, rows: Any, width: int = 0) -> Any:
        return self.column.gather(rows, width) * self.factor


def scaled(rows: Any, factor: float) -> Any:
    return replace(rows, inputs={name: Scaled(column, factor) for name, column in rows.inputs.items()})


def trial(context: Any, *, optimizer: str, learning_rate: float, factor: float, seed: int) -> dict[str, Any]:
    data: _data.Data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = {"kind": "feed_forward", "units": [128], "activation": "tanh", "dropout": 0.0}
    settings = {
        "optimizer": {"kind": optimizer, "learning_rate": learning_rate}, "batch_rows": 64, "max_steps": 200,
        "validate_steps": 200, "keep": "last",
    }  # fmt: skip
    train, valid = scaled(data.train, factor), scaled(data.valid, factor)
    return {"accuracy": _trials.fit(data, model, settings, seed=seed, train=train, valid=valid).last}


def run(context: Any) -> list[dict[str, Any]]:
    rows = []
    for optimizer, rates in RATES.items():
        tuning = [context.once(trial, optimizer=optimizer, learning_rate=rate, factor=1.0, seed=0) for rate in rates]
        best = max(tuning, key=lambda row: row["accuracy"])["learning_rate"]
        rows += [
            context.once(trial, optimizer=optimizer, learning_rate=best, factor=factor, seed=seed)
            for factor in FACTORS_OF_INPUT
            for seed in SEEDS
        ]
    return rows


def sentence(table: Any) -> str:
    parts = []
    for optimizer in RATES:
        effects = [
            f"factor {factor:g}, "
            + verdict(
                table.difference(
                    "accuracy",
                    {"optimizer": optimizer, "factor": factor},
                    {"optimizer": optimizer, "factor": 1.0},
                    comparisons=len(FACTORS_OF_INPUT) - 1,
                )
            )
            for factor in FACTORS_OF_INPUT
            if factor != 1
        ]
        parts.append(
            f"{optimizer} (unscaled {table.mean('accuracy', optimizer=optimizer, factor=1.0).text()}): {'; '.join(effects)}"
        )
    return f"Change in validation accuracy when the inputs are multiplied by a factor. {'. '.join(parts)}."


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    for optimizer in RATES:
        points = [table.mean("accuracy", optimizer=optimizer, factor=factor) for factor in FACTORS_OF_INPUT]
        half_widths = [point.mean - point.low for point in points]
        axes.errorbar(
            FACTORS_OF_INPUT, [point.mean for point in points], half_widths, marker="o", capsize=3, label=optimizer
        )
    axes.set_xscale("log")
    axes.set_xlabel("factor of the inputs")
    axes.set_ylabel(MEASURES["accuracy"])
    axes.legend()
