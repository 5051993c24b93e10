"""Class names to class numbers and back."""

from collections.abc import Sequence

import tensorflow as tf

UNKNOWN = -1


class Labels(tf.Module):
    """classes: the names in the order of their numbers.

    Labels(["no", "yes"]).ids(["yes", "maybe"]) -> [1, -1];  .name([0]) -> ["no"]
    """

    def __init__(self, classes: Sequence[str]):
        super().__init__(name="labels")
        self.classes = tuple(classes)
        self.names = tf.constant([name.encode() for name in classes], tf.string, shape=[len(classes)])
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.names, tf.range(len(classes))), UNKNOWN
        )

    @property
    def size(self) -> dict:
        """The size table of features.json."""
        return {"kind": "label", "classes": list(self.classes)}

    def ids(self, names: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N] int32, -1 for a name that is no class."""
        return self.table.lookup(names)

    def name(self, ids: tf.Tensor) -> tf.Tensor:
        """[N] int32 -> [N] string."""
        return tf.gather(self.names, ids)

    __call__ = ids
