"""One training step and one validation step as graphs, under a tf.distribute strategy.

A batch reaches every replica whole and each takes its share of the rows, so that a plan of batches is the same for one
device and for eight.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from textpipe.training import losses
from textpipe.training.batches import Batch
from textpipe.training.rows import Rows
from textpipe.training.settings import Settings


class Steps:
    """Traced steps of a model; each padded width is traced once, whatever the number of rows.

    num_rows: rows of the training split; a model's penalty() is divided by it, so that the sum over an epoch counts
    it once.
    """

    def __init__(self, model, optimizer, settings: Settings, strategy: tf.distribute.Strategy, num_rows: int):
        self.model, self.optimizer, self.settings = model, optimizer, settings
        self.strategy, self.num_rows = strategy, num_rows
        self.traced: dict[tuple, Callable] = {}

    def train(self, rows: Rows, batch: Batch) -> dict[str, Any]:
        """Takes one step; floats: `loss` (sum), `weight`, `penalty`, `gradient_norm` (before clipping)."""
        return self.call(self.train_graph, rows, batch)

    def evaluate(self, rows: Rows, batch: Batch) -> dict[str, Any]:
        """Floats: sums of `loss`, `correct` and `weight` over a batch, without dropout or smoothing."""
        return self.call(self.evaluate_graph, rows, batch)

    def validate(self, rows: Rows, order: list[Batch]) -> dict[str, float]:
        """valid_loss (nats per row or token, no penalty, no smoothing), valid_accuracy, and of texts valid_perplexity."""
        sums = {"loss": 0.0, "correct": 0.0, "weight": 0.0}
        for batch in order:
            for name, figure in self.evaluate(rows, batch).items():
                sums[name] += figure
        figures = {"valid_loss": sums["loss"] / sums["weight"], "valid_accuracy": sums["correct"] / sums["weight"]}
        if rows.target.kind == "ids":
            figures["valid_perplexity"] = math.exp(min(figures["valid_loss"], 700.0))
        return figures

    def call(self, graph: Callable, rows: Rows, batch: Batch) -> dict[str, float]:
        source = rows.source.gather(batch.rows, batch.source_width)
        target = rows.target.gather(batch.rows, batch.target_width)
        if not isinstance(source, tf.SparseTensor):
            source = tf.constant(source)
        key = (graph.__name__, batch.source_width, batch.target_width)
        if key not in self.traced:
            # Concrete functions: a tf.function called with new widths warns of retracing, which here is the plan.
            function = tf.function(graph, autograph=False)
            self.traced[key] = function.get_concrete_function(spec(source), spec(target))
        sums = self.traced[key](source, tf.constant(target))
        return {name: float(value) for name, value in sums.items()}

    def train_graph(self, source, target):
        sums = self.strategy.run(self.train_replica, (source, target))
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    def evaluate_graph(self, source, target):
        sums = self.strategy.run(self.evaluate_replica, (source, target))
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    def train_replica(self, source, target):
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        variables = [variable.value for variable in self.model.trainable_variables]
        total = tf.cast(weight(target), tf.float32)
        source, target = share(source), share(target)
        smoothing = self.settings.label_smoothing
        sums, gradients = losses.gradients(self.model, source, target, variables, smoothing=smoothing, total=total)
        with tf.GradientTape() as tape:
            penalty = self.penalty() / replicas
        slopes = tape.gradient(penalty, variables)
        gradients = [
            losses.dense(gradient) if slope is None else losses.dense(gradient) + slope
            for gradient, slope in zip(gradients, slopes, strict=True)
        ]
        if replicas > 1:
            gradients = context.all_reduce("SUM", gradients)
        norm = tf.linalg.global_norm(gradients)
        if self.settings.clip_value:
            limit = self.settings.clip_value
            gradients = [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
        if self.settings.clip_norm:
            used = tf.linalg.global_norm(gradients) if self.settings.clip_value else norm
            gradients, _ = tf.clip_by_global_norm(gradients, self.settings.clip_norm, use_norm=used)
        if replicas > 1:
            # The optimizer sums over replicas once more; clipping had to see the whole gradient before that.
            gradients = [gradient / replicas for gradient in gradients]
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return {
            "loss": sums["loss"],
            "weight": sums["weight"],
            "penalty": penalty,
            "gradient_norm": norm / replicas,
        }

    def evaluate_replica(self, source, target):
        source, target = share(source), share(target)
        return losses.evaluate(self.model, source, target)

    def penalty(self):
        """What the model adds to the mean loss of a row: its penalty() over the rows of the training split."""
        if not hasattr(self.model, "penalty"):
            return tf.constant(0.0)
        return tf.cast(self.model.penalty(), tf.float32) / self.num_rows


def weight(target):
    """Rows of a batch of labels, real tokens of a batch of ids."""
    return tf.size(target) if target.shape.rank == 1 else tf.math.count_nonzero(target, dtype=tf.int32)


def share(tensor):
    """This replica's rows of a batch: consecutive ones, as many as any other's give or take one."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return tensor
    rank = tf.cast(context.replica_id_in_sync_group, tf.int64)
    sparse = isinstance(tensor, tf.SparseTensor)
    rows = tensor.dense_shape[0] if sparse else tf.shape(tensor, out_type=tf.int64)[0]
    first, last = rows * rank // replicas, rows * (rank + 1) // replicas
    if not sparse:
        return tensor[first:last]
    return tf.sparse.slice(tensor, tf.stack([first, 0]), tf.stack([last - first, tensor.dense_shape[1]]))


def spec(value):
    """The type of a batch with the number of rows left open: [None, T]."""
    if isinstance(value, tf.SparseTensor):
        return tf.SparseTensorSpec([None, value.shape[1]], value.dtype)
    return tf.TensorSpec([None, *value.shape[1:]], tf.as_dtype(value.dtype))
