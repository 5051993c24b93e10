"""A set of labels as a multi-hot row, with one column per class."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textpipe.config.sections import Section
from textpipe.errors import DataError
from textpipe.features import _classes
from textpipe.kinds import labels

if TYPE_CHECKING:
    from textpipe.features._multi_hot import MultiHotColumn

KIND = "multi_hot"
OF = ("labels",)


class Config(Section):
    """The classes are the labels of train, sorted by code point."""

    kind: Literal["multi_hot"] = "multi_hot"


def names(cells: Iterable[bytes]) -> list[tuple[str, ...]]:
    """The labels of each cell: [b"a|b", b""] -> [("a", "b"), ()]"""
    return [labels.parse(cell.decode()) for cell in cells]


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Write folder/name.classes.json; values() yields string tensors [N]. Raises DataError when train has no label."""
    classes = {label for batch in values() for cell in names(batch.numpy().tolist()) for label in cell}
    if not classes:
        raise DataError(f"[vectorize] train: no row has a label in {name!r}; check [ingest] columns")
    _classes.write(folder, name, sorted(classes))


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] string -> [N, C] float32.

    ["urgent", "", "billing|urgent"] -> [[0, 1], [0, 0], [1, 1]]
    """
    from textpipe.features._multi_hot import MultiHot

    return MultiHot(_classes.read(folder, name))


def check(feature: Any, name: str, values: Callable[[], Iterable[tuple[str, Any, Any]]]) -> None:
    """Raise a DataError that lists the labels of valid and test that train does not have.

    values() yields (split, row numbers [N], string tensor [N]).
    """
    _classes.check(
        feature.classes,
        name,
        lambda: (
            (split, number, cell)
            for split, rows, batch in values()
            for number, cell in zip(rows, names(batch.numpy().tolist()), strict=True)
        ),
    )


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "MultiHotColumn":
    """The classes of each row, from vectorize's tables, without copying them."""
    from textpipe.data import columns
    from textpipe.features._multi_hot import MultiHotColumn

    return MultiHotColumn(columns.list_column(tables, name), len(size["classes"]))


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The number of classes that occur in a split, and the average number per row."""
    return f"{len(stats):,} of {len(size['classes']):,} classes, {sum(stats.values()) / max(rows, 1):.2f} a row"
