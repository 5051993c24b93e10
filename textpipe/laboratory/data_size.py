"""How does accuracy grow with the number of training rows?

A feed-forward classifier (128 ReLU units, dropout 0.5) on nested samples of Banking77, trained with Adam for 40
epochs, but at most 500 updates; the last weights are measured. The curve error = a * rows^-b + c (Hestness et al.,
2017) is fitted to the mean test errors of all sizes but the largest, and then predicts the error at the largest.
"""

from typing import Any

import numpy as np

from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("rows",)
MEASURES = {"accuracy": "test accuracy", "epochs": "epochs"}
SIZES = (125, 250, 500, 1000, 2000, 4000, 8000)
SEEDS = (1, 2, 3)


def trial(context: Any, *, rows: int, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = {"kind": "feed_forward", "units": [128], "dropout": 0.5}
    settings = {
        "optimizer": {"kind": "adam", "learning_rate": 0.005}, "batch_rows": 64, "epochs": 40, "max_steps": 500,
        "validate_steps": 10_000, "keep": "last",
    }  # fmt: skip
    done = _trials.fit(data, model, settings, seed=seed, train=_data.sample(data.train, rows, seed))
    return {"accuracy": _trials.accuracy(done.model, data.test), "epochs": done.summary["epochs"]}


def run(context: Any) -> list[dict[str, Any]]:
    return [context.once(trial, rows=size, seed=seed) for size in SIZES for seed in SEEDS]


def curve(rows: Any, a: float, b: float, c: float) -> Any:
    return a * np.power(rows, -b) + c


def fitted(table: Any) -> np.ndarray:
    """a, b, c by least squares on all sizes but the largest."""
    from scipy.optimize import curve_fit

    errors = [1 - table.mean("accuracy", rows=size).mean for size in SIZES[:-1]]
    parameters, _ = curve_fit(
        curve, np.array(SIZES[:-1], float), errors, p0=(3.0, 0.3, 0.05), bounds=([0, 0, 0], [100, 2, 1]), maxfev=20_000
    )
    return parameters


def sentence(table: Any) -> str:
    a, b, c = fitted(table)
    largest = table.mean("accuracy", rows=SIZES[-1])
    predicted = 1 - curve(SIZES[-1], a, b, c)
    doubling = table.difference("accuracy", {"rows": SIZES[-1]}, {"rows": SIZES[-2]})
    shown = ", ".join(f"{table.mean('accuracy', rows=size).text()} with {size:,}" for size in SIZES)
    return (
        f"Test accuracy by training rows: {shown}. The test error follows {a:.2f} * rows^-{b:.2f} + {c:.3f}, which predicts "
        f"{predicted:.3f} for {SIZES[-1]:,} rows; measured {largest.text()}. The last doubling of the rows: {verdict(doubling)}."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    points = [table.mean("accuracy", rows=size) for size in SIZES]
    half_widths = [point.mean - point.low for point in points]
    axes.errorbar(SIZES, [1 - point.mean for point in points], half_widths, fmt="o", capsize=3, label="measured")
    line = np.geomspace(SIZES[0], SIZES[-1], 100)
    axes.plot(line, curve(line, *fitted(table)), label="fitted without the largest size")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("training rows")
    axes.set_ylabel("test error")
    axes.legend()
