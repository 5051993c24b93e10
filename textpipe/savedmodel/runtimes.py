"""What runs a SavedModel: TensorFlow's Python package, or a session of its C API.

"python" gives what tf.saved_model.load gives: signatures are functions of tensors, and variables and functions can be looked into,
as explanations do. "session" starts in a fraction of the time and memory, and has only signatures, which are functions of arrays
(calls.call calls either). Commands that only answer use it. Where it is not possible (another version of TensorFlow, a graph that
it cannot run), "python" takes its place after a warning.
"""

import functools
import logging
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError
from textpipe.runtime import lazy_tensorflow, library_pages, stderr, tensorflow_library, without_keras
from textpipe.runtime.c_api import CallError
from textpipe.savedmodel import session
from textpipe.savedmodel.description import DEFAULT
from textpipe.savedmodel.messages import read_saved_model

TRACEBACK = "Graph execution error:"  # before Python's stack traces, and these before what is wrong

log = logging.getLogger(__name__)


def load(folder: Path, runtime: str, saved: Any = None) -> Any:
    """An object whose `signatures` are functions of tensors or arrays; raises ModelError.

    saved: the parsed saved_model.pb, where the caller has it.
    """
    loaded = load_session(folder, saved) if runtime == "session" else load_in_python(folder)
    release_pages(runtime)
    return loaded


@functools.cache
def release_pages(runtime: str) -> None:
    """Release what only loading needs, once: a server that loads further versions would have its kernels read again."""
    library_pages.release()


def load_in_python(folder: Path) -> Any:
    """The object of tf.saved_model.load; raises ModelError."""
    tf = without_keras.import_tensorflow()
    try:
        # "ops with unsaved custom gradients", which a server does not need.
        with stderr.quiet_loggers("tensorflow", "absl"):
            return tf.saved_model.load(str(folder))
    except (OSError, ValueError, RuntimeError, IndexError, tf.errors.OpError) as error:
        raise ModelError(f"{folder}: cannot be loaded as a SavedModel ({reason_of(error)})") from None


def load_session(folder: Path, saved: Any = None) -> Any:
    """A session.Session, or else the object of tf.saved_model.load; raises ModelError."""
    lazy_tensorflow.install()
    try:
        loaded = session.Session(folder, saved or read_saved_model(folder))
        if DEFAULT not in loaded.signatures:  # whose place the first takes, in an order that only Python's loader knows
            raise tensorflow_library.Unavailable(f"no signature {DEFAULT!r}")
        return loaded
    except (tensorflow_library.Unavailable, CallError) as error:
        reason = reason_of(error)
    in_python = load_in_python(folder)
    log.warning("%s: loaded with TensorFlow's Python package, which starts more slowly (%s)", folder, reason)
    return in_python


def reason_of(error: Exception) -> str:
    """The line of TensorFlow's message that says what is wrong: the first, or the one before the graph's nodes.

    Graph execution error: / Detected at node x / v.txt; No such file / [[{{node x}}]] -> "v.txt; No such file"
    """
    lines = [line for line in str(error).strip().splitlines() if line]
    nodes = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[[")), 0)
    if nodes and lines[0] == TRACEBACK:
        return lines[nodes - 1]
    return lines[0] if lines else repr(error)
