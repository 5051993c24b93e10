"""One version of a model in memory: its signatures, and the calls that keep it there until they are answered."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.savedmodel import DEFAULT, Model
from textpipe.serve.encode import dtype_of
from textpipe.serve.faults import Fault, invalid
from textpipe.serve.values import NAMES

SERVE = "serve"  # the tag of the graph that servers load


@dataclass(frozen=True)
class Signature:
    """A function of named tensors. inputs: {name: dtype}, in the names' order; defaults: of inputs a caller may leave
    out.
    """

    name: str
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    defaults: dict[str, np.ndarray]
    function: Any

    def complete(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """With the defaults of what is left out; raises Fault for inputs that lack or that there are not."""
        given = {**self.defaults, **tensors}
        if set(given) != set(self.inputs):
            lacking, unknown = sorted(set(self.inputs) - set(given)), sorted(set(given) - set(self.inputs))
            raise invalid(
                f"input size does not match signature: {len(tensors)}!={len(self.inputs)} "
                f"len({{{','.join(sorted(tensors))}}}) != len({{{','.join(self.inputs)}}}). "
                f"Sent extra: {{{','.join(unknown)}}}. Missing but required: {{{','.join(lacking)}}}."
            )
        for at, (name, dtype) in enumerate(self.inputs.items()):
            if (found := dtype_of(given[name])) != dtype:
                raise invalid(
                    f"Expects arg[{at}] to be {NAMES.get(dtype, dtype)} but {NAMES.get(found, found)} is provided"
                )
        return given

    def call(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name. Blocks for as long as TensorFlow works; raises Fault where the model refuses the
        tensors.
        """
        import tensorflow as tf

        try:
            given = {name: tf.constant(array, self.inputs[name]) for name, array in tensors.items()}
            found = self.function(**given)
        except tf.errors.OpError as error:
            raise Fault(PASSED_ON.get(error.error_code, "INTERNAL"), error.message) from None
        except (TypeError, ValueError) as error:
            raise invalid(str(error).strip().splitlines()[0]) from None
        return {name: array_of(found[name]) for name in sorted(found)}


def array_of(value: Any) -> np.ndarray:
    """A tensor as NumPy; a string without axes as an array of objects, like those with axes."""
    found = value.numpy()
    return np.array(found, object) if isinstance(found, bytes) else np.asarray(found)


# Codes a client can do something about; the others are the server's own faults.
PASSED_ON = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    8: "RESOURCE_EXHAUSTED",
    9: "INVALID_ARGUMENT",
    11: "INVALID_ARGUMENT",
    12: "UNIMPLEMENTED",
}


class Hold:
    """A version that stays in memory until the end of a with statement."""

    __slots__ = ("version",)

    def __init__(self, version: "Version"):
        self.version = version

    def __enter__(self) -> "Version":
        return self.version

    def __exit__(self, *error: object) -> None:
        self.version.let_go()


class Version:
    """A loaded version. `held` counts the calls under way; `retire` waits for them."""

    def __init__(self, name: str, number: int, path: Path, model: Any, graph: Any):
        self.name, self.number, self.path, self.model = name, number, path, model
        self.about: dict[str, Any] = model.about
        self.definitions = graph.signature_def
        self.signatures = {key: signature(key, graph.signature_def[key], model) for key in model.signatures}
        self.held = 0
        self.change = threading.Condition()

    @classmethod
    def load(cls, name: str, number: int, path: Path) -> "Version":
        """Raises ModelError when the directory is not whole, not what its manifest says, or cannot be loaded."""
        return cls(name, number, path, Model.load(path), graph_of(path))

    def signature(self, name: str) -> Signature:
        try:
            return self.signatures[name or DEFAULT]
        except KeyError:
            raise invalid(f'Serving signature name: "{name or DEFAULT}" not found in signature def') from None

    def hold(self) -> "Hold":
        """For a with statement; it counts from now on."""
        with self.change:
            self.held += 1
        return Hold(self)

    def let_go(self) -> None:
        with self.change:
            self.held -= 1
            if not self.held:
                self.change.notify_all()

    def retire(self, patience: float | None = None) -> bool:
        """Waits until no call is under way; whether that came within `patience` seconds."""
        with self.change:
            return self.change.wait_for(lambda: self.held == 0, patience)


def signature(name: str, definition: Any, model: Any) -> Signature:
    import tensorflow as tf

    function = model.signatures[name]
    inputs = {key: tf.dtypes.as_dtype(definition.inputs[key].dtype).name for key in sorted(definition.inputs)}
    defaults = {key: tf.make_ndarray(value) for key, value in definition.defaults.items()}
    return Signature(name, inputs, tuple(sorted(definition.outputs)), defaults, function)


def graph_of(path: Path) -> Any:
    """The MetaGraphDef that servers use."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    return next((graph for graph in saved.meta_graphs if SERVE in graph.meta_info_def.tags), saved.meta_graphs[0])
