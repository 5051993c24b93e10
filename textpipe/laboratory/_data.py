"""Vectorized rows for experiments, made by the pipeline's own stages and cached in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.data.columns import Column
from textpipe.training.batching.rows import Rows

STEPS = ["unicode", "casefold", "whitespace"]
# Test rows come from the dataset's own test split where it has one; valid, which experiments compare on, from train by a hash.
INGEST: dict[str, dict[str, Any]] = {
    "banking77": {"columns": {"text": "text", "label": "category"}, "split": {"valid": 0.15}, "on_leak": "drop"},
    "clinc150": {"split": {"test": 0.15}, "on_leak": "drop"},
    "email_intent": {"columns": {"text": "text", "label": "label"}, "split": {"valid": 0.2, "test": 0.2}},
    "mail": {"columns": {"text": "message", "label": "wants_reply"}},
}


@dataclass(frozen=True)
class Data:
    """A dataset's rows by split, their sizes, and the folders of the stages that made them."""

    sizes: Sizes
    splits: Mapping[str, Rows]
    folders: Mapping[str, Path]
    num_classes: int

    @property
    def train(self) -> Rows:
        return self.splits["train"]

    @property
    def valid(self) -> Rows:
        return self.splits["valid"]

    @property
    def test(self) -> Rows:
        return self.splits["test"]

    @property
    def field(self) -> str:
        """The name of the only source field."""
        return self.sizes.single_input[0]


def prepare(
    dataset: str,
    artifacts: Path,
    *,
    features: Mapping[str, Any],
    codec: Mapping[str, Any] | str = "none",
    on_event: Any = None,
) -> Data:
    """The rows of a dataset with one text and one label, ingested to vectorized; cached.

    Raises DataError if the files of the dataset are missing; the message says how to get them.
    """
    from textpipe.training.batching import rows

    tables = {
        "task": "classify",
        "ingest": {"dataset": dataset, **INGEST[dataset]},
        "normalize": {"steps": STEPS},
        "tokenize": {"codec": codec},
        "vectorize": {"features": dict(features)},
        "model": {"kind": "feed_forward"},
    }
    folders = run_stages(f"laboratory on {dataset}", tables, artifacts, until="vectorize", on_event=on_event)
    sizes = Sizes.read(folders["vectorize"] / "features.json", plugins.find("tasks", "classify").FIELDS)
    splits = {split: rows.read(folders["vectorize"], split, sizes) for split in ("train", "valid", "test")}
    return Data(sizes, splits, folders, len(sizes.target["classes"]))


def run_stages(
    name: str, tables: Mapping[str, Any], artifacts: Path, *, until: str, on_event: Any = None
) -> dict[str, Path]:
    """{stage: folder} of a pipeline, given by its tables, up to a stage; cached. name: what messages call it; the seed is 1 by default.

    Raises TextpipeError as the stages do.
    """
    from textpipe.pipeline import runner

    pipeline = runner.Pipeline.from_tables(name, {"seed": 1, **tables}, name=name)
    result = runner.run(pipeline, until=until, artifacts=artifacts, on_event=on_event or (lambda *_: None))
    return {stage: artifact.path for stage, artifact in result.artifacts.items()}


class Subset:
    """Some rows of a column, as a column."""

    def __init__(self, column: Column, chosen: np.ndarray):
        self.column, self.chosen = column, chosen
        self.kind, self.objective = column.kind, getattr(column, "objective", "")
        self.lengths = None if column.lengths is None else column.lengths[chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def gather(self, rows: np.ndarray, width: int = 0) -> Any:
        """As the column's own."""
        return self.column.gather(self.chosen[rows], width)


def subset(rows: Rows, chosen: np.ndarray) -> Rows:
    """Some rows, in the given order."""
    inputs: Any = {name: Subset(column, chosen) for name, column in rows.inputs.items()}
    target: Any = Subset(rows.target, chosen)
    return replace(rows, inputs=inputs, target=target)


def sample(rows: Rows, count: int, seed: int) -> Rows:
    """`count` rows drawn without replacement; smaller samples of a seed are part of larger ones."""
    return subset(rows, np.random.default_rng(seed).permutation(len(rows))[:count])


def labels(rows: Rows) -> np.ndarray:
    """The class of each row [N]."""
    return np.asarray(rows.target.gather(np.arange(len(rows)), 0))


def texts(data: Data, split: str, *, stage: str = "normalize") -> list[str]:
    """The texts of a split as a stage wrote them: "ingest", as in the file, or "normalize"."""
    from textpipe.data import shards

    batches = shards.read(data.folders[stage], split, [data.field])
    return [text for batch in batches for text in batch.column(data.field).to_pylist()]


def encode(data: Data, lines: Sequence[str], classes: np.ndarray) -> Rows:
    """Rows of further texts, normalized and segmented like those of `data`, whose feature must be ids."""
    import tensorflow as tf

    from textpipe.data.columns import Ids, Labels
    from textpipe.text import vectorizer
    from textpipe.text.normalizer import Normalizer

    feature = vectorizer.load_feature(data.folders["vectorize"], data.folders["tokenize"], data.field)
    normalized = Normalizer(data.folders["normalize"])(data.field, tf.constant(list(lines), tf.string))
    ids = feature.rows(normalized)[0].to_list()
    return Rows({data.field: Ids.from_lists(ids)}, Labels(classes, data.num_classes), data.train.target_name)
