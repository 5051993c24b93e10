"""What every exported model tells beside its answers, and how the functions of its signatures are traced.

Shapes: B batch, K non-zero features, T source.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import tensorflow as tf

from textpipe.savedmodel.signatures import Input, Signature

ABSENT = -1e9  # the log-probability of what cannot be; finite, so that JSON can carry it

Tensors = dict[str, tf.Tensor]
Raw = Mapping[str, tf.Tensor]  # {field: [B, ...]} as callers send rows


class Graph(Protocol):
    """What answers are made from: servable.Servable, as answers/ sees it.

    features: {field: its features/ object}; row_inputs, target_input: the source fields and the target as inputs of
    signatures; source: the one source field of models that read one.
    """

    features: Mapping[str, Any]
    target: str

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


def features(graph: Graph, raw: Raw) -> Tensors:
    """The model's inputs as dense rows: ids [B, T]; or indices [B, K], padded with -1, and values [B, K].

    Of several source fields the names are "<field>.ids" and so on.
    """
    inputs = graph.inputs(raw)
    return {
        name if len(inputs) == 1 else f"{field}.{name}": value
        for field, one in inputs.items()
        for name, value in to_dense(one).items()
    }


def to_dense(feature: Any) -> Tensors:
    """A feature of a batch as dense tensors."""
    if not isinstance(feature, tf.SparseTensor):
        return {"ids" if feature.dtype.is_integer else "values": feature}
    rows, columns = feature.indices[:, 0], tf.cast(feature.indices[:, 1], tf.int32)
    indices, values = (
        tf.RaggedTensor.from_value_rowids(flat, rows, nrows=feature.dense_shape[0])
        for flat in (columns, feature.values)
    )
    return {"indices": indices.to_tensor(-1), "values": values.to_tensor()}


def token_counts(graph: Graph, raw: Raw) -> Tensors:
    """How long source texts are in tokens, without asking the model: {field: [B]} -> int32 [B] each.

    source_tokens: without end marks. source_unknown: those that are no piece of the vocabulary: <unk>, or bytes that spell
    out a character. A source of n-grams counts its features instead. Several source fields are added up.
    """
    total: Tensors = {}
    for field, one in graph.inputs(raw).items():
        if graph.has_text(field):
            for name, counts in field_token_counts(one, graph.features[field]).items():
                total[name] = total[name] + counts if name in total else counts
    return total


def field_token_counts(feature: Any, of: Any) -> Tensors:
    """source_tokens and source_unknown of one field; of: its features/ object."""
    if isinstance(feature, tf.SparseTensor):
        rows = tf.cast(feature.dense_shape[0], tf.int32)
        counts = tf.math.bincount(tf.cast(feature.indices[:, 0], tf.int32), minlength=rows, maxlength=rows)
        return {"source_tokens": counts, "source_unknown": tf.zeros_like(counts)}
    unknown = tf.math.count_nonzero(of.codec.unknown(feature), axis=1, dtype=tf.int32)
    return {"source_tokens": count_tokens(feature, of.codec), "source_unknown": unknown}


def count_tokens(ids: tf.Tensor, codec: Any) -> tf.Tensor:
    """Tokens of each row [B], padding and end marks aside."""
    return tf.math.count_nonzero((ids != codec.pad_id) & (ids != codec.end_id), axis=1, dtype=tf.int32)


def example_spec(graph: Graph) -> dict[str, tf.io.FixedLenFeature]:
    """How the source fields stand in a tf.Example: a string or a number each, "" or NaN where there is none."""
    found = {}
    for name, one in graph.row_inputs.items():
        default: Any = "" if one.dtype == "string" else float("nan")
        found[name] = tf.io.FixedLenFeature(one.shape[1:], one.dtype, default_value=default)
    return found


def trace(signature: Signature) -> Callable[..., Tensors]:
    """The traced function of a signature, whose first input has a row for each answer; of no rows it gives no rows.

    Models and decoders may assume a batch of at least one row, so an empty one is answered with a row that is dropped.
    """
    specs = {name: tf.TensorSpec(one.shape, one.dtype, name=name) for name, one in signature.inputs.items()}
    call = signature.call
    assert call is not None

    @tf.function(input_signature=list(specs.values()), autograph=False)
    def serve(*values: tf.Tensor) -> Tensors:
        given = dict(zip(specs, values, strict=True))
        if signature.follows is not None:
            return {output: tf.identity(value, name=output) for output, value in call(given).items()}
        rows = tf.shape(values[0])[0]
        for name, spec in specs.items():
            if spec.shape.rank:
                given[name] = tf.concat([given[name], filler_row(given[name])], axis=0)
        return {output: tf.identity(value[:rows], name=output) for output, value in call(given).items()}

    return serve.get_concrete_function()


def filler_row(value: tf.Tensor) -> tf.Tensor:
    """A row of nothing for a batch [B, ...] of no rows, else no row."""
    count = tf.cast(tf.equal(tf.shape(value)[0], 0), tf.int32)
    nothing = "" if value.dtype == tf.string else tf.zeros([], value.dtype)
    return tf.fill(tf.concat([[count], tf.shape(value)[1:]], axis=0), nothing)
