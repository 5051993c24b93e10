"""Beam search that drops hypotheses which can no longer win.

If the log-probability of a live hypothesis, divided by the largest length penalty of its row, is no better than the worst
answer kept, neither it nor its descendants can enter the answers (Huang, Zhao and Ma 2017, When to Finish?), nor displace
anything that can, since they are less probable. It is dropped, a row without live hypotheses is done, and rows that are
done leave the batch. The answers are those of a search that drops nothing.

With patience, ended answers are counted, including those of hypotheses that cannot win. Then no single hypothesis is
dropped, and a row is done when its patience is exhausted or none can win. The answers are again the same, and any number of requested answers is a prefix of the same list.

Shapes: B source rows, R rows not done, K = beam_size, w hypotheses of a row (1 at first, then at most K), H = R * w,
N answers kept, C candidates, L tokens so far, T source, U answer, V vocabulary.
"""

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
from textpipe.decoding._top import Top, logsumexp

NUM_DISALLOWED = 3  # tokens that may be disallowed at a position: pad, start, and the end before min_length
NEG_INF = -float("inf")
LEAVE_SHARE = (
    8  # rows leave the batch when one in LEAVE_SHARE is done, because moving the state of the others is costly
)


def search(model, inputs, config, rules, *, answers):
    """The `answers` best of each row's beam_size best answers: inputs {field: [B, T]} -> outputs of a decoder, N = answers.

    The history of a hypothesis has a number per token: token * K + the slot of its parent.
    """
    beam = config.beam_size
    source = source_ids(model, inputs)  # [B, T]
    rows, step_once = tf.shape(source)[0], step_function(model)
    max_length = max_lengths(source, model.pad_id, config, rules)  # [B]
    memory, state = split_memory(model.start(model.encode(inputs)))
    shared = memory is not None and getattr(model, "shares_memory", False)
    cache = state.pop("cache") if shared and "cache" in state else ()

    def blank(value, dtype, *shape):
        return tf.fill([rows, *shape], tf.constant(value, dtype))

    ends = {
        "scores": blank(NEG_INF, tf.float32, answers),
        "log_probs": blank(NEG_INF, tf.float32, answers),
        "history": blank(0, tf.int32, answers, 0),
    }
    first = {
        "step": tf.constant(0),
        "memory": () if memory is None else memory,
        "cache": cache,
        "state": state,
        "rule_state": rules.start(rows),
        "row": {"index": tf.range(rows), "max_length": max_length, "source": source, "ended": blank(0, tf.int32)},
        "log_probs": blank(0.0, tf.float32, 1),
        "last": blank(model.start_id, tf.int32, 1),
        "history": blank(0, tf.int32, 1, 0),
        "coverage": tf.zeros([rows, 1, tf.shape(source)[1]]) if has_coverage_penalty(config) else (),
        "ends": ends,
        "done": ends,  # of all B rows, final for those that left the batch
        "attention": tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[None, None, None]),
    }

    def unfinished(now):
        return tf.reduce_any(now["log_probs"] > NEG_INF)

    def advance(now):
        length, row = now["step"] + 1, now["row"]
        count, width = tf.unstack(tf.shape(now["log_probs"]))  # R, w
        state = {**now["state"], "cache": now["cache"]} if cache else now["state"]
        state = join_memory(now["memory"] if memory is not None else None, state)
        logits, after, weights = step_once(state, tf.reshape(now["last"], [-1]))
        logits, after = tf.cast(logits, tf.float32), split_memory(after)[1]
        weights = tf.reshape(weights, [count, width, -1])  # [R, w, T]
        everywhere = tf.pad(weights, [[0, 0], [0, beam - width], [0, 0]])
        shape = tf.stack([rows, beam, tf.shape(weights)[2]])
        attention = now["attention"].write(now["step"], tf.scatter_nd(row["index"][:, None], everywhere, shape))

        # The best allowed candidates of a row: rules mask the whole vocabulary before; the few tokens that are never
        # allowed are removed here.
        allowed = rules.mask(logits, now["rule_state"], length)
        top = Top(allowed)
        largest = tf.reduce_max(logits, axis=1) if rules.rules else top.largest()
        previous = now["log_probs"] - tf.reshape(logsumexp(logits, largest), [count, width])  # [R, w]
        total, parent, token = top.best(previous, 2 * beam + NUM_DISALLOWED * width)
        disallowed = tf.equal(token, model.pad_id) | tf.equal(token, model.start_id)
        disallowed |= tf.equal(token, model.end_id) & tf.less(length, config.min_length)
        must_end = tf.greater_equal(length, row["max_length"])[:, None]
        total = tf.where(must_end | disallowed, NEG_INF, total)
        # A row at its maximum length must end.
        ended = tf.where(must_end, previous + tf.reshape(allowed[:, model.end_id], [count, width]), NEG_INF)
        total = tf.concat([total, ended], axis=1)
        log_probs, index = tf.math.top_k(total, tf.minimum(2 * beam, tf.shape(total)[1]))  # [R, C]
        every = tf.broadcast_to(tf.range(width), [count, width])
        parent = tf.gather(tf.concat([parent, every], axis=1), index, batch_dims=1)
        token = tf.concat([token, tf.fill([count, width], model.end_id)], axis=1)
        token = tf.gather(token, index, batch_dims=1)
        history = tf.gather(now["history"], parent, batch_dims=1)
        history = tf.concat([history, (token * beam + parent)[:, :, None]], axis=2)  # [R, C, L]
        ending = tf.equal(token, model.end_id)

        # Finished hypotheses: the best of those kept and those that end here.
        scores = log_probs / length_penalty(tf.cast(length, tf.float32), config.length_penalty)
        if has_coverage_penalty(config):
            coverage = now["coverage"] + weights
            scores += tf.gather(coverage_score(coverage, row["source"], model.pad_id, config), parent, batch_dims=1)
        ends = keep_best(now["ends"], tf.where(ending, scores, NEG_INF), log_probs, history)

        # Live hypotheses: the best that do not end and can still reach a better score than the worst answer kept. A
        # log-probability only falls, the length penalty only grows, and coverage only lowers the score.
        candidate_log_probs = log_probs
        log_probs, chosen = tf.math.top_k(
            tf.where(ending, NEG_INF, candidate_log_probs), tf.minimum(beam, tf.shape(candidate_log_probs)[1])
        )
        largest = length_penalty(tf.cast(row["max_length"], tf.float32), config.length_penalty)[:, None]
        wins = log_probs / largest > ends["scores"][:, -1:]
        if has_patience(config):
            wins |= tf.reduce_any(wins, axis=1, keepdims=True) & (config.patience > 0)
        log_probs = tf.where(wins, log_probs, NEG_INF)
        if has_patience(config):
            row = row | {"ended": row["ended"] + count_ended(ending, candidate_log_probs, beam)}
            over = out_of_patience(row["ended"], beam, config.patience)
            log_probs = tf.where(over[:, None], NEG_INF, log_probs)
        alive = log_probs > NEG_INF  # first in each row, because they are sorted
        searched = tf.math.count_nonzero(alive[:, 0], dtype=tf.int32)
        leave = (searched > 0) & (searched * LEAVE_SHARE <= count * (LEAVE_SHARE - 1))
        needed = tf.reduce_max(tf.math.count_nonzero(alive, axis=1, dtype=tf.int32))
        needed = tf.maximum(tf.where(leave, needed, tf.maximum(needed, tf.minimum(width, tf.shape(alive)[1]))), 1)
        stay = tf.where(alive[:, 0] | ~leave)[:, 0]

        def of_rows(part):
            return tf.gather(part, stay)

        def of_living(part):
            return tf.gather(of_rows(part), of_rows(chosen)[:, :needed], batch_dims=1)

        log_probs, parent, token = of_rows(log_probs)[:, :needed], of_living(parent), of_living(token)
        origin = tf.reshape(tf.cast(stay, tf.int32)[:, None] * width + parent, [-1])

        def of_origin(part):
            return tf.gather(part, origin)

        rule_state = rules.advance(tf.nest.map_structure(of_origin, now["rule_state"]), tf.reshape(token, [-1]))
        if shared:
            remembered = gather_if(leave, {"memory": now["memory"], "cache": after.pop("cache", ())}, stay)
        else:
            remembered = {"memory": gather_if(leave | (needed != width), now["memory"], origin), "cache": ()}
        return {
            "step": length,
            **remembered,
            "state": tf.nest.map_structure(of_origin, after),
            "rule_state": rule_state,
            "row": tf.nest.map_structure(of_rows, row),
            "log_probs": log_probs,
            "last": token,
            "history": of_living(history),
            "coverage": tf.gather(of_rows(coverage), parent, batch_dims=1) if has_coverage_penalty(config) else (),
            "ends": tf.nest.map_structure(of_rows, ends),
            "done": tf.cond(leave, lambda: scatter_rows(now["done"], row["index"], ends), lambda: now["done"]),
            "attention": attention,
        }  # fmt: skip

    shapes = tf.nest.map_structure(row_shape, first)
    for name in ("rule_state", "row", "log_probs", "last", "history", "coverage", "ends", "done"):
        shapes[name] = tf.nest.map_structure(any_shape, first[name])
    (last,) = tf.while_loop(
        lambda now: unfinished(now) & _deadline.in_time(config, now["step"]),
        lambda now: (advance(now),),
        (first,),
        shape_invariants=(shapes,),
    )

    answers = scatter_rows(last["done"], last["row"]["index"], last["ends"])
    tokens, slots = answers["history"] // beam, answers["history"] % beam
    length = tf.reduce_max(tf.reduce_sum(tf.cast(tf.not_equal(tokens, model.pad_id), tf.int32), axis=2))
    tokens, slots = tokens[:, :, :length], slots[:, :, :length]
    outputs = {
        "ids": tokens,
        "scores": tf.maximum(answers["scores"], ABSENT),
        "log_probs": tf.maximum(answers["log_probs"], ABSENT),
        "attention": gather_attention(last["attention"].stack()[:length], slots, tokens, model.pad_id),
    }
    return _deadline.check_finished(config, unfinished(last), outputs)


def keep_best(ends, scores, log_probs, history):
    """The best of the answers kept [R, N] and of candidates [R, C], -inf for those that do not end; history [R, C, L]."""
    count = tf.shape(ends["scores"])[1]
    scores, chosen = tf.math.top_k(tf.concat([ends["scores"], scores], axis=1), count)
    before = tf.pad(ends["history"], [[0, 0], [0, 0], [0, 1]])
    is_finished = scores > NEG_INF
    log_probs = tf.gather(tf.concat([ends["log_probs"], log_probs], axis=1), chosen, batch_dims=1)
    history = tf.gather(tf.concat([before, history], axis=1), chosen, batch_dims=1)
    return {
        "scores": scores,
        "log_probs": tf.where(is_finished, log_probs, NEG_INF),
        "history": tf.where(is_finished[:, :, None], history, 0),
    }


def scatter_rows(all_rows, index, rows):
    """Scatters the answers of R rows into those of all B rows, whose histories are padded to the same length."""
    longer = tf.shape(rows["history"])[2] - tf.shape(all_rows["history"])[2]
    all_rows = all_rows | {"history": tf.pad(all_rows["history"], [[0, 0], [0, 0], [0, longer]])}
    return {
        name: tf.tensor_scatter_nd_update(part, index[:, None], rows[name]) for name, part in all_rows.items()
    }  # fmt: skip


def gather_if(condition, nest, indices):
    """Gathers a nest of tensors if `condition` holds, otherwise returns it unchanged."""
    if not tf.nest.flatten(nest):
        return nest
    return tf.cond(
        condition,
        lambda: tf.nest.map_structure(lambda part: tf.gather(part, indices), nest),
        lambda: tf.nest.map_structure(tf.identity, nest),
    )
