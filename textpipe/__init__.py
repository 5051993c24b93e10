"""textpipe: from raw text to a served model, text in and text out in one graph."""

from textpipe.runtime import environment, onednn
from textpipe.version import __version__

environment.find_temporary_folder()
onednn.for_training()

__all__ = [
    "TextpipeError", "__version__", "compare", "load", "load_model", "plan", "predict", "run", "score",
]  # fmt: skip


def __getattr__(name: str):  # the parts are imported when first asked for, so that `import textpipe` costs nothing
    import importlib

    # By name and not by an import statement: what a module imports is part of what its results depend on, and everything
    # imports this one. Type checkers read __init__.pyi.
    if name == "TextpipeError":
        return importlib.import_module("textpipe.errors").TextpipeError
    if name in __all__:
        return getattr(importlib.import_module("textpipe.api"), name)
    raise AttributeError(f"module 'textpipe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
