"""How do learning rate, batch size and epochs interact at a fixed number of updates?

A feed-forward classifier (128 ReLU units) on Banking77, trained with Adam. At a fixed number of updates, a larger
batch means more epochs; accuracy is measured after 75 and after 300 updates.
"""

from typing import Any

from textpipe.laboratory import _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("batch_rows", "learning_rate")
MEASURES = {
    "accuracy_75": "validation accuracy after 75 updates",
    "accuracy_300": "validation accuracy after 300 updates",
    "epochs": "epochs in 300 updates",
}
RATES = (0.0003, 0.003, 0.01, 0.03)
SIZES = (16, 64, 256)
SEEDS = (1, 2, 3)


def trial(context: Any, *, batch_rows: int, learning_rate: float, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = {"kind": "feed_forward", "units": [128], "dropout": 0.0}
    optimizer = {"kind": "adam", "learning_rate": learning_rate}
    settings = {"optimizer": optimizer, "batch_rows": batch_rows, "max_steps": 300, "validate_steps": 75}
    done = _trials.fit(data, model, settings, seed=seed)
    by_step = {line["step"]: line["valid_accuracy"] for line in done.history}
    epochs = 300 * batch_rows / len(data.train)
    return {"accuracy_75": by_step[75], "accuracy_300": by_step[300], "epochs": round(epochs, 2)}


def run(context: Any) -> list[dict[str, Any]]:
    return [
        context.once(trial, batch_rows=size, learning_rate=rate, seed=seed)
        for size in SIZES
        for rate in RATES
        for seed in SEEDS
    ]


def sentence(table: Any) -> str:
    def best(size: int) -> float:
        return max(RATES, key=lambda rate: table.mean("accuracy_300", batch_rows=size, learning_rate=rate).mean)

    parts = [
        f"{size} rows, {best(size):g} ({table.mean('accuracy_300', batch_rows=size, learning_rate=best(size)).text()})"
        for size in SIZES
    ]
    small, large = ({"batch_rows": size, "learning_rate": best(size)} for size in (SIZES[0], SIZES[-1]))
    gain = table.difference("accuracy_300", large, small)
    wrong = table.difference(
        "accuracy_300", {"batch_rows": 64, "learning_rate": best(64)}, {"batch_rows": 64, "learning_rate": RATES[0]}
    )
    return (
        f"Best learning rate after 300 updates, with its validation accuracy, for batches of {'; '.join(parts)}. Batches of {SIZES[-1]} rows compared "
        f"with {SIZES[0]}, each at its best rate: {verdict(gain)}. With 64 rows, the best rate compared with {RATES[0]:g}: {verdict(wrong)}."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    for size in SIZES:
        points = [table.mean("accuracy_300", batch_rows=size, learning_rate=rate) for rate in RATES]
        low = [point.mean - point.low for point in points]
        axes.errorbar(RATES, [point.mean for point in points], low, marker="o", capsize=3, label=f"{size} rows")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate of Adam")
    axes.set_ylabel(MEASURES["accuracy_300"])
    axes.legend()
