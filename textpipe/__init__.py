"""textpipe: from raw text to a served model, text in and text out in one graph."""

import os

from textpipe.version import __version__

# TensorFlow has oneDNN's kernels on by default only where a processor has AVX-512's; with AVX2 alone they save a fifth of a transformer's
# training step. It is read when TensorFlow is imported; TF_ENABLE_ONEDNN_OPTS=0 turns it off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__all__ = ["TextpipeError", "__version__", "load", "plan", "predict", "run", "score"]


def __getattr__(name: str):  # the parts are imported when first asked for, so that `import textpipe` costs nothing
    if name == "TextpipeError":
        from textpipe.errors import TextpipeError

        return TextpipeError
    if name in __all__:
        from textpipe import api

        return getattr(api, name)
    raise AttributeError(f"module 'textpipe' has no attribute {name!r}")
