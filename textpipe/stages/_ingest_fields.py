"""Checks of the settings of ingest that name columns and fields."""

from collections.abc import Mapping, Sequence

from textpipe.config.chosen_fields import NAME, RESERVED
from textpipe.config.fields import Field
from textpipe.errors import suggest


def check_kept(names: Sequence[str], fields: Sequence[Field]) -> None:
    """Raise ValueError for a name in `keep` that cannot be a column beside the fields."""
    reserved_names = (*RESERVED, *(item.name for item in fields))
    for name in names:
        if not NAME.fullmatch(name) or name in reserved_names or names.count(name) > 1:
            raise ValueError(
                f"keep: {name!r} cannot be kept; expected a name of letters, digits and underscores, once, that is no field "
                f"and not {', '.join(RESERVED)}; columns gives a column another name"
            )


def check_columns(columns: Mapping[str, str | int], fields: Sequence[Field]) -> None:
    """Raise ValueError for a target, other than a text, whose column is also that of a source: the model would read its answer."""
    sources = {columns.get(item.name, item.name): item.name for item in fields if item.side == "source"}
    for item in fields:
        column = columns.get(item.name, item.name)
        if item.side == "target" and item.column_of is None and not item.has_text and column in sources:
            raise ValueError(
                f"columns: {column!r} is the column of the source {sources[column]!r} and of the target {item.name!r}, so that the "
                f"model would read what it predicts; choose another column for one of them"
            )


def check_identity(names: Sequence[str], fields: Sequence[Field]) -> None:
    """Raise ValueError for a name in `identify_by` that is no field of the source."""
    source_names = [item.name for item in fields if item.side == "source"]
    for name in names:
        if name not in source_names:
            raise ValueError(
                f"identify_by: expected fields of the source, {', '.join(source_names)}, found {name!r}{suggest(name, source_names)}"
            )
