"""Whether weights of 8 bits would make decoding faster: matrix products of a decoding step in float32 and in int8.

    python benchmarks/int8_decoding.py [--rounds 20]

A step of beam search multiplies the states of its hypotheses, [N, D], with weights [D, M]. The ways that TensorFlow has of doing this with weights of
8 bits, each in a traced function and on one thread as in `textpipe serve`:

    float32       MatMul
    hybrid        UniformQuantizedDotHybrid: states in float32, weights in int8
    dequantized   weights in int8, multiplied out to float32 in every step: a quarter of the bytes is read
    int8          QuantizedMatMulWithBiasAndDequantize: states quantized to 8 bits in every step (oneDNN)

Ratios above 1 mean faster than float32. Medians over rounds in which all ways run in turn. Writes benchmarks/results/int8_decoding.json.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

RESULTS = Path(__file__).parent / "results" / "int8_decoding.json"
PRODUCTS = {  # of the Multi30k transformer and a model four times as wide: states, size of a state, outputs
    "feed-forward layer, beam 5": (5, 128, 256),
    "vocabulary, beam 5": (5, 128, 8000),
    "vocabulary, 32 sentences of beam 5": (160, 128, 8000),
    "vocabulary, width 512, beam 5": (5, 512, 8000),
    "vocabulary, width 512, 32 sentences of beam 5": (160, 512, 8000),
}
CALLS_SECONDS = 0.05  # of each way in each round


def ways(states, weights):
    """{name: function of the states [N, D] that gives [N, M]}."""
    scale = np.float32(np.abs(weights).max() / 127)
    small = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    exact, stored = tf.constant(weights), tf.Variable(small, trainable=False)
    bias = tf.zeros([weights.shape[1]])
    limit = tf.constant(float(np.abs(states).max()))
    offsets = limit * scale * small.sum(axis=0, dtype=np.int64).astype(np.float32)
    as_qint8 = tf.bitcast(tf.constant(small), tf.qint8)

    def hybrid(x):
        return tf.raw_ops.UniformQuantizedDotHybrid(
            lhs=x, rhs=as_qint8, rhs_scales=scale, rhs_zero_points=0, Tout=tf.float32,
            rhs_quantization_min_val=-127, rhs_quantization_max_val=127, rhs_quantization_axis=-1,
        )  # fmt: skip

    def int8(x):
        code, low, high = tf.quantization.quantize(x, -limit, limit, tf.quint8, mode="MIN_FIRST")
        sums = tf.raw_ops.QuantizedMatMulWithBiasAndDequantize(
            a=code, b=as_qint8, bias=bias, min_a=low, max_a=high, min_b=-127 * scale, max_b=127 * scale,
            min_freezed_output=0.0, max_freezed_output=0.0, Toutput=tf.float32, input_quant_mode="SCALED",
        )  # fmt: skip
        return 2 * sums - offsets  # the codes are of 8 bits without a sign: they stand for values from -limit on

    return {
        "float32": lambda x: tf.matmul(x, exact),
        "hybrid": hybrid,
        "dequantized": lambda x: tf.matmul(x, tf.cast(stored, tf.float32) * scale),
        "int8": int8,
    }


def seconds_of(call, states):
    """Seconds of a call, from as many as fit into CALLS_SECONDS."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < CALLS_SECONDS:
        call(states)
        count += 1
    return (time.perf_counter() - started) / count


def measure(shape, rounds):
    """Microseconds, ratios to float32 and the largest relative error of each way."""
    draw = np.random.default_rng(1)
    rows, size, outputs = shape
    states = draw.normal(size=(rows, size)).astype(np.float32)
    weights = (draw.normal(size=(size, outputs)) / np.sqrt(size)).astype(np.float32)
    given, expected = tf.constant(states), states @ weights
    calls, errors, failures = {}, {}, {}
    for name, way in ways(states, weights).items():
        try:
            traced = tf.function(way).get_concrete_function(tf.TensorSpec([None, size], tf.float32))
            found = traced(given).numpy()
        except (tf.errors.OpError, ValueError, TypeError) as error:
            failures[name] = str(error).partition("\n")[0][:200]
            continue
        calls[name] = traced
        errors[name] = round(float(np.abs(found - expected).max() / np.abs(expected).max()), 4)
    times = {name: [] for name in calls}
    for number in range(rounds):
        for name in list(calls) if number % 2 else reversed(calls):
            times[name].append(seconds_of(calls[name], given))
    ratios = {
        name: [base / mine for base, mine in zip(times["float32"], values, strict=True)]
        for name, values in times.items()
    }
    return {
        name: {
            "microseconds": round(1e6 * statistics.median(times[name]), 1),
            "ratio": [
                round(value, 2) for value in (statistics.median(ratios[name]), min(ratios[name]), max(ratios[name]))
            ],
            "largest_error": errors[name],
        }
        for name in calls
    } | {name: {"cannot": reason} for name, reason in failures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    figures = {}
    for name, shape in PRODUCTS.items():
        figures[name] = {"shape": shape, **measure(shape, options.rounds)}
        print(name, json.dumps(figures[name]), file=sys.stderr, flush=True)
    about = {"tensorflow": tf.__version__, "python": platform.python_version(), "machine": platform.machine()}
    flags = next((line for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("flags")), "").split()
    about["features"] = sorted({"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"} & set(flags))
    options.output.write_text(json.dumps({"figures": figures, **about}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
