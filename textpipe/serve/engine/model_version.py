"""One version of a model in memory: its signatures, and the calls that keep it there until they are answered."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.savedmodel import side_effects
from textpipe.savedmodel import signatures as records
from textpipe.savedmodel.loader import DEFAULT, Model
from textpipe.serve.engine import search_limits
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.redaction import without_roots
from textpipe.serve.tensors.json_values import TYPE_NAMES
from textpipe.serve.tensors.to_json import dtype_of

SERVE_TAG = "serve"  # the tag of the graph that servers load


@dataclass(frozen=True)
class Signature:
    """A function of named tensors. inputs: {name: dtype}, in the names' order; defaults: of inputs a caller may leave
    out; described: what these inputs are, and what it gives; bounds: of inputs that are options. search: what answers in its
    place, because it can be stopped.
    """

    name: str
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    defaults: dict[str, np.ndarray]
    function: Any
    described: records.Signature
    bounds: search_limits.Bounds = field(default_factory=dict)
    search: "Search | None" = None
    places: tuple[Path, ...] = ()  # not to be told to callers

    @cached_property
    def deadline(self) -> str | None:
        """The input at which a call ends, None where it does not."""
        name = self.described.deadline
        return name if name and self.inputs.get(name) == "float64" else None

    @cached_property
    def mergeable(self) -> bool:
        """Whether rows of several requests may be answered together."""
        return self.described.mergeable

    @cached_property
    def answers_rows(self) -> bool:
        """Whether it gives answers to rows as they are, with no more said of them."""
        described = self.described
        return described.gives == records.ANSWER and not described.options and set(described.fields) == set(self.inputs)

    @property
    def settings(self) -> dict[str, np.ndarray]:
        """The defaults of its options."""
        return {name: self.defaults[name] for name in self.defaults if name in self.described.options}

    def complete(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """With the defaults of what is left out; raises Fault for inputs that lack or that there are not."""
        given = {**self.defaults, **tensors}
        if set(given) != set(self.inputs):
            lacking, unknown = sorted(set(self.inputs) - set(given)), sorted(set(given) - set(self.inputs))
            raise invalid_argument(
                f"input size does not match signature: {len(tensors)}!={len(self.inputs)} "
                f"len({{{','.join(sorted(tensors))}}}) != len({{{','.join(self.inputs)}}}). "
                f"Sent extra: {{{','.join(unknown)}}}. Missing but required: {{{','.join(lacking)}}}."
            )
        for at, (name, dtype) in enumerate(self.inputs.items()):
            if (found := dtype_of(given[name])) != dtype:
                raise invalid_argument(
                    f"Expects arg[{at}] to be {TYPE_NAMES.get(dtype, dtype)} but {TYPE_NAMES.get(found, found)} is provided"
                )
        return given

    def call(self, tensors: Mapping[str, np.ndarray], until: float = 0.0) -> dict[str, np.ndarray]:
        """The outputs by name. Blocks for as long as TensorFlow works; raises Fault where the model refuses the
        tensors, or where it can be stopped and did not come to an end until a time in Unix seconds.
        """
        if self.search is not None:
            return self.searched(self.search, tensors, until)
        if self.deadline is not None:
            tensors = {**tensors, self.deadline: search_limits.earliest_deadline(tensors.get(self.deadline), until)}
        import tensorflow as tf

        try:
            given = {name: tf.constant(array, self.inputs[name]) for name, array in tensors.items()}
            found = self.function(**given)
        except tf.errors.OpError as error:
            if search_limits.DEADLINE_ERROR in error.message:
                raise search_limits.deadline_exceeded() from None
            raise ServingError(CLIENT_ERRORS.get(error.error_code, "INTERNAL"), self.telling(error.message)) from None
        except (TypeError, ValueError) as error:
            raise invalid_argument(self.telling(str(error).strip().splitlines()[0])) from None
        return {name: to_numpy(found[name]) for name in sorted(found)}

    def searched(self, search: "Search", tensors: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        """What this signature says, by that of the options with their defaults."""
        defaults = search.options.defaults
        best = (
            {search_limits.NBEST: np.ones_like(defaults[search_limits.NBEST])}
            if search.first and search_limits.NBEST in defaults
            else {}
        )
        found = search.options.call({**defaults, **best, **tensors}, until)
        return {name: found[given][:, 0] if search.first else found[given] for name, given in search.outputs.items()}

    def telling(self, message: str) -> str:
        """What TensorFlow says, without where on this machine it says so."""
        return without_roots(message, *self.places)


@dataclass(frozen=True)
class Search:
    """A signature with options in place of another; outputs: {output: its name there}, of which the first of each row is
    meant where the other gives one answer a row.
    """

    options: Signature
    outputs: dict[str, str]
    first: bool

    def answers(self, other: Signature) -> bool:
        """Whether it can be stopped, and takes and says all that the other does."""
        options = self.options
        return (
            options.deadline is not None
            and set(other.inputs) == set(options.inputs) - set(options.defaults)
            and set(other.outputs) == set(self.outputs)
            and set(self.outputs.values()) <= set(options.outputs)
        )


def to_numpy(value: Any) -> np.ndarray:
    """A tensor as NumPy; a string without axes as an array of objects, like those with axes."""
    found = value.numpy()
    return np.array(found, object) if isinstance(found, bytes) else np.asarray(found)


# Codes a client can do something about; the others are the server's own faults.
CLIENT_ERRORS = {
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

    def __init__(
        self,
        name: str,
        number: int,
        path: Path,
        model: Any,
        graph: Any,
        most: search_limits.OptionLimits = search_limits.OptionLimits(),
    ):
        self.name, self.number, self.path, self.model = name, number, path, model
        self.about: dict[str, Any] = model.about
        self.definitions = graph.signature_def
        places = (path.parent.parent,)
        found = {key: load_signature(key, graph.signature_def[key], model, places) for key in model.signatures}
        for key, one in found.items():
            if one.described.options:
                found[key] = replace(one, bounds=most.bounds(name, self.about, one.settings))
        for key, one in found.items():
            way = one.described.search
            if way and way.signature in found:
                search = Search(found[way.signature], dict(way.outputs), way.first)
                if search.answers(one):
                    found[key] = replace(one, search=search)
        self.signatures = found
        described = [one.described for one in found.values()]
        self.taking_options = self.named(records.taking_options(described))
        # What counts the tokens of texts and answers; of a model of another tool nothing is counted.
        self.counts = self.named(records.giving(described, records.TOKEN_COUNTS)) if self.about else None
        begin = records.giving(described, records.STATE)
        advance = records.following(described, begin.name) if begin else None
        # An answer that grows: what begins it, and what gives it a token more.
        self.stream = (found[begin.name], found[advance.name]) if begin and advance else None
        self.held = 0
        self.change = threading.Condition()

    @classmethod
    def load(
        cls,
        name: str,
        number: int,
        path: Path,
        most: search_limits.OptionLimits = search_limits.OptionLimits(),
        *,
        trust: bool = False,
    ) -> "Version":
        """Raises ModelError when the directory is not whole, not what its manifest says, or cannot be loaded, and when
        its graph reaches for files, processes or the network and is not to be trusted with these.
        """
        saved = side_effects.read(path)
        if not trust:
            side_effects.refuse(path, saved)
        return cls(name, number, path, Model.load(path), serving_graph(saved), most)

    def named(self, described: records.Signature | None) -> Signature | None:
        """The signature that is described."""
        return self.signatures[described.name] if described else None

    def signature(self, name: str) -> Signature:
        try:
            return self.signatures[name or DEFAULT]
        except KeyError:
            raise invalid_argument(f'Serving signature name: "{name or DEFAULT}" not found in signature def') from None

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


def load_signature(name: str, definition: Any, model: Any, places: tuple[Path, ...] = ()) -> Signature:
    import tensorflow as tf

    function = model.signatures[name]
    inputs = {key: tf.dtypes.as_dtype(definition.inputs[key].dtype).name for key in sorted(definition.inputs)}
    defaults = {key: tf.make_ndarray(value) for key, value in definition.defaults.items()}
    outputs = tuple(sorted(definition.outputs))
    return Signature(name, inputs, outputs, defaults, function, model.described[name], places=places)


def serving_graph(saved: Any) -> Any:
    """The MetaGraphDef of a SavedModel that servers use."""
    return next((graph for graph in saved.meta_graphs if SERVE_TAG in graph.meta_info_def.tags), saved.meta_graphs[0])
