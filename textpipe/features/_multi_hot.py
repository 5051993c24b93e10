"""Sets of classes as multi-hot rows: in the graph, as an Arrow column, and for training.

Shapes: N rows, B rows of a batch, C classes.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf

from textpipe.data.columns import Ids
from textpipe.kinds.labels import SEPARATOR


class MultiHot(tf.Module):
    """classes: the names in the order of their columns.

    MultiHot(["billing", "urgent"])(["urgent", "", "billing|urgent"]) -> [[0, 1], [0, 0], [1, 1]]
    """

    def __init__(self, classes: Sequence[str]):
        super().__init__(name="multi_hot")
        self.classes = tuple(classes)
        self.names = tf.constant([name.encode() for name in classes], tf.string, shape=[len(classes)])
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.names, tf.range(len(classes))), -1
        )

    @property
    def size(self) -> dict:
        """The size table of features.json."""
        return {"kind": "multi_hot", "classes": list(self.classes)}

    def ids(self, cells: tf.Tensor) -> tf.RaggedTensor:
        """[N] string -> the class indices of each row [N, None] int32, without names that are not classes."""
        ids = tf.ragged.map_flat_values(self.table.lookup, tf.strings.split(cells, SEPARATOR))
        return tf.ragged.boolean_mask(ids, ids >= 0)

    def __call__(self, cells: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N, C] float32."""
        ids = self.ids(cells)
        indices = tf.stack([ids.value_rowids(), tf.cast(ids.flat_values, tf.int64)], axis=1)
        counts = tf.scatter_nd(indices, tf.ones_like(ids.flat_values), [tf.size(cells, tf.int64), len(self.classes)])
        return tf.cast(counts > 0, tf.float32)

    def schema(self, name: str) -> list[pa.Field]:
        """name: list<int32>, the class indices of a row."""
        return [pa.field(name, pa.list_(pa.int32()))]

    def arrays(self, cells: tf.Tensor, stats: Counter) -> list[pa.Array]:
        """[N] string -> the column of `schema`; adds the number of rows of each class to stats."""
        ids = self.ids(cells)
        flat = ids.flat_values.numpy()
        counts = np.bincount(flat, minlength=len(self.classes)).tolist()
        stats.update({name: count for name, count in zip(self.classes, counts, strict=True) if count})
        offsets = pa.array(ids.row_splits.numpy(), pa.int32())
        return [pa.ListArray.from_arrays(offsets, pa.array(flat))]


class MultiHotColumn:
    """A set of classes per row, gathered as multi-hot rows."""

    kind = "multi_hot"
    lengths = None  # nothing is padded

    def __init__(self, ids: Ids, num_classes: int):
        self.ids, self.num_classes = ids, num_classes

    def __len__(self) -> int:
        return len(self.ids)

    def gather(self, rows: np.ndarray, width: int = 0) -> np.ndarray:
        """float32 [B, C]; width is not used."""
        lengths = self.ids.lengths[rows]
        batch = np.zeros((len(rows), self.num_classes), np.float32)
        classes = self.ids.gather(rows, int(lengths.max(initial=0)))  # [B, most classes in a row], padded with 0
        real = np.arange(classes.shape[1]) < lengths[:, None]
        batch[np.nonzero(real)[0], classes[real]] = 1
        return batch
