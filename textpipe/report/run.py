"""The report of a run: training, scores and errors, read from the results in the store.

It is not a result of a stage and lies outside the store: it shows wall-clock times, which no stage's output may contain.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textpipe.cache import store
from textpipe.cache.fingerprint import flatten
from textpipe.report import learning_curves, markup, page
from textpipe.report.page import Section, metric_title
from textpipe.report.results import Run, read_json, read_manifest
from textpipe.version import __version__

FOLDER = Path("reports")
MAX_CHARACTERS = 100  # of a page's file name


def title(name: str, overrides: Sequence[str]) -> str:
    """A run's name with its overrides: "mail", "mail, model.l2=0.1"."""
    return ", ".join([name, *overrides])


def file_name(name: str, overrides: Sequence[str]) -> str:
    """The file name of a run's page; a run with overrides has its own page.

    ("mail", []) -> "mail.html";  ("mail", ["model.l2=0.1", "seed=2"]) -> "mail.model.l2=0.1,seed=2.html". Characters
    unsafe in file names become "_"; where that or truncation could make two names equal, a digest is appended.
    """
    if not overrides:
        return f"{name}.html"
    settings = ",".join(overrides)
    plain = re.sub(r"[^\w.,=+-]+", "_", settings)[:MAX_CHARACTERS]
    if plain != settings:
        plain += "." + hashlib.sha256(settings.encode()).hexdigest()[:8]
    return f"{name}.{plain}.html"


def write(run: Run, path: Path, *, always: bool = True) -> bool:
    """Write the page, without `always` only if it is out of date; returns whether it was written."""
    if not always and page.fingerprint_of(path) == run.made_of:
        return False
    page.write(path, document(run))
    return True


def document(run: Run) -> str:
    """The page as HTML."""
    sections = [scores_section(run), *slices_sections(run), *learning_curves.sections(run)]
    sections += [*run.view.sections(run), provenance_section(run)]
    metrics, intervals = run.metrics["metrics"], run.metrics["intervals"]
    tiles = [
        page.tile(
            metric_title(name, run.positive), markup.format_number(metrics[name]), interval_note(intervals.get(name))
        )
        for name in run.view.tiles(metrics)
        if metrics.get(name) is not None
    ]
    rows = f"{run.metrics['rows']:,} {run.metrics['split']} rows"
    about = f"{run.metrics['task']} · {rows}, answered by the exported graph"
    return page.document(
        run.name, about, sections, tiles=[*tiles, *learning_curves.tiles(run)], made_of=run.made_of,
        footer=f"textpipe {__version__} · evaluate {run.artifacts['evaluate'].name}",
    )  # fmt: skip


def interval_note(bounds: Sequence[float] | None) -> str:
    """95 %: 35.05 to 38.01"""
    return f"95 %: {markup.format_number(bounds[0])} to {markup.format_number(bounds[1])}" if bounds else ""


def scores_section(run: Run) -> Section:
    """The metrics with their intervals, and those of rows with rare and with unseen words."""
    report = run.metrics
    parts = {kind: report[kind] for kind in ("rare_words", "unseen_words") if kind in report}
    rows = []
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name, (None, None))
        rows.append(
            [
                metric_title(name, run.positive),
                value,
                low,
                high,
                *(part["metrics"].get(name) for part in parts.values()),
            ]
        )
    headers = ["", "all rows", "95 % from", "to"]
    headers += [f"{part['rows']:,} rows with {kind.replace('_', ' ')}" for kind, part in parts.items()]
    body = f'<div class="card">{markup.table(headers, rows, caption="Figures")}</div>'
    more = [[metric_title(name), value] for name, value in report.get("signatures", {}).items()]
    if more:
        body += page.collapsible(
            "Signatures, for comparison with other systems", markup.table(["", "sacrebleu"], more, texts=(0, 1))
        )
    notes = "".join(f"<li>{markup.escape(note)}</li>" for note in report.get("notes", ()))
    if notes:
        body += f'<ul class="note">{notes}</ul>'
    return Section("Scores", "scores", body, "Answers of the exported graph compared with the original references.")


def slices_sections(run: Run) -> list[Section]:
    """The scores of the slices of [evaluate.slices], beside those of all rows."""
    slices = run.metrics.get("slices")
    if not slices:
        return []
    overall = run.metrics["metrics"]
    names = [name for name in run.view.tiles(overall) if overall.get(name) is not None]
    rows: list[list[Any]] = [["all rows", "", run.metrics["rows"], *(overall[name] for name in names)]]
    for title, entry in slices.items():
        rows.append([title, entry["condition"], entry["rows"], *(entry["metrics"].get(name) for name in names)])
    headers = ["slice", "condition", "rows", *(metric_title(name, run.positive) for name in names)]
    body = f'<div class="card">{markup.table(headers, rows, caption="Slices", texts=(0, 1))}</div>'
    return [Section("Slices", "slices", body, "Rows that meet a condition of [evaluate.slices], scored by themselves.")]


def provenance_section(run: Run) -> Section:
    """Rows, settings and versions."""
    parts = []
    if "ingest" in run.artifacts:
        stats = read_json(run.artifacts["ingest"] / "stats.json")
        rows = [
            [name, split["rows"], split["duplicates"], split["conflicts"], stats["leakage"].get(name, {}).get("rows")]
            for name, split in stats["splits"].items()
        ]
        headers = ["split", "rows", "duplicates", "conflicts", "sources also in train"]
        parts.append(f'<div class="card">{markup.table(headers, rows, caption="Rows")}</div>')
    settings: list[list[Any]] = []
    versions: dict[str, str] = {}
    for stage in run.artifacts:
        if (run.artifacts[stage] / store.MANIFEST).is_file():
            ingredients = read_manifest(run.artifacts[stage])["ingredients"]
            settings += [
                [f"{stage}.{key}", format_setting(value)] for key, value in flatten(ingredients["section"]).items()
            ]
            versions |= ingredients["versions"]
    tables = (
        (f"{len(settings)} settings", ["setting", "value"], settings),
        ("Versions", ["library", "version"], [list(pair) for pair in versions.items()]),
    )
    for title, headers, rows in tables:
        if rows:
            parts.append(page.collapsible(title, markup.table(headers, rows, texts=(0, 1))))
    return Section("How it was made", "made", f'<div class="stack">{"".join(parts)}</div>')


def format_setting(value: Any) -> str:
    """A setting as it would be written in a file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
