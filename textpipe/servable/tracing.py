"""The outputs that every exported model has besides answers, and tracing of signature functions.

Shapes: B batch, K non-zero features, T source.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

from textpipe.savedmodel.signatures import Input, Signature

ABSENT = -1e9  # the log-probability of an impossible answer; finite, so that JSON can represent it

Tensors = dict[str, tf.Tensor]
Raw = Mapping[str, tf.Tensor]  # {field: [B, ...]} as callers send rows


class Graph(Protocol):
    """The interface of servable.Servable that answers/ uses.

    features: {field: its features/ object}; row_inputs, target_input: the source fields and the target as inputs of
    signatures; source: the source field of models that read exactly one; members: further models of an ensemble that read raw
    rows, or None.
    """

    features: Mapping[str, Any]
    target: str
    members: Any

    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def source(self) -> str: ...
    @property
    def model(self) -> Any: ...
    @property
    def trained(self) -> Mapping[str, Any]: ...
    @property
    def row_inputs(self) -> dict[str, Input]: ...
    @property
    def target_input(self) -> dict[str, Input]: ...
    def inputs(self, raw: Raw) -> dict[str, Any]: ...
    def encode(self, field: str, text: tf.Tensor) -> Any: ...
    def clean(self, field: str, text: tf.Tensor) -> tf.Tensor: ...
    def has_text(self, field: str) -> bool: ...
    def raw_tensor(self, field: str, cells: Sequence[Any]) -> tf.Tensor: ...


def features(graph: Graph, raw: Raw) -> Tensors:
    """The model's inputs as dense rows: ids [B, T]; indices [B, K], padded with -1, and values [B, K]; or bytes [B, ...].

    With several source fields the names are "<field>.ids" and so on.
    """
    inputs = graph.inputs(raw)
    return {
        name if len(inputs) == 1 else f"{field}.{name}": value
        for field, feature in inputs.items()
        for name, value in to_dense(feature).items()
    }


def to_dense(feature: Any) -> Tensors:
    """The feature of a batch as dense tensors, named by their dtype."""
    if not isinstance(feature, tf.SparseTensor):
        return {"bytes" if feature.dtype == tf.uint8 else "ids" if feature.dtype.is_integer else "values": feature}
    rows, columns = feature.indices[:, 0], tf.cast(feature.indices[:, 1], tf.int32)
    indices, values = (
        tf.RaggedTensor.from_value_rowids(flat, rows, nrows=feature.dense_shape[0])
        for flat in (columns, feature.values)
    )
    return {"indices": indices.to_tensor(-1), "values": values.to_tensor()}


def token_counts(graph: Graph, raw: Raw) -> Tensors:
    """Lengths of source texts in tokens, without running the model: {field: [B]} -> int32 [B] each.

    source_tokens: without end tokens. source_unknown: tokens outside the vocabulary: <unk>, or bytes of a character that is
    no piece. For n-grams the features are counted instead. Several source fields are summed.
    """
    total: Tensors = {}
    for field, feature in graph.inputs(raw).items():
        if graph.has_text(field):
            for name, counts in field_token_counts(feature, graph.features[field]).items():
                total[name] = total[name] + counts if name in total else counts
    return total


def field_token_counts(values: Any, feature: Any) -> Tensors:
    """source_tokens and source_unknown of one field; feature: its features/ object."""
    if isinstance(values, tf.SparseTensor):
        rows = tf.cast(values.dense_shape[0], tf.int32)
        counts = tf.math.bincount(tf.cast(values.indices[:, 0], tf.int32), minlength=rows, maxlength=rows)
        return {"source_tokens": counts, "source_unknown": tf.zeros_like(counts)}
    unknown = tf.math.count_nonzero(feature.codec.unknown(values), axis=1, dtype=tf.int32)
    return {"source_tokens": count_tokens(values, feature.codec), "source_unknown": unknown}


def count_tokens(ids: tf.Tensor, codec: Any) -> tf.Tensor:
    """Tokens per row [B], without padding and end tokens."""
    return tf.math.count_nonzero((ids != codec.pad_id) & (ids != codec.end_id), axis=1, dtype=tf.int32)


def example_spec(graph: Graph) -> dict[str, tf.io.FixedLenFeature]:
    """Parsing spec of the source fields in a tf.Example: a string or a number each; "" or NaN when missing."""
    specs = {}
    for name, field in graph.row_inputs.items():
        default: Any = "" if field.dtype == "string" else float("nan")
        specs[name] = tf.io.FixedLenFeature(field.shape[1:], field.dtype, default_value=default)
    return specs


def trace(signature: Signature) -> Callable[..., Tensors]:
    """The traced function of a signature. The first axis of its first input is the batch, which may be empty.

    Models and decoders may assume a batch of at least one row, so an empty batch is run with one row that is dropped.
    """
    specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in signature.inputs.items()}
    call = signature.call
    assert call is not None

    @tf.function(input_signature=list(specs.values()), autograph=False)
    def serve(*values: tf.Tensor) -> Tensors:
        inputs = dict(zip(specs, values, strict=True))
        if signature.follows is not None:
            return {output: tf.identity(value, name=output) for output, value in call(inputs).items()}
        rows = tf.shape(values[0])[0]
        for name, spec in specs.items():
            if spec.shape.rank:
                inputs[name] = tf.concat([inputs[name], filler_row(inputs[name])], axis=0)
        return {output: tf.identity(value[:rows], name=output) for output, value in call(inputs).items()}

    return serve.get_concrete_function()


def filler_row(value: tf.Tensor) -> tf.Tensor:
    """One empty row for an empty batch [B, ...], else no row."""
    count = tf.cast(tf.equal(tf.shape(value)[0], 0), tf.int32)
    empty = "" if value.dtype == tf.string else tf.zeros([], value.dtype)
    return tf.fill(tf.concat([[count], tf.shape(value)[1:]], axis=0), empty)
