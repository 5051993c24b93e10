"""POST /v1/models/NAME:feedback: records what a user did with the replies that a model suggested, as a line of the feedback log.

{"inputs": {"message": "Are you free at 5?"}, "shown": ["Yes, I am.", "No, sorry."], "taken": "Yes, I am.", "edited": false}
-> {"time": "2024-01-08T08:43:00Z", "model": "mail", "version": 1, "message": "Are you free at 5?", "reply": "Yes, I am.",
    "shown": ["Yes, I am.", "No, sorry."], "action": "taken"}
"""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

from textpipe.savedmodel import description
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.feedback_log import FeedbackLog
from textpipe.serve.engine.model_version import Version
from textpipe.serve.engine.request_limits import RequestLimits
from textpipe.serve.engine.service import Service
from textpipe.serve.rest.paths import Target

METHOD = "feedback"
VIEW = "replies"  # of models that suggest replies
KEYS = ("inputs", "shown", "taken", "edited")
COLUMNS = ("time", "model", "version", "reply", "shown", "action")  # the keys of a line besides the model's inputs
MAX_SHOWN = 100  # the most replies that a model suggests at once
KINDS = {
    type(None): "nothing", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object",
}  # fmt: skip


async def log(feedback_log: FeedbackLog | None, service: Service, target: Target, request: Mapping[str, Any]) -> int:
    """Append a line for a request to the log; returns the number of the model's version.

    Raises ServingError: NOT_FOUND if the server keeps no log, INVALID_ARGUMENT for an invalid request, LogFullError.
    """
    require_log(feedback_log)
    assert feedback_log is not None
    with service.repository.hold(target.name, target.version, target.label) as version:
        fields = input_kinds(version, target.name)
        number = version.number
    line = record(request, fields, service.request_limits)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = {"time": stamp, "model": target.name, "version": number, **line}
    await asyncio.get_running_loop().run_in_executor(feedback_log.thread, feedback_log.append, entry)
    return number


def require_log(feedback_log: FeedbackLog | None) -> None:
    """Raises ServingError if the server keeps no log. Called before the body is read."""
    if feedback_log is None:
        raise ServingError("NOT_FOUND", "this server keeps no feedback log; start it with --feedback-log FILE")


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Raises ServingError unless the body is declared as JSON: other types a browser sends for any website, without asking first."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise invalid_argument(
            f"feedback: expected the content type application/json, found {kind.decode('latin-1') or 'none'!r}"
        )


def input_kinds(version: Version, name: str) -> dict[str, str]:
    """{input: kind} of a model that suggests replies; raises ServingError for other models."""
    about = version.about
    view = description.view(about, tuple(version.signatures))
    if not view or view["kind"] != VIEW:
        raise invalid_argument(f"{name}: this model does not suggest replies, so it takes no feedback")
    kinds = {field["name"]: field["kind"] for field in about.get("fields") or ()}
    fields = {field: kinds.get(field, "text") for field in about.get("inputs") or ()}
    if clash := sorted(set(fields) & set(COLUMNS)):
        raise invalid_argument(
            f"{name}: its input {clash[0]!r} has the name of a column of the feedback log; rename the field"
        )
    return fields


def record(request: Mapping[str, Any], fields: Mapping[str, str], limits: RequestLimits) -> dict[str, Any]:
    """The part of a line that comes from the request; a ServingError names the key, what was expected and what was found."""
    if unknown := sorted(set(request) - set(KEYS)):
        raise invalid_argument(f"{unknown[0]!r}: unknown key; expected {', '.join(KEYS)}")
    inputs, shown, accepted, edited = (request.get(key) for key in KEYS)
    if not isinstance(inputs, dict) or set(inputs) != set(fields):
        actual = ", ".join(sorted(inputs)) or "none" if isinstance(inputs, dict) else kind_of(inputs)
        raise invalid_argument(f"inputs: expected an object of {', '.join(fields)}, found {actual}")
    if not isinstance(shown, list) or len(shown) > MAX_SHOWN:
        actual = f"{len(shown)}" if isinstance(shown, list) else kind_of(shown)
        raise invalid_argument(f"shown: expected a list of at most {MAX_SHOWN} replies, found {actual}")
    if accepted is not None and not (isinstance(accepted, str) and accepted.strip()):
        raise invalid_argument(f"taken: expected a reply, or null if none was taken, found {kind_of(accepted)}")
    if not isinstance(edited, bool | None):
        raise invalid_argument(f"edited: expected true or false, found {kind_of(edited)}")
    cells = {name: cell(inputs[name], kind, f"inputs.{name}", limits) for name, kind in fields.items()}
    replies = [text(reply, f"shown[{at}]", limits) for at, reply in enumerate(shown)]
    reply = "" if accepted is None else text(accepted, "taken", limits)
    if not reply and edited:
        raise invalid_argument("edited: is true, but taken has no reply; give the edited reply in taken")
    if reply and not edited and reply not in replies:
        raise invalid_argument("taken: is not one of the replies in shown; set edited to true if the user changed it")
    action = "edited" if edited else "taken" if reply else "dismissed"
    return {**cells, "reply": reply, "shown": replies, "action": action}


def cell(value: Any, kind: str, place: str, limits: RequestLimits) -> str | int | float | None:
    """An input as it is logged; NaN, a missing number, becomes null."""
    if kind != "number":
        return text(value, place, limits)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise invalid_argument(f"{place}: expected a number, found {kind_of(value)}")
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def text(value: Any, place: str, limits: RequestLimits) -> str:
    """A text as it is logged: lone surrogates, which UTF-8 cannot encode, become "?"."""
    if not isinstance(value, str):
        raise invalid_argument(f"{place}: expected a text, found {kind_of(value)}")
    encoded = value.encode("utf-8", "replace")
    limits.check_text(place, len(encoded))
    return encoded.decode("utf-8")


def kind_of(value: Any) -> str:
    """The type of a JSON value, for messages."""
    if isinstance(value, str):
        return "a text" if value.strip() else "a blank text"
    return KINDS.get(type(value), "another value")
