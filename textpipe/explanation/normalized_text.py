"""The normalization inside an exported model: no signature gives normalized texts, but the graph holds the function that makes them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
STEM = "__inference_normalize"  # of text/normalizer.py's traced function, as servable/writer.py writes its name


def functions(signature: Any, dtypes: Mapping[str, str]) -> dict[str, Callable[[str], str]]:
    """{field: its normalization}, of the text fields whose normalization is found in the graph of a loaded signature.

    A field is left out where the graph has another structure, as that of a model of another tool.
    """
    graph = signature.graph.as_graph_def()
    library = {function.signature.name: function for function in graph.library.function}
    bodies = [library[called(node)] for node in graph.node if node.op in CALLS and called(node) in library]
    function_names = {}
    for body in bodies:
        producers = {node.name: node for node in body.node_def}
        arguments = {argument.name for argument in body.signature.input_arg}
        for node in body.node_def:
            if node.op in CALLS and called(node).startswith(STEM) and len(node.input) == 1:
                for name in sources(node, producers, arguments):
                    if dtypes.get(name) == "string":
                        function_names[name] = called(node)
    return {name: text_function(graph.library, function) for name, function in function_names.items()}


def called(node: Any) -> str:
    """The name of the function that a node calls."""
    return str(node.attr["f"].func.name)


def sources(node: Any, producers: Mapping[str, Any], arguments: set[str]) -> Iterator[str]:
    """The arguments that a node's first inputs come from, through the operations that only add a row."""
    visited: set[str] = set()
    pending = [node.input[0]]
    while pending:
        name = pending.pop().lstrip("^").split(":")[0]
        if name in visited:
            continue
        visited.add(name)
        if name in arguments:
            yield name
        elif name in producers and producers[name].op in ("ConcatV2", "Identity"):
            pending += producers[name].input


def text_function(library: Any, name: str) -> Callable[[str], str]:
    """A function of the library, [N] string -> [N] string, as one of a single text."""
    import tensorflow as tf

    text_type = tf.string.as_datatype_enum

    def call(text: Any) -> Any:
        graph = tf.compat.v1.GraphDef()
        graph.library.CopyFrom(library)
        source = graph.node.add(name="source", op="Placeholder")
        source.attr["dtype"].type = text_type
        node = graph.node.add(name="call", op="PartitionedCall", input=["source"])
        node.attr["f"].func.name = name
        for key in ("Tin", "Tout"):
            node.attr[key].list.type.append(text_type)
        (result,) = tf.import_graph_def(graph, input_map={"source:0": text}, return_elements=["call:0"], name="")
        return result

    function = tf.compat.v1.wrap_function(call, [tf.TensorSpec([None], tf.string)])

    def normalize(text: str) -> str:
        from textpipe.savedmodel.model_rows import encode

        return function(tf.constant([encode(text)])).numpy()[0].decode("utf-8", errors="replace")

    return normalize
