"""WikiTableQuestions (Pasupat and Liang 2015) for pipelines/wikitq.toml: rows, training in pieces, and the score against hours.

    .venv/bin/python benchmarks/wikitq.py prepare     # data/downloads/wikitq/{train,valid,test}.jsonl from $TEXTPIPE_DATA/wikitq
    .venv/bin/python benchmarks/wikitq.py score WORK  # of the best validation so far of a training that is running: its .work folder

test is the first dev split (random-split-1-dev): its tables are not in train. valid is 8 % of the other tables.
"""

import argparse
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.data import table_syntax, table_text
from textpipe.pipeline import runner

VALID_SHARE = 0.08


def read_tables(archive: Path) -> dict[str, str]:
    """{path of a table without its suffix: its canonical text}."""
    tables = {}
    with tarfile.open(archive) as files:
        for member in files:
            if member.isfile() and member.name.endswith(".tsv"):
                file = files.extractfile(member)
                assert file is not None
                text = file.read().decode("utf-8")
                tables[member.name.removesuffix(".tsv")] = table_text.canonical(text)
    return tables


def split_of(question: str, table: str, dev: frozenset[str]) -> str:
    """The split of a question: test by the list of the first dev split, valid by a hash of the table."""
    if question in dev:
        return "test"
    share = int(hashlib.sha256(table.encode()).hexdigest()[:8], 16) / 2**32
    return "valid" if share < VALID_SHARE else "train"


def prepare(folder: Path, output: Path) -> None:
    """Write the rows of each split."""
    tables = read_tables(folder / "tables_train.tar.gz")
    dev = frozenset((folder / "random-split-1-dev.ids.txt").read_text(encoding="utf-8").split())
    output.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, str]]] = {"train": [], "valid": [], "test": []}
    with gzip.open(folder / "training.tsv.gz", "rt", encoding="utf-8") as file:
        next(file)
        for line in file:
            question, text, path, answer = line.rstrip("\n").split("\t")
            name = path.removesuffix(".csv")
            table = tables[name]
            text = table_syntax.unescape(text)
            rows[split_of(question, name, dev)].append(
                {"id": question, "table": table, "question": text, "answer": answer}
            )
    for split, lines in rows.items():
        with (output / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        print(f"{split}: {len(lines):,} questions about {len({line['table'] for line in lines}):,} tables")


def trained_so_far(work: Path, vectorize: Path, pipeline: runner.Pipeline, folder: Path) -> dict[str, Any]:
    """Write the best weights of an unfinished training as a train artifact; returns the line of its history."""
    from textpipe.training.state import checkpoint

    section: Any = pipeline.sections["train"]
    task = plugins.find("tasks", "table_qa")
    tables = json.loads((vectorize / "features.json").read_text(encoding="utf-8"))
    model = plugins.find("models", section.model.kind).build(
        section.model, Sizes.from_tables(tables, task.FIELDS), seed=0
    )
    lines = [json.loads(line) for line in (work / "logs" / "curve.jsonl").read_text(encoding="utf-8").splitlines()]
    best = max((line for line in lines if "valid_accuracy" in line), key=lambda line: line["valid_accuracy"])
    path = work / "resume" / "validated" / f"{best['step']:08d}"
    if checkpoint.restore(path, model.weights) is None:
        raise SystemExit(f"{path}: no weights")
    folder.mkdir()
    model.save_weights(folder / "model.weights.h5")
    described = {"model": section.model.model_dump(mode="json"), "sizes": tables}
    (folder / "model.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "train.json").write_text(json.dumps({"best": best}), encoding="utf-8")
    curve = [
        {key: line[key] for key in ("epoch", "step", "seconds", "valid_loss", "valid_accuracy")}
        for line in lines
        if "valid_accuracy" in line
    ]
    return {"best": best, "curve": curve}


def score(work: Path, file: Path, split: str, output: Path, artifacts: Path) -> None:
    """Write the curve of a training and the metrics of its best weights so far."""
    from textpipe.stages import evaluate

    pipeline = runner.Pipeline.load(file, ())
    result = runner.run(pipeline, until="vectorize", artifacts=artifacts)
    inputs = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    with tempfile.TemporaryDirectory() as folder:
        inputs["train"] = Path(folder) / "train"
        report = trained_so_far(work, inputs["vectorize"], pipeline, inputs["train"])
        section: Any = pipeline.sections["evaluate"]
        (Path(folder) / "evaluate").mkdir()
        evaluate.run(section.model_copy(update={"split": split}), inputs, Path(folder) / "evaluate")
        metrics = json.loads((Path(folder) / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
        shutil.copyfile(Path(folder) / "evaluate" / "predictions.jsonl", output.with_suffix(".predictions.jsonl"))
    kept = {key: metrics[key] for key in ("split", "rows", "metrics", "intervals")}
    output.write_text(json.dumps({**report, "evaluation": kept}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(kept))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("prepare")
    part.add_argument("--output", type=Path, default=Path("data/downloads/wikitq"))
    part = commands.add_parser("score")
    part.add_argument("work", type=Path)
    part.add_argument("--pipeline", type=Path, default=Path("pipelines/wikitq.toml"))
    part.add_argument("--split", default="test")
    part.add_argument("--output", type=Path, default=Path("benchmarks/wikitq.work/score.json"))
    part.add_argument("--artifacts", type=Path, default=Path("data/artifacts"))
    arguments = parser.parse_args()
    if arguments.command == "score":
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        score(arguments.work, arguments.pipeline, arguments.split, arguments.output, arguments.artifacts)
    if arguments.command == "prepare":
        prepare(Path(os.environ["TEXTPIPE_DATA"]) / "wikitq", arguments.output)
