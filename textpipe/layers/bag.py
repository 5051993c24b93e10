"""Classifiers over a bag of features.   Shapes: B batch, T source, D features, C logits, H units.

A bag comes as a sparse matrix [B, D] (counts, TF-IDF) or as padded token ids [B, T]. Logits are made in the type that
variables have: float32 also where hidden layers compute in bfloat16.
"""

import keras
from keras import ops

from textpipe.layers.inputs import only
from textpipe.layers.uniform_dropout import Dropout


class Linear(keras.layers.Layer):
    """A linear map without bias: numbers [B, D], sparse or dense, or ids [B, T] -> [B, H].

    The kernel [D, H] is multiplied from the left. Of ids, its rows at the tokens are summed and divided by the square
    root of the number of tokens (scale="root": about what a row of unit norm gives) or by that number (scale="mean").
    Padding (0) does not count.

    ids [[4, 4, 0]], scale="mean" -> kernel[4]
    """

    def __init__(self, dim, units, *, scale="root", initializer="zeros", **options):
        super().__init__(**options)
        self.dim, self.units, self.scale = dim, units, scale
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape=None):
        self.kernel = self.add_weight(shape=(self.dim, self.units), initializer=self.initializer, name="kernel")
        self.built = True

    def call(self, features):
        if keras.backend.is_float_dtype(features.dtype):
            return ops.matmul(features, self.kernel)
        real = ops.cast(ops.not_equal(features, 0), self.compute_dtype)[:, :, None]  # [B, T, 1]
        total = ops.sum(ops.take(self.kernel, features, axis=0) * real, axis=1)  # [B, H]
        count = ops.maximum(ops.sum(real, axis=1), 1)  # [B, 1]
        return total / (ops.sqrt(count) if self.scale == "root" else count)


class LogisticRegression(keras.Model):
    """Logits of a linear classifier: sparse rows [B, D] or ids [B, T] -> [B, C]; C = 1 for two classes."""

    convex = True

    def __init__(self, dim, num_logits, *, l1=0.0, l2=0.0, **options):
        super().__init__(**options)
        self.l1, self.l2, self.num_logits = l1, l2, num_logits
        self.linear = Linear(dim, num_logits, dtype=keras.config.dtype_policy().variable_dtype)

    def build(self, input_shape=None):
        self.linear.build()
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def call(self, inputs, training=False):
        return self.linear(only(inputs)) + self.bias

    def penalty(self):
        """l1 * sum |kernel| + l2 / 2 * sum kernel^2, which stands beside the summed loss of all rows; the bias is free.

        With l1 = 0 the total is scikit-learn's objective divided by C, for C = 1 / l2.
        """
        return penalty([self.linear.kernel], self.l1, self.l2)


class Hidden(keras.layers.Layer):
    """One hidden layer: linear map, bias or batch normalization, activation, dropout.   [B, D] or [B, T] -> [B, H]"""

    def __init__(self, dim, units, *, activation, normalization, dropout, seed, **options):
        super().__init__(**options)
        initializer = keras.initializers.GlorotUniform(seed=seed)
        self.linear = Linear(dim, units, initializer=initializer)
        self.norm = keras.layers.BatchNormalization() if normalization == "batch" else None
        self.activation = keras.activations.get(activation)
        self.dropout = Dropout(dropout, seed=seed + 1)
        self.units = units

    def build(self, input_shape=None):
        self.linear.build()
        if self.norm is None:
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        else:
            self.norm.build((None, self.units))
        self.built = True

    def call(self, features, training=False):
        hidden = self.linear(features)  # [B, H]
        hidden = hidden + self.bias if self.norm is None else self.norm(hidden, training=training)
        return self.dropout(self.activation(hidden), training=training)


class FeedForward(keras.Model):
    """Logits of a multi-layer perceptron: sparse rows [B, D] or ids [B, T] -> [B, C].

    embedding: width of the token embeddings that are averaged in front of the first hidden layer; None for sparse rows.
    """

    def __init__(
        self,
        dim,
        num_logits,
        *,
        units,
        embedding=None,
        activation="relu",
        normalization="none",
        dropout=0.0,
        l1=0.0,
        l2=0.0,
        seed=1,
        **options,
    ):
        super().__init__(**options)
        self.l1, self.l2, self.num_logits = l1, l2, num_logits
        self.embedding = None
        if embedding is not None:
            uniform = keras.initializers.RandomUniform(seed=1000 * seed)
            self.embedding = Linear(dim, embedding, scale="mean", initializer=uniform)
            dim = embedding
        self.hidden = []
        for position, width in enumerate(units):
            # Two seeds a layer, the kernel's and the dropout's, apart from those of any other seed's model.
            layer_seed = 1000 * seed + 2 * position + 1
            self.hidden.append(
                Hidden(dim, width, activation=activation, normalization=normalization, dropout=dropout, seed=layer_seed)
            )
            dim = width
        glorot = keras.initializers.GlorotUniform(seed=1000 * seed + 2 * len(units) + 1)
        precise = keras.config.dtype_policy().variable_dtype
        self.output_linear = Linear(dim, num_logits, initializer=glorot, dtype=precise)

    def build(self, input_shape=None):
        for layer in (self.embedding, *self.hidden, self.output_linear):
            if layer is not None:
                layer.build()
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def call(self, inputs, training=False):
        features = only(inputs)
        if self.embedding is not None:
            features = self.embedding(features)
        for layer in self.hidden:
            features = layer(features, training=training)
        return self.output_linear(features) + self.bias

    def penalty(self):
        """As LogisticRegression.penalty, over the kernels of the linear maps; embeddings and biases are free."""
        kernels = [layer.linear.kernel for layer in self.hidden] + [self.output_linear.kernel]
        return penalty(kernels, self.l1, self.l2)


def penalty(kernels, l1, l2):
    """l1 * sum |w| + l2 / 2 * sum w^2 over all entries; terms with a factor of 0 are left out of the graph."""
    total = ops.zeros(())
    for kernel in kernels:
        if l1:
            total = total + l1 * ops.sum(ops.abs(kernel))
        if l2:
            total = total + l2 / 2 * ops.sum(ops.square(kernel))
    return total
