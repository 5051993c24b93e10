"""Generates docs/api.md, the reference of the public Python API, from signatures and docstrings.

python docs/api.py > docs/api.md      # tests/test_api_docs.py fails if it is outdated
"""

import inspect
import re
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import textpipe
from textpipe import errors
from textpipe.estimator import Classifier
from textpipe.explanation.contributions import Contributions
from textpipe.explanation.result import Explanation
from textpipe.inference.client import Client
from textpipe.inference.loaded_model import LoadedModel
from textpipe.pipeline.runner import Pipeline, Step
from textpipe.report.outcome import Result
from textpipe.savedmodel.loader import Model
from textpipe.tuning.results import Outcome, Trial

CLASSES = (
    Classifier, Pipeline, Step, Result, Outcome, Trial, Explanation, Contributions, LoadedModel, Model, Client,
)  # fmt: skip
OWN = "textpipe."


def page() -> Iterator[str]:
    """The lines of docs/api.md."""
    yield "# Python API"
    yield ""
    yield "Generated from signatures and docstrings by `python docs/api.py`. Anything not listed here may change without notice."
    yield ""
    yield "## textpipe"
    for name in sorted(textpipe.__all__):
        value = getattr(textpipe, name)
        if isinstance(value, FunctionType):
            yield from entry(f"textpipe.{name}", value, "###")
    for value in CLASSES:
        yield ""
        yield f"## {value.__module__}.{value.__name__}"
        yield from text(value)
        for name, member in members(value):
            yield from entry(name, member, "###")
    yield ""
    yield "## Errors"
    yield ""
    yield "All errors derive from `textpipe.TextpipeError`; the command line ends with their exit code."
    yield ""
    yield "| error | exit code | meaning |"
    yield "|---|---|---|"
    for value in error_classes():
        yield f"| `{value.__name__}` | {value.exit_code} | {first_line(value)} |"


def error_classes() -> list[type[errors.TextpipeError]]:
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in classes if issubclass(value, errors.TextpipeError)]


def members(owner: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class and its textpipe base classes, in source order."""
    seen: set[str] = set()
    for base in owner.__mro__:
        if base.__module__.startswith(OWN):
            for name, member in vars(base).items():
                if not name.startswith("_") and name not in seen and is_documented(member):
                    seen.add(name)
                    yield name, member


def is_documented(member: Any) -> bool:
    return isinstance(member, (FunctionType, classmethod, staticmethod, property))


def entry(name: str, member: Any, heading: str) -> Iterator[str]:
    """A function, method or property with its signature and docstring."""
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    yield ""
    yield f"{heading} {name}"
    yield ""
    yield "```python"
    yield (
        f"{name.rpartition('.')[2]}: {return_type(function)}"
        if isinstance(member, property)
        else declaration(name, function)
    )
    yield "```"
    yield from text(function)


def declaration(name: str, function: FunctionType) -> str:
    """The signature, with one argument per line if it is long."""
    signature = inspect.signature(function)
    parameters = [value for key, value in signature.parameters.items() if key not in ("self", "cls")]
    arguments, starred = [], False
    for value in parameters:
        if value.kind is value.KEYWORD_ONLY and not starred:
            arguments.append("*")
            starred = True
        starred = starred or value.kind is value.VAR_POSITIONAL
        arguments.append(readable(str(value)))
    line = f"{name}({', '.join(arguments)}) -> {return_type(function)}"
    if len(line) <= 100:
        return line
    inside = "".join(f"    {argument},\n" for argument in arguments)
    return f"{name}(\n{inside}) -> {return_type(function)}"


def return_type(function: FunctionType) -> str:
    value = function.__annotations__.get("return", "None")
    return readable(inspect.formatannotation(value) if value is not None else "None")


def readable(annotation: str) -> str:
    """An annotation without module names and without the quotes of names imported only for type checkers."""
    annotation = re.sub(r"PosixPath\((.*?)\)", r"\1", annotation)
    annotation = re.sub(r"^(\w+: |)'([^']*)'", r"\1\2", annotation)
    return re.sub(r"(?<![\w'\"/])(?:\w+\.)+(?=[A-Z]\w)", "", annotation)


def text(value: Any) -> Iterator[str]:
    """The docstring as Markdown; its indented examples are code blocks already."""
    docstring = inspect.getdoc(value)
    if docstring:
        yield ""
        yield from docstring.splitlines()


def first_line(value: type) -> str:
    return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
