"""Peak memory and speed of the stages before training, for ten times as many rows.

    python benchmarks/million_rows.py [--rows 200000 2000000] [--features ids|tfidf]

Rows are sampled from the bundled phrases, two sentences each, to have realistic words. Each stage runs in its own
process; its peak is the process's maximum resident size (about 600 MB of it is TensorFlow). tokenize is timed as a
whole, and its learning, which reads a bounded sample, separately. Writes benchmarks/results/million_rows_*.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).parent
STAGES = ("ingest", "normalize", "tokenize", "vectorize")


def sections(features):
    """The [stage] tables of a pipeline over rows.tsv."""
    ids = features == "ids"
    fields = {"source": "en", "target": "de"} if ids else {"text": "en", "label": "label"}
    return "translate" if ids else "classify", {
        "ingest": {"files": "rows.tsv", "columns": fields, "split": {"valid": 0.01, "test": 0.01}},
        "normalize": {"steps": ["unicode", "casefold", "whitespace"]},
        "tokenize": {"codec": {"kind": "unigram", "vocab_size": 4000, "max_lines": 50_000} if ids else "none"},
        "vectorize": {"features": features},
    }


def write_rows(path, count):
    """Write count rows of two sentences: en, de and a label."""
    lines = (HOME.parent / "data/phrases/train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    pairs = [line.split("\t") for line in lines]
    draw = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        file.write("en\tde\tlabel\n")
        for number in range(count):
            (a, b), (c, d) = draw.choice(pairs), draw.choice(pairs)
            file.write(f"{a} {c} {number}\t{b} {d} {number}\t{'yes' if number % 2 else 'no'}\n")


def run_stage(stage, task, table, folders, answer):
    """Run one stage on its input folders; sends seconds, CPU seconds and peak bytes to `answer`."""
    from textpipe.config import plugins
    from textpipe.config import sections as config

    module = plugins.find("stages", stage)
    section = config.check("benchmark", {stage: module.Config}, {"task": task, stage: table})[stage]
    output = Path(stage)
    output.mkdir()
    began = time.perf_counter()
    module.run(section, {name: Path(name) for name in module.INPUTS}, output)
    used = resource.getrusage(resource.RUSAGE_SELF)
    answer.send((time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))


def measure(count, features):
    """Measurements of each stage over `count` rows."""
    task, tables = sections(features)
    context, figures = multiprocessing.get_context("spawn"), {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_rows(Path("rows.tsv"), count)
        for stage in STAGES:
            here, there = context.Pipe()
            process = context.Process(target=run_stage, args=(stage, task, tables[stage], folder, there))
            process.start()
            seconds, processor, peak = here.recv()
            process.join()
            figures[stage] = {
                "rows_per_second": round(count / seconds),
                "rows_per_processor_second": round(count / processor),
                "peak_mb": round(peak / 1e6),
            }
            print(f"{count:>9,} {features:<6} {stage:<10} {figures[stage]}", flush=True)
        os.chdir(HOME)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 2_000_000])
    parser.add_argument("--features", choices=("ids", "tfidf"), default="ids")
    options = parser.parse_args()
    figures = {str(count): measure(count, options.features) for count in options.rows}
    first, last = (figures[str(count)] for count in (options.rows[0], options.rows[-1]))
    growth = {stage: last[stage]["peak_mb"] - first[stage]["peak_mb"] for stage in STAGES}
    print("growth of the peak, MB:", growth)
    result = {
        "figures": figures, "growth_mb": growth, "cores": os.cpu_count(),
        "python": platform.python_version(), "load_average": os.getloadavg()[0],
    }  # fmt: skip
    path = HOME / "results" / f"million_rows_{options.features}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
