"""The outputs of a model that ranks a response set, in graph.   Shapes: B batch, R responses, N replies, K candidates."""

import functools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.answers._matching import Matching
from textpipe.answers._response_set import Response
from textpipe.decoding import _bounds
from textpipe.savedmodel import signatures
from textpipe.savedmodel.model_rows import encode
from textpipe.savedmodel.signatures import Input, Signature
from textpipe.servable import tracing
from textpipe.servable.tracing import Graph, Raw, Tensors

REPLIES = 3
CANDIDATES = 10  # of the signature `nbest`
OPTIONS = "options"
TAKEN = -1e10  # the score of a reply that may not be chosen


class Output(tf.Module):
    """Replies from a response set: {field: [B]} -> outputs by name.

    responses: the set. prior_weight: of the log-probability of a response among all training replies, which is added to its
    score. Trained against the replies of other rows, which are drawn by how frequent they are, a model that matches gives the
    probability of a reply given the message over that of the reply alone, up to a constant: with a weight of 1 their sum ranks by
    the probability given the message; less suggests rarer replies.
    """

    decode = None
    bounds: Mapping[str, Any] = MappingProxyType({"num_replies": (1, 100)})

    def __init__(self, graph: Graph, responses: Sequence[Response], *, prior_weight: float | None = None):
        super().__init__(name="output")
        self._graph = lambda: graph  # an attribute would be saved with this one
        self.responses = lambda: tuple(responses)
        self.texts = tf.constant([encode(one.text) for one in responses])  # [R]
        intents = {name: number for number, name in enumerate(dict.fromkeys(one.intent for one in responses))}
        # A response without an intent is like no other.
        self.intents = tf.constant(
            [intents[one.intent] if one.intent else len(intents) + at for at, one in enumerate(responses)], tf.int32
        )
        self.shown_intents = tf.constant([encode(one.intent) for one in responses])
        self.polarity = tf.constant([one.polarity for one in responses], tf.int32)
        counts = np.array([max(1, one.count) for one in responses], np.float64)
        self.ranker = Matching(graph, self.texts)
        prior_weight = self.ranker.prior_weight if prior_weight is None else prior_weight
        self.prior = tf.constant(prior_weight * np.log(counts / counts.sum()), tf.float32)

    @property
    def graph(self) -> Graph:
        """The graph that this is a part of."""
        return self._graph()

    @property
    def labels(self) -> list[str] | None:
        """None: a response set is no set of classes."""
        return None

    def scores(self, raw: Raw, inputs: Mapping[str, Any] | None = None) -> tf.Tensor:
        """The score of each response, [B, R]. inputs: the features of the rows, if already computed."""
        return self.ranker.scores(self.graph.inputs(raw) if inputs is None else inputs) + self.prior

    def answer(self, raw: Raw) -> Tensors:
        """Three replies of three intents to each message, with the probability of each in the whole set.

        {"message": ["Are you free at 5?"]}
        -> {"answer": ["Yes, I am."], "score": [0.4], "replies": [["Yes, I am.", "Let me check.", "No, sorry."]],
            "scores": [[0.4, 0.2, 0.1]], "intents": [["yes", "check", "no"]]}
        """
        found = self.replies(raw, tf.constant(REPLIES), tf.constant(True))
        return {"answer": found["replies"][:, 0], "score": found["scores"][:, 0], **found}

    def answer_with_options(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """As many replies as num_replies says, with or without diversity. The call fails for a number outside its bounds."""
        options = _bounds.check_bounds({"num_replies": inputs["num_replies"]}, dict(self.bounds))
        return self.replies(inputs, options["num_replies"], inputs["diverse"])

    def replies(self, raw: Raw, count: tf.Tensor, diverse: tf.Tensor) -> Tensors:
        """replies [B, N], their probabilities and their intents; of a set with fewer intents the last places are empty texts."""
        logits = self.scores(raw)
        chosen = self.chosen(logits, count, diverse)  # [B, N]
        known = chosen >= 0
        places = tf.maximum(chosen, 0)
        probabilities = tf.gather(tf.nn.softmax(logits), places, batch_dims=1)
        return {
            "replies": tf.where(known, tf.gather(self.texts, places), ""),
            "scores": tf.where(known, probabilities, 0.0),
            "intents": tf.where(known, tf.gather(self.shown_intents, places), ""),
        }

    def chosen(self, logits: tf.Tensor, count: tf.Tensor, diverse: tf.Tensor) -> tf.Tensor:
        """The numbers of the replies [B, N], -1 where no more are left.

        One by one the highest score; with diversity only of intents not yet given, and if what was chosen before the last place is
        positive in part and never negative, the last is the best negative one; the other way round likewise (Kannan et al. 2016,
        section 5).
        """
        count = tf.minimum(count, tf.shape(logits)[1])
        rows = tf.shape(logits)[0]

        def step(at: tf.Tensor, free: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, ...]:
            polarity = tf.where(chosen >= 0, tf.gather(self.polarity, tf.maximum(chosen, 0)), 0)  # [B, at]
            positive, negative = (tf.reduce_any(polarity == sign, axis=1) for sign in (1, -1))  # [B]
            wanted = tf.where(positive & ~negative, -1, tf.where(negative & ~positive, 1, 0))  # [B]
            wanted = tf.where(diverse & (at == count - 1) & (at > 0), wanted, 0)
            fits = free & ((wanted[:, None] == 0) | (self.polarity[None] == wanted[:, None]))  # [B, R]
            fits = tf.where(tf.reduce_any(fits, axis=1, keepdims=True), fits, free)
            best = tf.argmax(tf.where(fits, logits, TAKEN), axis=1, output_type=tf.int32)
            best = tf.where(tf.reduce_any(free, axis=1), best, -1)
            intent = tf.where(best >= 0, tf.gather(self.intents, tf.maximum(best, 0)), -1)
            gone = tf.where(
                diverse, self.intents[None] == intent[:, None], tf.range(tf.shape(logits)[1])[None] == best[:, None]
            )
            return at + 1, free & ~gone, tf.concat([chosen, best[:, None]], axis=1)

        found = tf.while_loop(
            lambda at, *_: at < count,
            step,
            (tf.constant(0), tf.ones_like(logits, tf.bool), tf.zeros([rows, 0], tf.int32)),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None]), tf.TensorShape([None, None])),
        )
        return found[2]

    def nbest(self, raw: Raw) -> Tensors:
        """The responses of the highest scores, without diversity: texts [B, K] and scores [B, K], their probabilities."""
        logits = self.scores(raw)
        scores, places = tf.math.top_k(tf.nn.softmax(logits), min(CANDIDATES, len(self.responses())))
        return {"texts": tf.gather(self.texts, places), "scores": scores}

    def score(self, raw: Raw) -> Tensors:
        """How probable a given reply is beside the response set: log_prob [B] and probability [B].

        The reply need not be in the set; it has no prior then.
        """
        graph = self.graph
        inputs = graph.inputs(raw)
        logits = self.scores(raw, inputs)
        own = self.ranker.reply_scores(inputs, raw)
        same = raw[graph.target][:, None] == self.texts[None]  # [B, R]
        member = tf.reduce_any(same, axis=1)
        own += tf.reduce_sum(tf.where(same, self.prior[None], 0.0), axis=1)
        whole = tf.reduce_logsumexp(logits, axis=1)
        whole = tf.where(member, whole, tf.reduce_logsumexp(tf.stack([whole, own]), axis=0))
        return {"log_prob": own - whole, "probability": tf.exp(own - whole)}

    def signatures(self) -> list[Signature]:
        """All of them."""
        graph, rows = self.graph, self.graph.row_inputs
        options = {
            "num_replies": Input(signatures.OPTION, "int32", ()),
            "diverse": Input(signatures.OPTION, "bool", ()),
        }
        defaults = {"num_replies": tf.constant(REPLIES), "diverse": tf.constant(True)}
        return [
            Signature("serving_default", rows, signatures.ANSWER, call=self.answer, mergeable=True),
            Signature("nbest", rows, signatures.ANSWER, call=self.nbest, mergeable=True),
            Signature(OPTIONS, {**rows, **options}, signatures.ANSWER, call=self.answer_with_options, defaults=defaults),
            Signature("features", rows, signatures.FEATURES, call=functools.partial(tracing.features, graph)),
            Signature("score", {**rows, **graph.target_input}, signatures.LIKELIHOOD, call=self.score),
            Signature("tokens", rows, signatures.TOKEN_COUNTS, call=functools.partial(tracing.token_counts, graph)),
        ]  # fmt: skip

    def add_golden_answers(self, raw: Raw, inputs: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Fill in texts and scores of each row, best first, and log_prob of the best.

        raw: the rows as callers send them; inputs: their features as the model takes them.
        """
        logits = self.scores(raw, inputs).numpy().astype(np.float64)
        probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])
        for row, shares in zip(rows, probabilities, strict=True):
            order = np.argsort(-shares, kind="stable")[:CANDIDATES]
            texts = [one.text for one in self.responses()]
            row |= {"texts": [texts[at] for at in order], "scores": [float(shares[at]) for at in order]}
            row["log_prob"] = math.log(max(float(shares[order[0]]), 1e-300))
