"""The log-probability of each text of a list, by a beam search over the trie of the list.

A hypothesis is a node of the trie. A node has one path from the root, so no history is kept and no two hypotheses are equal. All
hypotheses of a step have the same length: the step extends them by one token, records those that end, and keeps the best of the others
(Kannan et al. 2016, section 4.2: O(beam x length), independent of the size of the list).

Shapes: B rows, W hypotheses of a row, H = B * W, E edges of the trie, A candidates of a row, R texts, L different texts, U tokens,
N pairs, V vocabulary.
"""

import numpy as np
import tensorflow as tf

from textpipe.decoding._search import ABSENT, join_memory, row_shape, source_ids, split_memory, step_function
from textpipe.decoding.rules.trie import Trie

NEG_INF = -float("inf")
BLOCK = 2**23  # logits computed in one step: 32 MB


class TextTrie(tf.Module):
    """The trie of R texts.

    ids: [R, U] int32, each row ended by end_id and padded with 0. Texts with equal ids share a leaf.
    """

    def __init__(self, ids, end_id: int):
        super().__init__(name="trie")
        rows = np.asarray(ids, np.int64)
        trie = Trie([row[(row != 0) & (row != end_id)].tolist() for row in rows], end_id)
        keys, base = trie.keys.numpy(), trie.base
        node, leaf = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        for tokens in rows.T:
            edge = np.minimum(np.searchsorted(keys, node * base + tokens), len(keys) - 1)
            leaf = np.where(tokens == end_id, edge, leaf)
            node = np.where(tokens != 0, edge + 1, node)
        edges, leaf_of_text = np.unique(leaf, return_inverse=True)
        leaf_of_edge = np.full(len(keys), -1)
        leaf_of_edge[edges] = np.arange(len(edges))
        self.num_leaves, self.num_nodes, self.outside = len(edges), len(keys) + 1, trie.outside
        self.first, self.tokens = trie.first, trie.tokens  # of each node [nodes + 2], of each edge [E]
        self.leaf_of_edge = tf.constant(leaf_of_edge, tf.int32)  # [E], -1 where the text goes on
        self.leaf_of_text = tf.constant(leaf_of_text, tf.int32)  # [R]


def log_probs(model, inputs, trie: TextTrie, *, beam: int):
    """The log-probability of each text including its end: {field: ids [B, T]} -> [B, R]; ABSENT for texts that the search did not find.

    beam: number of hypotheses that are extended in each step; with trie.num_nodes every text is found. The log-probability of a text that
    is found is exact for any beam.
    """
    rows = tf.shape(source_ids(model, inputs))[0]
    step_once = step_function(model)
    memory, state = split_memory(model.start(model.encode(inputs)))
    first = {
        "node": tf.zeros([rows, 1], tf.int32),
        "last": tf.fill([rows, 1], model.start_id),
        "log_probs": tf.zeros([rows, 1]),
        "memory": () if memory is None else memory,
        "state": state,
        "leaves": tf.fill([rows, trie.num_leaves], ABSENT),
    }

    def advance(now):
        width = tf.shape(now["node"])[1]
        memory_now = None if memory is None else now["memory"]
        logits, after, _ = step_once(join_memory(memory_now, now["state"]), tf.reshape(now["last"], [-1]))
        logits = tf.cast(logits, tf.float32)  # [H, V]
        before = tf.reshape(now["log_probs"], [-1]) - tf.reduce_logsumexp(logits, axis=1)  # [H]

        node = tf.reshape(now["node"], [-1])
        edges = tf.ragged.range(tf.gather(trie.first, node), tf.gather(trie.first, node + 1))  # [H, edges of a node]
        edge, hypothesis = edges.flat_values, tf.cast(edges.value_rowids(), tf.int32)
        token = tf.gather(trie.tokens, edge)
        total = tf.gather(before, hypothesis) + tf.gather_nd(logits, tf.stack([hypothesis, token], axis=1))
        leaf = tf.gather(trie.leaf_of_edge, edge)

        ending = tf.where(leaf >= 0)[:, 0]
        places = tf.stack([tf.gather(hypothesis, ending) // width, tf.gather(leaf, ending)], axis=1)
        leaves = tf.tensor_scatter_nd_update(now["leaves"], places, tf.gather(total, ending))

        going = tf.where(leaf < 0)[:, 0]
        edge, hypothesis, token, total = (tf.gather(part, going) for part in (edge, hypothesis, token, total))
        candidates = tf.RaggedTensor.from_value_rowids(total, hypothesis // width, nrows=tf.cast(rows, tf.int32))
        dense = candidates.to_tensor(NEG_INF)  # [B, A]
        best, chosen = tf.math.top_k(dense, tf.minimum(beam, tf.shape(dense)[1]))  # [B, W of the next step]
        place = tf.cast(candidates.row_starts(), tf.int32)[:, None] + chosen
        alive = best > NEG_INF
        place = tf.where(alive, place, 0)
        new_width = tf.shape(best)[1]
        origin = tf.where(alive, tf.gather(hypothesis, place), tf.range(rows)[:, None] * width)
        origin = tf.reshape(origin, [-1])
        # The memory of a row is the same for all its hypotheses: it is moved only when their number changes.
        moved = tf.cond(
            tf.equal(new_width, width),
            lambda: tf.nest.map_structure(tf.identity, now["memory"]),
            lambda: tf.nest.map_structure(lambda part: tf.gather(part, origin), now["memory"]),
        )
        return {
            "node": tf.where(alive, tf.gather(edge, place) + 1, trie.outside),
            "last": tf.where(alive, tf.gather(token, place), model.pad_id),
            "log_probs": best,
            "memory": moved,
            "state": tf.nest.map_structure(lambda part: tf.gather(part, origin), split_memory(after)[1]),
            "leaves": leaves,
        }

    shapes = tf.nest.map_structure(row_shape, first)
    shapes |= dict.fromkeys(("node", "last", "log_probs"), tf.TensorShape([None, None]))
    (last,) = tf.while_loop(
        lambda now: tf.reduce_any(now["log_probs"] > NEG_INF),
        lambda now: (advance(now),),
        (first,),
        shape_invariants=(shapes,),
    )
    return tf.gather(last["leaves"], trie.leaf_of_text, axis=1)


def forced_log_probs(model, inputs, row, ids):
    """The log-probability of given texts including their ends: {field: ids [B, T]}, row [N], ids [N, U] -> [N].

    row: the row of `inputs` that each text is a reply to. Each row is encoded once, and a step computes only texts that have not ended.
    """
    lengths = tf.math.count_nonzero(ids, axis=1, dtype=tf.int32)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    ids, lengths = tf.gather(ids, order), tf.gather(lengths, order)
    step_once = step_function(model)
    owner = tf.gather(row, order)
    encoded = tf.nest.map_structure(lambda part: tf.gather(part, owner), model.encode(inputs))

    def advance(step, state, total):
        count = tf.math.count_nonzero(lengths > step, dtype=tf.int32)  # the first ones, because they are sorted
        state = tf.nest.map_structure(lambda part: part[:count], state)
        before = tf.where(step > 0, ids[:count, tf.maximum(step - 1, 0)], model.start_id)
        logits, state, _ = step_once(state, before)
        logits = tf.cast(logits, tf.float32)
        token_log_probs = tf.gather(logits, ids[:count, step], batch_dims=1) - tf.reduce_logsumexp(logits, axis=1)
        return step + 1, state, tf.concat([total[:count] + token_log_probs, total[count:]], axis=0)

    state = model.start(encoded)
    longest = tf.reduce_max(lengths)
    loop = (tf.constant(0), state, tf.zeros_like(lengths, tf.float32))
    _, _, total = tf.while_loop(
        lambda step, *_: step < longest, advance, loop, shape_invariants=tf.nest.map_structure(row_shape, loop)
    )
    return tf.scatter_nd(order[:, None], total, tf.shape(total))


def in_blocks(function, inputs, hypotheses, vocab_size: int, *more):
    """function({field: ids [B, T]}, *more [B, ...]) -> [B, ...], computed for a block of rows at a time to bound memory.

    hypotheses: the largest number of hypotheses of a row in a step; an int or a scalar tensor. A block has at most BLOCK logits, or
    one row.
    """
    size = tf.maximum(1, BLOCK // vocab_size // hypotheses)
    rows = tf.shape(next(iter(inputs.values())))[0]
    parts = tf.TensorArray(tf.float32, size=-(-rows // size), infer_shape=False, element_shape=[None, None])

    def body(start, parts):
        block = {name: part[start : start + size] for name, part in inputs.items()}
        outputs = function(block, *(part[start : start + size] for part in more))
        return start + size, parts.write(start // size, outputs)

    _, parts = tf.while_loop(lambda start, _: start < rows, body, (0, parts), parallel_iterations=1)
    return parts.concat()
