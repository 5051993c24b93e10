"""MODEL_CARD.md of an export: its data, scores, limits and how to call it, in Markdown.

After Mitchell et al. 2019, Model Cards for Model Reporting. Everything is taken from the results of earlier stages: the same results give the same bytes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.data import catalog
from textpipe.errors import DataError
from textpipe.metrics.length_ranges import length_ranges

NAME = "MODEL_CARD.md"
NUM_WEAKEST = 5  # classes
MIN_SUPPORT = 5  # rows of a class whose F1 is worth naming
NUM_CONFUSIONS = 3
MIN_RANGE = 20  # rows of a range of lengths
FEW_ROWS = 100  # scores of fewer rows are uncertain
SCRIPT_SHARE = 0.01  # of the letters of a training text
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def write(folder: Path, about: Mapping[str, Any], inputs: Mapping[str, Path]) -> None:
    """Write the card of a model whose textpipe.json is `about`; inputs: the results of the stages."""
    (folder / NAME).write_text(card(about, inputs), encoding="utf-8")


def card(about: Mapping[str, Any], inputs: Mapping[str, Path]) -> str:
    """The card as Markdown."""
    report, stats = read_json(inputs["evaluate"] / "metrics.json"), read_json(inputs["ingest"] / "stats.json")
    origin = read_json(inputs["ingest"] / "logs" / "origin.json")
    sections = {
        "Data": data_lines(origin, stats),
        "Scores": score_lines(report),
        "Limits": [f"- {line}" for line in limits(about, report, stats, inputs["evaluate"] / "predictions.jsonl")],
        "How to call it": call_lines(about),
    }
    lines = [f"# Model card: {escape(about['task'])}", "", *model_lines(about), ""]
    for title, content in sections.items():
        lines += [f"## {title}", "", *content, ""]
    return "\n".join(lines)


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON file; {} if it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def escape(text: object) -> str:
    """A text in one line of Markdown, its special characters escaped: "a|b" -> "a\\\\|b"."""
    return SPECIAL.sub(r"\\\1", "".join(letter if letter.isprintable() else " " for letter in str(text)).strip())


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table; cells are escaped."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return lines + ["| " + " | ".join(map(escape, row)) + " |" for row in rows]


def number(value: float | None) -> str:
    """Four significant digits, or a dash."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def model_lines(about: Mapping[str, Any]) -> list[str]:
    """The kind of model, its fields and its signatures."""
    fields = ", ".join(f"{item['name']} ({item['kind']})" for item in about["fields"] if item["side"] == "source")
    target = next(item for item in about["fields"] if item["side"] == "target")
    rows = [
        ["reads", fields],
        ["answers", f"{target['name']} ({target['kind']})"],
        ["model", about["model"]["kind"]],
    ]
    ensemble = about.get("ensemble")
    if ensemble:
        rows.append(
            ["ensemble", f"{ensemble['mean']} mean of its probabilities and those of {', '.join(ensemble['members'])}"]
        )
    if about["labels"]:
        names = ", ".join(map(str, about["labels"][:10]))
        rows.append(["classes", f"{len(about['labels']):,}: {names}" + (", ..." if len(about["labels"]) > 10 else "")])
    rows.append(["parameters" + (" without the members'" if ensemble else ""), number(about["training"]["parameters"])])
    if about["decode"]:
        rows.append(["decoding", about["decode"]["kind"]])
    rows.append(["signatures", ", ".join(sorted(about["signatures"]))])
    rows.append(["made with", ", ".join(f"{name} {version}" for name, version in sorted(about["versions"].items()))])
    return table(["", ""], rows)


def data_lines(origin: Mapping[str, Any], stats: Mapping[str, Any]) -> list[str]:
    """Where the rows come from, their licence, and how many there are."""
    name = origin.get("origin", {}).get("dataset")
    lines = ["Files of the user; their licence is not known to textpipe."]
    if name:
        lines = [f"Dataset `{name}`."]
        try:
            described = catalog.load_card(name)
        except DataError:
            lines[0] += " Its dataset card is no longer there, so its licence is not known."
        else:
            lines = [f"Dataset `{name}`: {described.title}. {described.description}", ""]
            lines += [
                f"- Licence: {described.licence}",
                f"- Home: {described.homepage}",
                *(f"- {note}" for note in described.notes),
            ]
    rows = []
    for split, entry in stats["splits"].items():
        leaks = stats["leakage"].get(split, {}).get("rows")
        rows.append(
            [
                split,
                *(f"{entry[key]:,}" for key in ("rows", "duplicates", "conflicts")),
                "–" if leaks is None else f"{leaks:,}",
            ]
        )
    headers = ["split", "rows", "duplicates", "same source, other target", "source also in train"]
    lines += ["", *table(headers, rows), ""]
    if synthetic := stats.get("synthetic"):
        lines += [synthetic_line(synthetic), ""]
    lines += ["Fields of train:", ""]
    for field, entry in stats["splits"]["train"]["fields"].items():
        line = plugins.find("kinds", entry["kind"]).line(entry)
        lines.append(f"- {escape(field)}: {escape(line)}")
    return lines


def synthetic_line(table: Mapping[str, Any]) -> str:
    """How many rows of train no person wrote, from the table of [ingest.synthetic] in stats.json."""
    written = (
        "left out"
        if not table["repeat"]
        else "written once"
        if table["repeat"] == 1
        else f"written {table['repeat']} times"
    )
    tag = f", their sources tagged `{escape(table['tag'])}`" if table["tag"] else ""
    return (
        f"{table['rows']:,} rows of train are synthetic{tag}: a model wrote one side of them. The {table['real_rows']:,} real rows are "
        f"{written}."
    )


def score_lines(report: Mapping[str, Any]) -> list[str]:
    """Metrics with their intervals, of all rows and of slices."""
    rows = []
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name, (None, None))
        rows.append([name, number(value), "" if low is None else f"{number(low)} to {number(high)}"])
    lines = [
        f"On {report['rows']:,} {report['split']} rows, answered by the exported graph:",
        "",
        *table(["metric", "value", "95 % interval"], rows),
    ]
    parts = {
        **{f"slice {name}: {entry['condition']}": entry for name, entry in report.get("slices", {}).items()},
        **{
            f"rows with {words.replace('_', ' ')}": report[words]
            for words in ("rare_words", "unseen_words")
            if words in report
        },
    }
    if parts:
        names = list(report["metrics"])[:3]
        rows = [
            [title, f"{entry['rows']:,}", *(number(entry["metrics"].get(name)) for name in names)]
            for title, entry in parts.items()
        ]
        lines += ["", *table(["part", "rows", *names], rows)]
    return lines + (["", *(f"- {escape(note)}" for note in report["notes"])] if report.get("notes") else [])


def limits(
    about: Mapping[str, Any], report: Mapping[str, Any], stats: Mapping[str, Any], predictions: Path
) -> Iterator[str]:
    """What was measured to be weak, and what was not measured."""
    if report["rows"] < FEW_ROWS:
        yield f"The scores are of {report['rows']:,} rows only and uncertain; see the intervals."
    yield from (escape(warning) for warning in report.get("warnings", []))
    if about.get("ensemble"):
        yield f"Whether the members of the ensemble were trained on rows of {report['split']} is not known; then the scores are too good."
    if report.get("confusion"):
        yield from weak_classes(report["labels"], report["confusion"])
        yield from weak_lengths(about, predictions)
        error = report["metrics"].get("calibration_error")
        if error is not None:
            yield f"Probabilities differ from accuracies by {number(error)} on average (expected calibration error)."
    for name, entry in report.get("slices", {}).items():
        main = next(iter(report["metrics"]))
        value, overall = entry["metrics"].get(main), report["metrics"][main]
        minimize = plugins.find("tasks", about["task"]).METRICS.get(main) == "min"
        if value is not None and overall is not None and (value > overall if minimize else value < overall):
            yield f"{main} is {number(value)} in the slice {escape(name)} ({entry['rows']:,} rows), where it is {number(overall)} in all rows."
    for split, leak in stats["leakage"].items():
        if leak["rows"] and split == report["split"]:
            yield f"{leak['rows']:,} {split} rows ({leak['share']:.2%}) have a source that occurs in train: the scores are slightly too good."
    for field, entry in stats["splits"]["train"]["fields"].items():
        if "scripts" in entry and about_source(about, field):
            scripts = [script for script, share in entry["scripts"].items() if share >= SCRIPT_SHARE]
            longest = entry["words"].get("p99", entry["words"].get("max"))
            yield (
                f"{escape(field)}: trained on texts in {', '.join(scripts) or 'no'} script, 99 % of them of at most {longest:,} words; other scripts, languages "
                "and longer texts were not measured."
            )


def about_source(about: Mapping[str, Any], field: str) -> bool:
    """Whether a field is an input of the model."""
    return any(item["name"] == field and item["side"] == "source" for item in about["fields"])


def weak_classes(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> Iterator[str]:
    """The classes with the lowest F1, and the most frequent confusions."""
    figures = []
    for at, label in enumerate(labels):
        support, answered = sum(confusion[at]), sum(line[at] for line in confusion)
        if support >= MIN_SUPPORT:
            figures.append((2 * confusion[at][at] / max(support + answered, 1), support, label))
    figures.sort(key=lambda entry: (entry[0], entry[2]))
    if figures:
        shown = ", ".join(
            f"{escape(label)} {number(f1)} ({support:,} rows)" for f1, support, label in figures[:NUM_WEAKEST]
        )
        yield f"Weakest classes by F1: {shown}."
    rare = sum(0 < sum(line) < MIN_SUPPORT for line in confusion)
    absent = sum(sum(line) == 0 for line in confusion)
    if rare or absent:
        yield f"Hardly measured: {rare:,} classes have fewer than {MIN_SUPPORT} scored rows, and {absent:,} have none."
    wrong = sorted(
        ((-count, i, j) for i, line in enumerate(confusion) for j, count in enumerate(line) if i != j and count)
    )[:NUM_CONFUSIONS]
    if wrong:
        shown = ", ".join(
            f"{escape(labels[i])} answered as {escape(labels[j])} ({-count:,} rows)" for count, i, j in wrong
        )
        yield f"Most frequent confusions: {shown}."


def weak_lengths(about: Mapping[str, Any], predictions: Path) -> Iterator[str]:
    """The range of lengths with the lowest accuracy, if it is lower than in all rows."""
    sources = [
        item["name"]
        for item in about["fields"]
        if item["side"] == "source" and hasattr(plugins.find("kinds", item["kind"]), "texts")
    ]
    target = next(item["name"] for item in about["fields"] if item["side"] == "target")
    rows = []
    with predictions.open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            rows.append((sum(len(str(line[name]).split()) for name in sources), line["answer"] == line[target]))
    ranges = []
    for first, last in length_ranges([length for length, _ in rows]):
        correct = [is_correct for length, is_correct in rows if first <= length <= last]
        if len(correct) >= MIN_RANGE:
            ranges.append((sum(correct) / len(correct), first, last, len(correct)))
    overall = sum(is_correct for _, is_correct in rows) / max(len(rows), 1)
    if len(ranges) > 1 and min(ranges)[0] < overall:
        accuracy, first, last, count = min(ranges)
        yield f"Accuracy is lowest, {number(accuracy)}, for sources of {first:,} to {last:,} words ({count:,} rows), where it is {number(overall)} in all rows."


def call_lines(about: Mapping[str, Any]) -> list[str]:
    """Commands that call the model: on the command line, over REST, from Python."""
    kinds = {item["name"]: plugins.find("kinds", item["kind"]) for item in about["fields"]}
    single = len(about["inputs"]) == 1
    row = {name: getattr(kinds[name], "EXAMPLE", "") for name in about["inputs"]}
    instance: Any = next(iter(row.values())) if single else row
    line = json.dumps(instance, ensure_ascii=False)
    body = json.dumps({"instances": [instance]}, ensure_ascii=False)
    return [
        "NAME is the folder of this model's versions.",
        "",
        "```sh",
        f"textpipe predict saved_models/NAME {line}"
        if single
        else f"echo '{line}' | textpipe predict saved_models/NAME -",
        "",
        "textpipe serve saved_models &      # or TensorFlow Serving with TensorFlow Text",
        f"curl -d '{body}' http://127.0.0.1:8501/v1/models/NAME:predict",
        "```",
        "",
        "```python",
        "import textpipe",
        "",
        f'textpipe.predict("saved_models/NAME", [{line}])',
        "```",
    ]
