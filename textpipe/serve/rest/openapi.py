"""The OpenAPI description of the HTTP endpoint."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from textpipe.version import __version__

NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._-]")
VALUE: dict[str, Any] = {"description": 'A number, a string, true, false, a list of these, or {"b64": ...} for bytes.'}
ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


def description(
    options: Mapping[str, tuple[str, dict[str, Any]]] | None = None, other_paths: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """OpenAPI 3.1 of all public paths.

    options: search options of the models, {model: (signature, {option: its schema})}; they become components. other_paths: of
    other APIs than TensorFlow Serving's, described.
    """
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/:?#%]+$"}}
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    }
    label = {"name": "label", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/:?#%]+$"}}
    targets: tuple[tuple[str, list[dict[str, Any]]], ...] = (
        ("", []),
        ("/versions/{version}", [version]),
        ("/labels/{label}", [label]),
    )
    paths: dict[str, Any] = dict(other_paths or {})
    for suffix, parameter in targets:
        base, parameters = "/v1/models/{name}" + suffix, [name, *parameter]
        paths[base] = {
            "parameters": parameters,
            "get": operation("The versions of a model and their states.", status()),
        }
        paths[base + "/metadata"] = {
            "parameters": parameters,
            "get": operation("Signatures, inputs and outputs.", {"type": "object"}),
        }
        paths[f"{base}:feedback"] = {"parameters": parameters, "post": feedback()}
        for method, body, answer in (
            ("predict", predict(), predictions()),
            ("classify", examples(), results({"type": "array"})),
            ("regress", examples(), results(NUMBER)),
        ):
            paths[f"{base}:{method}"] = {
                "parameters": parameters,
                "post": operation(METHOD_SUMMARIES[method], answer, body),
            }
    for path, text in OPERATIONAL_PATHS.items():
        operational = {
            "summary": text,
            "responses": {"200": {"description": "OK"}, **error_responses("401", "405", "503")},
        }
        paths[path] = {"get": operational, "head": operational}
    document = {"openapi": "3.1.0", "info": {"title": "textpipe", "version": __version__}, "paths": paths}
    return document | {"components": {"schemas": dict(components(options))}} if options else document


def components(options: Mapping[str, tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Schemas of each model's options, under names that OpenAPI allows."""
    for model, (signature, schemas) in options.items():
        text = f'Inputs of {model} with signature_name "{signature}", besides its texts.'
        yield f"{NOT_ALLOWED.sub('_', model)}.options", {"type": "object", "description": text, "properties": schemas}


METHOD_SUMMARIES = {
    "feedback": "Appends what a user did with suggested replies to the feedback log; 404 without --feedback-log, 507 when it is full.",
    "predict": "Answers of a signature, in rows (instances) or columns (inputs).",
    "classify": "Labels and scores for examples.",
    "regress": "A number for each example.",
}
OPERATIONAL_PATHS = {
    "/healthz": "The process answers.",
    "/readyz": "Every model has a version that serves, and a worker has come free within the deadline.",
    "/models": "What there is to ask.",
    "/metrics": "Counters for Prometheus.",
}
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string"}]}


def operation(summary: str, answer: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    description: dict[str, Any] = {"summary": summary}
    if body:
        description["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    success = {"description": "OK", "content": {"application/json": {"schema": answer}}}
    description["responses"] = {
        "200": success,
        **error_responses("400", "401", "404", "429", "500", "501", "503", "504"),
    }
    return description


def error_responses(*statuses: str) -> dict[str, Any]:
    return {
        status: {"description": "No answer", "content": {"application/json": {"schema": ERROR}}} for status in statuses
    }


def status() -> dict[str, Any]:
    version = {
        "type": "object",
        "required": ["version", "state", "status"],
        "properties": {"version": {"type": "string"}, "state": {"type": "string"}, "status": {"type": "object"}},
    }
    return {"type": "object", "properties": {"model_version_status": {"type": "array", "items": version}}}


def predict() -> dict[str, Any]:
    signature = {"signature_name": {"type": "string"}}
    rows = {
        "type": "object",
        "required": ["instances"],
        "properties": {**signature, "instances": {"type": "array", "minItems": 1}},
    }
    columns = {"type": "object", "required": ["inputs"], "properties": {**signature, "inputs": VALUE}}
    return {"anyOf": [rows, columns]}


def feedback() -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["inputs", "shown"],
        "additionalProperties": False,
        "properties": {
            "inputs": {"type": "object", "description": "A row, by field.", "additionalProperties": VALUE},
            "shown": {"type": "array", "maxItems": 100, "items": {"type": "string"}},
            "taken": {"type": ["string", "null"], "description": "The reply, null if none was taken."},
            "edited": {"type": "boolean", "default": False},
        },
    }
    described = operation(METHOD_SUMMARIES["feedback"], {"type": "object"}, body)
    return described | {"responses": described["responses"] | error_responses("507")}


def predictions() -> dict[str, Any]:
    return {"type": "object", "properties": {"predictions": {"type": "array"}, "outputs": VALUE}}


def examples() -> dict[str, Any]:
    features = {"type": "object", "additionalProperties": VALUE}
    return {
        "type": "object",
        "required": ["examples"],
        "properties": {
            "signature_name": {"type": "string"},
            "context": features,
            "examples": {"type": "array", "minItems": 1, "items": features},
        },
    }


def results(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": ["results"], "properties": {"results": {"type": "array", "items": item}}}
