"""Generation token by token without backtracking, shared by greedy search and sampling.

Shapes: B rows, K answers of a row, N = B * K, T source, U answer, V vocabulary.
"""

import tensorflow as tf

from textpipe.decoding import _deadline
from textpipe.decoding._search import (
    ABSENT,
    any_shape,
    gather_attention,
    join_memory,
    length_penalty,
    max_lengths,
    next_token_mask,
    row_shape,
    source_ids,
    split_memory,
    step_function,
)


def generate(model, inputs, config, rules, choose, *, copies):
    """`copies` answers for each row, each token given by choose(allowed [N, V], step, done [N]) -> [N] int32.

    inputs {field: [B, T]} -> {"ids": [B, K, U], "scores": [B, K], "log_probs": [B, K], "attention": [B, K, U, T]}

    allowed: the model's logits, -inf for tokens that lengths and rules disallow. If they disallow every token, the answer
    ends, and its score and log_prob are -1e9 if the end is disallowed as well.
    """
    source = source_ids(model, inputs)
    rows = tf.shape(source)[0]
    max_length = max_lengths(source, model.pad_id, config, rules)
    longest, max_length = tf.reduce_max(max_length), tf.repeat(max_length, copies)
    encoded = tf.nest.map_structure(lambda part: tf.repeat(part, copies, axis=0), model.encode(inputs))
    memory, state = split_memory(model.start(encoded))
    step_once = step_function(model)

    def unfinished(step, state, rule_state, last, done, log_probs, ids, attention):
        return tf.logical_and(step < longest, tf.logical_not(tf.reduce_all(done)))

    def advance(step, state, rule_state, last, done, log_probs, ids, attention):
        logits, after, weights = step_once(join_memory(memory, state), last)
        logits = tf.cast(logits, tf.float32)
        masked = rules.mask(logits, rule_state, step + 1)
        allowed = masked + next_token_mask(model, tf.shape(logits)[1], step + 1, max_length, config)
        if rules.rules:
            stuck = tf.reduce_all(tf.math.is_inf(allowed), axis=1)
            token = choose(tf.where(stuck[:, None], logits, allowed), step, done)
            token = tf.where(stuck, model.end_id, token)
        else:
            token = choose(allowed, step, done)
        chosen = tf.gather(masked, token, batch_dims=1) - tf.reduce_logsumexp(logits, axis=1)
        log_probs = tf.where(done, log_probs, log_probs + chosen)
        token = tf.where(done, model.pad_id, token)
        ids, attention = ids.write(step, token), attention.write(step, weights)
        rule_state = rules.advance(rule_state, token)
        return (
            step + 1,
            split_memory(after)[1],
            rule_state,
            token,
            done | tf.equal(token, model.end_id),
            log_probs,
            ids,
            attention,
        )

    loop = (
        tf.constant(0),
        state,
        rules.start(rows * copies),
        tf.fill([rows * copies], model.start_id),
        tf.zeros([rows * copies], tf.bool),
        tf.zeros([rows * copies]),
        tf.TensorArray(tf.int32, size=0, dynamic_size=True, element_shape=[None]),
        tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[None, None]),
    )
    invariants = list(tf.nest.map_structure(row_shape, loop))
    invariants[2] = tf.nest.map_structure(any_shape, loop[2])
    last = tf.while_loop(
        lambda *now: unfinished(*now) & _deadline.in_time(config, now[0]),
        advance,
        loop,
        shape_invariants=tuple(invariants),
    )
    *_, log_probs, ids, attention = last
    ids = tf.reshape(tf.transpose(ids.stack()), [rows, copies, -1])
    length = tf.reduce_sum(tf.cast(tf.not_equal(ids, model.pad_id), tf.float32), axis=-1)
    log_probs = tf.reshape(tf.maximum(log_probs, ABSENT), [rows, copies])
    weights = attention.stack()
    weights = tf.reshape(weights, [tf.shape(weights)[0], rows, copies, tf.shape(weights)[2]])  # [U, B, K, T]
    slots = tf.broadcast_to(tf.range(copies)[None, :, None], tf.shape(ids))
    outputs = {
        "ids": ids,
        "scores": tf.where(log_probs > ABSENT, log_probs / length_penalty(length, config.length_penalty), ABSENT),
        "log_probs": log_probs,
        "attention": gather_attention(weights, slots, ids, model.pad_id),
    }
    return _deadline.check_finished(config, unfinished(*last), outputs)
