"""Runs an experiment and writes its table, picture and sentence: NAME.json, NAME.csv, NAME.svg; and the page of all."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.config import plugins
from textpipe.errors import DataError
from textpipe.laboratory._context import Context
from textpipe.laboratory._statistics import Table
from textpipe.version import __version__

PACKAGE = "laboratory"


def question(module: ModuleType) -> str:
    """The first line of the module's docstring."""
    return (module.__doc__ or "").strip().splitlines()[0]


def method(module: ModuleType) -> str:
    """The rest of the module's docstring, on one line for each paragraph."""
    paragraphs = (module.__doc__ or "").strip().split("\n\n")[1:]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def run(name: str, *, runs: Path, output: Path, artifacts: Path, on_run: Callable[..., None] | None = None) -> dict:
    """Run an experiment, or what is left of it, and write its results to `output`; returns the content of NAME.json.

    runs: the folder of kept single runs. Raises DataError if its data are missing, ConfigError for an unknown name.
    """
    module = plugins.find(PACKAGE, name)
    context = Context(name, results=runs, artifacts=artifacts, on_run=on_run)
    rows = module.run(context)
    table = Table(rows, module.FACTORS, module.MEASURES)
    result = {
        "experiment": name,
        "question": question(module),
        "data": list(module.DATA),
        "sentence": module.sentence(table),
        "version": measured_version(),
        "processor_seconds": round(context.processor_seconds),
        "factors": list(module.FACTORS),
        "measures": dict(module.MEASURES),
        "summary": rounded(table.summary()),
        "runs": rounded(rows),
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_csv(output / f"{name}.csv", result["summary"], module.FACTORS, module.MEASURES)
    draw(module, table, output / f"{name}.svg")
    return result


def rounded(value: Any) -> Any:
    """Every float in a JSON value to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def measured_version() -> str:
    """textpipe's version, and the commit in a checkout, "-dirty" with uncommitted changes of the package."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        commit, changes = (
            subprocess.run([*git, *command], capture_output=True, text=True, check=True).stdout.strip()
            for command in (["rev-parse", "--short=10", "HEAD"], ["status", "--porcelain", "--", "."])
        )
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__} ({commit}{'-dirty' if changes else ''})"


def write_csv(path: Path, summary: list[dict[str, Any]], factors: Any, measures: Mapping[str, str]) -> None:
    """The summary: a column for each factor, and three for each measure: mean, low, high."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        limits = [f"{name}{suffix}" for name in measures for suffix in ("", "_low", "_high", "_runs")]
        writer.writerow([*factors, "runs", *limits])
        for line in summary:
            figures = [figure for name in measures for figure in line[name] or (None, None, None, 0)]
            writer.writerow([*(line[factor] for factor in factors), line["runs"], *figures])


def draw(module: ModuleType, table: Table, path: Path) -> None:
    """The experiment's picture as SVG, the same bytes for the same table."""
    import matplotlib
    from matplotlib.figure import Figure

    options = {"svg.hashsalt": "textpipe", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=getattr(module, "SIZE", (6.5, 3.2)), layout="constrained")
        module.picture(table, figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    path.write_text(compact(text.getvalue()), encoding="utf-8")


def compact(svg: str) -> str:
    """An SVG file of matplotlib's with coordinates of two decimals, a line for each group, and no fallback fonts, numbered ids or document type.

    <path d="M 82.246334 3.00024 \nL 0 0 "/> -> <path d="M 82.25 3 L 0 0"/>
    """
    svg = re.sub(r"<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"'DejaVu Sans', [^;\"]*", "'DejaVu Sans', sans-serif", svg)
    svg = re.sub(r'="[^"]*"', lambda value: short_value(value[0]), svg)
    svg = re.sub(r' id="[a-z0-9.]+_\d+"', "", svg)  # of groups, which nothing refers to
    return re.sub(r">\s+<(?!g\b|/svg)", "><", svg)


def short_value(value: str) -> str:
    """An attribute's value on one line, with numbers of two decimals."""
    rounded_numbers = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{round(float(number[0]), 2) + 0:g}", value)
    return " ".join(rounded_numbers.split()).replace(' "', '"')


def page(folder: Path, pictures: str) -> str:
    """docs/laboratory.md from the results in a folder. pictures: the folder as the page links it.

    Raises DataError if there are none.
    """
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not results:
        raise DataError(f"{folder}: expected results of `textpipe lab run`, found none; run an experiment first")
    known = plugins.names(PACKAGE)
    minutes = sum(result["processor_seconds"] for result in results) / 60
    option = "" if pictures == str(folder) else f" --pictures {pictures}"
    lines = [
        "# Laboratory",
        "",
        "Common claims about training, tested by experiment. Each section is the result of `textpipe lab run NAME`; this page is the",
        f"output of `textpipe lab report {folder}{option}`. Figures are means over seeds with 95 % t intervals [low, high]. Differences are",
        "paired by seed; those whose interval contains zero are not significant. The results hold for the data and sizes named.",
        f"The experiments below took {minutes:.0f} minutes of processor time.",
        "",
    ]
    missing = [name for name in known if name not in {result["experiment"] for result in results}]
    if missing:
        lines += [f"Not measured yet: {', '.join(missing)}.", ""]
    for result in results:
        name = result["experiment"]
        lines += [f"## {result['question']}", "", f"**{result['sentence']}**", ""]
        if name in known:
            lines += [method(plugins.find(PACKAGE, name)), ""]
        source = (
            f"`textpipe lab run {name}`; data: {', '.join(result['data'])}; measured with textpipe {result['version']}"
        )
        lines += [f"![{name}]({pictures}/{name}.svg)", "", *markdown_table(result), "", f"{source}.", ""]
    return "\n".join(lines)


def markdown_table(result: Mapping[str, Any]) -> list[str]:
    """The summary as a table."""
    measures = result["measures"]
    header = [*result["factors"], "runs", *measures.values()]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for line in result["summary"]:
        cells = [str(line[factor]) for factor in result["factors"]] + [str(line["runs"])]
        cells += [interval_text(line[name], line["runs"]) for name in measures]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def interval_text(figures: list[float | None] | None, runs: int) -> str:
    """[0.8123, 0.8, 0.82, 3] -> "0.812 [0.8, 0.82]", with " (2 of 3)" if the figure is undefined in some runs."""
    if figures is None:
        return "–"
    mean, low, high, count = figures
    defined = "" if count == runs else f" ({count} of {runs})"
    if low is None or low == high:
        return f"{mean:.3g}{defined}"
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]{defined}"
