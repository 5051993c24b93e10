"""Find ops of a SavedModel with side effects: access to files, other processes or the network.

A SavedModel is a program that TensorFlow runs with the rights of the loading process (TensorFlow's SECURITY.md). Ops that are
not in side_effect_ops.py only compute tensors. Two uses are allowed: saving and restoring the model's variables, and
filling tables from the model's own assets.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError
from textpipe.savedmodel.messages import read_saved_model
from textpipe.savedmodel.side_effect_ops import CHECKPOINTS, FILES, NETWORK, PROCESSES

TABLE_FROM_FILE = "InitializeTableFromTextFile"
AFFIXES = re.compile(r"^Experimental|V[0-9]+(?=$|[A-Z])")
INIT_KEYS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op")  # run when a model is loaded
PASS_THROUGH = ("Identity", "StopGradient", "EnsureShape")


def base_op(op: str) -> str:
    """ExperimentalCSVDatasetV2 -> CSVDataset;   SaveV2 -> Save;   MergeV2Checkpoints -> MergeCheckpoints"""
    return AFFIXES.sub("", op)


def find_side_effects(folder: Path, saved: Any = None) -> list[str]:
    """The ops with side effects in a SavedModel directory, as "ReadFile (serve)" inside a function; [] for none.

    saved: its SavedModel message, if already read. Raises ModelError when it cannot be read.
    """
    effects: set[str] = set()
    for meta_graph in (saved or read_saved_model(folder)).meta_graphs:
        effects.update(Graph(meta_graph).side_effects())
        effects.update(
            f"the asset {asset.filename}"
            for asset in meta_graph.asset_file_def
            if asset.filename.startswith("/") or ".." in Path(asset.filename).parts
        )
    return sorted(effects)


def refuse(folder: Path, saved: Any = None) -> None:
    """Raise ModelError for a model that has ops with side effects."""
    if effects := find_side_effects(folder, saved):
        raise ModelError(
            f"{folder}: its graph accesses files, processes or the network: {', '.join(effects[:8])}"
            f"{' and others' if len(effects) > 8 else ''}; if you trust its author, serve it with --trust-models"
        )


def report(path: str | Path) -> list[str]:
    """Report lines, one per op with side effects; [] for none."""
    from textpipe.savedmodel import locations

    return [
        f"fault             {op}: accesses files, processes or the network; textpipe serve refuses the model "
        "without --trust-models"
        for op in find_side_effects(locations.find_version(Path(path)))
    ]


class Graph:
    """A MetaGraphDef: its main graph (container ""), and its functions by name."""

    def __init__(self, meta_graph: Any):
        self.meta_graph = meta_graph
        library = meta_graph.graph_def.library.function
        self.functions = {function.signature.name: function for function in library}
        self.main = {node.name: node for node in meta_graph.graph_def.node}
        self.saving = self.saver_only()

    def side_effects(self) -> Iterator[str]:
        for node in self.main.values():
            if self.reaches(node, "", allowed=node.name in self.saving[0]):
                yield node.op
        for name, function in self.functions.items():
            for node in function.node_def:
                if self.reaches(node, name, allowed=name in self.saving[1]):
                    yield f"{node.op} ({name})"

    def reaches(self, node: Any, container: str, *, allowed: bool) -> bool:
        """Whether a node has a side effect; allowed: it is part of saving and restoring variables."""
        if node.op in self.functions:
            return False
        op = base_op(node.op)
        if op in CHECKPOINTS:
            return not allowed
        if op == TABLE_FROM_FILE:
            return len(node.input) < 2 or not self.is_asset(container, node.input[1], set())
        if op in FILES | PROCESSES | NETWORK:
            return True
        attributes = node.attr
        if op in ("DecodeProto", "EncodeProto"):
            source = attributes["descriptor_source"].s.decode("utf-8", "replace")
            return not (source in ("", "local://") or source.startswith("bytes://"))
        if op == "FixedUnigramCandidateSampler":
            return bool(attributes["vocab_file"].s)
        if op == "Print":
            return attributes["output_stream"].s.startswith(b"file:")
        if op == "CacheDataset":
            return len(node.input) < 2 or self.string_constant(container, node.input[1]) != b""
        return False

    # Saving and restoring

    def saver_only(self) -> tuple[set[str], set[str]]:
        """(nodes of the main graph, functions) used only by the saver."""
        saver, signatures = self.meta_graph.saver_def, self.meta_graph.signature_def.values()
        outputs = {tensor.name for signature in signatures for tensor in signature.outputs.values()}
        for key in INIT_KEYS:
            outputs.update(self.meta_graph.collection_def[key].node_list.value)
        nodes = self.ancestors([saver.save_tensor_name, saver.restore_op_name]) - self.ancestors(outputs)
        calls = {name: callees(node) for name, node in self.main.items()}
        saver_functions = self.called_functions(called for name, called in calls.items() if name in nodes)
        others = self.called_functions(called for name, called in calls.items() if name not in nodes)
        others |= set(self.meta_graph.object_graph_def.concrete_functions)
        others |= set(self.functions) - saver_functions
        others |= self.called_functions(self.calls[name] for name in others if name in self.calls)
        return nodes, saver_functions - others

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """Nodes of the main graph that these tensors depend on."""
        nodes: set[str] = set()
        waiting = [node_name(name) for name in names]
        while waiting:
            name = waiting.pop()
            if name in self.main and name not in nodes:
                nodes.add(name)
                waiting += map(node_name, self.main[name].input)
        return nodes

    @functools.cached_property
    def calls(self) -> dict[str, set[str]]:
        """What the nodes of each function may call."""
        return {name: set().union(*map(callees, item.node_def)) for name, item in self.functions.items()}

    def called_functions(self, names: Iterable[set[str]]) -> set[str]:
        """The functions among these names, and those that they call, directly or not."""
        called: set[str] = set()
        waiting = set().union(*names)
        while waiting:
            name = waiting.pop()
            if name in self.functions and name not in called:
                called.add(name)
                waiting |= self.calls[name]
        return called

    # Origin of a path

    def nodes(self, container: str) -> dict[str, Any]:
        if not container:
            return self.main
        return {node.name: node for node in self.functions[container].node_def} if container in self.functions else {}

    def string_constant(self, container: str, reference: str) -> bytes | None:
        """A string constant's value; None for any other tensor."""
        node = self.nodes(container).get(node_name(reference))
        if node is None or node.op != "Const":
            return None
        value = node.attr["value"].tensor
        # TensorFlow reads tensor_content, where there is one, in place of string_val.
        return None if value.tensor_content or not value.string_val else bytes(value.string_val[0])

    def signature_inputs(self) -> set[str]:
        """The operations that the callers of signatures fill in."""
        signatures = self.meta_graph.signature_def.values()
        return {node_name(tensor.name) for signature in signatures for tensor in signature.inputs.values()}

    def is_asset(self, container: str, reference: str, seen: set[tuple[str, str]]) -> bool:
        """Whether a tensor is always the path of one of the model's assets, traced through calls."""
        name = node_name(reference)
        if (container, name) in seen:
            return False
        seen = seen | {(container, name)}
        node = self.nodes(container).get(name)
        if not container and name in {node_name(asset.tensor_info.name) for asset in self.meta_graph.asset_file_def}:
            # Loading sets the constant, and feeds the placeholder while it initializes; only a signature's caller could fill it otherwise.
            return node is not None and (
                node.op == "Const" or (node.op == "Placeholder" and name not in self.signature_inputs())
            )
        if node is not None:
            if node.op == "ReadVariableOp" and not container:
                return self.holds_asset(node_name(node.input[0]), seen)
            return node.op in PASS_THROUGH and bool(node.input) and self.is_asset(container, node.input[0], seen)
        if not container:
            return False
        arguments = [argument.name for argument in self.functions[container].signature.input_arg]
        if name not in arguments:
            return False
        results = list(self.argument_is_asset(container, arguments.index(name), len(arguments), seen))
        return bool(results) and all(results)

    def holds_asset(self, variable: str, seen: set[tuple[str, str]]) -> bool:
        """Whether a variable of the main graph is only ever assigned an asset's path."""
        users = [node for node in self.main.values() if variable in map(node_name, node.input)]
        assigned = [node.input[1] for node in users if node.op == "AssignVariableOp"]
        only_assigned = all(node.op in ("AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp") for node in users)
        return only_assigned and bool(assigned) and all(self.is_asset("", value, seen) for value in assigned)

    def argument_is_asset(self, function: str, position: int, count: int, seen: set[tuple[str, str]]) -> Iterator[bool]:
        """For each call of a function, yield whether the argument at a position is an asset."""
        objects = self.meta_graph.object_graph_def
        if function in objects.concrete_functions:
            bound = objects.concrete_functions[function].bound_inputs
            at = position - (count - len(bound))
            yield at >= 0 and objects.nodes[bound[at]].WhichOneof("kind") == "asset"
        for container in ("", *self.functions):
            for node in self.nodes(container).values():
                if function in callees(node):
                    calls = base_op(node.op) in ("PartitionedCall", "StatefulPartitionedCall") or node.op == function
                    yield calls and len(node.input) > position and self.is_asset(container, node.input[position], seen)


def node_name(reference: str) -> str:
    """^init -> init;   Const_3:0 -> Const_3;   read:contents:0 -> read"""
    return reference.removeprefix("^").partition(":")[0]


def callees(node: Any) -> set[str]:
    """Names of the functions that a node may call."""
    names = {node.op}
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        names.update(
            call.name for call in ([value.func] if kind == "func" else value.list.func if kind == "list" else [])
        )
    return names
