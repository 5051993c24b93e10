"""Which tokens handle unseen words best: words, subwords or characters?

A convolution over 64-dimensional embeddings with max pooling on Banking77, trained for 400 updates of Adam with
batches of 64 rows. Tokens are words (at most 8,000), unigram subwords (2,000) or characters. Test rows are divided by
whether they contain a word that occurs in no training row.
"""

import re
from typing import Any

import numpy as np

from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77",)
FACTORS = ("tokens",)
MEASURES = {
    "accuracy": "test accuracy",
    "seen": "test accuracy of rows without unseen words",
    "unseen": "test accuracy of rows with unseen words",
    "share": "share of rows with unseen words",
}
CODECS: dict[str, Any] = {
    "words": {"kind": "words", "vocab_size": 8000},
    "subwords": {"kind": "unigram", "vocab_size": 2000},
    "characters": "characters",
}
SEEDS = (1, 2, 3)


def trial(context: Any, *, tokens: str, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "ids", "max_length": 256}, codec=CODECS[tokens])
    encoder = {"kind": "convolution", "embedding_size": 64, "filters": 128}
    settings = {
        "optimizer": {"kind": "adam", "learning_rate": 0.003}, "batch_rows": 64, "max_steps": 400,
        "validate_steps": 10_000, "keep": "last",
    }  # fmt: skip
    done = _trials.fit(data, {"kind": "pooled", "encoder": encoder, "dropout": 0.2}, settings, seed=seed)
    right, new = _trials.correct(done.model, data.test), has_unseen_word(data)
    return {
        "accuracy": float(right.mean()), "seen": float(right[~new].mean()), "unseen": float(right[new].mean()),
        "share": float(new.mean()),
    }  # fmt: skip


def has_unseen_word(data: Any) -> np.ndarray:
    """Whether a test row contains a word, a run of letters and digits, that no training row has [N]."""
    train, test = ([set(re.findall(r"\w+", text)) for text in _data.texts(data, split)] for split in ("train", "test"))
    known = set().union(*train)
    return np.array([not words <= known for words in test])


def run(context: Any) -> list[dict[str, Any]]:
    return [context.once(trial, tokens=tokens, seed=seed) for tokens in CODECS for seed in SEEDS]


def sentence(table: Any) -> str:
    shown = [
        f"{tokens} {table.mean('accuracy', tokens=tokens).text()} and {table.mean('unseen', tokens=tokens).text()}"
        for tokens in CODECS
    ]
    effects = [
        f"{tokens}, {verdict(table.difference('unseen', {'tokens': tokens}, {'tokens': 'words'}, comparisons=2))}"
        for tokens in CODECS
        if tokens != "words"
    ]
    share = table.mean("share", tokens="words").mean
    return (
        f"Test accuracy on all rows and on the {share:.0%} with unseen words: {'; '.join(shown)}. On rows with unseen words, compared "
        f"with words as tokens: {'; '.join(effects)}."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    for measure, shift in (("seen", -0.1), ("unseen", 0.1)):
        points = [table.mean(measure, tokens=tokens) for tokens in CODECS]
        half_widths = [point.mean - point.low for point in points]
        axes.errorbar(
            np.arange(len(CODECS)) + shift, [point.mean for point in points], half_widths, fmt="o", capsize=3,
            label=MEASURES[measure],
        )  # fmt: skip
    axes.set_xticks(range(len(CODECS)), list(CODECS))
    axes.set_ylabel("test accuracy")
    axes.legend()
