"""What a request's path asks for, by TensorFlow Serving's grammar; the query counts as part of the path."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from textpipe.serve.engine.errors import invalid

PREFIX = "/v1/"
LARGEST = 2**63 - 1
WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
ASKED = re.compile(rf"/v1/models/(?P<name>[^/:]+){WHICH}:(?P<verb>classify|regress|predict|stream)", re.IGNORECASE)
TOLD = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{WHICH}(?:/(?P<verb>metadata))?", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A model, perhaps its version or its label, and what is wanted: predict, classify, regress, status, metadata."""

    name: str
    version: int | None = None
    label: str | None = None
    verb: str = "status"


def read(method: str, path: str) -> Target:
    """The target of a request below /v1/; raises Fault for what TensorFlow Serving calls malformed.

    path: as it was sent, escapes and query included.
    """
    grammar = {"POST": ASKED, "GET": TOLD}.get(method)
    found = grammar.fullmatch(path) if grammar else None
    if not found:
        raise invalid(f"Malformed request: {method} {path}")
    version = found["version"]
    if version is not None and (len(version.lstrip("0")) > 19 or int(version.lstrip("0") or 0) > LARGEST):
        raise invalid(f"Failed to convert version: {version} to numeric.")
    # The pattern takes verbs in capitals, but nothing is done for them; METADATA is no more than a path to the status.
    verb = found["verb"] or "status"
    if method == "GET" and verb != "metadata":
        verb = "status"
    if verb != verb.lower():
        raise invalid(f"Malformed request: {method} {path}")
    if not found["name"]:
        raise invalid("Missing model name in request.")
    label = unquote(found["label"]) if found["label"] else None
    return Target(unquote(found["name"]), int(version.lstrip("0") or 0) if version else None, label, verb)
