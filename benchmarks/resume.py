"""Does a training that is killed with SIGKILL and resumed end with the same result? On a real pipeline, through the
command line.

    TEXTPIPE_DATA=... python benchmarks/resume.py pipelines/multi30k_en_de.toml [--steps 300] [--kills 3] [--seed 1]
                                                  [--folder DIR] [-s train.batch_tokens=2400 ...]

The pipeline is trained twice for --steps updates: once without interruption, and once killed (`kill -9`) at random
updates and restarted each time. Prints both digests of the weights and of the whole artifact, and fails if they
differ. Writes benchmarks/results/resume_<pipeline>.json.
"""

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
FILES = ("model.weights.h5", "history.jsonl", "train.json")


def command(arguments, artifacts):
    """The command `textpipe train` for --steps updates, with regular checkpoints and a log line per update."""
    settings = {"max_steps": arguments.steps, "checkpoint_steps": max(2, arguments.steps // 15), "curve_steps": 1}
    overrides = [*(f"train.{name}={value}" for name, value in settings.items()), *arguments.s]
    words = [word for override in overrides for word in ("-s", override)]
    return [sys.executable, "-m", "textpipe", "train", str(arguments.pipeline), "--artifacts", str(artifacts), *words]


def updates(artifacts):
    """The number of updates of the current run."""
    steps = [0]
    for path in artifacts.glob("train/*.work/resume/curve.jsonl"):
        steps += [
            json.loads(line)["step"] for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]
    return max(steps)


def train(arguments, artifacts, until=None):
    """Run to the end, or kill the run at update `until`; returns seconds and the update it was killed at."""
    began = time.monotonic()
    process = subprocess.Popen(command(arguments, artifacts), stdout=subprocess.PIPE)
    while until is not None and process.poll() is None:
        if updates(artifacts) >= until:
            process.send_signal(signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.1)
    output, _ = process.communicate()
    expected = 0 if until is None else -signal.SIGKILL
    if process.returncode != expected:
        sys.exit(f"expected return code {expected}, found {process.returncode}")
    return time.monotonic() - began, updates(artifacts) if until else Path(output.decode().strip())


def digests(artifact):
    """SHA-256 of the result's files, and the digest of the whole artifact."""
    result = {name: hashlib.sha256((artifact / name).read_bytes()).hexdigest() for name in FILES}
    return result | {"artifact": json.loads((artifact / "manifest.json").read_text())["digest"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="folder of the two stores; default: a temporary folder")
    parser.add_argument("-s", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        whole, killed = folder / "whole", folder / "killed"
        vectorize = [word if word != "train" else "vectorize" for word in command(arguments, whole)]
        subprocess.run(vectorize, check=True, stdout=subprocess.DEVNULL)
        shutil.copytree(whole, killed)
        _, one = train(arguments, whole)
        draw = random.Random(arguments.seed)
        moments = sorted(draw.sample(range(2, arguments.steps), arguments.kills))
        reached = []
        for moment in moments:
            took, update = train(arguments, killed, moment)
            reached.append(update)
            print(f"killed at update {update} (drawn: {moment}) after {took:.0f} s", flush=True)
        _, other = train(arguments, killed)
        digests_of = {"whole": digests(one), "killed": digests(other)}
        resources = json.loads((one / "logs/resources.json").read_text())
    for name in digests_of["whole"]:
        print(f"{name}\n  whole  {digests_of['whole'][name]}\n  killed {digests_of['killed'][name]}")
    equal = digests_of["whole"] == digests_of["killed"]
    table = {
        "pipeline": arguments.pipeline.name,
        "overrides": arguments.s,
        "steps": arguments.steps,
        "killed_at": reached,
        "equal": equal,
        "digests": digests_of,
        "peak_rss_bytes": resources["peak_rss_bytes"],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"resume_{arguments.pipeline.stem}.json"
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"{'equal' if equal else 'DIFFERENT'}; {path}")
    sys.exit(not equal)


if __name__ == "__main__":
    main()
