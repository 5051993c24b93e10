"""Metrics of rows with words that are rare in training or unseen."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.config import plugins

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable


def rare_word_metrics(
    config: Any,
    servable: "Servable",
    ingested: Path,
    sources: Sequence[str],
    references: Sequence[str],
    outputs: Mapping[str, Sequence[Any]],
    score: Callable[..., dict[str, Any]],
) -> tuple[dict[str, Any], list[str]]:
    """The entries "unseen_words" and "rare_words" of metrics.json, and notes that define them.

    config: of evaluate. score(outputs, references, resamples=0)["metrics"]: the task's metrics of some rows.
    """
    from textpipe.metrics import words

    answering = plugins.find("answers", plugins.find("tasks", config.task).ANSWER)
    source_counts = count_training_words(ingested, [name for name in servable.sources if servable.has_text(name)])
    target_counts = functools.cache(lambda: count_training_words(ingested, [servable.target]))
    tables: dict[str, Any] = {}
    for name, (least, most) in {"unseen_words": (0, 0), "rare_words": (1, config.rare)}.items():
        chosen = [at for at, text in enumerate(sources) if words.has_word_with_count(source_counts, least, most, text)]
        selected = {output: [values[at] for at in chosen] for output, values in outputs.items()}
        metrics = score(selected, [references[at] for at in chosen], resamples=0)["metrics"]
        tables[name] = {"rows": len(chosen), "metrics": metrics}
        metrics |= answering.answer_metrics(servable, selected["answer"])
        tables[name] |= answering.word_metrics(
            outputs["answer"], references, target_counts, least, most, resamples=config.resamples, seed=config.seed
        )
    notes = [
        "unseen_words: rows whose source has a word that no training source has, ignoring case.",
        f"rare_words: rows whose source has a word that occurs 1 to {config.rare} times in the training sources.",
    ]
    return tables, [*notes, *answering.WORD_NOTES]


def count_training_words(folder: Path, fields: Sequence[str]) -> Mapping[str, int]:
    """Count the words of the training texts of these fields: {word: count}."""
    from textpipe.data import shards
    from textpipe.metrics import words
    from textpipe.text import counting

    def texts() -> Iterator[Iterator[str]]:
        for batch in shards.read(folder, "train", tuple(fields)):
            for field in fields:
                for text in batch.column(field).to_pylist():
                    yield words.split_words(text or "")

    return counting.count(texts())
