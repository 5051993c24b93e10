"""A loaded version of a model: its signatures, and a count of the requests that use it."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.runtime import dtypes, lazy_tensorflow, tensorflow_library
from textpipe.runtime.c_api import CallError
from textpipe.savedmodel import calls, side_effects
from textpipe.savedmodel import signatures as records
from textpipe.savedmodel.loader import DEFAULT, Model, refusal
from textpipe.savedmodel.messages import read_saved_model, signatures_of
from textpipe.serve.engine import search_limits
from textpipe.serve.engine.errors import CLIENT_ERRORS, ServingError, invalid_argument
from textpipe.serve.engine.redaction import without_roots
from textpipe.serve.tensors import cell_shapes
from textpipe.serve.tensors.json_values import TYPE_NAMES
from textpipe.serve.tensors.to_json import dtype_of


@dataclass(frozen=True)
class Signature:
    """A function of named tensors. inputs: {name: dtype}, sorted by name; defaults: values of optional inputs; described: its
    record in textpipe.json; bounds: of inputs that are options; search: a signature with a deadline that answers in its
    place.
    """

    name: str
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    defaults: dict[str, np.ndarray]
    function: Any
    described: records.Signature
    bounds: search_limits.Bounds = field(default_factory=dict)
    search: "Search | None" = None
    private_paths: tuple[Path, ...] = ()  # removed from error messages
    row_inputs: tuple[str, ...] = ()  # have equally many rows; () for models of other tools

    @cached_property
    def deadline_input(self) -> str | None:
        """The input that takes a deadline, None when calls cannot be stopped."""
        name = self.described.deadline
        return name if name and self.inputs.get(name) == "float64" else None

    @cached_property
    def mergeable(self) -> bool:
        """Whether rows of several requests may share a call."""
        return self.described.mergeable

    @cached_property
    def answers_rows(self) -> bool:
        """Whether it answers plain rows: the fields are its only inputs."""
        described = self.described
        return described.gives == records.ANSWER and not described.options and set(described.fields) == set(self.inputs)

    @cached_property
    def row_fields(self) -> dict[str, records.Input]:
        """The records of row_inputs."""
        return {name: self.described.inputs[name] for name in self.row_inputs}

    @cached_property
    def text_input(self) -> str | None:
        """The only input, if it takes a text per row."""
        if list(self.inputs.values()) != ["string"] or self.defaults:
            return None
        (name,) = self.inputs
        field = self.row_fields.get(name)
        return name if field is None or (cell_shapes.fits((1,), field) and cell_shapes.fits((2,), field)) else None

    @cached_property
    def candidate_inputs(self) -> tuple[str, ...]:
        return tuple(self.described.inputs_of_kind(records.CANDIDATES))

    @property
    def quickest(self) -> float:
        """Seconds of its quickest call so far; infinite if it may loop, like a search."""
        if self.search is not None or getattr(self.function, "loops", True):
            return math.inf
        return float(self.function.quickest)

    @property
    def option_defaults(self) -> dict[str, np.ndarray]:
        return {name: self.defaults[name] for name in self.defaults if name in self.described.options}

    def complete(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds the defaults of omitted inputs; raises ServingError for missing or unknown inputs, wrong types and shapes, and fields of
        unlike many rows, which a graph may join without an error."""
        inputs = {**self.defaults, **tensors}
        if len(inputs) == 1 and (array := inputs.get(self.text_input or "")) is not None and is_texts(array):
            return inputs
        if set(inputs) != set(self.inputs):
            missing, unknown = sorted(set(self.inputs) - set(inputs)), sorted(set(inputs) - set(self.inputs))
            raise invalid_argument(
                f"input size does not match signature: {len(tensors)}!={len(self.inputs)} "
                f"len({{{','.join(sorted(tensors))}}}) != len({{{','.join(self.inputs)}}}). "
                f"Sent extra: {{{','.join(unknown)}}}. Missing but required: {{{','.join(missing)}}}."
            )
        for index, (name, expected) in enumerate(self.inputs.items()):
            if (dtype := dtype_of(inputs[name])) != expected:
                raise invalid_argument(
                    f"Expects arg[{index}] to be {TYPE_NAMES.get(expected, expected)} "
                    f"but {TYPE_NAMES.get(dtype, dtype)} is provided"
                )
        cell_shapes.check({name: inputs[name].shape for name in self.row_inputs}, self.row_fields)
        rows = {name: len(inputs[name]) for name in self.row_inputs if inputs[name].ndim}
        if len(set(rows.values())) > 1:
            row_counts = ", ".join(f"{name} {count}" for name, count in rows.items())
            raise invalid_argument(f"expected equally many rows of each input, found {row_counts}")
        return inputs

    def call(self, tensors: Mapping[str, np.ndarray], deadline: float = 0.0) -> dict[str, np.ndarray]:
        """The outputs by name. Blocks while TensorFlow runs. deadline: in Unix seconds, 0 for none.

        Raises ServingError when the model rejects the tensors, or when it can be stopped and the deadline passes.
        """
        if self.search is not None:
            return self.run_search(self.search, tensors, deadline)
        if name := self.deadline_input:
            tensors = {**tensors, name: search_limits.earliest_deadline(tensors.get(name), deadline)}
        try:
            return calls.call(self.function, tensors)
        except CallError as error:
            if search_limits.DEADLINE_ERROR in error.message:
                raise search_limits.deadline_exceeded() from None
            message = refusal(error.message) or error.message
            raise ServingError(CLIENT_ERRORS.get(error.code, "INTERNAL"), self.redact(message)) from None
        except (TypeError, ValueError) as error:
            raise invalid_argument(self.redact(str(error).strip().splitlines()[0])) from None

    def run_search(self, search: "Search", tensors: Mapping[str, np.ndarray], deadline: float) -> dict[str, np.ndarray]:
        """This signature's outputs, computed by the search with default options."""
        defaults = search.options.defaults
        best = (
            {search_limits.NBEST: np.ones_like(defaults[search_limits.NBEST])}
            if search.first and search_limits.NBEST in defaults
            else {}
        )
        outputs = search.options.call({**defaults, **best, **tensors}, deadline)
        return {
            name: outputs[source][:, 0] if search.first else outputs[source] for name, source in search.outputs.items()
        }

    def redact(self, message: str) -> str:
        """TensorFlow's message without paths of this machine."""
        return without_roots(message, *self.private_paths)


@dataclass(frozen=True)
class Search:
    """A signature with a deadline that replaces another. outputs: {output: its name in `options`}; first: take the first
    answer of each row.
    """

    options: Signature
    outputs: dict[str, str]
    first: bool

    def can_replace(self, other: Signature) -> bool:
        """Whether it takes a deadline, and has all inputs and outputs of the other."""
        options = self.options
        return (
            options.deadline_input is not None
            and set(other.inputs) == set(options.inputs) - set(options.defaults)
            and set(other.outputs) == set(self.outputs)
            and set(self.outputs.values()) <= set(options.outputs)
        )


class Hold:
    """Keeps a version in memory until the end of a with statement."""

    __slots__ = ("version",)

    def __init__(self, version: "Version"):
        self.version = version

    def __enter__(self) -> "Version":
        return self.version

    def __exit__(self, *error: object) -> None:
        self.version.release()


class Version:
    """A loaded version. `num_held` counts running calls; `wait_until_released` waits for them."""

    def __init__(
        self,
        name: str,
        number: int,
        path: Path,
        model: Any,
        graph: Any,
        limits: search_limits.OptionLimits = search_limits.OptionLimits(),
    ):
        self.name, self.number, self.path, self.model = name, number, path, model
        self.about: dict[str, Any] = model.about
        self.definitions = graph.signature_def
        private_paths = (path.parent.parent,)
        signatures = {
            key: load_signature(key, graph.signature_def[key], model, private_paths) for key in model.signatures
        }
        for key, signature in signatures.items():
            if signature.described.options:
                bounds = limits.bounds(name, self.about, signature.option_defaults)
                signatures[key] = replace(signature, bounds=bounds)
        for key, signature in signatures.items():
            if record := signature.described.search:
                # Without options first: a search of fixed sizes is quicker.
                same = {output: output for output in signature.outputs}
                searches = [Search(item, same, False) for item in signatures.values() if not item.described.options]
                if record.signature in signatures:
                    searches.append(Search(signatures[record.signature], dict(record.outputs), record.first))
                search = next((item for item in searches if item.can_replace(signature)), None)
                signatures[key] = replace(signature, search=search)
        self.signatures = signatures
        described = [signature.described for signature in signatures.values()]
        self.options_signature = self.find(records.find_with_options(described))
        # Counts the tokens of texts and answers; None for models of other tools.
        self.token_counts = self.find(records.find_giving(described, records.TOKEN_COUNTS)) if self.about else None
        begin = records.find_giving(described, records.STATE)
        advance = records.find_following(described, begin.name) if begin else None
        # For streams: the signatures that begin an answer, and that add a token to it.
        self.stream = (signatures[begin.name], signatures[advance.name]) if begin and advance else None
        self.num_held = 0
        self.lock = threading.Lock()
        self.released = threading.Condition(self.lock)  # entering it takes several times as long as entering its lock

    @classmethod
    def load(
        cls,
        name: str,
        number: int,
        path: Path,
        limits: search_limits.OptionLimits = search_limits.OptionLimits(),
        *,
        trust: bool = False,
    ) -> "Version":
        """Raises ModelError when the directory is incomplete, differs from its manifest, or cannot be loaded, and when its
        graph accesses files, processes or the network and `trust` is false.
        """
        lazy_tensorflow.install()
        tensorflow_library.preload()
        saved = read_saved_model(path)
        if not trust:
            side_effects.refuse(path, saved)
        return cls(name, number, path, Model.load(path, runtime="session", saved=saved), signatures_of(saved), limits)

    def find(self, described: records.Signature | None) -> Signature | None:
        """The signature of a record."""
        return self.signatures[described.name] if described else None

    def signature(self, name: str) -> Signature:
        try:
            return self.signatures[name or DEFAULT]
        except KeyError:
            raise invalid_argument(f'Serving signature name: "{name or DEFAULT}" not found in signature def') from None

    def hold(self) -> "Hold":
        """For a with statement; the version is held from this call on."""
        with self.lock:
            self.num_held += 1
        return Hold(self)

    def release(self) -> None:
        with self.lock:
            self.num_held -= 1
            if not self.num_held:
                self.released.notify_all()

    def wait_until_released(self, timeout: float | None = None) -> bool:
        """Waits until no call is running; returns whether that happened within `timeout` seconds."""
        with self.released:
            return self.released.wait_for(lambda: self.num_held == 0, timeout)


def is_texts(array: np.ndarray) -> bool:
    """Whether an array is [B] of texts."""
    return array.ndim == 1 and array.dtype.char == "O"


def load_signature(name: str, definition: Any, model: Any, private_paths: tuple[Path, ...] = ()) -> Signature:
    function = model.signatures[name]
    inputs = {key: dtypes.name_of(definition.inputs[key].dtype) for key in sorted(definition.inputs)}
    defaults = {key: dtypes.default_array(value) for key, value in definition.defaults.items()}
    outputs = tuple(sorted(definition.outputs))
    described = model.described[name]
    row_inputs = tuple(field for field in described.fields if field in inputs) if model.about else ()
    return Signature(
        name, inputs, outputs, defaults, function, described, private_paths=private_paths, row_inputs=row_inputs
    )
