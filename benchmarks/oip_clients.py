"""Asks a served text model through a stock client of the Open Inference Protocol, and compares with TensorFlow Serving's API.

    python benchmarks/oip_clients.py saved_models/NAME data/mail/test.jsonl --field message --client PATH/TO/python

PATH/TO/python is of an environment with tritonclient[http,grpc] (benchmarks/peers/oip_triton.py). The texts are a
field of a JSON Lines file, the first --texts of them. Exits with 1 if an answer differs. Writes benchmarks/results/oip_clients.json.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
from serving import Engine

HOME = Path(__file__).parent
PORT = 18720


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--field", default="text")
    parser.add_argument("--client", required=True)
    parser.add_argument("--texts", type=int, default=1000)
    arguments = parser.parse_args()
    lines = arguments.rows.read_text(encoding="utf-8").splitlines()[: arguments.texts]
    texts = [json.loads(line)[arguments.field] for line in lines]
    model = arguments.model.resolve()
    with contextlib.closing(Engine("textpipe", model, PORT, options=("--grpc-port", str(PORT + 1)))):
        body = json.dumps({"instances": texts}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/models/{model.name}:predict", body) as response:
            rows = json.load(response)["predictions"]
        addresses = [f"127.0.0.1:{PORT}", f"127.0.0.1:{PORT + 1}"]
        command = [arguments.client, str(HOME / "peers" / "oip_triton.py"), "ask", *addresses, model.name]
        done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    expected = {name: flat([row[name] for row in rows]) for name in rows[0]}
    equal = {
        way: outputs.keys() == expected.keys() and all(same(outputs[name], expected[name]) for name in expected)
        for way, outputs in answers.items()
        if not way.endswith("errors")
    }
    version = subprocess.run(
        [arguments.client, "-c", "import importlib.metadata as m; print(m.version('tritonclient'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    results = {
        "client": f"tritonclient {version.stdout.strip()}", "model": model.name, "texts": len(texts),
        "outputs": {name: len(values) for name, values in expected.items()}, "equal_to_v1": equal,
        "errors": {way: found for way, found in answers.items() if way.endswith("errors")},
    }  # fmt: skip
    text = json.dumps(results, indent=1)
    (HOME / "results" / "oip_clients.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if len(equal) == 4 and all(equal.values()) else 1


def flat(values):
    """[[1, 2], [3]] -> [1, 2, 3]"""
    return [inner for value in values for inner in flat(value)] if isinstance(values, list) else [values]


def same(actual, expected):
    """Whether two lists of texts or numbers are equal; numbers as float32, which JSON writes with as few digits as it needs."""
    if isinstance(expected[0], str):
        return actual == expected
    return np.array_equal(np.float32(actual), np.float32(expected))


if __name__ == "__main__":
    sys.exit(main())
