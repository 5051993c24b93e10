"""How many updates does each optimizer need to reach a validation accuracy?

A feed-forward classifier (128 tanh units) on Banking77, trained with batches of 64 rows. Three or four learning rates
of each optimizer are tried with seed 0; the one that needs the fewest updates is used with the other seeds. Every
update rule is also compared with its formula in NumPy, in float64.
"""

from typing import Any

import numpy as np

from textpipe.laboratory import _trials
from textpipe.laboratory._statistics import Interval, verdict

DATA = ("banking77",)
FACTORS = ("optimizer", "learning_rate")
ACCURACY, MAX_STEPS, EVERY = 0.8, 400, 20
MEASURES = {
    "updates": f"updates to {ACCURACY:.0%} validation accuracy, at most {MAX_STEPS}, in steps of {EVERY}",
    "accuracy": f"validation accuracy after {MAX_STEPS} updates",
    "deviation": "largest relative difference from the formula in NumPy over 50 updates",
}
SEEDS = (1, 2, 3, 4)
RATES: dict[str, tuple[float, ...]] = {
    "sgd": (1.0, 3.0, 10.0),
    "momentum": (0.3, 1.0, 3.0),
    "adagrad": (0.3, 1.0, 3.0),
    "rmsprop": (0.003, 0.01, 0.03),
    "adam": (0.003, 0.01, 0.03, 0.1),
}


def table_of(optimizer: str, learning_rate: float) -> dict[str, Any]:
    """The [train] optimizer table."""
    if optimizer == "momentum":
        return {"kind": "sgd", "momentum": 0.9, "learning_rate": learning_rate}
    return {"kind": optimizer, "learning_rate": learning_rate}


def trial(context: Any, *, optimizer: str, learning_rate: float, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = {"kind": "feed_forward", "units": [128], "activation": "tanh", "dropout": 0.0}
    settings = {
        "optimizer": table_of(optimizer, learning_rate), "batch_rows": 64, "max_steps": MAX_STEPS,
        "validate_steps": EVERY, "metric": "valid_accuracy",
    }  # fmt: skip
    done = _trials.fit(data, model, settings, seed=seed)
    return {"updates": done.updates_to(ACCURACY), "accuracy": done.last}


def run(context: Any) -> list[dict[str, Any]]:
    rows = []
    for optimizer, rates in RATES.items():
        tuning = [context.once(trial, optimizer=optimizer, learning_rate=rate, seed=0) for rate in rates]
        best = min(tuning, key=lambda row: (row["updates"] or MAX_STEPS + 1, -row["accuracy"]))["learning_rate"]
        compared = context.once(deviation, optimizer=optimizer)["deviation"]
        for seed in SEEDS:
            rows.append(
                {**context.once(trial, optimizer=optimizer, learning_rate=best, seed=seed), "deviation": compared}
            )
    return rows


def sentence(table: Any) -> str:
    def updates(optimizer: str) -> Interval:
        return table.mean("updates", optimizer=optimizer)

    names = sorted(table.levels("optimizer"), key=lambda name: (updates(name).count == 0, updates(name).mean))
    shown = [f"{name} {table.reached('updates', optimizer=name)}" for name in names]
    fast, slow = {"optimizer": names[0]}, {"optimizer": "sgd"}
    gain = table.difference("updates", slow, fast) if names[0] != "sgd" else None
    versus = (
        f" SGD compared with {names[0]}: {verdict(gain, 0)} updates." if gain is not None and gain.count > 1 else ""
    )
    worst = max(row["deviation"] for row in table.rows)
    return (
        f"Updates to {ACCURACY:.0%} validation accuracy, at most {MAX_STEPS}, validated every {EVERY}, with each optimizer at the best of its learning rates: {', '.join(shown)}."
        f"{versus} All update rules agree with their formulas to within {worst:.0e}."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    for position, name in enumerate(table.levels("optimizer")):
        values = list(table.values("updates", optimizer=name).values())
        axes.plot(values, [position] * len(values), "o", alpha=0.6)
    labels = [f"{row['optimizer']} ({row['learning_rate']:g})" for row in table.summary()]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel(MEASURES["updates"])
    axes.set_xlim(left=0)


def deviation(context: Any, *, optimizer: str) -> dict[str, Any]:
    """The optimizer's updates against FORMULAS, on random gradients in float64."""
    import keras

    from textpipe.config import plugins
    from textpipe.config.sections import Plugin
    from textpipe.gradcheck.check import float64

    random = np.random.default_rng(7)
    gradients = random.normal(size=(50, 20)) * np.logspace(-3, 2, 20)
    rate = RATES[optimizer][0]
    config = Plugin.check("training.optimizers", table_of(optimizer, rate))
    with float64():
        variable = keras.Variable(np.ones(20), dtype="float64")
        built = plugins.find("training.optimizers", config.kind).build(config, [variable])
        for gradient in gradients:
            built.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    expected = FORMULAS[optimizer](np.ones(20), gradients, rate)
    return {"deviation": float((np.abs(variable.numpy() - expected) / np.abs(expected - 1)).max())}


# Keras rounds these hyperparameters to float32, whatever the dtype of the weights; so do the formulas.
MOMENTUM, START, BETA_2 = float(np.float32(0.9)), float(np.float32(0.1)), float(np.float32(0.999))


def sgd(w: Any, gradients: Any, rate: float) -> Any:
    return w - rate * gradients.sum(axis=0)


def momentum(w: Any, gradients: Any, rate: float) -> Any:
    velocity = 0.0
    for g in gradients:
        velocity = MOMENTUM * velocity - rate * g
        w = w + velocity
    return w


def adagrad(w: Any, gradients: Any, rate: float) -> Any:
    squares = START
    for g in gradients:
        squares = squares + g * g
        w = w - rate * g / np.sqrt(squares + 1e-7)
    return w


def rmsprop(w: Any, gradients: Any, rate: float) -> Any:
    squares = 0.0
    for g in gradients:
        squares = 0.9 * squares + 0.1 * g * g
        w = w - rate * g / np.sqrt(squares + 1e-7)
    return w


def adam(w: Any, gradients: Any, rate: float) -> Any:
    """Kingma and Ba (2015) with epsilon as in the faster form at the end of their section 2, which Keras uses."""
    first = second = 0.0
    for step, g in enumerate(gradients, 1):
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        w = w - rate * np.sqrt(1 - BETA_2**step) / (1 - MOMENTUM**step) * first / (np.sqrt(second) + 1e-7)
    return w


FORMULAS = {"sgd": sgd, "momentum": momentum, "adagrad": adagrad, "rmsprop": rmsprop, "adam": adam}
