"""Phrases an answer must hold, and a beam shared among hypotheses by how far they are with them.

Shapes: B rows, K hypotheses of a row, N = B * K, P phrases, L tokens of a phrase, W tokens, C candidates, S banks.
"""

import tensorflow as tf

from textpipe.decoding._beam import NEG_INF, BestCandidates


class Phrases:
    """The rule (see decoding/rules/) that keeps count of a row's phrases: ids [B, P, L], padded with 0.

    The state of a hypothesis: its phrases [P, L]; runs [P, L], whether its last tokens are a phrase's first l + 1
    (Baeza-Yates and Gonnet 1992, shift-and); and met [P].
    """

    def __init__(self, ids, behind=0):
        self.ids, self.behind = ids, behind

    @classmethod
    def of(cls, texts, codec, behind=0):
        """texts [B] or [1] string, a phrase a line; blank lines are none. behind: tokens [B] that come first anyway."""
        assert codec is not None, "constraints are given as text and need the target's codec"
        lines = tf.strings.split(tf.strings.regex_replace(texts, r"\r\n?", "\n"), "\n")
        lines = lines.with_values(codec.encode(tf.strings.strip(lines.values)))
        ids = lines.to_tensor(0)
        # At least one phrase of one token, if only padding, so that there is a largest of them.
        return cls(tf.pad(ids, [[0, 0], [0, 1], [0, 1]]), behind)

    def caps(self, cap):
        tokens = tf.reduce_sum(tf.cast(self.ids != 0, tf.int32), axis=[1, 2])
        return tf.where(tokens > 0, tf.maximum(cap, self.behind + tokens + 1), cap)

    def start(self, rows):
        phrases = tf.repeat(self.ids, rows // tf.shape(self.ids)[0], axis=0)
        return {
            "phrases": phrases,
            "runs": tf.zeros_like(phrases, tf.bool),
            "met": tf.reduce_all(phrases == 0, axis=2),
        }

    def barred(self, state, length, vocab_size):
        return None  # an end too early is left out where candidates are chosen: a mask would pass over all logits

    def advance(self, state, token):
        return advance_state(state, token)


def advance_state(state, token):
    """The state with a token [N] more, or with each of W: token [N, W] -> runs [N, W, P, L] and met [N, W, P]."""
    phrases, runs, met = state["phrases"], state["runs"], state["met"]
    if token.shape.rank == 2:
        phrases, runs, met = phrases[:, None], runs[:, None], met[:, None]
    first, real = tf.ones_like(runs[..., :1]), phrases != 0
    last = real & tf.concat([~real[..., 1:], first], axis=-1)
    runs = tf.concat([first, runs[..., :-1]], axis=-1) & (phrases == token[..., None, None]) & real
    return {"phrases": state["phrases"], "runs": runs, "met": met | tf.reduce_any(runs & last, axis=-1)}


def progress(runs):
    """Tokens of each phrase that a hypothesis ends with: [..., L] bool -> [...] int32."""
    return tf.reduce_max(tf.where(runs, tf.range(1, tf.shape(runs)[-1] + 1), 0), axis=-1)


def bank_index(state):
    """How many tokens of its phrases a hypothesis has: all of those it holds, and of the others the longest run.

    One token more of that run adds one at least, so a row's fullest bank fills in as many steps as its phrases have
    tokens, if its fullest hypothesis never falls out of the beam.
    """
    phrases, met = state["phrases"], state["met"]
    lengths = tf.reduce_sum(tf.cast(phrases != 0, tf.int32), axis=-1)  # [N, P]
    while lengths.shape.rank < met.shape.rank:
        lengths = lengths[:, None]
    held = tf.reduce_sum(tf.where(met, lengths, 0), axis=-1)
    return held + tf.reduce_max(tf.where(met, 0, progress(state["runs"])), axis=-1)


class BankCandidates(BestCandidates):
    """The choice that shares the beam among the banks; the phrases' rule is the last."""

    def needed(self, ruled):
        """The token that goes on with each phrase that is not held yet: [N, P]."""
        state = ruled[-1]
        behind = tf.pad(state["phrases"], [[0, 0], [0, 0], [0, 1]])  # a phrase's end is padding
        following = tf.gather(behind, progress(state["runs"]), batch_dims=2)
        return tf.where(state["met"], 0, following)

    def choose(self, now):
        rows, beam, width = tf.unstack(tf.shape(now.token))
        ruled = now.ruled[-1]
        after = advance_state(ruled, tf.reshape(now.token, [rows * beam, width]))
        bank = tf.reshape(bank_index(after), [rows, beam * width])
        held = tf.reshape(tf.reduce_all(ruled["met"], axis=1), [rows, beam, 1])
        log_probs = tf.where(tf.equal(now.token, now.end_id) & ~held, NEG_INF, now.log_probs)
        # The end of a hypothesis with all of its phrases stands with them, in the last bank.
        full = tf.reduce_sum(tf.cast(ruled["phrases"] != 0, tf.int32), axis=[1, 2])
        ending = tf.reshape(tf.equal(now.token, now.end_id), [rows, beam * width])
        bank = tf.where(ending, tf.repeat(tf.reshape(full, [rows, beam]), width, axis=1), bank)

        log_probs, order = tf.math.top_k(tf.reshape(log_probs, [rows, beam * width]), beam * width)
        bank = tf.gather(bank, order, batch_dims=1)
        chosen = allocate(log_probs, bank, 2 * beam)
        log_probs, bank, place = (tf.gather(part, chosen, batch_dims=1) for part in (log_probs, bank, order))
        token = tf.gather(tf.reshape(now.token, [rows, beam * width]), place, batch_dims=1)
        living = tf.where(tf.equal(token, now.end_id), NEG_INF, log_probs)
        order = tf.argsort(living, axis=1, direction="DESCENDING", stable=True)
        living, bank = tf.gather(living, order, batch_dims=1), tf.gather(bank, order, batch_dims=1)
        return log_probs, token, place // width, tf.gather(order, allocate(living, bank, beam), batch_dims=1)


def allocate(log_probs, bank, slots):
    """Which candidates get the slots: log_probs [B, C], best first, and bank [B, C] -> places in C [B, slots].

    Every bank that is not empty gets an equal share, the fullest what is left over, and a candidate its bank's share by
    log-probability. Slots that are left go to the likeliest that have none.
    """
    real = log_probs > NEG_INF
    member = tf.one_hot(bank, tf.reduce_max(bank) + 1, dtype=tf.int32) * tf.cast(real, tf.int32)[..., None]  # [B, C, S]
    there = tf.cast(tf.reduce_any(member > 0, axis=1), tf.int32)  # [B, S]
    banks = tf.maximum(tf.reduce_sum(there, axis=1, keepdims=True), 1)
    fuller = tf.cumsum(there, axis=1, exclusive=True, reverse=True)  # banks above this one that are not empty
    share = slots // banks + tf.cast(fuller < slots % banks, tf.int32)
    rank = tf.reduce_sum(tf.cumsum(member, axis=1) * member, axis=2)  # in its bank, from 1
    within = real & (rank <= tf.gather(share, bank, batch_dims=1))
    return tf.argsort(tf.where(within, 0, tf.where(real, 1, 2)), axis=1, stable=True)[:, :slots]
