"""TensorFlow as a SavedModel needs it: the runtime and TensorFlow Text's ops, without Keras.

`import tensorflow` ends by importing Keras, which brings scikit-learn, SciPy and Matplotlib where they are installed: more
than half of its time. TensorFlow Text's Python package imports Keras too, where a graph only needs the op libraries beside it.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def tensorflow() -> ModuleType:
    """The module tensorflow, with TensorFlow Text's ops registered. Raises ImportError when either is missing."""
    with without_keras():
        import tensorflow as tf
    if "tensorflow_text" not in sys.modules:
        spec = importlib.util.find_spec("tensorflow_text")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("No module named 'tensorflow_text'")
        # A library that is loaded already is not loaded again.
        for library in sorted(Path(spec.submodule_search_locations[0]).glob("python/ops/_*.so")):
            tf.load_op_library(str(library))
    return tf


@contextmanager
def without_keras() -> Iterator[None]:
    """What is imported inside does not bring Keras, unless it is there already; who asks for it afterwards gets it."""
    blocked = "keras" not in sys.modules and "tensorflow" not in sys.modules
    if blocked:
        sys.modules["keras"] = None  # type: ignore[assignment]  # its import fails, which TensorFlow is prepared for
    try:
        yield
    finally:
        if blocked:
            del sys.modules["keras"]
