"""The whole way of a text as one graph: clean, normalize, encode, model, decode.

The same object answers in evaluate and is written by export, so the reported figure is that of the served model.

Shapes: B batch, C classes, D sparse dimension, K non-zero features, N hypotheses, T source, U target.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from textpipe import ensembles, rooms, signatures
from textpipe.config import Plugin, Section
from textpipe.decoding import _bounds, _fits, _search
from textpipe.errors import ConfigError
from textpipe.fields import Field, Sizes
from textpipe.signatures import EXAMPLES, Tensors
from textpipe.text import vectorizer
from textpipe.text.normalizer import Normalizer
from textpipe.text.unknown import Replacement

BLANK = r"[\s\p{Z}\p{Cc}\p{Cf}]*"


class Written:
    """A field's codec for texts that are no data, such as a prefix: they are normalized as the field's data were."""

    def __init__(self, codec: Any, clean: Callable[[str, tf.Tensor], tf.Tensor], field: str):
        self.codec, self.clean, self.field = codec, clean, field
        self.unk_id, self.end_id = codec.unk_id, codec.end_id

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """[N] string -> ids without an end [N, None]."""
        return self.codec.encode(self.clean(self.field, text))


class Servable(tf.Module):
    """Text in, answer out, for classifiers and generators alike.

    fields: a task's FIELDS; normalizer and features {field: feature or Labels} as training used them; decode: a
    decoding/ Config, which generators need; bounds: upper bounds of its options, where not the decoder's own;
    attends: whether the model looks back at the source. The Keras model is reached through a closure and its variables
    through a list: what is saved is then the graph and its weights, without a trace of Keras, and loads where Keras is
    absent.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        normalizer: Normalizer,
        features: Mapping[str, Any],
        model: Any,
        *,
        decode: Section | None = None,
        lexicon: Mapping[str, str] | None = None,
        bounds: Mapping[str, float] | None = None,
        attends: bool = True,
    ):
        super().__init__(name="servable")
        self.source = next(field.name for field in fields if field.side == "source")
        self.target = next(field.name for field in fields if field.side == "target")
        self.generates = next(field.kind for field in fields if field.side == "target") == "text"
        # Traced once for all signatures: a pipeline's steps are a few hundred operations.
        cleaners = {field.name: normalizer.traced(field.name) for field in fields if field.kind == "text"}
        self.cleaners = lambda: cleaners
        self.normalizer = normalizer
        self.features = dict(features)
        self.weights = [variable.value for variable in model.weights]
        self.reach = lambda: model
        self.decode = lambda: decode
        useless = () if attends else ("coverage_penalty",)
        limits = _bounds.bounds(self.decoder, decode, bounds, useless) if self.generates and decode else {}
        self.bounds = lambda: limits  # what is no function would be saved with the graph
        self.unknown = None
        if self.generates and getattr(decode, "replace_unknown", False):
            for name in (self.source, self.target):
                if not hasattr(getattr(self.features[name], "codec", None), "tokens"):
                    raise ConfigError(
                        f"[decode] replace_unknown: {name!r} has no words to put for unknown ones; set [tokenize] codec "
                        'to "words", or leave replace_unknown out'
                    )
            self.unknown = Replacement(lexicon)
        self.written = Written(self.features[self.target].codec, self.clean, self.target) if self.generates else None

    @classmethod
    def load(
        cls,
        artifacts: Mapping[str, Path],
        task: str | ModuleType,
        decode: Section | None = None,
        *,
        ensemble: ensembles.Ensemble | None = None,
        bounds: Mapping[str, float] | None = None,
    ) -> "Servable":
        """From the artifacts of normalize, tokenize, vectorize and train, by stage name.

        decode: a decoding/ Config; greedy when None. Classifiers ignore it. ensemble: trained models that answer
        together with that of train. bounds: upper bounds of the decoder's options, where not its own.
        """
        module = rooms.find("tasks", task) if isinstance(task, str) else task
        described = json.loads((artifacts["train"] / "model.json").read_text(encoding="utf-8"))
        sizes = Sizes.from_tables(described["sizes"], module.FIELDS)
        config = Plugin.check("models", described["model"])
        decode = decode or Plugin.check("decoding", "greedy")
        if fault := next(_fits.faults(decode, config, ensemble), None):
            raise ConfigError(fault)
        model = rooms.find("models", described["model"]["kind"]).build(config, sizes, seed=0)
        model.load_weights(artifacts["train"] / "model.weights.h5")
        if ensemble:
            model = ensembles.joined(ensemble, model, artifacts["train"], module.FIELDS)
        return cls(
            module.FIELDS,
            Normalizer(artifacts["normalize"]),
            vectorizer.load_features(artifacts["vectorize"], artifacts["tokenize"], module.FIELDS),
            model,
            decode=decode,
            lexicon=vectorizer.load_lexicon(artifacts["tokenize"]),
            bounds=bounds,
            attends=_fits.attends(config, ensemble),
        )

    @property
    def model(self) -> Any:
        """The Keras model."""
        return self.reach()

    def inputs(self, texts: Mapping[str, tf.Tensor]) -> Any:
        """The model's input for raw source texts: {field: [B]} -> ids [B, T], or a sparse [B, D]."""
        return self.encode(self.source, texts[self.source])

    def encode(self, field: str, text: tf.Tensor) -> Any:
        """A field's raw texts as the feature training saw: [B] -> ids [B, T], or a sparse [B, D]."""
        return self.features[field](self.clean(field, text))

    def clean(self, field: str, text: tf.Tensor) -> tf.Tensor:
        """A field's raw texts, normalized: [B] -> [B]."""
        return self.cleaners()[field](text)

    def answer(self, texts: Mapping[str, tf.Tensor]) -> Tensors:
        """The best answer to each row and its score: {field: [B]} -> {"answer": [B], "score": [B], ...}.

        score: a classifier's probability of the answer, a generator's log-probability as its decoder ranks by. The
        answer of a generator to a blank text is the empty text, with score 0, unless it must begin with a prefix or hold
        phrases: it is certain, and nothing is searched.
        Classifiers add labels [B, C] and probabilities [B, C] over all classes, in training's order.

        {"text": ["I agree."]}
        -> {"answer": ["no"], "score": [0.9], "labels": [["no", "yes"]], "probabilities": [[0.9, 0.1]]}
        """
        if self.generates:
            found = self.spelled(self.decoded(self.searched(texts), n_best=1), texts)
            return {"answer": found["texts"][:, 0], "score": found["scores"][:, 0]}
        probabilities = self.probabilities(self.inputs(texts))  # [B, C]
        best = tf.argmax(probabilities, axis=1, output_type=tf.int32)  # [B]
        names = self.features[self.target].name(tf.range(tf.shape(probabilities)[1]))  # [C]
        return {
            "answer": tf.gather(names, best),
            "score": tf.reduce_max(probabilities, axis=1),
            "labels": tf.tile(names[None], [tf.shape(best)[0], 1]),
            "probabilities": probabilities,
        }

    def probabilities(self, inputs: Any) -> tf.Tensor:
        """Class probabilities [B, C] of a classifier; one logit is the log-odds of the second of two classes."""
        logits = tf.cast(self.model({self.source: inputs}, training=False), tf.float32)
        if logits.shape[-1] == 1:
            return tf.concat([tf.sigmoid(-logits), tf.sigmoid(logits)], axis=1)
        return tf.nn.softmax(logits)

    def log_probabilities(self, inputs: Any) -> tf.Tensor:
        """The logarithms of `probabilities` [B, C], also of those too small for a float."""
        logits = tf.cast(self.model({self.source: inputs}, training=False), tf.float32)
        if logits.shape[-1] == 1:
            return tf.concat([tf.math.log_sigmoid(-logits), tf.math.log_sigmoid(logits)], axis=1)
        return tf.nn.log_softmax(logits)

    @property
    def decoder(self) -> ModuleType:
        """The decoding/ module."""
        return rooms.find("decoding", self.decode().kind)

    def decoded(
        self, inputs: Any, options: Tensors | None = None, *, n_best: int | None = None, model: Any = None
    ) -> Tensors:
        """What the decoder finds for source ids [B, T]: ids [B, N, U], scores [B, N], attention [B, N, U, T], ...

        options: of the decoder's OPTIONS and TEXTS, in place of its settings. n_best: how many answers are wanted, for a
        decoder that is done the sooner the fewer they are; it may give more. model: to be asked in place of its own.
        """
        config = self.decode()
        if n_best is not None and "n_best" in type(config).model_fields:
            config = config.model_copy(update={"n_best": n_best})
        found = self.decoder.decode(model or self.model, {self.source: inputs}, config, options, codec=self.written)
        blank = _search.nothing(inputs, self.model.pad_id)
        for name in self.decoder.TEXTS:  # what the answer must hold it holds
            text = (options or {}).get(name, self.defaults()[name])
            blank &= tf.strings.regex_full_match(text, BLANK)
        return _search.emptied(found, blank, self.model.end_id)

    def searched(self, texts: Mapping[str, tf.Tensor], inputs: tf.Tensor | None = None) -> tf.Tensor:
        """The source ids [B, T] that are decoded: {field: [B]} -> those of the rows, but of blank ones the end alone.

        Blank is what holds only white space, control and format characters after normalization, known to the
        vocabulary or not: such a row has the empty answer. inputs: the rows' ids, where they are there already.
        """
        inputs = self.inputs(texts) if inputs is None else inputs
        blank = tf.strings.regex_full_match(self.clean(self.source, texts[self.source]), BLANK)
        end = tf.where(tf.equal(tf.range(tf.shape(inputs)[1]), 0), self.model.end_id, self.model.pad_id)  # [T]
        return tf.where(blank[:, None], end, inputs)

    def defaults(self) -> dict[str, Any]:
        """What `options` takes beside the text, with the value that changes nothing: {name: tensor or NumPy value}.

        Scalars of the decoder's OPTIONS (0 for a setting that is none), [1] strings of its TEXTS, and the deadline, in
        seconds since 1970 (0 for none), at which the search ends and the call fails.
        """
        config = self.decode()
        values = {name: tf.constant(getattr(config, name) or 0, dtype) for name, dtype in self.decoder.OPTIONS.items()}
        for name in self.decoder.TEXTS:
            text = getattr(config, name)
            values[name] = tf.constant([text if isinstance(text, str) else "\n".join(text)])
        return values | {signatures.DEADLINE: tf.constant(0.0, tf.float64)}

    def optional(self, given: Tensors) -> Tensors:
        """As nbest, with the decoder's settings set for this call: the source field's [B] and all of `defaults`.

        Options outside of their bounds fail, and so does a search that its deadline cuts short.
        """
        options = _bounds.bounded({name: value for name, value in given.items() if name != self.source}, self.bounds())
        for name in set(self.decoder.TEXTS) & set(_bounds.TOKENS):
            options[name] = _bounds.short(name, options[name], self.defaults()[name], self.written)
        return self.spelled(self.decoded(self.searched(given), options), given)

    def nbest(self, texts: Mapping[str, tf.Tensor]) -> Tensors:
        """The N best answers, best first: {field: [B]} -> {"texts": [B, N], "scores": [B, N]}."""
        return self.spelled(self.decoded(self.searched(texts)), texts)

    def spelled(self, found: Tensors, given: Mapping[str, tf.Tensor]) -> Tensors:
        """A decoder's ids [B, N, U] as texts [B, N]; given: the source texts {field: [B]}."""
        rows, beams, length = tf.unstack(tf.shape(found["ids"]))
        ids, codec = tf.reshape(found["ids"], [rows * beams, length]), self.features[self.target].codec
        if self.unknown is None:
            texts = codec.decode(ids)
        else:
            tokens = self.features[self.source].codec.tokens(self.clean(self.source, given[self.source]))
            unknown = self.unknown(tokens, found["attention"])  # [B, N, U]
            texts = codec.decode(ids, tf.reshape(unknown, tf.shape(ids)))
        return {"texts": tf.reshape(texts, [rows, beams]), "scores": found["scores"]}

    @property
    def streams(self) -> bool:
        """Whether answers can be given token by token: not where words are put for unknown ones at the end."""
        return self.generates and self.unknown is None

    @functools.cached_property
    def stream(self) -> Any:
        """The decoder of such answers."""
        from textpipe.decoding._stream import Stream

        return Stream(self.model, self.decode(), self.written)

    @functools.cache  # noqa: B019  one servable lives as long as its process
    def signature(self, name: str) -> Callable[..., Tensors]:
        """The exported function of this name, traced when it is first asked for; it takes [B] strings by input name."""
        texts, scalars = [self.source], {}
        if name == "advance":
            return signatures.advance(self)
        if name == "classify":
            texts = [EXAMPLES]
        elif name == "score" or (name == "tokens" and self.generates):
            texts = [self.source, self.target]
        elif name == "options":
            scalars = {name: value for name, value in self.defaults().items() if value.shape.rank == 0}
            texts += [name for name in self.defaults() if name not in scalars]
        return signatures.traced(self.methods()[name], *texts, scalars=scalars)

    def signatures(self) -> dict[str, Callable[..., Tensors]]:
        """All exported functions by signature name."""
        return {name: self.signature(name) for name in (*self.methods(), *(["advance"] if self.streams else []))}

    def methods(self) -> dict[str, Callable[[Mapping[str, tf.Tensor]], Tensors]]:
        """What answers each signature."""
        found = {"serving_default": self.answer}
        more = {"features": signatures.features, "score": signatures.score, "tokens": signatures.tokens}
        if self.generates:
            found |= {"nbest": self.nbest, "options": self.optional}
            more["attention"] = signatures.attention
            if self.streams:
                more["begin"] = signatures.begin
        else:
            more["classify"] = signatures.classify
        return found | {name: functools.partial(function, self) for name, function in more.items()}
