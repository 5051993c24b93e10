"""The attention of a generated answer as outputs of a signature.   Shapes: B batch, U target, T source tokens or regions."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from textpipe.decoding import _search
from textpipe.servable.tracing import Graph, Tensors


def describe(graph: Graph, inputs: Mapping[str, Any], outputs: Tensors) -> Tensors:
    """weights [B, U, T] of the best answer, its target_tokens [B, U], and source_tokens [B, T].

    inputs, outputs: of a decoder. Where positions of the source are regions of a picture, row by row, `grid` [B, 2] gives rows and
    columns instead of tokens. alignment [B, U] is the position of the source with the largest weight; -1 after the end and for models
    without attention.
    """
    features, source = graph.features, _search.source_ids(graph.model, inputs)
    weights, grid = outputs["attention"][:, 0], getattr(graph.model, "grid", None)
    best = tf.argmax(weights, axis=2, output_type=tf.int32)
    if grid is None:
        positions = {"source_tokens": features[graph.source].codec.pieces(source)}
    else:
        positions = {"grid": tf.tile(tf.constant([grid], tf.int32), [tf.shape(source)[0], 1])}
    return {
        "weights": weights,
        "alignment": tf.where(tf.reduce_max(weights, axis=2) > 0, best, -1),
        "target_tokens": features[graph.target].codec.pieces(outputs["ids"][:, 0]),
        **positions,
    }
