"""The class index of a label."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textpipe.config.sections import Section
from textpipe.errors import DataError
from textpipe.features import _classes

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "label"
OF = ("label",)


class Config(Section):
    """The classes are the labels of train, sorted by code point."""

    kind: Literal["label"] = "label"
    out_of_scope: str | None = None  # label of rows without a class: not trained on; see out_of_scope in [answer]


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Write folder/name.classes.json; values() yields string tensors [N]. Raises DataError for fewer than two."""
    counts = _classes.count_labels(values)
    counts.pop(config.out_of_scope or "", None)
    if len(counts) < 2:
        label_description = f"only the label {next(iter(counts))!r}" if counts else "no label"
        raise DataError(
            f"[vectorize] train: the {sum(counts.values()):,} rows have {label_description} in {name!r}, but a classifier needs two "
            "or more; check [ingest] columns, or add rows with other labels"
        )
    _classes.write(folder, name, sorted(counts))


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] string -> [N] int32.

    ["yes", "no"] -> [1, 0]
    """
    from textpipe.features._labels import Labels

    return Labels(_classes.read(folder, name), out_of_scope=config.out_of_scope)


def check(feature: Any, name: str, values: Callable[[], Iterable[tuple[str, Any, Any]]]) -> None:
    """Raise a DataError that lists the labels of valid and test that train does not have.

    values() yields (split, row numbers [N], string tensor [N]).
    """

    def unknown_labels() -> Iterator[tuple[str, int, list[str]]]:
        for split, rows, labels in values():
            for index in (feature.ids(labels).numpy() < 0).nonzero()[0].tolist():
                label = labels[index].numpy().decode()
                if label != feature.out_of_scope:
                    yield split, rows[index], [label]

    _classes.check(feature.classes, name, unknown_labels)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Labels":
    """The class of each row, from vectorize's tables."""
    from textpipe.data import columns

    return columns.Labels(columns.scalar_column(tables, name, "int32"), len(size["classes"]))


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The number of classes that occur in a split."""
    return f"{len(stats):,} of {len(size['classes']):,} classes"
