"""Restricts answers to a list (Kannan et al. 2016, Smart Reply, section 4.2: the response set as a trie)."""

import weakref
from pathlib import Path
from typing import Any, Literal

from textpipe.config.sections import Section
from textpipe.errors import ConfigError, DataError

# {codec: {content of the file: Trie}}: all signatures share one trie.
CACHE: weakref.WeakKeyDictionary[Any, dict[bytes, Any]] = weakref.WeakKeyDictionary()


class Config(Section):
    """[decode] rules = [{ kind = "trie", file = "replies.txt" }]

    file: the allowed answers, one per line, in UTF-8; they are normalized like the targets of training. max_length and
        max_ratio do not shorten them.
    """

    kind: Literal["trie"] = "trie"
    file: Path


def load(config, codec=None):
    """The rule; raises DataError if the file is not text or has no answers, ConfigError for an answer with tokens that the
    vocabulary lacks."""
    assert codec is not None, "answers are given as text and need the target's codec"
    try:
        raw = config.file.read_bytes()
        lines = raw.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{config.file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{config.file}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    tries = CACHE.setdefault(codec, {})
    if raw not in tries:
        tries[raw] = Trie(encode_lines(lines, codec, config.file), codec.end_id)
    return tries[raw]


def encode_lines(lines, codec, path):
    """Token ids of the lines that are not blank, without an end: a list of lists."""
    import tensorflow as tf

    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError(f"{path}: expected a text on each line, found none; write the allowed answers into it")
    with tf.init_scope():  # eagerly, even while a graph is traced
        ids = codec.encode(tf.constant([line for _, line in numbered])).to_list()
    for (number, line), tokens in zip(numbered, ids, strict=True):
        if codec.unk_id in tokens:
            raise ConfigError(
                f"{path}, line {number}: {line!r} has a word or character that the vocabulary lacks, so it can never "
                "be generated; drop the line or train with a subword codec (unigram, bpe)"
            )
    return ids


class Trie:
    """The rule; the state is the current node of a hypothesis: [N] int32.

    Edges are sorted by (node, token) and nodes numbered by level, so that edge e leads to node e + 1. Three flat arrays
    hold the trie, whatever the vocabulary size: keys [E], node * base + token; tokens [E]; and first [nodes + 2], the
    first edge of each node. A hypothesis that leaves the trie is at an additional last node without edges.
    """

    def __init__(self, answers, end_id):
        import numpy as np
        import tensorflow as tf

        self.longest = max(map(len, answers)) + 1  # tokens, including the end
        rows = np.zeros((len(answers), self.longest), np.int64)
        for row, tokens in zip(rows, answers, strict=True):
            row[: len(tokens) + 1] = [*tokens, end_id]
        rows = np.unique(rows, axis=0)  # sorted, so that answers with a common prefix are adjacent
        base = int(rows.max()) + 1
        node, count, keys = np.zeros(len(rows), np.int64), 1, []
        for position in range(self.longest):
            active = rows[:, position] != 0
            key, number = np.unique(node[active] * base + rows[active, position], return_inverse=True)
            node[active] = count + number
            count += len(key)
            keys.append(key)
        keys = np.concatenate(keys)
        first = np.searchsorted(keys, np.arange(count + 2) * base)
        with tf.init_scope():
            self.base, self.outside = base, count
            self.keys = tf.constant(keys, tf.int64)
            self.tokens = tf.constant(keys % base, tf.int32)
            self.first = tf.constant(first, tf.int32)

    def max_lengths(self, max_length):
        import tensorflow as tf

        return tf.fill(tf.shape(max_length), self.longest)

    def start(self, rows):
        import tensorflow as tf

        return tf.zeros([rows], tf.int32)

    def disallowed(self, state, length, vocab_size):
        """Disallows all tokens that leave the trie; writes only a number per allowed token besides one fill."""
        import tensorflow as tf

        edges = tf.ragged.range(tf.gather(self.first, state), tf.gather(self.first, state + 1))
        indices = tf.stack([tf.cast(edges.value_rowids(), tf.int32), tf.gather(self.tokens, edges.flat_values)], axis=1)
        allowed = tf.scatter_nd(indices, tf.ones_like(edges.flat_values), [tf.shape(state)[0], vocab_size])
        return allowed == 0

    def advance(self, state, token):
        import tensorflow as tf

        key = tf.cast(state, tf.int64) * self.base + tf.cast(token, tf.int64)
        edge = tf.minimum(tf.searchsorted(self.keys, key, out_type=tf.int32), tf.shape(self.keys)[0] - 1)
        inside = (token < self.base) & (tf.gather(self.keys, edge) == key)
        return tf.where(inside, edge + 1, self.outside)
