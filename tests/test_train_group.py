"""Training by a group of processes: the weights of one process, also when one of the group is killed."""

import dataclasses

import h5py
import numpy as np
import pytest
import tiny

from textpipe.errors import ConfigError
from textpipe.pipeline import runner
from textpipe.runtime import engine as engines

TABLES = {**tiny.GENERATOR, "ingest": {"files": "rows.tsv"}}
TABLES["model"] = {**TABLES["model"], "dropout": 0.0, "embedding_dropout": 0.0}  # processes draw different masks
TRAIN = {"batch_rows": 24, "epochs": 6, "max_steps": 50, "checkpoint_steps": 10, "keep": "last"}


@dataclasses.dataclass
class KillOnce:
    """Starts commands here; kills the second one after the first checkpoint."""

    root: object
    killed: int = 0
    started: int = 0
    parallel = False

    def start(self, words, environment, log):
        self.started += 1
        process = engines.start_here(words, environment, log)
        if self.started == 2:
            poll = process.poll

            def kill_and_poll():
                if not self.killed and list(self.root.glob("artifacts/train/*.work/resume/checkpoint")):
                    self.killed += 1
                    process.kill()
                return poll()

            process.poll = kill_and_poll
        return process

    def map(self, make, items):
        return map(make(), items)

    def close(self):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("group")
    tiny.generator_rows(root / "rows.tsv")
    return root


def trained(folder, monkeypatch, workers, engine=None):
    """The weights of a run."""
    monkeypatch.chdir(folder)
    if engine:
        monkeypatch.setattr(runner.engines, "open", lambda section: engine)
    pipeline = runner.Pipeline.from_tables("x.toml", {**TABLES, "train": {**TRAIN, "workers": workers}})
    artifact = runner.run(pipeline, until="train", artifacts=folder / "artifacts")
    weights = {}
    with h5py.File(artifact.artifacts["train"].path / "model.weights.h5") as file:
        file.visititems(lambda name, item: weights.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return weights


def test_two_processes_end_with_the_weights_of_one_also_when_one_is_killed(folder, monkeypatch):
    alone = trained(folder, monkeypatch, 1)
    engine = KillOnce(folder)
    group = trained(folder, monkeypatch, 2, engine)
    assert engine.killed == 1 and engine.started == 4
    assert alone.keys() == group.keys()
    for name, weight in alone.items():
        np.testing.assert_allclose(group[name], weight, atol=1e-6, rtol=0, err_msg=name)


def test_settings_by_which_the_processes_would_disagree_are_refused():
    for table in ({"max_minutes": 5}, {"strategy": "mirrored"}, {"batch_tokens": "auto"}):
        with pytest.raises(ConfigError, match=next(iter(table))):
            runner.Pipeline.from_tables("x.toml", {**TABLES, "train": {"workers": 2, **table}})


@pytest.mark.prove
def test_an_error_of_the_group_is_that_of_one_process(folder, monkeypatch):
    monkeypatch.chdir(folder)
    tables = {**TABLES, "train": {**TRAIN, "workers": 2, "optimizer": {"kind": "sgd", "learning_rate": 3e38}}}
    with pytest.raises(ConfigError, match="no longer finite|learning_rate"):
        runner.run(runner.Pipeline.from_tables("x.toml", tables), until="train", artifacts=folder / "artifacts")
