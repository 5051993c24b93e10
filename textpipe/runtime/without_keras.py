"""Import what a graph needs: TensorFlow and TensorFlow Text's ops, without Keras.

`import tensorflow` also imports Keras, which imports scikit-learn, SciPy and Matplotlib where they are installed: more
than half of the import time. TensorFlow Text's Python package imports Keras too, although a graph only needs its op
libraries. Answering needs neither package (runtime/c_api.py).
"""

import sys
from types import ModuleType

from textpipe.runtime import lazy_tensorflow, text_ops


def import_tensorflow() -> ModuleType:
    """The tensorflow module, with TensorFlow Text's ops registered. Raises ImportError when either is missing."""
    lazy_tensorflow.install()
    import tensorflow as tf

    if isinstance(tf, lazy_tensorflow.LazyTensorFlow):
        lazy_tensorflow.complete(tf)
    if "tensorflow_text" not in sys.modules:
        # Loading a library twice is a no-op.
        for library in text_ops.libraries():
            tf.load_op_library(str(library))
    return tf
