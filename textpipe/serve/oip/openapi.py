"""The OpenAPI description of the Open Inference Protocol's paths."""

from typing import Any

from textpipe.serve.oip import rest_api
from textpipe.serve.oip.datatypes import DATATYPES
from textpipe.serve.rest.openapi import operation

TEXT, BOOLEAN = {"type": "string"}, {"type": "boolean"}
PARAMETERS = {
    "type": "object",
    "description": "signature_name, timeout in microseconds, binary_data_output, and others.",
}
SHAPE = {"type": "array", "items": {"type": "integer"}}
DATA = {"type": "array", "description": "Numbers, texts, or true and false; flat, or nested as the shape says."}
METADATA = {"type": "object", "properties": {"name": TEXT, "datatype": TEXT, "shape": SHAPE}}


def paths() -> dict[str, Any]:
    server = {"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)}
    described: dict[str, Any] = {
        rest_api.ROOT: {"get": operation("Name, version and extensions of the server.", members(**server))},
        rest_api.LIVE: {"get": operation("The process answers.", members(live=BOOLEAN))},
        rest_api.READY: {"get": operation("Every model has a version that serves.", members(ready=BOOLEAN))},
        rest_api.INDEX: {"post": operation("The state of every version.", list_of(index()), members(ready=BOOLEAN))},
    }
    for suffix, names in (("", ("name",)), ("/versions/{version}", ("name", "version"))):
        base = f"{rest_api.ROOT}/models/{{name}}{suffix}"
        parameters = [parameter(name) for name in names]
        model = members(name=TEXT, versions=list_of(TEXT), inputs=list_of(METADATA), outputs=list_of(METADATA))
        ready = members(name=TEXT, ready=BOOLEAN)
        described[base] = {"parameters": parameters, "get": operation("Inputs and outputs of a model.", model)}
        described[f"{base}/ready"] = {"parameters": parameters, "get": operation("Whether a model serves.", ready)}
        described[f"{base}/infer"] = {"parameters": parameters, "post": infer()}
    return described


def members(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def list_of(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/?#%]+$"}}


def index() -> dict[str, Any]:
    return members(name=TEXT, version=TEXT, state=TEXT, reason=TEXT)


def infer() -> dict[str, Any]:
    """In JSON; binary data may follow it, in requests and responses."""
    tensor = {"name": TEXT, "shape": SHAPE, "datatype": {"enum": sorted(DATATYPES.values())}, "data": DATA}
    request = members(
        id=TEXT,
        parameters=PARAMETERS,
        inputs=list_of(members(**tensor, parameters=PARAMETERS) | {"required": ["name", "shape", "datatype"]}),
        outputs=list_of(members(name=TEXT, parameters=PARAMETERS) | {"required": ["name"]}),
    ) | {"required": ["inputs"]}
    response = members(model_name=TEXT, model_version=TEXT, id=TEXT, outputs=list_of(members(**tensor)))
    described = operation("The outputs of a model for input tensors.", response, request)
    described["responses"]["200"]["content"]["application/octet-stream"] = {"schema": {}}
    return described
