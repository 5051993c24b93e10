"""Slices of the evaluated rows: named conditions over their fields and kept columns.

long = "words > 30"                         question = "text contains '?'"
urgent = "subject contains 'urgent' and recipients > 3"      from_ann = "sender is 'ann@example.org'"

A condition is one test or several, joined by `and`; `not` negates a test. A test is

    [FIELD] words | characters    < | <= | > | >= | = | !=    NUMBER         of the length of a text
    FIELD                         < | <= | > | >= | = | !=    NUMBER         of a number
    [FIELD]                       contains | starts with | ends with | is    'TEXT'

Without FIELD it is of all source texts, one after the other. Texts are compared after case folding. Conditions are parsed, never run as code.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textpipe.errors import DataError, suggest

TOKEN = re.compile(
    r"""\s*(?:(?P<text>'[^']*'|"[^"]*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<sign><=|>=|!=|<|>|=)|(?P<word>[^\W\d]\w*))"""
)
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
LENGTHS: dict[str, Callable[[str], int]] = {"words": lambda text: len(text.split()), "characters": len}
RELATIONS: dict[str, Callable[[str, str], bool]] = {
    "contains": operator.contains, "starts": str.startswith, "ends": str.endswith, "is": operator.eq,
}  # fmt: skip
EXPECTED = "expected tests such as words > 30, characters <= 80, text contains '?', sender is 'ann@example.org' or recipients > 3, joined by `and`"


@dataclass(frozen=True)
class Test:
    """One test of a cell. field: None for all source texts; measure: "words", "characters", or None for the cell itself."""

    field: str | None
    measure: str | None
    relation: str
    value: str | float
    negated: bool

    def holds(self, cell: Any) -> bool:
        """Whether a cell passes the test; an empty number passes none."""
        if isinstance(self.value, str):
            names = cell if isinstance(cell, list | tuple) else [cell]  # of a set of labels, any one
            value, relation = self.value.casefold(), RELATIONS[self.relation]
            texts = ("" if name is None else str(name) for name in names)
            return any(relation(text.casefold(), value) for text in texts) != self.negated
        if self.measure is not None:
            cell = LENGTHS[self.measure](str(cell))
        try:
            number = float(cell)
        except (TypeError, ValueError):
            return False
        return SIGNS[self.relation](number, self.value) != self.negated


def parse(condition: str) -> tuple[Test, ...]:
    """The tests of a condition, all of which a row must pass. Raises ValueError with the place of the mistake."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while condition[at:].strip():
        match = TOKEN.match(condition, at)
        if match is None:
            raise ValueError(f"{condition!r}: cannot be read at {condition[at:].strip()[:20]!r}; {EXPECTED}")
        assert match.lastgroup is not None
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    tests = []
    while True:
        test, tokens = parse_test(condition, tokens)
        tests.append(test)
        if not tokens:
            return tuple(tests)
        if tokens[0] != ("word", "and"):
            raise ValueError(f"{condition!r}: expected `and` before {tokens[0][1]!r}; {EXPECTED}")
        tokens = tokens[1:]


def parse_test(condition: str, tokens: list[tuple[str, str]]) -> tuple[Test, list[tuple[str, str]]]:
    """The first test of a list of tokens, and the tokens behind it."""
    rest = list(tokens)

    def take(kind: str, words: Sequence[str] = ()) -> str | None:
        if rest and rest[0][0] == kind and (not words or rest[0][1] in words):
            return rest.pop(0)[1]
        return None

    negated = take("word", ("not",)) is not None
    first, second = [*rest, ("", ""), ("", "")][:2]
    # `words > 3` measures the source texts, `words contains 'a'` is of a field with this name.
    is_test = (
        (first[1] in LENGTHS and second[0] == "sign")
        or (first[1] in RELATIONS and second[0] == "text")
        or (first[1] in ("starts", "ends") and second[1] == "with")
    )
    field = None if is_test else take("word")
    measure = take("word", tuple(LENGTHS))
    relation = take("sign")
    if relation is not None and (measure is not None or field is not None):
        value = take("number")
        if value is not None:
            return Test(field, measure, relation, float(value), negated), rest
    elif measure is None and relation is None:
        relation = take("word", tuple(RELATIONS))
        complete = relation not in ("starts", "ends") or take("word", ("with",)) is not None
        text = take("text")
        if relation is not None and complete and text is not None:
            return Test(field, None, relation, text[1:-1], negated), rest
    place = rest[0][1] if rest else "its end"
    raise ValueError(f"{condition!r}: cannot be read at {place!r}; {EXPECTED}")


def fields_of(slices: Mapping[str, str]) -> list[str]:
    """The fields and kept columns that conditions name, each once."""
    return list(dict.fromkeys(test.field for text in slices.values() for test in parse(text) if test.field is not None))


def check_columns(slices: Mapping[str, str], columns: Sequence[str]) -> None:
    """Raise DataError for a condition on a column that the rows do not have."""
    for name, text in slices.items():
        for test in parse(text):
            if test.field is not None and test.field not in columns:
                raise DataError(
                    f"[evaluate.slices] {name}: the rows have no field {test.field!r}{suggest(test.field, columns)}; other columns of the "
                    "file are kept by [ingest] keep"
                )


def members(condition: str, columns: Mapping[str, Sequence[Any]], sources: Sequence[str]) -> list[int]:
    """The numbers of the rows that pass a condition. columns: {field: [N] cells}; sources: the source texts of each row [N]."""
    tests = parse(condition)
    cells = [sources if test.field is None else columns[test.field] for test in tests]
    return [at for at, row in enumerate(zip(*cells, strict=True)) if all(map(Test.holds, tests, row))]


def measure(
    slices: Mapping[str, str],
    columns: Mapping[str, Sequence[Any]],
    sources: Sequence[str],
    outputs: Mapping[str, Sequence[Any]],
    references: Sequence[Any],
    score: Callable[..., dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """{name: {"condition", "rows", "metrics"}}; score(outputs, references, resamples=) gives the metrics of rows. An empty slice has none."""
    table: dict[str, dict[str, Any]] = {}
    for name, condition in slices.items():
        rows = members(condition, columns, sources)
        metrics = {}
        if rows:
            chosen = {key: [values[at] for at in rows] for key, values in outputs.items()}
            metrics = score(chosen, [references[at] for at in rows], resamples=0)["metrics"]
        table[name] = {"condition": condition, "rows": len(rows), "metrics": metrics}
    return table
