"""What a Config says of its fields, read from its source: the comment behind a field, or its entry in the docstring.

    class Config(Section):
        '''units: width of each hidden layer; dropout: after each.'''

        units: int = 256
        dropout: float = 0.2
        tie: bool = False  # whether both ends share their weights

Comments and docstrings are no part of what a result depends on, so words may be mended without building anything again.
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
TABLE_NAME = re.compile(r'^\[\w+\](?: kind = "\w+")?[.:]?\s*|^format = "\w+"[;.,]?(?: or \{[^}]*\})?[.;]?\s*')


def key_of(config: type[Section], name: str) -> str:
    """A field's key in a file."""
    return config.model_fields[name].alias or name


def described(config: type[Section], name: str) -> str | None:
    """What a field does: the comment behind it, else its entry in the docstring, of the class or of one above it."""
    for owner in config.__mro__:
        if owner is Section:
            return None
        found = field_comments(owner).get(name) or docstring_entries(owner).get(key_of(config, name))
        if found:
            return found if ". " in found else found.rstrip(".")
    return None


@functools.cache
def field_comments(config: type[Section]) -> dict[str, str]:
    """{field: the comment at the end of its line}."""
    source = inspect.getsource(config)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    behind = {token.start[0]: token.string.lstrip("# ").strip() for token in tokens if token.type == tokenize.COMMENT}
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno in behind:
            text = behind[node.end_lineno]
            if not DIRECTIVES.match(text):
                found[node.target.id] = text
    return found


@functools.cache
def docstring_entries(config: type[Section]) -> dict[str, str]:
    """{field: what the docstring says after "field:"}; "a, b: ..." is of both."""
    text = class_docstring(config)
    found = {}
    marks = list(entry_pattern(config).finditer(text))
    for mark, following in zip_longest(marks, marks[1:]):
        said = text[mark.end() : following.start() if following else len(text)].partition("\n\n")[0]
        for name in re.split(r",\s+|\s+and\s+", mark[1]):
            found[name] = " ".join(said.split()).removesuffix(", or").rstrip(";")
    return found


def lead(config: type[Section]) -> str:
    """What a docstring says before its first entry, the place of the table left out."""
    text = class_docstring(config)
    first = entry_pattern(config).search(text)
    said = " ".join((text[: first.start()] if first else text).split())
    while TABLE_NAME.match(said) and TABLE_NAME.match(said).end():  # type: ignore[union-attr]
        said = TABLE_NAME.sub("", said, count=1)
    return said


def entry_pattern(config: type[Section]) -> re.Pattern[str]:
    """Matches "name: " and "name, other: " of a class's fields where a line or a sentence begins."""
    known = "|".join(sorted((key_of(config, name) for name in config.model_fields), key=len, reverse=True))
    begins = r"(?:\A|^[ ]*|(?<=[.;][ ])|(?<=, or ))"
    return re.compile(rf"{begins}((?:{known})(?:(?:,\s+|\s+and\s+)(?:{known}))*):\s+", re.MULTILINE)


def class_docstring(config: type[Section]) -> str:
    """A class's own docstring."""
    return inspect.cleandoc(config.__dict__.get("__doc__") or "")


def first_line(module: Any) -> str:
    """The first paragraph of a module's docstring."""
    return " ".join((module.__doc__ or "").strip().partition("\n\n")[0].split())


__all__ = ["described", "first_line", "key_of", "lead"]
