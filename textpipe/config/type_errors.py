"""Errors of pydantic in the words of a pipeline file: one per setting, without the branches of its type.

A setting such as `l2: float | list[float]` has an error for each branch of the union, located at "l2.float" and "l2.list[float].0":

    l2 = "a"      l2: expected a number or a list of numbers, found 'a'
    l2 = [nan]    l2.0: input should be a finite number; found nan      only the list has the right type
"""

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from textpipe.errors import MAX_NAME_LENGTH

Item = Mapping[str, Any]  # of ValidationError.errors()

NOUNS = {bool: ("true or false", "true or false"), int: ("a whole number", "whole numbers"), float: ("a number", "numbers"),
         str: ("a text", "texts"), Path: ("a path", "paths")}  # fmt: skip
MISMATCHES = {"literal_error", "is_instance_of", "int_from_float"}  # and "..._type", "..._parsing"


def merged(config: type[BaseModel], error: ValidationError) -> list[Item]:
    """The errors of a Config, located by keys alone, with one error for the branches of a union."""
    return without_branches(config, error.errors(), ())


def without_branches(annotation: Any, items: Sequence[Item], location: tuple[Any, ...]) -> list[Item]:
    """Errors of a value of this type at `location`; an item's loc begins below it."""
    branches = union_branches(annotation)
    if len(branches) > 1:
        return merge_union(annotation, items, location)
    annotation = branches[0]
    below: dict[Any, list[Item]] = {}
    result: list[Item] = []
    for item in items:
        if not item["loc"] or (kind := item_type(annotation, item["loc"][0])) is None:
            result.append(describe(annotation, {**item, "loc": (*location, *item["loc"])}, here=not item["loc"]))
            continue
        key = item["loc"][0]
        if key not in below:
            result.append({"key": key, "kind": kind})  # keeps the order of the settings
        below.setdefault(key, []).append({**item, "loc": item["loc"][1:]})
    return [
        merged_item
        for item in result
        for merged_item in (
            without_branches(item["kind"], below[item["key"]], (*location, item["key"])) if "kind" in item else [item]
        )
    ]


def merge_union(annotation: Any, items: Sequence[Item], location: tuple[Any, ...]) -> list[Item]:
    """The errors of the branch that the value has the type of, or one error that names all types."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        if not item["loc"]:  # of the whole setting, from a validator behind the union
            return [{**item, "loc": location} for item in items]
        groups.setdefault(item["loc"][0], []).append({**item, "loc": item["loc"][1:]})
    fitting = [label for label, group in groups.items() if not any(map(is_mismatch, group))]
    if not fitting:
        (value, *_) = (item["input"] for group in groups.values() for item in group if not item["loc"])
        return [expectation(annotation, value, location)]
    labels = list(groups)
    branches = union_branches(annotation)
    # A branch without errors would have made the value valid: there are as many groups as branches, in their order.
    branch = branches[labels.index(fitting[0])] if len(labels) == len(branches) else Any
    return without_branches(branch, groups[fitting[0]], location)


def is_mismatch(item: Item) -> bool:
    """Whether a value itself has another type, and not something inside of it."""
    return not item["loc"] and (item["type"] in MISMATCHES or item["type"].endswith(("_type", "_parsing")))


def describe(annotation: Any, item: Item, *, here: bool) -> Item:
    """An error of a value of this type, with its expectation in the words of a pipeline file."""
    if here and item["type"] != "model_type" and is_mismatch({**item, "loc": ()}) and noun(annotation):
        return expectation(annotation, item["input"], item["loc"])
    if item["type"] in ("too_short", "too_long"):
        side, key = ("at least", "min_length") if item["type"] == "too_short" else ("at most", "max_length")
        size = item["ctx"][key]
        items = "item" if size == 1 else "items"
        return value_error(f"expected {side} {size} {items}, found {shown(item['input'])}", item["loc"])
    return item


def expectation(annotation: Any, value: Any, location: tuple[Any, ...]) -> Item:
    """The error of a value whose type is none of those that a setting takes."""
    return value_error(f"expected {noun(annotation)}, found {shown(value)}", location)


def value_error(message: str, location: tuple[Any, ...]) -> Item:
    return {"type": "value_error", "loc": location, "msg": message}


def shown(value: Any) -> str:
    """A value as messages show it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= MAX_NAME_LENGTH else f"{text[:MAX_NAME_LENGTH]}..."


def union_branches(annotation: Any) -> list[Any]:
    """The types of a union except None, which has no errors of its own; any other type alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [branch for branch in get_args(annotation) if branch is not type(None)]
    if get_origin(annotation) is Annotated and len(inner := union_branches(get_args(annotation)[0])) > 1:
        return inner
    return [annotation]


def item_type(annotation: Any, key: Any) -> Any:
    """The type of a value's item at this key; None where the key is no item of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return item_type(arguments[0], key)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
        return fields.get(key)
    if union_branches(annotation) != [annotation]:
        return item_type(union_branches(annotation)[0], key)
    if origin is list and isinstance(key, int):
        return arguments[0]
    if origin is tuple and isinstance(key, int):
        return arguments[0] if len(arguments) == 2 and arguments[1] is ... else arguments[min(key, len(arguments) - 1)]
    return arguments[1] if origin is dict else None


def noun(annotation: Any, *, plural: bool = False, nested: bool = False) -> str:
    """What messages call a type: "a number or a list of numbers"; "" for one without a word."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    branches = union_branches(annotation)
    if len(branches) > 1:
        return "" if nested else any_of([word for branch in branches for word in alternatives(branch)])
    if branches != [annotation]:
        return noun(branches[0], plural=plural, nested=nested)
    if origin is Annotated:
        if any(isinstance(part, str) for part in arguments[1:]):  # Plugin.of
            return "names or tables with kind" if plural else "a name or a table with kind"
        return noun(arguments[0], plural=plural, nested=nested)
    if origin is Literal:
        return "" if plural else any_of(alternatives(annotation))
    if origin in (list, tuple, dict):
        word = ("tables" if plural else "a table") if origin is dict else ("lists" if plural else "a list")
        items = noun(arguments[1 if origin is dict else 0], plural=True, nested=True) if not nested else ""
        return f"{word} of {items}" if items else word
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "tables" if plural else "a table"
    return NOUNS[annotation][plural] if annotation in NOUNS else ""


def alternatives(annotation: Any) -> list[str]:
    """What messages call the values of a type: the choices of a Literal one by one."""
    if get_origin(annotation) is Literal:
        return [f'"{choice}"' if isinstance(choice, str) else repr(choice) for choice in get_args(annotation)]
    return [noun(annotation) or "another value"]


def any_of(words: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b or c", without repetitions."""
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


__all__ = ["merged"]
