"""Requests of TensorFlow Serving's REST protocol with the expected responses: serving/*.jsonl, models.json.

Each line has id, function (of its model, in models.json; route.jsonl uses the models there), method and path unless these are
POST /v1/models/m:predict, body, body_b64 or body_parts [[text, times], ...], headers; status, and of the response: json (equal),
within (contained in it), message (equal), error (contained in it; `loose` is accepted for other JSON parsers), exact, exact_b64,
holds, answer_headers. compare "float32": numbers are compared as float32. may_differ: this server may answer better than
TensorFlow Serving, but not with a 5xx status.
"""

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).with_name("serving")
MODELS = json.loads((HERE / "models.json").read_text(encoding="utf-8"))


def cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").split("\n") if line]


def body_of(case: dict[str, Any]) -> bytes:
    if "body_b64" in case:
        return base64.b64decode(case["body_b64"])
    if "body_parts" in case:
        return "".join(text * times for text, times in case["body_parts"]).encode()
    return case.get("body", "").encode()


def save(folder: Path, signatures: dict[str, str]) -> None:
    """Saves a SavedModel whose signatures compute functions of models.json."""
    import tensorflow as tf

    module = tf.Module()
    module.functions = {name: build(MODELS["functions"][function]) for name, function in signatures.items()}
    served = {name: function.get_concrete_function() for name, function in module.functions.items()}
    tf.saved_model.save(module, str(folder), signatures=served)


def build(function: dict[str, Any]) -> Any:
    """A tf.function whose outputs are the function's expressions of its inputs."""
    import tensorflow as tf

    specs = [
        tf.TensorSpec([None if size == -1 else size for size in shape], dtype, name)
        for name, (dtype, shape) in function["inputs"].items()
    ]

    def run(*values):
        scope = {"tf": tf, **dict(zip(function["inputs"], values, strict=True))}
        return {name: tf.identity(eval(text, scope)) for name, (_, _, text) in function["outputs"].items()}

    return tf.function(run, input_signature=specs, autograph=False)


def mismatches(case: dict[str, Any], status: int, headers: dict[str, str], body: bytes) -> list[str]:
    """Differences between a response and the case."""
    problems = []
    if status != case["status"]:
        problems.append(f"status {status} where {case['status']} was expected: {body[:300]!r}")
    text = body.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if "json" in case and not equal(answer, case["json"], case.get("compare")):
        problems.append(f"answer {text[:300]}")
    if "within" in case and not within(case["within"], answer):
        problems.append(f"{case['within']} is not in {text[:300]}")
    message = answer.get("error", "") if isinstance(answer, dict) else ""
    if "error" in case and case["error"] not in message and case.get("loose", case["error"]) not in message:
        problems.append(f"error {message!r}")
    if "message" in case and case["message"] != message:
        problems.append(f"error {message!r} where it is {case['message']!r}")
    if "exact" in case and text != case["exact"]:
        problems.append(f"body {text!r}")
    if "exact_b64" in case and body != base64.b64decode(case["exact_b64"]):
        problems.append(f"body {body!r}")
    if case.get("holds", "") not in text:
        problems.append(f"{case['holds']!r} is not in {text[:300]}")
    problems += [
        f"header {name}"
        for name, value in case.get("answer_headers", {}).items()
        if not headers.get(name.lower(), "").startswith(value)
    ]
    return problems


def equal(actual: Any, expected: Any, compare: str | None) -> bool:
    """NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, (int, float)) and isinstance(expected, (int, float)):
        if math.isnan(actual) or math.isnan(expected):
            return math.isnan(actual) and math.isnan(expected)
        if compare == "float32":
            return bool(np.float32(actual) == np.float32(expected))
        return actual == expected and math.copysign(1, actual) == math.copysign(1, expected)
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(equal(a, b, compare) for a, b in zip(actual, expected, strict=True))
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(equal(actual[key], expected[key], compare) for key in actual)
    return actual == expected


def within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and within(value, whole[key]) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(within, part, whole))
    return part == whole
