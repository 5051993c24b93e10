"""The report of a run: how it learned, what it scores, where it fails, read from the results in the store.

It is a view and not a result: it shows wall-clock figures, which no stage's output may hold, so it lies outside the store.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from textpipe import pipeline, rooms, store
from textpipe.errors import ArtifactError
from textpipe.lineage import flat
from textpipe.report import markup, page
from textpipe.report.page import Section
from textpipe.version import __version__

FOLDER = Path("reports")
METRICS, PREDICTIONS, ATTENTION = "metrics.json", "predictions.jsonl", "attention.jsonl"

# Names as people write them; others are told as they stand.
TITLES = {
    "bleu": "BLEU", "bleu_lowercased": "BLEU, lowercased", "chrf": "chrF", "ter": "TER", "exact_match": "exact match",
    "length_ratio": "length ratio", "empty_answers": "empty answers", "distinct_answers": "distinct answers",
    "unknown_in_answers": "answers with an unknown word", "f1_macro": "F1, macro", "precision_macro": "precision, macro",
    "recall_macro": "recall, macro", "f1": "F1", "roc_auc": "ROC AUC", "log_loss": "log loss",
    "calibration_error": "calibration error",
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """The results of one run: its name, and the artifact of each stage that is there; evaluate and train always are."""

    name: str
    artifacts: Mapping[str, Path]

    @classmethod
    def find(cls, place: str | Path, overrides: tuple[str, ...] = (), artifacts: Path = pipeline.ARTIFACTS) -> "Run":
        """From a pipeline file as it stands, or the directory of an evaluate artifact; raises ArtifactError if not built."""
        place = Path(place)
        if place.is_dir():
            return cls.around(place)
        loaded = pipeline.Pipeline.load(place, overrides)
        steps = pipeline.plan(loaded, until="evaluate", artifacts=artifacts)
        missing = next((step for step in steps if step.path is None), None)
        if missing:
            why = "; ".join(missing.reasons)
            raise ArtifactError(
                f"{place}: its {missing.stage} is not in {artifacts} ({why}); run `textpipe evaluate {place}` first"
            )
        return cls(loaded.name, {step.stage: step.path for step in steps if step.path})

    @classmethod
    def around(cls, evaluate: Path) -> "Run":
        """From an evaluate artifact, and beside it in the store the results it was made from."""
        inputs = manifest(evaluate)["ingredients"]["inputs"]
        found = {"evaluate": evaluate}
        for stage, digest in inputs.items():
            for other in sorted((evaluate.parent.parent / stage).glob(f"*/{store.MANIFEST}")):
                if manifest(other.parent)["digest"] == digest:
                    found[stage] = other.parent
        if "train" not in found:
            raise ArtifactError(f"{evaluate}: the training it belongs to is not in {evaluate.parent.parent}; train again")
        return cls(named(evaluate), found)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json"""
        return read(self.artifacts["evaluate"] / METRICS)

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """The lines of predictions.jsonl."""
        return lines(self.artifacts["evaluate"] / PREDICTIONS)

    @cached_property
    def sides(self) -> tuple[str, str]:
        """The names of the source and the target field."""
        from textpipe.report.answers import pair

        source, target = pair(rooms.find("tasks", self.metrics["task"]).FIELDS)
        return source.name, target.name

    @cached_property
    def made_of(self) -> str:
        """Changes when the page would."""
        parts = [f"{path.name[:12]}.{(path / store.MANIFEST).stat().st_mtime_ns}" for path in self.artifacts.values()]
        return " ".join([__version__, self.name, *parts])


def manifest(artifact: Path) -> dict[str, Any]:
    """An artifact's manifest; raises ArtifactError when there is none."""
    if not (artifact / store.MANIFEST).is_file():
        raise ArtifactError(f"{artifact}: is no finished result of a stage; give a pipeline file or an evaluate artifact")
    return read(artifact / store.MANIFEST)


def named(evaluate: Path) -> str:
    """The pipeline that an evaluate artifact was last used by, else the first letters of its key."""
    for path in sorted((evaluate.parent.parent / "latest").glob("*/evaluate.json")):
        if read(path).get("path") == evaluate.name:
            return path.parent.name
    return evaluate.name[:8]


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines; empty when it is not there."""
    if not path.is_file():
        return []
    # Only a line feed ends a line: a text may hold other separators.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def write(run: Run, path: Path, *, always: bool = True) -> bool:
    """Write the page; without `always` only when the one there shows another run. Whether it was written."""
    if not always and page.made_of(path) == run.made_of:
        return False
    page.write(path, document(run))
    return True


def document(run: Run) -> str:
    """The page as HTML."""
    from textpipe.report import labels, learning, texts

    generates = "confusion" not in run.metrics
    parts = (texts if generates else labels).sections(run)
    sections = [scores(run), *learning.sections(run), *parts, made(run)]
    wanted = ("bleu", "chrf", "ter", "perplexity", "length_ratio")
    if not generates:
        f1 = "f1" if "f1" in run.metrics["metrics"] else "f1_macro"
        wanted = ("accuracy", f1, "roc_auc", "log_loss", "calibration_error")
    metrics, intervals = run.metrics["metrics"], run.metrics["intervals"]
    tiles = [
        page.tile(titled(name), markup.number(metrics[name]), interval(intervals.get(name)))
        for name in wanted
        if metrics.get(name) is not None
    ]
    about = f"{run.metrics['task']} · {run.metrics['rows']:,} {run.metrics['split']} rows, answered by the graph that is served"
    return page.document(
        run.name, about, sections, tiles=[*tiles, *learning.tiles(run)], made_of=run.made_of,
        footer=f"textpipe {__version__} · evaluate {run.artifacts['evaluate'].name}",
    )  # fmt: skip


def titled(name: str) -> str:
    """A metric's name for people."""
    return TITLES.get(name, name.replace("_", " "))


def interval(bounds: Sequence[float] | None) -> str:
    """95 %: 35.05 to 38.01"""
    return f"95 %: {markup.number(bounds[0])} to {markup.number(bounds[1])}" if bounds else ""


def scores(run: Run) -> Section:
    """Every figure of metrics.json with its interval, and beside it that of rows with unseen words."""
    report = run.metrics
    unseen = report.get("unseen_words", {})
    rows = []
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name, (None, None))
        rows.append([titled(name), value, low, high, unseen.get("metrics", {}).get(name)])
    headers = ["", "all rows", "95 % from", "to", f"{unseen.get('rows', 0):,} rows with unseen words"]
    body = f'<div class="card">{markup.table(headers, rows, caption="Figures")}</div>'
    more = [[titled(name), value] for name, value in report.get("signatures", {}).items()]
    if more:
        body += f'<details class="card"><summary>Signatures, to compare with other papers</summary>{markup.table(["", "sacrebleu"], more, texts=(0, 1))}</details>'
    notes = "".join(f"<li>{markup.escape(note)}</li>" for note in report.get("notes", ()))
    if notes:
        body += f'<ul class="note">{notes}</ul>'
    return Section("Scores", "scores", body, "Answers as they are served against the references as they were given.")


def made(run: Run) -> Section:
    """Rows, settings and versions."""
    parts = []
    if "ingest" in run.artifacts:
        stats = read(run.artifacts["ingest"] / "stats.json")
        rows = [
            [name, split["rows"], split["duplicates"], split["conflicts"], stats["leakage"].get(name, {}).get("rows")]
            for name, split in stats["splits"].items()
        ]
        headers = ["split", "rows", "duplicates", "conflicts", "sources also in train"]
        parts.append(f'<div class="card">{markup.table(headers, rows, caption="Rows")}</div>')
    settings, versions = [], {}
    for stage in pipeline.ORDER:
        if stage in run.artifacts and (run.artifacts[stage] / store.MANIFEST).is_file():
            ingredients = manifest(run.artifacts[stage])["ingredients"]
            settings += [[f"{stage}.{key}", written(value)] for key, value in flat(ingredients["section"]).items()]
            versions |= ingredients["versions"]
    tables = ((f"{len(settings)} settings", ["setting", "value"], settings), ("Versions", ["library", "version"], versions.items()))
    for title, headers, rows in tables:
        found = list(rows)
        if found:
            table = markup.table(headers, found, texts=(0, 1))
            parts.append(f'<details class="card"><summary>{markup.escape(title)}</summary>{table}</details>')
    return Section("How it was made", "made", f'<div class="stack">{"".join(parts)}</div>')


def written(value: Any) -> str:
    """A setting as it would stand in a file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sentence(facts: Sequence[str], entries: Sequence[tuple[str, str]]) -> str:
    """A row of the data on a card: facts (text) above, then (label, HTML) pairs."""
    told = "".join(f"<span>{markup.escape(fact)}</span>" for fact in facts)
    pairs = "".join(f'<dt>{markup.escape(label)}</dt><dd dir="auto">{shown}</dd>' for label, shown in entries)
    return f'<article class="card sentence"><p class="facts">{told}</p><dl>{pairs}</dl></article>'


def group(title: str, cards: Sequence[str], *, opened: bool = False) -> str:
    """Cards behind a heading that opens."""
    if not cards:
        return ""
    state = " open" if opened else ""
    return f'<details class="group"{state}><summary>{markup.escape(title)}</summary>{"".join(cards)}</details>'
