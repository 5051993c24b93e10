"""A number, standardized by the mean and standard deviation of train; a missing value counts as the mean."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textpipe.config.sections import Section
from textpipe.errors import DataError

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "scalar"
OF = ("number",)


class Config(Section):
    """(value - mean) / standard deviation, both computed on train; a deviation of 0 counts as 1."""

    kind: Literal["scalar"] = "scalar"


def scalar_path(folder: Path, name: str) -> Path:
    """The file that holds the mean and standard deviation of a field."""
    return Path(folder) / f"{name}.scalar.json"


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Write folder/name.scalar.json; values() yields float32 tensors [N], with NaN for missing values.

    Raises DataError when train has no number.
    """
    import numpy as np

    def present() -> Iterable[Any]:
        for batch in values():
            numbers = batch.numpy().astype(np.float64)
            yield numbers[~np.isnan(numbers)]

    count = sum(len(numbers) for numbers in present())
    if not count:
        raise DataError(f"[vectorize] train: {name!r} has no number in any row; check [ingest] columns")
    mean = sum(float(numbers.sum()) for numbers in present()) / count
    variance = sum(float(((numbers - mean) ** 2).sum()) for numbers in present()) / count
    table = {"mean": mean, "deviation": variance**0.5 or 1.0}
    scalar_path(folder, name).write_text(json.dumps(table), encoding="utf-8")


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] float32 -> [N] float32.

    [1, 3, NaN] with mean 2 and deviation 1 -> [-1, 1, 0]
    """
    from textpipe.features._scalar import Scalar

    return Scalar(**json.loads(scalar_path(folder, name).read_text(encoding="utf-8")))


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Dense":
    """The number of each row, from vectorize's tables."""
    from textpipe.data import columns

    return columns.Dense(columns.scalar_column(tables, name, "float32"))


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The mean and deviation of train, and the number of missing values of a split."""
    missing = f", {stats['missing']:,} missing" if stats.get("missing") else ""
    return f"mean {size['mean']:g} and deviation {size['deviation']:g} of train{missing}"
