"""Plans of batches and the rows they gather."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse

from textpipe.config.fields import Sizes
from textpipe.data.columns import Ids, Labels, Sparse
from textpipe.errors import ConfigError, DataError
from textpipe.training.batching import batches
from textpipe.training.batching import rows as reading
from textpipe.training.batching.batches import WIDTH_MULTIPLE, Plan, partition
from textpipe.training.batching.rows import Rows


def named(source, target):
    """Lengths by field."""
    return {"source": source, "target": target}


@pytest.fixture
def lengths():
    random = np.random.default_rng(0)
    source = random.integers(1, 60, size=1000)
    return source, np.maximum(1, source + random.integers(-9, 9, size=1000))


def test_an_epoch_has_every_row_once(lengths):
    plan = Plan(named(*lengths), batch_tokens=512, seed=1)
    for number in (1, 2):
        batches = plan.epoch(number)
        assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(1000))
        assert len(batches) == plan.num_batches


def test_padded_tokens_stay_within_the_budget_and_hold_every_row(lengths):
    source, target = lengths
    for batch in Plan(named(*lengths), batch_tokens=512, batch_rows=20, seed=1).epoch(1):
        assert len(batch.rows) * max(batch.widths.values()) <= 512
        assert len(batch.rows) <= 20
        assert source[batch.rows].max() <= batch.widths["source"]
        assert target[batch.rows].max() <= batch.widths["target"]


def test_the_order_depends_only_on_seed_and_epoch(lengths):
    def order(seed, epoch):
        return [tuple(batch.rows) for batch in Plan(named(*lengths), batch_tokens=512, seed=seed).epoch(epoch)]

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_widths_are_few(lengths):
    plan = Plan(named(*lengths), batch_tokens=512, seed=1, num_shapes=3)
    assert len({tuple(batch.widths.values()) for batch in plan.epoch(1)}) == 3


def test_bucketing_leaves_less_padding_than_random_batches(lengths):
    source, target = lengths
    real = source.sum() + target.sum()
    padded = sum(len(b.rows) * (sum(b.widths.values())) for b in Plan(named(*lengths), batch_rows=16, seed=1).epoch(1))
    chunks = np.random.default_rng(1).permutation(1000).reshape(-1, 10)
    random = sum(10 * (source[chunk].max() + target[chunk].max()) for chunk in chunks)
    assert padded - real < 0.4 * (random - real)


def test_the_partition_is_as_good_as_the_best_by_brute_force(monkeypatch):
    monkeypatch.setattr(batches, "MIN_SAVING", 0.0)
    random = np.random.default_rng(2)
    for _ in range(20):
        widths = WIDTH_MULTIPLE * random.integers(1, 5, size=(12, 2))
        order = np.argsort(widths.sum(axis=1), kind="stable")
        edges = [cut for cut in range(1, 12) if widths[order[cut]].sum() > widths[order[cut - 1]].sum()]

        def padded(groups, widths=widths):
            return sum(len(group) * widths[group].max(axis=0).sum() for group in groups if len(group))

        best = min(
            padded(np.split(order, list(cuts))) for count in range(3) for cuts in itertools.combinations(edges, count)
        )
        found = partition(widths, 3)
        assert sorted(np.concatenate(found)) == list(range(12))
        assert len(found) <= 3
        assert padded(found) == best


def test_a_width_that_saves_almost_nothing_is_not_traced():
    lengths = [8] * 100 + [16] * 3 + [20]
    assert [len(rows) for rows in partition(np.array([lengths, lengths]).T, 6)] == [100, 4]


def test_a_row_wider_than_the_budget_is_refused_with_the_width_it_needs():
    with pytest.raises(ConfigError, match="raise batch_tokens to at least 80"):
        Plan({"source": [5, 80]}, batch_tokens=64, seed=1)


def test_redrawn_lengths_are_batched_in_the_first_shapes(lengths):
    source, target = lengths
    plan = Plan(named(source, target), batch_tokens=512, seed=1, num_shapes=4, redrawn=True)
    shapes = {tuple(batch.widths.values()) for batch in plan.epoch(1)}
    widest = {
        "source": -(-source.max() // WIDTH_MULTIPLE) * WIDTH_MULTIPLE,
        "target": -(-target.max() // WIDTH_MULTIPLE) * WIDTH_MULTIPLE,
    }
    assert plan.widths == widest
    random = np.random.default_rng(7)
    order = random.permutation(1000)  # now other rows are long
    for new in ((source[order], target[order]), (random.integers(1, 9, 1000), np.full(1000, target.max()))):
        planned = plan.epoch(2, named(*new))
        assert sorted(np.concatenate([batch.rows for batch in planned])) == list(range(1000))
        for batch in planned:
            width = tuple(batch.widths.values())
            assert width in shapes
            assert len(batch.rows) * max(width) <= 512
            for row in batch.rows:
                holding = [shape for shape in shapes if new[0][row] <= shape[0] and new[1][row] <= shape[1]]
                assert sum(width) == min(map(sum, holding))


def test_unchanged_lengths_need_no_more_batches_than_planned(lengths):
    plan = Plan(named(*lengths), batch_tokens=512, seed=1, num_shapes=4, redrawn=True)
    assert len(plan.epoch(3, named(*lengths))) <= plan.num_batches


def test_a_split_without_rows_has_no_batches():
    assert Plan({"source": []}, batch_tokens=64, seed=1).epoch(1) == []


def test_ids_gather_like_a_loop_over_rows_across_blocks():
    random = np.random.default_rng(3)
    lists = [list(random.integers(1, 99, size=random.integers(0, 7))) for _ in range(30)]
    parts = lists[:11], lists[11:12], lists[12:]
    ids = Ids([(np.concatenate(part).astype(np.int32), np.cumsum([0, *map(len, part)])) for part in parts])
    chosen = random.permutation(30)[:17]
    expected = [lists[row] + [0] * (8 - len(lists[row])) for row in chosen]
    assert ids.gather(chosen, 8).tolist() == expected
    assert ids.lengths.tolist() == [len(row) for row in lists]


def test_sparse_rows_gather_like_scipy_slices():
    import tensorflow as tf

    matrix = scipy.sparse.random(40, 30, 0.15, random_state=0, format="csr", dtype=np.float32)
    chosen = np.random.default_rng(4).permutation(40)[:13]
    batch = Sparse.from_scipy(matrix).gather(chosen)
    np.testing.assert_array_equal(tf.sparse.to_dense(batch), matrix[chosen].toarray())


def test_vectorized_shards_are_read_in_order_without_copying_values(tmp_path):
    texts = [[4, 5, 3], [3], [], [9, 3], [8, 8, 8, 3]]
    schema = pa.schema([("row", pa.int64()), ("text", pa.list_(pa.int32())), ("label", pa.int32())])
    (tmp_path / "train").mkdir()
    for shard, part in enumerate((slice(0, 2), slice(2, 5))):
        numbers = range(*part.indices(5))
        table = pa.table([numbers, texts[part], [row % 2 for row in numbers]], schema=schema)
        with pa.ipc.new_file(tmp_path / "train" / f"{shard:05d}.arrow", schema) as writer:
            writer.write_table(table, max_chunksize=2)
    sizes = Sizes(
        {"text": {"kind": "ids", "feature": "ids", "vocab_size": 10}},
        "label",
        {"kind": "label", "feature": "label", "classes": ["a", "b"]},
    )
    before = pa.total_allocated_bytes()
    rows = reading.read(tmp_path, "train", sizes)
    assert pa.total_allocated_bytes() == before
    assert rows.inputs["text"].gather(np.arange(5), 4).tolist() == [text + [0] * (4 - len(text)) for text in texts]
    assert rows.target.gather(np.arange(5)).tolist() == [0, 1, 0, 1, 0]


def test_sparse_shards_are_read(tmp_path):
    matrix = scipy.sparse.random(12, 9, 0.3, random_state=1, format="csr", dtype=np.float32)
    indices = [matrix[row].indices.tolist() for row in range(12)]
    values = [matrix[row].data.tolist() for row in range(12)]
    columns = {"text.indices": pa.array(indices, pa.list_(pa.int32()))}
    columns |= {"text.values": pa.array(values, pa.list_(pa.float32())), "label": pa.array([0] * 12, pa.int32())}
    (tmp_path / "valid").mkdir()
    table = pa.table(columns)
    with pa.ipc.new_file(tmp_path / "valid" / "00000.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    sizes = Sizes(
        {"text": {"kind": "sparse", "feature": "counts", "dim": 9}},
        "label",
        {"kind": "label", "feature": "label", "classes": ["a", "b"]},
    )
    rows = reading.read(tmp_path, "valid", sizes)
    import tensorflow as tf

    chosen = np.array([11, 0, 6, 5])
    np.testing.assert_array_equal(tf.sparse.to_dense(rows.inputs["text"].gather(chosen)), matrix[chosen].toarray())


def test_a_split_that_does_not_exist_has_no_rows(tmp_path):
    sizes = Sizes(
        {"text": {"kind": "ids", "feature": "ids", "vocab_size": 10}},
        "label",
        {"kind": "label", "feature": "label", "classes": ["a", "b"]},
    )
    assert len(reading.read(tmp_path, "valid", sizes)) == 0


def test_sources_without_targets_are_refused():
    with pytest.raises(DataError, match="2 sources and 1 targets"):
        Rows({"source": Ids.from_lists([[3], [3]])}, Labels([0], 2))


def test_without_fixed_widths_a_tenth_of_a_batch_at_most_is_padding_and_rows_keep_mixing(lengths):
    source, target = (np.tile(side % 25 + 1, 20) for side in lengths)
    plan = Plan(named(source, target), batch_tokens=1024, seed=1, num_shapes=None)
    batches = plan.epoch(1)
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(20_000))
    padded = sum(len(batch.rows) * (sum(batch.widths.values())) for batch in batches)
    assert source.sum() + target.sum() > 0.9 * padded
    for batch in batches:
        assert len(batch.rows) * max(batch.widths.values()) <= 1024
        assert source[batch.rows].max() <= batch.widths["source"]
        assert target[batch.rows].max() <= batch.widths["target"]
    # No batch of the first epoch recurs: each is drawn from a group that fills several batches.
    again = {frozenset(batch.rows) for batch in plan.epoch(2)}
    assert not again & {frozenset(batch.rows) for batch in batches}


def test_redrawn_rows_are_regrouped_without_fixed_widths(lengths):
    source, target = (np.minimum(side, 40) for side in lengths)
    plan = Plan(named(source, target), batch_tokens=512, seed=1, num_shapes=None, redrawn=True)
    drawn = np.roll(source, 1), np.roll(target, 1)
    batches = plan.epoch(3, named(*drawn))
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(1000))
    padded = sum(len(batch.rows) * (sum(batch.widths.values())) for batch in batches)
    assert source.sum() + target.sum() > 0.8 * padded
    for batch in batches:
        assert drawn[0][batch.rows].max() <= batch.widths["source"]
        assert drawn[1][batch.rows].max() <= batch.widths["target"]
