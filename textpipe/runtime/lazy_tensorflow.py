"""`import tensorflow` that imports TensorFlow's code only when something of it is used.

Its protocol buffers (tensorflow.core) and the messages of tensorflow_serving, which import them, are plain Python modules,
but importing them imports the whole of TensorFlow first. After `install()`, the package is a module that knows where its
submodules are, and imports its code when an attribute is read that it lacks:

    install()
    from tensorflow.core.protobuf import saved_model_pb2     # a few milliseconds
    import tensorflow as tf                                  # nothing yet
    tf.constant(1)                                           # imports TensorFlow
"""

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME, KERAS = "tensorflow", "keras"
# Special names that TensorFlow's code defines; looking for another, as inspect and warnings do in any module, imports nothing.
DEFINED = ("__version__", "__all__", "__git_version__", "__compiler_version__")


class LazyTensorFlow(ModuleType):
    """The package until its code has been imported; then its class is ModuleType."""

    def __init__(self, spec: ModuleSpec):
        super().__init__(spec.name)
        self.__spec__, self.__loader__, self.__file__ = spec, spec.loader, spec.origin
        self.__package__, self.__path__ = spec.name, list(spec.submodule_search_locations or ())
        # In __dict__, as attributes that are found there do not reach __getattr__.
        self._importing = threading.RLock()
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in DEFINED:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        complete(self)
        return getattr(self, name)


def install() -> None:
    """Make the package lazy, unless it is imported already. Raises ImportError when it is not installed."""
    if NAME in sys.modules:
        return
    spec = importlib.util.find_spec(NAME)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {NAME!r}", name=NAME)
    sys.modules[NAME] = LazyTensorFlow(spec)


def imported() -> bool:
    """Whether TensorFlow's code has been imported, or is being imported."""
    module = sys.modules.get(NAME)
    return module is not None and (not isinstance(module, LazyTensorFlow) or vars(module)["_begun"])


def complete(module: LazyTensorFlow) -> None:
    """Import the package's code into the module. Called again while that runs, it raises AttributeError as an import would.

    Raises what the import raises; a later call tries again.
    """
    with vars(module)["_importing"]:
        if type(module) is not LazyTensorFlow:  # another thread was faster
            return
        if vars(module)["_begun"]:
            raise AttributeError(f"partially imported module {NAME!r} has no such attribute yet")
        module._begun = True
        try:
            with without_keras():
                assert module.__spec__ is not None and module.__spec__.loader is not None
                module.__spec__.loader.exec_module(module)
        except BaseException:
            module._begun = False
            raise
        module.__class__ = ModuleType  # type: ignore[assignment]
        del module._importing, module._begun


@contextlib.contextmanager
def without_keras() -> Iterator[None]:
    """Imports inside do not import Keras, unless it is imported already; afterwards it can be imported normally."""
    blocked = KERAS not in sys.modules
    if blocked:
        sys.modules[KERAS] = None  # type: ignore[assignment]  # makes its import fail, which TensorFlow handles
    try:
        yield
    finally:
        if blocked:
            del sys.modules[KERAS]
