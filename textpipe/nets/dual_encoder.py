"""The dual encoder.   Shapes: B messages, R replies, F features, D embedding size, V vector size.

Henderson et al. (2017), Efficient Natural Language Response Suggestion for Smart Reply, section 4: a message and a reply are
encoded apart, and the score of the pair is the dot product of the two vectors. Of several message fields each has a pair of towers
with a loss of its own, and a joint pair reads the outputs of all of them (figure 4). Numbers, such as the number of recipients of a mail,
are inputs of the joint pair only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from textpipe.layers.dropout import Dropout
from textpipe.nets.bag import Linear

EPSILON = 1e-6


class Tower(keras.layers.Layer):
    """A stack of dense layers, the last one linear: [B, D] -> [B, V].

    units: their widths. identity: kernels are initialized as (rectangular) identity matrices instead of by Glorot uniform.
    """

    def __init__(
        self,
        size: int,
        units: Sequence[int],
        *,
        activation: str,
        dropout: float,
        seed: int,
        identity: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.size, self.units = size, tuple(units)
        self.activation = keras.activations.get(activation)
        self.initializers = [
            keras.initializers.Identity() if identity else keras.initializers.GlorotUniform(seed=seed + 2 * layer)
            for layer in range(len(units))
        ]
        self.drops = [Dropout(dropout, seed=seed + 2 * layer + 1, name=f"drop_{layer}") for layer in range(len(units))]

    def build(self, input_shape: Any = None) -> None:
        self.kernels, self.biases, size = [], [], self.size
        for layer, (width, initializer) in enumerate(zip(self.units, self.initializers, strict=True)):
            shape = (size, width)
            self.kernels.append(self.add_weight(shape=shape, initializer=initializer, name=f"kernel_{layer}"))
            self.biases.append(self.add_weight(shape=(width,), initializer="zeros", name=f"bias_{layer}"))
            self.drops[layer].build()
            size = width
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        hidden, last = inputs, len(self.kernels) - 1
        for layer, (kernel, bias, drop) in enumerate(zip(self.kernels, self.biases, self.drops, strict=True)):
            hidden = ops.matmul(drop(hidden, training=training), kernel) + bias
            if layer < last:
                hidden = self.activation(hidden)
        return hidden


class DualEncoder(keras.Model):
    """Vectors of messages and replies whose dot product says how well they fit.

    dims: {text field of the message: F}; reply_dim: F of the reply; numbers: names of the fields [B] that are numbers. cosine: vectors have
    unit length, and the dot product is multiplied by a learned scale. share_embeddings: the reply and all text fields share one embedding.
    symmetric: whether training also ranks the messages of a reply; see objectives/in_batch.py.
    identity: identity initialization of the towers of single fields. embedding_stddev: standard deviation of the initial embeddings.
    """

    fixed_widths = False  # one traced training step does for batches of any width

    def __init__(
        self,
        dims: Mapping[str, int],
        reply_dim: int,
        *,
        embedding_size: int,
        units: Sequence[int],
        activation: str,
        dropout: float,
        cosine: bool,
        seed: int,
        symmetric: bool = True,
        numbers: Sequence[str] = (),
        share_embeddings: bool = False,
        identity: bool = False,
        embedding_stddev: float = 0.05,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.share_embeddings, self.symmetric = share_embeddings, symmetric
        self.fields, self.numbers, self.cosine = tuple(dims), tuple(numbers), cosine

        def normal(number: int) -> Any:
            return keras.initializers.RandomNormal(stddev=embedding_stddev, seed=1000 * seed + number)

        def tower(number: int, size: int, name: str, **options: Any) -> Tower:
            tower_seed = 1000 * seed + 100 + 50 * number
            return Tower(size, units, activation=activation, dropout=dropout, seed=tower_seed, name=name, **options)

        self.embeddings = [
            Linear(dim, embedding_size, initializer=normal(number), name=f"embedding_{number}")
            for number, dim in enumerate(() if share_embeddings else dims.values())
        ]
        self.reply_embedding = Linear(reply_dim, embedding_size, initializer=normal(len(dims)), name="reply_embedding")
        self.message_towers, self.reply_towers = (
            [
                tower(2 * number + side, embedding_size, f"{name}_{number}", identity=identity)
                for number in range(len(dims))
            ]
            for side, name in enumerate(("message", "reply"))
        )
        self.joint = []
        if len(dims) + len(numbers) > 1:
            size, number = len(dims) * units[-1], 2 * len(dims)
            self.joint = [tower(number, size + len(numbers), "message_joint"), tower(number + 1, size, "reply_joint")]

    def build(self, input_shape: Any = None) -> None:
        layers: list[Any] = [*self.embeddings, self.reply_embedding]
        for layer in (*layers, *self.message_towers, *self.reply_towers, *self.joint):
            layer.build()
        # exp of it is the scale of cosines, 10 at first.
        self.log_scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(2.302585), trainable=self.cosine, name="log_scale"
        )
        self.built = True

    def call(self, inputs: Mapping[str, Any], replies: Any, training: bool = False) -> list[tuple[Any, Any]]:
        """Pairs of (messages [B, V], replies [R, V]); the last pair is what ranks, the others are of single fields."""
        messages = self.by_field(inputs, training)
        answers = self.of_reply(replies, training)
        pairs = list(zip(messages, answers, strict=True))
        if self.joint:
            pairs.append((self.joined(messages, inputs, training), self.joined_reply(answers, training)))
        return [(self.scaled(message), self.unit(reply)) for message, reply in pairs]

    def encode(self, inputs: Mapping[str, Any]) -> Any:
        """What ranks replies to messages: {field: feature} -> [B, V], the scale in it."""
        parts = self.by_field(inputs, False)
        return self.scaled(self.joined(parts, inputs, False) if self.joint else parts[0])

    def encode_reply(self, replies: Any) -> Any:
        """The vectors of replies: feature -> [R, V]."""
        parts = self.of_reply(replies, False)
        return self.unit(self.joined_reply(parts, False) if self.joint else parts[0])

    def joined(self, vectors: Sequence[Any], inputs: Mapping[str, Any], training: bool) -> Any:
        """The message's joint vector: its vectors by field [B, V] and the numbers in `inputs` -> [B, V]."""
        numbers = [ops.cast(inputs[name], vectors[0].dtype)[:, None] for name in self.numbers]
        return self.joint[0](
            ops.concatenate([*map(keras.activations.tanh, vectors), *numbers], axis=-1), training=training
        )

    def joined_reply(self, vectors: Sequence[Any], training: bool) -> Any:
        """The reply's joint vector: its vectors by field [R, V] -> [R, V]."""
        return self.joint[1](ops.concatenate(list(map(keras.activations.tanh, vectors)), axis=-1), training=training)

    def by_field(self, inputs: Mapping[str, Any], training: bool) -> list[Any]:
        """The message's vector by each field."""
        embeddings = [self.reply_embedding] * len(self.fields) if self.share_embeddings else self.embeddings
        layers = zip(self.fields, embeddings, self.message_towers, strict=True)
        return [tower(embedding(inputs[name]), training=training) for name, embedding, tower in layers]

    def of_reply(self, replies: Any, training: bool) -> list[Any]:
        """The reply's vector for each field of the message."""
        embedded = self.reply_embedding(replies)
        return [tower(embedded, training=training) for tower in self.reply_towers]

    def scaled(self, vectors: Any) -> Any:
        return self.unit(vectors) * ops.exp(self.log_scale) if self.cosine else vectors

    def unit(self, vectors: Any) -> Any:
        if not self.cosine:
            return vectors
        return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)
