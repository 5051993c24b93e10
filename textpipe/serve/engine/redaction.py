"""Messages without the server's own paths: what callers read must not tell where things lie on its disk."""

import os
import re
import sys
import tempfile
from functools import cache
from pathlib import Path

# /srv/models/mail/3/saved_model.pb -> saved_model.pb
ABSOLUTE_FOLDER = re.compile(r"(?<![\w.~/:>-])(?:/[^\s/:;,\"'()\[\]{}<>]+)*/(?=[^\s/])")
TRACEBACK_FOLDER = re.compile(r'(?<=File ")(?:/[^"/]+)*/')


def without_paths(text: str, *folders: Path) -> str:
    """A message of the server's own making: below `folders` the relative path is left, of any other path the last name."""
    return ABSOLUTE_FOLDER.sub("", re.sub(r"\bfile:/+", "/", without_roots(text, *folders)))


def without_roots(text: str, *folders: Path) -> str:
    """A message that may hold a caller's own words: the places that this server lies in are taken out of it."""
    for pattern in (*map(root_pattern, map(str, folders)), *process_roots()):
        text = pattern.sub("", text)
    return TRACEBACK_FOLDER.sub("", text)


@cache
def root_pattern(root: str) -> re.Pattern[str]:
    return (
        re.compile(rf"(?<![\w.-]){re.escape(root.rstrip('/'))}(?:/+|(?![\w.-]))")
        if root.strip("/")
        else re.compile("(?!)")
    )


@cache
def process_roots() -> tuple[re.Pattern[str], ...]:
    """Of this process, the longest first: none is cut short by another that holds it."""
    places = {sys.prefix, sys.base_prefix, os.getcwd(), tempfile.gettempdir(), str(Path(__file__).parents[3])}
    home = os.path.expanduser("~")
    if home != "~":
        places.add(home)
    places |= {os.path.realpath(place) for place in places}
    return tuple(root_pattern(place) for place in sorted(places, key=len, reverse=True))
