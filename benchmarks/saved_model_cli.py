"""Compares TensorFlow's saved_model_cli with `textpipe predict`: python benchmarks/saved_model_cli.py MODEL...

Sends rows of each model's golden file to serving_default both ways and compares all outputs. saved_model_cli cannot load
op libraries, so it is started with tensorflow_text imported.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from textpipe.savedmodel.batching import to_python
from textpipe.savedmodel.loader import Model

TOOL = "import tensorflow_text; from tensorflow.python.tools import saved_model_cli; saved_model_cli.main()"
ROWS = 20


def compare(place):
    """The number of rows that agree; raises AssertionError if one does not."""
    model = Model.load(place)
    lines = (model.path / "assets.extra/golden.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [row["text"] for row in map(json.loads, lines) if row["origin"] != "awkward"][:: len(lines) // ROWS]
    (source,) = model.fields
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", TOOL, "run", "--dir", str(model.path), "--tag_set", "serve", "--signature_def",
             "serving_default", "--input_exprs", f"{source}={texts!r}", "--outdir", folder],
            check=True, capture_output=True,
        )  # fmt: skip
        expected = model.predict(texts, batch_rows=len(texts))
        for output in expected[0]:
            actual = np.load(Path(folder) / f"{output}.npy", allow_pickle=True)
            expected_values = [row[output] for row in expected]
            if actual.dtype.kind == "f":
                np.testing.assert_allclose(actual, expected_values, rtol=1e-5)
            else:
                assert [to_python(value) for value in actual] == expected_values, output
    return len(texts)


for name in sys.argv[1:]:
    print(f"{name}: {compare(name)} rows agree")
