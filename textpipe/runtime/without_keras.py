"""Import what a SavedModel needs: TensorFlow and TensorFlow Text's ops, without Keras.

`import tensorflow` also imports Keras, which imports scikit-learn, SciPy and Matplotlib where they are installed: more
than half of the import time. TensorFlow Text's Python package imports Keras too, although a graph only needs its op
libraries.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def import_tensorflow() -> ModuleType:
    """The tensorflow module, with TensorFlow Text's ops registered. Raises ImportError when either is missing."""
    with without_keras():
        import tensorflow as tf
    if "tensorflow_text" not in sys.modules:
        spec = importlib.util.find_spec("tensorflow_text")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("No module named 'tensorflow_text'")
        # Loading a library twice is a no-op.
        for library in sorted(Path(spec.submodule_search_locations[0]).glob("python/ops/_*.so")):
            tf.load_op_library(str(library))
    return tf


@contextmanager
def without_keras() -> Iterator[None]:
    """Imports inside do not import Keras, unless it is imported already; afterwards it can be imported normally."""
    blocked = "keras" not in sys.modules and "tensorflow" not in sys.modules
    if blocked:
        sys.modules["keras"] = None  # type: ignore[assignment]  # makes its import fail, which TensorFlow handles
    try:
        yield
    finally:
        if blocked:
            del sys.modules["keras"]
