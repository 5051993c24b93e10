"""Write the SavedModel and replay golden rows in a clean process; a model that fails the replay is not published.

model/ is a version directory as servers load it: saved_model.pb, variables/, assets.extra/ with golden.jsonl and
warm-up requests, textpipe.json (its description and origin), MODEL_CARD.md (the same for readers) and manifest.json, written last.
"""

import functools
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from textpipe.cache import fingerprint, integrity
from textpipe.config import plugins
from textpipe.config.answer_settings import Answer
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ModelError
from textpipe.savedmodel import description, loader, manifest, signatures, warmup
from textpipe.servable.ensemble import Ensemble
from textpipe.stages import _golden, _model_card, _replay, _rounding
from textpipe.training.warm_start import source_weights
from textpipe.version import __version__

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable

INPUTS = ("ingest", "normalize", "tokenize", "vectorize", "train", "evaluate")
PLUGINS_OF = ("normalize", "tokenize", "vectorize", "train")
RECOVERY = (
    "the trained model is kept: `textpipe export PIPELINE` tries again without training, -s decode.KEY=VALUE or "
    "-s decode=greedy exports with another search; earlier published versions stay"
)
MEASURED_TEXTS = 2000  # training texts whose length statistics a server compares its requests with

log = logging.getLogger(__name__)


class Config(Section):
    """[export]

    golden_rows: number of data rows, in addition to built-in edge cases, whose answers are exported with the model and replayed
    before it is published; warmup_rows: number of golden rows that a server answers before it accepts requests, 0 for none. bounds:
    the highest values a caller may give for options of the decoder, {beam_size = 32}, in place of the decoder's defaults.
    """

    task: str
    decode: Plugin.of("decoding") = Field("greedy", validate_default=True)
    ensemble: Ensemble | None = None
    answer: Answer = Field(None, validate_default=True)
    golden_rows: int = Field(240, ge=1, le=10_000)
    warmup_rows: int = Field(16, ge=0, le=warmup.LIMIT - 1)
    bounds: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def bounds_fit(self):
        answers = plugins.find("answers", plugins.find("tasks", self.task).ANSWER)
        answers.check(self.task, decode=self.decode, bounds=self.bounds)
        return self

    def extra_files(self) -> list[Path]:
        """The files of the other models of an ensemble."""
        return self.ensemble.files if self.ensemble else []

    def plugins(self) -> list[tuple[str, str]]:
        """The module of answers/ that makes the outputs."""
        return [("answers", plugins.find("tasks", self.task).ANSWER)]


def reads(config: Config) -> tuple[str, ...]:
    """INPUTS, and the results that the task's answers are made of."""
    return (*INPUTS, *getattr(plugins.find("answers", plugins.find("tasks", config.task).ANSWER), "READS", ()))


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write output/model. Raises ModelError when the written model and training-side code answer differently."""
    with replay_process() as process:
        build(config, inputs, output / "model", process)


def build(config: Config, inputs: dict[str, Path], folder: Path, process: subprocess.Popen[str]) -> None:
    """Write a model directory and replay its golden rows in `process`."""
    import keras

    from textpipe.servable import writer
    from textpipe.servable.graph import Servable

    # Keras numbers layers per process, and their names are in the graph: reset the counter for reproducible bytes.
    keras.utils.clear_session(free_memory=False)
    servable = Servable.load(
        inputs, config.task, config.decode, ensemble=config.ensemble, bounds=config.bounds, answer=config.answer
    )
    writer.save(servable, folder)
    rows = _golden.build_rows(config.golden_rows, inputs, servable)
    (folder / loader.GOLDEN).parent.mkdir(exist_ok=True)
    with (folder / loader.GOLDEN).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(_golden.to_json(row)) + "\n" for row in rows)
    for name in (source_weights.MODEL, source_weights.VOCABULARY):  # for a run that starts from this model
        shutil.copyfile(inputs["train"] / name, folder / source_weights.EXTRA_DIR / name)
    warmup.write(folder, warmup_requests(servable, rows, config.warmup_rows))
    write_about(config, inputs, servable, folder)
    manifest.write(folder)
    replay(folder, servable, process)


def warmup_requests(servable: "Servable", rows: Sequence[dict[str, Any]], count: int) -> list[bytes]:
    """Warm-up requests: `count` rows of all lengths, one by one and then as one batch."""
    if not count:
        return []
    chosen = [rows[at * len(rows) // count] for at in range(count)]
    batches = [*([row] for row in chosen), chosen]
    inputs = [
        {name: value.numpy() for name, value in _golden.raw_tensors(servable, batch).items()} for batch in batches
    ]
    return [warmup.prediction_log("textpipe", loader.DEFAULT, tensors) for tensors in inputs]


def write_about(config: Config, inputs: dict[str, Path], servable: "Servable", folder: Path) -> None:
    """Write textpipe.json: the task and its fields, signatures, metrics, settings, versions and input digests."""
    report = json.loads((inputs["evaluate"] / "metrics.json").read_text(encoding="utf-8"))
    model = json.loads((inputs["train"] / "model.json").read_text(encoding="utf-8"))
    described = servable.described()
    task, output = plugins.find("tasks", config.task), servable.output
    answers = plugins.find("answers", task.ANSWER)
    attention = signatures.find_giving(described, signatures.ATTENTION)
    answering = signatures.find_n_best(described) or servable.definition(loader.DEFAULT)
    view = {
        "kind": getattr(task, "VIEW", answers.VIEW),
        "signature": answering.name,
        "attention": attention and attention.name,
    }
    about = {
        "format": description.FORMAT,
        "task": config.task,
        "fields": [{"name": field.name, "side": field.side, "kind": field.kind} for field in task.FIELDS],
        "inputs": list(servable.sources),
        "answer": task.ANSWER,
        "signatures": {definition.name: signatures.table(definition) for definition in described},
        "view": view,
        "labels": output.labels,
        "model": model["model"],
        "decode": output.decode and output.decode.model_dump(mode="json"),
        "bounds": dict(output.bounds),
        "ensemble": config.ensemble.model_dump(mode="json") if config.ensemble else None,
        "evaluation": {name: report[name] for name in ("split", "rows", "metrics", "intervals")},
        "training": json.loads((inputs["train"] / "train.json").read_text(encoding="utf-8")),
        "texts": source_text_statistics(inputs, servable),
        "artifacts": {stage: digest for stage, path in inputs.items() if (digest := digest_of(path))},
        "versions": {"textpipe": __version__, **fingerprint.library_versions()},
    }
    if hasattr(answers, "about"):
        about |= answers.about(output.labels, functools.partial(answered_rows, inputs, servable))
    if hasattr(output, "about"):
        about |= output.about()
    text = json.dumps(about, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / loader.ABOUT).write_text(text, encoding="utf-8")
    _model_card.write(folder, about, inputs)


def source_text_statistics(inputs: dict[str, Path], servable: "Servable") -> dict[str, Any]:
    """Statistics of the training sources: a histogram of token counts with decile bounds, and the share of unknown tokens."""
    import numpy as np
    import tensorflow as tf

    columns = sampled_rows(inputs, servable, "train")
    count = len(columns[servable.sources[0]])
    if not count:
        return {}
    definition = signatures.find_giving(servable.definitions, signatures.TOKEN_COUNTS)
    assert definition is not None
    tensors = {name: servable.raw_tensor(name, cells) for name, cells in columns.items()}
    tensors[servable.target] = tf.fill([count], "")
    counts = servable.signature(definition.name)(**{name: tensors[name] for name in definition.inputs})
    if "source_tokens" not in counts:  # no source has tokens
        return {}
    tokens, unknown = counts["source_tokens"].numpy(), counts["source_unknown"].numpy()
    bounds = np.unique(np.quantile(tokens, np.arange(1, 10) / 10, method="inverted_cdf"))
    shares = np.bincount(np.searchsorted(bounds, tokens), minlength=len(bounds) + 1) / count
    return {
        "rows": count,
        "source_tokens": {
            "at_most": bounds.tolist(),
            "shares": shares.tolist(),
        },  # one more share than bounds: of longer texts
        "unknown_share": float(unknown.sum() / max(1, tokens.sum())),
    }


def sampled_rows(inputs: dict[str, Path], servable: "Servable", split: str) -> dict[str, list[Any]]:
    """The source cells of at most MEASURED_TEXTS raw rows of a split: {field: cells}."""
    from textpipe.data import shards

    return shards.sample(inputs["ingest"], split, servable.sources, MEASURED_TEXTS)


def answered_rows(inputs: dict[str, Path], servable: "Servable", split: str) -> list[dict[str, Any]]:
    """The outputs of serving_default for `sampled_rows`, one dict per row; [] if the split has none."""
    from textpipe.savedmodel import batching, model_rows

    columns = sampled_rows(inputs, servable, split)
    if not columns[servable.sources[0]]:
        return []
    # Batches of this size are the same on any number of cores, and so is what textpipe.json says of the answers.
    serve, rows = servable.signature(loader.DEFAULT), model_rows.encode_columns(columns)
    return batching.run_in_batches(serve, rows, batch_rows=batching.MIN_ROWS)


def digest_of(artifact: Path) -> str | None:
    """The digest of an input in the store, or None outside a store."""
    try:
        return integrity.read_manifest(artifact)[0]["digest"]
    except FileNotFoundError:
        return None


@contextmanager
def replay_process() -> Iterator[subprocess.Popen[str]]:
    """Start a process without textpipe that answers golden rows; it imports TensorFlow while the model is written."""
    assert _replay.__file__
    command = [sys.executable, "-I", _replay.__file__]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()  # no effect on one that has ended


def replay(folder: Path, servable: "Servable | None" = None, process: subprocess.Popen[str] | None = None) -> None:
    """Answer the golden rows in a process without textpipe. Raises ModelError when any answer differs.

    servable: training-side code, which can tell a fault from rounding; without it any difference is a fault. process: from
    replay_process, or None to start one.
    """
    if process is None:
        with replay_process() as started:
            replay(folder, servable, started)
        return
    request = {"folder": str(folder.resolve()), "batch_rows": _golden.BATCH_ROWS}
    printed, errors = process.communicate(json.dumps(request) + "\n")
    try:
        result = json.loads(printed.splitlines()[-1])
    except (ValueError, IndexError):
        last = errors.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
        raise ModelError(f"{folder}: the exported model could not be replayed in a clean process: {last[0]}") from None
    faults, doubts = result["faults"], result["doubts"]
    if servable is None:
        faults += [fault for doubt in doubts for fault in doubt["faults"]]
    elif doubts:
        lines = (folder / loader.GOLDEN).read_text(encoding="ascii").splitlines()
        rows = [_golden.from_json(json.loads(line)) for line in lines]
        faults += _rounding.unexplained_faults(servable, rows, doubts)
    if faults:
        more = result["more"] + len(faults[_replay.MAX_SHOWN :])
        shown = "\n  ".join([*faults[: _replay.MAX_SHOWN], *([f"and {more} more"] if more else [])])
        raise ModelError(
            f"{folder}: the answers of the exported model and of training-side code differ; nothing is published, and {RECOVERY}\n"
            f"  {shown}"
        )
    if doubts:
        log.info("%d golden rows differ only by rounding", len(doubts))
    log.info("%d golden rows replayed", result["rows"])


def summary(output: Path) -> str:
    """The model's size, its signatures and the number of replayed rows."""
    folder = output / "model"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows = len((folder / loader.GOLDEN).read_text(encoding="ascii").splitlines())
    about = loader.read_about(folder)
    signatures = ", ".join(about["signatures"])
    return f"{size / 2**20:.1f} MB, signatures {signatures}; {rows} golden rows replayed in a clean process"
