"""A SavedModel in a session of TensorFlow's C API, as TensorFlow Serving runs it: without TensorFlow's Python package.

Loading takes a fraction of the time and memory of tf.saved_model.load, which makes a Python object of every operation of
every function. The graph, its kernels and its answers are the same.
"""

import functools
import threading
import time
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.runtime import c_api, dtypes, text_ops
from textpipe.runtime.tensorflow_library import Unavailable
from textpipe.savedmodel import subgraph
from textpipe.savedmodel.messages import op_names, serving_graph

INTERNAL = "__saved_model_"  # prefix of signatures that are TensorFlow's own
INITIALIZER = "__saved_model_init_op"
ASSETS, VARIABLES = "assets", "variables/variables"
# Of the quickest call of a signature without a loop, such as a search: below it, handing operations to TensorFlow's threads costs more
# than it gains, and calls run in their caller's thread, as RunOptions { inter_op_thread_pool: -1 } asks for.
INLINE_SECONDS = 0.003
INLINE = b"\x18" + b"\xff" * 9 + b"\x01"


@dataclass(frozen=True)
class Dtype:
    name: str


@dataclass(frozen=True)
class Shape:
    """rank: None when it is unknown; a size of None is any."""

    sizes: tuple[int | None, ...] | None

    @property
    def rank(self) -> int | None:
        return None if self.sizes is None else len(self.sizes)

    def as_list(self) -> list[int | None]:
        assert self.sizes is not None
        return list(self.sizes)


@dataclass(frozen=True)
class Spec:
    """What code reads of a tf.TensorSpec."""

    name: str
    dtype: Dtype
    shape: Shape

    @classmethod
    def of(cls, name: str, info: Any) -> "Spec":
        """info: a TensorInfo."""
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(None if axis.size < 0 else axis.size for axis in shape.dim)
        return cls(name, Dtype(dtypes.name_of(info.dtype)), Shape(sizes))


class Session:
    """The session of a SavedModel's directory, closed when nothing refers to it or to one of its signatures.

    saved: its parsed saved_model.pb. Raises Unavailable when the C API cannot run it as tf.saved_model.load would,
    CallError when TensorFlow refuses it, and ImportError without TensorFlow Text.

    Of the graph, a signature's part is added when it is called for the first time.
    """

    def __init__(self, folder: Path, saved: Any):
        meta_graph = serving_graph(saved)
        self.parts = subgraph.GraphParts(meta_graph.graph_def)
        assets = {item.tensor_info.name: str(folder / ASSETS / item.filename) for item in meta_graph.asset_file_def}
        # As in Python: the constant is what the graph's author wrote, and only the initializer is fed with the path.
        self.parts.set_strings(assets)
        if missing := self.parts.missing():  # here, as a call would raise an error that is not the caller's
            raise Unavailable(f"the graph has no operation {min(missing)!r}")
        self.api = api = c_api.library()  # last, as it may still be loading
        self.nodes, self.functions = set[str](), set[str]()  # of the session's graph
        self.extending = threading.Lock()
        options, self.graph = api.NewSessionOptions(), api.NewGraph()
        try:
            self.session = api.call(api.NewSession, self.graph, options)
        finally:
            api.DeleteSessionOptions(options)
        self.inline = api.NewBufferFromString(INLINE, len(INLINE))  # as long as the process, like the library
        # Not at the exit of the process, when calls may still run.
        weakref.finalize(self, close, api, self.session, self.graph).atexit = False
        register_ops(api, self.graph, op_names(meta_graph))
        self.restore(folder, meta_graph, {name: np.array(path, object) for name, path in assets.items()})
        self.signatures = {
            name: SessionFunction(self, name, definition)
            for name, definition in sorted(meta_graph.signature_def.items())
            if not name.startswith(INTERNAL)
        }

    def restore(self, folder: Path, meta_graph: Any, assets: Mapping[str, np.ndarray]) -> None:
        """Restore the variables and initialize tables, as SavedModels are loaded in C++ (cc/saved_model/loader.cc).

        assets: {tensor: the path that it is fed with}
        """
        saver, variables = meta_graph.saver_def, folder / VARIABLES
        steps: list[tuple[str, dict[str, np.ndarray]]] = []
        if saver.restore_op_name:
            if not variables.with_suffix(".index").exists():
                raise Unavailable(f"no {VARIABLES}.index")
            steps.append((saver.restore_op_name, {saver.filename_tensor_name: np.array(str(variables), object)}))
        if name := initializer(meta_graph):
            steps.append((name, {}))
        self.extend(subgraph.operation_of(name) for step, feeds in steps for name in (step, *feeds, *assets))
        for target, feeds in steps:
            values = {**assets, **feeds}
            inputs = (c_api.Output * len(values))(*map(self.output, values))
            self.run(inputs, list(values.values()), [c_api.STRING] * len(values), (c_api.Output * 0)(), target)

    def extend(self, operations: Iterable[str]) -> None:
        """Add operations, and what they need, to the session's graph."""
        with self.extending:
            operations = set(operations)
            if missing := operations - self.parts.nodes.keys():
                raise Unavailable(f"the graph has no operation {min(missing)!r}")
            nodes = self.parts.node_names(operations) - self.nodes
            functions = self.parts.function_names(nodes) - self.functions
            if nodes:
                self.import_graph(nodes, self.parts.graph_def(nodes, functions))
                self.nodes |= nodes
                self.functions |= functions

    def import_graph(self, nodes: Collection[str], graph_def: bytes) -> None:
        """Add a GraphDef whose inputs may be operations that the session's graph has."""
        api = self.api
        options, buffer = api.NewImportGraphDefOptions(), api.NewBufferFromString(graph_def, len(graph_def))
        try:
            for tensor in {tensor for node in nodes for tensor in self.parts.inputs[node]}:
                name = subgraph.operation_of(tensor)
                if name in nodes:
                    continue
                if tensor.startswith(subgraph.CONTROL):
                    output = self.output(name)
                    api.ImportGraphDefOptionsRemapControlDependency(options, name.encode(), output.operation)
                else:
                    output = self.output(tensor)
                    api.ImportGraphDefOptionsAddInputMapping(options, name.encode(), output.index, output)
            api.call(api.GraphImportGraphDef, self.graph, buffer, options)
        finally:
            api.DeleteBuffer(buffer)
            api.DeleteImportGraphDefOptions(options)

    def output(self, name: str) -> c_api.Output:
        """ "StatefulPartitionedCall:1" -> that output in the graph."""
        operation, _, index = name.partition(":")
        pointer = self.api.GraphOperationByName(self.graph, operation.encode())
        if not pointer:
            raise Unavailable(f"the graph has no operation {operation!r}")
        return c_api.Output(pointer, int(index or 0))

    def run(
        self,
        feeds: Any,
        arrays: Sequence[np.ndarray],
        types: Sequence[int],
        fetches: Any,
        target: str = "",
        *,
        inline: bool = False,
    ) -> list[np.ndarray]:
        """The values of `fetches`, given those of `feeds`, after running the operation `target` as well; raises CallError.

        inline: run all operations in this thread.
        """
        api = self.api
        values, results = (c_api.POINTER * len(arrays))(), (c_api.POINTER * len(fetches))()
        targets = [self.output(target).operation] if target else []
        try:
            for index, (array, dtype) in enumerate(zip(arrays, types, strict=True)):
                values[index] = api.new_tensor(array, dtype)
            api.call(
                api.SessionRun, self.session, self.inline if inline else None, feeds, values, len(values), fetches, results, len(results),
                (c_api.POINTER * len(targets))(*targets), len(targets), None,
            )  # fmt: skip
            return [api.to_array(result) for result in results if result]
        finally:
            for tensor in (*results, *values):
                if tensor:
                    api.DeleteTensor(tensor)


class SessionFunction:
    """A signature: a function of named arrays, with what code reads of a tf.function's signature."""

    def __init__(self, session: Session, name: str, definition: Any):
        self.session, self.name = session, name
        definition = type(definition).FromString(definition.SerializeToString())  # a part keeps the whole in memory
        self.inputs, self.outputs = dict(sorted(definition.inputs.items())), dict(sorted(definition.outputs.items()))
        infos = [*self.inputs.values(), *self.outputs.values()]
        if any(info.WhichOneof("encoding") != "name" for info in infos):
            raise Unavailable(f"signature {name!r} has tensors of several parts")
        if invalid := [info.name for info in infos if not subgraph.TENSOR.fullmatch(info.name)]:
            raise Unavailable(f"signature {name!r} names {invalid[0]!r}, which is not a tensor")
        if {info.name for info in self.inputs.values()} & {info.name for info in self.outputs.values()}:
            raise Unavailable(f"signature {name!r} has an input that is an output as well")
        self.types = [info.dtype for info in self.inputs.values()]
        for info in infos:
            c_api.numpy_type(info.dtype)
        self.operations = [subgraph.operation_of(info.name) for info in infos]
        if missing := set(self.operations) - session.parts.nodes.keys():
            raise Unavailable(f"signature {name!r} names {min(missing)!r}, which is not in the graph")
        self.first_call = threading.Lock()
        self.prepared, self.loops, self.quickest = False, False, float("inf")
        self.feeds = self.fetches = (c_api.Output * 0)()

    @functools.cached_property
    def structured_input_signature(self) -> tuple[tuple[()], dict[str, Spec]]:
        return (), {name: Spec.of(name, info) for name, info in self.inputs.items()}

    @functools.cached_property
    def structured_outputs(self) -> dict[str, Spec]:
        return {name: Spec.of(name, info) for name, info in self.outputs.items()}

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name. Blocks while TensorFlow runs; several threads may call at once.

        Raises TypeError for missing or unknown inputs, ValueError for values of another type, CallError for those that the
        graph refuses.
        """
        if arrays.keys() != self.inputs.keys():
            raise TypeError(f"{self.name} takes {', '.join(self.inputs)}, found {', '.join(sorted(arrays))}")
        values = [np.asarray(arrays[name]) for name in self.inputs]
        if self.prepared:
            return self.run_prepared(values)
        # One thread optimizes the graph; with several, each would do it, and need the memory for it.
        with self.first_call:
            if not self.prepared:
                self.prepare()
                outputs = self.run_prepared(values)
                self.prepared = True
                return outputs
        return self.run_prepared(values)

    def prepare(self) -> None:
        """Add the signature's part to the session's graph."""
        self.session.extend(self.operations)
        self.loops = self.session.parts.loops(self.operations)
        inputs, outputs = (
            [self.session.output(info.name) for info in part.values()] for part in (self.inputs, self.outputs)
        )
        self.feeds, self.fetches = (c_api.Output * len(inputs))(*inputs), (c_api.Output * len(outputs))(*outputs)

    def run_prepared(self, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        inline = self.quickest < INLINE_SECONDS and not self.loops
        results = self.session.run(self.feeds, values, self.types, self.fetches, inline=inline)
        self.quickest = min(self.quickest, time.perf_counter() - start)
        return dict(zip(self.outputs, results, strict=True))


def close(api: c_api.Library, session: int, graph: int) -> None:
    api.call(api.CloseSession, session)
    api.call(api.DeleteSession, session)
    api.DeleteGraph(graph)


def initializer(meta_graph: Any) -> str:
    """The operation that initializes tables; '' for none."""
    if INITIALIZER in meta_graph.signature_def:
        return subgraph.operation_of(meta_graph.signature_def[INITIALIZER].outputs[INITIALIZER].name)
    for name in ("saved_model_main_op", "legacy_init_op"):  # of TensorFlow 1
        if meta_graph.collection_def[name].node_list.value if name in meta_graph.collection_def else ():
            return str(meta_graph.collection_def[name].node_list.value[0])
    return ""


def register_ops(api: c_api.Library, graph: int, ops: set[str]) -> None:
    """Load the libraries of TensorFlow Text that register ops of a graph; raises CallError for an op that none registers."""
    for path in text_ops.libraries(ops):
        c_api.load_ops(path)
    try:
        check_registered(api, graph, ops)
    except c_api.CallError:
        for path in text_ops.libraries():
            c_api.load_ops(path)
        check_registered(api, graph, ops)


def check_registered(api: c_api.Library, graph: int, ops: set[str]) -> None:
    buffer = api.NewBuffer()
    try:
        for name in sorted(ops):
            api.call(api.GraphGetOpDef, graph, name.encode(), buffer)
            api.DeleteBuffer(buffer)
            buffer = api.NewBuffer()
    finally:
        api.DeleteBuffer(buffer)
