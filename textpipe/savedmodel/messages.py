"""saved_model.pb, parsed (tensorflow/core/protobuf/saved_model.proto)."""

import itertools
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError

SERVE_TAG = "serve"  # the tag of the graph that servers load


def read_saved_model(folder: Path) -> Any:
    """The SavedModel of a directory; raises ModelError when it cannot be read or has no graph."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    try:
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None
    if not saved.meta_graphs:  # an empty file is a valid message
        raise ModelError(f"{path}: has no graph; export the model again")
    return saved


def serving_graph(saved: Any) -> Any:
    """The MetaGraphDef of a SavedModel that servers use."""
    return next((graph for graph in saved.meta_graphs if SERVE_TAG in graph.meta_info_def.tags), saved.meta_graphs[0])


def op_names(graph: Any) -> set[str]:
    """The ops of a MetaGraphDef and of its functions."""
    definition = graph.graph_def
    functions = definition.library.function
    nodes = itertools.chain(definition.node, *(function.node_def for function in functions))
    return {node.op for node in nodes} - {function.signature.name for function in functions}


def signatures_of(saved: Any) -> Any:
    """The graph that servers use with its signatures only: as long as one is referred to, the whole message is in memory."""
    graph = serving_graph(saved)
    copy = type(graph)()
    for name, definition in graph.signature_def.items():
        copy.signature_def[name].CopyFrom(definition)
    return copy
