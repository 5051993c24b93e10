"""An inverted-file index of response vectors: a message is compared only with the responses of the cells nearest to it.

Jegou, Douze and Schmid (2011), Product Quantization for Nearest Neighbor Search, section IV, without residual codes: k-means partitions
the vectors into cells when the graph is built; a search visits the best `probes` cells and computes the exact score of each of their
responses. Vectors are stored ordered by cell, so the vectors of a cell are a slice, which is not copied.

Shapes: B batch, R responses, V vector size, C cells, P probes, K candidates.
"""

import functools
import logging
import math
import time
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers._candidates import Candidates
from textpipe.answers._ranking_settings import Index
from textpipe.errors import ConfigError

BLOCK = 64  # slices have a multiple of this many rows: oneDNN compiles and keeps a kernel for every shape
ABSENT = -1e9  # the score behind a message's last candidate
SAMPLES_PER_CELL = 64  # vectors of each cell that k-means sees
ASSIGNMENT_ROWS = 8192  # vectors assigned to cells together
MIN_PROBES = 8
TIE = 1e-5  # of a message's largest cell score: the difference that two kernels may have
SEED = 1
INTERVAL = 30.0  # seconds between two lines of progress

log = logging.getLogger(__name__)


class CellIndex(tf.Module):
    """An inverted-file index.

    vectors: [R, V] float32. bias: [R], added to a response's score afterwards; here the highest of a cell adds to the cell's score.
    width: candidates are padded to at least this many.
    """

    def __init__(self, vectors: np.ndarray, bias: np.ndarray, settings: Index, *, width: int):
        super().__init__(name="index")
        count = len(vectors)
        if settings.cells and settings.cells > count:
            raise ConfigError(
                f"[answer] index.cells: expected at most one cell per response, {count:,}, found {settings.cells:,}; lower cells, or "
                "leave it out"
            )
        started = time.monotonic()
        cell = assign(vectors, settings.cells or num_cells(count))
        order = np.argsort(cell, kind="stable").astype(np.int32)
        sizes = np.bincount(cell).astype(np.int32)
        vectors = vectors[order]
        first = np.cumsum(sizes, dtype=np.int64) - sizes
        self.probes = min(len(sizes), settings.probes or num_probes(len(sizes)))
        self.width = min(width, count)
        self.order = tf.constant(order)  # the numbers of the responses, cell by cell [R]
        self.first, self.sizes = tf.constant(first, tf.int32), tf.constant(sizes)  # [C]
        centers = [center(vectors[start : start + size]) for start, size in zip(first, sizes, strict=True)]
        self.centers = tf.constant(np.stack(centers), tf.float32)  # [C, V]
        self.bias = tf.constant(np.maximum.reduceat(bias[order], first), tf.float32)  # [C]
        padding = np.zeros((BLOCK, vectors.shape[1]), np.float32)
        self.vectors = tf.Variable(np.concatenate([vectors, padding]), trainable=False, name="response_vectors")
        self._traced = functools.cache(self.traced_search)  # a function as an attribute would be saved with the graph
        log.info(
            "index: %d responses in %d cells, of which a message visits %d; %.0f MB of vectors; %.0f seconds",
            count, len(sizes), self.probes, self.vectors.shape.num_elements() * 4 / 2**20, time.monotonic() - started,
        )  # fmt: skip

    def search(self, messages: tf.Tensor) -> Candidates:
        """All responses of the visited cells: [B, V] -> scores [B, K], without the bias, and numbers [B, K]."""
        return self._traced(self.probes)(messages)

    def cell_scores(self, messages: tf.Tensor) -> tf.Tensor:
        """What decides which cells are visited: [B, V] -> [B, C]."""
        return tf.matmul(messages, self.centers, transpose_b=True) + self.bias

    def ambiguous(self, messages: tf.Tensor) -> np.ndarray:
        """Whether the scores of the last visited cell and the next one differ by no more than rounding: [B, V] -> [B] bool.

        Of equal scores, as for a message without features, the first cell is always taken.
        """
        ranked = -np.sort(-self.cell_scores(messages).numpy(), axis=1)
        if ranked.shape[1] <= self.probes:
            return np.zeros(len(ranked), bool)
        gap = ranked[:, self.probes - 1] - ranked[:, self.probes]
        return (gap > 0) & (gap <= TIE * np.maximum(np.abs(ranked).max(axis=1), 1.0))

    def traced_search(self, probes: int) -> Any:
        """`search` as a traced function that all signatures share, and evaluation, which calls it op by op."""
        spec = tf.TensorSpec([None, self.vectors.shape[1]], tf.float32)
        return tf.function(functools.partial(self.visit_cells, probes=probes), input_signature=[spec], autograph=False)

    def visit_cells(self, messages: tf.Tensor, *, probes: int) -> Candidates:
        """`search` of so many cells."""
        vectors = tf.convert_to_tensor(self.vectors)
        near = self.cell_scores(messages)
        cells = tf.reshape(tf.math.top_k(near, probes, sorted=False).indices, [-1])  # [B * P]
        first, sizes = tf.gather(self.first, cells), tf.gather(self.sizes, cells)
        ends = first + -(-sizes // BLOCK) * BLOCK  # what is beyond a cell is computed and dropped

        def visit(at: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            scores = tf.linalg.matvec(vectors[first[at] : ends[at]], messages[at // probes])
            return at + 1, parts.write(at, scores[: sizes[at]])

        visits = tf.size(cells)
        parts = tf.TensorArray(tf.float32, size=visits, infer_shape=False, element_shape=[None])
        _, parts = tf.while_loop(lambda at, _: at < visits, visit, (tf.constant(0), parts))
        lengths = tf.reduce_sum(tf.reshape(sizes, [-1, probes]), axis=1)  # [B]
        numbers = tf.gather(self.order, tf.ragged.range(first, first + sizes).flat_values)
        scores, numbers = (
            tf.RaggedTensor.from_row_lengths(flat, lengths, validate=False).to_tensor(default)
            for flat, default in ((parts.concat(), ABSENT), (numbers, -1))
        )
        missing = [[0, 0], [0, tf.maximum(self.width - tf.shape(numbers)[1], 0)]]
        return Candidates(tf.pad(scores, missing, constant_values=ABSENT), tf.pad(numbers, missing, constant_values=-1))


def num_cells(count: int) -> int:
    """Cells for a set of `count` responses."""
    return max(1, min(count, round(2 * math.sqrt(count))))


def num_probes(cells: int) -> int:
    """Cells that a message visits: enough for .95 of the best ten responses of real sets; see docs/smart_reply.md."""
    return max(MIN_PROBES, -(-cells // 32))


def center(vectors: np.ndarray) -> np.ndarray:
    """What a message is compared with: the mean direction of a cell's vectors [N, V], of their mean length, [V].

    The mean itself is shorter, the more so the wider the cell, and hides the best of its vectors.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    return mean * (np.linalg.norm(vectors, axis=1).mean() / max(float(np.linalg.norm(mean)), 1e-9))


def assign(vectors: np.ndarray, cells: int) -> np.ndarray:
    """The cell of each vector, [R, V] -> [R], numbered from 0 without a gap: at most `cells`, by mini-batch k-means (Sculley, 2010).

    Computed on one thread, so that it does not depend on the number of cores.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    sample = np.random.default_rng(SEED).permutation(len(vectors))[: SAMPLES_PER_CELL * cells]
    log.info("index: learning %d cells from %d responses", cells, len(sample))
    options: dict[str, Any] = {"init": "random", "n_init": 1, "batch_size": 4096, "max_iter": 10}
    with threadpool_limits(1):
        means = MiniBatchKMeans(cells, random_state=SEED, **options).fit(vectors[np.sort(sample)])
        centers = means.cluster_centers_.astype(np.float32)
        half_norms = np.square(centers).sum(axis=1) / 2
        labels = np.empty(len(vectors), np.int32)
        logged_at = time.monotonic()
        for start in range(0, len(vectors), ASSIGNMENT_ROWS):
            rows = slice(start, start + ASSIGNMENT_ROWS)
            labels[rows] = np.argmax(vectors[rows] @ centers.T - half_norms, axis=1)
            if time.monotonic() - logged_at >= INTERVAL:
                logged_at = time.monotonic()
                log.info("index: %d of %d responses are in their cells", start + len(labels[rows]), len(vectors))
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)
