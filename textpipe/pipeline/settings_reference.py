"""The reference of all settings, generated from the Configs: keys, types, defaults, bounds and descriptions.

Descriptions come from comments and docstrings (config/documentation.py). Needs no TensorFlow; docs/settings.md is the
output of `textpipe settings --markdown`.
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
from textpipe.config.answer_settings import config_of
from textpipe.config.documentation import describe_field, field_key, first_paragraph, introduction
from textpipe.config.sections import SHARED, Section
from textpipe.errors import ConfigError, suggest
from textpipe.pipeline import runner, tune_settings
from textpipe.pipeline.toml_text import toml
from textpipe.pipeline.tune_settings import Tune

NAMES = {
    str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", dict: "table", type(None): "nothing", Any: "value",
}  # fmt: skip
DERIVED = {("Ensemble", "models")}  # derived from other keys, and rejected in a file
SHARED_ABOUT = {
    "task": "The task; a table with kind, fields { name = kind } and target when the file defines the fields.",
    "seed": "The seed of all random choices: the same seed gives the same result.",
    "model": "The model to train: a table [model] with its kind and settings.",
    "decode": "How a generator searches for answers: a table [decode] with its kind and settings.",
    "ensemble": "Trained models that answer together with this one, in evaluate and export.",
    "answer": "How answers are chosen, for tasks that have such settings: a table [answer].",
}


@dataclass(frozen=True)
class Setting:
    """One key: its type, default and bounds as text, and its description."""

    name: str
    takes: str
    default: str
    bounds: str
    about: str


@dataclass(frozen=True)
class Group:
    """The keys of one table. key: "train", "train.early_stopping", "model.recurrent"; place: as written in a file."""

    key: str
    place: str
    about: str
    settings: tuple[Setting, ...] = field(default=())


def groups() -> list[Group]:
    """Every table of a pipeline file, in file order; plug-ins follow the key that names them."""
    about = "Settings shared by every stage that has them."
    groups = [Group("top", "at the top of the file", about, shared_settings())]
    done: set[str] = set()
    for stage in every_stage():
        config = runner.stage_module(stage).Config
        names = [name for name in config.model_fields if name not in SHARED]
        about = first_paragraph(inspect.getmodule(config))
        groups.append(Group(stage, f"[{stage}]", about, tuple(setting(config, name) for name in names)))
        for name in names:
            groups += nested_groups(f"{stage}.{field_key(config, name)}", config.model_fields[name], done)
        for name in ("model", "decode", "ensemble"):
            if name in config.model_fields:
                groups += nested_groups(name, config.model_fields[name], done)
    answers = {name: plugins.find("answers", name) for name in plugins.names("answers")}
    for name, module in ((name, module) for name, module in answers.items() if config_of(module)):
        groups += table_of(f"answer.{name}", module.Config, "[answer]", first_paragraph(module), done)
    groups += table_of("tune", Tune, "[tune]", first_paragraph(tune_settings), done)
    for name in plugins.names("engines"):
        module = plugins.find("engines", name)
        groups += table_of(f"engine.{name}", module.Config, plugin_place("engine", name), first_paragraph(module), done)
    return groups


def every_stage() -> list[str]:  # of most tasks in order, then of single tasks
    return [*runner.ORDER, *(name for name in plugins.names("stages") if name not in runner.ORDER)]


def shared_settings() -> tuple[Setting, ...]:
    """The keys at the top of a file."""
    configs = [runner.stage_module(stage).Config for stage in every_stage()]
    settings = []
    for name, about in SHARED_ABOUT.items():
        config = next(config for config in configs if name in config.model_fields)
        shared = setting(config, name)
        types = (
            f"{join_with_or(*map(json.dumps, plugins.names('tasks')))}, or a table with kind, fields and target"
            if name == "task"
            else shared.takes
        )
        settings.append(Setting(name, types, shared.default, shared.bounds, about))
    return tuple(settings)


def nested_groups(key: str, info: FieldInfo, done: set[str]) -> Iterator[Group]:
    """The tables a key may hold, each once: of every plug-in of a package, or a nested table."""
    for part in nested_types(info.annotation, info.metadata):
        if isinstance(part, str):
            modules = {name: plugins.find(part, name) for name in plugins.names(part) if f"{part}.{name}" not in done}
            # A package is listed once, under the first key that names it, also where one of its plug-ins holds another of them.
            done.update(f"{part}.{name}" for name in modules)
            for name, module in modules.items():
                config = getattr(module, "Config", None)
                if config is None:
                    continue
                yield from table_of(f"{key}.{name}", config, plugin_place(key, name), first_paragraph(module), done)
        elif part.__module__ + part.__qualname__ not in done and not is_plugin(part):
            done.add(part.__module__ + part.__qualname__)
            yield from table_of(key, part, f"{place_of(key)} = {{ ... }}", "", done)


def table_of(key: str, config: type[Section], place: str, about: str, done: set[str]) -> Iterator[Group]:
    """The group of a Config, and of the tables below it."""
    names = [name for name in config.model_fields if name != "kind" and (config.__name__, name) not in DERIVED]
    description = " ".join(text for text in (about, introduction(config)) if text)
    yield Group(key, place, description, tuple(setting(config, name) for name in names))
    for name in names:
        yield from nested_groups(f"{key}.{field_key(config, name)}", config.model_fields[name], done)


def is_plugin(config: type[Section]) -> bool:
    """Whether a Config belongs to a plug-in, which is listed under the key that names its kind."""
    return "kind" in config.model_fields


def place_of(key: str) -> str:
    """A key as written in a file: train.init -> [train] init; decode.beam.rules -> [decode] rules; model -> [model]."""
    table, *names = key.split(".")
    if table == "ensemble":
        return table
    return f"[{table}] {names[-1]}" if names else f"[{table}]"


def plugin_place(key: str, kind: str) -> str:
    """A plug-in as written in a file: [model] kind = "recurrent"; [train] optimizer = { kind = "adam" }."""
    if "." not in key:
        return f'{place_of(key)} kind = "{kind}"'
    value = f'{{ kind = "{kind}" }}'
    is_list = key.rpartition(".")[2] in ("steps", "rules")
    return f"{place_of(key)} = {f'[{value}]' if is_list else value}"


# One setting


def setting(config: type[Section], name: str) -> Setting:
    """The setting of a Config's field."""
    info = config.model_fields[name]
    default = info.get_default(call_default_factory=True)
    written = "required" if default is PydanticUndefined else default_text(default)
    about = describe_field(config, name) or ""
    limits = bounds([*info.metadata, *(item for items in nested_metadata(info.annotation) for item in items)])
    return Setting(field_key(config, name), describe_type(info.annotation, info.metadata), written, limits, about)


def describe_type(annotation: Any, metadata: Any = ()) -> str:
    """A type in words: Literal["a", "b"] -> '"a" or "b"', list[str] -> "[text]", dict[str, int] -> "{ text = whole number }"."""
    package = next((item for item in metadata if isinstance(item, str)), None)
    if package:
        return join_with_or(*map(json.dumps, plugins.names(package))) + ", or a table with this kind"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe_type(inner[0], [*metadata, *inner[1:]])
    if origin is Literal:
        return join_with_or(*map(json.dumps, inner))
    if origin in (Union, types.UnionType):
        return join_with_or(*(describe_type(part) for part in inner if part is not type(None)))
    if origin in (list, tuple):
        return f"[{describe_type(inner[0])}]" if inner else "list"
    if origin is dict:
        return f"{{ {describe_type(inner[0])} = {describe_type(inner[1])} }}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "table"
    return NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def join_with_or(*words: str) -> str:
    """("a", "b", "c") -> "a, b or c" """
    words = tuple(dict.fromkeys(words))
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def nested_metadata(annotation: Any) -> Iterator[tuple[Any, ...]]:
    """The metadata of Annotated types inside a type."""
    for part in get_args(annotation):
        if get_origin(part) is Annotated:
            metadata = get_args(part)[1:]
            yield tuple(
                inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])
            )


def bounds(metadata: Any) -> str:
    """The bounds of a value: [Ge(0), Lt(1)] -> "at least 0, below 1"."""
    words: dict[Any, str] = {annotated_types.Ge: "at least {}", annotated_types.Gt: "above {}", annotated_types.Le: "at most {}",
             annotated_types.Lt: "below {}", annotated_types.MinLen: "length at least {}"}  # fmt: skip
    limits = []
    for item in metadata:
        for kind, text in words.items():
            if isinstance(item, kind):
                slots: Any = getattr(item, "__slots__", ())
                limit = next(iter(vars(item).values())) if hasattr(item, "__dict__") else getattr(item, slots[0])
                limits.append(text.format(f"{limit:,}" if isinstance(limit, int) and limit < 2**31 else limit))
    return ", ".join(limits)


def default_text(value: Any) -> str:
    """A default as written in a file; a dash for None, a plug-in's table as its kind."""
    if value is None:
        return "–"
    return toml(getattr(value, "kind", "table") if isinstance(value, Section) else value)


def nested_types(annotation: Any, metadata: Any = ()) -> Iterator[Any]:
    """The plug-in packages (by name) and Sections that a type mentions."""
    package = next((item for item in metadata if isinstance(item, str)), None)
    if package:
        yield package
    elif isinstance(annotation, type) and issubclass(annotation, Section) and annotation is not Section:
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from nested_types(get_args(annotation)[0], get_args(annotation)[1:])
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from nested_types(part)


def select(name: str | None) -> list[Group]:
    """The groups of a name: all for None, a stage with its nested tables, or STAGE.KIND. Raises ConfigError for an unknown name."""
    known = groups()
    if name is None:
        return known
    parts = name.split(".")
    nested = [group for group in known if group.key.split(".")[: len(parts)] == parts]
    # tokenize.bpe finds tokenize.codec.bpe, and recurrent finds model.recurrent.
    by_kind = [group for group in known if (path := group.key.split("."))[-1] == parts[-1] and len(path) > 1
               and path[: len(parts) - 1] == parts[:-1]]  # fmt: skip
    if nested or by_kind:
        return nested or by_kind
    table, _, key = name.rpartition(".")
    single = [Group(group.key, group.place, "", tuple(s for s in group.settings if s.name == key)) for group in known
              if group.key == (table or "top")]  # fmt: skip
    if single and single[0].settings:
        return single
    raise ConfigError(f"settings {name}: no such stage, kind or key{suggest(name, [group.key for group in known])}")


def text(groups: list[Group]) -> str:
    """Groups as text for the terminal."""
    import textwrap

    lines: list[str] = []
    for group in groups:
        lines += [group.place, *textwrap.wrap(group.about, 100, initial_indent="  ", subsequent_indent="  ")]
        for setting in group.settings:
            limits = f", {setting.bounds}" if setting.bounds else ""
            line = f"  {setting.name}    {setting.takes}{limits}; default {setting.default}"
            lines.append(line.replace("; default required", "; required"))
            lines += textwrap.wrap(setting.about, 100, initial_indent="      ", subsequent_indent="      ")
        lines.append("")
    return "\n".join(lines).rstrip()


def markdown(groups: list[Group]) -> str:
    """Groups as Markdown, for docs/settings.md."""
    lines = [
        "# Settings", "",
        "Every key of a pipeline file, generated from the Configs by `textpipe settings --markdown > docs/settings.md`; a test",
        "checks that it is up to date. `textpipe settings train` and `textpipe settings model.recurrent` print parts of it. On",
        "the command line, set any key with `-s TABLE.KEY=VALUE`. A dash as default means that the key is not set.", "",
    ]  # fmt: skip
    for group in groups:
        level = "##" if "." not in group.key else "###"
        title = "The top of the file" if group.key == "top" else group.key
        lines += [f"{level} {title}", "", *([] if group.key == "top" else [f"`{group.place}`", ""])]
        lines += [group.about, ""] if group.about else []
        if group.settings:
            lines += ["| key | type | default | bounds | description |", "|---|---|---|---|---|"]
            for setting in group.settings:
                cells = [f"`{setting.name}`", setting.takes, f"`{setting.default}`", setting.bounds, setting.about]
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


__all__ = ["Group", "Setting", "groups", "markdown", "select", "text"]
