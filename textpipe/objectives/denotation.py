"""The answer to a question about a table: the loss of a program from its answer alone (Neelakantan et al. 2017, section 2.6).

A number is compared with the count, items with the cells of the table that have the same words; if both are possible, a soft minimum of
both losses is taken. An answer that is neither in the table nor a possible count has no loss.   Shapes: B batch, C columns, R rows, I items.
"""

from collections.abc import Mapping
from typing import Any

NEEDS = "program"
COUNTS = "rows"
METRICS = {"valid_loss": "min", "valid_accuracy": "max"}
PROGRAM = "answers with a program"
# Settings of [train] without effect, and why.
UNUSED = {
    **dict.fromkeys(
        ("label_smoothing", "scheduled_sampling", "valid_bleu_rows", "class_weight", "calibration", "word_dropout"),
        PROGRAM,
    ),
    "parallel": "trains on a batch as a whole",
}
PRINT_COST = 50.0  # weight of the loss of cells, over the number of cells of the table
LARGEST_COUNT_LOSS = 3.0
SHARPNESS = 5.0  # of the soft minimum
SMALLEST = 1e-7  # probability of a cell in a logarithm


def weight(targets: Any) -> Any:
    """Rows of a batch [B, T]."""
    import tensorflow as tf

    return tf.shape(targets)[0]


def sums(model: Any, inputs: Mapping[str, Any], targets: Any, *, training: bool = False, config: Any = None) -> dict:
    """Sums over the rows of a batch: `loss`, `correct` (the hard program gives the answer) and `weight`; targets: [B, T] packed.

    In training the loss has the model's l2 penalty, and `correct` is left out.
    """
    import tensorflow as tf

    rows = tf.cast(weight(targets), tf.float32)
    loss = tf.reduce_sum(row_losses(model(inputs, training=training, hard=False), targets))
    if training:
        if model.l2:
            loss += (
                model.l2
                * tf.cast(rows, loss.dtype)
                * tf.add_n([tf.nn.l2_loss(weight.value) for weight in model.trainable_variables])
            )
        return {"loss": loss, "weight": rows}
    correct = is_correct(model(inputs, training=False, hard=True), targets)
    return {"loss": loss, "correct": tf.reduce_sum(tf.cast(correct, tf.float32)), "weight": rows}


def row_losses(program: Any, targets: Any) -> Any:
    """The loss of each row [B]."""
    import tensorflow as tf

    from textpipe.layers import packed_tables

    dtype = program.count.dtype  # float64 where gradients are checked
    items, number = packed_tables.denotation(targets)
    number = tf.cast(number, dtype)
    gold, possible = gold_cells(program.cells, items)
    real = tf.cast(program.cells.columns[:, :, None] & program.cells.rows[:, None, :], dtype)
    entries = tf.maximum(tf.reduce_sum(real, axis=[1, 2]), 1.0)
    count = tf.maximum(tf.reduce_sum(tf.cast(program.cells.rows, dtype), axis=1), 1.0)

    missing = tf.math.log1p(-tf.minimum(program.printed, 1 - SMALLEST)) * real
    missing = -tf.reduce_sum(tf.where(tf.reduce_any(gold, axis=1), tf.zeros([], dtype), missing), axis=[1, 2])
    shown = -tf.math.log(program.printed + SMALLEST)[:, None]  # [B, 1, C, R]
    best = tf.reduce_min(tf.where(gold, shown, tf.constant(1e9, dtype)), axis=[2, 3])  # [B, I]
    print_loss = PRINT_COST / entries * (missing + tf.reduce_sum(best * tf.cast(items != 0, dtype), axis=1))

    countable = (number == tf.round(number)) & (number >= 0) & (number <= count)
    error = tf.where(countable, program.count - number, tf.zeros([], dtype))
    count_loss = tf.minimum(0.5 * tf.square(error) / count, LARGEST_COUNT_LOSS)
    print_loss = tf.where(possible, print_loss, tf.zeros([], dtype))
    either = tf.maximum(-tf.reduce_logsumexp(-SHARPNESS * tf.stack([count_loss, print_loss]), axis=0) / SHARPNESS, 0.0)
    return tf.where(countable & possible, either, tf.where(countable, count_loss, print_loss))


def gold_cells(cells: Any, items: Any) -> tuple[Any, Any]:
    """(cells of each item [B, I, C, R], whether all items are in the table [B])."""
    import tensorflow as tf

    gold = cells.keys[:, None] == items[:, :, None, None]
    in_table = tf.reduce_any(gold, axis=[2, 3]) | (items == 0)
    return gold, tf.reduce_all(in_table, axis=1) & tf.reduce_any(items != 0, axis=1)


def is_correct(program: Any, targets: Any) -> Any:
    """Whether a hard program's answer has the items of the target and no others, or is its number [B].

    Cells are compared by their keys; metrics/denotation.py compares texts.
    """
    import tensorflow as tf

    from textpipe.layers import packed_tables, table_operations

    items, number = packed_tables.denotation(targets)
    last = tf.argmax(program.operations[:, -1], axis=1)
    counts = last == table_operations.OPERATIONS.index("count")
    shown = program.printed > 0.5
    gold, possible = gold_cells(program.cells, items)
    correct_cells = gold & shown[:, None]
    all_items = tf.reduce_all(tf.reduce_any(correct_cells, axis=[2, 3]) | (items == 0), axis=1)
    no_others = tf.reduce_all(tf.reduce_any(gold, axis=1) | ~shown, axis=[1, 2])
    printed = possible & all_items & no_others & tf.reduce_any(shown, axis=[1, 2])
    return tf.where(counts, tf.abs(program.count - tf.cast(number, program.count.dtype)) < 0.5, printed)


def figures(sums: Mapping[str, float]) -> dict[str, float]:
    """valid_loss (per row, of the soft program; no penalty) and valid_accuracy (of the hard one)."""
    return {"valid_loss": sums["loss"] / sums["weight"], "valid_accuracy": sums["correct"] / sums["weight"]}
