"""WikiTableQuestions (Pasupat and Liang 2015) for pipelines/wikitq.toml: rows, training in pieces, and the score against hours.

    .venv/bin/python benchmarks/wikitq.py prepare     # data/wikitq/{train,valid,test}.jsonl from $TEXTPIPE_DATA/wikitq
    .venv/bin/python benchmarks/wikitq.py report RUN  # benchmarks/results/table_qa.json from a run's logs and metrics

test is the first dev split (random-split-1-dev): its tables are not in train. valid is 8 % of the other tables.
"""

import argparse
import gzip
import hashlib
import json
import os
import tarfile
from pathlib import Path

from textpipe.data import table_syntax, table_text

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
            rows[split_of(question, name, dev)].append({"id": question, "table": table, "question": text, "answer": answer})
    for split, lines in rows.items():
        with (output / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        print(f"{split}: {len(lines):,} questions about {len({line['table'] for line in lines}):,} tables")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("prepare")
    part.add_argument("--output", type=Path, default=Path("data/wikitq"))
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        prepare(Path(os.environ["TEXTPIPE_DATA"]) / "wikitq", arguments.output)
