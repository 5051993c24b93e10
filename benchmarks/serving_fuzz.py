"""Runs Schemathesis against the server and its OpenAPI description: no 5xx, no undocumented response.

    python benchmarks/serving_fuzz.py saved_models --schemathesis PATH/TO/st [--examples 300] [--seed 1]

Schemathesis (pip install schemathesis, in its own environment) generates valid and invalid requests for every path: once
with any {name}, once with the name of each model. Exits with its code: 1 if a check fails.
Writes benchmarks/results/serving_fuzz.json.
"""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from serving import Engine

HOME = Path(__file__).parent
PORT = 18710
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--schemathesis", required=True)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HOME / "results" / "serving_fuzz.json")
    arguments = parser.parse_args()
    names = sorted(place.name for place in arguments.models.iterdir() if place.is_dir())
    runs = {}
    with contextlib.closing(Engine("textpipe", arguments.models.resolve() / names[0], PORT)) as engine:
        for name in (None, *names):
            runs[name or "any name"] = run(arguments, name)
        alive = engine.process.poll() is None
    results = {
        "command": " ".join(["python", "benchmarks/serving_fuzz.py", arguments.models.name, "--examples", str(arguments.examples)]),
        "schemathesis": subprocess.run([arguments.schemathesis, "--version"], capture_output=True, text=True).stdout.strip(),
        "checks": CHECKS, "seed": arguments.seed, "alive_afterwards": alive, "runs": runs,
    }  # fmt: skip
    arguments.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if alive and not any(one["exit_code"] for one in runs.values()) else 1


def run(arguments, name):
    """{"cases", "exit_code", "failures"} of one run with {name} in the paths."""
    with tempfile.TemporaryDirectory() as folder:
        # TensorFlow Serving answers unknown methods such as TRACE with 501.
        settings = '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]\n'
        settings += f'[parameters]\nname = "{name}"\n' if name else ""
        (Path(folder) / "schemathesis.toml").write_text(settings)
        done = subprocess.run(
            [
                arguments.schemathesis, "run", f"http://127.0.0.1:{PORT}/openapi.json", "--checks", ",".join(CHECKS),
                "--max-examples", str(arguments.examples), "--seed", str(arguments.seed), "--phases", "examples,coverage,fuzzing",
                "--suppress-health-check", "all", "--warnings", "off", "--no-color",
            ],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
    print(done.stdout[-6000:], done.stderr[-2000:], flush=True)
    cases = re.search(r"(\d+) generated", done.stdout)
    failures = re.findall(r"^- (.+)$", done.stdout, re.MULTILINE)
    return {"cases": int(cases[1]) if cases else None, "exit_code": done.returncode, "failures": sorted(set(failures))}


if __name__ == "__main__":
    sys.exit(main())
