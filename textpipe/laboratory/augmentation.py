"""Does augmentation of the training texts help with 500 examples?

A convolution over unigram subwords with mean pooling on 500 rows of Banking77 (at most 40 subwords each), trained for
300 updates of Adam with batches of 32 rows; accuracy is that of the last weights on the test split. Swapped words
(two random words change places), deleted words (both: Wei and Zou, 2019) and translation to French and back (Sennrich
et al., 2016; Edunov et al., 2018) add two variants of each row before training; word dropout (Iyyer et al., 2015) and
subword sampling (Kudo, 2018) change every row anew in each epoch. The share of words, the dropout rate and alpha are
each the better of two values by validation with seed 0. The translation models are GRUs of 128 units with attention,
trained for this experiment on Tatoeba's English-French pairs, with 800 updates for each direction; their BLEU is
measured on held-out sentences of Tatoeba, which are shorter and more everyday than questions to a bank.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("banking77", "tatoeba")
FACTORS = ("method",)
MEASURES = {
    "strength": "strength",
    "accuracy": "test accuracy",
    "kept": "share of a text's words that a variant keeps",
    "bleu_to_french": "BLEU of the model into French",
    "bleu_to_english": "BLEU of the model into English",
}
BACK = "back-translation"
STRENGTHS: dict[str, tuple[float, ...]] = {
    "none": (0.0,),
    "swapped words": (0.1, 0.3),
    "deleted words": (0.1, 0.3),
    "word dropout": (0.1, 0.3),
    "subword sampling": (0.5, 0.1),
    BACK: (1.0,),
}
ROWS, VARIANTS = 500, 2
SEEDS = (1, 2, 3)
CODEC = {"kind": "unigram", "vocab_size": 2000}
FEATURES = {"kind": "ids", "max_length": 40}
DECODE = {"kind": "beam", "beam_size": 4, "n_best": VARIANTS, "max_length": 80, "max_ratio": 2.0, "patience": 1.0}


def trial(context: Any, *, method: str, strength: float, seed: int) -> dict[str, Any]:
    data = banking(context)
    rows, texts = sample(data, seed)
    settings: dict[str, Any] = {
        "optimizer": {"kind": "adam", "learning_rate": 0.003}, "batch_rows": 32, "max_steps": 300, "num_shapes": 2,
        "validate_steps": 10_000, "keep": "last",
    }  # fmt: skip
    variants: list[list[str]] = []
    if method == "word dropout":
        settings["word_dropout"] = {"rate": strength}
    elif method == "subword sampling":
        rows = with_sampled_subwords(data, rows, strength, seed)
    elif method == BACK:
        translated = context.once(back_translation)["texts"]
        variants = [translated[text] for text in texts]
    elif method != "none":
        change, random = {"swapped words": swap, "deleted words": delete}[method], np.random.default_rng(seed)
        variants = [[change(text, strength, random) for _ in range(VARIANTS)] for text in texts]
    kept = None
    if variants:
        added = [variant for several in variants for variant in several]
        labels = np.concatenate([_data.labels(rows), np.repeat(_data.labels(rows), VARIANTS)])
        rows = _data.encode(data, [*texts, *added], labels)
        kept = float(
            np.mean([overlap(text, one) for text, several in zip(texts, variants, strict=True) for one in several])
        )
    encoder = {"kind": "convolution", "embedding_size": 64, "filters": 128}
    done = _trials.fit(
        data,
        {"kind": "pooled", "encoder": encoder, "pooling": "mean", "dropout": 0.2},
        settings,
        seed=seed,
        train=rows,
        valid=_data.sample(data.valid, 500, 0),
    )
    return {"accuracy": _trials.accuracy(done.model, data.test), "kept": kept, "valid": done.last}


def banking(context: Any) -> Any:
    return context.data("banking77", features=FEATURES, codec=CODEC)


def sample(data: Any, seed: int) -> tuple[Any, list[str]]:
    """500 training rows, and their texts as in the file."""
    texts = np.array(_data.texts(data, "train", stage="ingest"), object)
    chosen = np.random.default_rng(seed).permutation(len(texts))[:ROWS]
    labels = _data.labels(data.train)[chosen]
    return _data.encode(data, list(texts[chosen]), labels), list(texts[chosen])


def swap(text: str, share: float, random: np.random.Generator) -> str:
    """Exchanges two random words, share * number of words times and at least once: "a b c d" -> "a d c b"."""
    words = text.split()
    for _ in range(max(1, round(share * len(words))) if len(words) > 1 else 0):
        first, second = random.choice(len(words), 2, replace=False)
        words[first], words[second] = words[second], words[first]
    return " ".join(words)


def delete(text: str, share: float, random: np.random.Generator) -> str:
    """Deletes each word with probability `share`, but not all: "a b c d" -> "a b d"."""
    words = np.array(text.split(), object)
    kept = random.random(len(words)) >= share
    if len(words) and not kept.any():
        kept[random.integers(len(words))] = True
    return " ".join(words[kept])


def overlap(text: str, variant: str) -> float:
    """The share of the distinct words of a text, without case, that a variant has too."""
    words = set(text.casefold().split())
    return len(words & set(variant.casefold().split())) / max(len(words), 1)


def with_sampled_subwords(data: Any, rows: Any, alpha: float, seed: int) -> Any:
    """The rows with [train] subword_sampling = { alpha }."""
    from textpipe.training.regularization import subword_sampling

    options = subword_sampling.SubwordSampling(alpha=alpha)
    return subword_sampling.with_samplers(rows, data.folders["tokenize"], data.sizes, options, seed=seed)


def translator(context: Any, source: str, target: str) -> dict[str, Any]:
    """The folders of a translation model's stages."""
    tables = {
        "task": "translate",
        "ingest": {"dataset": "tatoeba", "columns": {"source": source, "target": target}, "split": {"valid": 0.003, "test": 0.007}},
        "normalize": {"steps": ["unicode", "whitespace"]},
        "tokenize": {"codec": {"kind": "unigram", "vocab_size": 4000}},
        "vectorize": {"features": {"kind": "ids", "max_length": 60}},
        "model": {
            "kind": "recurrent", "units": 128, "embedding_size": 128, "attention_size": 64, "share_embeddings": True,
            "dropout": 0.1, "embedding_dropout": 0.0,
        },
        "train": {
            "max_steps": 800, "batch_tokens": 2048, "optimizer": {"kind": "adam", "learning_rate": 0.003}, "clip_norm": 1.0,
            "schedule": {"kind": "cosine", "warmup_steps": 50, "lowest": 0.05}, "validate_steps": 800,
        },
        "decode": DECODE,
        "evaluate": {"join_sources": True, "resamples": 0},
    }  # fmt: skip
    return dict(context.stages(f"translation from {source} to {target}", tables, until="evaluate"))


def back_translation(context: Any) -> dict[str, Any]:
    """Two variants of every text that a seed draws: the two best translations to French, each translated back; and both models' BLEU."""
    import json

    texts = list(dict.fromkeys(text for seed in SEEDS for text in sample(banking(context), seed)[1]))
    there, back = translator(context, "en", "fr"), translator(context, "fr", "en")
    bleu = [json.loads((model["evaluate"] / "metrics.json").read_text())["metrics"]["bleu"] for model in (there, back)]
    french = translate(there, texts)
    english = iter(translate(back, [text for several in french for text in several]))
    return {
        "texts": {text: [next(english)[0] for _ in several] for text, several in zip(texts, french, strict=True)},
        "bleu_to_french": bleu[0], "bleu_to_english": bleu[1],
    }  # fmt: skip


def translate(folders: dict[str, Any], texts: Sequence[str]) -> list[list[str]]:
    """The best translations of each text."""
    import tensorflow as tf

    from textpipe.config.sections import Plugin
    from textpipe.servable.graph import Servable

    servable = Servable.load(folders, "translate", Plugin.check("decoding", DECODE))
    name = next(one.name for one in servable.definitions if one.call == servable.output.nbest)
    nbest, order = servable.signature(name), np.argsort([len(text) for text in texts])
    answers: dict[int, list[str]] = {}
    for first in range(0, len(texts), 128):
        chosen = order[first : first + 128]
        found = nbest(source=tf.constant([texts[row] for row in chosen]))["texts"].numpy()
        answers |= {
            row: [one.decode("utf-8", "replace") for one in line] for row, line in zip(chosen, found, strict=True)
        }
    return [answers[row] for row in range(len(texts))]


def run(context: Any) -> list[dict[str, Any]]:
    models = context.once(back_translation)
    rows = []
    for method, strengths in STRENGTHS.items():
        best = strengths[0]
        if len(strengths) > 1:
            tuning = [context.once(trial, method=method, strength=strength, seed=0) for strength in strengths]
            best = max(zip(tuning, strengths, strict=True), key=lambda pair: pair[0]["valid"])[1]
        bleu = {name: models[name] if method == BACK else None for name in ("bleu_to_french", "bleu_to_english")}
        rows += [context.once(trial, method=method, strength=best, seed=seed) | bleu for seed in SEEDS]
    return rows


def sentence(table: Any) -> str:
    plain, others = {"method": "none"}, [name for name in STRENGTHS if name != "none"]
    effects = [
        f"{name}, {verdict(table.difference('accuracy', {'method': name}, plain, comparisons=len(others)))}"
        for name in others
    ]
    bleu = [table.mean(name, method=BACK).mean for name in ("bleu_to_french", "bleu_to_english")]
    return (
        f"Without augmentation, the test accuracy is {table.mean('accuracy', **plain).text()}. Compared with that: {'; '.join(effects)}. "
        f"The translation models reach a BLEU of {bleu[0]:.1f} into French and {bleu[1]:.1f} into English; a back-translation keeps "
        f"{table.mean('kept', method=BACK).mean:.0%} of the words of a text."
    )


def picture(table: Any, figure: Any) -> None:
    axes = figure.subplots()
    names = list(STRENGTHS)
    points = [table.mean("accuracy", method=name) for name in names]
    half_widths = [point.mean - point.low for point in points]
    axes.errorbar([point.mean for point in points], range(len(names)), xerr=half_widths, fmt="o", capsize=3)
    axes.axvline(points[0].mean, linestyle=":", color="gray")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy")
