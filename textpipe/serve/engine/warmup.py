"""Tests a version before it serves: its warm-up requests, then golden rows whose answers were recorded at export."""

import itertools
import json
import math
from typing import Any

import numpy as np

from textpipe.errors import ModelError
from textpipe.savedmodel import tfrecord, warmup
from textpipe.savedmodel.loader import DEFAULT, GOLDEN
from textpipe.savedmodel.model_rows import encode_cell, from_json
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.model_version import Signature, Version
from textpipe.serve.engine.request_limits import RequestLimits
from textpipe.serve.tensors.json_values import bytes_array

TOLERANCE = 1e-3  # relative; kernels round differently on another processor
NO_LIMITS = RequestLimits(1 << 62, 1 << 62, 1 << 62)  # the warm-up requests are the model author's
NEAR_TIES = 0.02  # share of rows that may differ: rounding can change a search or a sample


def check(version: Version, *, golden_rows: int = 64) -> None:
    """Raises ModelError when a request fails or when the answers differ from those at export."""
    for number, request in enumerate(read_requests(version)):
        try:
            signature = version.signature(request.model_spec.signature_name)
            signature.call(signature.complete(request_tensors(request, signature, version.definitions[signature.name])))
        except ServingError as error:
            raise ModelError(
                f"{version.path}: warm-up request {number} failed ({error}); export the model again"
            ) from None
    rows = read_golden_rows(version, golden_rows)
    if rows:
        check_golden_rows(version, rows)


def read_requests(version: Version) -> list[Any]:
    """The requests of the warm-up log, as messages; raises ModelError when the file cannot be read."""
    path = version.path / warmup.FILE
    if not path.is_file():
        return []
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    try:
        records = itertools.islice(tfrecord.read(path), warmup.LIMIT)
        logs = list(map(prediction_log_pb2.PredictionLog.FromString, records))
    except (OSError, ValueError, DecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None
    kinds = [(log, log.WhichOneof("log_type")) for log in logs]
    return [getattr(log, kind).request for log, kind in kinds if kind in ("predict_log", "classify_log", "regress_log")]


def request_tensors(request: Any, signature: Signature, definition: Any) -> dict[str, np.ndarray]:
    """A warm-up request's tensors; raises ServingError when they do not fit the signature. definition: its SignatureDef."""
    from textpipe.serve.tensors import tensor_protos

    if hasattr(request, "input"):
        return {"inputs": tensor_protos.serialize_input(request.input, NO_LIMITS)}
    tensor_protos.check_inputs(request.inputs, signature, definition, NO_LIMITS)
    return tensor_protos.to_arrays(request.inputs, signature, NO_LIMITS)


def read_golden_rows(version: Version, count: int) -> list[dict[str, Any]]:
    """At most `count` golden rows, evenly spread over the file."""
    path = version.path / GOLDEN
    if not version.about or not path.is_file() or DEFAULT not in version.signatures:
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return (
            [json.loads(lines[index * len(lines) // count]) for index in range(count)]
            if len(lines) > count
            else list(map(json.loads, lines))
        )
    except ValueError as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None


def check_golden_rows(version: Version, rows: list[dict[str, Any]]) -> None:
    """Raises ModelError naming a row with the same answer but another score, or when more than a few answers differ."""
    signature = version.signature(DEFAULT)
    if any(name not in row_inputs(row, signature) for row in rows for name in signature.inputs):
        raise ModelError(f"{version.path}: golden rows lack inputs of the signature; export the model again")
    outputs = signature.call(
        {
            name: input_array([row_inputs(row, signature)[name] for row in rows], dtype)
            for name, dtype in signature.inputs.items()
        }
    )
    num_different = 0
    for row, answer, score in zip(rows, outputs["answer"].tolist(), outputs["score"].tolist(), strict=True):
        expected, expected_score = golden_answer(row)
        close = math.isclose(score, expected_score, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        same = answer.decode("utf-8", "replace") == expected
        num_different += not same
        if (same and not close) or num_different > max(1, NEAR_TIES * len(rows)):
            raise ModelError(
                f"{version.path}: golden row {format_row(row_inputs(row, signature))} is answered {answer.decode('utf-8', 'replace')!r} "
                f"({score:.6g}) where the export recorded {expected!r} ({expected_score:.6g}); copy the model again"
            )


def golden_answer(row: dict[str, Any]) -> tuple[str, float]:
    """(answer, score) of a golden row; a message below a trigger's threshold gets none."""
    trigger = row.get("trigger")
    if trigger and trigger["probability"] < trigger["threshold"]:
        return "", 0.0
    return row["texts"][0], row["scores"][0]


def row_inputs(row: dict[str, Any], signature: Signature) -> dict[str, Any]:
    """The inputs of a golden row; in exports of format 1 a row has a single text."""
    return row["raw"] if "raw" in row else dict.fromkeys(signature.inputs, row["text"])


def input_array(cells: list[Any], dtype: str) -> np.ndarray:
    """JSON cells as a signature's input [B]; a missing number is NaN."""
    if dtype == "string":
        return bytes_array(encode_cell(from_json(cell)) for cell in cells)
    return np.array([math.nan if cell is None else cell for cell in cells], dtype)


def format_row(raw: dict[str, Any]) -> str:
    """A row for an error message: its text, or its fields."""
    if len(raw) == 1:
        return repr(str(*raw.values())[:60])
    return ", ".join(f"{name} {str(cell)[:40]!r}" for name, cell in raw.items())
