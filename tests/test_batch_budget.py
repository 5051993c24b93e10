"""batch_tokens = "auto": when the search ends, that it has no side effects, and that a resumed run does not repeat it."""

import json
import mmap

import pytest
import test_training_loop as tests

from textpipe.errors import ConfigError
from textpipe.objectives import sequence
from textpipe.training import loop, steps
from textpipe.training.batching import batch_budget, batches
from textpipe.training.settings import Settings
from textpipe.training.telemetry import memory


def thousand(tokens):
    return 1000 * tokens


def searched(monkeypatch, *, bytes_of=thousand, speed=thousand, free=10**12, rows=4000, fewest=2, **settings):
    """The result of the search if steps take these bytes and have this speed."""

    def take(self, tokens):
        return {"tokens": tokens, "bytes": bytes_of(tokens), "speed": speed(tokens)}

    monkeypatch.setattr(batch_budget.Trial, "measure", take)
    monkeypatch.setattr(memory, "available", lambda: free)
    monkeypatch.setattr(batch_budget, "MIN_UPDATES", fewest)
    rows, settings = tests.reversals(rows), Settings(batch_tokens="auto", **settings)
    return batch_budget.search(steps_of(tests.plain_generator(), rows, settings), rows, settings)


def test_the_largest_batch_predicted_to_fit_is_chosen(monkeypatch):
    # 50 MB and 1,000 bytes a token: 32,768 tokens take 82.8 MB, 65,536 would take 115.5. Half of the free memory may be
    # used.
    found = searched(monkeypatch, bytes_of=lambda tokens: 50e6 + 1000 * tokens, free=2 * 110e6, rows=12_000)
    assert (found["batch_tokens"], found["ended_by"]) == (32_768, "memory")


def test_a_size_that_is_no_faster_is_not_chosen(monkeypatch):
    found = searched(monkeypatch, speed=lambda tokens: min(tokens, 2100))
    assert (found["batch_tokens"], found["ended_by"]) == (2048, "speed")


def test_an_epoch_keeps_a_minimum_of_updates(monkeypatch):
    found = searched(monkeypatch, rows=4000, fewest=10)
    rows = tests.reversals(4000)
    kept, missed = (
        batches.plan(rows, Settings(batch_tokens=size * found["batch_tokens"])).num_batches for size in (1, 2)
    )
    assert (found["ended_by"], kept >= 10, missed < 10) == ("updates", True, True)


def test_updates_of_several_batches_are_counted_as_updates(monkeypatch):
    """With four batches per update, batches are a quarter in size for as many updates."""
    found = searched(monkeypatch, rows=12_000, fewest=10, accumulate=4)
    assert found["ended_by"] == "updates"
    rows, tokens = tests.reversals(12_000), found["batch_tokens"]
    kept, missed = (-(-batches.plan(rows, Settings(batch_tokens=size * tokens)).num_batches // 4) for size in (1, 2))
    assert kept >= 10 > missed
    assert tokens < searched(monkeypatch, rows=12_000, fewest=10)["batch_tokens"]


def test_no_larger_batch_is_tried_than_batch_rows_allows(monkeypatch):
    found = searched(monkeypatch, batch_rows=300)
    assert (found["batch_tokens"], found["ended_by"]) == (4096, "rows")  # 8 tokens per row: 300 rows are 2,400


def test_a_trial_is_an_update_like_those_of_the_run(monkeypatch):
    """Of several batches with accumulation, and with words replaced by scheduled sampling."""
    seen, train_step = [], steps.Steps.train

    def noted(self, rows, group, number):
        seen.append((len(group), len(group[0].rows), number, self.accumulator is not None))
        return train_step(self, rows, group, number)

    monkeypatch.setattr(steps.Steps, "train", noted)
    settings = Settings(batch_tokens="auto", accumulate=3, batch_rows=5, scheduled_sampling={"start": 7, "steps": 40})
    rows = tests.reversals(20)
    trial = batch_budget.Trial(steps_of(tests.plain_generator(), rows, settings), rows, settings)
    trial.measure(64)
    assert seen == [(2, 5, 47, True)] * 3


def steps_of(model, rows, settings):
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    return steps.Steps(model, optimizer, settings, tf.distribute.get_strategy(), len(rows), sequence)


def test_too_little_memory_is_an_error_with_a_cure(monkeypatch):
    import tensorflow as tf

    def take(self, tokens):
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    monkeypatch.setattr(batch_budget.Trial, "measure", take)
    rows, settings = tests.reversals(9), Settings(batch_tokens="auto")
    with pytest.raises(ConfigError, match="not even 1024 tokens fit.*make the model smaller"):
        batch_budget.search(steps_of(tests.plain_generator(), rows, settings), rows, settings)


def test_the_search_does_not_change_the_run_and_is_not_repeated(monkeypatch, tmp_path):
    monkeypatch.setattr(batch_budget, "MIN_TOKENS", 64)
    monkeypatch.setattr(batch_budget, "MAX_TOKENS", 128)
    monkeypatch.setattr(batch_budget, "MIN_UPDATES", 2)
    data = {"train": tests.reversals(64), "valid": tests.reversals(16, seed=1)}
    # A step of so few tokens may need no new memory, so the reports of the system are mocked.
    monkeypatch.setattr(memory, "resident", lambda: 1_000_000)
    monkeypatch.setattr(memory, "peak", lambda: 3_000_000)
    own, auto = tests.generator(), tests.generator()
    settings = {"epochs": 2, "num_shapes": 1}
    result = loop.fit(auto, data, Settings(batch_tokens="auto", **settings), tmp_path)
    assert result["batch_tokens"]["batch_tokens"] in (64, 128)
    del result["batch_tokens"]["ended_by"]
    loop.fit(own, data, Settings(**result["batch_tokens"], **settings))
    assert tests.same(tests.weights(own), tests.weights(auto))  # including the seeds of dropout
    tried = json.loads((tmp_path / "resume/batch_tokens.json").read_text())["tried"]
    assert [one["tokens"] for one in tried] in ([64], [64, 128])
    assert all(one["bytes"] == 2_000_000 for one in tried)
    monkeypatch.setattr(batch_budget, "search", None)
    note = tmp_path / "resume/batch_tokens.json"
    again, found = batch_budget.resolve(None, data["train"], Settings(batch_tokens="auto"), note)
    assert again.batch_tokens == found["batch_tokens"] == result["batch_tokens"]["batch_tokens"]


def test_sparse_rows_have_no_tokens(tmp_path):
    import scipy.sparse

    from textpipe.data.columns import Labels, Sparse
    from textpipe.training.batching.rows import Rows

    rows = Rows({"source": Sparse.from_scipy(scipy.sparse.eye(3).tocsr())}, Labels([0, 1, 0], 2))
    with pytest.raises(ConfigError, match="sparse rows have no tokens"):
        batch_budget.resolve(None, rows, Settings(batch_tokens="auto"), tmp_path / "note")


# Memory


def test_the_peak_is_measured_and_can_be_reset():
    if not memory.reset_peak():
        pytest.skip("this system does not reset the peak")
    before = memory.peak()
    # A separate mapping, because the allocator may keep the memory of a freed array.
    with mmap.mmap(-1, 30_000_000) as held:
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
    assert memory.peak() > before + 25e6
    memory.reset_peak()
    assert memory.peak() < before + 25e6


@pytest.mark.parametrize("version", [1, 2])
def test_available_memory_is_the_minimum_of_machine_and_control_groups(version, monkeypatch, tmp_path):
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    folder = (groups / "memory" if version == 1 else groups) / "jobs/mine"
    (proc / "self").mkdir(parents=True)
    folder.mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    8000 kB\n")
    (proc / "self/cgroup").write_text("3:cpu:/x\n4:memory:/jobs/mine\n" if version == 1 else "0::/jobs/mine\n")
    limit, used, files = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("memory.max", "memory.current", "inactive_file")
    )
    monkeypatch.setattr(memory, "PROC", proc)
    monkeypatch.setattr(memory, "CGROUPS", groups)
    assert memory.available() == 8000 * 1024
    (folder / limit).write_text("9223372036854771712" if version == 1 else "max\n")
    assert memory.available() == 8000 * 1024
    (folder.parent / limit).write_text("5000000\n")
    (folder.parent / used).write_text("4000000\n")
    (folder.parent / "memory.stat").write_text(f"cache 12\n{files} 250000\n")
    assert memory.available() == 1_250_000
