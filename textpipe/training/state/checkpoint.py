"""Checkpoints: everything a training run needs to resume exactly, in one file that is replaced atomically.

A checkpoint is a zip of arrays (NumPy's .npz) together with the position and the history as JSON. It is written under
another name, flushed to disk and renamed into place.
"""

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.errors import ArtifactError


def save(path: Path, variables: Sequence[Any], state: dict[str, Any]) -> None:
    """Atomically writes the values of Keras variables, in order, and a JSON-serializable state.

    Raises ArtifactError if the file cannot be written; the previous file is then untouched.
    """
    arrays: dict[str, Any] = {f"{position:05d}": np.asarray(variable) for position, variable in enumerate(variables)}
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ArtifactError(
            f"{path}: a checkpoint cannot be written: {error.strerror}; free space and run again"
        ) from None


def restore(path: Path, variables: Sequence[Any]) -> dict[str, Any] | None:
    """Assigns the saved values and returns the saved state; without a checkpoint, assigns nothing and returns None.

    Raises ArtifactError if the file is damaged or holds the variables of another model.
    """
    try:
        with open(path, "rb") as file, np.load(file) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: damaged checkpoint ({error}); delete it to train from the start") from None
    state = json.loads(arrays.pop("state").tobytes())
    values = [arrays[name] for name in sorted(arrays)]
    saved = [value.shape for value in values]
    expected = [tuple(variable.shape) for variable in variables]
    if saved != expected:
        raise ArtifactError(
            f"{path}: expected the {len(expected)} variables of this model and optimizer, found {len(saved)} of other "
            "shapes; delete it to train from the start"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return state
