"""Check an exported LiteRT model: its outputs for golden rows must equal those of the pipeline."""

import contextlib
import os
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError
from textpipe.savedmodel import loader
from textpipe.stages import _golden

# Tolerances of a probability: LiteRT sums in another order, and its softmax is less exact.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
BATCH_ROWS = 64
MAX_SHOWN = 5


@contextlib.contextmanager
def silent_native_code() -> Iterator[None]:
    """Discard what native code writes to descriptor 2: the converter prints each unsupported op with its call stack before it raises."""
    saved_stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)
        os.close(devnull)


def golden_rows(count: int, inputs: dict[str, Path], servable: Any, answers: Any) -> list[dict[str, Any]]:
    """Rows of all splits and awkward ones: "raw" and "texts", {field: cell} as sent and normalized, "inputs" and "outputs", {name: numbers}.

    A missing number is None. Outputs are computed by training-side code from the features that vectorize computes.
    """
    from textpipe.features import _dense

    rows = list(_golden.data_rows(count, inputs, servable.sources))
    rows += _golden.awkward_rows(servable, rows[0]["raw"])
    _golden.fill_features(servable, rows)
    golden: list[dict[str, Any]] = []
    for start in range(0, len(rows), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        outputs = answers.from_features(servable.output, _golden.model_inputs(servable, batch))
        for at, row in enumerate(batch):
            texts, sent = {}, {}
            for field, cell in _golden.raw_tensors(servable, [row]).items():
                feature = servable.features[field]
                if servable.has_text(field):
                    cell = servable.clean(field, cell)
                    texts[field] = cell[0].numpy().decode(errors="replace")
                suffix, _ = _dense.spec(feature)  # type: ignore[misc]
                numbers = _dense.value(feature, cell).tolist()
                sent[f"{field}.{suffix}"] = [None if number != number else number for number in numbers]
            expected = {name: value[at].numpy().tolist() for name, value in outputs.items()}
            golden.append({"raw": row["raw"], "texts": texts, "inputs": sent, "outputs": expected})
    return golden


def compare(model: bytes, rows: Sequence[dict[str, Any]], place: Path) -> dict[str, Any]:
    """The agreement of LiteRT and the pipeline on golden rows, and the median time per row. Raises ModelError if they differ."""
    import numpy as np
    import tensorflow as tf

    with warnings.catch_warnings(), silent_native_code():
        warnings.simplefilter("ignore")  # the notice that LiteRT has moved to its own package
        interpreter = tf.lite.Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()  # prints which delegate it uses
    run = interpreter.get_signature_runner(loader.DEFAULT)
    types = {name: details["dtype"] for name, details in run.get_input_details().items()}
    faults, largest, seconds = [], 0.0, []
    for row in rows:
        model_inputs = {name: np.asarray(value, types[name]) for name, value in row["inputs"].items()}
        try:
            start = time.perf_counter()
            outputs = run(**model_inputs)
            seconds.append(time.perf_counter() - start)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{place}: LiteRT cannot run {describe_row(row)}; the export was discarded: {error}"
            ) from error
        difference, fault = differences(row["outputs"], outputs)
        largest = max(largest, difference)
        if fault:
            faults.append(f"{describe_row(row)}: {fault}")
    if faults:
        shown = "\n  ".join(faults[:MAX_SHOWN])
        raise ModelError(
            f"{place}: the answers of LiteRT and of the pipeline differ; the export was discarded\n  {shown}"
        )
    return {
        "rows": len(rows),
        "largest_difference": largest,
        "median_ms": round(1000 * statistics.median(seconds), 3),
        "tensorflow": tf.__version__,
    }


def differences(expected: dict[str, Any], actual: dict[str, Any]) -> tuple[float, str]:
    """The largest difference of a row's floating-point outputs, and a description of the fault, or "".

    Integers are places of choices. They are not compared, as tied scores may be ranked in either order, except for which are empty (-1).
    """
    import numpy as np

    largest, empties_differ = 0.0, False
    for name, value in expected.items():
        expected_value, actual_value = np.asarray(value), actual[name][0]
        if expected_value.shape != actual_value.shape:
            return largest, f"{name} {actual_value.tolist()} where {value} was expected"
        if expected_value.dtype.kind != "f":
            empties_differ = empties_differ or bool(((expected_value < 0) != (actual_value < 0)).any())
            continue
        largest = max(largest, float(np.abs(expected_value - actual_value).max(initial=0)))
        if not np.allclose(actual_value, expected_value, rtol=RELATIVE, atol=ABSOLUTE):
            return largest, f"{name} {actual_value.tolist()} where {value} was expected"
    return largest, "other places are empty" if empties_differ else ""


def describe_row(row: dict[str, Any]) -> str:
    """A short form of a row, for messages."""
    return repr(next(iter((row["texts"] or row["inputs"]).values()))[:60])
