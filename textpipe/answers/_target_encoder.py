"""Target texts as the decoder's ids."""

import tensorflow as tf

from textpipe.servable.tracing import Graph


class TargetEncoder:
    """Encodes target texts that are not data, for example a prefix: normalizes them like the field, then applies its codec."""

    def __init__(self, graph: Graph):
        self.codec, self.graph = graph.features[graph.target].codec, graph
        self.unk_id, self.end_id = self.codec.unk_id, self.codec.end_id

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """[N] string -> ids without end tokens [N, None]."""
        return self.codec.encode(self.graph.clean(self.graph.target, text))
