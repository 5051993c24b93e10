"""Answers from a list and no others (Kannan et al. 2016, Smart Reply, section 4.2: the response set as a trie)."""

import weakref
from pathlib import Path
from typing import Any, Literal

from textpipe.config.sections import Section
from textpipe.errors import ConfigError, DataError

# {codec: {the file's bytes: Trie}}: every signature decodes, and all shall share one trie.
CACHE: weakref.WeakKeyDictionary[Any, dict[bytes, Any]] = weakref.WeakKeyDictionary()


class Config(Section):
    """[decode] rules = [{ kind = "trie", file = "replies.txt" }]

    file: the answers allowed, a line each, in UTF-8; they are normalized as training's targets were. A list decides
    how long its answers are: max_length and max_ratio do not cut them.
    """

    kind: Literal["trie"] = "trie"
    file: Path


def load(config, codec=None):
    """The rule; raises DataError when the file is no text or holds no answer, ConfigError for one that the vocabulary
    cannot write."""
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


def encode_lines(lines, codec, place):
    """The token ids of each line that is not blank, without an end: a list of lists."""
    import tensorflow as tf

    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError(f"{place}: expected a text on each line, found none; write the allowed answers into it")
    with tf.init_scope():  # also while a graph is traced
        ids = codec.encode(tf.constant([line for _, line in numbered])).to_list()
    for (number, line), tokens in zip(numbered, ids, strict=True):
        if codec.unk_id in tokens:
            raise ConfigError(
                f"{place}, line {number}: {line!r} has a word or character that the vocabulary lacks, so it can never "
                "be answered; drop the line or train with a codec that spells what it does not know (unigram, bpe)"
            )
    return ids


class Trie:
    """The rule; the state is the node a hypothesis stands at: [N] int32.

    Edges are sorted by (node, token), nodes numbered level by level, so that edge e leads to node e + 1 and three flat
    arrays hold the trie, whatever the vocabulary's size: keys [E], node * base + token; tokens [E]; and first
    [nodes + 2], where the edges of each node begin. The node behind the last has no edges: whoever leaves the trie is
    there.
    """

    def __init__(self, answers, end_id):
        import numpy as np
        import tensorflow as tf

        self.longest = max(map(len, answers)) + 1  # tokens, the end included
        rows = np.zeros((len(answers), self.longest), np.int64)
        for row, tokens in zip(rows, answers, strict=True):
            row[: len(tokens) + 1] = [*tokens, end_id]
        rows = np.unique(rows, axis=0)  # sorted, so that answers with a common beginning stand together
        base = int(rows.max()) + 1
        node, count, keys = np.zeros(len(rows), np.int64), 1, []
        for place in range(self.longest):
            going = rows[:, place] != 0
            key, number = np.unique(node[going] * base + rows[going, place], return_inverse=True)
            node[going] = count + number
            count += len(key)
            keys.append(key)
        keys = np.concatenate(keys)
        first = np.searchsorted(keys, np.arange(count + 2) * base)
        with tf.init_scope():
            self.base, self.outside = base, count
            self.keys = tf.constant(keys, tf.int64)
            self.tokens = tf.constant(keys % base, tf.int32)
            self.first = tf.constant(first, tf.int32)

    def caps(self, cap):
        import tensorflow as tf

        return tf.fill(tf.shape(cap), self.longest)

    def start(self, rows):
        import tensorflow as tf

        return tf.zeros([rows], tf.int32)

    def barred(self, state, length, vocab_size):
        """All that leads out of the trie. One number for each allowed token is written, the rest is one fill."""
        import tensorflow as tf

        edges = tf.ragged.range(tf.gather(self.first, state), tf.gather(self.first, state + 1))
        places = tf.stack([tf.cast(edges.value_rowids(), tf.int32), tf.gather(self.tokens, edges.flat_values)], axis=1)
        allowed = tf.scatter_nd(places, tf.ones_like(edges.flat_values), [tf.shape(state)[0], vocab_size])
        return allowed == 0

    def advance(self, state, token):
        import tensorflow as tf

        key = tf.cast(state, tf.int64) * self.base + tf.cast(token, tf.int64)
        edge = tf.minimum(tf.searchsorted(self.keys, key, out_type=tf.int32), tf.shape(self.keys)[0] - 1)
        inside = (token < self.base) & (tf.gather(self.keys, edge) == key)
        return tf.where(inside, edge + 1, self.outside)
