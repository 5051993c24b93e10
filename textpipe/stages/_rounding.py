"""Whether rounding alone explains that an exported model answered a row otherwise than training-side code.

Two kernels' logits differ in their last digits, and a search makes much of little: a hypothesis at the edge of the beam
falls off, two tokens as likely as each other change places, a drawn number lies on the other side of a boundary. Then
the answer of the exported model is one that training-side code gives too, with the same score, when its own logits are
changed by as much as rounding changes them. An answer of other weights, another vocabulary or another search is not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textpipe.stages import _golden, _replay

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable

ROUNDING = 1e-5  # of a row's largest logit: about what two kernels differ by
NUM_PERTURBATIONS = 32  # changes of the logits that are tried for a row
ROWS_PER_DOUBT = 32  # one row in SHARE may be in doubt, and LEAST anyway: rounding does not change more
MIN_DOUBTS = 4


def unexplained_faults(servable: "Servable", rows: Sequence[dict[str, Any]], doubts: Sequence[dict[str, Any]]) -> list[str]:
    """What is left of _replay.py's doubts about golden rows."""
    if len(doubts) > max(MIN_DOUBTS, len(rows) // ROWS_PER_DOUBT):
        return [fault for doubt in doubts for fault in doubt["faults"]]
    found = []
    for doubt in doubts:
        row = rows[doubt["at"]]
        others = perturbed_answers(servable, row)
        for name, answers in doubt["answers"].items():
            if not any(not list(_replay.answer_differences(one, name, answers)) for one in (row, *others)):
                found += list(doubt["faults"])
                break
    return found


def perturbed_answers(servable: "Servable", row: dict[str, Any], seed: int = 1) -> list[dict[str, Any]]:
    """What training-side code answers to a row when its logits are changed by rounding: texts and scores each.

    The scores are of the logits as they are.   Shapes: C = TRIED copies of the row, N answers, U tokens.
    """
    import tensorflow as tf

    from textpipe.decoding import _search
    from textpipe.training import likelihood

    model, output = servable.model, servable.output
    copies = [row] * NUM_PERTURBATIONS
    texts = _golden.raw_tensors(servable, copies)
    inputs = output.search_inputs(texts, _golden.model_inputs(servable, copies))
    found = output.generate(inputs, model=PerturbedModel(model, seed))
    rows, answers, length = tf.unstack(tf.shape(found["ids"]))
    ids = tf.reshape(found["ids"], [rows * answers, length])
    repeated = tf.nest.map_structure(lambda part: tf.repeat(part, answers, axis=0), inputs)
    exact = tf.reduce_sum(likelihood.of_tokens(model, repeated, ids), axis=1)
    tokens = tf.reduce_sum(tf.cast(ids != model.pad_id, tf.float32), axis=1)
    penalty = _search.length_penalty(tokens, getattr(output.decode, "length_penalty", 0.0))
    off = (tf.reshape(exact, [rows, answers]) - found["log_probs"]) / tf.reshape(penalty, [rows, answers])
    nothing = _search.nothing(_search.source_ids(model, inputs), model.pad_id)
    there = (found["scores"] > _search.ABSENT) & ~nothing[:, None]
    scores = tf.where(there, found["scores"] + off, found["scores"])
    order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)
    spelled = output.detokenize(found, texts)["texts"]
    spelled, scores = (tf.gather(part, order, batch_dims=1).numpy().tolist() for part in (spelled, scores))
    return [
        {"texts": [text.decode() for text in some], "scores": best} for some, best in zip(spelled, scores, strict=True)
    ]


class PerturbedModel:
    """A model whose logits are off by rounding, otherwise in each row and each step; called op by op."""

    def __init__(self, model: Any, seed: int):
        self.model, self.seed, self.steps = model, seed, 0

    def __getattr__(self, name: str) -> Any:
        if name == "stepper":  # a decoder asks whether there is one
            raise AttributeError(name)
        return getattr(self.model, name)

    def step(self, state: Any, ids: Any) -> Any:
        """The model's step."""
        import tensorflow as tf

        logits, state, attention = self.model.step(state, ids)
        logits = tf.cast(logits, tf.float32)
        finite = tf.math.is_finite(logits)
        largest = tf.reduce_max(tf.where(finite, tf.abs(logits), 0.0), axis=1, keepdims=True)
        noise = tf.random.stateless_uniform(tf.shape(logits), [self.steps, self.seed], -1.0, 1.0)
        self.steps += 1
        return logits + noise * ROUNDING * tf.maximum(largest, 1.0), state, attention
