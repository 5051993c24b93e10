"""textpipe: from raw text to a served model, as one graph from text to text."""

from textpipe.runtime import environment, onednn
from textpipe.version import __version__

environment.ensure_temporary_folder()
onednn.enable_by_default()

__all__ = [
    "Classifier", "TextpipeError", "__version__", "compare", "explain", "load", "load_model", "plan", "predict", "run", "score", "tune",
]  # fmt: skip


def __getattr__(name: str):  # imports on first use, so that `import textpipe` is fast
    import importlib

    # By name, not by an import statement: the modules a stage imports are part of its cache key, and everything imports
    # this one. Type checkers read __init__.pyi.
    if name == "TextpipeError":
        return importlib.import_module("textpipe.errors").TextpipeError
    if name == "Classifier":  # imports scikit-learn
        return importlib.import_module("textpipe.estimator").Classifier
    if name in __all__:
        return getattr(importlib.import_module("textpipe.api"), name)
    raise AttributeError(f"module 'textpipe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
