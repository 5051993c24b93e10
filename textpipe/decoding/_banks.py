"""Phrases that an answer must contain, and beam allocation by the progress of hypotheses with them.

Shapes: B rows, K hypotheses of a row, N = B * K, P phrases, L tokens of a phrase, W tokens, C candidates, S banks.
"""

import tensorflow as tf

from textpipe.decoding._beam import NEG_INF, BestCandidates


class Phrases:
    """The rule (see decoding/rules/) that tracks each row's phrases: ids [B, P, L], padded with 0.

    The state of a hypothesis: its phrases [P, L]; runs [P, L], whether its last tokens are the first l + 1 of a phrase
    (Baeza-Yates and Gonnet 1992, shift-and); and met [P].
    """

    def __init__(self, ids, num_prefix=0):
        self.ids, self.num_prefix = ids, num_prefix

    @classmethod
    def from_texts(cls, texts, codec, num_prefix=0):
        """texts [B] or [1] string, a phrase per line, blank lines ignored. num_prefix: tokens [B] of its prefix."""
        assert codec is not None, "constraints are given as text and need the target's codec"
        lines = tf.strings.split(tf.strings.regex_replace(texts, r"\r\n?", "\n"), "\n")
        lines = lines.with_values(codec.encode(tf.strings.strip(lines.values)))
        ids = lines.to_tensor(0)
        # At least one phrase of one token, even if only padding, so that reduce_max is defined.
        return cls(tf.pad(ids, [[0, 0], [0, 1], [0, 1]]), num_prefix)

    def max_lengths(self, max_length):
        tokens = tf.reduce_sum(tf.cast(self.ids != 0, tf.int32), axis=[1, 2])
        return tf.where(tokens > 0, tf.maximum(max_length, self.num_prefix + tokens + 1), max_length)

    def start(self, rows):
        phrases = tf.repeat(self.ids, rows // tf.shape(self.ids)[0], axis=0)
        return {
            "phrases": phrases,
            "runs": tf.zeros_like(phrases, tf.bool),
            "met": tf.reduce_all(phrases == 0, axis=2),
        }

    def disallowed(self, state, length, vocab_size):
        return None  # choose() excludes an early end; a mask would be a pass over all logits

    def advance(self, state, token):
        return advance_state(state, token)


def advance_state(state, token):
    """The state after a token [N], or after each of W: token [N, W] -> runs [N, W, P, L] and met [N, W, P]."""
    phrases, runs, met = state["phrases"], state["runs"], state["met"]
    if token.shape.rank == 2:
        phrases, runs, met = phrases[:, None], runs[:, None], met[:, None]
    first, real = tf.ones_like(runs[..., :1]), phrases != 0
    last = real & tf.concat([~real[..., 1:], first], axis=-1)
    runs = tf.concat([first, runs[..., :-1]], axis=-1) & (phrases == token[..., None, None]) & real
    return {"phrases": state["phrases"], "runs": runs, "met": met | tf.reduce_any(runs & last, axis=-1)}


def progress(runs):
    """Number of tokens of each phrase at the end of a hypothesis: [..., L] bool -> [...] int32."""
    return tf.reduce_max(tf.where(runs, tf.range(1, tf.shape(runs)[-1] + 1), 0), axis=-1)


def bank_index(state):
    """Number of phrase tokens of a hypothesis: those of all phrases it contains, plus the longest run of the others.

    Another token of that run adds at least one, so a row reaches its fullest bank in as many steps as its phrases have
    tokens, if its fullest hypothesis stays in the beam.
    """
    phrases, met = state["phrases"], state["met"]
    lengths = tf.reduce_sum(tf.cast(phrases != 0, tf.int32), axis=-1)  # [N, P]
    while lengths.shape.rank < met.shape.rank:
        lengths = lengths[:, None]
    num_met_tokens = tf.reduce_sum(tf.where(met, lengths, 0), axis=-1)
    return num_met_tokens + tf.reduce_max(tf.where(met, 0, progress(state["runs"])), axis=-1)


class BankCandidates(BestCandidates):
    """The strategy that allocates the beam to banks; the rule of the phrases must be the last."""

    def needed(self, rule_state):
        """The next token of each phrase not yet contained: [N, P]."""
        state = rule_state[-1]
        next_tokens = tf.pad(state["phrases"], [[0, 0], [0, 0], [0, 1]])  # padding follows the last token
        following = tf.gather(next_tokens, progress(state["runs"]), batch_dims=2)
        return tf.where(state["met"], 0, following)

    def choose(self, now):
        rows, beam, width = tf.unstack(tf.shape(now.token))
        state = now.rule_state[-1]
        after = advance_state(state, tf.reshape(now.token, [rows * beam, width]))
        bank = tf.reshape(bank_index(after), [rows, beam * width])
        all_met = tf.reshape(tf.reduce_all(state["met"], axis=1), [rows, beam, 1])
        log_probs = tf.where(tf.equal(now.token, now.end_id) & ~all_met, NEG_INF, now.log_probs)
        # The end of a hypothesis that contains all of its phrases belongs to the last bank.
        full = tf.reduce_sum(tf.cast(state["phrases"] != 0, tf.int32), axis=[1, 2])
        ending = tf.reshape(tf.equal(now.token, now.end_id), [rows, beam * width])
        bank = tf.where(ending, tf.repeat(tf.reshape(full, [rows, beam]), width, axis=1), bank)

        log_probs, order = tf.math.top_k(tf.reshape(log_probs, [rows, beam * width]), beam * width)
        bank = tf.gather(bank, order, batch_dims=1)
        chosen = allocate(log_probs, bank, 2 * beam)
        log_probs, bank, index = (tf.gather(part, chosen, batch_dims=1) for part in (log_probs, bank, order))
        token = tf.gather(tf.reshape(now.token, [rows, beam * width]), index, batch_dims=1)
        live = tf.where(tf.equal(token, now.end_id), NEG_INF, log_probs)
        order = tf.argsort(live, axis=1, direction="DESCENDING", stable=True)
        live, bank = tf.gather(live, order, batch_dims=1), tf.gather(bank, order, batch_dims=1)
        return log_probs, token, index // width, tf.gather(order, allocate(live, bank, beam), batch_dims=1)


def allocate(log_probs, bank, slots):
    """The candidates that get a slot: log_probs [B, C], best first, and bank [B, C] -> indices in C [B, slots].

    Every non-empty bank gets an equal share, the fullest ones also the remainder; within a bank, the likeliest candidates
    win. Slots left over go to the likeliest remaining candidates.
    """
    real = log_probs > NEG_INF
    member = tf.one_hot(bank, tf.reduce_max(bank) + 1, dtype=tf.int32) * tf.cast(real, tf.int32)[..., None]  # [B, C, S]
    present = tf.cast(tf.reduce_any(member > 0, axis=1), tf.int32)  # [B, S]
    banks = tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1)
    fuller = tf.cumsum(present, axis=1, exclusive=True, reverse=True)  # non-empty banks above this one
    share = slots // banks + tf.cast(fuller < slots % banks, tf.int32)
    rank = tf.reduce_sum(tf.cumsum(member, axis=1) * member, axis=2)  # within its bank, from 1
    within = real & (rank <= tf.gather(share, bank, batch_dims=1))
    return tf.argsort(tf.where(within, 0, tf.where(real, 1, 2)), axis=1, stable=True)[:, :slots]
