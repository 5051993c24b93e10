"""The errors that a user can see.

Each message names the place, what was expected, what was found, and how to fix it, in that order:

    data/mail.tsv, line 812: 3 columns where the header has 2; quote the tab or drop the row

A user's mistake raises a TextpipeError and ends the command with exit code 2 and no traceback; other codes mark errors
that are not the caller's fault (docs/command_line.md). Internal mistakes fail an assert.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class TextpipeError(Exception):
    """Base class of errors that the user can fix; str() is the whole message."""

    exit_code = 2


class ConfigError(TextpipeError):
    """A pipeline file or an override is invalid."""


class DataError(TextpipeError):
    """Rows, files or a dataset are missing or invalid."""


class ColumnError(DataError):
    """A file lacks a column, or has several of its name.

    source: the file, for messages; names: the columns that it has.
    """

    def __init__(self, message: str, source: str, column: str, names: Sequence[str]):
        super().__init__(message)
        self.source, self.column, self.names = source, column, list(names)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.source, self.column, self.names)


class ArtifactError(TextpipeError):
    """A stored result is missing, damaged, or in use."""


class ResourceError(ArtifactError):
    """The machine lacks something a command needs: disk space, a writable directory, memory, a library."""

    exit_code = 4


class ModelError(TextpipeError):
    """A saved model is missing, damaged, or does not support the request."""


class NetworkError(DataError, ModelError):
    """A server or a download is unavailable; retrying later may succeed."""

    exit_code = 5


class ThresholdError(TextpipeError):
    """A metric misses its threshold in [evaluate.require], or the data a limit in [ingest.require], so nothing was exported.

    result: the pipeline.Result so far, including the measured stage; None outside of a pipeline run.
    """

    exit_code = 3
    result: Any = None


MAX_CANDIDATES = 1_000  # comparing more names takes seconds
MAX_LISTED = 30  # names in a message
MAX_NAME_LENGTH = 60  # characters of a name


def suggest(name: str, known: Iterable[str]) -> str:
    """'; did you mean 'epochs'?' if a known name is close, else the list of known names.

    suggest("epoch", ["epochs", "seed"]) -> "; did you mean 'epochs'?"
    """
    known = sorted(known)
    close = (
        difflib.get_close_matches(name, known, n=1)
        if len(known) <= MAX_CANDIDATES and len(name) <= MAX_CANDIDATES
        else []
    )
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {join_names(known)}" if known else ""


def join_names(names: Iterable[str]) -> str:
    """Names separated by commas; long names are cut and long lists shortened: "a, b and 970 more"."""
    names = list(names)
    shown = ", ".join(
        name if len(name) <= MAX_NAME_LENGTH else name[:MAX_NAME_LENGTH] + "..." for name in names[:MAX_LISTED]
    )
    return shown + (f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else "")
