"""What an exported model tells beside its answers, and how its functions are traced; `servable` is a servable.Servable.

Shapes: B batch, C classes, K non-zero features, N hypotheses, T source, U target.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from textpipe.decoding import _search
from textpipe.training import likelihood

EXAMPLES = "inputs"  # what TensorFlow Serving calls the one input of a classify signature
DEADLINE = "deadline"  # the input of `options` that is no setting of a decoder
ABSENT = -1e9  # the log-probability of what cannot be; finite, so that JSON can carry it

Tensors = dict[str, tf.Tensor]


def attention(servable: Any, texts: Mapping[str, tf.Tensor]) -> Tensors:
    """Where the best answer looked: weights [B, U, T], its target_tokens [B, U], and source_tokens [B, T].

    alignment [B, U] is the place of the source token that each target token looked at most; -1 behind the end and
    for models without attention.
    """
    inputs = servable.searched(texts)
    found = servable.decoded(inputs, n_best=1)
    weights = found["attention"][:, 0]
    most = tf.argmax(weights, axis=2, output_type=tf.int32)
    return {
        "weights": weights,
        "alignment": tf.where(tf.reduce_max(weights, axis=2) > 0, most, -1),
        "source_tokens": servable.features[servable.source].codec.pieces(inputs),
        "target_tokens": servable.features[servable.target].codec.pieces(found["ids"][:, 0]),
    }


def features(servable: Any, texts: Mapping[str, tf.Tensor]) -> Tensors:
    """The model's input as dense rows: ids [B, T]; or indices [B, K], padded with -1, and values [B, K]."""
    inputs = servable.inputs(texts)
    if not isinstance(inputs, tf.SparseTensor):
        return {"ids": inputs}
    rows, columns = inputs.indices[:, 0], tf.cast(inputs.indices[:, 1], tf.int32)
    indices, values = (
        tf.RaggedTensor.from_value_rowids(flat, rows, nrows=inputs.dense_shape[0]) for flat in (columns, inputs.values)
    )
    return {"indices": indices.to_tensor(-1), "values": values.to_tensor()}


def score(servable: Any, texts: Mapping[str, tf.Tensor]) -> Tensors:
    """How probable the model holds given answers: {source field: [B], target field: [B]} -> by pair.

    Generators: log_prob [B] (natural logarithm of the answer's probability, its end included), tokens [B], and by
    token log_probs [B, U] and target_tokens [B, U], 0 and "" behind the end; cut [B] says where the answer was
    longer than the model reads and only its beginning was scored. The empty answer to a blank source is certain, as the
    decoders have it: log_prob 0. Classifiers: log_prob [B] and probability [B] of
    the label; one that is no class has probability 0 and log_prob -1e9.
    """
    inputs = servable.searched(texts) if servable.generates else servable.inputs(texts)
    given = texts[servable.target]
    feature = servable.features[servable.target]
    if not servable.generates:
        log_probs, label = servable.log_probabilities(inputs), feature.ids(given)
        known = label >= 0
        found = tf.gather(log_probs, tf.maximum(label, 0), batch_dims=1)
        log_prob = tf.where(known, found, ABSENT)
        return {"log_prob": log_prob, "probability": tf.exp(log_prob)}
    ids = servable.encode(servable.target, given)  # [B, U]
    log_probs = of_tokens(servable, inputs, ids)
    real = ids != feature.codec.pad_id
    return {
        "log_prob": tf.reduce_sum(log_probs, axis=1),
        "tokens": tf.math.count_nonzero(real, axis=1, dtype=tf.int32),
        "log_probs": log_probs,
        "target_tokens": tf.where(real, feature.codec.pieces(ids), ""),
        "cut": feature.codec.encode(servable.clean(servable.target, given)).row_lengths() >= feature.max_length,
    }


def of_tokens(servable: Any, inputs: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """Log-probabilities [B, U] of given answers' ids [B, U], 0 for the empty answer to a blank source."""
    pad_id = servable.model.pad_id
    certain = _search.nothing(inputs, pad_id) & _search.nothing(ids, pad_id)
    return tf.where(certain[:, None], 0.0, likelihood.of_tokens(servable.model, {servable.source: inputs}, ids))


def classify(servable: Any, examples: Mapping[str, tf.Tensor]) -> Tensors:
    """TensorFlow Serving's classify: serialized tf.Examples [B] -> classes [B, C] and scores [B, C].

    An example has one bytes feature named after each source field; without it, the text is empty.
    """
    spec = {servable.source: tf.io.FixedLenFeature([], tf.string, default_value="")}
    found = servable.answer(tf.io.parse_example(examples[EXAMPLES], spec))
    return {"classes": found["labels"], "scores": found["probabilities"]}


def tokens(servable: Any, texts: Mapping[str, tf.Tensor]) -> Tensors:
    """How long texts are in tokens, without asking the model: {source: [B], target: [B]} -> int32 [B] each.

    source_tokens, target_tokens: without end marks. source_unknown: those of the source that are no piece of the
    vocabulary: <unk>, or bytes that spell out a character. A source of n-grams counts its features instead.
    """
    found = {}
    inputs = servable.inputs(texts)
    if isinstance(inputs, tf.SparseTensor):
        rows = tf.cast(inputs.dense_shape[0], tf.int32)
        counts = tf.math.bincount(tf.cast(inputs.indices[:, 0], tf.int32), minlength=rows, maxlength=rows)
        found |= {"source_tokens": counts, "source_unknown": tf.zeros_like(counts)}
    else:
        codec = servable.features[servable.source].codec
        found["source_tokens"] = counted(inputs, codec)
        found["source_unknown"] = tf.math.count_nonzero(codec.unknown(inputs), axis=1, dtype=tf.int32)
    if servable.generates:
        feature = servable.features[servable.target]
        found["target_tokens"] = counted(servable.encode(servable.target, texts[servable.target]), feature.codec)
    return found


def counted(ids: tf.Tensor, codec: Any) -> tf.Tensor:
    """Tokens of each row [B], padding and end marks aside."""
    return tf.math.count_nonzero((ids != codec.pad_id) & (ids != codec.end_id), axis=1, dtype=tf.int32)


def begin(servable: Any, texts: Mapping[str, tf.Tensor]) -> Tensors:
    """The state of a greedy answer of no tokens yet; see decoding/_stream.py."""
    return servable.stream.begin({servable.source: servable.searched(texts)})


def advance(servable: Any) -> Callable[..., Tensors]:
    """The traced step of such an answer: a state -> the state with a token more, done [B], and text [B] so far."""
    servable.signature("begin")  # which says what a state is made of
    specs = servable.stream.specs()

    @tf.function(input_signature=list(specs.values()), autograph=False)
    def step(*values: tf.Tensor) -> Tensors:
        found = servable.stream.advance(dict(zip(specs, values, strict=True)))
        text = servable.features[servable.target].codec.decode(found["ids"])
        return {name: tf.identity(value, name=name) for name, value in {**found, "text": text}.items()}

    return step.get_concrete_function()


def traced(
    method: Callable[[Mapping[str, tf.Tensor]], Tensors], *names: str, scalars: Mapping[str, tf.Tensor]
) -> Callable[..., Tensors]:
    """A traced function of [B] string tensors by these names; of no rows it gives outputs of no rows.

    scalars: further inputs by name, with values that have their types. Models and decoders may assume a batch of at
    least one row, so an empty one is answered with a row that is dropped.
    """
    texts = [tf.TensorSpec([None], tf.string, name=name) for name in names]
    numbers = [tf.TensorSpec([], value.dtype, name=name) for name, value in scalars.items()]

    @tf.function(input_signature=[*texts, *numbers], autograph=False)
    def serve(*values: tf.Tensor) -> Tensors:
        rows = tf.shape(values[0])[0]
        given = dict(zip([*names, *scalars], values, strict=True))
        for name in names:
            none = tf.fill([tf.cast(tf.equal(tf.size(given[name]), 0), tf.int32)], "")
            given[name] = tf.concat([given[name], none], axis=0)
        return {output: tf.identity(value[:rows], name=output) for output, value in method(given).items()}

    return serve.get_concrete_function()
