"""Start time and memory of `textpipe predict` and `textpipe serve`, each time in a fresh process.

    python benchmarks/serving_start.py saved_models [--model phrases_en_de] [--repeats 5] [--only one|rows|serve]

Two ways to run the same SavedModel take turns: "session", TensorFlow's C API, which the commands use, and "python",
tf.saved_model.load after the import of TensorFlow's Python package, which they fall back to. Of predict: seconds from the start of
the process to its end with one text ("one"), and with --rows texts ("rows"). Of serve: seconds to "ready", and to the answer to a
first request; then a request with --rows texts. Everything is reported as the median over the repeats, with the smallest and the largest: wall
time, processor time of all threads (more reliable on a busy machine), and peak resident memory (VmHWM), of which the part of files
is shared among processes. The outputs of both ways must be the same bytes. Writes benchmarks/results/serving_start.json.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HOME = Path(__file__).parent
START = 'import runpy; runpy.run_module("textpipe", run_name="__main__")'
WAYS = {
    "session": START,
    "python": f"from textpipe.savedmodel import runtimes; runtimes.load_session = lambda folder, saved: runtimes.load_in_python(folder); {START}",
}
TICKS = os.sysconf("SC_CLK_TCK")
READY = re.compile(r"ready: REST on [\d.]+:(\d+)")


def status(process):
    """{"peak_mb", "rss_mb", "anonymous_mb", "file_mb", "processor_seconds"} of a running process so far."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    names = {"peak_mb": "VmHWM", "rss_mb": "VmRSS", "anonymous_mb": "RssAnon", "file_mb": "RssFile"}
    found = {key: round(int(lines[name].split()[0]) / 1024) for key, name in names.items()}
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return {**found, "processor_seconds": (int(user) + int(system)) / TICKS}


def predict(way, folder, texts):
    """(figures, output) of one process."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", WAYS[way], "predict", str(folder), "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdin.write("".join(f"{text}\n" for text in texts).encode())
    process.stdin.close()
    output = process.stdout.read()
    _, code, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = code
    assert code == 0
    figures = {
        "seconds": seconds, "processor_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": round(usage.ru_maxrss / 1024)
    }  # fmt: skip
    return figures, output


def serve(way, folder, model, field, texts):
    """(figures, answers to a request with one text and one with all) of one process."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", WAYS[way], "serve", str(folder), "--rest-port", "0", "--grpc-port", "0"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for line in process.stderr:
            if match := READY.search(line):
                break
        ready = time.monotonic() - start
        url = f"http://127.0.0.1:{match[1]}/v1/models/{model}:predict"

        def ask(rows):
            body = json.dumps({"instances": [{field: row} for row in rows]}).encode()
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as response:
                return response.read()

        first = ask(texts[:1])
        answered, after_first = time.monotonic() - start, status(process.pid)
        answers = first + ask(texts)
        figures = {
            "ready_seconds": ready, "first_answer_seconds": answered, **after_first,
            "peak_mb_after_batch": status(process.pid)["peak_mb"],
        }  # fmt: skip
        return figures, answers
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def summary(runs):
    """{figure: {"median", "min", "max"}} of several processes."""
    return {
        key: {
            name: round(function([run[key] for run in runs]), 2)
            for name, function in (("median", statistics.median), ("min", min), ("max", max))
        }
        for key in runs[0]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saved_models", type=Path)
    parser.add_argument("--model", default="phrases_en_de")
    parser.add_argument("--text", default="The woman reads a book.")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", choices=("one", "rows", "serve"), help="the others keep their results of an earlier run"
    )
    parser.add_argument("--output", type=Path, default=HOME / "results" / "serving_start.json")
    options = parser.parse_args()
    folder = options.saved_models / options.model
    (version,) = (path for path in folder.iterdir() if path.name.isdecimal())
    (field,) = json.loads((version / "textpipe.json").read_text())["inputs"]
    texts = [options.text, *(f"{options.text} {row % 4 * 'Then again. '}{row}" for row in range(1, options.rows))]
    alone = Path(tempfile.mkdtemp())  # of the server, which would load the other models as well
    shutil.copytree(folder, alone / options.model)
    calls = {
        "one": lambda way: predict(way, folder, texts[:1]),
        "rows": lambda way: predict(way, folder, texts),
        "serve": lambda way: serve(way, alone, options.model, field, texts),
    }
    results = {}
    for name, call in calls.items():
        if options.only not in (None, name):
            continue
        runs, outputs = {way: [] for way in WAYS}, set()
        for _ in range(options.repeats):
            for way in WAYS:
                figures, output = call(way)
                runs[way].append(figures)
                outputs.add(output)
                print(name, way, {key: round(value, 2) for key, value in figures.items()}, file=sys.stderr)
        assert len(outputs) == 1, f"{name}: the answers differ"
        results[name] = {way: summary(found) for way, found in runs.items()}
        results[name]["ratios"] = {
            key: round(results[name]["session"][key]["median"] / results[name]["python"][key]["median"], 3)
            for key in results[name]["session"]
        }
    shutil.rmtree(alone)
    packages = ("tensorflow", "tensorflow-text", "numpy", "protobuf")
    previous = json.loads(options.output.read_text()) if options.output.exists() else {}
    report = {
        "model": options.model, "saved_model_bytes": (version / "saved_model.pb").stat().st_size, "repeats": options.repeats,
        "rows": options.rows,
        "machine": {
            "cores": os.cpu_count(), "processor": platform.processor() or platform.machine(), "load": os.getloadavg(),
            "python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages},
        },
        "results": {**previous.get(options.model, {}).get("results", {}), **results},
    }  # fmt: skip
    options.output.write_text(json.dumps({**previous, options.model: report}, indent=1) + "\n")
    for name, result in results.items():
        print(name, "session to python:", result["ratios"])


if __name__ == "__main__":
    main()
