"""Requests to a server of TensorFlow Serving's protocol, with what must come back: serving/*.jsonl, models.json.

A line: id, function (its model's, by models.json; route.jsonl talks to the models there), method and path where they
are not POST /v1/models/m:predict, body, body_b64 or body_parts [[text, times], ...], headers; status, and of the
answer: json (all of it), within (part of it), message (all of it), error (part of it; `loose` is enough where another
JSON reader words it otherwise), exact, exact_b64, holds, answer_headers. compare "float32": numbers are equal as these. may_differ:
another answer may be the better one; it must not be a fault of the server's.
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
    """A SavedModel whose signatures compute functions of models.json."""
    import tensorflow as tf

    module = tf.Module()
    module.made = {name: made(MODELS["functions"][function]) for name, function in signatures.items()}
    served = {name: function.get_concrete_function() for name, function in module.made.items()}
    tf.saved_model.save(module, str(folder), signatures=served)


def made(function: dict[str, Any]) -> Any:
    """A tf.function of named inputs whose outputs are the expressions written down for them."""
    import tensorflow as tf

    specs = [
        tf.TensorSpec([None if size == -1 else size for size in shape], dtype, name)
        for name, (dtype, shape) in function["inputs"].items()
    ]

    def run(*values):
        scope = {"tf": tf, **dict(zip(function["inputs"], values, strict=True))}
        return {name: tf.identity(eval(text, scope)) for name, (_, _, text) in function["outputs"].items()}

    return tf.function(run, input_signature=specs, autograph=False)


def faults(case: dict[str, Any], status: int, headers: dict[str, str], body: bytes) -> list[str]:
    """What of an answer is not as the case says."""
    found = []
    if status != case["status"]:
        found.append(f"status {status} where {case['status']} was expected: {body[:300]!r}")
    text = body.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if "json" in case and not equal(answer, case["json"], case.get("compare")):
        found.append(f"answer {text[:300]}")
    if "within" in case and not within(case["within"], answer):
        found.append(f"{case['within']} is not in {text[:300]}")
    message = answer.get("error", "") if isinstance(answer, dict) else ""
    if "error" in case and case["error"] not in message and case.get("loose", case["error"]) not in message:
        found.append(f"error {message!r}")
    if "message" in case and case["message"] != message:
        found.append(f"error {message!r} where it is {case['message']!r}")
    if "exact" in case and text != case["exact"]:
        found.append(f"body {text!r}")
    if "exact_b64" in case and body != base64.b64decode(case["exact_b64"]):
        found.append(f"body {body!r}")
    if case.get("holds", "") not in text:
        found.append(f"{case['holds']!r} is not in {text[:300]}")
    found += [
        f"header {name}"
        for name, value in case.get("answer_headers", {}).items()
        if not headers.get(name.lower(), "").startswith(value)
    ]
    return found


def equal(one: Any, other: Any, compare: str | None) -> bool:
    """NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        if compare == "float32":
            return bool(np.float32(one) == np.float32(other))
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(a, b, compare) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key], compare) for key in one)
    return one == other


def within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and within(value, whole[key]) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(within, part, whole))
    return part == whole
