"""Classify and regress: JSON examples as serialized tf.Examples, and what a signature gave for them as results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.serve.engine.errors import invalid_argument
from textpipe.serve.engine.model_version import DEFAULT, Signature, Version
from textpipe.serve.engine.request_limits import RequestLimits
from textpipe.serve.tensors import to_json
from textpipe.serve.tensors.json_reader import members
from textpipe.serve.tensors.json_values import bytes_array, format_shape, from_base64, is_bytes
from textpipe.serve.tensors.json_writer import is_double, malformed, type_of

EXAMPLES, CONTEXT = "examples", "context"
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


def serialize_document(document: Mapping[str, Any], limits: RequestLimits = RequestLimits()) -> np.ndarray:
    """{"examples": [{"x": 1.0}]} -> serialized tf.Examples [B]; features of "context" go to every one."""
    from tensorflow.core.example import example_pb2

    context = example_pb2.Example()
    if CONTEXT in document:
        fill_example(context, document[CONTEXT])
    if EXAMPLES not in document:
        raise malformed(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document[EXAMPLES]
    if not isinstance(examples, list):
        raise malformed(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise malformed(document, "'examples' value is an empty array")
    limits.rows(EXAMPLES, len(examples))
    found = []
    for features in examples:
        example = example_pb2.Example()
        fill_example(example, features)
        found.append(example)
    return serialize(context, found, limits)


def serialize(context: Any, examples: Sequence[Any], limits: RequestLimits) -> np.ndarray:
    """tf.Examples with the features of a context that they have not themselves, serialized [B].

    Two messages written one after the other are the one message that they make together: of a feature in both, the last
    counts.
    """
    limits.rows(EXAMPLES, len(examples))
    sizes = [example.ByteSize() + context.ByteSize() for example in examples]
    limits.text(EXAMPLES, max(sizes))
    limits.size(EXAMPLES, sum(sizes))
    shared = context.SerializeToString()
    return bytes_array([shared + example.SerializeToString() for example in examples])


def fill_example(example: Any, features: Any) -> None:
    """{"n": [1, 2], "s": "hi"} into a tf.Example."""
    if not isinstance(features, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_of(features)}")
    for name, value in members(features):
        name = name.partition("\0")[0]  # names end there for TensorFlow Serving
        values: list[Any] = []
        kind = ""
        for one in value if isinstance(value, list) else [value]:
            other = feature_kind(name, one)
            kind = kind or other
            if other != kind:
                raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {kind}")
            values.append(feature_value(name, one, kind))
        feature = example.features.feature[name]
        feature.Clear()  # of two equal names the last counts here
        if kind == "bytes":
            feature.bytes_list.value.extend(values)
        elif kind == "float":
            feature.float_list.value.extend(values)
        elif kind == "int64":
            feature.int64_list.value.extend(values)


def feature_kind(name: str, value: Any) -> str:
    """Which list of a tf.Feature holds a value."""
    if isinstance(value, str) or is_bytes(value):
        return "bytes"
    if value is None or isinstance(value, (dict, list)):
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_of(value)}")
    return "float" if is_double(value) else "int64"


def feature_value(name: str, value: Any, kind: str) -> Any:
    """A value as a tf.Feature holds it."""
    if kind == "bytes":
        return from_base64(value) if isinstance(value, dict) else value.encode()
    if kind == "float":
        with np.errstate(over="ignore"):  # what is too large for a float is infinite
            return np.float32(value)
    if value >= 2**63:
        raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    return int(value)


def find_signature(
    version: Version, name: str, method: str, unknown: str = "No signature was found with the name: "
) -> Signature:
    """The signature of a name; raises Fault unless it is there and can classify or regress."""
    name = name or DEFAULT
    if name not in version.signatures:
        raise invalid_argument(unknown + name)
    check_signature(version.definitions[name], method)
    return version.signatures[name]


def check_signature(definition: Any, method: str) -> None:
    """Raises Fault unless a signature, by its SignatureDef, can classify or regress."""
    inputs, outputs = definition.inputs, definition.outputs
    classifies = method == "classify"
    if len(inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if classifies and len(outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(outputs)}")
    if not classifies and len(outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if INPUTS not in inputs:
        what = "classification" if classifies else "regression"
        raise invalid_argument(f"No {what} inputs found in SignatureDef: {definition}")
    if classifies and not {CLASSES, SCORES} & set(outputs):
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {definition}"
        )
    if not classifies and OUTPUTS not in outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {definition}")


def class_scores(found: Mapping[str, np.ndarray], rows: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The classes [B, C] (bytes) and scores [B, C] of a classification, one of them perhaps None."""
    classes, scores = found.get(CLASSES), found.get(SCORES)
    for name, array, wanted in ((CLASSES, classes, "DT_STRING"), (SCORES, scores, "DT_FLOAT")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid_argument(
                f"Expected Tensor shape: [batch_size num_classes] but got {format_shape(array.shape)}"
            )
        if (kind := to_json.type_enum(array)) != wanted:
            raise invalid_argument(f"Expected {name} Tensor of {wanted}. Got: {kind}")
        if len(array) != rows:
            raise invalid_argument(f"Expected {name} output batch size of {rows}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        widths = f"{classes.shape[1]} vs. {scores.shape[1]}"
        raise invalid_argument(f"Tensors class and score should match in dim_size(1). Got {widths}")
    return classes, scores


def regression_values(found: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """The values [B] of a regression."""
    values = found[OUTPUTS]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            + format_shape(values.shape)
        )
    if len(values) != rows:
        raise invalid_argument(f"Input batch size did not match output batch size: {rows} vs. {len(values)}")
    if (kind := to_json.type_enum(values)) != "DT_FLOAT":
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {kind}")
    return values.reshape(-1)


def classify_json(found: Mapping[str, np.ndarray], rows: int) -> str:
    """{"results": [[["car", 0.25], ["bus", 0.75]], ...]}; a label that is not given is "", a score 0."""
    classes, scores = class_scores(found, rows)
    given = scores if classes is None else classes
    assert given is not None
    labels = ['""'] * given.size if classes is None else to_json.format_values(classes.reshape(-1), CLASSES)
    points = ["0.0"] * given.size if scores is None else to_json.format_floats(scores.reshape(-1))
    width = given.shape[1]
    pairs = [f"[{label}, {score}]" for label, score in zip(labels, points, strict=True)]
    lines = [f"[{', '.join(pairs[at * width : (at + 1) * width])}]" for at in range(rows)]
    return results_json(lines)


def regress_json(found: Mapping[str, np.ndarray], rows: int) -> str:
    """{"results": [0.5, 1.0]}"""
    return results_json(to_json.format_floats(regression_values(found, rows)))


def results_json(values: Sequence[str]) -> str:
    return f'{{\n    "results": [{", ".join(values)}\n    ]\n}}'
