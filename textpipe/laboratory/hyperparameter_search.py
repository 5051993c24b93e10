"""Does random search beat a grid at an equal budget?

A feed-forward classifier on 1,000 rows of Banking77, trained for 100 updates of Adam. The search covers learning
rate, dropout, L2 and width (Bergstra and Bengio, 2012). The grid has 16 points, from two values of each. Random
search with a given budget is simulated: that many of 40 random points are drawn without replacement, 1,000 times, and
the result of a draw is the test accuracy of its point with the best validation accuracy. Smaller budgets of the grid
are drawn from its points in the same way.
"""

from typing import Any

import numpy as np

from textpipe.laboratory import _data, _trials

DATA = ("banking77",)
FACTORS = ("search",)
MEASURES = {"valid": "validation accuracy of a point", "test": "test accuracy of a point"}
GRID = {"learning_rate": (0.001, 0.01), "dropout": (0.2, 0.6), "l2": (0.01, 1.0), "units": (32, 128)}
BUDGETS = (1, 2, 4, 8, 16)
POINTS, RESAMPLES = 40, 1000


def trial(
    context: Any, *, search: str, learning_rate: float, dropout: float, l2: float, units: int, seed: int
) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = {"kind": "feed_forward", "units": [units], "dropout": dropout, "l2": l2}
    settings = {
        "optimizer": {"kind": "adam", "learning_rate": learning_rate}, "batch_rows": 64, "max_steps": 100,
        "validate_steps": 10_000, "keep": "last",
    }  # fmt: skip
    train = _data.sample(data.train, 1000, 0)
    done = _trials.fit(data, model, settings, seed=seed, train=train, valid=_data.sample(data.valid, 1000, 0))
    return {"valid": done.last, "test": _trials.accuracy(done.model, data.test)}


def run(context: Any) -> list[dict[str, Any]]:
    rows = []
    for number in range(16):
        point = {name: values[number >> bit & 1] for bit, (name, values) in enumerate(GRID.items())}
        rows.append(context.once(trial, search="grid", seed=number, **point))
    random = np.random.default_rng(1)
    for number in range(POINTS):
        # The ranges go beyond the grid by as much as half the distance of its values, in logarithms where values are factors.
        point = {
            "learning_rate": float(np.round(10 ** random.uniform(-3.5, -1.5), 6)),
            "dropout": float(np.round(random.uniform(0.0, 0.8), 3)),
            "l2": float(np.round(10 ** random.uniform(-3, 1), 5)),
            "units": int(2 ** random.uniform(4, 8)),
        }
        rows.append(context.once(trial, search="random", seed=100 + number, **point))
    return rows


def resampled(table: Any, search: str, budget: int) -> np.ndarray:
    """The test accuracy of the best point by validation of each draw [RESAMPLES]."""
    random, rows = np.random.default_rng(budget), table.select(search=search)
    valid, test = (np.array([row[name] for row in rows]) for name in ("valid", "test"))
    draws = np.stack([random.permutation(len(rows))[:budget] for _ in range(RESAMPLES)])
    return test[draws[np.arange(RESAMPLES), valid[draws].argmax(axis=1)]]


def sentence(table: Any) -> str:
    grid = float(resampled(table, "grid", 16)[0])
    parts = []
    for budget in (4, 8, 16):
        accuracies = resampled(table, "random", budget)
        low, high = np.quantile(accuracies, [0.025, 0.975])
        parts.append(
            f"{budget} random points, median {np.median(accuracies):.3f} (95 % of draws: {low:.3f} to {high:.3f})"
        )
    low, high = np.quantile(resampled(table, "random", 16), [0.025, 0.975])
    null = low <= grid <= high
    wins = float((resampled(table, "random", 16) > grid).mean())
    conclusion = (
        "within the middle 95 % of these draws: no significant difference"
        if null
        else "outside the middle 95 % of these draws"
    )
    return (
        f"Test accuracy of the point with the best validation accuracy: all 16 points of the grid, {grid:.3f}; {'; '.join(parts)}. Of "
        f"1,000 draws of 16 random points, {wins:.0%} beat the grid, whose accuracy lies {conclusion}."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    for search, shift in (("grid", -0.15), ("random", 0.15)):
        draws = [resampled(table, search, budget) for budget in BUDGETS]
        middle = np.median(draws, axis=1)
        spread = np.abs(np.quantile(draws, [0.25, 0.75], axis=1) - middle)
        axes.errorbar(np.arange(len(BUDGETS)) + shift, middle, spread, fmt="o", capsize=3, label=search)
    axes.set_xticks(range(len(BUDGETS)), BUDGETS)
    axes.set_xlabel("points tried")
    axes.set_ylabel("test accuracy (median and quartiles)")
    axes.legend()
