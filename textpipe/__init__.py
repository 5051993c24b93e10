"""textpipe: from raw text to a served model, text in and text out in one graph."""

from textpipe import environment, kernels
from textpipe.version import __version__

environment.find_temporary_folder()
kernels.for_training()

__all__ = ["TextpipeError", "__version__", "load", "plan", "predict", "run", "score"]


def __getattr__(name: str):  # the parts are imported when first asked for, so that `import textpipe` costs nothing
    if name == "TextpipeError":
        from textpipe.errors import TextpipeError

        return TextpipeError
    if name in __all__:
        from textpipe import api

        return getattr(api, name)
    raise AttributeError(f"module 'textpipe' has no attribute {name!r}")
