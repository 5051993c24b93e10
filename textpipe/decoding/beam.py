"""Beam search with length normalization and n-best answers."""

from typing import Literal

from pydantic import Field

from textpipe.decoding import greedy

OPTIONS = {"beam_size": "int32", **greedy.OPTIONS}
TEXTS = greedy.TEXTS
BARRED = 3  # tokens a place may not hold: pad, start, and the end before min_length


class Config(greedy.Config):
    """[decode] kind = "beam". Lengths count tokens of the answer with its end_id."""

    kind: Literal["beam"] = "beam"
    beam_size: int = Field(5, ge=1)
    length_penalty: float = Field(1.0, ge=0)  # alpha: 0 favours short answers, larger ones long answers


def decode(model, source, config, options=None, *, codec=None):
    """The beam_size best answers found for each row, best first, in graph.

    source [B, T] -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    scores is log_probs / ((5 + length) / 6) ** length_penalty (Wu et al. 2016, equation 14), log_probs the natural
    logarithm of the answer's probability, its end_id included. A finished hypothesis leaves the beam and is kept apart.
    A row is done when no living hypothesis can overtake the worst kept one. Where fewer than beam_size
    answers exist, the rest are all padding with score and log_prob -1e9.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, in place of the config's fields.
    codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding._search import (
        ABSENT,
        Rules,
        attention_at,
        caps,
        constant,
        growing,
        join,
        length_penalty,
        settings,
        split,
    )

    config = settings(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    beam, alpha, nothing = config.beam_size, config.length_penalty, -float("inf")
    rows = tf.shape(source)[0]
    cap = rules.caps(caps(source, model.pad_id, config))  # [B]
    longest = tf.reduce_max(cap)
    # The best a living hypothesis can come to: its log-probability only falls, the penalty only grows.
    final_penalty = length_penalty(tf.cast(cap, tf.float32), alpha)

    memory = tf.nest.map_structure(lambda part: tf.repeat(part, beam, axis=0), model.encode(source))
    fixed, state = split(model.start(memory))

    def unfinished(step, state, ruled, live, ends, done, attention):
        return tf.logical_and(step < longest, tf.logical_not(tf.reduce_all(done)))

    def advance(step, state, ruled, live, ends, done, attention):
        length = step + 1
        logits, after, weights = model.step(join(fixed, state), tf.reshape(live["last"], [-1]))
        logits = tf.cast(logits, tf.float32)
        vocab_size = tf.shape(logits)[1]
        attention = attention.write(step, tf.reshape(weights, [rows, beam, -1]))

        # A row's best 2 * beam candidates lie among the best 2 * beam permitted tokens of each hypothesis, and those
        # among its best 2 * beam + BARRED of all. At most beam of them end, so at least beam live on. To pass over all
        # logits as seldom as can be, what is not permitted is sorted out here, and their largest is taken from here.
        permitted = rules.without(logits, ruled, length)
        top, token = tf.math.top_k(permitted, tf.minimum(2 * beam + BARRED, vocab_size))  # [B * K, W]
        largest = tf.reduce_max(logits, axis=1, keepdims=True) if rules.rules else top[:, :1]
        norm = largest + tf.math.log(tf.reduce_sum(tf.exp(logits - largest), axis=1, keepdims=True))
        token = tf.concat([token, tf.fill([rows * beam, 1], model.end_id)], axis=1)
        top = tf.concat([top, permitted[:, model.end_id, None]], axis=1) - norm
        total = tf.reshape(tf.reshape(live["log_probs"], [-1, 1]) + top, [rows, beam, -1])
        token = tf.reshape(token, [rows, beam, -1])
        # The column added last is the end that a row at its cap must take; the others are for all other rows.
        must_end = tf.greater_equal(length, cap)[:, None, None]
        column = tf.range(tf.shape(token)[2])
        added = tf.equal(column, column[-1])
        barred = tf.equal(token, model.pad_id) | tf.equal(token, model.start_id)
        barred |= tf.equal(token, model.end_id) & tf.less(length, config.min_length)
        total = tf.where(tf.where(must_end, added, tf.logical_not(added | barred)), total, nothing)
        width = tf.shape(token)[2]
        log_probs, place = tf.math.top_k(tf.reshape(total, [rows, beam * width]), 2 * beam)  # [B, 2K]
        token = tf.gather(tf.reshape(token, [rows, beam * width]), place, batch_dims=1)
        parent = place // width
        ending = tf.equal(token, model.end_id)

        def follow(history, parent, value):
            """The parents' history with `value` at this step: [B, K, L], [B, C], [B, C] -> [B, C, L]."""
            history = tf.gather(history, parent, batch_dims=1)
            return tf.concat([history, value[:, :, None]], axis=2)

        # Finished ones: the best of those kept and those that end here.
        scores = tf.where(ending, log_probs / length_penalty(tf.cast(length, tf.float32), alpha), nothing)
        scores, chosen = tf.math.top_k(tf.concat([ends["scores"], scores], axis=1), beam)
        grown = {name: tf.pad(ends[name], [[0, 0], [0, 0], [0, 1]]) for name in ("ids", "slots")}
        pool = {
            "log_probs": tf.concat([ends["log_probs"], tf.where(ending, log_probs, nothing)], axis=1),
            "ids": tf.concat([grown["ids"], follow(live["ids"], parent, token)], axis=1),
            "slots": tf.concat([grown["slots"], follow(live["slots"], parent, parent)], axis=1),
        }
        kept = {name: tf.gather(part, chosen, batch_dims=1) for name, part in pool.items()} | {"scores": scores}
        held = ends | grown
        ends = {
            name: tf.where(tf.reshape(done, [-1, *[1] * (len(part.shape) - 1)]), held[name], part)
            for name, part in kept.items()
        }

        # Living ones: the best that do not end.
        log_probs, chosen = tf.math.top_k(tf.where(ending, nothing, log_probs), beam)
        parent, token = tf.gather(parent, chosen, batch_dims=1), tf.gather(token, chosen, batch_dims=1)
        origin = tf.reshape(parent + tf.range(rows)[:, None] * beam, [-1])
        state = tf.nest.map_structure(lambda part: tf.gather(part, origin), split(after)[1])
        ruled = tf.nest.map_structure(lambda part: tf.gather(part, origin), ruled)
        ruled = rules.advance(ruled, tf.reshape(token, [-1]))
        live = {
            "log_probs": log_probs,
            "last": token,
            "ids": follow(live["ids"], parent, token),
            "slots": follow(live["slots"], parent, parent),
        }
        done = done | (ends["scores"][:, -1] >= log_probs[:, 0] / final_penalty)
        return length, state, ruled, live, ends, done, attention

    none = tf.fill([rows, beam], nothing)
    blank = tf.zeros([rows, beam, 0], tf.int32)
    live = {
        # One hypothesis, not beam copies of it: copies would fill the beam with duplicates.
        "log_probs": tf.concat([tf.zeros([rows, 1]), none[:, 1:]], axis=1),
        "last": tf.fill([rows, beam], model.start_id),
        "ids": blank,
        "slots": blank,
    }
    ends = {"scores": none, "log_probs": none, "ids": blank, "slots": blank}
    seen = tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[None, None, None])
    loop = (tf.constant(0), state, rules.start(rows * beam), live, ends, tf.zeros([rows], tf.bool), seen)
    invariants = list(tf.nest.map_structure(constant, loop))
    invariants[2:5] = tf.nest.map_structure(growing, loop[2:5])
    _, _, _, _, ends, _, attention = tf.while_loop(unfinished, advance, loop, shape_invariants=tuple(invariants))

    length = tf.reduce_max(tf.reduce_sum(tf.cast(tf.not_equal(ends["ids"], model.pad_id), tf.int32), axis=2))
    ids, slots = ends["ids"][:, :, :length], ends["slots"][:, :, :length]
    return {
        "ids": ids,
        "scores": tf.maximum(ends["scores"], ABSENT),
        "log_probs": tf.maximum(ends["log_probs"], ABSENT),
        "attention": attention_at(attention.stack()[:length], slots, ids, model.pad_id),
    }
