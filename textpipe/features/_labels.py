"""Class names to class indices and back.

Shapes: N rows, C classes.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf

UNKNOWN = -1


class Labels(tf.Module):
    """classes: the names in the order of their indices. out_of_scope: the name of rows without a class, which training leaves out.
    unseen: "kept" where names that are no class have the index -1 and stay in valid and test; else they are an error of `arrays`.

    Labels(["no", "yes"]).ids(["yes", "maybe"]) -> [1, -1];  .name([0]) -> ["no"]
    """

    def __init__(self, classes: Sequence[str], *, out_of_scope: str | None = None, unseen: str = "error"):
        super().__init__(name="labels")
        self.unseen = unseen
        self.out_of_scope = out_of_scope
        self.classes = tuple(classes)
        self.names = tf.constant([name.encode() for name in classes], tf.string, shape=[len(classes)])
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.names, tf.range(len(classes))), UNKNOWN
        )

    @property
    def size(self) -> dict:
        """The size table of features.json."""
        size: dict = {"kind": "label", "classes": list(self.classes)}
        if self.unseen == "kept":
            size["unseen"] = "kept"
        return size if self.out_of_scope is None else {**size, "out_of_scope": self.out_of_scope}

    def ids(self, names: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N] int32, -1 for a name that is not a class."""
        return self.table.lookup(names)

    def name(self, ids: tf.Tensor) -> tf.Tensor:
        """[N] int32 -> [N] string."""
        return tf.gather(self.names, ids)

    __call__ = ids

    def schema(self, name: str) -> list[pa.Field]:
        """name: int32."""
        return [pa.field(name, pa.int32())]

    def arrays(self, names: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] string -> the column of `schema`; adds the number of rows of each class to stats."""
        ids = self.ids(names).numpy()
        outside = names.numpy() == self.out_of_scope.encode() if self.out_of_scope else np.zeros(len(ids), bool)
        assert self.unseen == "kept" or ((ids != UNKNOWN) | outside).all(), "labels were not checked with `check`"
        counts = np.bincount(ids[ids != UNKNOWN], minlength=len(self.classes)).tolist()
        stats.update({name: count for name, count in zip(self.classes, counts, strict=True) if count})
        return [pa.array(ids)]
