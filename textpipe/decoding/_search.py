"""What the decoders share.   Shapes: B rows, K hypotheses of a row, T source, U answer, V vocabulary."""

import functools
from types import SimpleNamespace

import tensorflow as tf

from textpipe.config import plugins
from textpipe.decoding import _deadline
from textpipe.decoding._prefix import Prefix
from textpipe.layers.inputs import only
from textpipe.text.special_tokens import END_ID

# The score of a hypothesis that does not exist; finite, so that JSON can carry it.
ABSENT = -1e9
RATIO_PARTS = 100_000  # max_ratio counts in parts of 1 / RATIO: a float32 below 128 tells them apart
MIN_ATTENTION = 1e-9  # the least attention that a source token counts as having got


def settings(config, options, dtypes, texts=()):
    """The config's fields, those a caller sets for one call in their place: attributes are numbers or scalar tensors.

    options: {name: scalar} of a decoder's OPTIONS and {name: [B] or [1] string} of its TEXTS, or None; dtypes and
    texts: those OPTIONS and TEXTS. A text is None where neither the config nor the call gives one. What a field's
    Config refuses fails in graph, with InvalidArgumentError. `deadline` may be among the options; see _deadline.py.
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
    """A tensor that fails in graph outside the bounds of a Config's field; of a field that may be None, 0 is None."""
    checks = []
    if value.dtype.is_floating:
        checks.append(tf.debugging.Assert(tf.math.is_finite(value), [f"option {name} must be finite, found", value]))
    for bound in field.metadata:
        for attribute, compare, words in (
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
                checks.append(tf.debugging.Assert(holds, [f"option {name} must be {words} {limit}, found", value]))
    with tf.control_dependencies([check for check in checks if check is not None]):  # None when run eagerly
        return tf.identity(value)


def source_ids(model, inputs):
    """The ids [B, T] that attention points to and max_ratio counts, of {field: feature}.

    A model that reads several fields names that one: model.attended.
    """
    return only(inputs) if len(inputs) == 1 else inputs[model.attended]


class Rules:
    """All rules of a decoder as one: see decoding/rules/. Without rules nothing is added to the graph."""

    def __init__(self, configs, codec=None, prefix=None):
        """prefix: [B] or [1] string that answers begin with, or None."""
        self.rules = [plugins.find("decoding.rules", config.kind).load(config, codec) for config in configs]
        self.prefix = None if prefix is None else Prefix.of(prefix, codec)
        self.rules += [] if prefix is None else [self.prefix]

    def forced(self):
        """How many tokens a prefix takes of each row: [B], or [] or [1] where it is all rows' alike."""
        return tf.constant(0) if self.prefix is None else self.prefix.lengths()

    def caps(self, cap):
        """The longest answer of each row [B], by the rules that know better than the decoder's limits."""
        for rule in self.rules:
            cap = rule.caps(cap) if hasattr(rule, "caps") else cap
        return cap

    def start(self, rows):
        """The state of `rows` hypotheses that hold nothing yet."""
        return tuple(rule.start(rows) for rule in self.rules)

    def barred(self, state, length, vocab_size):
        """[N, V] bool, True for what may not stand at place `length`; None when nothing is barred."""
        masks = [rule.barred(part, length, vocab_size) for rule, part in zip(self.rules, state, strict=True)]
        masks = [mask for mask in masks if mask is not None]
        return functools.reduce(tf.logical_or, masks) if masks else None

    def advance(self, state, token):
        """The state with one token [N] more."""
        return tuple(rule.advance(part, token) for rule, part in zip(self.rules, state, strict=True))

    def without(self, logits, state, length):
        """Logits [N, V] with -inf for what is barred."""
        barred = self.barred(state, length, tf.shape(logits)[1])
        return logits if barred is None else tf.where(barred, -float("inf"), logits)


def any_shape(part):
    """The shape of a loop variable all of whose axes may change: [None, ...]."""
    return tf.TensorShape([None] * tf.convert_to_tensor(part).shape.rank)


def max_lengths(source, pad_id, config, rules):
    """The longest answer of each row, its end_id included: source [B, T] -> [B] int32.

    Without max_ratio it is max_length; with it, ceil(max_ratio * source tokens) + max_extra if that is less; then what
    the rules make of it. A row of no tokens but its end gets its end alone, and what rules force.
    """
    length = tf.math.count_nonzero(tf.not_equal(source, pad_id), axis=1)  # [B] int64
    cap = tf.fill([tf.shape(source)[0]], config.max_length)
    if config.max_ratio is not None:
        # In whole numbers: as float32, 1.1 * 10 is more than 11.
        ratio = tf.cast(tf.round(tf.cast(config.max_ratio, tf.float64) * RATIO_PARTS), tf.int64)
        by_ratio = tf.cast((ratio * length + RATIO_PARTS - 1) // RATIO_PARTS, tf.int32) + config.max_extra
        cap = tf.where(tf.convert_to_tensor(config.max_ratio) > 0, tf.minimum(cap, by_ratio), cap)
    return rules.caps(tf.where(nothing(source, pad_id), 1, cap))


def nothing(source, pad_id):
    """Which rows hold no token but their end: source [B, T] -> [B] bool."""
    return tf.reduce_all(tf.equal(source, pad_id) | tf.equal(source, END_ID), axis=1)


def emptied(found, rows, end_id):
    """A decoder's outputs, where some rows [B] bool have the empty answer: its end alone, with score and log_prob 0.

    The other answers of such a row are none.
    """
    more = tf.maximum(0, 1 - tf.shape(found["ids"])[2])  # a place for the end
    ids = tf.pad(found["ids"], [[0, 0], [0, 0], [0, more]])
    attention = tf.pad(found["attention"], [[0, 0], [0, 0], [0, more], [0, 0]])
    best = tf.equal(tf.range(tf.shape(ids)[1]), 0)  # [N]
    first = tf.equal(tf.range(tf.shape(ids)[2]), 0)  # [U]
    end = tf.where(best[:, None] & first, end_id, 0)  # [N, U]
    score = tf.where(best, 0.0, ABSENT)  # [N]
    return found | {
        "ids": tf.where(rows[:, None, None], end, ids),
        "scores": tf.where(rows[:, None], score, found["scores"]),
        "log_probs": tf.where(rows[:, None], score, found["log_probs"]),
        "attention": tf.where(rows[:, None, None, None] & (end == 0)[None, :, :, None], 0.0, attention),
    }


def length_penalty(length, alpha):
    """((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14): float [...] -> [...]; 1 where alpha is 0."""
    return ((5.0 + length) / 6.0) ** alpha


def has_coverage_penalty(config):
    """Whether a coverage penalty may count: what it needs is left out of the graph where it is 0 and no option."""
    return not isinstance(config.coverage_penalty, float | int) or config.coverage_penalty > 0


def has_patience(config):
    """Whether a search may be ended by its patience: nothing is counted where it may not."""
    return config.patience is not None


def count_ended(ending, log_probs, beam):
    """How many of the first `beam` candidates end, that would live did they not: [R, C], [R, C] -> [R] int32."""
    first = ending[:, :beam] & (log_probs[:, :beam] > -float("inf"))
    return tf.math.count_nonzero(first, axis=1, dtype=tf.int32)


def out_of_patience(ended, beam, patience):
    """Which rows have seen patience * beam answers end; never where patience is 0: ended [R] -> [R] bool."""
    return tf.logical_and(patience > 0, tf.cast(ended, tf.float32) >= patience * tf.cast(beam, tf.float32))


def coverage_score(coverage, source, pad_id, config):
    """coverage_penalty * sum over source tokens of ln(min(attention got, 1)) (Wu et al. 2016, equation 15): [R, w]."""
    logs = tf.math.log(tf.clip_by_value(coverage, MIN_ATTENTION, 1.0))  # [R, w, T]
    real = tf.not_equal(source, pad_id)[:, None, :]
    return config.coverage_penalty * tf.reduce_sum(tf.where(real, logs, 0.0), axis=2)


def next_token_mask(model, vocab_size, length, cap, config):
    """0 for tokens that may stand at place `length` (counted from 1) and -inf for the others: [B, V].

    pad_id and start_id never may; end_id not before min_length; at a row's cap nothing but end_id.
    """
    token = tf.range(vocab_size)[None, :]
    end = tf.equal(token, model.end_id)
    last = tf.greater_equal(length, cap)[:, None]
    early = tf.logical_and(length < config.min_length, tf.logical_not(last))
    word = tf.not_equal(token, model.pad_id) & tf.not_equal(token, model.start_id) & tf.logical_not(end)
    return tf.where(tf.where(last | early, end & last | word & early, end | word), 0.0, -float("inf"))


def stepper(model):
    """model.step for a loop over steps: a model may have a `stepper` that makes once what is alike at all steps."""
    return model.stepper() if hasattr(model, "stepper") else model.step


def split_memory(state):
    """A state without what no step changes, and that apart: (fixed, changing).

    A model may keep under state["memory"] what is the same for all hypotheses of a row. Decoders neither reorder it nor
    carry it through the loop.
    """
    if isinstance(state, dict) and "memory" in state:
        return state["memory"], {name: part for name, part in state.items() if name != "memory"}
    return None, state


def join_memory(fixed, state):
    """The state again: the reverse of `split`."""
    return state if fixed is None else {**state, "memory": fixed}


def row_shape(part):
    """The shape a loop variable keeps while rows may come and go: [None, ...]."""
    if isinstance(part, tf.TensorArray):
        return tf.TensorShape(None)
    shape = tf.convert_to_tensor(part).shape
    return shape if shape.rank == 0 else tf.TensorShape([None, *shape[1:]])


def gather_attention(attention, slots, ids, pad_id):
    """The weights each hypothesis saw: attention by step [U, B, K, T], slots [B, N, U] -> [B, N, U, T].

    slots says in which of the K places a hypothesis stood at each step. Padding of ids [B, N, U] gets zeros.
    """
    steps, rows = tf.shape(ids)[2], tf.shape(ids)[0]
    step = tf.broadcast_to(tf.range(steps)[None, None, :], tf.shape(ids))
    row = tf.broadcast_to(tf.range(rows)[:, None, None], tf.shape(ids))
    found = tf.gather_nd(attention, tf.stack([step, row, slots], axis=-1))
    return tf.where(tf.not_equal(ids, pad_id)[..., None], found, 0.0)
