"""Parses request paths by TensorFlow Serving's grammar; the query counts as part of the path."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from textpipe.serve.engine.errors import invalid_argument

PREFIX = "/v1/"
MAX_VERSION = 2**63 - 1
VERSION_OR_LABEL = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
POST_PATH = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){VERSION_OR_LABEL}:(?P<method>classify|regress|predict|stream|feedback)",
    re.IGNORECASE,
)
GET_PATH = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{VERSION_OR_LABEL}(?:/(?P<method>metadata))?", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A model, optionally its version or label, and a method: predict, classify, regress, stream, feedback, status,
    metadata."""

    name: str
    version: int | None = None
    label: str | None = None
    method: str = "status"


def parse(http_method: str, path: str) -> Target:
    """The target of a request below /v1/; raises ServingError for what TensorFlow Serving calls malformed.

    path: as it was sent, escapes and query included.
    """
    grammar = {"POST": POST_PATH, "GET": GET_PATH}.get(http_method)
    match = grammar.fullmatch(path) if grammar else None
    if not match:
        raise invalid_argument(f"Malformed request: {http_method} {path}")
    version = match["version"]
    if version is not None and (len(version.lstrip("0")) > 19 or int(version.lstrip("0") or 0) > MAX_VERSION):
        raise invalid_argument(f"Failed to convert version: {version} to numeric.")
    # TensorFlow Serving's pattern ignores case, but :PREDICT is malformed and /METADATA returns the status.
    method = match["method"] or "status"
    if http_method == "GET" and method != "metadata":
        method = "status"
    if method != method.lower():
        raise invalid_argument(f"Malformed request: {http_method} {path}")
    if not match["name"]:
        raise invalid_argument("Missing model name in request.")
    label = unquote(match["label"]) if match["label"] else None
    return Target(unquote(match["name"]), int(version.lstrip("0") or 0) if version else None, label, method)
