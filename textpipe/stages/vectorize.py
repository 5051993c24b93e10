"""Text to token ids or sparse n-gram rows, by the very op the exported model runs; labels to class numbers."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from textpipe import fields, rooms
from textpipe.config import Plugin, Section
from textpipe.errors import DataError, listed
from textpipe.stages import _text
from textpipe.tables import shards
from textpipe.text.features import ids

INPUTS = ("normalize", "tokenize")
PLUGINS_OF = ("tokenize",)

logger = logging.getLogger(__name__)


class Config(Section):
    """features: what the model reads of the source text; target: the ids of a target text, where the task answers
    with text (as `features` when those are ids, else with their defaults).
    """

    task: Annotated[str, AfterValidator(_text.checked_task)]
    features: Plugin.of("text.features") = Field("ids", validate_default=True)
    target: ids.Config | None = None

    @model_validator(mode="after")
    def target_is_text(self):
        if self.target and not any(
            item.side == "target" and item.kind == "text" for item in _text.fields_of(self.task)
        ):
            raise ValueError(f"target: task {self.task!r} answers with a label, which has no ids; leave target out")
        return self


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write {split}/*.arrow, features.json {field: size table}, vectorize.json {text field: section}, the features'
    assets and stats.json.

    stats.json: {split: {"rows", field: {"tokens", "truncated", "longest"} | {"nonzeros", "empty"} | {class: rows}}}.

    Raises DataError when a label of valid or test is not in train, and when train has fewer than two labels.
    """
    from textpipe.text import vectorizer

    task_fields = _text.fields_of(config.task)
    folder = inputs["normalize"]
    # Labels first: their mistakes are found in a moment, and vocabularies of n-grams take longer.
    label_names = [field.name for field in task_fields if field.kind == "label"]
    labels = {name: vectorizer.Labels(learn_classes(folder, name)) for name in label_names}
    for name in label_names:
        check_labels(folder, name, labels[name].classes)
    sections = {}
    for field in task_fields:
        if field.kind == "text":
            section = sections[field.name] = section_of(config, field)
            codec = vectorizer.load_codec(inputs["tokenize"], field.name) if section.needs_codec else None
            rooms.find("text.features", section.kind).learn(
                section, training_texts(folder, field.name), output, field.name, codec=codec
            )
    tables = {name: section.model_dump(mode="json") for name, section in sections.items()}
    write_json(output / vectorizer.FEATURES, tables)
    features = {
        field.name: labels.get(field.name) or vectorizer.load_feature(output, inputs["tokenize"], field.name)
        for field in task_fields
    }
    sizes = {name: feature.size for name, feature in features.items()}
    write_json(output / vectorizer.SIZES, sizes)
    columns = {name: COLUMNS[sizes[name]["kind"]](name, feature) for name, feature in features.items()}
    splits = [split for split in shards.SPLITS if shards.paths(folder, split)]
    write_json(output / "stats.json", {split: vectorized(folder, output, split, columns) for split in splits})


def section_of(config: Config, field: fields.Field) -> Section:
    """The feature of a text field: the source's own, or the ids of a target."""
    if field.side == "source":
        return config.features
    return config.target or (config.features if isinstance(config.features, ids.Config) else ids.Config())


def vectorized(folder: Path, output: Path, split: str, columns: dict[str, Any]) -> dict[str, Any]:
    """Write one split and give its statistics."""
    import pyarrow as pa

    parts = [part for column in columns.values() for part in column.schema()]
    schema = pa.schema([pa.field("row", pa.int64()), *parts])
    texts = [name for name, column in columns.items() if not isinstance(column, LabelColumn)]
    stats: dict[str, Any] = {"rows": 0, **{name: Counter() for name in columns}}
    with shards.Writer(output, split, schema, kind="arrow") as writer:
        for batch in _text.batches(folder, split, texts, ("row", *columns)):
            arrays = [batch.column("row").cast(pa.int64())]
            for name, column in columns.items():
                arrays += column.arrays(batch, split, stats[name])
            writer.write(pa.RecordBatch.from_arrays(arrays, schema=schema))
            stats["rows"] += batch.num_rows
    return {name: dict(sorted(value.items())) if isinstance(value, Counter) else value for name, value in stats.items()}


class IdsColumn:
    """A text field as lists of token ids."""

    def __init__(self, name: str, feature: Any):
        self.name = name
        self.rows = _text.graph(feature.rows)

    def schema(self) -> list[Any]:
        import pyarrow as pa

        return [pa.field(self.name, pa.list_(pa.int32()))]

    def arrays(self, batch: Any, split: str, stats: Counter) -> list[Any]:
        import pyarrow as pa

        kept, cut = self.rows(_text.tensor(batch.column(self.name)))
        offsets = kept.row_splits.numpy()
        stats["tokens"] += int(offsets[-1])
        stats["truncated"] += int(cut)
        stats["longest"] = max(stats["longest"], int((offsets[1:] - offsets[:-1]).max()))
        return [pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(kept.flat_values.numpy(), pa.int32()))]


class SparseColumn:
    """A text field as lists of columns and lists of their values."""

    def __init__(self, name: str, feature: Any):
        self.name = name
        self.rows = _text.graph(feature)

    def schema(self) -> list[Any]:
        import pyarrow as pa

        return [
            pa.field(f"{self.name}.indices", pa.list_(pa.int32())),
            pa.field(f"{self.name}.values", pa.list_(pa.float32())),
        ]

    def arrays(self, batch: Any, split: str, stats: Counter) -> list[Any]:
        import numpy as np
        import pyarrow as pa

        rows = self.rows(_text.tensor(batch.column(self.name)))
        number, column = rows.indices.numpy().T
        lengths = np.bincount(number, minlength=batch.num_rows)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        stats["nonzeros"] += len(column)
        stats["empty"] += int((lengths == 0).sum())
        indices, values = pa.array(column.astype(np.int32)), pa.array(rows.values.numpy())
        return [pa.ListArray.from_arrays(offsets, part) for part in (indices, values)]


class LabelColumn:
    """A label field as class numbers."""

    def __init__(self, name: str, feature: Any):
        self.name = name
        self.classes = feature.classes

    def schema(self) -> list[Any]:
        import pyarrow as pa

        return [pa.field(self.name, pa.int32())]

    def arrays(self, batch: Any, split: str, stats: Counter) -> list[Any]:
        import pyarrow as pa
        import pyarrow.compute as pc

        found = batch.column(self.name)
        numbers = pc.index_in(found, value_set=pa.array(self.classes, found.type))
        assert not numbers.null_count, f"{split}: labels that check_labels has not seen"
        stats.update({item["values"]: item["counts"] for item in found.value_counts().to_pylist()})
        return [numbers]


COLUMNS = {"ids": IdsColumn, "sparse": SparseColumn, "label": LabelColumn}


def training_texts(folder: Path, name: str) -> Callable[[], Iterator[Any]]:
    """The training texts of a field as a stream of string tensors that can be started again."""
    return lambda: (_text.tensor(batch.column(0)) for batch in _text.batches(folder, "train", (name,), (name,)))


def learn_classes(folder: Path, name: str) -> list[str]:
    """The labels of train in order of their code points; raises DataError when there are fewer than two."""
    seen: Counter = Counter()
    for batch in shards.read(folder, "train", (name,)):
        seen.update({item["values"]: item["counts"] for item in batch.column(0).value_counts().to_pylist()})
    if len(seen) < 2:
        found = f"only the label {next(iter(seen))!r}" if seen else "no label"
        raise DataError(
            f"[vectorize] train: the {sum(seen.values()):,} rows have {found} in {name!r}, and a classifier needs two "
            "or more; check [ingest] columns, or add rows with other labels"
        )
    return sorted(seen)


def check_labels(folder: Path, name: str, classes: Sequence[str]) -> None:
    """Raise DataError that lists every label of valid and test that train has not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unknown: Counter[str] = Counter()
    first = ""
    for split in ("valid", "test"):
        for batch in shards.read(folder, split, ("row", name)):
            column = batch.column(name)
            strange = pc.is_null(pc.index_in(column, value_set=pa.array(classes, column.type)))
            unknown.update(column.filter(strange).to_pylist())
            if unknown and not first:
                place = pc.index(strange, True).as_py()
                first = f"{split}, row {batch.column('row')[place].as_py()}: {name} {column[place].as_py()!r}"
    if unknown:
        more = listed(f"{label!r} ({rows:,})" for label, rows in unknown.most_common())
        raise DataError(
            f"[vectorize] {first} is not among the {len(classes)} labels of train"
            + (f", nor are others of valid and test: {more} rows" if len(unknown) > 1 else "")
            + "; add training rows for them, or leave such labels out with [ingest] min_count = 2"
        )


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def summary(output: Path) -> str:
    """A line for each field of each split: tokens, non-zero n-grams, or classes, and what was cut or is empty."""
    sizes = json.loads((output / "features.json").read_text(encoding="utf-8"))
    lines = []
    for split, found in json.loads((output / "stats.json").read_text(encoding="utf-8")).items():
        rows = found["rows"]
        for name, size in sizes.items():
            stats = found[name]
            if size["kind"] == "ids":
                text = f"{_text.shares(stats.get('tokens', 0), rows):.1f} of at most {size['max_length']} tokens a row"
                text += f", {stats['truncated']:,} rows cut" if stats.get("truncated") else ""
            elif size["kind"] == "sparse":
                text = f"{_text.shares(stats.get('nonzeros', 0), rows):.1f} of {size['dim']:,} n-grams a row"
                text += f", {stats['empty']:,} rows without any" if stats.get("empty") else ""
            else:
                text = f"{len(stats):,} of {len(size['classes']):,} classes"
            lines.append(f"{split} {name}: {rows:,} rows, {text}")
    return "\n".join(lines)
