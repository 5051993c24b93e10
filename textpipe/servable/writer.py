"""Write a servable as a SavedModel whose bytes depend on the model alone.

TensorFlow numbers functions by how many the process has traced, writes maps in no fixed order and adds a random
fingerprint, so two exports of one model differ; and it gives every signature the method predict. Both are fixed in the
written graph.
"""

import re
from pathlib import Path
from typing import Any

from textpipe.runtime import stderr
from textpipe.savedmodel.signatures import PREDICT

NUMBER = re.compile(r"\d+")
# Unused inputs of a loop condition, named after the number of its function.
REDUNDANT_PLACEHOLDER = re.compile(r"_\d+(___redundant_placeholder\d+)$")
# Tensor names in the function that initializes a table.
TABLE_INITIALIZER = re.compile(r"\bkey_value_init\d+")
# Values of _gradient_op_type: a process-wide counter, meaningless in a written graph.
NUMBERED_GRADIENT = re.compile(rb"^(PartitionedCallUnused|CustomGradient)-\d+$")


def save(servable: Any, folder: Path) -> None:
    """Write saved_model.pb, variables/ and assets/ of a servable to `folder`."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    # Gradients are only needed for further training; without them the graph is smaller and functions name no gradients.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with stderr.quiet_loggers("tensorflow", "absl"):  # they log renamed captures and the assets folder
        tf.saved_model.save(servable, str(folder), signatures=servable.signatures(), options=options)
    # It has a random number and a checksum of the unmodified graph; loading does not need it.
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        for signature in servable.definitions:
            definition = graph.signature_def[signature.name]
            if signature.method != PREDICT:
                definition.method_name = f"tensorflow/serving/{signature.method}"
            for name, value in signature.defaults.items():
                definition.defaults[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        renumber(graph)
    path.write_bytes(saved.SerializeToString(deterministic=True))


def renumber(graph: Any) -> None:
    """Rename functions and tables of a MetaGraphDef by their order, and sort them, independent of what else was traced."""
    functions = graph.graph_def.library.function
    assert not graph.graph_def.library.gradient, "saved with gradients, which also name functions"
    names = canonical_names([function.signature.name for function in functions])
    nodes = [*graph.graph_def.node, *(node for function in functions for node in function.node_def)]
    tables = canonical_names([name for node in nodes if (name := table_name(node))])
    for node in nodes:
        node.op = names.get(node.op, node.op)
        if table_name(node):
            node.attr["shared_name"].s = tables[table_name(node)].encode()
        for key, value in node.attr.items():
            kind = value.WhichOneof("value")
            for called in [value.func] if kind == "func" else value.list.func if kind == "list" else []:
                called.name = names.get(called.name, called.name)
            if key == "_gradient_op_type":
                value.s = NUMBERED_GRADIENT.sub(rb"\1", value.s)
    for function in functions:
        rename_function(function, names[function.signature.name])
    functions.sort(key=lambda function: function.signature.name)
    rename_objects(graph.object_graph_def, names)


def rename_function(function: Any, name: str) -> None:
    """Give a FunctionDef its new name, and remove counters from the names inside it."""
    from google.protobuf import text_format

    function.signature.name = name
    for argument in function.signature.input_arg:
        argument.name = REDUNDANT_PLACEHOLDER.sub(r"\1", argument.name)
    # The argument of a captured tensor is named after a counter; rename it, and its uses in the body, by position.
    names = {}
    for position, attributes in function.arg_attr.items():
        if "_user_specified_name" in attributes.attr and attributes.attr["_user_specified_name"].s.isdigit():
            del attributes.attr["_user_specified_name"]
            names[function.signature.input_arg[position].name] = f"captured_{position}"
    for argument in function.signature.input_arg:
        argument.name = names.get(argument.name, argument.name)
    for node in function.node_def:
        node.input[:] = [names.get(tensor_name, tensor_name) for tensor_name in node.input]
    for output, tensor_name in function.ret.items():
        function.ret[output] = names.get(tensor_name, tensor_name)
    if name.startswith("__inference__initializer"):
        text = TABLE_INITIALIZER.sub("key_value_init", text_format.MessageToString(function))
        function.CopyFrom(text_format.Parse(text, type(function)()))


def rename_objects(graph: Any, names: dict[str, str]) -> None:
    """Apply the new names to a SavedObjectGraph."""
    for node in graph.nodes:
        if node.WhichOneof("kind") == "bare_concrete_function":
            bare = node.bare_concrete_function
            bare.concrete_function_name = names.get(bare.concrete_function_name, bare.concrete_function_name)
        elif node.WhichOneof("kind") == "function":
            node.function.concrete_functions[:] = [names.get(name, name) for name in node.function.concrete_functions]
    renamed = {
        names.get(name, name): type(saved).FromString(saved.SerializeToString())
        for name, saved in graph.concrete_functions.items()
    }
    graph.concrete_functions.clear()
    for name, saved in renamed.items():
        graph.concrete_functions[name].CopyFrom(saved)


def table_name(node: Any) -> str:
    """The name of the table that a node makes, if TensorFlow took it from a counter, else ''."""
    name = node.attr["shared_name"].s.decode() if node.op == "HashTableV2" else ""
    return name if name.isdigit() else ""


def canonical_names(names: list[str]) -> dict[str, str]:
    """{old name: new name}, numbered from 0 within each stem, in the order of the old numbers.

    ["f_917", "f_88", "g_5"] -> {"f_88": "f_0", "f_917": "f_1", "g_5": "g_0"}
    """
    stems: dict[str, list[str]] = {}
    for name in sorted(set(names), key=lambda name: ([int(part) for part in NUMBER.findall(name)], name)):
        stems.setdefault(NUMBER.sub("N", name), []).append(name)
    return {name: f"{stem.removesuffix('_N')}_{at}" for stem, group in stems.items() for at, name in enumerate(group)}
