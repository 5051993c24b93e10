"""Engines: the same bytes wherever the shards of a stage run, and nothing lost or done twice when workers die."""

import errno
import functools
import io
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing import connection

import pytest

from textpipe.config import plugins
from textpipe.data import shards
from textpipe.engines import _scheduler, _worker, processes
from textpipe.errors import ColumnError, ConfigError, DataError, ResourceError
from textpipe.pipeline import runner

PIPELINE = """
task = "classify"
[ingest]
files = ["a.tsv", "b.tsv", "c.tsv"]
min_count = 3
on_bad_rows = "drop"
[tokenize]
codec = { kind = "unigram", vocab_size = 300 }
[vectorize]
features = "ids"
[model]
kind = "pooled"
encoder = "bag"
[engine]
kind = "processes"
workers = 2
"""
WORDS = "could you send the plan please thanks for it call me now later today tomorrow report is fine".split()


@pytest.fixture(autouse=True)
def log_level():
    """A worker in this process (FakeLauncher) would leave the log quiet for the tests after these."""
    logger = logging.getLogger("textpipe")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A pipeline over 300 rows of three files, in shards of 40, with duplicates, a rare label, a file that is
    not UTF-8 and a damaged row.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "SHARD_ROWS", 40)
    draw = random.Random(1)
    lines = [f"{' '.join(draw.choices(WORDS, k=6))} {number}\t{draw.choice(('yes', 'no'))}" for number in range(300)]
    lines[150], lines[260], lines[40], lines[210] = lines[3], lines[3], "caf\udce9 is fine\tyes", "seldom\tnever"
    lines.insert(180, "three\tcolumns\there")
    for name, rows in zip("abc", (lines[:120], lines[120:200], lines[200:]), strict=True):
        text = "\n".join(["text\tlabel", *rows]) + "\n"
        (tmp_path / f"{name}.tsv").write_text(text, encoding="utf-8", errors="surrogateescape")
    (tmp_path / "mail.toml").write_text(PIPELINE, encoding="utf-8")
    return tmp_path / "mail.toml"


def digests(pipeline, engine):
    loaded = runner.Pipeline.load(pipeline, (f"engine={engine}",) if engine else ())
    result = runner.run(loaded, until="vectorize", artifacts=pipeline.parent / f"artifacts_{engine}")
    return {stage: (artifact.path.name, artifact.digest) for stage, artifact in result.artifacts.items()}


def test_every_engine_writes_the_same_bytes_under_the_same_keys(pipeline):
    inline = digests(pipeline, "inline")
    folder = pipeline.parent / "artifacts_inline"
    stats = json.loads((folder / "ingest" / inline["ingest"][0] / "stats.json").read_text(encoding="utf-8"))
    assert {name for name, count in stats["repairs"].items() if count} == {"bad_rows", "rare_label_rows"}
    assert stats["encodings"]
    assert sum(split["duplicates"] for split in stats["splits"].values()) == 2
    assert len(shards.paths(folder / "vectorize" / inline["vectorize"][0], "train")) > 3
    assert digests(pipeline, None) == inline  # the file's [engine] is processes


def test_another_engine_reuses_the_results(pipeline):
    loaded = runner.Pipeline.load(pipeline, ("engine=inline",))
    artifacts = pipeline.parent / "artifacts"
    runner.run(loaded, until="normalize", artifacts=artifacts)
    steps = runner.plan(runner.Pipeline.load(pipeline), until="normalize", artifacts=artifacts)
    assert [step.state for step in steps] == ["cached", "cached"]


def square():
    return lambda number: number**2


def killer(folder):
    """Squares; the worker that first gets number 3 or 7 is killed while it runs it."""

    def run(number):
        mark = folder / str(number)
        if number in (3, 7) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    return run


def deadly():
    return lambda number: os.kill(os.getpid(), signal.SIGKILL)


def faulty():
    def run(number):
        if number == 2:
            raise DataError(f"row {number}: damaged; repair it")
        return number

    return run


@pytest.fixture
def two_processes():
    engine = processes.open(processes.Config(workers=2))
    yield engine
    engine.close()


def test_the_shard_of_a_killed_process_runs_again(two_processes, tmp_path):
    results = list(two_processes.map(functools.partial(killer, tmp_path), range(12)))
    assert results == [number**2 for number in range(12)]
    assert {path.name for path in tmp_path.iterdir()} == {"3", "7"}


def test_a_shard_that_kills_every_process_is_an_error(two_processes):
    with pytest.raises(ResourceError, match="signal SIGKILL"):
        list(two_processes.map(deadly, range(2)))


def test_an_error_of_a_shard_is_that_of_inline_and_the_next_job_still_runs(two_processes):
    results = two_processes.map(faulty, range(9))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(DataError, match="row 2: damaged"):
        next(results)
    assert list(two_processes.map(square, range(3))) == [0, 1, 4]


def test_a_module_of_the_working_folder_hides_no_module_that_a_worker_needs(two_processes, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit(5)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder or os.getcwd() for folder in sys.path])
    assert list(two_processes.map(square, range(3))) == [0, 1, 4]


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_processes_need_no_stderr(stream, two_processes, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(two_processes.map(square, range(3))) == [0, 1, 4]


PROGRAM = """
import functools, operator, time
from textpipe.engines import processes
engine = processes.open(processes.Config(workers=2))
engine.scheduler.start()
print(*[worker.process.pid for worker in engine.scheduler.starting], flush=True)
list(engine.map(functools.partial(operator.itemgetter, 0), [[0]]))
print("computing", flush=True)
list(engine.map(functools.partial(functools.partial, time.sleep), [600, 600]))
"""


def ended(pid, seconds=30):
    """Whether a process ends in time; one that nobody waits for has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        connection.wait([], 0.1)
    return False


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
def test_workers_end_with_a_process_that_is_killed_even_while_they_compute():
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert process.stdout.readline() == "computing\n"
        process.kill()
        process.wait()
    assert len(workers) == 2
    assert all(ended(pid) for pid in workers)


def test_ctrl_c_of_the_terminal_reaches_no_worker(two_processes):
    """Or one that is starting would print a traceback."""
    two_processes.scheduler.start()
    sessions = {os.getsid(worker.process.pid) for worker in two_processes.scheduler.starting}
    assert os.getsid(0) not in sessions


def test_a_worker_that_gets_an_item_when_ctrl_c_comes_is_killed():
    class Interrupted(FakeLauncher):
        killed = ()

        def submit(self, worker, job, item):
            raise KeyboardInterrupt

        def kill(self, worker):
            self.killed += (worker,)

    launcher = Interrupted(1, deaths=0)
    with pytest.raises(KeyboardInterrupt):
        list(_scheduler.Scheduler(launcher, size=1).map(square, range(3)))
    assert launcher.killed == (1,)


def test_a_faulty_engine_is_refused_with_its_place(pipeline):
    with pytest.raises(ConfigError, match=r"mail.toml \[engine\] unknown engine 'procesess'; did you mean 'processes'"):
        runner.Pipeline.load(pipeline, ("engine=procesess",))
    with pytest.raises(ConfigError, match=r"mail.toml \[engine\] worker: unknown key; did you mean 'workers'"):
        runner.Pipeline.load(pipeline, ("engine.worker=2",))


class FakeLauncher:
    """Workers that answer, or die, in a random order; remembers how many items were unanswered at once."""

    def __init__(self, seed, deaths):
        self.draw, self.deaths = random.Random(seed), deaths
        self.pending, self.runs, self.launched, self.most = {}, [], 0, 0

    def launch(self):
        self.launched += 1
        self.pending[self.launched] = lambda worker=_worker.Worker(): worker.prepare(os.getcwd(), [], {})
        return self.launched

    def submit(self, worker, job, item):
        def answer(item=item):
            self.runs.append(item)
            return _worker.Worker().run(job, item)

        self.pending[worker] = answer

    def wait(self, workers):
        worker = self.draw.choice(workers)
        answer = self.pending.pop(worker)
        if self.draw.random() < self.deaths:
            return [(worker, _scheduler.Died("by chance"))]
        return [(worker, answer())]

    def kill(self, worker):
        self.pending.pop(worker, None)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_dies_each_result_comes_once_and_in_order(seed):
    launcher = FakeLauncher(seed, deaths=0.1)
    scheduler = _scheduler.Scheduler(launcher, size=1 + seed % 4)
    read = []

    def items():
        for number in range(40):
            read.append(number)
            yield number

    for count, result in enumerate(scheduler.map(square, items())):
        assert result == count**2
        assert len(read) - count <= _scheduler.WINDOW * scheduler.size + 1, "items are read as they are needed"
    assert count == 39
    assert len(launcher.runs) == len(set(launcher.runs)) == 40
    assert not scheduler.busy


def test_unread_results_do_not_reach_the_next_job():
    scheduler = _scheduler.Scheduler(FakeLauncher(1, deaths=0), size=3)
    results = scheduler.map(square, range(100))
    assert next(results) == 0
    results.close()
    assert list(scheduler.map(faulty, range(2))) == [0, 1]


def test_the_setting_workers_is_the_number_of_processes():
    engine = processes.open(processes.Config(workers=3))
    try:
        assert list(engine.map(square, range(20))) == [number**2 for number in range(20)]
        scheduler = engine.scheduler
        assert len(scheduler.idle) + len(scheduler.starting) == 3
    finally:
        engine.close()


def test_an_engine_is_a_plugin():
    assert {"inline", "processes", "ray"} <= set(plugins.names("engines"))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/x"), ResourceError, "data/x: the disk is full"),
        (MemoryError("8 GB"), ResourceError, "memory"),
        (FileNotFoundError(errno.ENOENT, "No such file", "data/x"), DataError, "data/x: No such file"),
        (ColumnError("a.tsv: no column 'y'", "a.tsv", "y", ["x"]), ColumnError, "no column 'y'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_of_the_machine_or_the_data_reaches_the_user_from_a_worker_as_from_inline(error, kind, message):
    def fail():
        raise error

    with pytest.raises(kind, match=message) as caught:
        _worker.unpack(_worker.pack(fail))
    assert "Traceback" not in str(caught.value)
    if kind is ColumnError:
        assert (caught.value.source, caught.value.column, caught.value.names) == ("a.tsv", "y", ["x"])
