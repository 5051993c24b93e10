"""The shared library behind TensorFlow's Python package, and loading it while Python does something else."""

import ctypes
import importlib.util
import os
import threading
from pathlib import Path

FILE = "libtensorflow_cc.so.2"


class Unavailable(Exception):
    """The library, a function of it, or something in a model is not as needed here; the message says what."""


def library_path() -> Path:
    """The file; raises Unavailable where it is not installed as on Linux."""
    spec = importlib.util.find_spec("tensorflow")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / FILE).is_file():
            return path
    raise Unavailable(f"no {FILE}")


def preload() -> None:
    """Load the library in a thread, if it can be found; the first who needs it waits for that.

    Loading takes .3 s, without the interpreter's lock. Until it ends, importing an extension module waits: import those
    first.
    """
    try:
        path = library_path()
    except Unavailable:
        return
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    threading.Thread(target=dlopen, args=(os.fsencode(path), os.RTLD_NOW), name="preload", daemon=True).start()
