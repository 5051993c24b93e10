"""Write the SavedModel, replay golden rows in a clean process, and only then let it be published.

model/ is a version directory as servers load it: saved_model.pb, variables/, assets.extra/ with golden.jsonl and
warm-up requests, textpipe.json (what it is and where it came from) and manifest.json, written last.
"""

import json
import logging
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from textpipe import lineage, manifest, rooms, savedmodel, warmup
from textpipe.config import Plugin, Section
from textpipe.ensembles import Ensemble
from textpipe.errors import DataError, ModelError
from textpipe.stages import _replay
from textpipe.training import transfer
from textpipe.version import __version__

if TYPE_CHECKING:
    from textpipe.servable import Servable

INPUTS = ("ingest", "normalize", "tokenize", "vectorize", "train", "evaluate")
PLUGINS_OF = ("normalize", "tokenize", "vectorize", "train")
GOLDEN = "assets.extra/golden.jsonl"
BATCH_ROWS = 128
MEASURED = 2000  # training texts whose lengths a server compares its requests' with

# What people send beside sentences: nothing, blanks, marks, other scripts, joined emoji, markup, broken bytes.
AWKWARD = (
    "",
    " ",
    "\n\t\r\n",
    ".",
    "?!?!",
    "a",
    "0",
    "1 000,00 € – 12.5 %",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️",
    "naïve café, Zürich, Łódź, cafe\u0301 ﬁne",
    "שלום עולם مرحبا بالعالم",
    "你好，世界。こんにちは、안녕하세요",
    "\u200b\u200d\u202etxet\u202c\ufeff",
    "▁ ▁under ⁇ <unk> <s> </s> <pad>",
    "<b>bold</b> &amp; &lt;tag&gt; &#128512;",
    "http://example.org/?q=1&r=2 mail@example.org +1 (555) 010-9999",
    "tab\tnew\nline\r\nNUL\x00bell\x07",
    "\ud800 not UTF-8 \udfff",  # lone surrogates: sent as bytes that are not UTF-8
    "\ufffd \uffff \U0010ffff",
    "SHOUTING WITHOUT END!!!!!!!!!!",
    "supercalifragilisticexpialidocious" * 30,
    "word " * 3000,
    "é" * 2000,
)

log = logging.getLogger(__name__)


class Config(Section):
    """[export]

    golden_rows: rows of the data, beside the awkward ones, whose answers go with the model and are replayed before it
    is published; warmup_rows: how many of them a server answers before it opens, 0 for none.
    """

    task: str
    decode: Plugin.of("decoding") = Field("greedy", validate_default=True)
    ensemble: Ensemble | None = None
    golden_rows: int = Field(240, ge=1, le=10_000)
    warmup_rows: int = Field(16, ge=0, le=warmup.LIMIT - 1)

    def extra_files(self) -> list[Path]:
        """The files of the models that answer together with the pipeline's."""
        return self.ensemble.files if self.ensemble else []


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write output/model; raises ModelError when the written model does not answer as training-side code does."""
    import keras

    from textpipe import saving
    from textpipe.servable import Servable

    # Layers are named by how many the process has made; the names stand in the graph, which must not depend on that.
    keras.utils.clear_session(free_memory=False)
    servable = Servable.load(inputs, config.task, config.decode, ensemble=config.ensemble)
    folder = output / "model"
    saving.save(servable, folder)
    rows = golden_rows(config, inputs, servable)
    (folder / GOLDEN).parent.mkdir(exist_ok=True)
    with (folder / GOLDEN).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    for name in (transfer.MODEL, transfer.VOCABULARY):  # what another run needs to start from this model
        shutil.copyfile(inputs["train"] / name, folder / transfer.BESIDE / name)
    warmup.write(folder, requests(servable.source, [row["text"] for row in rows], config.warmup_rows))
    write_about(config, inputs, servable, folder)
    manifest.write(folder)
    replay(folder)


def golden_rows(config: Config, inputs: dict[str, Path], servable: "Servable") -> list[dict[str, Any]]:
    """Rows with what training-side code makes of them, similar lengths together.

    The features of data rows are those vectorize wrote; the answers come from the model and the decoder called op by
    op, not through the function that is exported, so that a replay can find a difference.
    """
    rows = [{"text": text, "origin": "awkward"} for text in AWKWARD]
    rows += data_rows(config.golden_rows, inputs, servable.source)
    if len(rows) == len(AWKWARD):
        raise DataError("[export] there are no rows to replay; give ingest some rows")
    rows.sort(key=lambda row: (len(row["text"]), row["text"]))
    for start in range(0, len(rows), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        fill_features(servable, batch)
        fill_answers(servable, batch)
    return rows


def data_rows(count: int, inputs: dict[str, Path], field: str) -> Iterator[dict[str, Any]]:
    """About `count` rows spread over the splits, each with the features that vectorize wrote for it.

    They come from the first 10,000 of a split, so that a long one need not be read.
    """
    from textpipe.tables import shards

    for number, split in enumerate(("test", "valid", "train")):
        share = count // (3 - number)
        raw = next(shards.read(inputs["ingest"], split, ("row", field)), None)
        if raw is None:
            continue
        chosen = sorted({at * raw.num_rows // share for at in range(share)}) if share else []
        count -= len(chosen)
        wanted = {raw["row"][at].as_py(): raw[field][at].as_py() for at in chosen}
        for batch in shards.read(inputs["vectorize"], split):
            for at, row in enumerate(batch["row"].to_pylist()):
                if row in wanted:
                    yield {"text": wanted.pop(row), "origin": f"{split} row {row}", **vectorized(batch, at, field)}
            if not wanted:
                break
        assert not wanted, f"vectorize has no rows {sorted(wanted)} of {split}"


def vectorized(batch: Any, at: int, field: str) -> dict[str, Any]:
    """A source feature as vectorize wrote it: {"ids": [...]}, or {"indices": [...], "values": [...]}."""
    if field in batch.schema.names:
        return {"ids": batch[field][at].as_py()}
    return {name: batch[f"{field}.{name}"][at].as_py() for name in ("indices", "values")}


def fill_features(servable: "Servable", rows: Sequence[dict[str, Any]]) -> None:
    """Features, op by op, for the rows that vectorize never saw."""
    import tensorflow as tf

    for row in rows:
        if "ids" in row or "indices" in row:
            continue
        found = servable.encode(servable.source, tf.constant([savedmodel.encode(row["text"])]))
        if isinstance(found, tf.SparseTensor):
            row |= {"indices": found.indices[:, 1].numpy().tolist(), "values": found.values.numpy().tolist()}
        else:
            row["ids"] = [token for token in found[0].numpy().tolist() if token]


def fill_answers(servable: "Servable", rows: Sequence[dict[str, Any]]) -> None:
    """texts and scores of each row, best first, and probabilities for a classifier, from the features in the rows.

    log_prob is what the best of the texts scores when it is given back as an answer.
    """
    import tensorflow as tf

    from textpipe.training import likelihood

    inputs = model_input(servable, rows)
    if servable.generates:
        given = {servable.source: tf.constant([savedmodel.encode(row["text"]) for row in rows])}
        found = servable.spelled(servable.decoded(inputs), given)
        for row, texts, scores in zip(rows, found["texts"].numpy(), found["scores"].numpy(), strict=True):
            row |= {"texts": [text.decode() for text in texts], "scores": scores.tolist()}
        forced = servable.encode(servable.target, found["texts"][:, 0])
        sums = tf.reduce_sum(likelihood.of_tokens(servable.model, inputs, forced), axis=1)
        for row, log_prob in zip(rows, sums.numpy().tolist(), strict=True):
            row["log_prob"] = log_prob
        return
    labels = servable.features[servable.target].classes
    for row, probabilities in zip(rows, servable.probabilities(inputs).numpy().tolist(), strict=True):
        ranked = sorted(range(len(labels)), key=lambda at: -probabilities[at])
        row["probabilities"] = probabilities
        row |= {"texts": [labels[at] for at in ranked], "scores": [probabilities[at] for at in ranked]}
        row["log_prob"] = math.log(max(probabilities))


def model_input(servable: "Servable", rows: Sequence[dict[str, Any]]) -> Any:
    """The features of rows as one batch: ids [B, T] padded with 0, or a sparse [B, D]."""
    import numpy as np
    import tensorflow as tf

    if "ids" in rows[0]:
        batch = np.zeros((len(rows), max(len(row["ids"]) for row in rows)), np.int32)
        for at, row in enumerate(rows):
            batch[at, : len(row["ids"])] = row["ids"]
        return tf.constant(batch)
    pairs = [(at, index) for at, row in enumerate(rows) for index in row["indices"]]
    values = [value for row in rows for value in row["values"]]
    width = servable.features[servable.source].size["dim"]
    return tf.SparseTensor(np.array(pairs, np.int64).reshape(-1, 2), np.array(values, np.float32), (len(rows), width))


def requests(field: str, texts: Sequence[str], count: int) -> list[bytes]:
    """Warm-up requests: `count` texts of all lengths one by one, then together."""
    if not count:
        return []
    chosen = [savedmodel.encode(texts[at * len(texts) // count]) for at in range(count)]
    batches = [*([text] for text in chosen), chosen]
    return [warmup.prediction_log("textpipe", savedmodel.DEFAULT, {field: batch}) for batch in batches]


def write_about(config: Config, inputs: dict[str, Path], servable: "Servable", folder: Path) -> None:
    """textpipe.json: the task and its fields, signatures, metrics, settings, versions and digests behind the model."""
    report = json.loads((inputs["evaluate"] / "metrics.json").read_text(encoding="utf-8"))
    model = json.loads((inputs["train"] / "model.json").read_text(encoding="utf-8"))
    signatures = {
        name: {"inputs": sorted(savedmodel.inputs_of(function)), "outputs": sorted(function.structured_outputs)}
        for name, function in servable.signatures().items()
    }
    fields = rooms.find("tasks", config.task).FIELDS
    about = {
        "format": 1,
        "task": config.task,
        "fields": [{"name": field.name, "side": field.side, "kind": field.kind} for field in fields],
        "inputs": [servable.source],
        "signatures": signatures,
        "labels": None if servable.generates else list(servable.features[servable.target].classes),
        "model": model["model"],
        "decode": config.decode.model_dump(mode="json") if servable.generates else None,
        "ensemble": config.ensemble.model_dump(mode="json") if config.ensemble else None,
        "evaluation": {name: report[name] for name in ("split", "rows", "metrics", "intervals")},
        "training": json.loads((inputs["train"] / "train.json").read_text(encoding="utf-8")),
        "texts": texts_of(inputs, servable),
        "artifacts": {stage: digest for stage, path in inputs.items() if (digest := digest_of(path))},
        "versions": {"textpipe": __version__, **lineage.versions()},
    }
    text = json.dumps(about, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / savedmodel.ABOUT).write_text(text, encoding="utf-8")


def texts_of(inputs: dict[str, Path], servable: "Servable") -> dict[str, Any]:
    """What training's source texts are like: lengths in tokens, cut at the deciles, and the share of unknown tokens."""
    import numpy as np
    import tensorflow as tf

    from textpipe.tables import shards

    rows = next(shards.read(inputs["ingest"], "train", (servable.source,)), None)
    if rows is None:
        return {}
    column = rows[servable.source]
    count = min(MEASURED, len(column))
    texts = [savedmodel.encode(column[at * len(column) // count].as_py()) for at in range(count)]
    given = {servable.source: tf.constant(texts)}
    if servable.generates:
        given[servable.target] = tf.fill([count], "")
    found = servable.signature("tokens")(**given)
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
    path = artifact / manifest.NAME
    return json.loads(path.read_text(encoding="utf-8"))["digest"] if path.is_file() else None


def replay(folder: Path) -> None:
    """Answer the golden rows in a process without textpipe; raises ModelError when any answer differs."""
    assert _replay.__file__
    command = [sys.executable, "-I", _replay.__file__, str(folder.resolve()), str(BATCH_ROWS)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ModelError(f"{folder}: the exported model could not be replayed in a clean process: {last[0]}") from None
    if found["faults"]:
        more = f"\n  and {found['more']} more" if found["more"] else ""
        raise ModelError(
            f"{folder}: the exported model does not answer as training-side code does; nothing is published\n  "
            + "\n  ".join(found["faults"])
            + more
        )
    log.info("%d golden rows replayed", found["rows"])


def summary(output: Path) -> str:
    """Size and rows replayed."""
    folder = output / "model"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows = len((folder / GOLDEN).read_text(encoding="ascii").splitlines())
    about = savedmodel.read_about(folder)
    signatures = ", ".join(about["signatures"])
    return f"{size / 2**20:.1f} MB, signatures {signatures}; {rows} golden rows replayed in a clean process"
