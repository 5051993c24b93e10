"""Answers restricted to a list, against scoring every text of the list."""

import itertools
import random

import numpy as np
import pytest
import tensorflow as tf
from test_beam import END, PAD, WORDS, Table, along, compare, penalty, sources, words_of
from test_prefix import Letters, ids_of

from textpipe.cache import fingerprint
from textpipe.config.sections import Plugin, Section
from textpipe.decoding import beam, greedy, sample
from textpipe.decoding.rules import trie
from textpipe.errors import ConfigError, DataError

ALLOWED = ["a", "abc", "abd", "b", "bbbbbbbbbb", "cab", "ca", "eaeae", "dd"]


@pytest.fixture
def file(tmp_path):
    def write(lines):
        path = tmp_path / "answers.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def in_list(model, decoder, config, source):
    decode = tf.function(lambda source: decoder.decode(model, {"source": source}, config, codec=Letters()))
    return decode(source)


def every(model, first, lines, alpha):
    """(score, log-probability, ids) of each text, best first."""
    scored = []
    for line in set(lines):
        ids = (*ids_of(line), END)
        log_prob, _ = along(model, first, ids)
        scored.append((log_prob / penalty(len(ids), alpha), log_prob, ids))
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_as_wide_as_the_list_ranks_it_like_scoring_each_text(file, alpha):
    # The limits are shorter than the longest text: the list determines the lengths of answers.
    rules = [{"kind": "trie", "file": file([*ALLOWED, "", "abc"])}]
    config = beam.Config(beam_size=12, max_length=4, length_penalty=alpha, rules=rules)
    model = Table(1)
    found = in_list(model, beam, config, sources(4, 5, 6))
    for row, first in enumerate((4, 5, 6)):
        compare(found, row, every(model, first, ALLOWED, alpha))
        assert np.all(found["ids"][row, len(ALLOWED) :].numpy() == PAD)
        np.testing.assert_array_equal(found["scores"][row, len(ALLOWED) :], -1e9)


@pytest.mark.parametrize(
    ("decoder", "options"), [(greedy, {}), (beam, {"beam_size": 2}), (sample, {"num_samples": 50})]
)
def test_narrow_searches_and_samples_stay_within_the_list(file, decoder, options):
    config = decoder.Config(rules=[{"kind": "trie", "file": file(ALLOWED)}], **options)
    found = in_list(Table(2, end_bonus=-3.0), decoder, config, sources(4, 5, 6, 7))["ids"].numpy()
    answers = {words_of(ids) for ids in found.reshape(-1, found.shape[2])}
    assert answers <= {(*ids_of(line), END) for line in ALLOWED}
    assert len(answers) > 1


def test_walks_of_a_large_trie_agree_with_a_set_of_prefixes(file):
    draw = random.Random(1)
    lines = {"".join(draw.choices("abcde", k=draw.randrange(1, 9))) for _ in range(3000)}
    answers = [(*ids_of(line), END) for line in lines]
    begun = {ids[:length] for ids in answers for length in range(10)}
    rule = trie.load(trie.Config(file=file(sorted(lines))), Letters())
    walks = np.array([draw.choices([*WORDS, END, PAD], k=9) for _ in range(500)])
    walks[:400] = [[*ids, *[PAD] * (9 - len(ids))] for ids in draw.sample(answers, 400)]
    state = rule.start(tf.constant(500))
    for place in range(9):
        disallowed = rule.disallowed(state, tf.constant(place + 1), tf.constant(8)).numpy()
        for row, walk in enumerate(walks):
            allowed = [token for token in range(8) if (*walk[:place], token) in begun]
            assert np.flatnonzero(~disallowed[row]).tolist() == allowed
        state = rule.advance(state, tf.constant(walks[:, place], tf.int32))
    # No table of nodes by vocabulary: three numbers per edge.
    assert rule.keys.shape[0] + 1 == len(begun)


def test_the_mask_covers_a_vocabulary_larger_than_the_tokens_of_the_list(file):
    rule = trie.load(trie.Config(file=file(["ab", "b"])), Letters())
    state = rule.advance(rule.start(tf.constant(3)), tf.constant([WORDS[0], 90, WORDS[0] + 91], tf.int32))
    disallowed = rule.disallowed(state, tf.constant(2), tf.constant(100)).numpy()
    assert np.flatnonzero(~disallowed[0]).tolist() == [WORDS[1]]
    assert disallowed[1:].all()


def test_the_content_of_the_list_is_part_of_the_cache_key(file):
    class Stage(Section):
        decode: Plugin.of("decoding")

    path = file(["a"])
    section = Stage(decode={"kind": "beam", "rules": [{"kind": "trie", "file": str(path)}]})
    before = fingerprint.compute("export", "textpipe.stages.export", section, {}, [])
    assert "textpipe.decoding.rules.trie" in before["code"]
    fingerprint._digest.cache_clear()
    file(["b"])
    after = fingerprint.compute("export", "textpipe.stages.export", section, {}, [])
    assert fingerprint.changes(before, after) == [f"files {path}"]


def test_answers_that_cannot_be_written_are_refused(file, tmp_path):
    class Words(Letters):
        unk_id = 1

        def encode(self, text):
            return tf.ragged.constant([[4], [4, 1]])

    with pytest.raises(ConfigError, match=r"answers.txt, line 3: 'b x' has a word"):
        trie.load(trie.Config(file=file(["b", "", "b x"])), Words())
    with pytest.raises(DataError, match="found none"):
        trie.load(trie.Config(file=file(["", "  "])), Letters())
    with pytest.raises(DataError, match="absent.txt: cannot be read"):
        trie.load(trie.Config(file=tmp_path / "absent.txt"), Letters())
    (tmp_path / "latin.txt").write_bytes(b"Gr\xfc\xdfe\n")
    with pytest.raises(DataError, match="not UTF-8 at byte 2"):
        trie.load(trie.Config(file=tmp_path / "latin.txt"), Letters())


def test_lists_of_equal_texts_share_a_trie(file):
    one = trie.load(trie.Config(file=file(ALLOWED)), Letters())
    orders = itertools.islice(itertools.permutations(ALLOWED), 0, 50_000, 9973)
    for order in orders:
        other = trie.load(trie.Config(file=file(order)), Letters())
        np.testing.assert_array_equal(one.keys, other.keys)
