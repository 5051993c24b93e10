"""Beam search with length normalization and n-best answers."""

from typing import Literal

from pydantic import Field

from textpipe.decoding import greedy


class Config(greedy.Config):
    """[decode] kind = "beam". Lengths count tokens of the answer with its end_id."""

    kind: Literal["beam"] = "beam"
    beam_size: int = Field(5, ge=1)
    length_penalty: float = Field(1.0, ge=0)  # alpha: 0 favours short answers, larger ones long answers


def decode(model, source, config):
    """The beam_size best answers found for each row, best first, in graph.

    source [B, T] -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    scores is log_probs / ((5 + length) / 6) ** length_penalty (Wu et al. 2016, equation 14), log_probs the natural
    logarithm of the answer's probability, its end_id included. A finished hypothesis leaves the beam and is kept apart.
    A row is done when no living hypothesis can overtake the worst kept one. Where fewer than beam_size
    answers exist, the rest are all padding with score and log_prob -1e9.
    """
    import tensorflow as tf

    from textpipe.decoding._search import (
        ABSENT,
        attention_at,
        caps,
        constant,
        join,
        length_penalty,
        next_token_mask,
        split,
    )

    beam, alpha, nothing = config.beam_size, config.length_penalty, -float("inf")
    rows = tf.shape(source)[0]
    cap = caps(source, model.pad_id, config)  # [B]
    longest = tf.reduce_max(cap)
    # The best a living hypothesis can come to: its log-probability only falls, the penalty only grows.
    final_penalty = length_penalty(tf.cast(cap, tf.float32), alpha)

    memory = tf.nest.map_structure(lambda part: tf.repeat(part, beam, axis=0), model.encode(source))
    fixed, state = split(model.start(memory))

    def unfinished(step, state, live, ends, done, attention):
        return tf.logical_and(step < longest, tf.logical_not(tf.reduce_all(done)))

    def advance(step, state, live, ends, done, attention):
        length = step + 1
        logits, after, weights = model.step(join(fixed, state), tf.reshape(live["last"], [-1]))
        logits = tf.cast(logits, tf.float32)
        vocab_size = tf.shape(logits)[1]
        attention = attention.write(step, tf.reshape(weights, [rows, beam, -1]))

        # A row's best 2 * beam candidates lie among the best 2 * beam of each hypothesis. At most beam of them end,
        # so at least beam live on.
        width = tf.minimum(2 * beam, vocab_size)
        base = tf.reshape(live["log_probs"], [-1]) - tf.reduce_logsumexp(logits, axis=1)
        mask = next_token_mask(model, vocab_size, length, cap, config)[:, None, :]
        allowed = tf.reshape(tf.reshape(logits, [rows, beam, -1]) + mask, [-1, vocab_size])
        top, token = tf.math.top_k(allowed, width)  # [B * K, width]
        top = tf.reshape(top + base[:, None], [rows, beam * width])
        token = tf.reshape(token, [rows, beam * width])
        log_probs, place = tf.math.top_k(top, tf.minimum(2 * beam, beam * width))  # [B, 2K]
        token, parent = tf.gather(token, place, batch_dims=1), place // width
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
        live = {
            "log_probs": log_probs,
            "last": token,
            "ids": follow(live["ids"], parent, token),
            "slots": follow(live["slots"], parent, parent),
        }
        done = done | (ends["scores"][:, -1] >= log_probs[:, 0] / final_penalty)
        return length, state, live, ends, done, attention

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
    loop = (tf.constant(0), state, live, ends, tf.zeros([rows], tf.bool), seen)
    invariants = tf.nest.map_structure(constant, loop)
    for histories in (invariants[2], invariants[3]):
        histories["ids"] = histories["slots"] = tf.TensorShape([None, beam, None])
    _, _, _, ends, _, attention = tf.while_loop(unfinished, advance, loop, shape_invariants=invariants)

    length = tf.reduce_max(tf.reduce_sum(tf.cast(tf.not_equal(ends["ids"], model.pad_id), tf.int32), axis=2))
    ids, slots = ends["ids"][:, :, :length], ends["slots"][:, :, :length]
    return {
        "ids": ids,
        "scores": tf.maximum(ends["scores"], ABSENT),
        "log_probs": tf.maximum(ends["log_probs"], ABSENT),
        "attention": attention_at(attention.stack()[:length], slots, ids, model.pad_id),
    }
