"""Write the SavedModel, replay golden rows in a clean process, and only then let it be published.

model/ is a version directory as servers load it: saved_model.pb, variables/, assets.extra/ with golden.jsonl and
warm-up requests, textpipe.json (what it is and where it came from) and manifest.json, written last.
"""

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
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ModelError
from textpipe.savedmodel import description, loader, manifest, signatures, warmup
from textpipe.servable.ensemble import Ensemble
from textpipe.stages import _golden, _replay, _rounding
from textpipe.training.warm_start import source_weights
from textpipe.version import __version__

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable

INPUTS = ("ingest", "normalize", "tokenize", "vectorize", "train", "evaluate")
PLUGINS_OF = ("normalize", "tokenize", "vectorize", "train")
RECOVERY = (
    "the trained model is kept and need not be trained again: `textpipe export PIPELINE` tries anew, and -s "
    "decode.KEY=VALUE or -s decode=greedy exports it with another search; versions published before stay"
)
MEASURED_TEXTS = 2000  # training texts whose lengths a server compares its requests' with

log = logging.getLogger(__name__)


class Config(Section):
    """[export]

    golden_rows: rows of the data, beside the awkward ones, whose answers go with the model and are replayed before it
    is published; warmup_rows: how many of them a server answers before it opens, 0 for none. bounds: what a caller may
    set options of the decoder to at most, {beam_size = 32}, where not as decoding/ has it.
    """

    task: str
    decode: Plugin.of("decoding") = Field("greedy", validate_default=True)
    ensemble: Ensemble | None = None
    golden_rows: int = Field(240, ge=1, le=10_000)
    warmup_rows: int = Field(16, ge=0, le=warmup.LIMIT - 1)
    bounds: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def bounds_fit(self):
        answers = plugins.find("answers", plugins.find("tasks", self.task).ANSWER)
        answers.check(self.task, decode=self.decode, bounds=self.bounds)
        return self

    def extra_files(self) -> list[Path]:
        """The files of the models that answer together with the pipeline's."""
        return self.ensemble.files if self.ensemble else []

    def plugins(self) -> list[tuple[str, str]]:
        """What answers."""
        return [("answers", plugins.find("tasks", self.task).ANSWER)]


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write output/model; raises ModelError when the written model does not answer as training-side code does."""
    with replay_process() as process:
        build(config, inputs, output / "model", process)


def build(config: Config, inputs: dict[str, Path], folder: Path, process: subprocess.Popen[str]) -> None:
    """Write a model directory, and have a replayer's process answer its golden rows."""
    import keras

    from textpipe.servable import writer
    from textpipe.servable.graph import Servable

    # Layers are named by how many the process has made; the names stand in the graph, which must not depend on that.
    keras.utils.clear_session(free_memory=False)
    servable = Servable.load(inputs, config.task, config.decode, ensemble=config.ensemble, bounds=config.bounds)
    writer.save(servable, folder)
    rows = _golden.build_rows(config.golden_rows, inputs, servable)
    (folder / loader.GOLDEN).parent.mkdir(exist_ok=True)
    with (folder / loader.GOLDEN).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    for name in (source_weights.MODEL, source_weights.VOCABULARY):  # what another run needs to start from this model
        shutil.copyfile(inputs["train"] / name, folder / source_weights.BESIDE / name)
    warmup.write(folder, warmup_requests(servable, rows, config.warmup_rows))
    write_about(config, inputs, servable, folder)
    manifest.write(folder)
    replay(folder, servable, process)


def warmup_requests(servable: "Servable", rows: Sequence[dict[str, Any]], count: int) -> list[bytes]:
    """Warm-up requests: `count` rows of all lengths one by one, then together."""
    if not count:
        return []
    chosen = [rows[at * len(rows) // count] for at in range(count)]
    batches = [*([row] for row in chosen), chosen]
    given = [{name: value.numpy() for name, value in _golden.raw_tensors(servable, batch).items()} for batch in batches]
    return [warmup.prediction_log("textpipe", loader.DEFAULT, one) for one in given]


def write_about(config: Config, inputs: dict[str, Path], servable: "Servable", folder: Path) -> None:
    """textpipe.json: the task and its fields, signatures, metrics, settings, versions and digests behind the model."""
    report = json.loads((inputs["evaluate"] / "metrics.json").read_text(encoding="utf-8"))
    model = json.loads((inputs["train"] / "model.json").read_text(encoding="utf-8"))
    described = servable.described()
    task, output = plugins.find("tasks", config.task), servable.output
    looking = signatures.giving(described, signatures.ATTENTION)
    answering = signatures.n_best(described) or servable.definition(loader.DEFAULT)
    view = {
        "kind": getattr(task, "VIEW", plugins.find("answers", task.ANSWER).VIEW),
        "signature": answering.name,
        "attention": looking and looking.name,
    }
    about = {
        "format": description.FORMAT,
        "task": config.task,
        "fields": [{"name": field.name, "side": field.side, "kind": field.kind} for field in task.FIELDS],
        "inputs": list(servable.sources),
        "answer": task.ANSWER,
        "signatures": {one.name: signatures.table(one) for one in described},
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
        "versions": {"textpipe": __version__, **fingerprint.versions()},
    }
    text = json.dumps(about, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / loader.ABOUT).write_text(text, encoding="utf-8")


def source_text_statistics(inputs: dict[str, Path], servable: "Servable") -> dict[str, Any]:
    """What training's source texts are like: lengths in tokens, cut at the deciles, and the share of unknown tokens."""
    import numpy as np
    import tensorflow as tf

    from textpipe.data import shards

    rows = next(shards.read(inputs["ingest"], "train", servable.sources), None)
    if rows is None:
        return {}
    count = min(MEASURED_TEXTS, rows.num_rows)
    places = [at * rows.num_rows // count for at in range(count)]
    counting = signatures.giving(servable.definitions, signatures.TOKEN_COUNTS)
    assert counting is not None
    given = {name: servable.raw_tensor(name, [rows[name][at].as_py() for at in places]) for name in servable.sources}
    given[servable.target] = tf.fill([count], "")
    found = servable.signature(counting.name)(**{name: given[name] for name in counting.inputs})
    tokens, unknown = found["source_tokens"].numpy(), found["source_unknown"].numpy()
    bounds = np.unique(np.quantile(tokens, np.arange(1, 10) / 10, method="inverted_cdf"))
    shares = np.bincount(np.searchsorted(bounds, tokens), minlength=len(bounds) + 1) / count
    return {
        "rows": count,
        "source_tokens": {"at_most": bounds.tolist(), "shares": shares.tolist()},  # one share more: of what is longer
        "unknown_share": float(unknown.sum() / max(1, tokens.sum())),
    }


def digest_of(artifact: Path) -> str | None:
    """The digest the store gave an input, or None outside a store."""
    try:
        return integrity.read_manifest(artifact)[0]["digest"]
    except FileNotFoundError:
        return None


@contextmanager
def replay_process() -> Iterator[subprocess.Popen[str]]:
    """A process without textpipe that can answer golden rows: importing TensorFlow while others work."""
    assert _replay.__file__
    command = [sys.executable, "-I", _replay.__file__]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()  # which does nothing to one that has ended


def replay(folder: Path, servable: "Servable | None" = None, process: subprocess.Popen[str] | None = None) -> None:
    """Answer the golden rows in a process without textpipe; raises ModelError when any answer differs.

    servable: training-side code, which can tell a fault from rounding; without it any difference is a fault. process: a
    replayer's, or None for a new one.
    """
    if process is None:
        with replay_process() as own:
            replay(folder, servable, own)
        return
    request = {"folder": str(folder.resolve()), "batch_rows": _golden.BATCH_ROWS}
    told, errors = process.communicate(json.dumps(request) + "\n")
    try:
        found = json.loads(told.splitlines()[-1])
    except (ValueError, IndexError):
        last = errors.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
        raise ModelError(f"{folder}: the exported model could not be replayed in a clean process: {last[0]}") from None
    faults, doubts = found["faults"], found["doubts"]
    if servable is None:
        faults += [fault for doubt in doubts for fault in doubt["faults"]]
    elif doubts:
        lines = (folder / loader.GOLDEN).read_text(encoding="ascii").splitlines()
        faults += _rounding.unexplained_faults(servable, [json.loads(line) for line in lines], doubts)
    if faults:
        more = found["more"] + len(faults[_replay.MAX_SHOWN :])
        shown = "\n  ".join([*faults[: _replay.MAX_SHOWN], *([f"and {more} more"] if more else [])])
        raise ModelError(
            f"{folder}: the exported model does not answer as training-side code does; nothing is published, and {RECOVERY}\n"
            f"  {shown}"
        )
    if doubts:
        log.info("%d golden rows answered otherwise, as rounding explains", len(doubts))
    log.info("%d golden rows replayed", found["rows"])


def summary(output: Path) -> str:
    """Size and rows replayed."""
    folder = output / "model"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows = len((folder / loader.GOLDEN).read_text(encoding="ascii").splitlines())
    about = loader.read_about(folder)
    signatures = ", ".join(about["signatures"])
    return f"{size / 2**20:.1f} MB, signatures {signatures}; {rows} golden rows replayed in a clean process"
