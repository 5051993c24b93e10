"""What a predict request says, for both that answer it: PredictApi and DirectPredict."""

from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import DEFAULT, Signature, Version
from textpipe.serve.engine.request_limits import RequestLimits
from textpipe.serve.tensors import cell_shapes, from_json
from textpipe.serve.tensors.json_values import bytes_array
from textpipe.serve.tensors.json_writer import malformed


class PredictReader:
    """Reads a predict request for a version: the signature and its input tensors. in_rows: whether they came in rows; set by reading."""

    __slots__ = ("in_rows", "limits", "name", "request")

    def __init__(self, request: dict[str, Any], name: str, limits: RequestLimits):
        self.request, self.name, self.limits, self.in_rows = request, name, limits, False

    def __call__(self, version: Version) -> tuple[Signature, from_json.Tensors]:
        signature = version.signature(self.name)
        if not signature.inputs:
            name = self.request.get("signature_name") or "DEFAULT"
            raise invalid_argument(f"Failed to get input map for signature: {name}")
        if (name := signature.text_input) and (tensors := read_texts(self.request, name, self.limits)):
            self.in_rows = True
            return signature, tensors
        try:
            tensors, self.in_rows = from_json.predict(self.request, signature.inputs, signature.defaults, self.limits)
        except ServingError:
            cell_shapes.check_document(self.request, signature.row_fields)  # a list has a message of its own
            raise
        return signature, tensors


def read_texts(request: dict[str, Any], name: str, limits: RequestLimits) -> from_json.Tensors | None:
    """The tensor of the most frequent request, {"instances": ["text", ...]}, as from_json.predict reads it; None for others."""
    rows = request.get(from_json.ROWS)
    if type(rows) is not list or set(map(type, rows)) != {str} or from_json.COLUMNS in request:
        return None
    limits.check_rows(from_json.ROWS, len(rows))
    return {name: bytes_array(map(str.encode, rows))}


def signature_name(request: dict[str, Any]) -> str:
    name = request.get("signature_name", DEFAULT)
    if not isinstance(name, str):
        raise malformed(request, "not formatted correctly. 'signature_name' key must be a string value.")
    return name


def checked(document: Any) -> dict[str, Any]:
    """A request's JSON document, which must be an object."""
    if not isinstance(document, dict):
        raise malformed(document, "Is not object")
    return document
