"""Deep networks with the knobs that experiments turn and textpipe's models lack."""

import functools
import itertools
from typing import Any


@functools.cache
def deep_class() -> Any:
    """The class of `deep`; built on first use, because it needs Keras."""
    import keras

    from textpipe.nets.bag import Linear

    class Deep(keras.Model):
        def __init__(self, field, dims, initializer, activation, normalization):
            super().__init__()
            self.field, self.activation = field, keras.activations.get(activation)
            self.layers_in_order = [
                Linear(before, after, initializer=initializer(position))
                for position, (before, after) in enumerate(itertools.pairwise(dims))
            ]
            # Keras's momentum of 0.99 would lag behind within the few hundred updates of an experiment.
            batch = functools.partial(keras.layers.BatchNormalization, momentum=0.9)
            kinds = {"batch": batch, "layer": keras.layers.LayerNormalization}
            self.norms = [kinds[normalization]() for _ in dims[1:-1]] if normalization != "none" else []

        def build(self, input_shape=None):
            self.biases = []
            for position, layer in enumerate(self.layers_in_order):
                layer.build()
                width = layer.kernel.shape[1]
                self.biases.append(self.add_weight(shape=(width,), initializer="zeros", name=f"bias_{position}"))
                if position < len(self.norms):
                    self.norms[position].build((None, width))
            self.built = True

        def call(self, inputs, training=False):
            return self.trace(inputs, training=training)[0]

        def trace(self, inputs, training=False):
            """Logits [B, C] and the sums before each activation [[B, H], ...]."""
            values, sums = inputs[self.field], []
            for position, (layer, bias) in enumerate(zip(self.layers_in_order, self.biases, strict=True)):
                values = layer(values) + bias
                if position < len(self.norms):
                    values = self.norms[position](values, training=training)
                if position + 1 < len(self.layers_in_order):
                    sums.append(values)
                    values = self.activation(values)
            return values, sums

    return Deep


def deep(
    data: Any,
    *,
    units: int,
    layers: int,
    activation: str,
    seed: int,
    initializer: Any = None,
    normalization: str = "none",
) -> Any:
    """A perceptron of `layers` hidden layers of equal width: {field: sparse [B, D]} -> logits [B, C].

    initializer: Glorot by default, or a function of a layer's seed. normalization: "none", "batch" or "layer", before each activation.
    """
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    make = initializer or (lambda layer_seed: keras.initializers.GlorotUniform(seed=layer_seed))
    dims = [data.sizes.single_input[1]["dim"], *[units] * layers, data.num_classes]
    model = deep_class()(data.field, dims, lambda position: make(1000 * seed + position), activation, normalization)
    model.build()
    return model
