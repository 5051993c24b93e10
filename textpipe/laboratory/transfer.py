"""How much does pre-training on texts without labels help, with 50, 200 and 1,000 labels?

A convolution over subwords (two layers of 64 filters of widths 3 and 5, mean pooling) learns the 77 intents of
Banking77 from few labels: 400 updates of Adam with batches of 32 rows, at most 40 subwords each, at a learning rate
of 0.003. It starts from random weights, or from the encoder of a masked language model (Devlin et al., 2019) trained
for 20 epochs on all texts of the training split, without their labels. There is only one such model, so the intervals
cover the choice of labels and the fine-tuning. From the pre-trained weights, all layers are trained at once, or with
learning rates that fall by a factor of 0.8 from layer to layer (layer_rates), or are unfrozen one by one from the
last down, every 50 updates (unfreeze; Howard and Ruder, 2018; every 64 updates with 1,000 labels). Accuracy is that
on the test split; all variants use the same subwords, learned from all training texts.
"""

from typing import Any

import numpy as np

from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("labels", "start")
MEASURES = {
    "accuracy": "test accuracy",
    "masked_accuracy": "validation accuracy of the masked language model on masked subwords",
}
LABELS = (50, 200, 1000)
SCRATCH = "random weights"
STARTS: dict[str, dict[str, Any]] = {
    SCRATCH: {},
    "pre-trained": {},
    "pre-trained, layer_rates": {"layer_rates": {"decay": 0.8}},
    "pre-trained, unfreeze": {"unfreeze": {"every": 1}},
}
PRETRAINED = 0  # seed of the masked language model
SEEDS = (1, 2, 3)
UPDATES, BATCH, UPDATES_PER_EPOCH = 400, 32, 50
ENCODER = {"kind": "convolution", "embedding_size": 64, "filters": 64, "layers": 2, "kernel_sizes": [3, 5]}
CODEC = {"kind": "unigram", "vocab_size": 2000}
FEATURES = {"kind": "ids", "max_length": 128}


def pretrained(context: Any, seed: int) -> Any:
    """The folder of the masked language model of a seed."""
    tables = {
        "task": "pretrain",
        "seed": seed,
        "ingest": {"dataset": "banking77", "columns": {"text": "text"}, "split": {"valid": 0.15}, "on_leak": "drop"},
        "normalize": {"steps": ["unicode", "casefold", "whitespace"]},
        "tokenize": {"codec": CODEC, "vocabulary": "joint"},
        "vectorize": {"features": FEATURES},
        "model": {"kind": "masked_language_model", "encoder": ENCODER},
        "train": {"epochs": 20, "optimizer": {"kind": "adam", "learning_rate": 0.003}, "schedule": "cosine"},
    }
    return context.stages("pre-training", tables, until="train")["train"]


def pretraining(context: Any, *, seed: int) -> dict[str, Any]:
    import json

    best = json.loads((pretrained(context, seed) / "train.json").read_text(encoding="utf-8"))["best"]
    return {"masked_accuracy": best["valid_accuracy"]}


def trial(context: Any, *, labels: int, start: str, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "ids", "max_length": 40}, codec=CODEC)
    chosen = np.random.default_rng(seed).permutation(len(data.train))[:labels]
    # Several copies of the rows are one epoch, because the end of an epoch costs as much as many updates.
    train = _data.subset(data.train, np.tile(chosen, max(1, UPDATES_PER_EPOCH * BATCH // labels)))
    model: Any = {"kind": "pooled", "encoder": ENCODER, "pooling": "mean", "dropout": 0.2}
    settings: dict[str, Any] = {
        "optimizer": {"kind": "adam", "learning_rate": 0.003}, "batch_rows": BATCH, "max_steps": UPDATES,
        "num_shapes": 2, "validate_steps": 10_000, "keep": "last", **STARTS[start],
    }  # fmt: skip
    if "unfreeze" in settings:
        settings["unfreeze"] = {"every": round(UPDATES_PER_EPOCH / -(-len(train) // BATCH))}
    if start != SCRATCH:
        settings["init"] = {"from": str(pretrained(context, PRETRAINED))}
        model = warm_started(data, model, settings["init"], seed=seed)
    done = _trials.fit(data, model, settings, seed=seed, train=train, valid=_data.sample(data.valid, 100, 0))
    return {"accuracy": _trials.accuracy(done.model, data.test)}


def warm_started(data: Any, table: dict[str, Any], init: dict[str, Any], *, seed: int) -> Any:
    """A new model with the encoder of another run, as [train] init makes it."""
    from textpipe.config.sections import Plugin
    from textpipe.training.warm_start import source_weights, vocabulary_axes

    vocabulary = vocabulary_axes.describe_vocabulary(data.folders["tokenize"], data.folders["vectorize"], data.sizes)
    config = Plugin.check("models", table)
    source = source_weights.SourceWeights(source_weights.Init(**init), config, data.sizes, vocabulary)
    model = _trials.build(data, table, seed=seed)
    source.apply(model)
    return model


def run(context: Any) -> list[dict[str, Any]]:
    masked = context.once(pretraining, seed=PRETRAINED)["masked_accuracy"]
    rows = []
    for labels in LABELS:
        for start in STARTS:
            for seed in SEEDS:
                row = context.once(trial, labels=labels, start=start, seed=seed)
                rows.append(row | {"masked_accuracy": None if start == SCRATCH else masked})
    return rows


def sentence(table: Any) -> str:
    parts, others = [], [start for start in STARTS if start != SCRATCH]
    for labels in LABELS:
        plain, simple = {"labels": labels, "start": SCRATCH}, {"labels": labels, "start": "pre-trained"}
        gain = verdict(table.difference("accuracy", simple, plain))
        against = [
            f"{start.split(', ')[1]}, {verdict(table.difference('accuracy', {'labels': labels, 'start': start}, simple, comparisons=2))}"
            for start in others[1:]
        ]
        parts.append(
            f"With {labels:,} labels, random weights reach {table.mean('accuracy', **plain).text()} and pre-trained ones "
            f"{table.mean('accuracy', **simple).text()}: {gain}. Compared with plain fine-tuning: {'; '.join(against)}."
        )
    return " ".join(parts)


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    for start, marker in zip(STARTS, "os^v", strict=True):
        points = [table.mean("accuracy", labels=labels, start=start) for labels in LABELS]
        half_widths = [point.mean - point.low for point in points]
        axes.errorbar(LABELS, [point.mean for point in points], half_widths, fmt=marker + "-", capsize=3, label=start)
    axes.set_xscale("log")
    axes.set_xticks(LABELS, [f"{labels:,}" for labels in LABELS])
    axes.minorticks_off()
    axes.set_xlabel("labels")
    axes.set_ylabel("test accuracy")
    axes.legend()
