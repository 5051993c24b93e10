"""The part of a GraphDef that some of its operations need.

An exported generator has a dozen signatures, each with a copy of the model's graph, and a process calls one or a few of them.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

TENSOR = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.>/\\-]*(:[0-9]{1,9})?")  # an operation's name, and which of its outputs
CONTROL = "^"  # before the name of an input that is only waited for
LOOPS = {"While", "StatelessWhile", "Enter", "RefEnter"}  # ops
COLOCATION, LOCATION = "_class", b"loc:@"  # an attribute that names an operation on whose device one has to be


class GraphParts:
    """A GraphDef's operations and functions, serialized: its parsed form takes seven times the memory."""

    def __init__(self, graph: Any):
        self.versions = graph.versions.SerializeToString()
        functions = {function.signature.name for function in graph.library.function}
        self.nodes = {node.name: node.SerializeToString() for node in graph.node}
        self.functions = {function.signature.name: function.SerializeToString() for function in graph.library.function}
        self.inputs = {node.name: tuple(inputs_of(node)) for node in graph.node}
        self.called_by_node = {node.name: frozenset(called(node, functions)) for node in graph.node}
        self.called_by_function = {
            function.signature.name: frozenset(name for node in function.node_def for name in called(node, functions))
            for function in graph.library.function
        }

        self.looping_nodes = {node.name for node in graph.node if node.op in LOOPS}
        self.looping_functions = {
            function.signature.name
            for function in graph.library.function
            if any(node.op in LOOPS for node in function.node_def)
        }

    def set_strings(self, values: Mapping[str, str]) -> None:
        """Change the values of constants that are one string: {tensor: value}; other operations are left as they are."""
        from tensorflow.core.framework import node_def_pb2

        for tensor, value in values.items():
            name = operation_of(tensor)
            node = node_def_pb2.NodeDef.FromString(self.nodes.get(name, b""))
            if node.op == "Const":
                node.attr["value"].tensor.ClearField("tensor_content")
                node.attr["value"].tensor.string_val[:] = [value.encode("utf-8", "surrogateescape")]
                self.nodes[name] = node.SerializeToString()

    def loops(self, roots: Iterable[str]) -> bool:
        """Whether these operations, or those that they need, run a loop."""
        nodes = self.node_names(roots)
        return bool(nodes & self.looping_nodes or self.function_names(nodes) & self.looping_functions)

    def missing(self) -> set[str]:
        """Operations that others need and that the graph lacks."""
        return {operation_of(tensor) for inputs in self.inputs.values() for tensor in inputs} - self.nodes.keys()

    def node_names(self, roots: Iterable[str]) -> set[str]:
        """These operations, and those that they need."""
        return closure(roots, lambda name: map(operation_of, self.inputs.get(name, ())))

    def function_names(self, nodes: Iterable[str]) -> set[str]:
        """The functions that operations call, and those that these call."""
        called_first = (name for node in nodes for name in self.called_by_node[node])
        return closure(called_first, lambda name: self.called_by_function[name])

    def graph_def(self, nodes: Collection[str], functions: Collection[str]) -> bytes:
        """A serialized GraphDef of these operations and functions."""
        from tensorflow.core.framework import graph_pb2

        graph = graph_pb2.GraphDef()
        graph.versions.MergeFromString(self.versions)
        for name in sorted(nodes):
            graph.node.add().MergeFromString(self.nodes[name])
        for name in sorted(functions):
            graph.library.function.add().MergeFromString(self.functions[name])
        return bytes(graph.SerializeToString())


def inputs_of(node: Any) -> Iterator[str]:
    """ "x", "x:1", "^x" of a NodeDef, and operations it has to be beside as "^x"."""
    yield from node.input
    if COLOCATION in node.attr:
        for value in node.attr[COLOCATION].list.s:
            if value.startswith(LOCATION):
                yield CONTROL + value.removeprefix(LOCATION).decode()


def operation_of(tensor: str) -> str:
    """ "x", "x:1", "^x" -> "x" """
    return tensor.removeprefix(CONTROL).partition(":")[0]


def called(node: Any, functions: Collection[str]) -> Iterator[str]:
    """The functions that a NodeDef names."""
    if node.op in functions:
        yield node.op
    for value in node.attr.values():
        names = [value.func.name, *(function.name for function in value.list.func)]
        yield from (name for name in names if name in functions)


def closure(roots: Iterable[str], needs: Any) -> set[str]:
    """The roots and everything that they need, directly or indirectly."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += needs(name)
    return reached
