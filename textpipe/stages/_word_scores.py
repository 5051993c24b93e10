"""How well rows are answered whose words training hardly saw."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textpipe.servable import Servable


def unknown_in(servable: "Servable", answers: Sequence[str]) -> int:
    """How many answers hold the mark of a word the vocabulary lacks."""
    import tensorflow as tf

    codec = servable.features[servable.target].codec
    mark = codec.decode(tf.constant([[codec.unk_id]]))[0].numpy().decode().strip()
    return sum(mark in answer for answer in answers) if mark else 0


def by_training(
    config: Any,
    servable: "Servable",
    ingested: Path,
    sources: Sequence[str],
    references: Sequence[str],
    outputs: Mapping[str, Sequence[Any]],
    score: Callable[..., dict[str, Any]],
) -> tuple[dict[str, Any], list[str]]:
    """What metrics.json says under "unseen_words" and "rare_words", and how these are defined.

    config: evaluate's. score(outputs, references, resamples=0)["metrics"] are a task's metrics of some rows.
    """
    from textpipe.scores import words

    fields = (servable.source, servable.target) if servable.generates else (servable.source,)
    seen = training_words(ingested, fields)
    found: dict[str, Any] = {}
    for name, (least, most) in {"unseen_words": (0, 0), "rare_words": (1, config.rare)}.items():
        chosen = [at for at, text in enumerate(sources) if words.seen_between(seen[servable.source], least, most, text)]
        part = {output: [values[at] for at in chosen] for output, values in outputs.items()}
        metrics = score(part, [references[at] for at in chosen], resamples=0)["metrics"]
        found[name] = {"rows": len(chosen), "metrics": metrics}
        if servable.generates:
            metrics["unknown_in_answers"] = unknown_in(servable, part["answer"])
            chances = {"resamples": config.resamples, "seed": config.seed}
            target = words.f1(outputs["answer"], references, seen[servable.target], least, most, **chances)
            found[name]["target_words"] = target
    notes = [
        "unseen_words: the rows whose source holds a word that no training source holds, case aside.",
        f"rare_words: the rows whose source holds a word that the training sources hold 1 to {config.rare} times.",
    ]
    if servable.generates:
        notes.append(
            "target_words: F1, precision and recall of the words that the training targets hold `least` to `most` "
            "times, over all rows; words are runs of letters, digits and marks, case folded, and match as often as the "
            "reference holds them."
        )
    return found, notes


def training_words(folder: Path, fields: Sequence[str]) -> dict[str, Mapping[str, int]]:
    """How often the training texts of each field hold each word: {field: {word: times}}."""
    from textpipe.scores import words
    from textpipe.tables import shards
    from textpipe.text import counting

    def texts(field: str) -> Iterator[Iterator[str]]:
        for batch in shards.read(folder, "train", (field,)):
            for text in batch.column(field).to_pylist():
                yield words.split(text or "")

    return {field: counting.count(texts(field)) for field in fields}
