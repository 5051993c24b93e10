"""Checks of the settings of ingest that name columns and fields."""

from collections.abc import Sequence

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


def check_identity(names: Sequence[str], fields: Sequence[Field]) -> None:
    """Raise ValueError for a name in `identify_by` that is no field of the source."""
    source_names = [item.name for item in fields if item.side == "source"]
    for name in names:
        if name not in source_names:
            raise ValueError(
                f"identify_by: expected fields of the source, {', '.join(source_names)}, found {name!r}{suggest(name, source_names)}"
            )
