"""The response set of a ranking, as responses.tsv keeps it: a person can read, edit and feed it back."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from textpipe.errors import DataError

FILE = "responses.tsv"
COLUMNS = ("response", "intent", "polarity", "count", "variants")
POLARITIES = {"negative": -1, "": 0, "neutral": 0, "positive": 1}
BETWEEN = " | "  # variants of a response


@dataclass(frozen=True)
class Response:
    """text: as it is suggested; intent: "" for none; polarity: 1 positive, -1 negative, 0 neither; count: training replies that mean
    it; variants: the texts of these."""

    text: str
    intent: str = ""
    polarity: int = 0
    count: int = 1
    variants: tuple[str, ...] = ()


def write(path: Path, responses: Iterable[Response]) -> None:
    """A line each, under the names of COLUMNS."""
    names = {value: name for name, value in POLARITIES.items() if name != "neutral"}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(
            file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None, escapechar="\\"
        )
        table.writerow(COLUMNS)
        for one in responses:
            table.writerow([one.text, one.intent, names[one.polarity], one.count, BETWEEN.join(one.variants)])


def read(path: Path) -> list[Response]:
    """The responses of a file; the first column alone is needed. Raises DataError that names the line of a fault."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8, found byte {error.object[error.start]:#x} at {error.start}") from None
    table = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, escapechar="\\")
    head = next(table, [])
    unknown = [name for name in head if name not in COLUMNS]
    if "response" not in head or unknown:
        raise DataError(f"{path}, line 1: expected the columns {', '.join(COLUMNS)} (at least response), found {head}")
    found: dict[str, Response] = {}
    for number, cells in enumerate(table, 2):
        if not cells:
            continue
        if len(cells) != len(head):
            raise DataError(f"{path}, line {number}: {len(cells)} columns where the header has {len(head)}")
        row = dict(zip(head, cells, strict=True))
        text, polarity, count = (
            row["response"].strip(),
            row.get("polarity", "").strip(),
            row.get("count", "1").strip() or "1",
        )
        if not text:
            raise DataError(f"{path}, line {number}: expected a response, found an empty cell; drop the line")
        if text in found:
            raise DataError(f"{path}, line {number}: the response {text!r} stands in two lines; keep one")
        if polarity not in POLARITIES:
            raise DataError(
                f"{path}, line {number}: expected a polarity of positive, negative or nothing, found {polarity!r}"
            )
        if not count.isdecimal():
            raise DataError(f"{path}, line {number}: expected a whole number in the column count, found {count!r}")
        variants = tuple(filter(None, row.get("variants", "").split(BETWEEN)))
        found[text] = Response(text, row.get("intent", "").strip(), POLARITIES[polarity], int(count), variants)
    if not found:
        raise DataError(f"{path}: holds no response")
    return list(found.values())


__all__ = ["FILE", "Response", "read", "write"]
