"""The reference of every setting: what keys there are, what they take, and what they do, read from the Configs themselves.

What a field does is said where it stands (config/documentation.py). Nothing here needs TensorFlow; docs/settings.md is `textpipe settings --markdown`.
"""

import inspect
import json
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from textpipe.config import plugins
from textpipe.config.documentation import described, first_line, key_of, lead
from textpipe.config.sections import SHARED, Section
from textpipe.errors import ConfigError, suggest
from textpipe.pipeline import runner

NAMES = {
    str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", dict: "table", type(None): "nothing",
}  # fmt: skip
DERIVED = {("Ensemble", "models")}  # filled in from the others, and refused in a file
SHARED_ABOUT = {
    "task": "What the rows are and what is answered; kind, fields { name = kind } and target where the file chooses the fields.",
    "seed": "Where every random choice begins: the same seed gives the same result.",
    "model": "Which model is trained: a table [model] with its kind and settings.",
    "decode": "How a generator searches for an answer: a table [decode] with its kind and settings.",
    "ensemble": "Trained models that answer together; reaches evaluate and export.",
}


@dataclass(frozen=True)
class Setting:
    """One key: what it takes, its default and bounds as text, and what it does."""

    name: str
    takes: str
    default: str
    bounds: str
    about: str


@dataclass(frozen=True)
class Group:
    """The keys of one table. key: "train", "train.early_stopping", "model.recurrent"; place: how a file says it."""

    key: str
    place: str
    about: str
    settings: tuple[Setting, ...] = field(default=())


def groups() -> list[Group]:
    """Every table of a pipeline file, in the order in which a file has them; plug-ins follow the key that names them."""
    found = [
        Group("top", "at the top of the file", "Settings that reach every stage that has them.", shared_settings())
    ]
    done: set[str] = set()
    for stage in runner.ORDER:
        config = runner.module(stage).Config
        names = [name for name in config.model_fields if name not in SHARED]
        about = first_line(inspect.getmodule(config))
        found.append(Group(stage, f"[{stage}]", about, tuple(setting(config, name) for name in names)))
        for name in names:
            found += nested_groups(f"{stage}.{key_of(config, name)}", config.model_fields[name], done)
        for name in ("model", "decode", "ensemble"):
            if name in config.model_fields:
                found += nested_groups(name, config.model_fields[name], done)
    return found


def shared_settings() -> tuple[Setting, ...]:
    """The keys at the top of a file."""
    configs = [runner.module(stage).Config for stage in runner.ORDER]
    found = []
    for name, about in SHARED_ABOUT.items():
        config = next(config for config in configs if name in config.model_fields)
        one = setting(config, name)
        kinds = (
            f"{join_with_or(*map(json.dumps, plugins.names('tasks')))}, or a table with kind, fields and target"
            if name == "task"
            else one.takes
        )
        found.append(Setting(name, kinds, one.default, one.bounds, about))
    return tuple(found)


def nested_groups(key: str, info: FieldInfo, done: set[str]) -> Iterator[Group]:
    """The tables that a key may hold: a plug-in's of each kind, or a nested table's; each once."""
    for part in nested_types(info.annotation, info.metadata):
        if isinstance(part, str):
            for name in plugins.names(part):
                module = plugins.find(part, name)
                config = getattr(module, "Config", None)
                # A feature's Config may stand for a key of its own, too: once is enough.
                if config is None or f"{part}.{name}" in done:
                    continue
                done.add(f"{part}.{name}")
                yield from table_of(f"{key}.{name}", config, plugin_place(key, name), first_line(module), done)
        elif part.__module__ + part.__qualname__ not in done and not is_plugin(part):
            done.add(part.__module__ + part.__qualname__)
            yield from table_of(key, part, f"{place_of(key)} = {{ ... }}", "", done)


def table_of(key: str, config: type[Section], place: str, about: str, done: set[str]) -> Iterator[Group]:
    """The group of a Config, and of the tables below it."""
    names = [name for name in config.model_fields if name != "kind" and (config.__name__, name) not in DERIVED]
    told = " ".join(part for part in (about, lead(config)) if part)
    yield Group(key, place, told, tuple(setting(config, name) for name in names))
    for name in names:
        yield from nested_groups(f"{key}.{key_of(config, name)}", config.model_fields[name], done)


def is_plugin(config: type[Section]) -> bool:
    """Whether a Config is that of a plug-in, which stands under the key that names its kind."""
    return "kind" in config.model_fields


def place_of(key: str) -> str:
    """How a file names a key: train.init -> [train] init; decode.beam.rules -> [decode] rules; model -> [model]."""
    table, *names = key.split(".")
    if table == "ensemble":
        return table
    return f"[{table}] {names[-1]}" if names else f"[{table}]"


def plugin_place(key: str, kind: str) -> str:
    """How a file names a plug-in: [model] kind = "recurrent"; [train] optimizer = { kind = "adam" }."""
    if "." not in key:
        return f'{place_of(key)} kind = "{kind}"'
    value = f'{{ kind = "{kind}" }}'
    several = key.rpartition(".")[2] in ("steps", "rules")
    return f"{place_of(key)} = {f'[{value}]' if several else value}"


# One setting


def setting(config: type[Section], name: str) -> Setting:
    """A field of a Config."""
    info = config.model_fields[name]
    default = info.get_default(call_default_factory=True)
    written = "required" if default is PydanticUndefined else toml(default)
    about = described(config, name) or ""
    limits = bounds([*info.metadata, *(inner for part in nested_metadata(info.annotation) for inner in part)])
    return Setting(key_of(config, name), takes(info.annotation, info.metadata), written, limits, about)


def takes(annotation: Any, metadata: Any = ()) -> str:
    """A type in words: Literal["a", "b"] -> '"a" or "b"', list[str] -> "[text]", dict[str, int] -> "{ text = whole number }"."""
    room = next((part for part in metadata if isinstance(part, str)), None)
    if room:
        return join_with_or(*map(json.dumps, plugins.names(room))) + ", or a table with this kind"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes(inner[0], [*metadata, *inner[1:]])
    if origin is Literal:
        return join_with_or(*map(json.dumps, inner))
    if origin in (Union, types.UnionType):
        return join_with_or(*(takes(part) for part in inner if part is not type(None)))
    if origin in (list, tuple):
        return f"[{takes(inner[0])}]" if inner else "list"
    if origin is dict:
        return f"{{ {takes(inner[0])} = {takes(inner[1])} }}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "table"
    return NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def join_with_or(*words: str) -> str:
    """("a", "b", "c") -> "a, b or c" """
    words = tuple(dict.fromkeys(words))
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def nested_metadata(annotation: Any) -> Iterator[tuple[Any, ...]]:
    """What Annotated types inside a type say of their values."""
    for part in get_args(annotation):
        if get_origin(part) is Annotated:
            told = get_args(part)[1:]
            yield tuple(inner for one in told for inner in (one.metadata if isinstance(one, FieldInfo) else [one]))


def bounds(metadata: Any) -> str:
    """What a value is held to: [Ge(0), Lt(1)] -> "at least 0, below 1"."""
    words: dict[Any, str] = {annotated_types.Ge: "at least {}", annotated_types.Gt: "above {}", annotated_types.Le: "at most {}",
             annotated_types.Lt: "below {}", annotated_types.MinLen: "at least {} of them"}  # fmt: skip
    found = []
    for one in metadata:
        for kind, text in words.items():
            if isinstance(one, kind):
                slots: Any = getattr(one, "__slots__", ())
                limit = next(iter(vars(one).values())) if hasattr(one, "__dict__") else getattr(one, slots[0])
                found.append(text.format(f"{limit:,}" if isinstance(limit, int) and limit < 2**31 else limit))
    return ", ".join(found)


def toml(value: Any) -> str:
    """A default as a file would say it; what is left out is a dash."""
    if value is None:
        return "–"
    if isinstance(value, Section):
        return json.dumps(getattr(value, "kind", "table"))
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(part)}" for name, part in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, Path) else json.dumps(str(value))


def nested_types(annotation: Any, metadata: Any = ()) -> Iterator[Any]:
    """The plug-in packages (by name) and Sections that a type mentions."""
    room = next((part for part in metadata if isinstance(part, str)), None)
    if room:
        yield room
    elif isinstance(annotation, type) and issubclass(annotation, Section) and annotation is not Section:
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from nested_types(get_args(annotation)[0], get_args(annotation)[1:])
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from nested_types(part)


# The reference as text


def chosen(name: str | None) -> list[Group]:
    """The groups that a name means: all, a stage with what is below it, or STAGE.KIND; raises ConfigError for none."""
    found = groups()
    if name is None:
        return found
    wanted = name.split(".")
    below_it = [one for one in found if one.key.split(".")[: len(wanted)] == wanted]
    # tokenize.bpe is tokenize.codec.bpe, and recurrent model.recurrent.
    by_kind = [one for one in found if (path := one.key.split("."))[-1] == wanted[-1] and len(path) > 1
               and path[: len(wanted) - 1] == wanted[:-1]]  # fmt: skip
    if below_it or by_kind:
        return below_it or by_kind
    table, _, key = name.rpartition(".")
    single = [Group(one.key, one.place, "", tuple(s for s in one.settings if s.name == key)) for one in found
              if one.key == (table or "top")]  # fmt: skip
    if single and single[0].settings:
        return single
    known = [one.key for one in found]
    raise ConfigError(f"settings {name}: no such stage, kind or key{suggest(name, known)}")


def text(found: list[Group]) -> str:
    """Groups as a terminal shows them."""
    import textwrap

    lines: list[str] = []
    for group in found:
        lines += [group.place, *textwrap.wrap(group.about, 100, initial_indent="  ", subsequent_indent="  ")]
        for one in group.settings:
            limits = f", {one.bounds}" if one.bounds else ""
            lines.append(
                f"  {one.name}    {one.takes}{limits}; default {one.default}".replace(
                    "; default required", "; required"
                )
            )
            lines += textwrap.wrap(one.about, 100, initial_indent="      ", subsequent_indent="      ")
        lines.append("")
    return "\n".join(lines).rstrip()


def markdown(found: list[Group]) -> str:
    """Groups as docs/settings.md has them."""
    lines = [
        "# Settings", "",
        "Every key of a pipeline file. Written by `textpipe settings --markdown > docs/settings.md` from the Configs; a",
        "test keeps it true. `textpipe settings train`, `textpipe settings model.recurrent` print parts of it. On the",
        "command line any key is set by `-s TABLE.KEY=VALUE`. A dash as default: the key is left out.", "",
    ]  # fmt: skip
    for group in found:
        level = "##" if "." not in group.key else "###"
        title = "The top of the file" if group.key == "top" else group.key
        lines += [f"{level} {title}", "", *([] if group.key == "top" else [f"`{group.place}`", ""])]
        lines += [group.about, ""] if group.about else []
        if group.settings:
            lines += ["| key | takes | default | bounds | what it does |", "|---|---|---|---|---|"]
            for one in group.settings:
                cells = [f"`{one.name}`", one.takes, f"`{one.default}`", one.bounds, one.about]
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


__all__ = ["Group", "Setting", "chosen", "groups", "markdown", "text"]
