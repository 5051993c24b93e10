"""The outputs of a model that generates text, in graph.   Shapes: B batch, N hypotheses, T source, U target."""

import functools
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import tensorflow as tf

from textpipe.answers import _attention
from textpipe.answers._target_encoder import TargetEncoder
from textpipe.config import plugins
from textpipe.config.sections import Section
from textpipe.decoding import _bounds, _search
from textpipe.errors import ConfigError
from textpipe.savedmodel import signatures
from textpipe.savedmodel.signatures import Input, Search, Signature
from textpipe.servable import tracing
from textpipe.servable.tracing import Graph, Raw, Tensors
from textpipe.text.unknown import UnknownWordReplacer
from textpipe.training import likelihood

BLANK_PATTERN = r"[\s\p{Z}\p{Cc}\p{Cf}]*"
OPTIONS, DEADLINE = "options", "deadline"


class Output(tf.Module):
    """The outputs of a text generator: {field: [B]} -> outputs by name.

    decode: a decoding/ Config; lexicon: translations that replace unknown words; bounds: upper bounds of the decoder's
    options that replace its own; attends: whether the model attends to the source.
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
        # In lambdas: other attributes would be saved with the graph.
        encoder, self._graph, self._decode = TargetEncoder(graph), lambda: graph, lambda: decode
        self._encoder = lambda: encoder
        unavailable = () if attends else ("coverage_penalty",)
        limits = _bounds.bounds(self.decoder, decode, bounds, unavailable)
        self._bounds = lambda: limits
        self.unknown = None
        if getattr(decode, "replace_unknown", False):
            for name in (*graph.sources, graph.target):
                if not hasattr(getattr(graph.features[name], "codec", None), "tokens"):
                    raise ConfigError(
                        f"[decode] replace_unknown: {name!r} has no words to replace unknown ones with; set [tokenize] codec "
                        'to "words", or leave replace_unknown out'
                    )
            self.unknown = UnknownWordReplacer(lexicon)

    @property
    def graph(self) -> Graph:
        """The graph that this module belongs to."""
        return self._graph()

    @property
    def decode(self) -> Any:
        """The decoder's Config."""
        return self._decode()

    @property
    def bounds(self) -> _bounds.Bounds:
        """The lowest and highest value of each numeric option."""
        return self._bounds()

    @property
    def decoder(self) -> ModuleType:
        """The decoding/ module."""
        return plugins.find("decoding", self.decode.kind)

    def answer(self, raw: Raw) -> Tensors:
        """The best answer of each row and the score that the decoder ranks by: answer [B], score [B].

        The answer to a blank text is the empty text with score 0, without a search, unless a prefix or phrases are
        required.
        """
        outputs = self.detokenize(self.generate(self.search_inputs(raw), self.until(raw), n_best=1), raw)
        return {"answer": outputs["texts"][:, 0], "score": outputs["scores"][:, 0]}

    def nbest(self, raw: Raw) -> Tensors:
        """The N best answers, best first: texts [B, N], scores [B, N]."""
        return self.detokenize(self.generate(self.search_inputs(raw), self.until(raw)), raw)

    def until(self, raw: Raw) -> Tensors:
        """The deadline as an option of the search, where the inputs have one; nothing outside of a graph can stop a search."""
        return {DEADLINE: raw[DEADLINE]} if DEADLINE in raw else {}

    def answer_with_options(self, inputs: Mapping[str, tf.Tensor]) -> Tensors:
        """As nbest, with decoder settings of this call. inputs: the source fields [B] and all names of `defaults`.

        The call fails for options outside their bounds, and when the deadline ends the search.
        """
        sources = self.graph.sources
        options = {name: value for name, value in inputs.items() if name not in sources}
        options = _bounds.check_bounds(options, self.bounds)
        for name in set(self.decoder.TEXTS) & set(_bounds.TOKENS):
            options[name] = _bounds.check_tokens(name, options[name], self.defaults()[name], self._encoder())
        return self.detokenize(self.generate(self.search_inputs(inputs), options), inputs)

    def generate(
        self, inputs: Any, options: Tensors | None = None, *, n_best: int | None = None, model: Any = None
    ) -> Tensors:
        """Run the decoder: {field: ids [B, T]} -> ids [B, N, U], scores [B, N], attention [B, N, U, T], ...

        options: the decoder's OPTIONS and TEXTS, in place of its settings. n_best: the number of answers needed, for
        decoders that then end sooner; they may return more. model: used in place of the graph's.
        """
        config, graph_model = self.decode, self.graph.model
        if n_best is not None and "n_best" in type(config).model_fields:
            config = config.model_copy(update={"n_best": n_best})
        outputs = self.decoder.decode(model or graph_model, inputs, config, options, codec=self._encoder())
        blank = _search.is_empty(_search.source_ids(graph_model, inputs), graph_model.pad_id)
        for name in self.decoder.TEXTS:  # a row with required text is not blank
            text = (options or {}).get(name, self.defaults()[name])
            blank &= tf.strings.regex_full_match(text, BLANK_PATTERN)
        return _search.with_empty_answers(outputs, blank, graph_model.end_id)

    def search_inputs(self, raw: Raw, inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The decoder's inputs: {field: [B]} -> {field: ids [B, T]}, with only the end token for blank rows.

        A row is blank when its normalized texts have only white space, control and format characters, whether in the
        vocabulary or not; its answer is empty. inputs: the rows' features, if already computed. Without texts, the model's
        source_ids tell which rows are blank.
        """
        graph = self.graph
        features = dict(graph.inputs(raw) if inputs is None else inputs)
        texts = [name for name in graph.sources if graph.has_text(name)]
        if not texts:
            return features
        blanks = [tf.strings.regex_full_match(graph.clean(name, raw[name]), BLANK_PATTERN) for name in texts]
        blank = functools.reduce(tf.logical_and, blanks)
        for name in texts:
            end = tf.where(
                tf.equal(tf.range(tf.shape(features[name])[1]), 0), graph.model.end_id, graph.model.pad_id
            )  # [T]
            features[name] = tf.where(blank[:, None], end, features[name])
        return features

    def detokenize(self, outputs: Tensors, raw: Raw) -> Tensors:
        """Convert a decoder's ids [B, N, U] to texts [B, N]; raw: the source texts {field: [B]}."""
        graph = self.graph
        rows, beams, length = tf.unstack(tf.shape(outputs["ids"]))
        ids, codec = tf.reshape(outputs["ids"], [rows * beams, length]), graph.features[graph.target].codec
        if self.unknown is None:
            texts = codec.decode(ids)
        else:
            tokens = graph.features[graph.source].codec.tokens(graph.clean(graph.source, raw[graph.source]))
            unknown = self.unknown(tokens, outputs["attention"])  # [B, N, U]
            texts = codec.decode(ids, tf.reshape(unknown, tf.shape(ids)))
        return {"texts": tf.reshape(texts, [rows, beams]), "scores": outputs["scores"]}

    def defaults(self) -> dict[str, Any]:
        """The inputs of `options` except the text, with defaults from the settings: {name: tensor or NumPy value}.

        Scalars for the decoder's OPTIONS (0 for None), [1] strings for its TEXTS, and the deadline in Unix seconds (0 for
        none) at which the search ends and the call fails.
        """
        config = self.decode
        values = {name: tf.constant(getattr(config, name) or 0, dtype) for name, dtype in self.decoder.OPTIONS.items()}
        for name in self.decoder.TEXTS:
            text = getattr(config, name)
            values[name] = tf.constant([text if isinstance(text, str) else "\n".join(text)])
        return values | {DEADLINE: tf.constant(0.0, tf.float64)}

    def attention(self, raw: Raw) -> Tensors:
        """The attention of the best answer; see _attention.describe."""
        inputs = self.search_inputs(raw)
        return _attention.describe(self.graph, inputs, self.generate(inputs, n_best=1))

    def score(self, raw: Raw) -> Tensors:
        """Score given answers: {source field: [B], target field: [B]} -> figures per pair.

        log_prob [B] (natural logarithm of the answer's probability, end token included), tokens [B], and per token
        log_probs [B, U] and target_tokens [B, U], 0 and "" after the end; cut [B] is true where the answer exceeds the
        model's max_length and only its beginning was scored. The empty answer to a blank source has log_prob 0, as in
        the decoders.
        """
        graph = self.graph
        inputs, answers, feature = self.search_inputs(raw), raw[graph.target], graph.features[graph.target]
        ids = graph.encode(graph.target, answers)  # [B, U]
        log_probs = self.token_log_probs(inputs, ids)
        real = ids != feature.codec.pad_id
        return {
            "log_prob": tf.reduce_sum(log_probs, axis=1),
            "tokens": tf.math.count_nonzero(real, axis=1, dtype=tf.int32),
            "log_probs": log_probs,
            "target_tokens": tf.where(real, feature.codec.pieces(ids), ""),
            "cut": feature.codec.encode(graph.clean(graph.target, answers)).row_lengths() >= feature.max_length,
        }

    def token_log_probs(self, inputs: Mapping[str, Any], ids: tf.Tensor) -> tf.Tensor:
        """Log-probabilities [B, U] of given answers' ids [B, U]; 0 for the empty answer to a blank source."""
        model = self.graph.model
        source = _search.source_ids(model, inputs)
        certain = _search.is_empty(source, model.pad_id) & _search.is_empty(ids, model.pad_id)
        return tf.where(certain[:, None], 0.0, likelihood.token_log_probs(model, inputs, ids))

    def tokens(self, raw: Raw) -> Tensors:
        """Lengths of texts and answers in tokens: as tracing.token_counts, and target_tokens [B]."""
        graph, counts = self.graph, tracing.token_counts(self.graph, raw)
        ids = graph.encode(graph.target, raw[graph.target])
        return counts | {"target_tokens": tracing.count_tokens(ids, graph.features[graph.target].codec)}

    @property
    def can_stream(self) -> bool:
        """Whether answers can be streamed token by token: not when unknown words are replaced at the end."""
        return self.unknown is None

    @functools.cached_property
    def stream(self) -> Any:
        """The decoder of streamed answers."""
        from textpipe.decoding._stream import Stream

        return Stream(self.graph.model, self.decode, self._encoder())

    def begin(self, raw: Raw) -> Tensors:
        """The state of a greedy answer with no tokens yet; see decoding/_stream.py."""
        return self.stream.begin(self.search_inputs(raw))

    def advance(self, state: Mapping[str, tf.Tensor]) -> Tensors:
        """A state -> the state with one more token, done [B], and text [B] so far."""
        advanced = self.stream.advance(state)
        return {**advanced, "text": self.graph.features[self.graph.target].codec.decode(advanced["ids"])}

    def state_inputs(self) -> dict[str, Input]:
        """The inputs of `advance`; known once `begin` has been traced."""
        return {
            name: Input(signatures.STATE_INPUT, spec.dtype.name, tuple(spec.shape.as_list()))
            for name, spec in self.stream.specs().items()
        }

    def signatures(self) -> list[Signature]:
        """All signatures."""
        graph, rows, defaults = self.graph, self.graph.row_inputs, self.defaults()
        pairs = {**rows, **graph.target_input}
        options = {name: Input(signatures.OPTION) for name in self.decoder.TEXTS}
        for name, value in defaults.items():
            kind = signatures.DEADLINE if name == DEADLINE else signatures.OPTION
            options.setdefault(name, Input(kind, value.dtype.name, ()))
        deadline, no_deadline = {DEADLINE: options[DEADLINE]}, {DEADLINE: defaults[DEADLINE]}
        best = Search(OPTIONS, {"answer": "texts", "score": "scores"}, first=True)
        nbest = Search(OPTIONS, {"texts": "texts", "scores": "scores"})
        definitions = [
            Signature("serving_default", rows, signatures.ANSWER, call=self.answer, mergeable=True, search=best),
            Signature("nbest", rows, signatures.ANSWER, call=self.nbest, mergeable=True, search=nbest),
            *(
                Signature(f"{name}_until", {**rows, **deadline}, signatures.ANSWER, call=call, defaults=no_deadline)
                for name, call in (("answer", self.answer), ("nbest", self.nbest))
            ),
            Signature(
                OPTIONS, {**rows, **options}, signatures.ANSWER, call=self.answer_with_options, defaults=defaults
            ),
            Signature("features", rows, signatures.FEATURES, call=functools.partial(tracing.features, graph)),
            Signature("score", pairs, signatures.LIKELIHOOD, call=self.score),
            Signature("tokens", pairs, signatures.TOKEN_COUNTS, call=self.tokens),
            Signature("attention", rows, signatures.ATTENTION, call=self.attention),
        ]
        if self.can_stream:
            definitions.append(Signature("begin", rows, signatures.STATE, call=self.begin))
            definitions.append(
                Signature("advance", {}, signatures.STATE, call=self.advance, follows="begin", state=self.state_inputs)
            )
        return definitions

    def add_golden_answers(self, raw: Raw, inputs: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Add texts and scores to each row, best first, and log_prob: the score of the best text as a given answer.

        raw: the rows as callers send them; inputs: their features, as model inputs.
        """
        graph = self.graph
        inputs = self.search_inputs(raw, inputs)
        outputs = self.detokenize(self.generate(inputs), raw)
        for row, texts, scores in zip(rows, outputs["texts"].numpy(), outputs["scores"].numpy(), strict=True):
            row |= {"texts": [text.decode() for text in texts], "scores": scores.tolist()}
        best = graph.encode(graph.target, outputs["texts"][:, 0])
        sums = tf.reduce_sum(self.token_log_probs(inputs, best), axis=1)
        for row, log_prob in zip(rows, sums.numpy().tolist(), strict=True):
            row["log_prob"] = log_prob
