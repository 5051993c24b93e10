"""Time and memory of ingest to vectorize for ten times as many rows, by engine and number of workers.

    python benchmarks/engines.py [--rows 100000 1000000] [--engine processes] [--workers 1 2] [--keep]

Rows are those of million_rows.py, in files of 100,000. Each run has a process of its own. Peaks are maximum resident sizes: of the
process that runs the pipeline, and of its largest worker (of the engine processes; Ray's workers are not its children).
Writes benchmarks/results/engines.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from million_rows import STAGES, sections, write_rows

FILE_ROWS = 100_000
RESULTS = Path(__file__).parent / "results" / "engines.json"


def write_files(count):
    """Write `count` rows as part-00.tsv ...; returns the names."""
    names = [f"part-{number:02d}.tsv" for number in range(-(-count // FILE_ROWS))]
    for number, name in enumerate(names):
        write_rows(Path(name), min(FILE_ROWS, count - number * FILE_ROWS))
    return names


def run(files, engine, answer):
    """Run the stages on the files in the working folder; sends the seconds of each stage, CPU seconds and peaks to `answer`."""
    from textpipe.pipeline import runner

    task, tables = sections("ids")
    tables = {**tables, "ingest": {**tables["ingest"], "files": files}}
    model = {"kind": "recurrent"}
    pipeline = runner.Pipeline.from_tables("scale.toml", {"task": task, "model": model, "engine": engine, **tables})
    seconds, began = {}, time.perf_counter()

    def on_event(stage, state, text):
        nonlocal began
        if state == "done":
            seconds[stage] = round(time.perf_counter() - began, 1)
        began = time.perf_counter()

    runner.run(pipeline, until="vectorize", artifacts=Path("artifacts"), on_event=on_event)
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    answer.send(
        {
            "seconds": seconds,
            "processor_seconds": round(own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime, 1),
            "peak_mb": round(own.ru_maxrss / 1024),
            "worker_peak_mb": round(workers.ru_maxrss / 1024),
        }
    )


def measure(count, engine):
    """The figures of one run."""
    context = multiprocessing.get_context("spawn")
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        here, there = context.Pipe()
        process = context.Process(target=run, args=(write_files(count), engine, there))
        process.start()
        figures = here.recv()
        process.join()
        os.chdir(home)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--engine", choices=("processes", "ray"), default="processes")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--keep", action="store_true", help="keep the other runs recorded before")
    options = parser.parse_args()
    runs = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"] if options.keep else []
    for workers in options.workers:
        for count in options.rows:
            engine = {"kind": options.engine, "workers": workers}
            options_of_run = {"rows": count, **engine}
            figures = {**options_of_run, **measure(count, engine), "load_average": os.getloadavg()[0]}
            print(json.dumps(figures), flush=True)
            runs = [run for run in runs if not options_of_run.items() <= run.items()] + [figures]
            result = {"stages": STAGES, "cores": os.cpu_count(), "python": platform.python_version(), "runs": runs}
            RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
