"""The rows and the classes of a scikit-learn caller as the columns and cells of a pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textpipe.config.fields import LONGEST_TEXT
from textpipe.errors import DataError
from textpipe.inference import frames
from textpipe.pipeline.columns_option import field_name

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TEXT, NUMBER = "text", "number"
TARGETS = {"classify": "label", "multi_label": "labels"}


class InputError(DataError, ValueError):
    """Rows, classes or settings that a Classifier cannot use; also a ValueError, which scikit-learn expects."""


@dataclass(frozen=True)
class Column:
    """A column of X: its name or position there, the field it becomes, and its kind."""

    source: Any
    field: str
    kind: str


@dataclass(frozen=True)
class Rows:
    """frame: one column per field; names: the columns' names in the caller's DataFrame, None for other rows."""

    frame: "pd.DataFrame"
    columns: Sequence[Column]
    names: Sequence[str] | None

    @property
    def count(self) -> int:
        return len(self.frame)

    @property
    def num_characters(self) -> int:
        """Of all texts but those that ingest drops for their length."""
        names = [column.field for column in self.columns if column.kind == TEXT]
        lengths = (len(text) for name in names for text in self.frame[name])
        return sum(length for length in lengths if length <= LONGEST_TEXT)

    @classmethod
    def of(cls, data: Any, columns: Sequence[Column] | None = None, names: Sequence[str] | None = None) -> "Rows":
        """A caller's X as rows; columns, names: of the rows that the estimator was fitted on, which these must match. Raises InputError."""
        import pandas as pd

        if hasattr(data, "tocsr"):
            raise InputError("X: sparse input is not supported; give texts, a DataFrame, or a dense array of numbers")
        if isinstance(data, str | bytes):
            raise InputError(f"X: expected texts, found one text, {frames.short_repr(data)}; give a list")
        is_frame = isinstance(data, pd.DataFrame)
        data = data if is_frame else as_frame(data)
        if not len(data):
            raise InputError("X: Found array with 0 sample(s) while a minimum of 1 is required; give at least one row")
        if not data.shape[1]:
            raise InputError(f"X: 0 feature(s) (shape={data.shape}) while a minimum of 1 is required; give a column")
        column_names = None
        if is_frame:
            if data.columns.nlevels > 1 or data.columns.has_duplicates:
                raise InputError("X: each column needs a single name; rename or flatten the columns")
            if all(isinstance(name, str) for name in data.columns):
                column_names = list(data.columns)
        if columns is None:
            columns = columns_of(data)
        elif names is not None and column_names is not None:
            missing = [name for name in names if name not in column_names]
            if missing:
                raise InputError(
                    f"X: has no column {missing[0]!r}, which the classifier was fitted on; it has {', '.join(column_names)}"
                )
            data = data[list(names)]
        elif data.shape[1] != len(columns):
            raise InputError(
                f"X has {data.shape[1]} features, but Classifier is expecting {len(columns)} features as input"
            )
        cells = {
            column.field: texts(data.iloc[:, at], column) if column.kind == TEXT else numbers(data.iloc[:, at], column)
            for at, column in enumerate(columns)
        }
        return cls(pd.DataFrame(cells, index=data.index), columns, column_names)

    def task(self, kind: str) -> Any:
        """The task of a pipeline file with these fields."""
        if [(column.field, column.kind) for column in self.columns] == [("text", TEXT)]:
            return kind
        return {
            "kind": kind,
            "fields": {column.field: column.kind for column in self.columns},
            "target": self.target_name(kind),
        }

    def target_name(self, kind: str) -> str:
        """The name of the target field, none of the columns'."""
        name = TARGETS[kind]
        while name in {column.field for column in self.columns}:
            name += "_"
        return name

    def inputs(self) -> dict[str, list[Any]]:
        """The cells as a model takes them: {field: texts as bytes, or numbers}."""
        from textpipe.savedmodel import model_rows

        return model_rows.encode_columns({name: self.frame[name].tolist() for name in self.frame})


def as_frame(data: Any) -> "pd.DataFrame":
    """Texts, a Series, or an array of one or two dimensions as a DataFrame. Raises InputError."""
    import numpy as np
    import pandas as pd

    if isinstance(data, pd.Series):
        return data.to_frame("text")
    if not hasattr(data, "__len__") and not hasattr(data, "__array__"):
        raise InputError(f"X: expected texts or a table, found {type(data).__name__}")
    values = list(data) if not hasattr(data, "__array__") else np.asarray(data)
    if isinstance(values, list):
        if all(isinstance(value, str | bytes) or value is None for value in values):
            return pd.DataFrame({"text": pd.Series(values, dtype=object)})
        try:
            values = np.asarray(values)
        except ValueError:
            raise InputError(
                "X: expected texts, or rows of equally many numbers, found rows of different kinds"
            ) from None
    if values.dtype.kind == "c":
        raise InputError("X: Complex data not supported; give texts or real numbers")
    if values.ndim == 1 and values.dtype.kind in "OUST":
        return pd.DataFrame({"text": pd.Series(values.tolist(), dtype=object)})
    if values.ndim != 2:
        raise InputError(
            f"X: Expected 2D array of numbers, got {values.ndim}D array instead. Reshape your data, or give texts"
        )
    return pd.DataFrame(values).infer_objects()


def columns_of(frame: "pd.DataFrame") -> list[Column]:
    """The field and the kind of each column. Raises InputError for columns of dates, lists and other objects."""
    import pandas as pd

    columns: list[Column] = []
    for at, name in enumerate(frame.columns):
        cells = frame.iloc[:, at]
        known = [column.field for column in columns]
        field = field_name(name if isinstance(name, str) else f"x{name}", known)
        if pd.api.types.is_bool_dtype(cells.dtype) or pd.api.types.is_numeric_dtype(cells.dtype):
            columns.append(Column(name, field, NUMBER))
        elif isinstance(cells.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(cells.dtype) or (
            cells.dtype == object
        ):  # fmt: skip
            values = [value for value in cells.tolist() if value is not None]
            is_number = values and all(isinstance(value, int | float) for value in values)
            columns.append(Column(name, field, NUMBER if is_number else TEXT))
        else:
            raise InputError(
                f"X: column {name!r} holds {cells.dtype}; expected texts or numbers, convert it with .astype(str)"
            )
    return columns


def texts(cells: "pd.Series", column: Column) -> list[str]:
    """The cells of a column of texts. Raises InputError for a missing one."""
    try:
        return list(frames.cell_texts(cells, "X", missing=None))
    except DataError as error:
        raise InputError(f"{error}; argument must be a string or a number") from None


def numbers(cells: "pd.Series", column: Column) -> "np.ndarray":
    """The cells of a column of numbers [N] float64, NaN for missing ones. Raises InputError for others, and infinity."""
    import numpy as np

    try:
        values = cells.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise InputError(f"X: column {column.source!r} was numbers when fitted, found {cells.dtype}") from None
    if np.isinf(values).any():
        raise InputError(f"X: column {column.source!r} contains infinity or a value too large; expected finite numbers")
    return values


@dataclass(frozen=True)
class Target:
    """kind: "classify" or "multi_label"; classes: in scikit-learn's order [C]; texts: their labels; cells: of the rows [N], as a file
    would have them; columns: of a DataFrame of indicators, else None."""

    kind: str
    classes: "np.ndarray"
    texts: Sequence[str]
    cells: Sequence[str]
    columns: Any = None

    @classmethod
    def of(cls, y: Any, count: int) -> "Target":
        """The classes of rows, or an indicator matrix. Raises InputError."""
        import numpy as np
        import pandas as pd
        from sklearn.utils import column_or_1d
        from sklearn.utils.multiclass import check_classification_targets, type_of_target

        columns = y.columns if isinstance(y, pd.DataFrame) and y.shape[1] > 1 else None
        if hasattr(y, "tocsr"):
            y = y.toarray()
        values = np.asarray(y)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError("Input y contains NaN or infinity; give every row a class")
        try:
            check_classification_targets(values)
            target_type = type_of_target(values, input_name="y")
        except ValueError as error:
            raise InputError(f"y: {error}") from None
        if len(values) != count:
            raise InputError(
                f"Found input variables with inconsistent numbers of samples: {count} rows, {len(values)} classes"
            )
        if target_type == "multilabel-indicator":
            names = (
                [str(name) for name in columns] if columns is not None else [str(at) for at in range(values.shape[1])]
            )
            label_texts = checked_labels(names)
            chosen = values.astype(bool)
            cells = ["|".join(label_texts[at] for at in np.flatnonzero(row)) for row in chosen]
            empty = [names[at] for at in np.flatnonzero(~chosen.any(axis=0))]
            if empty:
                raise InputError(f"y: no row has label {empty[0]!r}, so it cannot be learned; leave its column out")
            classes = np.asarray(columns if columns is not None else np.arange(values.shape[1]))
            return cls("multi_label", classes, label_texts, cells, columns)
        if target_type not in ("binary", "multiclass"):
            raise InputError(
                f"y: {target_type} is not supported; give one class per row, or an indicator matrix of 0 and 1"
            )
        classes, inverse = np.unique(column_or_1d(values, warn=True), return_inverse=True)
        if len(classes) < 2:
            raise InputError(
                f"y: has one class, {classes.tolist()[0]!r}; Classifier can't train when only one class is present"
            )
        label_texts = checked_labels([label_text(value) for value in classes.tolist()])
        return cls("classify", classes, label_texts, [label_texts[at] for at in inverse.tolist()])

    def order(self, trained: Sequence[str]) -> "np.ndarray":
        """The position of each of `classes` among the trained labels. Raises InputError if one was not trained."""
        import numpy as np

        missing = [text for text in self.texts if text not in trained]
        if missing:
            raise InputError(
                f"y: class {missing[0]!r} has only rows with an empty text, so it cannot be learned; drop them"
            )
        return np.array([list(trained).index(text) for text in self.texts])

    def text_of(self, value: Any) -> str:
        """The label of a class. Raises InputError for an unknown one."""
        known = self.classes.tolist()
        if value not in known:
            raise InputError(f"label: {value!r} is not one of classes_: {', '.join(map(repr, known[:20]))}")
        return self.texts[known.index(value)]


def label_text(value: Any) -> str:
    """A class as the label of a file: 3 -> "3", 3.0 -> "3", True -> "true"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = frames.cell_text(value)
    if text is None:
        raise InputError(f"y: expected texts, numbers or Booleans as classes, found {frames.describe_value(value)}")
    return text


def checked_labels(names: Sequence[str]) -> list[str]:
    """Labels that stay distinct and whole in a file; raises InputError for others."""
    known: dict[str, str] = {}
    for name in names:
        text = name.strip()
        if not text or text in known or "|" in text:
            raise InputError(
                f"y: class {name!r} is not a valid label: labels must not be empty or contain '|', and must differ in more than "
                "surrounding spaces; rename it"
            )
        known[text] = name
    return list(known)
