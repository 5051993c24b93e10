"""Turn cells into model inputs (token ids, sparse n-gram rows, class numbers) with the same ops as the exported model."""

import functools
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from textpipe.config import fields, plugins
from textpipe.config.chosen_fields import TaskName
from textpipe.config.sections import Plugin, Section
from textpipe.data import shards
from textpipe.errors import suggest
from textpipe.features import ids
from textpipe.runtime.engine import map_shards
from textpipe.stages import _text_columns

INPUTS = ("normalize", "tokenize")
PLUGINS_OF = ("tokenize",)

logger = logging.getLogger(__name__)


class Config(Section):
    """features: the feature of every source field that supports it; other fields have the default feature of their kind.
    target: the ids of a target text, where the task answers with text (default: as `features` when those are ids, else
    the defaults of ids). fields: other features for single fields. vocabulary: "joint" learns one set of n-grams for all text fields
    whose features have equal settings, so that an n-gram has the same column in each; "separate" learns one per field. For ids, set
    vocabulary in [tokenize].
    """

    task: Annotated[TaskName, AfterValidator(_text_columns.validate_task)]
    features: Plugin.of("features") = Field("ids", validate_default=True)
    target: ids.Config | None = None
    fields: dict[str, Plugin.of("features")] = {}
    vocabulary: Literal["joint", "separate"] = "separate"

    @model_validator(mode="after")
    def target_has_text(self) -> "Config":
        target = next(item for item in _text_columns.fields_of(self.task) if item.side == "target")
        if self.target and not can_read(self.target, target):
            raise ValueError(
                f"target: task {self.task!r} answers with {target.cells.NOUN}, which has no ids; leave target out"
            )
        return self

    @model_validator(mode="after")
    def features_fit(self) -> "Config":
        """Check that each feature can be made of its field, and `features` of a source."""
        known = {item.name: item for item in _text_columns.fields_of(self.task)}
        sources = [item for item in known.values() if item.side == "source"]
        if "features" in self.model_fields_set and not any(can_read(self.features, item) for item in sources):
            kinds = ", ".join(dict.fromkeys(item.kind for item in sources))
            raise ValueError(f"features: {kind_of(self.features)!r} does not read {kinds}{suggest_features(sources)}")
        for name, section in self.fields.items():
            if name not in known:
                raise ValueError(f"fields.{name}: task {self.task!r} has no such field{suggest(name, known)}")
            if not can_read(section, known[name]):
                raise ValueError(
                    f"fields.{name}: {kind_of(section)!r} does not read {known[name].kind}{suggest_features([known[name]])}"
                )
        return self

    def plugins(self) -> list[tuple[str, str]]:
        """Features that no key names; the result depends on their code as well."""
        return [("features", kind_of(feature_section(self, item))) for item in _text_columns.fields_of(self.task)]


def kind_of(section: Any) -> str:
    """The key of a feature: its file name, or its dotted name."""
    return section.kind


def can_read(section: Section, field: fields.Field) -> bool:
    """Whether a feature can be made of a field."""
    return field.kind in plugins.find("features", kind_of(section)).OF


def suggest_features(targets: Sequence[fields.Field]) -> str:
    """The end of an error message: the features that can be made of these fields."""
    known = [
        name
        for name in plugins.names("features")
        if {item.kind for item in targets} & {*plugins.find("features", name).OF}
    ]
    return f"; use one of {', '.join(known)}"


def feature_section(config: Config, field: fields.Field) -> Section:
    """The feature section of a field: from `fields`, `target` or `features`, else the default of its kind."""
    configured = config.fields.get(field.name) or (config.target if field.side == "target" else None)
    if configured is not None:
        return configured
    default = plugins.find("features", field.cells.FEATURE).Config
    if isinstance(config.features, default) or (field.side == "source" and can_read(config.features, field)):
        return config.features
    return default()


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write {split}/*.arrow, features.json {field: size table}, vectorize.json {field: section}, the features'
    assets and stats.json.

    stats.json: {split: {"rows", field: {"tokens", "truncated", "longest"} | {"nonzeros", "empty"} | {class: rows}}}.

    Raises DataError when a label of valid or test is not in train, and when train has fewer than two labels.
    """
    from textpipe.text import vectorizer

    task_fields = _text_columns.fields_of(config.task)
    folder = inputs["normalize"]
    sections = {field.name: feature_section(config, field) for field in task_fields}
    write_json(
        output / vectorizer.FEATURES_FILE, {name: item.model_dump(mode="json") for name, item in sections.items()}
    )
    features = {}
    # Targets first: wrong labels are found at once, while n-gram vocabularies take time.
    for field in sorted(task_fields, key=lambda field: field.side == "source"):
        section: Any = sections[field.name]
        module = plugins.find("features", section.kind)
        codec = (
            vectorizer.load_codec(inputs["tokenize"], field.name) if getattr(section, "needs_codec", False) else None
        )
        values = training_values(folder, *joint_fields(config, field))
        module.learn(section, values, output, field.name, codec=codec)
        feature = features[field.name] = module.load(section, output, field.name, codec=codec)
        if hasattr(module, "check"):
            module.check(feature, field.name, held_out_values(folder, field))
    features = {field.name: features[field.name] for field in task_fields}
    sizes = {name: {**feature.size, "feature": kind_of(sections[name])} for name, feature in features.items()}
    for field in task_fields:
        if len(group := joint_fields(config, field)) > 1:
            sizes[field.name]["joint"] = [item.name for item in group]
    write_json(output / vectorizer.SIZES_FILE, sizes)
    work = functools.partial(shard_vectorizer, config.task, folder, inputs["tokenize"], output)
    numbered_shards = shards.numbered(folder)
    totals: dict[str, dict[str, Any]] = {}
    for (split, _), counts in zip(numbered_shards, map_shards(work, numbered_shards), strict=True):
        total = totals.setdefault(split, {"rows": 0, **{name: Counter() for name in features}})
        total["rows"] += counts["rows"]
        for name, feature in features.items():
            add_counts(total[name], counts[name], getattr(feature, "MAXIMA", ()))
    write_json(output / "stats.json", {split: as_table(total) for split, total in totals.items()})


def shard_vectorizer(
    task: str, source: Path, tokenized: Path, output: Path
) -> Callable[[tuple[str, int]], dict[str, Any]]:
    """A function that writes a shard, (split, number), and returns its statistics. output: has the assets of the features."""
    import pyarrow as pa

    from textpipe.text import vectorizer

    task_fields = _text_columns.fields_of(task)
    features = vectorizer.load_features(output, tokenized, task_fields)
    columns = [column for name, feature in features.items() for column in feature.schema(name)]
    schema = pa.schema([pa.field("row", pa.int64()), *columns])

    def vectorize(shard: tuple[str, int]) -> dict[str, Any]:
        split, number = shard
        stats: dict[str, Any] = {"rows": 0, **{name: Counter() for name in features}}
        batches = _text_columns.batches(source, split, names_with_text(task_fields), ("row", *features), number=number)
        with shards.Writer(output, split, schema, kind="arrow", number=number) as writer:
            for batch in batches:
                arrays = [batch.column("row").cast(pa.int64())]
                for field in task_fields:
                    cells = field.cells.tensor(batch.column(field.name))
                    arrays += features[field.name].arrays(cells, stats[field.name])
                writer.write(pa.RecordBatch.from_arrays(arrays, schema=schema))
                stats["rows"] += batch.num_rows
        return stats

    return vectorize


def add_counts(total: Counter[str], counts: Counter[str], maxima: Sequence[str]) -> None:
    """Add the statistics of a shard; those named in maxima are the largest of a row."""
    for name, count in counts.items():
        total[name] = max(total[name], count) if name in maxima else total[name] + count


def as_table(stats: dict[str, Any]) -> dict[str, Any]:
    """Statistics for stats.json, with sorted names."""
    return {name: dict(sorted(value.items())) if isinstance(value, Counter) else value for name, value in stats.items()}


def names_with_text(task_fields: Sequence[fields.Field]) -> list[str]:
    """The names of fields with text, which determine the size of a batch."""
    return [field.name for field in task_fields if field.has_text]


def joint_fields(config: Config, field: fields.Field) -> list[fields.Field]:
    """The fields that share a field's set of n-grams, including the field itself."""
    section = feature_section(config, field)
    if config.vocabulary == "separate" or plugins.find("features", kind_of(section)).KIND != "sparse":
        return [field]
    return [item for item in _text_columns.fields_of(config.task) if feature_section(config, item) == section]


def training_values(folder: Path, *task_fields: fields.Field) -> Callable[[], Iterator[Any]]:
    """A function that streams the training cells of the fields as tensors, one field after the other; each call starts anew."""

    def cells(field: fields.Field) -> Iterator[Any]:
        batches = _text_columns.batches(folder, "train", names_with_text([field]), (field.name,))
        return (field.cells.tensor(batch.column(0)) for batch in batches)

    return lambda: itertools.chain.from_iterable(map(cells, task_fields))


def held_out_values(folder: Path, field: fields.Field) -> Callable[[], Iterable[tuple[str, Any, Any]]]:
    """A function that streams the cells of valid and test as (split, row numbers [N], tensor [N, ...])."""
    return lambda: (
        (split, batch.column("row").to_pylist(), field.cells.tensor(batch.column(field.name)))
        for split in ("valid", "test")
        for batch in _text_columns.batches(folder, split, names_with_text([field]), ("row", field.name))
    )


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def summary(output: Path) -> str:
    """One line per split and field: tokens, non-zero n-grams or classes, and how many rows were cut or are empty."""
    sizes = json.loads((output / "features.json").read_text(encoding="utf-8"))
    lines = []
    for split, counts in json.loads((output / "stats.json").read_text(encoding="utf-8")).items():
        rows = counts["rows"]
        for name, size in sizes.items():
            text = plugins.find("features", size["feature"]).line(counts[name], size, rows)
            lines.append(f"{split} {name}: {rows:,} rows, {text}")
    return "\n".join(lines)
