"""Classifiers over a bag of features.   Shapes: B batch, T source, D features, C logits, H units.

A bag is a sparse matrix [B, D] (counts, TF-IDF) or padded token ids [B, T]. Logits are computed in the variables' dtype:
float32 even where hidden layers compute in bfloat16.
"""

import keras
from keras import ops

from textpipe.layers.inputs import single_feature
from textpipe.layers.uniform_dropout import Dropout
from textpipe.runtime import sparse_product


class Linear(keras.layers.Layer):
    """A linear map without bias: numbers [B, D], sparse or dense, or ids [B, T] -> [B, H].

    For ids, the kernel's rows of the tokens are summed and divided by the square root of the number of tokens
    (scale="root", comparable to a row of unit norm) or by that number (scale="mean"). Padding (0) does not count.

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
            if len(features.shape) == 1:  # one number per row
                features = features[:, None]
            return sparse_product.matmul(features, self.kernel)
        real = ops.cast(ops.not_equal(features, 0), self.compute_dtype)[:, :, None]  # [B, T, 1]
        total = ops.sum(ops.take(self.kernel, features, axis=0) * real, axis=1)  # [B, H]
        count = ops.maximum(ops.sum(real, axis=1), 1)  # [B, 1]
        return total / (ops.sqrt(count) if self.scale == "root" else count)


class Blocks(keras.layers.Layer):
    """The sum of a linear map for each field: {field: numbers [B, D] or ids [B, T]} -> [B, H].

    dims: {field: D}; embeddings: {field: width} for fields that are embedded first: averaged over the tokens of ids, or summed over
    n-grams. A linear map of the concatenated embeddings equals this sum of one map per field.
    """

    def __init__(self, dims, units, *, embeddings=None, initializer=None, **options):
        super().__init__(**options)
        self.fields, embeddings = tuple(dims), embeddings or {}
        initializer = initializer or (lambda index: "zeros")
        self.embeddings, self.maps = [], []
        for index, (field, dim) in enumerate(dims.items()):
            width = embeddings.get(field)
            if width is not None:
                uniform = initializer(index + len(dims), "uniform")
                self.embeddings.append(Linear(dim, width, scale="mean", initializer=uniform, name=f"embedding_{index}"))
            self.maps.append(
                Linear(
                    width or dim, units, initializer=initializer(index), name=f"linear_{index}", dtype=self.dtype_policy
                )
            )
        self.embedded = tuple(field for field in dims if field in embeddings)

    def build(self, input_shape=None):
        for layer in (*self.embeddings, *self.maps):
            layer.build()
        self.built = True

    def call(self, inputs):
        vectors = {field: layer(inputs[field]) for field, layer in zip(self.embedded, self.embeddings, strict=True)}
        return sum(
            layer(vectors.get(field, inputs[field])) for field, layer in zip(self.fields, self.maps, strict=True)
        )

    @property
    def kernels(self):
        """The matrix of each field, without the embeddings."""
        return [layer.kernel for layer in self.maps]


class LogisticRegression(keras.Model):
    """Logits of a linear classifier: {field: sparse rows [B, D], ids [B, T] or numbers [B, D]} -> [B, C].

    dims: {field: D}. C = 1 for two classes. row_loss: the loss of its rows, see training/losses.py.
    """

    convex = True
    row_loss = "logistic"

    def __init__(self, dims, num_logits, *, l1=0.0, l2=0.0, **options):
        super().__init__(**options)
        self.l1, self.l2, self.num_logits, self.fields = l1, l2, num_logits, tuple(dims)
        precise = keras.config.dtype_policy().variable_dtype
        if len(dims) == 1:
            self.linear = Linear(*dims.values(), num_logits, dtype=precise)
        else:
            self.linear = Blocks(dims, num_logits, dtype=precise)

    def build(self, input_shape=None):
        self.linear.build()
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def call(self, inputs, training=False):
        return self.linear(single_feature(inputs) if len(self.fields) == 1 else inputs) + self.bias

    @property
    def kernels(self):
        """The matrix of each field."""
        return [self.linear.kernel] if len(self.fields) == 1 else self.linear.kernels

    def penalty(self):
        """l1 * sum |kernel| + l2 / 2 * sum kernel^2, to be added to the summed loss of all rows; the bias is not penalized.

        With l1 = 0 the total is scikit-learn's objective divided by C, where C = 1 / l2.
        """
        return penalty(self.kernels, self.l1, self.l2)


KERNELS = {
    "glorot": keras.initializers.GlorotUniform,
    "he": keras.initializers.HeNormal,
    "lecun": keras.initializers.LecunNormal,
}
NORMS = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}


class Hidden(keras.layers.Layer):
    """One hidden layer: linear map, bias or normalization, activation, dropout, and with `residual` its input.   [B, D] or [B, T] -> [B, H]"""

    def __init__(
        self,
        dim,
        units,
        *,
        activation,
        normalization,
        dropout,
        seed,
        linear=None,
        initializer="glorot",
        residual=False,
        **options,
    ):
        super().__init__(**options)
        self.linear = Linear(dim, units, initializer=KERNELS[initializer](seed=seed)) if linear is None else linear
        self.norm = NORMS[normalization]() if normalization in NORMS else None
        self.activation = keras.activations.get(activation)
        self.dropout = Dropout(dropout, seed=seed + 1)
        self.units, self.residual = units, residual

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
        hidden = self.dropout(self.activation(hidden), training=training)
        return hidden + features if self.residual else hidden


class FeedForward(keras.Model):
    """Logits of a multi-layer perceptron: {field: sparse rows [B, D], ids [B, T] or numbers [B, D]} -> [B, C].

    dims: {field: D}. embeddings: {field: width} of the embeddings before the first hidden layer, averaged over tokens or summed
    over n-grams.
    """

    def __init__(
        self,
        dims,
        num_logits,
        *,
        units,
        embeddings=None,
        activation="relu",
        normalization="none",
        initializer="glorot",
        residual=False,
        dropout=0.0,
        l1=0.0,
        l2=0.0,
        seed=1,
        **options,
    ):
        super().__init__(**options)
        self.l1, self.l2, self.num_logits = l1, l2, num_logits
        self.embedding, self.fields, embeddings = None, tuple(dims), embeddings or {}
        first, dim = None, next(iter(dims.values()))
        if len(dims) > 1:

            def field_initializer(index, kind="kernel"):
                # Different from the seeds of all other weights, of models with other seeds too.
                weight_seed = 1000 * seed + 500 + index
                return (
                    keras.initializers.RandomUniform(seed=weight_seed)
                    if kind == "uniform"
                    else KERNELS[initializer](seed=weight_seed)
                )

            first = Blocks(dims, units[0], embeddings=embeddings, initializer=field_initializer, name="blocks")
        elif embeddings:
            uniform = keras.initializers.RandomUniform(seed=1000 * seed)
            (width,) = embeddings.values()
            self.embedding = Linear(dim, width, scale="mean", initializer=uniform)
            dim = width
        self.hidden = []
        for position, width in enumerate(units):
            # Two seeds per layer, for kernel and dropout, different from those of models with other seeds.
            layer_seed = 1000 * seed + 2 * position + 1
            self.hidden.append(
                Hidden(
                    dim,
                    width,
                    activation=activation,
                    normalization=normalization,
                    dropout=dropout,
                    seed=layer_seed,
                    linear=None if position else first,
                    initializer=initializer,
                    residual=residual and position > 0 and width == dim,
                )
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
        return self.classify(self.represent(inputs, training=training), training=training)

    def represent(self, inputs, training=False):
        """The first hidden layer [B, H]."""
        features = single_feature(inputs) if len(self.fields) == 1 else inputs
        if self.embedding is not None:
            features = self.embedding(features)
        return self.hidden[0](features, training=training)

    def classify(self, vectors, training=False):
        """Logits [B, C] of the first hidden layer."""
        for layer in self.hidden[1:]:
            vectors = layer(vectors, training=training)
        return self.output_linear(vectors) + self.bias

    def penalty(self):
        """As LogisticRegression.penalty, over the kernels of the linear maps; embeddings and biases are not penalized."""
        kernels = [layer.linear.kernel for layer in self.hidden if isinstance(layer.linear, Linear)]
        if len(self.fields) > 1:
            kernels += self.hidden[0].linear.kernels
        kernels.append(self.output_linear.kernel)
        return penalty(kernels, self.l1, self.l2)


def penalty(kernels, l1, l2):
    """l1 * sum |w| + l2 / 2 * sum w^2 over all entries; terms with a factor of 0 are not added to the graph."""
    total = ops.zeros(())
    for kernel in kernels:
        if l1:
            total = total + l1 * ops.sum(ops.abs(kernel))
        if l2:
            total = total + l2 / 2 * ops.sum(ops.square(kernel))
    return total
