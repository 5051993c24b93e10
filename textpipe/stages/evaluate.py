"""Answer raw rows with the served graph and score the answers.

metrics.json: {"task", "split", "rows", "metrics": {name: figure}, "intervals": {name: [low, high]}, "signatures",
"unseen_words", "rare_words", "notes"}; with [evaluate.slices] "slices", {name: {"condition", "rows", "metrics"}}; "warnings" when the answers hardly
depend on the texts; for classifiers "labels", "confusion" and "support", and for two classes "coverage". "unseen_words" and "rare_words" are {"rows", "metrics"} of the rows whose source has such a
word, and for generators "target_words", the F1 of such words in the answers. predictions.jsonl: one row per line, in
the split's order. attention.jsonl, for generators with attention: attention maps of a few rows (stages/_attention.py).
"""

import functools
import inspect
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config import plugins
from textpipe.config.answer_settings import Answer
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ConfigError, DataError, ThresholdError, suggest
from textpipe.metrics import bleu_tokenizers
from textpipe.servable.ensemble import Ensemble
from textpipe.stages import _attention, _slices, _word_scores

INPUTS = ("ingest", "normalize", "tokenize", "vectorize", "train")
PLUGINS_OF = ("normalize", "tokenize", "vectorize", "train")

log = logging.getLogger(__name__)


class Config(Section):
    """[evaluate]

    join_sources: rows with the same source text are answered once, with all their targets as references.
    limit: score only the first rows of the split, or the first sources with join_sources; resamples: bootstrap samples for
    a confidence interval, 0 for none. require: the value each metric must reach before anything is exported, {bleu = 30};
    where lower is better, as for log_loss or perplexity, the value it must not exceed. bleu_tokenizer: the sacrebleu
    tokenizer for BLEU; auto chooses by the script of the references (zh, ja-mecab, ko-mecab, char), else 13a. rare: words
    that occur at most this often in train are rare. slices: named conditions over fields and kept columns, whose rows are also
    scored by themselves, {long = "words > 30", question = "text contains '?'"}; stages/_slices.py has the grammar.
    """

    task: str
    seed: int = Field(1, ge=0)
    decode: Plugin.of("decoding") = Field("greedy", validate_default=True)
    ensemble: Ensemble | None = None
    answer: Answer = Field(None, validate_default=True)
    split: Literal["test", "valid"] = "test"  # the rows to score
    join_sources: bool = False
    limit: int | None = Field(None, ge=1)
    batch_rows: int = Field(128, ge=1)  # rows per batch
    resamples: int = Field(1000, ge=0)
    rare: int = Field(5, ge=1)
    bleu_tokenizer: bleu_tokenizers.Name = "auto"
    require: dict[str, float] = Field(default_factory=dict)
    slices: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def slices_are_conditions(self):
        for name, condition in self.slices.items():
            try:
                _slices.parse(condition)
            except ValueError as error:
                raise ValueError(f"slices.{name}: {error}") from None
        return self

    @model_validator(mode="after")
    def metrics_exist(self):
        task = plugins.find("tasks", self.task)
        for name, bound in self.require.items():
            if name not in task.METRICS:
                raise ValueError(f"require: {self.task} has no metric {name!r}{suggest(name, task.METRICS)}")
            low, high = getattr(task, "RANGES", {}).get(name, (-math.inf, math.inf))
            if (bound < low) if task.METRICS[name] == "min" else (bound > high):
                known = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
                raise ValueError(
                    f"require.{name}: expected a number {known}, found {bound:g}, which no model can reach"
                )
        answers = plugins.find("answers", plugins.find("tasks", self.task).ANSWER)
        answers.check(self.task, decode=self.decode, join_sources=self.join_sources)
        return self

    @model_validator(mode="after")
    def members_fit(self):
        task = plugins.find("tasks", self.task)
        answers = plugins.find("answers", task.ANSWER)
        if self.ensemble and hasattr(answers, "check_members"):
            answers.check_members(self.ensemble.folders, task, self.answer)
        return self

    @model_validator(mode="after")
    def tokenizer_is_installed(self):
        try:
            bleu_tokenizers.check(self.bleu_tokenizer, "bleu_tokenizer")
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if "bleu" not in plugins.find("tasks", self.task).METRICS and self.bleu_tokenizer != "auto":
            raise ValueError(f"bleu_tokenizer: {self.task} is not scored by BLEU; leave bleu_tokenizer out")
        return self

    def extra_files(self) -> list[Path]:
        """The files of the other models of an ensemble."""
        return self.ensemble.files if self.ensemble else []

    def plugins(self) -> list[tuple[str, str]]:
        """The module of answers/ that makes the outputs."""
        return [("answers", plugins.find("tasks", self.task).ANSWER)]


def reads(config: Config) -> tuple[str, ...]:
    """INPUTS, and the results that the task's answers are made of."""
    return (*INPUTS, *getattr(plugins.find("answers", plugins.find("tasks", config.task).ANSWER), "READS", ()))


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Answer and score a split."""
    from textpipe.metrics import collapse
    from textpipe.savedmodel import batching, loader, model_rows
    from textpipe.servable.graph import Servable

    task = plugins.find("tasks", config.task)
    answering = plugins.find("answers", task.ANSWER)
    servable = Servable.load(inputs, task, config.decode, ensemble=config.ensemble, answer=config.answer)
    fields = (*servable.sources, servable.target)
    rows = read_rows(inputs["ingest"], config, (*fields, *slice_columns(inputs["ingest"], config, fields)))
    grouped = None
    if config.join_sources:
        rows, grouped = group_by_source(rows, servable.sources, servable.target, config.limit)
    if not rows["row"]:
        raise DataError(
            f"[evaluate] split {config.split!r} has no rows; add rows to it in [ingest], or evaluate another split"
        )
    columns = dict(rows)
    if hasattr(answering, "references"):
        rows[servable.target] = answering.references(servable, rows[servable.target])
    raw, references = {name: rows[name] for name in servable.sources}, rows[servable.target]
    sources = servable.row_texts(raw)
    serve = servable.signature(loader.DEFAULT)
    began = time.monotonic()
    answers = batching.run_in_batches(serve, model_rows.encode_columns(raw), batch_rows=config.batch_rows)
    seconds = time.monotonic() - began
    log.info("%d rows answered in %.1f s, %.0f a second", len(answers), seconds, len(answers) / seconds)

    score = functools.partial(task.metrics, seed=config.seed)
    if "bleu_tokenizer" in inspect.signature(task.metrics).parameters:
        # Chosen once, so that subsets of the rows use the same tokenizer.
        texts = [text for group in grouped for text in group] if grouped else references
        score = functools.partial(score, bleu_tokenizer=bleu_tokenizers.choose(texts, config.bleu_tokenizer))
    if "out_of_scope" in inspect.signature(task.metrics).parameters:
        score = functools.partial(score, out_of_scope=getattr(servable.output, "out_of_scope", None))
    outputs = {name: [answer[name] for answer in answers] for name in answers[0]}
    report = score(outputs, grouped or references, resamples=config.resamples)
    notes = []
    if grouped:
        count = sum(map(len, grouped))
        notes.append(
            f"references: {count} for {len(grouped)} source texts; perplexity and the F1 of words use the first of each."
        )
    metrics, lines = answering.extra_metrics(servable, raw, references, outputs["answer"], config.batch_rows)
    report["metrics"] |= metrics
    notes += lines
    word_tables, lines = _word_scores.rare_word_metrics(
        config, servable, inputs["ingest"], sources, references, outputs, score
    )
    report, notes = report | word_tables, notes + lines
    report = {"task": config.task, "split": config.split, "rows": len(answers), **report, "notes": notes}
    if config.slices:
        report["slices"] = _slices.measure(config.slices, columns, sources, outputs, grouped or references, score)
    if warnings := collapse.warnings(outputs["answer"], servable.format_targets(references)):
        report["warnings"] = warnings

    write_json(output / "metrics.json", report)
    with (output / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for at, (row, reference, answer) in enumerate(zip(rows["row"], references, answers, strict=True)):
            cells_of_row = {name: servable.excerpt(name, cells[at]) for name, cells in raw.items()}
            line = {"row": row, **cells_of_row, servable.target: reference, **answering.stored_prediction(answer)}
            if grouped:
                line["references"] = grouped[at]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    _attention.write(servable, rows["row"], raw, output, seed=config.seed)
    (output / "logs").mkdir()
    write_json(output / "logs" / "speed.json", {"rows": len(answers), "seconds": seconds})


def read_rows(folder: Path, config: Config, fields: Sequence[str]) -> dict[str, list[Any]]:
    """The raw rows to score, by column: "row" and the task's fields."""
    from textpipe.data import shards

    columns: dict[str, list[Any]] = {name: [] for name in ("row", *fields)}
    for batch in shards.read(folder, config.split, tuple(columns)):
        for name, values in columns.items():
            values += batch.column(name).to_pylist()
        if config.limit is not None and not config.join_sources and len(columns["row"]) >= config.limit:
            break
    return {name: values[: None if config.join_sources else config.limit] for name, values in columns.items()}


def slice_columns(folder: Path, config: Config, fields: Sequence[str]) -> list[str]:
    """The columns that [evaluate.slices] names besides the task's fields. Raises DataError for one that the rows do not have."""
    from textpipe.data import shards

    if not config.slices:
        return []
    _slices.check_columns(config.slices, [name for name in shards.schema(folder, config.split).names if name != "row"])
    return [name for name in _slices.fields_of(config.slices) if name not in fields]


def group_by_source(
    rows: Mapping[str, list[Any]], sources: Sequence[str], target: str, limit: int | None
) -> tuple[dict[str, list[Any]], list[list[str]]]:
    """Group rows by source: the first row of each source, and its distinct targets, in row order.

    source a, a, b and target x, y, z -> source a, b, target x, z and [["x", "y"], ["z"]]
    """
    positions: dict[tuple[Any, ...], list[int]] = {}
    for position, cells in enumerate(zip(*(rows[name] for name in sources), strict=True)):
        positions.setdefault(cells, []).append(position)
    chosen = list(positions.values())[:limit]
    references = [list(dict.fromkeys(rows[target][position] for position in group)) for group in chosen]
    return {name: [values[group[0]] for group in chosen] for name, values in rows.items()}, references


def check_thresholds(config: Config, output: Path) -> None:
    """Raise ThresholdError, naming each metric that misses its threshold, and then all metrics."""
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    directions = plugins.find("tasks", config.task).METRICS
    misses = []
    for name, bound in config.require.items():
        value, minimize = metrics.get(name), directions.get(name) == "min"
        if value is None or not (value <= bound if minimize else value >= bound):
            misses.append(f"{name} {'at most' if minimize else 'at least'} {bound:g}, found {format_number(value)}")
    if misses:
        figures = ", ".join(f"{name} {format_number(value)}" for name, value in metrics.items())
        raise ThresholdError(
            f"[evaluate.require] {'; '.join(misses)}; nothing is exported: improve the model or lower the bound\n"
            f"all metrics: {figures}"
        )


def format_number(value: float | None) -> str:
    """Four significant digits, or a dash for an undefined value."""
    return "-" if value is None else f"{value:.4g}"


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON; raises ValueError for NaN."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def summary(output: Path) -> str:
    """One line per metric, with its 95 % interval."""
    report = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    lines = [f"{report['rows']} {report['split']} rows"]
    width = max(map(len, report["metrics"]))
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name, (None, None))
        lines.append(
            f"{name:<{width}}  {format_number(value):>8}"
            + (f"  [{format_number(low)}, {format_number(high)}]" if low is not None else "")
        )
    if "f1" in report["metrics"]:
        lines.append(f"f1, precision and recall are those of class {report['labels'][1]!r}")
    if table := report.get("coverage"):
        shares = ", ".join(f"{format_number(line['precision'])} at {line['coverage']:g}" for line in table)
        lines.append(f"precision by coverage, the share of rows with the highest probability: {shares}")
    for name, kind in (("unseen_words", "unseen in training"), ("rare_words", "rare in training")):
        table = report[name]
        first = next(iter(table["metrics"]))
        line = f"{table['rows']} rows with words {kind}: {first} {format_number(table['metrics'][first])}"
        if words := table.get("target_words"):
            line += (
                f"; F1 of such words in the answers {format_number(words['f1'])} ({words['reference_words']} expected)"
            )
        lines.append(line)
    return "\n".join(lines + [f"WARNING: {warning}" for warning in report.get("warnings", [])])
