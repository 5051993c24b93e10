"""Subword sampling: samples decode to the same text, follow the papers' distributions, and are reproducible."""

import functools
import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from nasty_strings import NASTY, random_texts

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Ids, Labels
from textpipe.errors import ConfigError
from textpipe.text import sampling, sampling_random
from textpipe.text.sampling import Sampler
from textpipe.text.sampling_bpe import Merges
from textpipe.text.sampling_unigram import Lattices
from textpipe.text.sentencepiece_model import Pieces
from textpipe.training import loop
from textpipe.training.batching import batches
from textpipe.training.batching.rows import Rows
from textpipe.training.regularization.subword_sampling import SubwordSampling, with_samplers
from textpipe.training.settings import Settings

LINES = [
    f"{who} {does} the {what} {when}, unlike {other}."
    for who in ("Ann", "The old driver", "My neighbour's cat")
    for does in ("finds", "repairs", "forgets", "photographs")
    for what in ("bicycle", "letter", "umbrella", "Straßenbahn")
    for when in ("today", "at midnight", "in 1984", "before breakfast")
    for other in ("drivers", "the neighbouring photographer", "forgetful repairmen")
][::3]
TEXTS = [*NASTY, *LINES, *random_texts(300, seed=4)]
KINDS = {"unigram": Lattices, "bpe": Merges}
NEUTRAL = {"unigram": {"alpha": 1e4}, "bpe": {"dropout": 0.0}}
STRONG = {"unigram": {"alpha": 0.1}, "bpe": {"dropout": 0.3}}


@pytest.fixture(scope="module", params=KINDS)
def learnt(request, tmp_path_factory):
    """(kind, codec, folder of a tokenize stage's output)."""
    folder, kind = tmp_path_factory.mktemp(request.param), request.param
    module = plugins.find("text.codecs", kind)
    config = Plugin.check("text.codecs", {"kind": kind, "vocab_size": 360})
    module.learn(config, lambda: iter(LINES), folder, "joint", seed=1)
    (folder / "codecs.json").write_text(f'{{"source": {{"kind": "{kind}", "name": "joint"}}}}')
    return kind, module.load({"kind": kind, "name": "joint"}, folder), folder


def encoded(codec, texts, max_length=10_000):
    """A block of ids as written by vectorize."""
    rows = codec.encode(tf.constant(texts)).to_list()
    ids = Ids.from_lists([[*row[: max_length - 1], codec.end_id] for row in rows])
    return ids.blocks


def lists(blocks):
    return [values[a:b].tolist() for values, offsets in blocks for a, b in itertools.pairwise(offsets)]


def sampler(learnt, texts, options, max_length=10_000):
    kind, codec, folder = learnt
    blocks = encoded(codec, texts, max_length)
    values = {"alpha": None, "dropout": None, **options[kind]}
    return sampling.load(folder, "source", blocks, **values, max_length=max_length), lists(blocks)


# Samples are other segmentations of the same text


def test_every_sample_decodes_to_the_text_of_the_codecs_own_ids(learnt):
    codec = learnt[1]
    source, own = sampler(learnt, TEXTS, STRONG)
    drawn = lists(source.draw(7))
    assert sum(one != other for one, other in zip(drawn, own, strict=True)) > 0.9 * len(LINES)
    texts = [codec.decode(tf.ragged.constant(rows).to_tensor(0)).numpy().tolist() for rows in (drawn, own)]
    assert texts[0] == texts[1]


def test_a_large_alpha_or_no_dropout_gives_the_codecs_ids(learnt):
    source, own = sampler(learnt, TEXTS, NEUTRAL)
    assert lists(source.draw(7)) == own


def test_merging_without_dropout_is_the_codecs_encoding(learnt):
    kind, codec, folder = learnt
    if kind != "bpe":
        return
    words = sorted({word for line in LINES for word in line.split()})
    units = [row[:-1] for row in lists(encoded(codec, words))]
    merges = Merges(Pieces.read(folder / "joint.model"), units, 0.0)
    symbols = merges.merge(np.arange(len(units)), np.zeros(len(units), np.uint64))
    assert [row[row >= 0].tolist() for row in symbols] == units


# Distributions

UNIGRAM = {"▁": -2.0, "a": -1.5, "b": -2.5, "▁a": -1.0, "ab": -1.2, "ba": -2.2, "aba": -1.9, "▁ab": -3.0, "bab": -4.0}
BPE = {"ab": 0.0, "▁a": -1.0, "ba": -2.0, "aba": -3.0, "▁ab": -4.0, "abab": -5.0, "▁": -6.0, "a": -7.0, "b": -8.0}


def tiny(table):
    marks = ["<pad>", "<unk>", "<s>", "</s>"]
    return Pieces([*marks, *table], [0.0] * 4 + list(table.values()), [False] * 4 + [True] * len(table))


def segmentations(text, names):
    """All segmentations of a text, by enumeration."""
    if not text:
        yield ()
    for piece in names:
        if text.startswith(piece):
            for rest in segmentations(text[len(piece) :], names):
                yield (piece, *rest)


def dropped_merges(symbols, dropout):
    """{segmentation: probability} of BPE-dropout, by enumerating all sets of dropped merges."""
    options = [
        (-BPE[left + right], place)
        for place, (left, right) in enumerate(itertools.pairwise(symbols))
        if left + right in BPE
    ]
    total = Counter()
    for kept in itertools.product([False, True], repeat=len(options)):
        chance = math.prod(1 - dropout if keep else dropout for keep in kept)
        left = [option for option, keep in zip(options, kept, strict=True) if keep]
        if not left:
            total[symbols] += chance
            continue
        place = min(left)[1]
        merged = (*symbols[:place], symbols[place] + symbols[place + 1], *symbols[place + 2 :])
        for found, share in dropped_merges(merged, dropout).items():
            total[found] += chance * share
    return total


def expected_unigram(text, alpha):
    weights = {way: math.exp(alpha * sum(UNIGRAM[piece] for piece in way)) for way in segmentations(text, UNIGRAM)}
    return {way: weight / sum(weights.values()) for way, weight in weights.items()}


def expected_bpe(text, dropout):
    return dropped_merges(tuple(text), dropout)


@pytest.mark.parametrize(
    ("table", "expected", "kind", "strength"),
    [
        (UNIGRAM, expected_unigram, Lattices, 0.0),
        (UNIGRAM, expected_unigram, Lattices, 0.3),
        (UNIGRAM, expected_unigram, Lattices, 1.0),
        (BPE, expected_bpe, Merges, 0.1),
        (BPE, expected_bpe, Merges, 0.5),
    ],
)
def test_frequencies_are_those_of_the_enumerated_distribution(table, expected, kind, strength):
    pieces, draws = tiny(table), 40_000
    number = pieces.ids()
    own = max(expected("▁abab", 50.0 if kind is Lattices else 0.0).items(), key=lambda item: item[1])[0]
    rows = Ids.from_lists([[*(number[name] for name in own), 3]] * draws)
    found = Counter(
        map(tuple, lists(Sampler(rows.blocks, pieces, lambda p, u: kind(p, u, strength), max_length=50).draw(5)))
    )
    distribution = {(*(number[name] for name in way), 3): chance for way, chance in expected("▁abab", strength).items()}
    assert sum(distribution.values()) == pytest.approx(1)
    assert set(found) <= set(distribution)
    assert len(distribution) > 4
    # Rare ones are pooled: chi-square needs at least five of each.
    common = [way for way, chance in distribution.items() if chance * draws >= 5]
    counts = [found[way] for way in common]
    chances = [draws * distribution[way] for way in common]
    if draws - sum(chances) > 5:
        counts, chances = [*counts, draws - sum(counts)], [*chances, draws - sum(chances)]
    chances = [chance * sum(counts) / sum(chances) for chance in chances]
    assert scipy.stats.chisquare(counts, chances).pvalue > 0.001


def test_random_bits_are_uniform_and_streams_are_independent():
    streams = sampling_random.random_streams(1, np.repeat(np.arange(1000), 20), np.tile(np.arange(20), 1000))
    assert len(set(streams.tolist())) == 20_000
    draws = np.stack([sampling_random.random_bits(streams, number) for number in range(3)])
    for bits in draws:
        assert scipy.stats.kstest(bits / 2**32, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(draws.astype(float))[np.triu_indices(3, 1)]).max() < 0.03
    assert abs(np.corrcoef(draws[0][:-1].astype(float), draws[0][1:].astype(float))[0, 1]) < 0.03


# A pure function of seed, epoch and row


def test_the_sample_of_a_row_does_not_depend_on_other_rows(learnt, monkeypatch):
    source, _ = sampler(learnt, LINES, STRONG)
    whole = lists(source.draw(3))
    monkeypatch.setattr(sampling, "CHUNK_UNITS", 50)
    assert lists(source.draw(3)) == whole
    others = [*LINES[:40], *reversed(TEXTS)]  # rows 0 to 39 as before
    assert lists(sampler(learnt, others, STRONG)[0].draw(3))[:40] == whole[:40]


def test_samples_do_not_depend_on_the_division_into_blocks(learnt):
    kind, codec, folder = learnt
    (values, offsets), options = encoded(codec, LINES)[0], {"alpha": None, "dropout": None, **STRONG[kind]}
    parts = [(values, offsets[:31]), (values, offsets[30:])]  # as slices of one Arrow column lie
    split = sampling.load(folder, "source", parts, **options, max_length=99)
    whole = sampling.load(folder, "source", [(values, offsets)], **options, max_length=99)
    assert lists(split.draw(1)) == lists(whole.draw(1))


def rows_of(learnt, options=STRONG, count=len(LINES), **more):
    """Rows whose target is their source, both sampled."""
    kind, codec, folder = learnt
    (folder / "codecs.json").write_text(
        "{" + ", ".join(f'"{name}": {{"kind": "{kind}", "name": "joint"}}' for name in ("source", "target")) + "}"
    )
    size = {"kind": "ids", "vocab_size": codec.vocab_size, "max_length": more.pop("max_length", 90)}
    ids = Ids(encoded(codec, LINES[:count], size["max_length"]))
    sizes = Sizes({"source": size}, "target", size)
    chosen = SubwordSampling(**options[kind], **more)
    return with_samplers(Rows({"source": ids}, ids), folder, sizes, chosen, seed=1), sizes


def flat(ids):
    return lists(ids.blocks)


def test_epochs_sides_and_seeds_differ_and_repeat(learnt):
    rows, _ = rows_of(learnt)
    first, second = rows.for_epoch(1), rows.for_epoch(2)
    assert flat(first.inputs["source"]) == flat(rows.for_epoch(1).inputs["source"])
    assert flat(first.inputs["source"]) != flat(second.inputs["source"])
    assert flat(first.inputs["source"]) != flat(first.target)  # the same texts, drawn apart
    assert flat(replace(rows, seed=2).for_epoch(1).inputs["source"]) != flat(first.inputs["source"])


def test_one_side_alone_can_be_sampled(learnt):
    rows, _ = rows_of(learnt, sides="source")
    drawn = rows.for_epoch(1)
    assert flat(drawn.inputs["source"]) != flat(rows.inputs["source"])
    assert drawn.target is rows.target


# Lengths


def test_a_row_with_a_sample_longer_than_max_length_keeps_its_ids(learnt):
    strongest = {"unigram": {"alpha": 0.0}, "bpe": {"dropout": 0.9}}
    free = lists(sampler(learnt, LINES, strongest)[0].draw(4))
    source, own = sampler(learnt, LINES, strongest, max_length=max(map(len, free)) - 10)
    limit = source.max_length
    drawn = lists(source.draw(4))
    assert drawn == [row if len(row) <= limit else mine for row, mine in zip(free, own, strict=True)]
    assert 0 < sum(len(row) > limit for row in free) < len(LINES)
    # Rows truncated by vectorize keep their ids, or their samples are as short.
    source, own = sampler(learnt, LINES, strongest, max_length=12)
    assert max(map(len, lists(source.draw(4)))) == 12
    assert all(row[-1] == 3 for row in lists(source.draw(4)))


def test_a_row_with_a_sample_longer_than_width_keeps_its_ids(learnt):
    source, own = sampler(learnt, LINES, STRONG)
    free = lists(source.draw(2))
    width = sorted(map(len, free))[-10]
    drawn = lists(source.draw(2, max(width, max(map(len, own)))))
    limit = max(width, max(map(len, own)))
    assert drawn == [row if len(row) <= limit else mine for row, mine in zip(free, own, strict=True)]


def test_epochs_have_the_same_shapes_and_each_row_once(learnt):
    rows, _ = rows_of(learnt)
    settings = Settings(batch_tokens=600, num_shapes=3)
    plan = batches.plan(rows, settings)
    shapes = {tuple(bucket.widths.values()) for bucket in plan.buckets}
    for number in (1, 2, 3):
        drawn, order = batches.epoch(plan, rows, number)
        assert sorted(np.concatenate([batch.rows for batch in order])) == list(range(len(LINES)))
        assert {tuple(batch.widths.values()) for batch in order} <= shapes
        for batch in order:
            assert len(batch.rows) * max(batch.widths.values()) <= 600
            drawn.inputs["source"].gather(batch.rows, batch.widths["source"])  # asserts that they fit
            drawn.target.gather(batch.rows, batch.widths["target"])
        again, same_order = batches.epoch(batches.plan(rows_of(learnt)[0], settings), rows_of(learnt)[0], number)
        assert flat(again.inputs["source"]) == flat(drawn.inputs["source"])
        assert all(np.array_equal(one.rows, other.rows) for one, other in zip(order, same_order, strict=True))


def test_rows_with_a_sample_longer_than_any_shape_keep_their_ids(learnt):
    rows, _ = rows_of(learnt, {"unigram": {"alpha": 0.0}, "bpe": {"dropout": 0.9}})
    plan = batches.plan(rows, Settings(batch_tokens=2000, num_shapes=2))
    own, kept = flat(rows.inputs["source"]), 0
    for number in range(2, 12):
        free, (drawn, _) = flat(rows.for_epoch(number).inputs["source"]), batches.epoch(plan, rows, number)
        late = [len(row) > plan.widths["source"] for row in free]
        assert flat(drawn.inputs["source"]) == [
            mine if wide else row for row, mine, wide in zip(free, own, late, strict=True)
        ]
        kept += sum(late)
    assert plan.widths["source"] >= max(map(len, own))
    assert kept < 10 * len(LINES) / 20  # the headroom of the first epoch's longest row nearly always does


# Training


class Stopped(Exception):
    """Interrupts a run."""


def trained(learnt, folder, stop_after=None, monkeypatch=None, **options):
    from textpipe.models import recurrent

    rows, sizes = rows_of(learnt, count=64, **options)
    config = recurrent.Config(units=8, embedding_size=6, attention="none", dropout=0.2, embedding_dropout=0.2)
    model = recurrent.build(config, sizes, seed=1)
    plain = Rows({"source": rows.inputs["source"]}, rows.target)
    settings = Settings(epochs=3, batch_rows=16, num_shapes=1, checkpoint_steps=1, optimizer={"kind": "adam"})
    take, taken = loop.Loop.update, []

    def dying(self, *arguments):
        taken.append(None)
        if len(taken) == stop_after:
            raise Stopped
        take(self, *arguments)

    if stop_after:
        with monkeypatch.context() as patch:
            patch.setattr(loop.Loop, "update", dying)
            with pytest.raises(Stopped):
                loop.fit(model, {"train": rows, "valid": plain}, settings, folder)
    else:
        loop.fit(model, {"train": rows, "valid": plain}, settings, folder)
    return [np.array(weight.value) for weight in model.weights]


@pytest.mark.parametrize("learnt", ["bpe"], indirect=True)
def test_a_run_stopped_inside_an_epoch_resumes_with_the_same_samples(learnt, tmp_path, monkeypatch):
    whole = trained(learnt, tmp_path / "whole")
    trained(learnt, tmp_path / "stopped", stop_after=7, monkeypatch=monkeypatch)
    resumed = trained(learnt, tmp_path / "stopped")
    assert all(np.array_equal(one, other) for one, other in zip(whole, resumed, strict=True))
    unlike = trained(learnt, tmp_path / "plain", options=NEUTRAL)
    assert not all(np.array_equal(one, other) for one, other in zip(whole, unlike, strict=True))


# Errors


@pytest.mark.parametrize("options", [{}, {"alpha": 0.1, "dropout": 0.1}])
def test_exactly_one_option_must_be_set(options):
    with pytest.raises(ValueError, match=r"give either alpha \(codec unigram\) or dropout \(codec bpe\)"):
        SubwordSampling(**options)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("words", {"alpha": 0.1}, r"codec 'words' of 'source' has only one segmentation.*codec to 'unigram'"),
        ("bpe", {"alpha": 0.1}, r"alpha: is for codec 'unigram', but 'source' has codec 'bpe'.*\{ dropout = 0.1 \}"),
        (
            "unigram",
            {"dropout": 0.1},
            r"dropout: is for codec 'bpe', but 'source' has codec 'unigram'.*\{ alpha = 0.1 \}",
        ),
    ],
)
def test_a_codec_of_another_kind_is_an_error(kind, options, message, tmp_path):
    (tmp_path / "codecs.json").write_text(f'{{"source": {{"kind": "{kind}", "name": "joint"}}}}')
    values = {"alpha": None, "dropout": None, **options}
    with pytest.raises(ConfigError, match=message):
        sampling.load(tmp_path, "source", [], **values, max_length=9)


def test_features_without_subwords_are_errors(tmp_path):
    sizes = Sizes({"text": {"kind": "sparse", "dim": 9}}, "label", {"kind": "label", "classes": ["a", "b"]})
    rows = functools.partial(Rows, {"text": Ids.from_lists([[3]])}, Labels([0], 2), "label")
    with pytest.raises(ConfigError, match="expected token ids in 'text', found n-grams; set .vectorize. features"):
        with_samplers(rows(), tmp_path, sizes, SubwordSampling(alpha=0.1), seed=1)
    with pytest.raises(ConfigError, match="expected token ids in 'label', found labels; set sides"):
        with_samplers(rows(), tmp_path, sizes, SubwordSampling(alpha=0.1, sides="target"), seed=1)
