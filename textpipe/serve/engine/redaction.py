"""Removes the server's own paths from messages: clients must not learn where files are on its disk."""

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
    """For messages of the server itself: below `folders` keeps the relative path, of any other path the file name."""
    return ABSOLUTE_FOLDER.sub("", re.sub(r"\bfile:/+", "/", without_roots(text, *folders)))


def without_roots(text: str, *folders: Path) -> str:
    """For messages that may quote the client's input: removes `folders` and this process's own folders only."""
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
    """Folders of this process, longest first, so that a folder is removed before those that contain it."""
    folders = {sys.prefix, sys.base_prefix, os.getcwd(), tempfile.gettempdir(), str(Path(__file__).parents[3])}
    home = os.path.expanduser("~")
    if home != "~":
        folders.add(home)
    folders |= {os.path.realpath(folder) for folder in folders}
    return tuple(root_pattern(folder) for folder in sorted(folders, key=len, reverse=True))
