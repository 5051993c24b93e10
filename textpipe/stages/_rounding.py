"""Whether rounding alone explains that an exported model and training-side code answer a row differently.

The logits of two kernels differ in their last digits, and a search amplifies that: a hypothesis at the edge of the beam
is dropped, two equally likely tokens swap places, a random number falls on the other side of a boundary. In that case
training-side code gives the exported model's answer too, with the same score, once its own logits are perturbed by as
much as rounding changes them. An answer from other weights, another vocabulary or another search does not pass.

Some models amplify rounding themselves: sharp attention that is handed on from step to step changes log-probabilities in the fifth digit.
Where likelihoods differ, training-side code is asked again with its weights perturbed in their last digit. The exported model
passes if its scores differ by no more than a few times as much as these answers do.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textpipe.stages import _golden, _replay

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable

ROUNDING = 1e-5  # of a row's largest logit: about the difference between two kernels
NUM_PERTURBATIONS = 32  # perturbations of the logits tried for a row
LAST_DIGIT = 2.0**-23  # of a float32, relative
NUM_WEIGHTS = 4  # perturbations of the weights
AMPLIFIED = 4.0  # times the largest difference under them that an exported model may differ
MAX_DIFFERENCE = 1e-2  # relative; no model may differ by more
ROWS_PER_DOUBT = 32  # one row in this many, or MIN_DOUBTS rows, may be in doubt: rounding does not change more
MIN_DOUBTS = 4


def unexplained_faults(
    servable: "Servable", rows: Sequence[dict[str, Any]], doubts: Sequence[dict[str, Any]]
) -> list[str]:
    """The faults of those of _replay.py's doubts that rounding does not explain: all of them for answers without a search."""
    if not hasattr(servable.output, "search_inputs"):
        return [fault for doubt in doubts for fault in doubt["faults"]]
    amplified = [doubt for doubt in doubts if doubt["log_probs"]]
    faults = amplified_faults(servable, rows, amplified) if amplified else []
    doubts = [doubt for doubt in doubts if not doubt["log_probs"]]
    if len(doubts) > max(MIN_DOUBTS, len(rows) // ROWS_PER_DOUBT):
        return faults + [fault for doubt in doubts for fault in doubt["faults"]]
    unexplained = [doubt for doubt in doubts if not explained_by_logits(servable, rows[doubt["at"]], doubt)]
    # The same texts, whose likelihoods agree with training-side code but whose scores do not: a product of fewer rows in the search.
    rescored = [
        doubt for doubt in unexplained if all(same_texts(rows[doubt["at"]], one) for one in doubt["answers"].values())
    ]
    faults += amplified_faults(servable, rows, rescored) if rescored else []
    return faults + [fault for doubt in unexplained if doubt not in rescored for fault in doubt["faults"]]


def explained_by_logits(servable: "Servable", row: dict[str, Any], doubt: dict[str, Any]) -> bool:
    """Whether training-side code gives all of a doubt's answers once its logits are perturbed."""
    candidates = (row, *perturbed_answers(servable, row))
    return all(
        any(not list(_replay.answer_differences(candidate, name, answers)) for candidate in candidates)
        for name, answers in doubt["answers"].items()
    )


def amplified_faults(
    servable: "Servable", rows: Sequence[dict[str, Any]], doubts: Sequence[dict[str, Any]]
) -> list[str]:
    """The faults of doubts whose likelihoods differ by more than perturbed weights explain, or whose texts differ."""
    doubted = [rows[doubt["at"]] for doubt in doubts]
    answers_by_seed = [answers_of_perturbed_weights(servable, doubted, seed) for seed in range(NUM_WEIGHTS)]
    faults = []
    for at, (row, doubt) in enumerate(zip(doubted, doubts, strict=True)):
        expected = [row["log_prob"], *row["scores"]]
        perturbed = [
            [perturbed_answers[at]["log_prob"], *perturbed_answers[at]["scores"]]
            for perturbed_answers in answers_by_seed
            if perturbed_answers[at]["texts"] == row["texts"]
        ]
        allowed = [
            allowed_difference(value, [scores[index] for scores in perturbed]) for index, value in enumerate(expected)
        ]
        pairs = [(log_prob, 0) for log_prob in doubt["log_probs"]]
        for answers in doubt["answers"].values():
            pairs += [(score, index + 1) for index, score in enumerate(answers["scores"][: len(row["scores"])])]
        same = all(same_texts(row, answers) for answers in doubt["answers"].values())
        # A difference of NaN is within nothing.
        if not same or not all(
            abs(value - expected[index]) <= allowed[index] or _replay.all_close([value], [expected[index]])
            for value, index in pairs
        ):
            faults += doubt["faults"]
    return faults


def same_texts(row: dict[str, Any], answers: dict[str, Any]) -> bool:
    """Whether a signature's answers are those of a row: the best one, or all, each with a score."""
    count = 1 if answers.get("single") else len(row["texts"])
    return answers["texts"] == row["texts"][:count] and len(answers["scores"]) == count


def allowed_difference(expected: float, others: Sequence[float]) -> float:
    """The largest difference from a score that perturbed weights explain, given the scores under them; 0 for a score that is not finite."""
    differences = [abs(other - expected) for other in others if math.isfinite(other)]
    return (
        min(AMPLIFIED * max(differences, default=0.0), MAX_DIFFERENCE * abs(expected))
        if math.isfinite(expected)
        else 0.0
    )


def answers_of_perturbed_weights(
    servable: "Servable", rows: Sequence[dict[str, Any]], seed: int
) -> list[dict[str, Any]]:
    """Copies of golden rows with the answers of training-side code whose weights are changed in their last digit; restores them."""
    import tensorflow as tf

    copies = [{key: row[key] for key in ("raw", "features")} for row in rows]
    weights = [weight for weight in servable.weights if weight.dtype.is_floating]
    exact = [tf.identity(weight) for weight in weights]
    try:
        for number, (weight, value) in enumerate(zip(weights, exact, strict=True)):
            noise = tf.random.stateless_uniform(tf.shape(value), [seed, number], -1.0, 1.0)
            weight.assign(value * tf.cast(1 + LAST_DIGIT * noise, value.dtype))
        for start in range(0, len(copies), _golden.BATCH_ROWS):
            _golden.fill_answers(servable, copies[start : start + _golden.BATCH_ROWS])
    finally:
        for weight, value in zip(weights, exact, strict=True):
            weight.assign(value)
    return copies


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
    is_answer = (outputs["scores"] > _search.ABSENT) & ~nothing[:, None]
    scores = tf.where(is_answer, outputs["scores"] + off, outputs["scores"])
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
