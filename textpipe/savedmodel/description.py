"""textpipe.json of an exported model: its description, and the format version of the export.

Format 2: saved_model.pb and variables/ with the signatures that textpipe.json describes (savedmodel/signatures.py); assets.extra/
with golden.jsonl, model.json and vocabulary.json; manifest.json. Format 1 listed only the names of a signature's
inputs and outputs, and its purpose followed from its name; `signatures` converts it to format 2. A change that earlier
versions of textpipe would misread gets a new number.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError
from textpipe.savedmodel.signatures import (
    ANSWER,
    ATTENTION,
    CLASSIFY,
    DEADLINE,
    EXAMPLES,
    FEATURES,
    GIVES,
    LIKELIHOOD,
    OPTION,
    PREDICT,
    STATE,
    STATE_INPUT,
    TOKEN_COUNTS,
    Input,
    Search,
    Shape,
    Signature,
)
from textpipe.savedmodel.signatures import read as read_signature
from textpipe.version import __version__

NAME = "textpipe.json"
FORMAT = 2  # written by this version
READABLE_FORMATS = (1, 2)  # read by this version
DEFAULT = "serving_default"  # TensorFlow Serving's name for the signature that is used when none is named

# The meaning of names in format 1, also assumed for models of other tools.
FORMAT_1_OPTIONS, FORMAT_1_DEADLINE, FORMAT_1_EXAMPLES = "options", "deadline", "inputs"
FORMAT_1_GIVES = {
    DEFAULT: ANSWER, "nbest": ANSWER, FORMAT_1_OPTIONS: ANSWER, "classify": ANSWER, "features": FEATURES, "score": LIKELIHOOD,
    "tokens": TOKEN_COUNTS, "attention": ATTENTION, "begin": STATE, "advance": STATE,
}  # fmt: skip
FORMAT_1_MERGEABLE = (DEFAULT, "nbest", "classify")
FORMAT_1_FOLLOWS = {"advance": "begin"}
FORMAT_1_SEARCH = {
    DEFAULT: {"outputs": {"answer": "texts", "score": "scores"}, "n_best": 1},
    "nbest": {"outputs": {"texts": "texts", "scores": "scores"}, "n_best": None},
}
FORMAT_1_VIEWS = {"bars": DEFAULT, "texts": "nbest", "replies": "nbest"}  # and the signatures that the page calls


def read(folder: Path) -> dict[str, Any]:
    """textpipe.json of a model directory; {} when there is none."""
    try:
        about = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder / NAME}: cannot be read ({error}); export or copy the model again") from None
    if not isinstance(about, dict):
        raise ModelError(f"{folder / NAME}: expected an object, found {type(about).__name__}; export the model again")
    return about


def check(folder: Path, about: dict[str, Any]) -> None:
    """Raise ModelError for a format that this version does not read or a key with a wrong value; {} is another tool's model."""
    if not about:
        return
    version = about.get("format")
    if type(version) is int and version in READABLE_FORMATS:
        check_values(folder, about)
        return
    versions = about.get("versions")
    writer = versions.get("textpipe") if isinstance(versions, dict) else None
    by = f", written by textpipe {writer}" if isinstance(writer, str) else ""
    expected = " or ".join(map(str, READABLE_FORMATS))
    raise ModelError(
        f"{folder / NAME}: expected format {expected}, which textpipe {__version__} reads, found "
        f"{'no format' if version is None else json.dumps(version)}{by}; "
        + (
            f"install textpipe {writer or 'in the version that wrote it'}, or export the model again with this one"
            if type(version) is int and version > max(READABLE_FORMATS)
            else "export the model again"
        )
    )


Inputs = Mapping[str, tuple[str, Shape]]  # {input: (dtype, shape)}


def signatures(about: Mapping[str, Any], inputs: Mapping[str, Inputs]) -> dict[str, Signature]:
    """The signatures of a model by name: as in textpipe.json, or inferred from their names as in format 1.

    about: textpipe.json in a readable format, {} for another tool's model; inputs: of each signature of the graph.
    """
    described = about.get("signatures") or {}
    return {
        name: read_signature(name, table)
        if isinstance(table.get("inputs"), dict)
        else format_1_signature(name, about, inputs)
        for name, table in ((name, described.get(name) or {}) for name in inputs)
    }


def format_1_signature(name: str, about: Mapping[str, Any], inputs: Mapping[str, Inputs]) -> Signature:
    """The signature that this name meant in format 1."""
    kinds = {field["name"]: field["kind"] for field in about.get("fields") or ()}
    row_inputs = inputs.get(DEFAULT) or next(iter(inputs.values()))
    by_examples = set(inputs[name]) == {FORMAT_1_EXAMPLES} != set(row_inputs)

    def kind(key: str) -> str:
        if by_examples:
            return EXAMPLES
        if name in FORMAT_1_FOLLOWS:
            return STATE_INPUT
        if name == FORMAT_1_OPTIONS and key not in row_inputs:
            return DEADLINE if key == FORMAT_1_DEADLINE else OPTION
        return kinds.get(key, "text")

    searches: Mapping[str, Any] = about.get("from_options") or FORMAT_1_SEARCH
    search = searches.get(name) if FORMAT_1_OPTIONS in inputs else None
    return Signature(
        name,
        {key: Input(kind(key), dtype, shape) for key, (dtype, shape) in sorted(inputs[name].items())},
        FORMAT_1_GIVES.get(name, ""),
        tuple(((about.get("signatures") or {}).get(name) or {}).get("outputs") or ()),
        method=CLASSIFY if by_examples else PREDICT,
        mergeable=bool(about) and name in FORMAT_1_MERGEABLE,
        follows=FORMAT_1_FOLLOWS.get(name),
        search=search and Search(FORMAT_1_OPTIONS, dict(search["outputs"]), search["n_best"] == 1),
    )


def answer_kind(about: Mapping[str, Any]) -> str:
    """The module of answers/ of a model; format 1 had two kinds."""
    return about.get("answer") or ("label" if about.get("labels") else "text")


def view(about: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """How the web page shows an answer: {"kind": ..., "signature": ..., "attention": ...}; None for another tool's model.

    names: of the model's signatures.
    """
    if about.get("view") or not about:
        return about.get("view")
    kind = "bars" if about.get("labels") else "replies" if about.get("task") == "reply" else "texts"
    return {"kind": kind, "signature": FORMAT_1_VIEWS[kind], "attention": "attention" if "attention" in names else None}


def check_values(folder: Path, about: dict[str, Any]) -> None:
    """Raise ModelError for a key whose value has the wrong type or structure; null counts as absent."""
    for key, (is_valid, expected) in KEY_RULES.items():
        value = about.get(key)
        if value is None:
            continue
        if not is_valid(value):
            raise value_error(folder, key, expected, value)
        is_valid, expected = ITEM_RULES.get(key, (is_anything, ""))
        for name, item in value.items() if isinstance(value, dict) else ():
            if not is_valid(item):
                raise value_error(folder, f"{key}.{name}", expected, item)


def value_error(folder: Path, key: str, expected: str, value: Any) -> ModelError:
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."
    return ModelError(f"{folder / NAME}: {key}: expected {expected}, found {shown}; export the model again")


def is_anything(value: Any) -> bool:
    return True


def is_string(value: Any) -> bool:
    return isinstance(value, str)


def is_string_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_string, value))


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def is_field_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and all(is_string(item.get(key)) for key in ("name", "side", "kind")) for item in value
    )


def is_signature(value: Any) -> bool:
    """Whether a value is the table of a signature, in format 1 or 2."""
    if not isinstance(value, dict):
        return False
    if not isinstance(value.get("inputs"), dict):  # format 1's
        return all(names is None or is_string_list(names) for names in map(value.get, ("inputs", "outputs")))
    search = value.get("search")
    return (
        all(map(is_input, value["inputs"].values()))
        and is_string_list(value.get("outputs"))
        and value.get("gives") in ("", *GIVES)
        and value.get("method") in (PREDICT, CLASSIFY)
        and isinstance(value.get("mergeable"), bool)
        and (value.get("follows") is None or is_string(value["follows"]))
        and (search is None or is_search(search))
    )


def is_input(value: Any) -> bool:
    if not isinstance(value, dict) or not all(is_string(value.get(key)) for key in ("kind", "dtype")):
        return False
    shape = value.get("shape")
    return isinstance(shape, list) and all(size is None or (type(size) is int and size >= 0) for size in shape)


def is_search(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_string(value.get("signature"))
        and isinstance(value.get("outputs"), dict)
        and all(map(is_string, value["outputs"].values()))
        and isinstance(value.get("first"), bool)
    )


def is_view(value: Any) -> bool:
    attention = value.get("attention") if isinstance(value, dict) else None
    return (
        isinstance(value, dict)
        and all(is_string(value.get(key)) for key in ("kind", "signature"))
        and (attention is None or is_string(attention))
    )


def is_bound(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return (
        all(type(limit) in (int, float) and abs(limit) <= sys.float_info.max for limit in value)
        and value[0] <= value[1]
    )


def is_format_1_search(value: Any) -> bool:
    """Whether a value describes, as in format 1, how a signature's outputs are made from those of `options`."""
    if not isinstance(value, dict) or not isinstance(value.get("outputs"), dict):
        return False
    n_best = value.get("n_best", 0)
    return all(map(is_string, value["outputs"].values())) and (n_best is None or (type(n_best) is int and n_best == 1))


Rule = tuple[Callable[[Any], bool], str]
KEY_RULES: dict[str, Rule] = {
    "task": (is_string, "a string"),
    "answer": (is_string, "a string"),
    "inputs": (is_string_list, "a list of strings"),
    "labels": (is_string_list, "a list of strings"),
    "fields": (is_field_list, 'a list of {"name": string, "side": string, "kind": string}'),
    "signatures": (is_object, "an object"),
    "bounds": (is_object, "an object {option: [low, high]}"),
    "from_options": (is_object, "an object {signature: {outputs, n_best}}"),
    "view": (is_view, '{"kind": string, "signature": string, "attention": string or null}'),
}
ITEM_RULES: dict[str, Rule] = {  # each item of an object
    "signatures": (is_signature, "an object as savedmodel/signatures.py describes a signature"),
    "bounds": (is_bound, "[low, high], two numbers with low <= high"),
    "from_options": (is_format_1_search, '{"outputs": {output: its name there}, "n_best": 1 or null}'),
}
MAX_SHOWN = 80  # characters of a value in a message
