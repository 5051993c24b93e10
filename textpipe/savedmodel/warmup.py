"""Warm-up requests in TensorFlow Serving's format, which it runs when it loads a version, before serving it.

assets.extra/tf_serving_warmup_requests is a TFRecord file of at most 1,000 PredictionLog messages
(tensorflow_serving/apis/prediction_log.proto). Messages are encoded here field by field, so that export does not need
tensorflow-serving-api.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = "assets.extra/tf_serving_warmup_requests"
LIMIT = 1000

# Field numbers of TensorFlow Serving's messages.
PREDICTION_LOG_PREDICT_LOG = 6
PREDICT_LOG_REQUEST = 1
PREDICT_REQUEST_MODEL_SPEC, PREDICT_REQUEST_INPUTS = 1, 2
MODEL_SPEC_NAME, MODEL_SPEC_SIGNATURE_NAME = 1, 3
MAP_KEY, MAP_VALUE = 1, 2


def encode_varint(value: int) -> bytes:
    """Protocol buffers' variable-length integer: 300 -> b'\\xac\\x02'."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_field(number: int, value: bytes | str) -> bytes:
    """A string, bytes or message field in protocol buffers' wire format (wire type 2)."""
    value = value.encode() if isinstance(value, str) else value
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


def prediction_log(name: str, signature: str, inputs: Mapping[str, Any]) -> bytes:
    """A serialized PredictionLog that calls a model's signature on a batch; inputs: tensors or NumPy arrays."""
    import tensorflow as tf

    spec = encode_field(MODEL_SPEC_NAME, name) + encode_field(MODEL_SPEC_SIGNATURE_NAME, signature)
    request = encode_field(PREDICT_REQUEST_MODEL_SPEC, spec)
    for key, values in inputs.items():
        tensor = tf.make_tensor_proto(values)
        entry = encode_field(MAP_KEY, key) + encode_field(MAP_VALUE, tensor.SerializeToString(deterministic=True))
        request += encode_field(PREDICT_REQUEST_INPUTS, entry)
    return encode_field(PREDICTION_LOG_PREDICT_LOG, encode_field(PREDICT_LOG_REQUEST, request))


def write(folder: Path, logs: Sequence[bytes]) -> None:
    """Write serialized PredictionLogs into a model directory."""
    import tensorflow as tf

    assert len(logs) <= LIMIT
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log)
