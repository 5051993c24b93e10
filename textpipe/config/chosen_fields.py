"""Tasks whose fields are chosen in a pipeline file: a table in the file, one line of text everywhere else.

    task = { kind = "classify", fields = { subject = "text", body = "text", recipients = "number" }, target = "answered" }

becomes the task "classify(subject: text, body: text, recipients: number) -> answered", for which
plugins.find("tasks", ...) gives tasks/classify.py with these fields instead of its own.
"""

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Annotated, Any

from pydantic import BeforeValidator

from textpipe.config import plugins
from textpipe.config.fields import Field
from textpipe.errors import ConfigError, suggest

KEYS = ("kind", "fields", "target")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LINE = re.compile(r"(?P<kind>[^(]+)\((?P<fields>.*)\)(?: -> (?P<target>\w+))?")
RESERVED = ("row",)  # a column of every table


def format_task(task: Any) -> Any:
    """A task's table as one line; any other value unchanged. Raises ValueError for an invalid table.

    {"kind": "classify", "fields": {"subject": "text"}, "target": "answered"} -> "classify(subject: text) -> answered"
    """
    if not isinstance(task, Mapping):
        return task
    for key in task:
        if key not in KEYS:
            raise ValueError(f"{key}: unknown key{suggest(key, KEYS)}")
    kind, fields, target = (task.get(key) for key in KEYS)
    if not isinstance(kind, str):
        raise ValueError(f"kind: expected one of {', '.join(plugins.names('tasks'))}, found {kind!r}")
    if fields is None and target is None:
        return kind
    if not isinstance(fields, Mapping) or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError(
            f'fields: expected a table of field kinds by name, such as {{ subject = "text" }}, found {fields!r}'
        )
    if target is not None and not isinstance(target, str):
        raise ValueError(f"target: expected the name of the target field, found {target!r}")
    for name in (*fields, *([] if target is None else [target])):
        if not NAME.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"fields: {name!r} is not a valid field name; use letters, digits and underscores, "
                f"but not {', '.join(RESERVED)}"
            )
    signature = f"({', '.join(f'{name}: {value}' for name, value in fields.items())})"
    line = f"{kind}{signature}" + (f" -> {target}" if target else "")
    try:
        plugins.find("tasks", line)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return line


TaskName = Annotated[str, BeforeValidator(format_task)]


def with_fields(task: ModuleType, line: str) -> ModuleType:
    """A copy of a task's module with the source fields and the target name of a line.

    Raises ConfigError for a malformed line and for invalid fields.
    """
    parsed = LINE.fullmatch(line)
    if parsed is None:
        raise ConfigError(f"task {line!r}: expected a line such as 'classify(subject: text, body: text) -> answered'")
    target = next(field for field in task.FIELDS if field.side == "target")
    fields = []
    for text in parsed["fields"].split(","):
        name, _, kind = (word.strip() for word in text.partition(":"))
        if not name or not kind:
            raise ConfigError(
                f"task {line!r}: every field needs a name and a kind, and there must be at least one source field"
            )
        fields.append(Field(name, "source", kind))
    fields.append(Field(parsed["target"] or target.name, "target", target.kind))
    names = [field.name for field in fields]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise ConfigError(f"task {line!r}: two fields are named {duplicate!r}; rename one of them")
    for field in fields:
        try:
            plugins.find("kinds", field.kind)
        except ConfigError as error:
            raise ConfigError(f"task field {field.name!r}: {error}") from None
    copy = ModuleType(task.__name__, task.__doc__)
    vars(copy).update(vars(task))
    copy.FIELDS = tuple(fields)  # type: ignore[attr-defined]
    return copy


__all__ = ["TaskName", "format_task", "with_fields"]
