"""Pipeline files: TOML checked by pydantic into frozen sections.

A pipeline file has three kinds of content:

    task = "translate"            shared: passed to every stage whose Config has a field of this name
    seed = 1                      (task, seed, model, decode, ensemble, answer)
    [model] / [decode]            shared tables, checked by the Config of models/<kind>.py, decoding/<kind>.py
    [answer]                      a shared table, checked by the Config of answers/<the task's>.py
    [ingest] ... [export]         one table per stage, checked by that stage's Config

Unknown keys are errors with a suggestion, and all errors of a file are reported at once.
"""

import json
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, ValidationError, model_validator

from textpipe.config import chosen_fields, plugins, type_errors
from textpipe.errors import ConfigError, DataError, NetworkError, TextpipeError, suggest
from textpipe.runtime import small_file, storage

SHARED = ("task", "seed", "model", "decode", "ensemble", "answer")


class Section(BaseModel):
    """A frozen table of a pipeline file; unknown keys and wrong types are errors."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # the settings of a plug-in's Config

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def fetch_urls(cls, table: Any) -> Any:
        """Replace URLs of storage by the paths of local copies, in the settings that name files."""
        if not isinstance(table, dict):
            return table
        names = {name for name, field in cls.model_fields.items() if name in table and holds_path(field.annotation)}
        return {name: fetch_urls(value) if name in names else value for name, value in table.items()}


def holds_path(annotation: Any) -> bool:
    """Whether a setting's type is Path, or is made of it."""
    return annotation is Path or any(map(holds_path, get_args(annotation)))


def fetch_urls(value: Any) -> Any:
    """A setting's value with the paths of local copies in place of URLs. Raises ValueError if nothing is there."""
    if isinstance(value, dict):
        return {key: fetch_urls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [fetch_urls(item) for item in value]
    if not isinstance(value, str) or not storage.is_url(value):
        return value
    try:
        return storage.fetch(value)
    except NetworkError:
        raise
    except DataError as error:
        raise ValueError(str(error)) from None


class Plugin:
    """A table (or a bare name) whose `kind` names a plug-in, checked by the plug-in's Config.

    Plugin.of("models") accepts {"kind": "recurrent", "units": 256} and gives models/recurrent.py's Config;
    Plugin.of("text.steps") accepts "whitespace" as well as {"kind": "unicode", "form": "NFKC"}.
    """

    @staticmethod
    def of(package: str) -> Any:
        return Annotated[SerializeAsAny[Section], BeforeValidator(lambda value: Plugin.check(package, value)), package]

    @staticmethod
    def check(package: str, value: Any) -> Section:
        if isinstance(value, Section):
            return value
        table = {"kind": value} if isinstance(value, str) else value
        if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
            raise ValueError(f"expected a name or a table with kind = one of {', '.join(plugins.names(package))}")
        try:
            module = plugins.find(package, table["kind"])
        except ConfigError as error:
            raise ValueError(str(error)) from None
        config = getattr(module, "Config", None)
        if config is None:
            raise ValueError(f"{plugins.noun(package)} {table['kind']!r} has no Config")
        try:
            return config(**table)
        except ValidationError as error:
            raise ValueError(describe_plugin_errors(config, error)) from None


def load(path: str | Path) -> dict[str, Any]:
    """The raw tables of a pipeline file; raises ConfigError when it is missing or not TOML."""
    path = Path(path)
    if path.is_dir():
        raise ConfigError(f"{path}: expected a pipeline file (TOML), found a directory")
    try:
        return tomllib.loads(small_file.read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        names = sorted(file.name for file in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such pipeline file{suggest(path.name, names)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not a pipeline file: its values are nested too deeply") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give a pipeline file (TOML)") from None


def override(tables: dict[str, Any], assignments: tuple[str, ...]) -> dict[str, Any]:
    """A copy with `section.key=value` applied; values are TOML or bare words, and an empty value removes the key.

    override({"train": {"seed": 1}}, ("train.epochs=3", "train.seed=")) -> {"train": {"epochs": 3}}
    """
    tables = json.loads(json.dumps(tables, default=str))
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"-s {assignment}: expected key=value, for example -s train.epochs=3")
        text = text.strip()
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *parents, last = key.strip().split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {}) if text else table.get(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"-s {assignment}: {parent!r} is a value, not a table")
        if text:
            table[last] = value
        else:
            table.pop(last, None)
    return tables


def check(path: str, sections: dict[str, type[Section]], tables: dict[str, Any]) -> dict[str, Section]:
    """Checked sections by stage name; raises one ConfigError that lists all errors of the file.

    path: the file's name in messages; sections: {stage: Config}. Shared keys go to every Config that has them.
    """
    errors: list[str] = []
    shared = {name: tables[name] for name in SHARED if name in tables}
    try:
        shared |= {name: chosen_fields.format_task(shared[name]) for name in ("task",) if name in shared}
    except ValueError as error:
        raise ConfigError(f"{path} [task] {error}") from None
    known = [*SHARED, *sections]
    for name in tables:
        if name not in known:
            errors.append(f"{path} {name}: unknown key{suggest(name, known)}")
    checked: dict[str, Section] = {}
    for stage, config in sections.items():
        table = tables.get(stage, {})
        if not isinstance(table, dict):
            errors.append(f"{path} {stage}: expected a table [{stage}], found {table!r}")
            continue
        inherited = {name: value for name, value in shared.items() if name in config.model_fields}
        misplaced = [name for name in inherited if name in table]
        errors += [f"{path} [{stage}] {name}: belongs at the top of the file, not in [{stage}]" for name in misplaced]
        try:
            checked[stage] = config(**{**table, **inherited})
        except ValidationError as error:
            errors += [describe_error(path, stage, config, item) for item in type_errors.merged(config, error)]
        except TextpipeError as error:
            errors.append(f"{path} [{stage}] {error}")
    if errors:
        raise ConfigError("\n".join(dict.fromkeys(errors)))
    return checked


def describe_error(path: str, stage: str, config: type[BaseModel], item: Mapping[str, Any]) -> str:
    """A pydantic error as one line: file, key, problem and cure."""
    location = [str(part) for part in item["loc"]]
    if location and location[0] in SHARED:
        section, location = location[0], location[1:]
        table = f"{path} [{section}]" if location else f"{path} {section}"
    else:
        table = f"{path} [{stage}]"
    key = ".".join(location)
    label = f"{table} {key}".rstrip()
    if item["type"] == "extra_forbidden":
        keys = item.get("ctx", {}).get("known") or known_keys(config, [str(part) for part in item["loc"][:-1]])
        return f"{label}: unknown key{suggest(location[-1] if location else stage, keys)}"
    if item["type"] == "missing":
        return f"{label}: is required"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] in ("value_error", "assertion_error"):
        if location == [] and top_level_key(item) in ("model", "decode", "answer"):
            return f"{path} [{top_level_key(item)}] {message}"
        return f"{label}: {message}"
    if item["type"] == "model_type":
        keys = ", ".join(known_keys(config, [str(part) for part in item["loc"]]))
        message = f"expected a table{f' of {keys}' if keys else ''}"
    return f"{label}: {message[0].lower()}{message[1:]}; found {type_errors.shown(item['input'])}"


def top_level_key(item: Mapping[str, Any]) -> str:
    """The first key of a pydantic error's location."""
    return str(item["loc"][0]) if item["loc"] else ""


def describe_plugin_errors(config: type[BaseModel], error: ValidationError) -> str:
    """The errors in a plug-in's table, without the file and stage, which the caller adds."""
    lines = (describe_error("", "", config, item) for item in type_errors.merged(config, error))
    return "; ".join(line.removeprefix(" []").removeprefix(":").strip() for line in lines)


def known_keys(config: type[BaseModel], location: list[str]) -> list[str]:
    """The keys of a nested table, for suggestions; empty when the location is not a plain section."""
    if not location:
        return [field.alias or name for name, field in config.model_fields.items()]
    field = config.model_fields.get(location[0])
    if field is None:
        return []
    candidates = [field.annotation]
    while candidates:
        candidate = candidates.pop()
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return known_keys(candidate, [part for part in location[1:] if not part.isdigit()])
        if get_origin(candidate) in (Union, types.UnionType, list, tuple, dict, Annotated):
            candidates += get_args(candidate)
    return []


__all__ = ["SHARED", "Plugin", "Section", "check", "load", "override"]
