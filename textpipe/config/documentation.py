"""Descriptions of a Config's fields, read from its source: the comment behind a field, or its entry in the docstring.

    class Config(Section):
        '''units: width of each hidden layer; dropout: after each.'''

        units: int = 256
        dropout: float = 0.2
        tie: bool = False  # whether both ends share their weights

Cache keys do not depend on comments and docstrings, so descriptions can change without a rebuild.
"""

import ast
import functools
import inspect
import io
import re
import tokenize
from itertools import zip_longest
from typing import Any

from textpipe.config.sections import Section

DIRECTIVES = re.compile(r"^(type:|noqa|fmt:)")
TABLE_NAME = re.compile(r'^\[[\w.]+\](?: kind = "\w+")?[.:]?\s*|^format = "\w+"[;.,]?(?: or \{[^}]*\})?[.;]?\s*')


def field_key(config: type[Section], name: str) -> str:
    """A field's key in a pipeline file."""
    return config.model_fields[name].alias or name


def describe_field(config: type[Section], name: str) -> str | None:
    """A field's description from its comment or docstring entry, in the class or a base class; None without one."""
    for owner in config.__mro__:
        if owner is Section:
            return None
        text = field_comments(owner).get(name) or docstring_entries(owner).get(field_key(config, name))
        if text:
            return text if ". " in text else text.rstrip(".")
    return None


@functools.cache
def field_comments(config: type[Section]) -> dict[str, str]:
    """{field: the comment at the end of its line}."""
    source = inspect.getsource(config)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    by_line = {token.start[0]: token.string.lstrip("# ").strip() for token in tokens if token.type == tokenize.COMMENT}
    comments = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno in by_line:
            text = by_line[node.end_lineno]
            if not DIRECTIVES.match(text):
                comments[node.target.id] = text
    return comments


@functools.cache
def docstring_entries(config: type[Section]) -> dict[str, str]:
    """{field: the text after "field:" in the docstring}; "a, b: ..." describes both fields."""
    text = class_docstring(config)
    entries = {}
    matches = list(entry_pattern(config).finditer(text))
    for match, following in zip_longest(matches, matches[1:]):
        entry = text[match.end() : following.start() if following else len(text)].partition("\n\n")[0]
        for name in re.split(r",\s+|\s+and\s+", match[1]):
            entries[name] = " ".join(entry.split()).removesuffix(", or").rstrip(";")
    return entries


def introduction(config: type[Section]) -> str:
    """The docstring before its first entry, without the name of the table."""
    text = class_docstring(config)
    first = entry_pattern(config).search(text)
    intro = " ".join((text[: first.start()] if first else text).split())
    while TABLE_NAME.match(intro) and TABLE_NAME.match(intro).end():  # type: ignore[union-attr]
        intro = TABLE_NAME.sub("", intro, count=1)
    return intro


def entry_pattern(config: type[Section]) -> re.Pattern[str]:
    """Matches "name: " and "name, other: " of a class's fields at the start of a line or sentence."""
    keys = "|".join(sorted((field_key(config, name) for name in config.model_fields), key=len, reverse=True))
    begins = r"(?:\A|^[ ]*|(?<=[.;][ ])|(?<=, or ))"
    return re.compile(rf"{begins}((?:{keys})(?:(?:,\s+|\s+and\s+)(?:{keys}))*):\s+", re.MULTILINE)


def class_docstring(config: type[Section]) -> str:
    """The docstring of a class itself, not of its base classes."""
    return inspect.cleandoc(config.__dict__.get("__doc__") or "")


def first_paragraph(module: Any) -> str:
    """The first paragraph of a module's docstring."""
    return " ".join((module.__doc__ or "").strip().partition("\n\n")[0].split())


__all__ = ["describe_field", "field_key", "first_paragraph", "introduction"]
