"""A model of every datatype for tests of the Open Inference Protocol, and a client that shares no code with the server."""

import base64
import json
import math
import struct
from pathlib import Path

import ml_dtypes
import numpy as np

HERE = Path(__file__).with_name("serving")
CASES = [json.loads(line) for line in (HERE / "oip_client.jsonl").read_text(encoding="utf-8").splitlines()]
TYPES = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
    "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "FP16": np.float16, "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32, "FP64": np.float64, "BYTES": object,
}  # fmt: skip


def signature(datatype):
    """The signature of the model `same` that returns its input x as y: "INT8" -> "int8"."""
    return "string" if datatype == "BYTES" else np.dtype(TYPES[datatype]).name


def save_same(folder):
    """Saves a model with an identity for each datatype, one for a type that the protocol lacks, and signatures of two inputs, with
    a scalar, and of texts (the default)."""
    import tensorflow as tf

    def function(call, *specs):
        return tf.function(call, input_signature=specs, autograph=False)

    module = tf.Module()
    module.functions = {
        dtype: function(lambda x: {"y": tf.identity(x)}, tf.TensorSpec(None, dtype, "x"))
        for dtype in (*map(signature, TYPES), "complex64")
    }
    module.functions["two"] = function(
        lambda a, b: {"sum": a + b[:, 0], "first": tf.identity(a)},
        tf.TensorSpec([None], tf.float32, "a"),
        tf.TensorSpec([None, 1], tf.float32, "b"),
    )
    module.functions["scaled"] = function(
        lambda x, by: {"y": x * by},
        tf.TensorSpec([None, 2], tf.float32, "x"),
        tf.TensorSpec([], tf.float32, "by"),
    )
    module.functions["serving_default"] = function(
        lambda text: {"upper": tf.strings.upper(text), "length": tf.strings.length(text)},
        tf.TensorSpec([None], tf.string, "text"),
    )
    served = {name: call.get_concrete_function() for name, call in module.functions.items()}
    tf.saved_model.save(module, str(folder), signatures=served)


def binary(array):
    """Binary tensor data: little-endian values, or texts that follow their lengths."""
    if array.dtype != object:
        return array.tobytes()
    return b"".join(struct.pack("<I", len(text)) + text for text in array.reshape(-1))


def from_binary(data, datatype, shape):
    if datatype != "BYTES":
        return np.frombuffer(data, TYPES[datatype]).reshape(shape)
    texts = []
    while data:
        size = struct.unpack("<I", data[:4])[0]
        texts.append(data[4 : 4 + size])
        data = data[4 + size :]
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(shape)


def nested(array):
    """An array as JSON of nested lists."""
    values = array.astype(np.float64) if array.dtype.kind == "V" else array
    if array.dtype != object:
        return values.tolist()
    return json.loads(json.dumps(values.tolist(), default=bytes.decode))


def tensor(name, array, datatype, layout="flat"):
    """(an input of a request, its binary data); layout: flat, nested, or binary."""
    described = {"name": name, "shape": list(array.shape), "datatype": datatype}
    if layout == "binary":
        data = binary(array)
        return described | {"parameters": {"binary_data_size": len(data)}}, data
    return described | {"data": nested(array.reshape(-1) if layout == "flat" or not array.ndim else array)}, b""


def body(inputs, **members):
    """(body, headers) of a request; inputs: of `tensor`."""
    text = json.dumps({**members, "inputs": [described for described, _ in inputs]}).encode()
    data = b"".join(data for _, data in inputs)
    has_binary = any("parameters" in described for described, _ in inputs)
    return text + data, {"Inference-Header-Content-Length": str(len(text))} if has_binary else {}


def outputs(headers, content):
    """(the JSON of a response, {output: array}), as the protocol describes it."""
    length = headers.get("inference-header-content-length")
    text, data = (content[: int(length)], content[int(length) :]) if length else (content, b"")
    document = json.loads(text)
    arrays = {}
    for output in document["outputs"]:
        shape, datatype = output["shape"], output["datatype"]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            arrays[output["name"]], data = from_binary(data[:size], datatype, shape), data[size:]
        elif datatype == "BYTES":
            arrays[output["name"]] = from_binary(binary(text_array(output["data"])), datatype, shape)
        else:
            arrays[output["name"]] = numbers(output["data"], datatype).reshape(shape)
    assert not data
    return document, arrays


def numbers(values, datatype):
    """Python's numbers as an array [n]; integers must not become floats on the way."""
    if np.dtype(TYPES[datatype]).kind in "iu":
        return np.array(values, TYPES[datatype])
    return np.array(values).astype(TYPES[datatype])


def text_array(texts):
    array = np.empty(len(texts), object)
    array[:] = [text.encode() for text in texts]
    return array


def recorded(case):
    """The values that a recorded request carries, [2, 1]."""
    datatype, values = case["datatype"], case["values"]
    if datatype == "BYTES":
        return from_binary(binary(np.array([bytes.fromhex(value) for value in values], object)), "BYTES", (2, 1))
    read = {"b": lambda value: value == "True", "i": int, "u": int}.get(np.dtype(TYPES[datatype]).kind, float)
    return numbers([read(value) for value in values], datatype).reshape(2, 1)


def recorded_body(case):
    return base64.b64decode(case["body_b64"])


def draw_array(draw, datatype, shape):
    """Random values of a datatype, among them its limits; draw: random.Random."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return text_array(
            ["".join(draw.choices("ab\u00fc\U0001f600\0", k=draw.randrange(9))) for _ in range(count)]
        ).reshape(shape)
    kind = np.dtype(TYPES[datatype]).kind
    if kind == "b":
        values = [draw.random() < 0.5 for _ in range(count)]
    elif kind in "iu":
        limits = np.iinfo(TYPES[datatype])
        values = [
            draw.choice((int(limits.min), int(limits.max), draw.randint(int(limits.min), int(limits.max))))
            for _ in range(count)
        ]
    else:
        values = [draw.choice((0.0, -0.0, draw.gauss(0, 1), draw.gauss(0, 1e4))) for _ in range(count)]
    return numbers(values, datatype).reshape(shape)
