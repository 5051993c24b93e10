"""Shared by the decoders.   Shapes: B rows, K hypotheses of a row, T source, U answer, V vocabulary."""

import functools
from types import SimpleNamespace

import tensorflow as tf

from textpipe.config import plugins
from textpipe.decoding import _deadline
from textpipe.decoding._prefix import Prefix
from textpipe.layers.inputs import single_feature
from textpipe.text.special_tokens import END_ID

# The score of a hypothesis that does not exist; finite, so that JSON can carry it.
ABSENT = -1e9
RATIO_PARTS = 100_000  # max_ratio is rounded to multiples of 1 / RATIO_PARTS, which a float32 below 128 tells apart
MIN_ATTENTION = 1e-9  # lower bound of the attention a source token has received, for its logarithm


def with_options(config, options, dtypes, texts=()):
    """The config's fields, overridden by the options of a call: attributes are numbers or scalar tensors.

    options: {name: scalar} of a decoder's OPTIONS and {name: [B] or [1] string} of its TEXTS, or None.
    dtypes, texts: those OPTIONS and TEXTS.

    A text is None if neither the config nor the call gives one. Values that the Config would refuse fail in graph, with
    InvalidArgumentError. `deadline` may be among the options; see _deadline.py.
    """
    options = {} if options is None else dict(options)
    deadline = options.pop("deadline", None)
    unknown = sorted(set(options) - {*dtypes, *texts})
    assert not unknown, f"{unknown} are no options of {config.kind}"
    values = {name: getattr(config, name) for name in type(config).model_fields}
    values["deadline"] = None if deadline is None else _deadline.checked(deadline)
    for name in texts:
        fixed = "\n".join(values[name]) if isinstance(values[name], tuple | list) else values[name]
        values[name] = tf.constant([fixed]) if fixed else None
    for name, value in options.items():
        if name in texts:
            values[name] = value
        else:
            values[name] = checked(name, tf.cast(value, dtypes[name]), type(config).model_fields[name])
    return SimpleNamespace(**values)


def checked(name, value, field):
    """A tensor that fails in graph outside the bounds of a Config field; 0 stands for None if the field allows it."""
    checks = []
    if value.dtype.is_floating:
        checks.append(tf.debugging.Assert(tf.math.is_finite(value), [f"option {name} must be finite, found", value]))
    for bound in field.metadata:
        for attribute, compare, phrase in (
            ("ge", tf.greater_equal, "at least"),
            ("gt", tf.greater, "more than"),
            ("le", tf.less_equal, "at most"),
            ("lt", tf.less, "less than"),
        ):
            limit = getattr(bound, attribute, None)
            if limit is not None:
                holds = compare(value, tf.cast(limit, value.dtype))
                if field.default is None:
                    holds |= tf.equal(value, 0)
                checks.append(tf.debugging.Assert(holds, [f"option {name} must be {phrase} {limit}, found", value]))
    with tf.control_dependencies([check for check in checks if check is not None]):  # None when run eagerly
        return tf.identity(value)


def source_ids(model, inputs):
    """The ids [B, T] that attention points to and max_ratio counts, from {field: feature}.

    A model that reads several fields names this field: model.attended. One whose source has positions other than tokens numbers
    them itself: model.source_ids(inputs).
    """
    if hasattr(model, "source_ids"):
        return model.source_ids(inputs)
    return single_feature(inputs) if len(inputs) == 1 else inputs[model.attended]


class Rules:
    """All rules of a decoder; see decoding/rules/. Without rules, nothing is added to the graph."""

    def __init__(self, configs, codec=None, prefix=None):
        """prefix: [B] or [1] string that the answers start with, or None."""
        self.rules = [plugins.find("decoding.rules", config.kind).load(config, codec) for config in configs]
        self.prefix = None if prefix is None else Prefix.from_texts(prefix, codec)
        self.rules += [] if prefix is None else [self.prefix]

    def prefix_lengths(self):
        """Tokens of each row's prefix: [B], or [] or [1] if it is the same for all rows."""
        return tf.constant(0) if self.prefix is None else self.prefix.lengths()

    def max_lengths(self, max_length):
        """The maximum length of each row's answer [B], as changed by the rules."""
        for rule in self.rules:
            max_length = rule.max_lengths(max_length) if hasattr(rule, "max_lengths") else max_length
        return max_length

    def start(self, rows):
        """The state of `rows` empty hypotheses."""
        return tuple(rule.start(rows) for rule in self.rules)

    def disallowed(self, state, length, vocab_size):
        """[N, V] bool, True for tokens not allowed at position `length`; None if all are allowed."""
        masks = [rule.disallowed(part, length, vocab_size) for rule, part in zip(self.rules, state, strict=True)]
        masks = [mask for mask in masks if mask is not None]
        return functools.reduce(tf.logical_or, masks) if masks else None

    def advance(self, state, token):
        """The state after a further token [N]."""
        return tuple(rule.advance(part, token) for rule, part in zip(self.rules, state, strict=True))

    def mask(self, logits, state, length):
        """Logits [N, V] with -inf for disallowed tokens."""
        disallowed = self.disallowed(state, length, tf.shape(logits)[1])
        return logits if disallowed is None else tf.where(disallowed, -float("inf"), logits)


def any_shape(part):
    """The shape of a loop variable all of whose axes may change: [None, ...]."""
    return tf.TensorShape([None] * tf.convert_to_tensor(part).shape.rank)


def max_lengths(source, pad_id, config, rules):
    """Maximum length of each row's answer, including end_id: source [B, T] -> [B] int32.

    The minimum of max_length and, with max_ratio, ceil(max_ratio * source tokens) + max_extra, then adjusted by the rules.
    A row without tokens gets only an end, and what rules force.
    """
    length = tf.math.count_nonzero(tf.not_equal(source, pad_id), axis=1)  # [B] int64
    max_length = tf.fill([tf.shape(source)[0]], config.max_length)
    if config.max_ratio is not None:
        # In integers: in float32, 1.1 * 10 is more than 11.
        ratio = tf.cast(tf.round(tf.cast(config.max_ratio, tf.float64) * RATIO_PARTS), tf.int64)
        by_ratio = tf.cast((ratio * length + RATIO_PARTS - 1) // RATIO_PARTS, tf.int32) + config.max_extra
        max_length = tf.where(tf.convert_to_tensor(config.max_ratio) > 0, tf.minimum(max_length, by_ratio), max_length)
    return rules.max_lengths(tf.where(is_empty(source, pad_id), 1, max_length))


def is_empty(source, pad_id):
    """Which rows hold no token but end_id: source [B, T] -> [B] bool."""
    return tf.reduce_all(tf.equal(source, pad_id) | tf.equal(source, END_ID), axis=1)


def with_empty_answers(outputs, rows, end_id):
    """A decoder's outputs with empty answers in `rows` [B] bool: only end_id, with score and log_prob 0.

    Such a row has no further answers.
    """
    more = tf.maximum(0, 1 - tf.shape(outputs["ids"])[2])  # room for end_id
    ids = tf.pad(outputs["ids"], [[0, 0], [0, 0], [0, more]])
    attention = tf.pad(outputs["attention"], [[0, 0], [0, 0], [0, more], [0, 0]])
    best = tf.equal(tf.range(tf.shape(ids)[1]), 0)  # [N]
    first = tf.equal(tf.range(tf.shape(ids)[2]), 0)  # [U]
    end = tf.where(best[:, None] & first, end_id, 0)  # [N, U]
    score = tf.where(best, 0.0, ABSENT)  # [N]
    return outputs | {
        "ids": tf.where(rows[:, None, None], end, ids),
        "scores": tf.where(rows[:, None], score, outputs["scores"]),
        "log_probs": tf.where(rows[:, None], score, outputs["log_probs"]),
        "attention": tf.where(rows[:, None, None, None] & (end == 0)[None, :, :, None], 0.0, attention),
    }


def length_penalty(length, alpha):
    """((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14): float [...] -> [...]; 1 where alpha is 0."""
    return ((5.0 + length) / 6.0) ** alpha


def has_coverage_penalty(config):
    """Whether a coverage penalty may apply; if it is 0 and not an option, it is left out of the graph."""
    return not isinstance(config.coverage_penalty, float | int) or config.coverage_penalty > 0


def has_patience(config):
    """Whether patience may end a search; otherwise nothing is counted."""
    return config.patience is not None


def count_ended(ending, log_probs, beam):
    """How many of the first `beam` candidates end: ending [R, C], log_probs [R, C] -> [R] int32."""
    first = ending[:, :beam] & (log_probs[:, :beam] > -float("inf"))
    return tf.math.count_nonzero(first, axis=1, dtype=tf.int32)


def out_of_patience(ended, beam, patience):
    """Which rows have patience * beam ended answers; none if patience is 0: ended [R] -> [R] bool."""
    return tf.logical_and(patience > 0, tf.cast(ended, tf.float32) >= patience * tf.cast(beam, tf.float32))


def coverage_score(coverage, source, pad_id, config):
    """coverage_penalty * sum over source tokens of ln(min(attention received, 1)) (Wu et al. 2016, equation 15): [R, w]."""
    logs = tf.math.log(tf.clip_by_value(coverage, MIN_ATTENTION, 1.0))  # [R, w, T]
    real = tf.not_equal(source, pad_id)[:, None, :]
    return config.coverage_penalty * tf.reduce_sum(tf.where(real, logs, 0.0), axis=2)


def next_token_mask(model, vocab_size, length, max_length, config):
    """0 for tokens allowed at position `length` (from 1) and -inf for the others: [B, V].

    pad_id and start_id are never allowed, end_id not before min_length; at its maximum length a row must end.
    """
    token = tf.range(vocab_size)[None, :]
    end = tf.equal(token, model.end_id)
    last = tf.greater_equal(length, max_length)[:, None]
    early = tf.logical_and(length < config.min_length, tf.logical_not(last))
    word = tf.not_equal(token, model.pad_id) & tf.not_equal(token, model.start_id) & tf.logical_not(end)
    return tf.where(tf.where(last | early, end & last | word & early, end | word), 0.0, -float("inf"))


def step_function(model):
    """model.step for a loop; a model may offer a `step_function` that computes once what all steps share."""
    return model.step_function() if hasattr(model, "step_function") else model.step


def split_memory(state):
    """Splits a state into (memory, the rest); memory is None if there is none.

    A model may keep under state["memory"] what all hypotheses of a row share and no step changes. Decoders neither
    reorder it nor carry it through the loop.
    """
    if isinstance(state, dict) and "memory" in state:
        return state["memory"], {name: part for name, part in state.items() if name != "memory"}
    return None, state


def join_memory(memory, state):
    """The inverse of `split_memory`."""
    return state if memory is None else {**state, "memory": memory}


def row_shape(part):
    """The shape of a loop variable whose number of rows may change: [None, ...]."""
    if isinstance(part, tf.TensorArray):
        return tf.TensorShape(None)
    shape = tf.convert_to_tensor(part).shape
    return shape if shape.rank == 0 else tf.TensorShape([None, *shape[1:]])


def gather_attention(attention, slots, ids, pad_id):
    """The attention weights of each hypothesis: by step [U, B, K, T], slots [B, N, U] -> [B, N, U, T].

    slots: the slot among K of a hypothesis at each step. Padding of ids [B, N, U] gets zeros.
    """
    steps, rows = tf.shape(ids)[2], tf.shape(ids)[0]
    step = tf.broadcast_to(tf.range(steps)[None, None, :], tf.shape(ids))
    row = tf.broadcast_to(tf.range(rows)[:, None, None], tf.shape(ids))
    weights = tf.gather_nd(attention, tf.stack([step, row, slots], axis=-1))
    return tf.where(tf.not_equal(ids, pad_id)[..., None], weights, 0.0)
