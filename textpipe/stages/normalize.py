"""Normalize the text fields with a list of steps: the same TensorFlow ops that the exported model runs."""

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator
from pydantic import Field as Limits

from textpipe.config.chosen_fields import TaskName
from textpipe.config.fields import Field
from textpipe.config.sections import Plugin, Section
from textpipe.data import shards
from textpipe.errors import suggest
from textpipe.runtime.engine import map_shards
from textpipe.stages import _text_columns
from textpipe.text import reserved

INPUTS = ("ingest",)
COUNTS = ("rows", "changed", "emptied")

logger = logging.getLogger(__name__)


class Config(Section):
    """steps: applied in order to every text field; fields: other steps for single fields.

    steps = ["unicode", { kind = "mask_urls", token = "<url>" }, "whitespace"]
    fields = { target = ["unicode", "whitespace"] }
    """

    task: Annotated[TaskName, AfterValidator(_text_columns.validate_task)]
    steps: list[Plugin.of("text.steps")] = Limits(["unicode", "whitespace"], validate_default=True)
    fields: dict[str, list[Plugin.of("text.steps")]] = {}

    @model_validator(mode="after")
    def fields_exist(self) -> "Config":
        known = _text_columns.text_fields(self.task)
        for name in self.fields:
            if name not in known:
                raise ValueError(f"fields.{name}: task {self.task!r} has no such text field{suggest(name, known)}")
        return self


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write the splits with normalized text, normalize.json {field: [step tables]} and stats.json.

    stats.json: {field: {split: {"rows", "changed", "emptied"}}}; emptied texts have nothing left and stay as empty rows.
    """
    from textpipe.text import normalizer

    names = _text_columns.text_fields(config.task)
    steps = {name: config.fields.get(name, config.steps) for name in names}
    tag = reserved.read(inputs["ingest"])
    tag_steps = [] if tag is None else [tag.step]
    tables = {name: [*(step.model_dump(mode="json") for step in chosen), *tag_steps] for name, chosen in steps.items()}
    if tag is not None:
        reserved.write(output, tag)
    (output / normalizer.STEPS_FILE).write_text(json.dumps(tables, indent=1, ensure_ascii=False), encoding="utf-8")
    stats: dict[str, dict[str, dict[str, int]]] = {name: {} for name in names}
    work = functools.partial(shard_normalizer, config.task, inputs["ingest"], output)
    numbered_shards = shards.numbered(inputs["ingest"])
    for (split, _), counts in zip(numbered_shards, map_shards(work, numbered_shards), strict=True):
        for name in names:
            total = stats[name].setdefault(split, dict.fromkeys(COUNTS, 0))
            stats[name][split] = {key: total[key] + counts[name][key] for key in COUNTS}
    (output / "stats.json").write_text(json.dumps(stats, indent=1, ensure_ascii=False), encoding="utf-8")
    for name, splits in stats.items():
        emptied = sum(counts["emptied"] for counts in splits.values())
        if emptied:
            logger.warning("[normalize] %s: nothing is left of %d texts; they stay as empty rows", name, emptied)


def shard_normalizer(task: str, source: Path, output: Path) -> Callable[[tuple[str, int]], dict[str, dict[str, int]]]:
    """A function that normalizes a shard, (split, number), and returns {field: its counts}. output: has normalize.json."""
    import pyarrow as pa

    from textpipe.text import normalizer

    task_fields = {field.name: field for field in _text_columns.fields_of(task)}
    fields = [field for field in task_fields.values() if field.has_text]
    names = [field.name for field in fields]
    # Read back from the file, as the exported graph does, so that both build the same ops.
    clean = normalizer.Normalizer(output)
    graphs = {name: _text_columns.trace_text_function(functools.partial(clean, name)) for name in names}
    tag = reserved.read(source)

    def normalize(shard: tuple[str, int]) -> dict[str, dict[str, int]]:
        split, number = shard
        stats = {name: dict.fromkeys(COUNTS, 0) for name in names}
        schema = shards.schema(source, split)
        columns = [name for name in schema.names if name == "row" or name in task_fields]  # not what [ingest] keep adds
        schema = pa.schema([schema.field(name) for name in columns])
        with shards.Writer(output, split, schema, number=number) as writer:
            for batch in _text_columns.batches(source, split, names, columns, number=number):
                for field in fields:
                    batch = normalize_column(batch, field, graphs[field.name], stats[field.name])
                    if tag is not None and tag.applies_to(split, number, field.name):
                        batch = tag_column(batch, field, tag.token)
                writer.write(batch)
        return stats

    return normalize


def normalize_column(batch: Any, field: Field, steps: Any, stats: dict[str, int]) -> Any:
    """Normalize the texts of one column, and add the counts to `stats`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def clean(before: Any) -> Any:
        after = _text_columns.to_arrow(steps(_text_columns.to_tensor(before)), before.type)
        stats["rows"] += len(after)
        stats["changed"] += pc.sum(pc.not_equal(before, after)).as_py() or 0
        emptied = pc.and_(pc.equal(pc.binary_length(after), 0), pc.greater(pc.binary_length(before), 0))
        stats["emptied"] += pc.sum(emptied).as_py() or 0
        return after

    position = batch.schema.get_field_index(field.name)
    cleaned = field.cells.map_text(batch.column(position), clean)
    columns = [cleaned if number == position else column for number, column in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def tag_column(batch: Any, field: Field, token: str) -> Any:
    """Put a tag before the texts of one column, after their normalization, which could change it: "Ein Hund" -> "<BT> Ein Hund"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def tag(texts: Any) -> Any:
        return pc.binary_join_element_wise(pa.scalar(token, texts.type), texts, pa.scalar(" ", texts.type))

    position = batch.schema.get_field_index(field.name)
    tagged = field.cells.map_text(batch.column(position), tag)
    columns = [tagged if number == position else column for number, column in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def summary(output: Path) -> str:
    """One line per field: how many texts changed, and how many became empty."""
    stats = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    steps = json.loads((output / "normalize.json").read_text(encoding="utf-8"))
    lines = []
    for name, splits in stats.items():
        rows, changed, emptied = (sum(counts[key] for counts in splits.values()) for key in COUNTS)
        kinds = ", ".join(step["kind"] for step in steps[name]) or "no steps"
        lost = f", {emptied:,} left empty" if emptied else ""
        lines.append(f"{name}: {kinds}; {changed:,} of {rows:,} texts changed{lost}")
    return "\n".join(lines)
