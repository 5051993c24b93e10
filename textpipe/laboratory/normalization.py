"""Does training need fewer updates with batch or layer normalization?

A multi-layer perceptron with four layers of 128 ReLU units on Banking77 (the laboratory's own network), with batch
normalization (Ioffe and Szegedy, 2015), layer normalization (Ba et al., 2016) or none before each activation; the
moving averages of batch normalization have a momentum of 0.9. Each is trained with Adam at the best of three learning
rates with seed 0.
"""

from typing import Any

from textpipe.laboratory import _nets, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("normalization", "learning_rate")
ACCURACY, MAX_STEPS, EVERY = 0.8, 300, 20
MEASURES = {
    "updates": f"updates to {ACCURACY:.0%} validation accuracy, at most {MAX_STEPS}, in steps of {EVERY}",
    "accuracy": f"validation accuracy after {MAX_STEPS} updates",
}
KINDS = ("none", "batch", "layer")
RATES = (0.001, 0.003, 0.01)
SEEDS = (1, 2, 3)


def trial(context: Any, *, normalization: str, learning_rate: float, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = _nets.deep(data, units=128, layers=4, activation="relu", seed=seed, normalization=normalization)
    settings = {
        "optimizer": {"kind": "adam", "learning_rate": learning_rate}, "batch_rows": 64, "max_steps": MAX_STEPS,
        "validate_steps": EVERY, "metric": "valid_accuracy",
    }  # fmt: skip
    done = _trials.fit(data, model, settings, seed=seed)
    return {"updates": done.updates_to(ACCURACY), "accuracy": done.last}


def run(context: Any) -> list[dict[str, Any]]:
    rows = []
    for kind in KINDS:
        tuning = [context.once(trial, normalization=kind, learning_rate=rate, seed=0) for rate in RATES]
        best = min(tuning, key=lambda row: (row["updates"] or MAX_STEPS + 1, -row["accuracy"]))["learning_rate"]
        rows += [context.once(trial, normalization=kind, learning_rate=best, seed=seed) for seed in SEEDS]
    return rows


def sentence(table: Any) -> str:
    shown = [f"{kind} {table.reached('updates', normalization=kind)}" for kind in KINDS]
    effects = []
    for kind in KINDS[1:]:
        saved = table.difference("updates", {"normalization": kind}, {"normalization": "none"}, comparisons=2)
        if saved.count > 1:
            effects.append(f"{kind} normalization compared with none: {verdict(saved, 0)}")
    return (
        f"Updates to {ACCURACY:.0%} validation accuracy, at most {MAX_STEPS}: {', '.join(shown)}; {'; '.join(effects)}."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    for position, kind in enumerate(KINDS):
        values = list(table.values("updates", normalization=kind).values())
        axes.plot(values, [position] * len(values), "o", alpha=0.6)
    axes.set_yticks(range(len(KINDS)), KINDS)
    axes.set_xlabel(MEASURES["updates"])
    axes.set_xlim(left=0)
