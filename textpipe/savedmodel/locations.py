"""The directory of a model that a user names, and what was probably meant where there is none."""

import tomllib
from pathlib import Path

from textpipe.errors import ModelError, suggest
from textpipe.runtime import small_file
from textpipe.savedmodel import publish

SAVED_MODELS, PIPELINES = Path("saved_models"), Path("pipelines")  # in the working directory
GRAPH = "saved_model.pb"


def find_version(path: Path) -> Path:
    """The version directory for a user's path. Raises ModelError when there is none, with what may be meant."""
    if (path / GRAPH).is_file():
        return path
    if path.suffix == ".toml" and not path.is_dir():
        found = "is a pipeline file, not an exported model" if path.is_file() else "no such model"
        raise ModelError(f"{path}: {found}{hint(path)}")
    if path.is_file():
        raise ModelError(f"{path}: is a file; expected the directory of a model, NAME or NAME/VERSION{hint(path)}")
    if not path.exists():
        raise ModelError(f"{path}: no such model{hint(path)}")
    latest = publish.latest_version(path)
    if latest is None:
        raise ModelError(
            f"{path}: contains no SavedModel and no numbered version; expected NAME or NAME/VERSION{hint(path)}"
        )
    return latest


def hint(path: Path) -> str:
    """'; did you mean 'saved_models/mails'?' for a name of it or of its pipeline, else models with similar names or a command."""
    name = path.stem if path.suffix == ".toml" else path.name
    model = SAVED_MODELS / name
    if name and model != path and is_model(model):
        return f"; did you mean {str(model)!r}?"
    file = path if path.suffix == ".toml" else PIPELINES / f"{name}.toml"
    if name and file.is_file() and is_pipeline(file):
        return f"; export it first: textpipe run {file}"
    near = () if path.parent == Path() else models_in(path.parent)
    return suggest(str(path), {*near, *models_in(path), *models_in(SAVED_MODELS)} - {str(path)})


def models_in(folder: Path) -> list[str]:
    """The paths of the models in a directory."""
    try:
        return [str(entry) for entry in folder.iterdir() if is_model(entry)]
    except OSError:
        return []


def is_model(path: Path) -> bool:
    """Whether a directory is a model, or one version of it."""
    try:
        return (path / GRAPH).is_file() or publish.latest_version(path) is not None
    except OSError:
        return False


def is_pipeline(path: Path) -> bool:
    """Whether a file is TOML with a task."""
    try:
        return "task" in tomllib.loads(small_file.read_bytes(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False


__all__ = ["find_version", "hint"]
