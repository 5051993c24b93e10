"""A run killed with SIGKILL at random moments, repeatedly, ends byte for byte like an uninterrupted one.

Everything that draws or remembers is on: dropout, subword and scheduled sampling, the plateau schedule and stopping by
dev BLEU, accumulation, the moving average, averaging of the best validations.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import volume

from textpipe.stages import train

MODELS = {
    "recurrent": {"kind": "recurrent", "units": 8, "embedding_size": 8, "attention_size": 4, "dropout": 0.2},
    "transformer": {"kind": "transformer", "d_model": 8, "d_ff": 16, "num_heads": 2, "layers": 1, "dropout": 0.2},
}
TRAIN = {
    "epochs": 3,
    "batch_rows": 16,
    "num_shapes": 1,
    "accumulate": 2,
    "validate_steps": 3,
    "checkpoint_steps": 2,
    "curve_steps": 1,
    "optimizer": {"kind": "adam", "learning_rate": 0.01},
    "schedule": {"kind": "plateau", "warmup_steps": 3},
    "clip_norm": 1.0,
    "ema": 0.9,
    "average": {"best": 2},
    "early_stopping": {"metric": "valid_bleu", "patience": 9},
    "subword_sampling": {"alpha": 0.3},
    "scheduled_sampling": {"probability": 0.5, "steps": 4, "choose": "sample"},
}
KILLS = volume.rounds(1, 4)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    tables = {**tiny.GENERATOR, "vectorize": {"features": {"kind": "ids", "max_length": 40}}}
    tiny.build(folder, tables, tiny.generator_rows(folder / "rows.tsv", 220), until="vectorize")
    return folder


class Moments:
    """Counts the moments at which a run may be killed: before an update, after the weights of a validation are on disk,
    and when a checkpoint is written but not yet in its place. Calls `reached` with the number of each, from 1.
    """

    def __init__(self, reached):
        self.count, self.reached = 0, reached

    def pass_(self):
        self.count += 1
        self.reached(self.count)

    def watch(self, setattr=setattr):
        from textpipe.training import loop
        from textpipe.training.state import checkpoint, retention

        take, add, replace = loop.Loop.update, retention.CheckpointRetention.add, os.replace

        def before_update(*arguments):
            self.pass_()
            return take(*arguments)

        def after_weights(*arguments):
            add(*arguments)
            self.pass_()

        class System:
            def __getattr__(self, name):
                return getattr(os, name)

            def replace(_, *arguments):
                self.pass_()
                return replace(*arguments)

        setattr(loop.Loop, "update", before_update)
        setattr(retention.CheckpointRetention, "add", after_weights)
        setattr(checkpoint, "os", System())


def go(model, folder, output):
    """Trains into output, or resumes there."""
    output.mkdir(exist_ok=True)
    shares = 2 if model == "transformer" else 1
    config = train.Config(task="translate", model=MODELS[model], parallel=shares, **TRAIN)
    train.run(config, {stage: folder / stage for stage in train.INPUTS}, output)
    return {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}


def go_and_die(model, folder, output, moment):
    """Trains until the moment of this number and is killed there."""

    def reached(count):
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    Moments(reached).watch()
    go(model, Path(folder), Path(output))


@pytest.mark.volume
@pytest.mark.parametrize("model", MODELS)
def test_a_run_killed_at_random_moments_ends_byte_for_byte_like_an_uninterrupted_one(
    model, inputs, tmp_path, monkeypatch
):
    moments = Moments(lambda count: None)
    with monkeypatch.context() as patch:
        moments.watch(patch.setattr)
        whole = go(model, inputs, tmp_path / "whole")
    # Together the kills do not reach the end even if none loses work.
    draw = random.Random(f"kill the {model}")
    chosen = [draw.randrange(2, moments.count // max(2, KILLS)) for _ in range(KILLS)]
    print(f"{model}: {moments.count} moments, killed at {chosen}")
    root, here = str(Path(train.__file__).parents[2]), str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, here, os.environ.get("PYTHONPATH", "")])}
    for moment in chosen:
        places = f"{str(inputs)!r}, {str(tmp_path / 'killed')!r}"
        program = f"import test_resume; test_resume.go_and_die({model!r}, {places}, {moment})"
        process = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert process.returncode == -signal.SIGKILL, process.stderr
        assert not (tmp_path / "killed/model.weights.h5").exists()
        shutil.rmtree(tmp_path / "killed/logs")  # of a killed run, the store keeps only resume/
    resumed = go(model, inputs, tmp_path / "killed")
    assert resumed.keys() == whole.keys() >= {"model.weights.h5", "history.jsonl", "train.json"}
    assert [name for name in whole if resumed[name] != whole[name]] == []
    curve = [(tmp_path / name / "logs/curve.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    assert len(curve[0]) == len(curve[1])  # no step occurs twice
