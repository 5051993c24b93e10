"""Whether rounding alone explains that an exported model and training-side code answer a row differently.

The logits of two kernels differ in their last digits, and a search amplifies that: a hypothesis at the edge of the beam
is dropped, two equally likely tokens swap places, a random number falls on the other side of a boundary. In that case
training-side code gives the exported model's answer too, with the same score, once its own logits are perturbed by as
much as rounding changes them. An answer from other weights, another vocabulary or another search does not pass.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textpipe.stages import _golden, _replay

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable

ROUNDING = 1e-5  # of a row's largest logit: about the difference between two kernels
NUM_PERTURBATIONS = 32  # perturbations of the logits tried for a row
ROWS_PER_DOUBT = 32  # one row in this many, or MIN_DOUBTS rows, may be in doubt: rounding does not change more
MIN_DOUBTS = 4


def unexplained_faults(
    servable: "Servable", rows: Sequence[dict[str, Any]], doubts: Sequence[dict[str, Any]]
) -> list[str]:
    """The faults of those of _replay.py's doubts that rounding does not explain: all of them for answers without a search."""
    searches = hasattr(servable.output, "search_inputs")
    if not searches or len(doubts) > max(MIN_DOUBTS, len(rows) // ROWS_PER_DOUBT):
        return [fault for doubt in doubts for fault in doubt["faults"]]
    faults = []
    for doubt in doubts:
        row = rows[doubt["at"]]
        candidates = (row, *perturbed_answers(servable, row))
        for name, answers in doubt["answers"].items():
            if not any(not list(_replay.answer_differences(candidate, name, answers)) for candidate in candidates):
                faults += list(doubt["faults"])
                break
    return faults


def perturbed_answers(servable: "Servable", row: dict[str, Any], seed: int = 1) -> list[dict[str, Any]]:
    """Training-side answers to a row under perturbed logits: texts and scores of each.

    The scores are those of the unperturbed logits.   Shapes: C = NUM_PERTURBATIONS copies of the row, N answers, U tokens.
    """
    import tensorflow as tf

    from textpipe.decoding import _search
    from textpipe.training import likelihood

    model, output = servable.model, servable.output
    copies = [row] * NUM_PERTURBATIONS
    raw = _golden.raw_tensors(servable, copies)
    inputs = output.search_inputs(raw, _golden.model_inputs(servable, copies))
    outputs = output.generate(inputs, model=PerturbedModel(model, seed))
    rows, answers, length = tf.unstack(tf.shape(outputs["ids"]))
    ids = tf.reshape(outputs["ids"], [rows * answers, length])
    repeated = tf.nest.map_structure(lambda part: tf.repeat(part, answers, axis=0), inputs)
    exact = tf.reduce_sum(likelihood.token_log_probs(model, repeated, ids), axis=1)
    tokens = tf.reduce_sum(tf.cast(ids != model.pad_id, tf.float32), axis=1)
    penalty = _search.length_penalty(tokens, getattr(output.decode, "length_penalty", 0.0))
    off = (tf.reshape(exact, [rows, answers]) - outputs["log_probs"]) / tf.reshape(penalty, [rows, answers])
    nothing = _search.is_empty(_search.source_ids(model, inputs), model.pad_id)
    there = (outputs["scores"] > _search.ABSENT) & ~nothing[:, None]
    scores = tf.where(there, outputs["scores"] + off, outputs["scores"])
    order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)
    texts = output.detokenize(outputs, raw)["texts"]
    texts, scores = (tf.gather(values, order, batch_dims=1).numpy().tolist() for values in (texts, scores))
    return [
        {"texts": [text.decode() for text in answers], "scores": ranked}
        for answers, ranked in zip(texts, scores, strict=True)
    ]


class PerturbedModel:
    """A model with noise of rounding size added to its logits, different in each row and step; called op by op."""

    def __init__(self, model: Any, seed: int):
        self.model, self.seed, self.steps = model, seed, 0

    def __getattr__(self, name: str) -> Any:
        if name == "step_function":  # a decoder asks whether there is one
            raise AttributeError(name)
        return getattr(self.model, name)

    def step(self, state: Any, ids: Any) -> Any:
        """The model's step, with noise added to the logits."""
        import tensorflow as tf

        logits, state, attention = self.model.step(state, ids)
        logits = tf.cast(logits, tf.float32)
        finite = tf.math.is_finite(logits)
        largest = tf.reduce_max(tf.where(finite, tf.abs(logits), 0.0), axis=1, keepdims=True)
        noise = tf.random.stateless_uniform(tf.shape(logits), [self.steps, self.seed], -1.0, 1.0)
        self.steps += 1
        return logits + noise * ROUNDING * tf.maximum(largest, 1.0), state, attention
