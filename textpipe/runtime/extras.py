"""Libraries of textpipe's extras, which may not be installed."""

import importlib
from typing import Any

from textpipe.errors import ResourceError


def load(library: str, need: str, extra: str) -> Any:
    """A library; raises ResourceError, with the need and the cure, if it is not installed.

    load("optuna", "tune needs Optuna, which is not installed", "tune")
    """
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise ResourceError(f"{need}; pip install 'textpipe[{extra}]'") from None
