"""The report of a run: how it learned, what it scores, where it fails, read from the results in the store.

It is a view and not a result: it shows wall-clock figures, which no stage's output may hold, so it lies outside the
store.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textpipe.cache import store
from textpipe.cache.fingerprint import flat
from textpipe.pipeline import runner
from textpipe.report import learning_curves, markup, page
from textpipe.report.page import Section, titled
from textpipe.report.results import Run, manifest, read
from textpipe.version import __version__

FOLDER = Path("reports")
LONGEST = 100  # characters of a page's name


def title(name: str, overrides: Sequence[str]) -> str:
    """A run's name, with what differs from its pipeline file: "mail", "mail, model.l2=0.1"."""
    return ", ".join([name, *overrides])


def file_name(name: str, overrides: Sequence[str]) -> str:
    """The name of a run's page; a run with overrides has a page of its own beside the plain one.

    ("mail", []) -> "mail.html";  ("mail", ["model.l2=0.1", "seed=2"]) -> "mail.model.l2=0.1,seed=2.html". Characters that
    a file name should not have become "_", and where that or a cut could make two names one, a digest follows.
    """
    if not overrides:
        return f"{name}.html"
    given = ",".join(overrides)
    plain = re.sub(r"[^\w.,=+-]+", "_", given)[:LONGEST]
    if plain != given:
        plain += "." + hashlib.sha256(given.encode()).hexdigest()[:8]
    return f"{name}.{plain}.html"


def write(run: Run, path: Path, *, always: bool = True) -> bool:
    """Write the page; without `always` only when the one there shows another run. Whether it was written."""
    if not always and page.made_of(path) == run.made_of:
        return False
    page.write(path, document(run))
    return True


def document(run: Run) -> str:
    """The page as HTML."""
    sections = [scores(run), *learning_curves.sections(run), *run.view.sections(run), made(run)]
    metrics, intervals = run.metrics["metrics"], run.metrics["intervals"]
    tiles = [
        page.tile(titled(name, run.positive), markup.number(metrics[name]), interval(intervals.get(name)))
        for name in run.view.tiles(metrics)
        if metrics.get(name) is not None
    ]
    rows = f"{run.metrics['rows']:,} {run.metrics['split']} rows"
    about = f"{run.metrics['task']} · {rows}, answered by the graph that is served"
    return page.document(
        run.name, about, sections, tiles=[*tiles, *learning_curves.tiles(run)], made_of=run.made_of,
        footer=f"textpipe {__version__} · evaluate {run.artifacts['evaluate'].name}",
    )  # fmt: skip


def interval(bounds: Sequence[float] | None) -> str:
    """95 %: 35.05 to 38.01"""
    return f"95 %: {markup.number(bounds[0])} to {markup.number(bounds[1])}" if bounds else ""


def scores(run: Run) -> Section:
    """Every figure of metrics.json with its interval, and beside it those of rows with rare and with unseen words."""
    report = run.metrics
    parts = {kind: report[kind] for kind in ("rare_words", "unseen_words") if kind in report}
    rows = []
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name, (None, None))
        rows.append(
            [titled(name, run.positive), value, low, high, *(part["metrics"].get(name) for part in parts.values())]
        )
    headers = ["", "all rows", "95 % from", "to"]
    headers += [f"{part['rows']:,} rows with {kind.replace('_', ' ')}" for kind, part in parts.items()]
    body = f'<div class="card">{markup.table(headers, rows, caption="Figures")}</div>'
    more = [[titled(name), value] for name, value in report.get("signatures", {}).items()]
    if more:
        body += page.opening(
            "Signatures, to compare with others' figures", markup.table(["", "sacrebleu"], more, texts=(0, 1))
        )
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
    settings: list[list[Any]] = []
    versions: dict[str, str] = {}
    for stage in runner.ORDER:
        if stage in run.artifacts and (run.artifacts[stage] / store.MANIFEST).is_file():
            ingredients = manifest(run.artifacts[stage])["ingredients"]
            settings += [[f"{stage}.{key}", written(value)] for key, value in flat(ingredients["section"]).items()]
            versions |= ingredients["versions"]
    tables = (
        (f"{len(settings)} settings", ["setting", "value"], settings),
        ("Versions", ["library", "version"], [list(pair) for pair in versions.items()]),
    )
    for title, headers, rows in tables:
        found = list(rows)
        if found:
            parts.append(page.opening(title, markup.table(headers, found, texts=(0, 1))))
    return Section("How it was made", "made", f'<div class="stack">{"".join(parts)}</div>')


def written(value: Any) -> str:
    """A setting as it would stand in a file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
