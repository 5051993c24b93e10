"""Classify and regress: converts JSON examples to serialized tf.Examples, and a signature's outputs to results."""

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
    """{"examples": [{"x": 1.0}]} -> serialized tf.Examples [B]; features of "context" are added to each."""
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
    limits.check_rows(EXAMPLES, len(examples))
    messages = []
    for features in examples:
        example = example_pb2.Example()
        fill_example(example, features)
        messages.append(example)
    return serialize(context, messages, limits)


def serialize(context: Any, examples: Sequence[Any], limits: RequestLimits) -> np.ndarray:
    """tf.Examples, each with the features of a context that it lacks, serialized [B].

    Concatenated protocol buffers parse as the merged message; for a feature in both, the last one counts.
    """
    limits.check_rows(EXAMPLES, len(examples))
    sizes = [example.ByteSize() + context.ByteSize() for example in examples]
    limits.check_text(EXAMPLES, max(sizes))
    limits.check_bytes(EXAMPLES, sum(sizes))
    shared = context.SerializeToString()
    return bytes_array([shared + example.SerializeToString() for example in examples])


def fill_example(example: Any, features: Any) -> None:
    """Adds {"n": [1, 2], "s": "hi"} to a tf.Example."""
    if not isinstance(features, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_of(features)}")
    for name, value in members(features):
        name = name.partition("\0")[0]  # TensorFlow Serving ends names there
        values: list[Any] = []
        kind = ""
        for item in value if isinstance(value, list) else [value]:
            item_kind = feature_kind(name, item)
            kind = kind or item_kind
            if item_kind != kind:
                raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {kind}")
            values.append(feature_value(name, item, kind))
        feature = example.features.feature[name]
        feature.Clear()  # the last of two equal names counts here
        if kind == "bytes":
            feature.bytes_list.value.extend(values)
        elif kind == "float":
            feature.float_list.value.extend(values)
        elif kind == "int64":
            feature.int64_list.value.extend(values)


def feature_kind(name: str, value: Any) -> str:
    """Which list of a tf.Feature holds a value: bytes, float or int64."""
    if isinstance(value, str) or is_bytes(value):
        return "bytes"
    if value is None or isinstance(value, (dict, list)):
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_of(value)}")
    return "float" if is_double(value) else "int64"


def feature_value(name: str, value: Any, kind: str) -> Any:
    """A JSON value as an item of a tf.Feature's list."""
    if kind == "bytes":
        return from_base64(value) if isinstance(value, dict) else value.encode()
    if kind == "float":
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite
            return np.float32(value)
    if value >= 2**63:
        raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    return int(value)


def find_signature(
    version: Version, name: str, method: str, unknown: str = "No signature was found with the name: "
) -> Signature:
    """The signature by name; raises ServingError if it is missing or cannot classify or regress."""
    name = name or DEFAULT
    if name not in version.signatures:
        raise invalid_argument(unknown + name)
    check_signature(version.definitions[name], method)
    return version.signatures[name]


def check_signature(definition: Any, method: str) -> None:
    """Raises ServingError unless a SignatureDef can classify or regress."""
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


def class_scores(outputs: Mapping[str, np.ndarray], rows: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The classes [B, C] (bytes) and scores [B, C] of a classification; one of them may be None."""
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    for name, array, expected in ((CLASSES, classes, "DT_STRING"), (SCORES, scores, "DT_FLOAT")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid_argument(
                f"Expected Tensor shape: [batch_size num_classes] but got {format_shape(array.shape)}"
            )
        if (kind := to_json.type_enum(array)) != expected:
            raise invalid_argument(f"Expected {name} Tensor of {expected}. Got: {kind}")
        if len(array) != rows:
            raise invalid_argument(f"Expected {name} output batch size of {rows}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        widths = f"{classes.shape[1]} vs. {scores.shape[1]}"
        raise invalid_argument(f"Tensors class and score should match in dim_size(1). Got {widths}")
    return classes, scores


def regression_values(outputs: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """The values [B] of a regression."""
    values = outputs[OUTPUTS]
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


def classify_json(outputs: Mapping[str, np.ndarray], rows: int) -> str:
    """{"results": [[["car", 0.25], ["bus", 0.75]], ...]}; a missing label is "", a missing score 0."""
    classes, scores = class_scores(outputs, rows)
    either = scores if classes is None else classes
    assert either is not None
    labels = ['""'] * either.size if classes is None else to_json.format_values(classes.reshape(-1), CLASSES)
    numbers = ["0.0"] * either.size if scores is None else to_json.format_floats(scores.reshape(-1))
    width = either.shape[1]
    pairs = [f"[{label}, {score}]" for label, score in zip(labels, numbers, strict=True)]
    lines = [f"[{', '.join(pairs[row * width : (row + 1) * width])}]" for row in range(rows)]
    return results_json(lines)


def regress_json(outputs: Mapping[str, np.ndarray], rows: int) -> str:
    """{"results": [0.5, 1.0]}"""
    return results_json(to_json.format_floats(regression_values(outputs, rows)))


def results_json(values: Sequence[str]) -> str:
    return f'{{\n    "results": [{", ".join(values)}\n    ]\n}}'
