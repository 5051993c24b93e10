"""Normalize the text fields with a list of steps: the same TensorFlow ops that the exported model runs."""

import functools
import json
import logging
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator
from pydantic import Field as Limits

from textpipe.config.chosen_fields import TaskName
from textpipe.config.fields import Field
from textpipe.config.sections import Plugin, Section
from textpipe.data import shards
from textpipe.errors import suggest
from textpipe.stages import _text_columns

INPUTS = ("ingest",)

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
    import pyarrow as pa

    from textpipe.text import normalizer

    task_fields = {field.name: field for field in _text_columns.fields_of(config.task)}
    fields = [field for field in task_fields.values() if field.has_text]
    names = [field.name for field in fields]
    steps = {name: config.fields.get(name, config.steps) for name in names}
    tables = {name: [step.model_dump(mode="json") for step in chosen] for name, chosen in steps.items()}
    (output / normalizer.STEPS_FILE).write_text(json.dumps(tables, indent=1, ensure_ascii=False), encoding="utf-8")
    # Read back from the file, as the exported graph does, so that both build the same ops.
    clean = normalizer.Normalizer(output)
    graphs = {name: _text_columns.trace_text_function(functools.partial(clean, name)) for name in names}
    stats: dict[str, dict[str, dict[str, int]]] = {name: {} for name in names}
    for split in shards.SPLITS:
        if not shards.paths(inputs["ingest"], split):
            continue
        for name in names:
            stats[name][split] = {"rows": 0, "changed": 0, "emptied": 0}
        schema = shards.schema(inputs["ingest"], split)
        kept = [name for name in schema.names if name == "row" or name in task_fields]  # not what [ingest] keep adds
        schema = pa.schema([schema.field(name) for name in kept])
        with shards.Writer(output, split, schema) as writer:
            for batch in _text_columns.batches(inputs["ingest"], split, names, kept):
                for field in fields:
                    batch = normalize_column(batch, field, graphs[field.name], stats[field.name][split])
                writer.write(batch)
    (output / "stats.json").write_text(json.dumps(stats, indent=1, ensure_ascii=False), encoding="utf-8")
    for name, splits in stats.items():
        emptied = sum(counts["emptied"] for counts in splits.values())
        if emptied:
            logger.warning("[normalize] %s: nothing is left of %d texts; they stay as empty rows", name, emptied)


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


def summary(output: Path) -> str:
    """One line per field: how many texts changed, and how many became empty."""
    stats = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    steps = json.loads((output / "normalize.json").read_text(encoding="utf-8"))
    lines = []
    for name, splits in stats.items():
        keys = ("rows", "changed", "emptied")
        rows, changed, emptied = (sum(counts[key] for counts in splits.values()) for key in keys)
        kinds = ", ".join(step["kind"] for step in steps[name]) or "no steps"
        lost = f", {emptied:,} left empty" if emptied else ""
        lines.append(f"{name}: {kinds}; {changed:,} of {rows:,} texts changed{lost}")
    return "\n".join(lines)
