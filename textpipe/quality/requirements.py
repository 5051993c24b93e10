"""[ingest.require]: the quality that rows must have before a later stage reads them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field as Limits

from textpipe.config.sections import Section
from textpipe.errors import ThresholdError
from textpipe.quality.excerpt import excerpt

FILE = "quality.json"  # in ingest's result, if anything is required
NUM_SHOWN = 3  # examples in a message
MAX_CHARACTERS = 80  # of an example
SEPARATOR = ";\n  "  # of the misses in a message


class Requirements(Section):
    """[ingest.require]: Limits, off unless set. Shares are those of a split's rows; `textpipe data report PIPELINE` shows the rows.

    max_duplicates: the largest share of rows whose text occurs in an earlier row of the split.
    max_near_duplicates: the largest number of distinct texts that are near duplicates of an earlier one of the split, as a share of its
    rows; near duplicates have at least .8 of their character 5-grams in common.
    max_leakage: the largest share of rows of valid or test whose text occurs in train, and of test whose text occurs in valid.
    max_near_leakage: the same for near duplicates.
    max_contradictions: the largest share of rows whose text occurs with another label.
    max_near_contradictions: the same for near duplicates with another label.
    min_rows_per_class: the smallest number of training rows of any class.
    """

    max_duplicates: float | None = Limits(default=None, ge=0, le=1)
    max_near_duplicates: float | None = Limits(default=None, ge=0, le=1)
    max_leakage: float | None = Limits(default=None, ge=0, le=1)
    max_near_leakage: float | None = Limits(default=None, ge=0, le=1)
    max_contradictions: float | None = Limits(default=None, ge=0, le=1)
    max_near_contradictions: float | None = Limits(default=None, ge=0, le=1)
    min_rows_per_class: int | None = Limits(default=None, ge=1)

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


NEEDS_LABELS = ("max_contradictions", "max_near_contradictions", "min_rows_per_class")


def write(folder: Path, fields: Any) -> None:
    """Measure the rows that ingest wrote to a folder, and write quality.json."""
    from textpipe.quality import corpus, duplicates

    rows = corpus.read_ingested("ingest", folder, fields)
    text = json.dumps(duplicates.measure(rows), indent=1, ensure_ascii=False) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")


def check(require: Requirements, folder: Path) -> None:
    """Raise ThresholdError with each limit that the rows of ingest's result miss, and examples."""
    if not require.limits:
        return
    measured = json.loads((folder / FILE).read_text(encoding="utf-8"))
    stats = json.loads((folder / "stats.json").read_text(encoding="utf-8"))
    misses = [fault for name, limit in require.limits.items() for fault in faults(name, limit, measured, stats)]
    if misses:
        raise ThresholdError(
            f"[ingest.require] {SEPARATOR.join(misses)}{SEPARATOR}no later stage runs, and ingest's result is kept: see the rows with "
            "`textpipe data report PIPELINE`, repair them, drop them with [ingest] drop_duplicates or on_leak, or relax the limit"
        )


def faults(name: str, limit: float, measured: Mapping[str, Any], stats: Mapping[str, Any]) -> Iterator[str]:
    """A message for each place where a limit is missed."""
    near = "near_" if "_near_" in name else ""
    kind = name.removeprefix("max_").removeprefix("near_")
    if kind == "duplicates":
        for split, table in measured["duplicates"].items():
            shown = [
                entry["other" if near else "text"]["text"]
                for entry in table["most_similar" if near else "most_frequent"]
            ]
            yield from over(name, limit, split, table[f"{near}duplicate_share"], table[f"{near}duplicates"], shown)
    elif kind == "leakage":
        for split, leaks_by_split in measured["leakage"].items():
            for other_split, table in leaks_by_split.items():
                shown = [entry["text"]["text"] for entry in table[f"{near}examples"]]
                place = f"{split} rows in {other_split}" if not near else f"{split} rows nearly in {other_split}"
                yield from over(name, limit, place, table[f"{near}share"], table[f"{near}rows"], shown)
    elif kind == "contradictions":
        table = measured["contradictions"]
        shown = [entry["text"]["text"] for entry in table[f"{near}examples"]]
        yield from over(name, limit, "all splits", table[f"{near}share"], table[f"{near}rows"], shown)
    else:
        yield from rare_classes(limit, stats)


def over(name: str, limit: float, place: str, share: float, rows: int, examples: list[str]) -> Iterator[str]:
    """max_leakage at most 0, found 0.0081 (25 rows; test rows in train): 'What is my PIN?', ..."""
    if share > limit:
        texts = ", ".join(repr(excerpt(text, MAX_CHARACTERS)) for text in examples[:NUM_SHOWN])
        yield f"{name} at most {limit:g}, found {share:.4g} ({rows:,} {'row' if rows == 1 else 'rows'}; {place}): {texts}"


def rare_classes(limit: float, stats: Mapping[str, Any]) -> Iterator[str]:
    """The classes of train with too few rows."""
    for profile in stats["splits"]["train"]["fields"].values():
        rare = {label: rows for label, rows in profile.get("classes", {}).items() if rows < limit}
        if rare:
            shown = ", ".join(
                f"{excerpt(label, MAX_CHARACTERS)!r} {rows:,}" for label, rows in list(rare.items())[::-1][:NUM_SHOWN]
            )
            count = f"{len(rare):,} classes" if len(rare) > 1 else "1 class"
            yield f"min_rows_per_class at least {limit:g}, found {count} with fewer in train: {shown}"
