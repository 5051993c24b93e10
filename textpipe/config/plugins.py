"""Find a stage, model, task, step or codec by its file name.

A room is a package whose modules are its members: `plugins.find("models", "recurrent")` imports
textpipe/models/recurrent.py. A dotted name loads a user's own module from the working directory or sys.path.
There is no registry: the directory is the list.
"""

import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from textpipe.errors import ConfigError, suggest

PACKAGE_FOLDER = Path(__file__).parents[1]


def names(room: str) -> list[str]:
    """File names in a room, without importing any: names("models") -> ["feed_forward", ...]; a room within is none."""
    folder = PACKAGE_FOLDER.joinpath(*room.split("."))
    members = pkgutil.iter_modules([str(folder)])
    return sorted(info.name for info in members if not info.name.startswith("_") and not info.ispkg)


def module_name(room: str, name: str) -> str:
    """The import name of a member; raises ConfigError with a suggestion when there is none."""
    name = name.partition("(")[0]
    if "." in name:
        return name
    if name not in names(room):
        noun = room.rsplit(".", 1)[-1].removesuffix("s").replace("stage_", "")
        raise ConfigError(f"unknown {noun} {name!r}{suggest(name, names(room))}")
    return f"textpipe.{room}.{name}"


def find(room: str, name: str) -> ModuleType:
    """The module of a member, or a user's own module when the name is dotted.

    A name with arguments, "classify(subject: text) -> answered", is the member that its `choose_fields` makes of them.
    """
    full = module_name(room, name)
    member, arguments, _ = name.partition("(")
    if arguments:
        module = find(room, member)
        if not hasattr(module, "choose_fields"):
            raise ConfigError(f"{room.removesuffix('s')} {member!r} has fields of its own, and takes no others")
        return module.choose_fields(name)
    if "." in name and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name is not None and (full == error.name or full.startswith(error.name + ".")):
            raise ConfigError(
                f"module {full!r} was not found; it is looked for in {Path.cwd()} and on sys.path"
            ) from None
        raise
