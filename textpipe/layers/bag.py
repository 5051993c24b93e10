"""Classifiers over a bag of features.   Shapes: B batch, T source, D features, C logits, H units.

A bag comes as a sparse matrix [B, D] (counts, TF-IDF) or as padded token ids [B, T].
"""

import keras
from keras import ops


class Bag(keras.layers.Layer):
    """A linear map of a bag of features, without bias: features -> [B, units].

    Sparse rows are multiplied with the kernel [D, units]. Of ids, the kernel's rows at the tokens are summed and
    divided by the square root of the number of tokens (scale="root", about what a row of unit norm would give) or by the
    number of tokens (scale="mean"). Padding (0) does not count.

    ids [[4, 4, 0]], scale="mean" -> kernel[4]
    """

    def __init__(self, dim, units, *, scale="root", initializer="zeros", **options):
        super().__init__(**options)
        self.dim, self.units, self.scale = dim, units, scale
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape=None):
        self.kernel = self.add_weight(shape=(self.dim, self.units), initializer=self.initializer, name="kernel")

    def call(self, features):
        if keras.backend.standardize_dtype(features.dtype).startswith("float"):
            return ops.matmul(features, self.kernel)
        real = ops.cast(ops.not_equal(features, 0), self.kernel.dtype)[:, :, None]  # [B, T, 1]
        total = ops.sum(ops.take(self.kernel, features, axis=0) * real, axis=1)  # [B, units]
        count = ops.maximum(ops.sum(real, axis=1), 1)
        return total / (ops.sqrt(count) if self.scale == "root" else count)


class LogisticRegression(keras.Model):
    """Logits of a linear classifier: sparse rows [B, D] or ids [B, T] -> [B, C]; C = 1 for two classes.

    l1, l2: see penalty().
    """

    convex = True

    def __init__(self, dim, num_logits, *, l1=0.0, l2=0.0, **options):
        super().__init__(**options)
        self.l1, self.l2 = l1, l2
        self.bag = Bag(dim, num_logits)
        self.num_logits = num_logits

    def build(self, input_shape=None):
        self.bag.build()
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", name="bias")
        self.built = True

    def call(self, features, training=False):
        return self.bag(features) + self.bias

    def penalty(self):
        """l1 * sum |kernel| + l2 / 2 * sum kernel^2, to be added to the summed loss of all rows; the bias is free.

        With l1 = 0 the total is scikit-learn's objective divided by its C, for C = 1 / l2.
        """
        return penalty([self.bag.kernel], self.l1, self.l2)


class FeedForward(keras.Model):
    """Logits of a multi-layer perceptron: sparse rows [B, D] or ids [B, T] -> [B, C].

    Sparse rows meet the first hidden layer's kernel. Ids are embedded (`embedding` wide) and averaged over the tokens
    before the first hidden layer. Each hidden layer is a linear map, batch normalization if asked for, the activation,
    dropout.
    """

    def __init__(
        self,
        input_kind,
        dim,
        num_logits,
        *,
        units,
        activation,
        normalization,
        dropout,
        embedding,
        l2,
        seed,
        **options,
    ):
        super().__init__(**options)
        seeds = iter(range(seed * 1000, seed * 1000 + 1000))
        self.l2, self.input_kind, self.num_logits = l2, input_kind, num_logits
        self.maps, self.norms, self.dropouts = [], [], []
        glorot = keras.initializers.GlorotUniform
        if input_kind == "ids":
            uniform = keras.initializers.RandomUniform(-0.05, 0.05, seed=next(seeds))
            self.embedding = Bag(dim, embedding, scale="mean", initializer=uniform)
        for position, width in enumerate(units):
            bias = normalization is None
            initializer = glorot(seed=next(seeds))
            if position == 0 and input_kind == "sparse":
                self.maps.append(Bag(dim, width, initializer=initializer))
            else:
                self.maps.append(keras.layers.Dense(width, use_bias=bias, kernel_initializer=initializer))
            self.norms.append(keras.layers.BatchNormalization() if normalization == "batch" else None)
            self.dropouts.append(keras.layers.Dropout(dropout, seed=next(seeds)))
        self.activation = keras.activations.get(activation)
        self.input_dropout = keras.layers.Dropout(dropout, seed=next(seeds))
        self.output_map = keras.layers.Dense(num_logits, kernel_initializer=glorot(seed=next(seeds)))
        self.first_width = embedding
