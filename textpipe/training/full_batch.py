"""The objective of a whole split and its gradient, for optimizers that take no batches."""

import numpy as np
import tensorflow as tf

from textpipe.training import batches, losses
from textpipe.training.batches import Plan
from textpipe.training.rows import Rows
from textpipe.training.settings import Settings
from textpipe.training.steps import Steps, spec

# Padded tokens of ids gathered in one piece; a sparse split is one piece whatever its size.
PIECE_TOKENS = 1_000_000


class Objective:
    """Mean loss per row, with the model's penalty, as a function of its trainable weights: call it after assigning them."""

    def __init__(self, model, rows: Rows, settings: Settings):
        self.settings, self.calls = settings, 0
        self.steps = Steps(model, None, settings, tf.distribute.get_strategy(), len(rows))
        padded = rows.source.kind == "ids"
        limit = {"batch_tokens": PIECE_TOKENS} if padded else {"batch_rows": len(rows)}
        lengths = rows.source.lengths if padded else None
        plan = Plan(lengths, num_rows=len(rows), seed=0, num_shapes=4, **limit)
        self.pieces = [
            (rows.source.gather(np.sort(piece.rows), piece.source_width), rows.target.gather(np.sort(piece.rows)))
            for piece in plan.epoch(0)
        ]
        self.graphs = [
            tf.function(self.piece_graph, input_signature=(spec(source), spec(target)), autograph=False)
            for source, target in self.pieces
        ]
        self.penalty_graph = tf.function(self.penalty_gradient, autograph=False)

    def __call__(self) -> tuple[float, np.ndarray]:
        """The objective and its gradient over all trainable weights, flat, float64."""
        self.calls += 1
        loss, gradient = self.penalty_graph()
        loss, gradient = float(loss), gradient.numpy().astype(np.float64)
        for graph, piece in zip(self.graphs, self.pieces, strict=True):
            piece_loss, piece_gradient = graph(*piece)
            loss += float(piece_loss)
            gradient += piece_gradient.numpy()
        return loss, gradient

    def piece_graph(self, source, target):
        total = tf.constant(float(self.steps.num_rows))
        sums, gradients = losses.gradients(
            self.steps.model, source, target, self.variables(), smoothing=0.0, total=total
        )
        return sums["loss"] / total, flat(gradients)

    def penalty_gradient(self):
        with tf.GradientTape() as tape:
            loss = self.steps.penalty()
        return loss, flat(tape.gradient(loss, self.variables(), unconnected_gradients="zero"))

    def variables(self):
        return [variable.value for variable in self.steps.model.trainable_variables]

    def validate(self, rows: Rows) -> dict[str, float]:
        """As Steps.validate, over the whole of these rows."""
        return self.steps.validate(rows, batches.plan(rows, self.settings).epoch(0))


def flat(gradients):
    """All gradients as one vector."""
    return tf.concat([tf.reshape(losses.dense(gradient), [-1]) for gradient in gradients], axis=0)
