"""The outputs of a model that writes text, in graph.   Shapes: B batch, N hypotheses, T source, U target."""

import functools
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import tensorflow as tf

from textpipe.config import plugins
from textpipe.config.sections import Section
from textpipe.decoding import _bounds, _search
from textpipe.errors import ConfigError
from textpipe.savedmodel import signatures
from textpipe.savedmodel.signatures import Input, Search, Signature
from textpipe.servable import tracing
from textpipe.servable.tracing import Graph, Raw, Tensors
from textpipe.text.unknown import Replacement
from textpipe.training import likelihood

BLANK_PATTERN = r"[\s\p{Z}\p{Cc}\p{Cf}]*"
OPTIONS, DEADLINE = "options", "deadline"


class TargetEncoder:
    """The target's codec for texts that are no data, such as a prefix: they are normalized as the field's data were."""

    def __init__(self, graph: Graph):
        self.codec, self.graph = graph.features[graph.target].codec, graph
        self.unk_id, self.end_id = self.codec.unk_id, self.codec.end_id

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """[N] string -> ids without an end [N, None]."""
        return self.codec.encode(self.graph.clean(self.graph.target, text))


class Output(tf.Module):
    """What a model that writes text says of rows: {field: [B]} -> outputs by name.

    decode: a decoding/ Config; lexicon: words to put for unknown ones; bounds: upper bounds of the decoder's options, where
    not its own; attends: whether the model looks back at the source.
    """

    labels = None

    def __init__(
        self,
        graph: Graph,
        decode: Section,
        *,
        lexicon: Mapping[str, str] | None = None,
        bounds: Mapping[str, float] | None = None,
        attends: bool = True,
    ):
        super().__init__(name="output")
        # What is no function would be saved with the graph.
        encoder, self._graph, self._decode = TargetEncoder(graph), lambda: graph, lambda: decode
        self._encoder = lambda: encoder
        useless = () if attends else ("coverage_penalty",)
        limits = _bounds.bounds(self.decoder, decode, bounds, useless)
        self._bounds = lambda: limits
        self.unknown = None
        if getattr(decode, "replace_unknown", False):
            for name in (*graph.sources, graph.target):
                if not hasattr(getattr(graph.features[name], "codec", None), "tokens"):
                    raise ConfigError(
                        f"[decode] replace_unknown: {name!r} has no words to put for unknown ones; set [tokenize] codec "
                        'to "words", or leave replace_unknown out'
                    )
            self.unknown = Replacement(lexicon)

    @property
    def graph(self) -> Graph:
        """The graph that this is a part of."""
        return self._graph()

    @property
    def decode(self) -> Any:
        """The decoder's Config."""
        return self._decode()

    @property
    def bounds(self) -> _bounds.Bounds:
        """The lowest and the highest value of each option that is a number."""
        return self._bounds()

    @property
    def decoder(self) -> ModuleType:
        """The decoding/ module."""
        return plugins.find("decoding", self.decode.kind)

    def answer(self, raw: Raw) -> Tensors:
        """The best answer to each row, and its log-probability as the decoder ranks by: answer [B], score [B].

        The answer to a blank text is the empty text, with score 0, unless it must begin with a prefix or hold phrases:
        it is certain, and nothing is searched.
        """
        found = self.detokenize(self.generate(self.search_inputs(raw), n_best=1), raw)
        return {"answer": found["texts"][:, 0], "score": found["scores"][:, 0]}

    def nbest(self, raw: Raw) -> Tensors:
        """The N best answers, best first: texts [B, N], scores [B, N]."""
        return self.detokenize(self.generate(self.search_inputs(raw)), raw)

    def answer_with_options(self, given: Mapping[str, tf.Tensor]) -> Tensors:
        """As nbest, with the decoder's settings set for this call: the source fields' [B] and all of `defaults`.

        Options outside of their bounds fail, and so does a search that its deadline cuts short.
        """
        sources = self.graph.sources
        options = {name: value for name, value in given.items() if name not in sources}
        options = _bounds.bounded(options, self.bounds)
        for name in set(self.decoder.TEXTS) & set(_bounds.TOKENS):
            options[name] = _bounds.short(name, options[name], self.defaults()[name], self._encoder())
        return self.detokenize(self.generate(self.search_inputs(given), options), given)

    def generate(
        self, inputs: Any, options: Tensors | None = None, *, n_best: int | None = None, model: Any = None
    ) -> Tensors:
        """What the decoder finds for {field: ids [B, T]}: ids [B, N, U], scores [B, N], attention [B, N, U, T], ...

        options: of the decoder's OPTIONS and TEXTS, in place of its settings. n_best: how many answers are wanted, for a
        decoder that is done the sooner the fewer they are; it may give more. model: to be asked in place of the graph's.
        """
        config, own = self.decode, self.graph.model
        if n_best is not None and "n_best" in type(config).model_fields:
            config = config.model_copy(update={"n_best": n_best})
        found = self.decoder.decode(model or own, inputs, config, options, codec=self._encoder())
        blank = _search.nothing(_search.source_ids(own, inputs), own.pad_id)
        for name in self.decoder.TEXTS:  # what the answer must hold it holds
            text = (options or {}).get(name, self.defaults()[name])
            blank &= tf.strings.regex_full_match(text, BLANK_PATTERN)
        return _search.emptied(found, blank, own.end_id)

    def search_inputs(self, raw: Raw, inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What is decoded: {field: [B]} -> {field: ids [B, T]}, those of the rows, but of blank ones the end alone.

        Blank is a row whose texts hold only white space, control and format characters after normalization, known to the
        vocabulary or not: such a row has the empty answer. inputs: the rows' features, where they are there already.
        """
        graph = self.graph
        found = dict(graph.inputs(raw) if inputs is None else inputs)
        texts = [name for name in graph.sources if graph.has_text(name)]
        blanks = [tf.strings.regex_full_match(graph.clean(name, raw[name]), BLANK_PATTERN) for name in texts]
        blank = functools.reduce(tf.logical_and, blanks)
        for name in texts:
            end = tf.where(
                tf.equal(tf.range(tf.shape(found[name])[1]), 0), graph.model.end_id, graph.model.pad_id
            )  # [T]
            found[name] = tf.where(blank[:, None], end, found[name])
        return found

    def detokenize(self, found: Tensors, given: Mapping[str, tf.Tensor]) -> Tensors:
        """A decoder's ids [B, N, U] as texts [B, N]; given: the source texts {field: [B]}."""
        graph = self.graph
        rows, beams, length = tf.unstack(tf.shape(found["ids"]))
        ids, codec = tf.reshape(found["ids"], [rows * beams, length]), graph.features[graph.target].codec
        if self.unknown is None:
            texts = codec.decode(ids)
        else:
            tokens = graph.features[graph.source].codec.tokens(graph.clean(graph.source, given[graph.source]))
            unknown = self.unknown(tokens, found["attention"])  # [B, N, U]
            texts = codec.decode(ids, tf.reshape(unknown, tf.shape(ids)))
        return {"texts": tf.reshape(texts, [rows, beams]), "scores": found["scores"]}

    def defaults(self) -> dict[str, Any]:
        """What `options` takes beside the text, with the value that changes nothing: {name: tensor or NumPy value}.

        Scalars of the decoder's OPTIONS (0 for a setting that is none), [1] strings of its TEXTS, and the deadline, in
        seconds since 1970 (0 for none), at which the search ends and the call fails.
        """
        config = self.decode
        values = {name: tf.constant(getattr(config, name) or 0, dtype) for name, dtype in self.decoder.OPTIONS.items()}
        for name in self.decoder.TEXTS:
            text = getattr(config, name)
            values[name] = tf.constant([text if isinstance(text, str) else "\n".join(text)])
        return values | {DEADLINE: tf.constant(0.0, tf.float64)}

    def attention(self, raw: Raw) -> Tensors:
        """Where the best answer looked: weights [B, U, T], its target_tokens [B, U], and source_tokens [B, T].

        alignment [B, U] is the place of the source token that each target token looked at most; -1 behind the end and
        for models without attention.
        """
        features, graph = self.graph.features, self.graph
        inputs = self.search_inputs(raw)
        found = self.generate(inputs, n_best=1)
        weights = found["attention"][:, 0]
        most = tf.argmax(weights, axis=2, output_type=tf.int32)
        return {
            "weights": weights,
            "alignment": tf.where(tf.reduce_max(weights, axis=2) > 0, most, -1),
            "source_tokens": features[graph.source].codec.pieces(_search.source_ids(graph.model, inputs)),
            "target_tokens": features[graph.target].codec.pieces(found["ids"][:, 0]),
        }

    def score(self, raw: Raw) -> Tensors:
        """How probable given answers are: {source field: [B], target field: [B]} -> by pair.

        log_prob [B] (natural logarithm of the answer's probability, its end included), tokens [B], and by token
        log_probs [B, U] and target_tokens [B, U], 0 and "" behind the end; cut [B] says where the answer was longer than
        the model reads and only its beginning was scored. The empty answer to a blank source is certain, as the decoders
        have it: log_prob 0.
        """
        graph = self.graph
        inputs, given, feature = self.search_inputs(raw), raw[graph.target], graph.features[graph.target]
        ids = graph.encode(graph.target, given)  # [B, U]
        log_probs = self.token_log_probs(inputs, ids)
        real = ids != feature.codec.pad_id
        return {
            "log_prob": tf.reduce_sum(log_probs, axis=1),
            "tokens": tf.math.count_nonzero(real, axis=1, dtype=tf.int32),
            "log_probs": log_probs,
            "target_tokens": tf.where(real, feature.codec.pieces(ids), ""),
            "cut": feature.codec.encode(graph.clean(graph.target, given)).row_lengths() >= feature.max_length,
        }

    def token_log_probs(self, inputs: Mapping[str, Any], ids: tf.Tensor) -> tf.Tensor:
        """Log-probabilities [B, U] of given answers' ids [B, U], 0 for the empty answer to a blank source."""
        model = self.graph.model
        source = _search.source_ids(model, inputs)
        certain = _search.nothing(source, model.pad_id) & _search.nothing(ids, model.pad_id)
        return tf.where(certain[:, None], 0.0, likelihood.of_tokens(model, inputs, ids))

    def tokens(self, raw: Raw) -> Tensors:
        """How long texts and answers are in tokens: as tracing.tokens, and target_tokens [B]."""
        graph, found = self.graph, tracing.token_counts(self.graph, raw)
        ids = graph.encode(graph.target, raw[graph.target])
        return found | {"target_tokens": tracing.count_tokens(ids, graph.features[graph.target].codec)}

    @property
    def can_stream(self) -> bool:
        """Whether answers can be given token by token: not where words are put for unknown ones at the end."""
        return self.unknown is None

    @functools.cached_property
    def stream(self) -> Any:
        """The decoder of such answers."""
        from textpipe.decoding._stream import Stream

        return Stream(self.graph.model, self.decode, self._encoder())

    def begin(self, raw: Raw) -> Tensors:
        """The state of a greedy answer of no tokens yet; see decoding/_stream.py."""
        return self.stream.begin(self.search_inputs(raw))

    def advance(self, state: Mapping[str, tf.Tensor]) -> Tensors:
        """A state -> the state with a token more, done [B], and text [B] so far."""
        found = self.stream.advance(state)
        return {**found, "text": self.graph.features[self.graph.target].codec.decode(found["ids"])}

    def state_inputs(self) -> dict[str, Input]:
        """What `advance` takes; to be asked for when `begin` has been traced."""
        return {
            name: Input(signatures.STATE_INPUT, spec.dtype.name, tuple(spec.shape.as_list()))
            for name, spec in self.stream.specs().items()
        }

    def signatures(self) -> list[Signature]:
        """All of them."""
        graph, rows, defaults = self.graph, self.graph.row_inputs, self.defaults()
        pairs = {**rows, **graph.target_input}
        options = {name: Input(signatures.OPTION) for name in self.decoder.TEXTS}
        for name, value in defaults.items():
            kind = signatures.DEADLINE if name == DEADLINE else signatures.OPTION
            options.setdefault(name, Input(kind, value.dtype.name, ()))
        best = Search(OPTIONS, {"answer": "texts", "score": "scores"}, first=True)
        every = Search(OPTIONS, {"texts": "texts", "scores": "scores"})
        found = [
            Signature("serving_default", rows, signatures.ANSWER, call=self.answer, mergeable=True, search=best),
            Signature("nbest", rows, signatures.ANSWER, call=self.nbest, mergeable=True, search=every),
            Signature(
                OPTIONS, {**rows, **options}, signatures.ANSWER, call=self.answer_with_options, defaults=defaults
            ),
            Signature("features", rows, signatures.FEATURES, call=functools.partial(tracing.features, graph)),
            Signature("score", pairs, signatures.LIKELIHOOD, call=self.score),
            Signature("tokens", pairs, signatures.TOKEN_COUNTS, call=self.tokens),
            Signature("attention", rows, signatures.ATTENTION, call=self.attention),
        ]
        if self.can_stream:
            found.append(Signature("begin", rows, signatures.STATE, call=self.begin))
            found.append(
                Signature("advance", {}, signatures.STATE, call=self.advance, follows="begin", state=self.state_inputs)
            )
        return found

    def golden(self, raw: Raw, inputs: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Fill in texts and scores of each row, best first, and log_prob: what the best of them scores as a given answer.

        raw: the rows as callers send them; inputs: their features as the model takes them.
        """
        graph = self.graph
        inputs = self.search_inputs(raw, inputs)
        found = self.detokenize(self.generate(inputs), raw)
        for row, texts, scores in zip(rows, found["texts"].numpy(), found["scores"].numpy(), strict=True):
            row |= {"texts": [text.decode() for text in texts], "scores": scores.tolist()}
        forced = graph.encode(graph.target, found["texts"][:, 0])
        sums = tf.reduce_sum(self.token_log_probs(inputs, forced), axis=1)
        for row, log_prob in zip(rows, sums.numpy().tolist(), strict=True):
            row["log_prob"] = log_prob
