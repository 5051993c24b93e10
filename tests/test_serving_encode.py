"""Outputs as JSON: every float32 as TensorFlow Serving formats it, and a batch's rows written once for all its requests."""

import json
import struct

import numpy as np
import pytest

from textpipe.serve.engine.batch_outputs import BatchOutputs, OutputSlice
from textpipe.serve.tensors import to_json
from textpipe.serve.tensors.json_values import bytes_array


def format_alone(value):
    """Six digits if they round-trip, else nine; for a single number."""
    six = f"{value:.6g}"
    try:
        same = struct.unpack("f", struct.pack("f", float(six)))[0] == value
    except OverflowError:
        same = False
    text = six if same else f"{value:.9g}"
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return special.get(text) or (text if "." in text or "e" in text else text + ".0")


def test_an_array_of_float32_is_formatted_like_single_numbers():
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    some = np.array(
        [0, -0.0, 1, 0.2, 1 / 3, 9e6, 1e10, 16777216, 3.4028235e38, 1e-45, np.inf, -np.inf, np.nan], np.float32
    )
    values = np.concatenate(
        [bits, some, random.random(5_000, np.float32), np.round(random.random(5_000), 4).astype(np.float32)]
    )
    assert to_json.format_floats(values) == [format_alone(value) for value in values.tolist()]


TENSORS = {
    "answer": bytes_array([b"100 % sure", b"%s", b'quoted "so"', "größer".encode()]),
    "100 %": np.array([0.5, 1 / 3, 2, np.nan], np.float32),
    "nested": np.arange(24, dtype=np.int64).reshape(4, 2, 3),
    "nothing": np.zeros((4, 0), np.float32),
}


@pytest.mark.parametrize("names", [list(TENSORS), ["answer"], ["nested"], ["nothing"]])
def test_a_slice_of_a_batch_is_written_like_a_single_request(names):
    tensors = {name: TENSORS[name] for name in names}
    batch, slices = BatchOutputs(tensors), [(0, 1), (1, 3), (3, 4)]
    for begin, end in slices:
        alone = {name: array[begin:end] for name, array in tensors.items()}
        text = to_json.predict(OutputSlice(batch, begin, end), in_rows=True)
        assert text == to_json.predict(alone, in_rows=True)
        rows = json.loads(text)["predictions"]
        assert len(rows) == end - begin
        for name in set(names) & {"answer", "nested"}:
            values = [row[name] for row in rows] if len(names) > 1 else rows
            expected = alone[name].tolist()
            assert values == [value.decode() if isinstance(value, bytes) else value for value in expected]
        assert to_json.predict(OutputSlice(batch, begin, end), in_rows=False) == to_json.predict(alone, in_rows=False)


def test_the_rows_of_a_batch_are_written_once(monkeypatch):
    calls, format_values = [], to_json.format_values
    monkeypatch.setattr(to_json, "format_values", lambda flat, name: calls.append(name) or format_values(flat, name))
    batch = BatchOutputs({"answer": TENSORS["answer"]})
    for row in range(4):
        to_json.predict(OutputSlice(batch, row, row + 1), in_rows=True)
    assert calls == ["answer"]
