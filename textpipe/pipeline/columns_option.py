"""Parse `--columns` of `textpipe new`: the fields of a task, and their columns.

text=message,label=wants_reply                         the fields of the task, each with its column
text=subject+body,numbers=recipients,label=answered    kinds with their columns, which name the fields
text=subject+body,reply=reply                          the same for a task whose target is a text: named by its field
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
    """task: a name or a table, as in a pipeline file; columns: {field: column}, where the two names differ."""

    task: str | dict[str, Any]
    columns: dict[str, str | int]

    @property
    def module(self) -> ModuleType:
        """The task's module, with these fields."""
        return plugins.find("tasks", self.task_line)

    @property
    def task_line(self) -> str:
        """The task in its one-line form: see config/chosen_fields.py."""
        return chosen_fields.format_task(self.task)


def parse_columns(task: str, columns: str, *, numbers: bool = False) -> TaskColumns:
    """The task and columns of a `--columns` value; numbers: columns are given by number, from 0.

    A key is a field of the task, or a kind in the singular or plural, whose columns, separated by "+", each become a field.
    A target of another kind selects the task with that target: labels=tags turns classify into multi_label.
    """
    parts = {key: split_columns(value) for key, value in parse_pairs(columns).items()}
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
    return TaskColumns(task, {key: as_column(value, numbers=numbers) for key, value in parse_pairs(columns).items()})


def fields_from_columns(
    task: str, fields: Sequence[Field], parts: dict[str, list[str]], kinds: dict[str, str | None], *, numbers: bool
) -> TaskColumns:
    """The task with one field per column."""
    target = next(field for field in fields if field.side == "target")
    sources: dict[str, str] = {}
    columns: dict[str, str | int] = {}
    target_field = target.name
    # Where a source may be of the target's kind, only its name tells the target.
    by_name = any(field.side == "source" and field.kind == target.kind for field in fields)
    for key, names in parts.items():
        kind = kinds[key]
        assert kind is not None, key
        for column in names:
            name = field_name(column, [*columns])
            columns[name] = as_column(column, numbers=numbers)
            if kind != target.kind or (by_name and key != target.name):
                sources[name] = kind
            elif len(names) > 1:
                raise ConfigError(f"--columns {key}={'+'.join(names)}: a task has one target; name one column")
            else:
                target_field = name
    if not sources:
        raise ConfigError(f"--columns: task {task!r} needs a source; name one, for example text=message")
    mapping = {name: column for name, column in columns.items() if name != column}
    return TaskColumns({"kind": task, "fields": sources, "target": target_field}, mapping)


def parse_pairs(columns: str) -> dict[str, str]:
    """ "text=message,label=wants" -> {"text": "message", "label": "wants"}."""
    pairs: dict[str, str] = {}
    for part in columns.split(",") if columns else []:
        field, equals, column = (text.strip() for text in part.partition("="))
        if not equals or not field or not column:
            raise ConfigError(
                f"--columns {columns}: expected FIELD=COLUMN,..., for example text=message,label=wants_reply"
            )
        if field in pairs:
            raise ConfigError(f"--columns {columns}: {field} is given twice; name one column for it")
        pairs[field] = column
    return pairs


def split_columns(value: str) -> list[str]:
    """ "subject+body" -> ["subject", "body"]; "C++" is one column."""
    parts = [part.strip() for part in value.split("+")]
    return parts if all(parts) else [value]


def join_columns(parts: dict[str, list[str]], *, numbers: bool) -> dict[str, str | int]:
    """{field: column}, with the columns of each field joined by "+" again."""
    return {key: as_column("+".join(names), numbers=numbers) for key, names in parts.items()}


def as_column(name: str, *, numbers: bool) -> str | int:
    """A column as a name, or as a number where columns are given by number."""
    return int(name) if numbers and name.isdecimal() else name


def kind_of(key: str, fields: Sequence[Field]) -> str | None:
    """The kind that a key means: that of the field of this name, or a kind or its plural; None for anything else."""
    kinds = plugins.names("kinds")
    exact_kind = next((field.kind for field in fields if field.name == key), key if key in kinds else None)
    return exact_kind or next((kind for kind in kinds if key == plugins.find("kinds", kind).PLURAL), None)


def target_kinds(task: str) -> dict[str, str]:
    """{target kind: task} of tasks with configurable fields, for kinds that no field of this task has."""
    tasks = {}
    field_kinds = {field.kind for field in plugins.find("tasks", task).FIELDS}
    for name in plugins.names("tasks"):
        module = plugins.find("tasks", name)
        target = next(field for field in module.FIELDS if field.side == "target")
        if hasattr(module, "choose_fields") and target.kind not in field_kinds:
            tasks[target.kind] = name
    return tasks


def field_name(column: str, known: Sequence[str]) -> str:
    """A field name made from a column: "e-mail body" -> "e_mail_body", "2" -> "column_2"."""
    name = re.sub(r"\W", "_", column, flags=re.ASCII)
    if not name.strip("_") or name[0].isdigit() or name in chosen_fields.RESERVED:
        name = f"column_{name}"
    return unused_name(name, known)


def unused_name(name: str, known: Sequence[str]) -> str:
    """The name itself, or with the first number that makes it differ: "body" -> "body_2"."""
    number = 2
    while name in known:
        name = f"{name.removesuffix(f'_{number - 1}')}_{number}"
        number += 1
    return name
