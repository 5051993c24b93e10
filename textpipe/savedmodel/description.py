"""textpipe.json of an exported model: what it is, and the format that says how to read it.

Format 2: saved_model.pb and variables/ with the signatures that textpipe.json describes (savedmodel/signatures.py); assets.extra/
with golden.jsonl, model.json and vocabulary.json; manifest.json. Format 1 listed the names of a signature's inputs and
outputs, and what a signature is for was known by its name; `signatures` has it as format 2 does. A change that an
earlier textpipe would misread is another number.
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
    STREAMED,
    TOKEN_COUNTS,
    Input,
    Search,
    Shape,
    Signature,
)
from textpipe.savedmodel.signatures import read as read_signature
from textpipe.version import __version__

NAME = "textpipe.json"
FORMAT = 2  # what is written
READ = (1, 2)  # what can be read
DEFAULT = "serving_default"  # TensorFlow Serving's name of the signature that is meant where none is named

# What the names of format 1 stand for; models of other tools are taken to mean the same by them.
OLDER_OPTIONS, OLDER_DEADLINE, OLDER_EXAMPLES = "options", "deadline", "inputs"
OLDER_GIVES = {
    DEFAULT: ANSWER, "nbest": ANSWER, OLDER_OPTIONS: ANSWER, "classify": ANSWER, "features": FEATURES, "score": LIKELIHOOD,
    "tokens": TOKEN_COUNTS, "attention": ATTENTION, "begin": STATE, "advance": STATE,
}  # fmt: skip
OLDER_MERGEABLE = (DEFAULT, "nbest", "classify")
OLDER_FOLLOWS = {"advance": "begin"}
OLDER_SEARCH = {
    DEFAULT: {"outputs": {"answer": "texts", "score": "scores"}, "n_best": 1},
    "nbest": {"outputs": {"texts": "texts", "scores": "scores"}, "n_best": None},
}
VIEWS = {"bars": DEFAULT, "texts": "nbest", "replies": "nbest"}  # and the signatures that the page asked


def read(place: Path) -> dict[str, Any]:
    """What textpipe.json says of a model; {} when there is none."""
    try:
        about = json.loads((place / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{place / NAME}: cannot be read ({error}); export the model again or copy it anew") from None
    if not isinstance(about, dict):
        raise ModelError(f"{place / NAME}: expected an object, found {type(about).__name__}; export the model again")
    return about


def check(place: Path, about: dict[str, Any]) -> None:
    """Raise ModelError when a textpipe.json is of a format that this version does not read, or a key of it is not of its
    shape; {} is another tool's model."""
    if not about:
        return
    found = about.get("format")
    if type(found) is int and found in READ:
        shapes(place, about)
        return
    versions = about.get("versions")
    writer = versions.get("textpipe") if isinstance(versions, dict) else None
    by = f", written by textpipe {writer}" if isinstance(writer, str) else ""
    expected = " or ".join(map(str, READ))
    raise ModelError(
        f"{place / NAME}: expected format {expected}, which textpipe {__version__} reads, found "
        f"{'no format' if found is None else json.dumps(found)}{by}; "
        + (
            f"install textpipe {writer or 'of the version that wrote it'}, or export the model again with this one"
            if type(found) is int and found > max(READ)
            else "export the model again"
        )
    )


Inputs = Mapping[str, tuple[str, Shape]]  # {input: (dtype, shape)}


def signatures(about: Mapping[str, Any], inputs: Mapping[str, Inputs]) -> dict[str, Signature]:
    """The signatures of a model by name: as textpipe.json describes them, or by the names that format 1 gave them.

    about: of a format that can be read, {} of another tool's model; inputs: of each signature of the graph.
    """
    described = about.get("signatures") or {}
    return {
        name: read_signature(name, table) if isinstance(table.get("inputs"), dict) else older(name, about, inputs)
        for name, table in ((name, described.get(name) or {}) for name in inputs)
    }


def older(name: str, about: Mapping[str, Any], inputs: Mapping[str, Inputs]) -> Signature:
    """What format 1 meant by a signature of this name."""
    kinds = {field["name"]: field["kind"] for field in about.get("fields") or ()}
    of_rows = inputs.get(DEFAULT) or next(iter(inputs.values()))
    by_examples = set(inputs[name]) == {OLDER_EXAMPLES} != set(of_rows)

    def kind(key: str) -> str:
        if by_examples:
            return EXAMPLES
        if name in OLDER_FOLLOWS:
            return STREAMED
        if name == OLDER_OPTIONS and key not in of_rows:
            return DEADLINE if key == OLDER_DEADLINE else OPTION
        return kinds.get(key, "text")

    ways: Mapping[str, Any] = about.get("from_options") or OLDER_SEARCH
    way = ways.get(name) if OLDER_OPTIONS in inputs else None
    return Signature(
        name,
        {key: Input(kind(key), dtype, shape) for key, (dtype, shape) in sorted(inputs[name].items())},
        OLDER_GIVES.get(name, ""),
        tuple(((about.get("signatures") or {}).get(name) or {}).get("outputs") or ()),
        method=CLASSIFY if by_examples else PREDICT,
        mergeable=bool(about) and name in OLDER_MERGEABLE,
        follows=OLDER_FOLLOWS.get(name),
        search=way and Search(OLDER_OPTIONS, dict(way["outputs"]), way["n_best"] == 1),
    )


def answer(about: Mapping[str, Any]) -> str:
    """The module of answers/ that says what a model's answers are; format 1 had two kinds."""
    return about.get("answer") or ("label" if about.get("labels") else "text")


def view(about: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """How a page shows an answer: {"kind": ..., "signature": ..., "attention": ...}; None for another tool's model.

    names: of the model's signatures.
    """
    if about.get("view") or not about:
        return about.get("view")
    kind = "bars" if about.get("labels") else "replies" if about.get("task") == "reply" else "texts"
    return {"kind": kind, "signature": VIEWS[kind], "attention": "attention" if "attention" in names else None}


def shapes(place: Path, about: dict[str, Any]) -> None:
    """Raise ModelError for a key whose value is of another shape than is written; null is as if the key were left out."""
    for key, (right, expected) in SHAPES.items():
        value = about.get(key)
        if value is None:
            continue
        if not right(value):
            raise misshapen(place, key, expected, value)
        right, expected = VALUES.get(key, (anything, ""))
        for name, one in value.items() if isinstance(value, dict) else ():
            if not right(one):
                raise misshapen(place, f"{key}.{name}", expected, one)


def misshapen(place: Path, key: str, expected: str, value: Any) -> ModelError:
    found = json.dumps(value, ensure_ascii=False)
    found = found if len(found) <= SHOWN else f"{found[:SHOWN]}..."
    return ModelError(f"{place / NAME}: {key}: expected {expected}, found {found}; export the model again")


def anything(value: Any) -> bool:
    return True


def text(value: Any) -> bool:
    return isinstance(value, str)


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(text, value))


def table(value: Any) -> bool:
    return isinstance(value, dict)


def fields(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and all(text(one.get(key)) for key in ("name", "side", "kind")) for one in value
    )


def signature(value: Any) -> bool:
    """The table of a signature, of format 2 or of format 1."""
    if not isinstance(value, dict):
        return False
    if not isinstance(value.get("inputs"), dict):  # format 1's
        return all(one is None or texts(one) for one in map(value.get, ("inputs", "outputs")))
    search = value.get("search")
    return (
        all(map(an_input, value["inputs"].values()))
        and texts(value.get("outputs"))
        and value.get("gives") in ("", *GIVES)
        and value.get("method") in (PREDICT, CLASSIFY)
        and isinstance(value.get("mergeable"), bool)
        and (value.get("follows") is None or text(value["follows"]))
        and (search is None or a_search(search))
    )


def an_input(value: Any) -> bool:
    if not isinstance(value, dict) or not all(text(value.get(key)) for key in ("kind", "dtype")):
        return False
    shape = value.get("shape")
    return isinstance(shape, list) and all(size is None or (type(size) is int and size >= 0) for size in shape)


def a_search(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and text(value.get("signature"))
        and isinstance(value.get("outputs"), dict)
        and all(map(text, value["outputs"].values()))
        and isinstance(value.get("first"), bool)
    )


def a_view(value: Any) -> bool:
    attention = value.get("attention") if isinstance(value, dict) else None
    return (
        isinstance(value, dict)
        and all(text(value.get(key)) for key in ("kind", "signature"))
        and (attention is None or text(attention))
    )


def bound(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(type(one) in (int, float) and abs(one) <= sys.float_info.max for one in value) and value[0] <= value[1]


def way(value: Any) -> bool:
    """How format 1 made a signature of the outputs of `options`."""
    if not isinstance(value, dict) or not isinstance(value.get("outputs"), dict):
        return False
    one = value.get("n_best", 0)
    return all(map(text, value["outputs"].values())) and (one is None or (type(one) is int and one == 1))


Rule = tuple[Callable[[Any], bool], str]
SHAPES: dict[str, Rule] = {
    "task": (text, "a string"),
    "answer": (text, "a string"),
    "inputs": (texts, "a list of strings"),
    "labels": (texts, "a list of strings"),
    "fields": (fields, 'a list of {"name": string, "side": string, "kind": string}'),
    "signatures": (table, "an object"),
    "bounds": (table, "an object {option: [low, high]}"),
    "from_options": (table, "an object {signature: {outputs, n_best}}"),
    "view": (a_view, '{"kind": string, "signature": string, "attention": string or null}'),
}
VALUES: dict[str, Rule] = {  # of an object, each
    "signatures": (signature, "an object as savedmodel/signatures.py describes a signature"),
    "bounds": (bound, "[low, high], two numbers of which the first is not the greater"),
    "from_options": (way, '{"outputs": {output: its name there}, "n_best": 1 or null}'),
}
SHOWN = 80  # characters of a value in a message
