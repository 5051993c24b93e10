"""What a request's path asks for, by TensorFlow Serving's grammar; the query counts as part of the path."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from textpipe.serve.engine.errors import invalid_argument

PREFIX = "/v1/"
MAX_VERSION = 2**63 - 1
VERSION_OR_LABEL = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
POST_PATH = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){VERSION_OR_LABEL}:(?P<verb>classify|regress|predict|stream)", re.IGNORECASE
)
GET_PATH = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{VERSION_OR_LABEL}(?:/(?P<verb>metadata))?", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A model, perhaps its version or its label, and what is wanted: predict, classify, regress, status, metadata."""

    name: str
    version: int | None = None
    label: str | None = None
    verb: str = "status"


def parse(method: str, path: str) -> Target:
    """The target of a request below /v1/; raises Fault for what TensorFlow Serving calls malformed.

    path: as it was sent, escapes and query included.
    """
    grammar = {"POST": POST_PATH, "GET": GET_PATH}.get(method)
    found = grammar.fullmatch(path) if grammar else None
    if not found:
        raise invalid_argument(f"Malformed request: {method} {path}")
    version = found["version"]
    if version is not None and (len(version.lstrip("0")) > 19 or int(version.lstrip("0") or 0) > MAX_VERSION):
        raise invalid_argument(f"Failed to convert version: {version} to numeric.")
    # The pattern takes verbs in capitals, but nothing is done for them; METADATA is no more than a path to the status.
    verb = found["verb"] or "status"
    if method == "GET" and verb != "metadata":
        verb = "status"
    if verb != verb.lower():
        raise invalid_argument(f"Malformed request: {method} {path}")
    if not found["name"]:
        raise invalid_argument("Missing model name in request.")
    label = unquote(found["label"]) if found["label"] else None
    return Target(unquote(found["name"]), int(version.lstrip("0") or 0) if version else None, label, verb)
