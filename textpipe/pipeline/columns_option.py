"""What `--columns` of `textpipe new` means: which columns hold which fields, and which fields there are.

text=message,label=wants_reply                         the fields of the task, and the column of each
text=subject+body,numbers=recipients,label=answered    fields named after their columns, by the kind of each
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from textpipe.config import chosen_fields, plugins
from textpipe.config.fields import Field
from textpipe.errors import ConfigError


@dataclass(frozen=True)
class TaskColumns:
    """task: as a pipeline file has it, a name or a table; columns: {field: column}, those of other names than the field."""

    task: str | dict[str, Any]
    columns: dict[str, str | int]

    @property
    def module(self) -> ModuleType:
        """The task's module, with its fields."""
        return plugins.find("tasks", self.task_line)

    @property
    def task_line(self) -> str:
        """The task as one line."""
        return chosen_fields.spelled(self.task)


def parse_columns(task: str, columns: str, *, numbers: bool = False) -> TaskColumns:
    """The task and the columns that `--columns` asks for; numbers: columns are given by number, from 0.

    A key is a field of the task, or a kind, in the singular or plural, whose columns, parted by "+", are fields of their own.
    A target of another kind is another task's: labels=tags makes multi_label of classify.
    """
    parts = {key: split_columns(value) for key, value in pairs(columns).items()}
    fields = plugins.find("tasks", task).FIELDS
    kinds = {key: kind_of(key, fields) for key in parts}
    if hasattr(plugins.find("tasks", task), "choose_fields"):
        targets = target_kinds(task)
        task = next((targets[kind] for kind in kinds.values() if kind in targets), task)
        fields = plugins.find("tasks", task).FIELDS
        names = [field.name for field in fields]
        if not all(kinds.values()) or all(key in names and len(parts[key]) == 1 for key in parts):
            return TaskColumns(task, join_columns(parts, numbers=numbers))
        return fields_from_columns(task, fields, parts, kinds, numbers=numbers)
    return TaskColumns(task, {key: as_column(value, numbers=numbers) for key, value in pairs(columns).items()})


def fields_from_columns(
    task: str, fields: Sequence[Field], parts: dict[str, list[str]], kinds: dict[str, str | None], *, numbers: bool
) -> TaskColumns:
    """The task with a field for each column."""
    target = next(field for field in fields if field.side == "target")
    sources: dict[str, str] = {}
    columns: dict[str, str | int] = {}
    answered = target.name
    for key, names in parts.items():
        kind = kinds[key]
        assert kind is not None, key
        for column in names:
            name = field_name(column, [*columns])
            columns[name] = as_column(column, numbers=numbers)
            if kind != target.kind:
                sources[name] = kind
            elif len(names) > 1:
                raise ConfigError(f"--columns {key}={'+'.join(names)}: one column is answered; name one")
            else:
                answered = name
    if not sources:
        raise ConfigError(f"--columns: task {task!r} needs a source; name one, for example text=message")
    mapping = {name: column for name, column in columns.items() if name != column}
    return TaskColumns({"kind": task, "fields": sources, "target": answered}, mapping)


def pairs(columns: str) -> dict[str, str]:
    """ "text=message,label=wants" -> {"text": "message", "label": "wants"}."""
    found: dict[str, str] = {}
    for part in columns.split(",") if columns else []:
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not field or not column:
            raise ConfigError(
                f"--columns {columns}: expected FIELD=COLUMN,..., for example text=message,label=wants_reply"
            )
        if field in found:
            raise ConfigError(f"--columns {columns}: {field} stands there twice; name one column for it")
        found[field] = column
    return found


def split_columns(value: str) -> list[str]:
    """ "subject+body" -> ["subject", "body"]; "C++" is one column."""
    parts = [part.strip() for part in value.split("+")]
    return parts if all(parts) else [value]


def join_columns(parts: dict[str, list[str]], *, numbers: bool) -> dict[str, str | int]:
    """{field: column}, each field having one."""
    return {key: as_column("+".join(names), numbers=numbers) for key, names in parts.items()}


def as_column(name: str, *, numbers: bool) -> str | int:
    """A column's name, or its number."""
    return int(name) if numbers and name.isdecimal() else name


def kind_of(key: str, fields: Sequence[Field]) -> str | None:
    """The kind that a key names: that of a field of this name, or the kind itself, or its plural; None when nothing does."""
    kinds = plugins.names("kinds")
    own = next((field.kind for field in fields if field.name == key), key if key in kinds else None)
    return own or next((kind for kind in kinds if key == plugins.find("kinds", kind).PLURAL), None)


def target_kinds(task: str) -> dict[str, str]:
    """{kind of a target: the task that answers it} of other tasks whose fields can be chosen and that have no field of it."""
    found = {}
    own = {field.kind for field in plugins.find("tasks", task).FIELDS}
    for name in plugins.names("tasks"):
        module = plugins.find("tasks", name)
        target = next(field for field in module.FIELDS if field.side == "target")
        if hasattr(module, "choose_fields") and target.kind not in own:
            found[target.kind] = name
    return found


def field_name(column: str, known: Sequence[str]) -> str:
    """The field that a column is named after: "e-mail body" -> "e_mail_body", "2" -> "column_2"."""
    name = re.sub(r"\W", "_", column, flags=re.ASCII)
    if not name.strip("_") or name[0].isdigit() or name in chosen_fields.RESERVED:
        name = f"column_{name}"
    number = 2
    while name in known:
        name = f"{name.removesuffix(f'_{number - 1}')}_{number}"
        number += 1
    return name
