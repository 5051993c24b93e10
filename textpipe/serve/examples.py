"""Classify and regress: JSON examples as serialized tf.Examples, and what a signature gave for them as results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.serve import encode
from textpipe.serve.faults import invalid
from textpipe.serve.values import from_base64, is_bytes, strings, type_of, written

EXAMPLES, CONTEXT = "examples", "context"
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


def serialized(document: Mapping[str, Any]) -> np.ndarray:
    """{"examples": [{"x": 1.0}]} -> serialized tf.Examples [B]; features of "context" go to every one."""
    from tensorflow.core.example import example_pb2

    if EXAMPLES not in document:
        raise invalid("When method is classify, key 'examples' is expected and was not found")
    examples = document[EXAMPLES]
    if not isinstance(examples, list):
        raise invalid("'examples' value is not an array")
    if not examples:
        raise invalid("'examples' value is an empty array")
    context = document.get(CONTEXT, {})
    shared = example_pb2.Example()
    fill(shared, context)
    found = []
    for features in examples:
        example = example_pb2.Example()
        fill(example, features)
        found.append(joined(shared, example))
    return strings(found)


def joined(shared: Any, example: Any) -> bytes:
    """A tf.Example with the features of a context that it has not itself, serialized."""
    whole = type(example)()
    whole.CopyFrom(shared)
    for name, feature in example.features.feature.items():
        whole.features.feature[name].CopyFrom(feature)
    return whole.SerializeToString()


def fill(example: Any, features: Any) -> None:
    """{"n": [1, 2], "s": "hi"} into a tf.Example."""
    if not isinstance(features, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_of(features)}")
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        kinds = [kind_of(name, one) for one in values]
        for kind in kinds:
            if kind != kinds[0]:
                raise invalid(f"Unexpected element type in feature: {name} expecting type: {kinds[0]}")
        feature = example.features.feature[name]
        if not values:
            continue
        if kinds[0] == "bytes":
            feature.bytes_list.value.extend(
                from_base64(one) if isinstance(one, dict) else one.encode() for one in values
            )
        elif kinds[0] == "float":
            feature.float_list.value.extend(np.float32(one) for one in values)
        else:
            feature.int64_list.value.extend(int(one) for one in values)


def kind_of(name: str, value: Any) -> str:
    """Which list of a tf.Feature holds a value."""
    if isinstance(value, str) or is_bytes(value):
        return "bytes"
    if isinstance(value, bool) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return "int64"
    if isinstance(value, (int, float)):
        return "float"
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_of(value)}")


def asked(signature: str, inputs: Sequence[str], outputs: Sequence[str], method: str) -> None:
    """Raises Fault unless a signature of these inputs and outputs can classify or regress."""
    if method == "classify":
        if len(inputs) != 1:
            raise invalid("Expected one input Tensor.")
        if INPUTS not in inputs:
            raise invalid(f"No classification inputs found in SignatureDef: {signature}")
        if not {CLASSES, SCORES} & set(outputs):
            raise invalid('Expected classification signature outputs to contain at least one of "classes" or "scores".')
        return
    if len(inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if INPUTS not in inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature}")
    if OUTPUTS not in outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")


def classified(found: Mapping[str, np.ndarray], rows: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The classes [B, C] (bytes) and scores [B, C] of a classification, one of them perhaps None."""
    classes, scores = found.get(CLASSES), found.get(SCORES)
    for name, array, wanted in ((CLASSES, classes, "DT_STRING"), (SCORES, scores, "DT_FLOAT")):
        if array is None:
            continue
        kind = encode.dtype_of(array)
        if kind != ("string" if wanted == "DT_STRING" else "float32"):
            raise invalid(f"Expected {name} Tensor of {wanted}. Got: {kind}")
        if array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {written(array.shape)}")
        if len(array) != rows:
            raise invalid(f"Expected {name} output batch size of {rows}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(
            f"Tensors class and score should match in number of classes: {classes.shape[1]} and {scores.shape[1]}"
        )
    return classes, scores


def regressed(found: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """The values [B] of a regression."""
    (values,) = found.values()
    if values.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {encode.dtype_of(values)}")
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got " + written(values.shape)
        )
    if len(values) != rows:
        raise invalid(f"Input batch size did not match output batch size: {rows} vs. {len(values)}")
    return values.reshape(-1)


def classify(found: Mapping[str, np.ndarray], rows: int) -> str:
    """{"results": [[["car", 0.25], ["bus", 0.75]], ...]}; a label that is not given is "", a score 0."""
    classes, scores = classified(found, rows)
    given = scores if classes is None else classes
    assert given is not None
    labels = ['""'] * given.size if classes is None else encode.texts(classes.reshape(-1), CLASSES)
    points = ["0.0"] * given.size if scores is None else encode.numbers(scores.reshape(-1))
    width = given.shape[1]
    pairs = [f"[{label}, {score}]" for label, score in zip(labels, points, strict=True)]
    lines = [f"[{', '.join(pairs[at * width : (at + 1) * width])}]" for at in range(rows)]
    return results(lines)


def regress(found: Mapping[str, np.ndarray], rows: int) -> str:
    """{"results": [0.5, 1.0]}"""
    return results(encode.numbers(regressed(found, rows)))


def results(values: Sequence[str]) -> str:
    return f'{{\n    "results": [{", ".join(values)}\n    ]\n}}'
