"""Find a stage, model, task, step or codec by its file name.

The modules of a plug-in package are its plug-ins: `plugins.find("models", "recurrent")` imports
textpipe/models/recurrent.py. A dotted name loads a user's module from the working directory or sys.path.
There is no registry: the directory is the list.
"""

import functools
import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from textpipe.errors import ConfigError, suggest

PACKAGE_FOLDER = Path(__file__).parents[1]


def names(package: str) -> list[str]:
    """The plug-ins of a package, without importing them: names("models") -> ["feed_forward", ...]."""
    return list(scan(PACKAGE_FOLDER.joinpath(*package.split("."))))


@functools.cache  # a cached run asks a hundred times
def scan(folder: Path) -> tuple[str, ...]:
    """The modules in a folder, sorted, without packages and private ones."""
    modules = pkgutil.iter_modules([str(folder)])
    return tuple(sorted(info.name for info in modules if not info.name.startswith("_") and not info.ispkg))


def noun(package: str) -> str:
    """What messages call a plug-in of a package: "export_formats" -> "export format", "text.steps" -> "step"."""
    name = package.rsplit(".", 1)[-1]
    return "decoder" if name == "decoding" else name.removesuffix("s").replace("_", " ")


def module_name(package: str, name: str) -> str:
    """The import name of a plug-in; raises ConfigError with a suggestion when the package has no such plug-in."""
    name = name.partition("(")[0]
    if "." in name and not name.startswith("."):
        return name
    if name not in names(package):
        raise ConfigError(f"unknown {noun(package)} {name!r}{suggest(name, names(package))}")
    return f"textpipe.{package}.{name}"


def find(package: str, name: str) -> ModuleType:
    """The module of a plug-in, or a user's module when the name is dotted.

    A name with arguments, "classify(subject: text) -> answered", goes to the plug-in's `choose_fields`.
    """
    full = module_name(package, name)
    plugin, arguments, _ = name.partition("(")
    if arguments:
        module = find(package, plugin)
        if not hasattr(module, "choose_fields"):
            raise ConfigError(f"{noun(package)} {plugin!r} has fixed fields and accepts no others")
        return module.choose_fields(name)
    if "." in name and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name is not None and (full == error.name or full.startswith(error.name + ".")):
            raise ConfigError(f"module {full!r} was not found in {Path.cwd()} or on sys.path") from None
        raise
