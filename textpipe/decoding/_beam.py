"""The loop of beam searches: finished hypotheses are set aside, live ones continue, and a strategy selects them.

Shapes: B rows, R = B * groups, K hypotheses of a group, C candidates, L tokens so far, T source, U answer, V vocabulary.
"""

from types import SimpleNamespace

import tensorflow as tf

from textpipe.decoding import _deadline
from textpipe.decoding._search import (
    ABSENT,
    any_shape,
    count_ended,
    coverage_score,
    gather_attention,
    has_coverage_penalty,
    has_patience,
    join_memory,
    length_penalty,
    max_lengths,
    out_of_patience,
    row_shape,
    source_ids,
    split_memory,
    step_function,
)

NUM_DISALLOWED = 3  # tokens that may be disallowed at a position: pad, start, and the end before min_length
NEG_INF = -float("inf")


class BestCandidates:
    """Plain beam search: the likeliest hypotheses survive."""

    spare = 0  # tokens of a hypothesis considered in addition to its best 2 * K

    def needed(self, rule_state):
        """Tokens [R * K, X] to consider whatever their probability, right-padded; or None."""
        return

    def choose(self, now):
        """The candidates [R, C] (log_probs, token and parent) and the indices in C of those that survive [R, K].

        now: log_probs [R, K, W] of hypotheses one token longer, and that token [R, K, W]; ids [R, K, L] and rule_state
        before it; done [R], groups whose answers no longer change; beam, K; end_id.
        """
        rows, beam, width = tf.unstack(tf.shape(now.token))
        log_probs, index = tf.math.top_k(tf.reshape(now.log_probs, [rows, beam * width]), 2 * now.beam)
        token = tf.gather(tf.reshape(now.token, [rows, beam * width]), index, batch_dims=1)
        _, survivors = tf.math.top_k(tf.where(tf.equal(token, now.end_id), NEG_INF, log_probs), now.beam)
        return log_probs, token, index // width, survivors


def search(model, inputs, config, rules, strategy, *, beam, groups=1):
    """The `beam` best answers of each group, best first: inputs {field: [B, T]} -> outputs of a decoder, R rows, N = beam.

    Groups are independent but for the strategy. A group is done when no live hypothesis can overtake its worst answer.
    """
    source = source_ids(model, inputs)  # [B, T]
    alpha, sources = config.length_penalty, tf.repeat(source, groups, axis=0)
    rows = tf.shape(source)[0] * groups
    max_length = tf.repeat(max_lengths(source, model.pad_id, config, rules), groups)  # [R]
    longest = tf.reduce_max(max_length)
    # For the best possible score of a live hypothesis: its log-probability only falls, the penalty only grows.
    final_penalty = length_penalty(tf.cast(max_length, tf.float32), alpha)

    encoded = tf.nest.map_structure(lambda part: tf.repeat(part, groups * beam, axis=0), model.encode(inputs))
    memory, state = split_memory(model.start(encoded))
    step_once = step_function(model)

    def unfinished(step, state, rule_state, live, ends, done, attention):
        return tf.logical_and(step < longest, tf.logical_not(tf.reduce_all(done)))

    def advance(step, state, rule_state, live, ends, done, attention):
        length = step + 1
        logits, after, weights = step_once(join_memory(memory, state), tf.reshape(live["last"], [-1]))
        logits = tf.cast(logits, tf.float32)
        vocab_size = tf.shape(logits)[1]
        attention = attention.write(step, tf.reshape(weights, [rows, beam, -1]))

        # The best 2 * beam candidates of a row are among the best 2 * beam allowed tokens of each hypothesis, and these
        # among its best 2 * beam + NUM_DISALLOWED of all tokens. At most beam of them end, so at least beam survive. To
        # avoid passes over all logits, disallowed tokens are removed here, and the largest logit is taken from here.
        allowed_logits = rules.mask(logits, rule_state, length)
        top, token = tf.math.top_k(
            allowed_logits, tf.minimum(2 * beam + NUM_DISALLOWED + strategy.spare, vocab_size)
        )  # [R * K, W]
        largest = tf.reduce_max(logits, axis=1, keepdims=True) if rules.rules else top[:, :1]
        norm = largest + tf.math.log(tf.reduce_sum(tf.exp(logits - largest), axis=1, keepdims=True))
        needed = strategy.needed(rule_state)
        if needed is not None:
            considered = tf.reduce_any(needed[:, :, None] == token[:, None, :], axis=2)
            considered |= tf.reduce_any(needed[:, :, None] == earlier_tokens(needed), axis=2)
            needed = tf.where(considered, model.pad_id, needed)
            top = tf.concat([top, tf.gather(allowed_logits, needed, batch_dims=1)], axis=1)
            token = tf.concat([token, needed], axis=1)
        token = tf.concat([token, tf.fill([rows * beam, 1], model.end_id)], axis=1)
        top = tf.concat([top, allowed_logits[:, model.end_id, None]], axis=1) - norm
        total = tf.reshape(tf.reshape(live["log_probs"], [-1, 1]) + top, [rows, beam, -1])
        token = tf.reshape(token, [rows, beam, -1])
        # The last column is the end, the only choice of a row at its maximum length; other rows have the other columns.
        must_end = tf.greater_equal(length, max_length)[:, None, None]
        column = tf.range(tf.shape(token)[2])
        added = tf.equal(column, column[-1])
        disallowed = tf.equal(token, model.pad_id) | tf.equal(token, model.start_id)
        disallowed |= tf.equal(token, model.end_id) & tf.less(length, config.min_length)
        total = tf.where(tf.where(must_end, added, tf.logical_not(added | disallowed)), total, NEG_INF)
        now = SimpleNamespace(
            log_probs=total,
            token=token,
            beam=beam,
            ids=live["ids"],
            rule_state=rule_state,
            done=done,
            end_id=model.end_id,
        )
        log_probs, token, parent, survivors = strategy.choose(now)
        ending = tf.equal(token, model.end_id)

        def follow(history, parent, value):
            """Extends the parents' history by `value`: [R, K, L], [R, C], [R, C] -> [R, C, L + 1]."""
            history = tf.gather(history, parent, batch_dims=1)
            return tf.concat([history, value[:, :, None]], axis=2)

        # Finished hypotheses: the best of those kept and those that end here.
        scores = log_probs / length_penalty(tf.cast(length, tf.float32), alpha)
        if has_coverage_penalty(config):
            coverage = live["coverage"] + tf.reshape(weights, [rows, beam, -1])
            scores += tf.gather(coverage_score(coverage, sources, model.pad_id, config), parent, batch_dims=1)
        scores = tf.where(ending, scores, NEG_INF)
        scores, chosen = tf.math.top_k(tf.concat([ends["scores"], scores], axis=1), beam)
        grown = {name: tf.pad(ends[name], [[0, 0], [0, 0], [0, 1]]) for name in ("ids", "slots")}
        pool = {
            "log_probs": tf.concat([ends["log_probs"], tf.where(ending, log_probs, NEG_INF)], axis=1),
            "ids": tf.concat([grown["ids"], follow(live["ids"], parent, token)], axis=1),
            "slots": tf.concat([grown["slots"], follow(live["slots"], parent, parent)], axis=1),
        }
        best = {name: tf.gather(part, chosen, batch_dims=1) for name, part in pool.items()} | {"scores": scores}
        previous = ends | grown
        ends = {
            name: tf.where(tf.reshape(done, [-1, *[1] * (len(part.shape) - 1)]), previous[name], part)
            for name, part in best.items()
        }

        # Live hypotheses.
        ended = live["ended"]
        if has_patience(config):
            ended += count_ended(ending, log_probs, beam)
        log_probs = tf.gather(tf.where(ending, NEG_INF, log_probs), survivors, batch_dims=1)
        parent, token = tf.gather(parent, survivors, batch_dims=1), tf.gather(token, survivors, batch_dims=1)
        origin = tf.reshape(parent + tf.range(rows)[:, None] * beam, [-1])
        state = tf.nest.map_structure(lambda part: tf.gather(part, origin), split_memory(after)[1])
        rule_state = tf.nest.map_structure(lambda part: tf.gather(part, origin), rule_state)
        rule_state = rules.advance(rule_state, tf.reshape(token, [-1]))
        live = {
            "log_probs": log_probs,
            "last": token,
            "ids": follow(live["ids"], parent, token),
            "slots": follow(live["slots"], parent, parent),
            "coverage": tf.gather(coverage, parent, batch_dims=1) if has_coverage_penalty(config) else (),
            "ended": ended,
        }
        done = done | (ends["scores"][:, -1] >= tf.reduce_max(log_probs, axis=1) / final_penalty)
        if has_patience(config):
            done |= out_of_patience(ended, beam, config.patience)
        return length, state, rule_state, live, ends, done, attention

    none = tf.fill([rows, beam], NEG_INF)
    blank = tf.zeros([rows, beam, 0], tf.int32)
    live = {
        # Start with one hypothesis: beam copies of it would fill the beam with duplicates.
        "log_probs": tf.concat([tf.zeros([rows, 1]), none[:, 1:]], axis=1),
        "last": tf.fill([rows, beam], model.start_id),
        "ids": blank,
        "slots": blank,
        "coverage": tf.zeros([rows, beam, tf.shape(source)[1]]) if has_coverage_penalty(config) else (),
        "ended": tf.zeros([rows], tf.int32),
    }
    ends = {"scores": none, "log_probs": none, "ids": blank, "slots": blank}
    attention = tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[None, None, None])
    loop = (tf.constant(0), state, rules.start(rows * beam), live, ends, tf.zeros([rows], tf.bool), attention)
    invariants = list(tf.nest.map_structure(row_shape, loop))
    invariants[2:5] = tf.nest.map_structure(any_shape, loop[2:5])
    last = tf.while_loop(
        lambda *now: unfinished(*now) & _deadline.in_time(config, now[0]),
        advance,
        loop,
        shape_invariants=tuple(invariants),
    )
    _, _, _, _, ends, _, attention = last

    length = tf.reduce_max(tf.reduce_sum(tf.cast(tf.not_equal(ends["ids"], model.pad_id), tf.int32), axis=2))
    ids, slots = ends["ids"][:, :, :length], ends["slots"][:, :, :length]
    outputs = {
        "ids": ids,
        "scores": tf.maximum(ends["scores"], ABSENT),
        "log_probs": tf.maximum(ends["log_probs"], ABSENT),
        "attention": gather_attention(attention.stack()[:length], slots, ids, model.pad_id),
    }
    return _deadline.check_finished(config, unfinished(*last), outputs)


def earlier_tokens(tokens):
    """For each of X tokens, the tokens before it, padded: [N, X] -> [N, X, X]."""
    count = tf.shape(tokens)[1]
    before = tf.linalg.band_part(tf.ones([count, count], tf.int32), -1, 0) - tf.eye(count, dtype=tf.int32)
    return tokens[:, None, :] * before
