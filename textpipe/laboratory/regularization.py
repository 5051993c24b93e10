"""What closes the gap between training and test accuracy on 500 examples?

A feed-forward classifier (128 ReLU units), trained on 500 rows of Banking77 with Adam for at most 50 epochs, and
validated on 1,000 rows. The strengths of L1, L2 and dropout are each the best of three by validation with seed 0.
Early stopping with a given patience monitors validation accuracy and keeps the best weights; the other methods keep
the last. The gap is the accuracy on the training rows minus that on the test split.
"""

from typing import Any

from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("method",)
MEASURES = {
    "strength": "strength",
    "train": "accuracy on the 500 rows",
    "test": "test accuracy",
    "gap": "gap",
    "epochs": "epochs",
}
STRENGTHS: dict[str, tuple[float, ...]] = {
    "none": (0.0,),
    "l1": (0.003, 0.01, 0.03),
    "l2": (0.1, 0.5, 2.0),
    "dropout": (0.3, 0.5, 0.8),
    "early stopping": (5, 10, 15),
}
SEEDS = (1, 2, 3)
EPOCHS = 50


def trial(context: Any, *, method: str, strength: float, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    train, valid = _data.sample(data.train, 500, seed), _data.sample(data.valid, 1000, 0)
    model = {"kind": "feed_forward", "units": [128], "dropout": 0.0}
    settings: dict[str, Any] = {
        "optimizer": {"kind": "adam", "learning_rate": 0.003}, "batch_rows": 64, "epochs": EPOCHS, "keep": "last",
        "validate_steps": 10_000,
    }  # fmt: skip
    if method in ("l1", "l2", "dropout"):
        model[method] = strength
    elif method == "early stopping":
        settings |= {
            "early_stopping": {"metric": "valid_accuracy", "patience": int(strength)},
            "keep": "best",
            "validate_steps": 8,
        }
    done = _trials.fit(data, model, settings, seed=seed, train=train, valid=valid)
    on_train, on_test = _trials.accuracy(done.model, train), _trials.accuracy(done.model, data.test)
    figures = {"train": on_train, "test": on_test, "gap": on_train - on_test, "epochs": done.summary["epochs"]}
    return {**figures, "valid": _trials.accuracy(done.model, valid)}


def run(context: Any) -> list[dict[str, Any]]:
    rows = []
    for method, strengths in STRENGTHS.items():
        if method == "early stopping":
            rows += [
                context.once(trial, method=method, strength=patience, seed=seed) | {"method": f"patience {patience:g}"}
                for patience in strengths
                for seed in SEEDS
            ]
            continue
        tuning = [context.once(trial, method=method, strength=strength, seed=0) for strength in strengths]
        best = max(tuning, key=lambda row: row["valid"])["strength"]
        rows += [context.once(trial, method=method, strength=best, seed=seed) for seed in SEEDS]
    return rows


def sentence(table: Any) -> str:
    plain = {"method": "none"}
    others = [name for name in table.levels("method") if name != "none"]
    effects = [
        f"{name}, {verdict(table.difference('test', {'method': name}, plain, comparisons=len(others)))}"
        for name in others
    ]
    return (
        f"Without regularization, the gap is {table.mean('gap', **plain).text()} at a test accuracy of "
        f"{table.mean('test', **plain).text()}. Test accuracy compared with that: {'; '.join(effects)}."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    names = table.levels("method")
    for measure, marker in (("train", "s"), ("test", "o")):
        points = [table.mean(measure, method=name) for name in names]
        half_widths = [point.mean - point.low for point in points]
        axes.errorbar(
            [point.mean for point in points], range(len(names)), xerr=half_widths, fmt=marker, capsize=3, label=measure
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("accuracy")
    axes.legend()
