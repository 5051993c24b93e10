"""Warm-up requests in TensorFlow Serving's format, which it runs when it loads a version, before serving it.

assets.extra/tf_serving_warmup_requests is a TFRecord file of at most 1,000 PredictionLog messages
(tensorflow_serving/apis/prediction_log.proto). Messages are encoded here field by field, so that export does not need
tensorflow-serving-api.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.runtime.wire_format import field

FILE = "assets.extra/tf_serving_warmup_requests"
LIMIT = 1000

# Field numbers of TensorFlow Serving's messages.
PREDICTION_LOG_PREDICT_LOG = 6
PREDICT_LOG_REQUEST = 1
PREDICT_REQUEST_MODEL_SPEC, PREDICT_REQUEST_INPUTS = 1, 2
MODEL_SPEC_NAME, MODEL_SPEC_SIGNATURE_NAME = 1, 3
MAP_KEY, MAP_VALUE = 1, 2


def prediction_log(name: str, signature: str, inputs: Mapping[str, Any]) -> bytes:
    """A serialized PredictionLog that calls a model's signature on a batch; inputs: tensors or NumPy arrays."""
    import tensorflow as tf

    spec = field(MODEL_SPEC_NAME, name) + field(MODEL_SPEC_SIGNATURE_NAME, signature)
    request = field(PREDICT_REQUEST_MODEL_SPEC, spec)
    for key, values in inputs.items():
        tensor = tf.make_tensor_proto(values)
        entry = field(MAP_KEY, key) + field(MAP_VALUE, tensor.SerializeToString(deterministic=True))
        request += field(PREDICT_REQUEST_INPUTS, entry)
    return field(PREDICTION_LOG_PREDICT_LOG, field(PREDICT_LOG_REQUEST, request))


def write(folder: Path, logs: Sequence[bytes]) -> None:
    """Write serialized PredictionLogs into a model directory."""
    import tensorflow as tf

    assert len(logs) <= LIMIT
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log)
