"""The tree of errors a user can meet.

Each names the place, what was expected, what was found, and the cure, in that order:

    data/mail.tsv, line 812: 3 columns where the header has 2; quote the tab or drop the row

A user's mistake raises a TextpipeError and leaves the command line with exit code 2 and no traceback; other codes tell
what is not the caller's mistake (docs/command_line.md). Our own mistake fails an assert.
"""

import difflib
from collections.abc import Iterable
from typing import Any


class TextpipeError(Exception):
    """A mistake the user can cure; str() is the whole message."""

    exit_code = 2


class ConfigError(TextpipeError):
    """A pipeline file or an override does not say what it must."""


class DataError(TextpipeError):
    """Rows, files or a dataset are not what was asked for."""


class ArtifactError(TextpipeError):
    """A stored result is missing, damaged, or in use."""


class ResourceError(ArtifactError):
    """The machine lacks what a command needs: space, a folder that can be written, memory, a library."""

    exit_code = 4


class ModelError(TextpipeError):
    """A saved model is missing, damaged, or cannot do what was asked."""


class NetworkError(DataError, ModelError):
    """A server or a download does not answer; the same command may do later."""

    exit_code = 5


class ThresholdError(TextpipeError):
    """A metric misses what [evaluate.require] asks for, so nothing was exported.

    result: the pipeline.Result so far, the evaluation included; None outside of a pipeline's run.
    """

    exit_code = 3
    result: Any = None


MOST_KNOWN = 1_000  # more names are not compared, which takes seconds
SHOWN = 30  # names listed
LONGEST_SHOWN = 60  # characters of a name


def suggest(found: str, known: Iterable[str]) -> str:
    """'; did you mean 'epochs'?' when something close is known, else the list of what is.

    suggest("epoch", ["epochs", "seed"]) -> "; did you mean 'epochs'?"
    """
    known = sorted(known)
    close = (
        difflib.get_close_matches(found, known, n=1) if len(known) <= MOST_KNOWN and len(found) <= MOST_KNOWN else []
    )
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {listed(known)}" if known else ""


def listed(names: Iterable[str]) -> str:
    """Names parted by commas, long ones cut and many left out: "a, b and 970 more"."""
    names = list(names)
    shown = ", ".join(name if len(name) <= LONGEST_SHOWN else name[:LONGEST_SHOWN] + "..." for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
