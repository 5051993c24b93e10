"""The outputs of a model that ranks a response set, in graph.   Shapes: B batch, R responses, K candidates, N replies."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers import _rankers, _selection
from textpipe.answers._candidates import Candidates, Numbers
from textpipe.answers._likelihood import Likelihood
from textpipe.answers._matching import Matching
from textpipe.answers._ranking_settings import RERANK, Config
from textpipe.answers._response_set import Response
from textpipe.answers._trigger import Trigger
from textpipe.decoding import _bounds
from textpipe.decoding._search import ABSENT
from textpipe.savedmodel import signatures
from textpipe.savedmodel.model_rows import encode
from textpipe.savedmodel.signatures import Input, Search, Signature
from textpipe.servable import tracing
from textpipe.servable.embedded import Embedded
from textpipe.servable.tracing import Graph, Raw, Tensors

REPLIES, MAX_REPLIES = 3, 100
CANDIDATES = 10  # of the signature `nbest`
TIE = 3e-5  # relative difference of two probabilities that rounding of their logits may explain
OPTIONS = "options"
OUTPUTS = {"replies": tf.string, "scores": tf.float32, "intents": tf.string}


class Output(tf.Module):
    """Replies from a response set: {field: [B]} -> outputs by name.

    responses: the set. settings: [answer]. messages: a function that returns the features of a sample of training messages, called only
    if a setting needs them.

    A ranker scores each response, and prior_weight * log P(response) is added. A matching model is trained with the replies of the
    other rows of a batch as negatives, which are drawn by frequency, so its score estimates
    log P(response | message) - log P(response) up to a constant: with a weight of 1 the sum ranks by P(response | message).
    """

    decode = None

    def __init__(
        self,
        graph: Graph,
        responses: Sequence[Response],
        settings: Config | None = None,
        messages: Callable[[], Mapping[str, Any]] | None = None,
    ):
        super().__init__(name="output")
        settings = settings or Config()
        # In closures, because attributes are saved with the graph.
        self._graph, self._settings = lambda: graph, lambda: settings
        self.responses = lambda: tuple(responses)
        self.texts = tf.constant([encode(response.text) for response in responses])  # [R]
        intents = {name: number for number, name in enumerate(dict.fromkeys(response.intent for response in responses))}
        # A response without an intent is like no other.
        self.intents = tf.constant(
            [
                intents[response.intent] if response.intent else len(intents) + at
                for at, response in enumerate(responses)
            ],
            tf.int32,
        )
        self.shown_intents = tf.constant([encode(response.intent) for response in responses])
        self.polarity = tf.constant([response.polarity for response in responses], tf.int32)
        matches = hasattr(graph.model, "encode_reply")
        prior = _rankers.prior(responses, settings, (Matching if matches else Likelihood).prior_weight)  # [R]
        self.prior, self.numbers = tf.constant(prior, tf.float32), Numbers(self.texts)
        self.ranker: Matching | Likelihood = (
            _rankers.matching(graph, self.texts, prior, settings, width=MAX_REPLIES)
            if matches
            else _rankers.likelihood(graph, self.texts, settings, messages)
        )
        self.second = Embedded(settings.rerank) if settings.rerank else None
        self.trigger = Trigger(settings.trigger, settings) if settings.trigger else None

    @property
    def graph(self) -> Graph:
        """The graph that this is a part of."""
        return self._graph()

    @property
    def bounds(self) -> dict[str, Any]:
        """The lowest and highest value of each numeric option."""
        return {"num_replies": (1, MAX_REPLIES), **({"threshold": (0, 1)} if self.trigger else {})}

    @property
    def labels(self) -> list[str] | None:
        """None: a response set is no set of classes."""
        return None

    def candidates(self, raw: Raw, inputs: Mapping[str, Any] | None = None) -> Candidates:
        """The scored responses of each message: all, or those that the ranker's index finds. inputs: the features, if already computed."""
        first = self.first(self.graph.inputs(raw) if inputs is None else inputs)
        return first if self.second is None else self.reranked(raw, first)

    def first(self, inputs: Mapping[str, Any]) -> Candidates:
        """The candidates of the first ranker, with the prior: {field: feature}."""
        candidates = self.ranker.candidates(inputs)
        return candidates._replace(scores=candidates.scores + candidates.of(self.prior))

    def reranked(self, raw: Raw, candidates: Candidates) -> Candidates:
        """The candidates with log-probabilities of a cascade as their scores.

        The total probability that the first ranker gives to its best `[answer] candidates` is redistributed among them by the weighted
        mean of both rankers' log-probabilities; the other responses keep their probability.
        """
        assert self.second is not None
        weight, first = self._settings().rerank_weight, tf.nn.log_softmax(candidates.scores)
        log_probs, positions = tf.math.top_k(first, min(self._settings().candidates, len(self.responses())))
        numbers = candidates.at(positions)
        texts = tf.gather(self.texts, tf.maximum(numbers, 0))
        reranker_log_probs = self.second.call(RERANK, {**raw, "candidates": texts})["log_probs"]
        mixed = (1 - weight) * log_probs + weight * tf.nn.log_softmax(
            tf.where(numbers >= 0, reranker_log_probs, ABSENT)
        )
        rescored = tf.reduce_logsumexp(log_probs, axis=1, keepdims=True) + tf.nn.log_softmax(mixed)
        rows = tf.broadcast_to(tf.range(tf.shape(positions)[0])[:, None], tf.shape(positions))
        return candidates._replace(
            scores=tf.tensor_scatter_nd_update(first, tf.stack([rows, positions], axis=-1), rescored)
        )

    def answer(self, raw: Raw) -> Tensors:
        """Three replies of three intents to each message, with the probability of each in the whole set.

        {"message": ["Are you free at 5?"]}
        -> {"answer": ["Yes, I am."], "score": [0.4], "replies": [["Yes, I am.", "Let me check.", "No, sorry."]],
            "scores": [[0.4, 0.2, 0.1]], "intents": [["yes", "check", "no"]]}
        """
        return with_best(self.suggestions(raw, tf.constant(REPLIES), tf.constant(True)))

    def answer_with_options(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """`answer` with the options num_replies, diverse and, with a trigger, threshold.

        The call fails if an option is outside its bounds.
        """
        numbers = {name: inputs[name] for name in self.bounds if name in inputs}
        options = _bounds.check_bounds(numbers, self.bounds)
        return with_best(self.suggestions(inputs, options["num_replies"], inputs["diverse"], options.get("threshold")))

    def suggestions(
        self, raw: Raw, count: tf.Tensor, diverse: tf.Tensor, threshold: tf.Tensor | None = None
    ) -> Tensors:
        """The outputs of `replies`. With a trigger also fires [B] and probability [B], and empty replies where it does not fire.

        threshold: replaces the trigger's own. Nothing is ranked if it fires for no row.
        """
        if self.trigger is None:
            return self.replies(raw, count, diverse)
        trigger = self.trigger
        probability = trigger.probability(raw)
        fires = probability >= (trigger.threshold if threshold is None else threshold)  # [B]

        def ranked() -> Tensors:
            rows = tf.where(fires)[:, 0]
            fired = self.replies({name: tf.gather(raw[name], rows) for name in self.graph.sources}, count, diverse)
            positions = tf.maximum(tf.cumsum(tf.cast(fires, tf.int32)) - 1, 0)  # [B], a row's place in `fired`
            spread = {name: tf.gather(part, positions) for name, part in fired.items()}
            return {name: tf.where(fires[:, None], part, nothing(part.dtype)) for name, part in spread.items()}

        def nothing(dtype: tf.DType) -> tf.Tensor:
            return tf.constant("" if dtype == tf.string else 0.0, dtype)

        def unranked() -> Tensors:
            shape = [tf.shape(fires)[0], tf.minimum(count, len(self.responses()))]
            return {name: tf.fill(shape, nothing(dtype)) for name, dtype in OUTPUTS.items()}

        return {**tf.cond(tf.reduce_any(fires), ranked, unranked), "fires": fires, "probability": probability}

    def replies(self, raw: Raw, count: tf.Tensor, diverse: tf.Tensor) -> Tensors:
        """replies [B, N], their probabilities and their intents; of a set with fewer intents the last places are empty texts."""
        candidates = self.candidates(raw)
        positions = self.chosen(candidates, count, diverse)  # [B, N]
        known, numbers = positions >= 0, tf.maximum(candidates.at(positions), 0)
        probabilities = tf.gather(tf.nn.softmax(candidates.scores), tf.maximum(positions, 0), batch_dims=1)
        return {
            "replies": tf.where(known, tf.gather(self.texts, numbers), ""),
            "scores": tf.where(known, probabilities, 0.0),
            "intents": tf.where(known, tf.gather(self.shown_intents, numbers), ""),
        }

    def chosen(self, candidates: Candidates, count: tf.Tensor, diverse: tf.Tensor) -> tf.Tensor:
        """The places of the replies among the candidates [B, N], -1 where no more are left."""
        return _selection.choose(candidates, self.intents, self.polarity, count, diverse)

    def nbest(self, raw: Raw) -> Tensors:
        """The responses of the highest scores, without diversity: texts [B, K] and scores [B, K], their probabilities."""
        candidates = self.candidates(raw)
        count = min(CANDIDATES, len(self.responses()))
        scores, positions = tf.math.top_k(tf.nn.softmax(candidates.scores), count)
        numbers = candidates.at(positions)
        texts = tf.gather(self.texts, tf.maximum(numbers, 0))
        return {"texts": tf.where(numbers >= 0, texts, ""), "scores": scores}

    def score(self, raw: Raw) -> Tensors:
        """The probability of a given reply among the response set: log_prob [B] and probability [B].

        A reply outside the set competes with the candidates, scored by the first ranker alone and without a prior. A response that a
        search does not find, by the beam or in the index, is scored like a reply outside the set, with its prior.
        """
        inputs = self.graph.inputs(raw)
        first, number = self.first(inputs), self.numbers.find(raw[self.graph.target])
        prior = tf.where(number >= 0, tf.gather(self.prior, tf.maximum(number, 0)), 0.0)  # [B]
        reply_score = self.ranker.reply_scores(inputs, raw) + prior
        outside = reply_score - tf.reduce_logsumexp(tf.concat([first.scores, reply_score[:, None]], axis=1), axis=1)
        ranked = tf.nn.log_softmax((first if self.second is None else self.reranked(raw, first)).scores)
        same = first.holds(number)  # [B, K]
        inside = tf.reduce_sum(tf.where(same, ranked, 0.0), axis=1)
        known = tf.reduce_any(same & (first.scores > ABSENT / 2), axis=1)  # half: a prior is added to ABSENT, too
        log_prob = tf.where(known, inside, outside)
        return {"log_prob": log_prob, "probability": tf.exp(log_prob)}

    def signatures(self) -> list[Signature]:
        """All of them."""
        graph, rows = self.graph, self.graph.row_inputs
        options = {
            "num_replies": Input(signatures.OPTION, "int32", ()),
            "diverse": Input(signatures.OPTION, "bool", ()),
        }
        defaults = {"num_replies": tf.constant(REPLIES), "diverse": tf.constant(True)}
        if self.trigger is not None:
            options["threshold"] = Input(signatures.OPTION, "float32", ())
            defaults["threshold"] = self.trigger.threshold
        outputs = ["answer", "score", *OUTPUTS, *(["fires", "probability"] if self.trigger else [])]
        search = Search(OPTIONS, {name: name for name in outputs})
        definitions = [
            Signature("serving_default", rows, signatures.ANSWER, call=self.answer, mergeable=True, search=search),
            Signature("nbest", rows, signatures.ANSWER, call=self.nbest, mergeable=True),
            Signature(OPTIONS, {**rows, **options}, signatures.ANSWER, call=self.answer_with_options, defaults=defaults),
            Signature("features", rows, signatures.FEATURES, call=functools.partial(tracing.features, graph)),
            Signature("score", {**rows, **graph.target_input}, signatures.LIKELIHOOD, call=self.score),
            Signature("tokens", rows, signatures.TOKEN_COUNTS, call=functools.partial(tracing.token_counts, graph)),
        ]  # fmt: skip
        if isinstance(self.ranker, Likelihood):
            candidates = {"candidates": Input(signatures.CANDIDATES, "string", (None, None))}
            definitions.append(Signature(RERANK, {**rows, **candidates}, call=self.rerank))
        return definitions

    def rerank(self, raw: Raw) -> Tensors:
        """The log-probabilities [B, K] of candidates [B, K] after each message; see answers/_likelihood.py."""
        assert isinstance(self.ranker, Likelihood)
        return self.ranker.rerank(self.graph.inputs(raw), raw["candidates"])

    def add_golden_answers(self, raw: Raw, inputs: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Add to each row: texts and scores, best first; log_prob of the best; the trigger's probability and threshold, if there is one.

        tied: further texts whose score is that of the last one up to rounding, which decides what of them an exported model lists.
        ambiguous: rounding decides which cells of the index are visited. raw: the rows as callers send them; inputs: their features as
        the model takes them.
        """
        candidates = self.candidates(raw, inputs)
        logits = candidates.scores.numpy().astype(np.float64)
        probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])
        best_first = np.argsort(-probabilities, axis=1, kind="stable")
        all_numbers = candidates.at(tf.constant(best_first)).numpy()
        count = min(CANDIDATES, len(self.responses()))
        for row, shares, order, numbers in zip(rows, probabilities, best_first, all_numbers, strict=True):
            ranked = shares[order]
            num_tied = int(np.count_nonzero(ranked[count:] >= ranked[count - 1] * (1 - TIE)))
            texts = [self.responses()[number].text if number >= 0 else "" for number in numbers[: count + num_tied]]
            row |= {"texts": texts[:count], "scores": ranked[:count].tolist()}
            row["log_prob"] = math.log(max(float(ranked[0]), 1e-300))
            if tied := list(filter(None, texts[count:])):
                row["tied"] = tied
        if isinstance(self.ranker, Matching):
            for row, ambiguous in zip(rows, self.ranker.ambiguous(inputs), strict=True):
                row["ambiguous"] = bool(ambiguous)
        if isinstance(self.ranker, Likelihood):
            candidates = tf.constant([[encode(text) for text in row["texts"]] for row in rows])
            for row, log_probs in zip(rows, self.ranker.rerank(inputs, candidates)["log_probs"].numpy(), strict=True):
                row["candidates"] = log_probs.tolist()
        if self.trigger is not None:
            threshold = float(self.trigger.threshold)
            for row, probability in zip(rows, self.trigger.probability(raw).numpy().tolist(), strict=True):
                row["trigger"] = {"probability": probability, "threshold": threshold}


def with_best(outputs: Tensors) -> Tensors:
    """The outputs with `answer` [B], the first reply, and its `score` [B]."""
    return {"answer": outputs["replies"][:, 0], "score": outputs["scores"][:, 0], **outputs}
