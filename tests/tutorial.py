"""Runs the code blocks of a tutorial, and compares what they show.

An indented block that begins with "$ " is a shell session: each command is run, and the lines below it must be among the lines it prints, in
this order. One that begins with ">>> " is a Python session. "..." stands for any text. Other blocks are not run.
"""

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
from pathlib import Path

import forkserver

BLOCK = re.compile(r"(?m)(?:^    .*\n|^\n(?=    ))+")
PARSER = doctest.DocTestParser()


def blocks(path):
    """The shell and Python sessions of a Markdown file, without their indentation; each prompt after an empty line begins another."""
    found = []
    for block in BLOCK.findall(path.read_text(encoding="utf-8") + "\n"):
        found += re.split(r"\n\n+(?=\$ |>>> )", re.sub(r"(?m)^    ", "", block).strip("\n"))
    return [block for block in found if block.startswith(("$ ", ">>> "))]


def sessions(block):
    """A shell session as [(command, the lines it must print), ...]."""
    steps = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif line.strip():
            steps[-1][1].append(line)
    return steps


def run_command(command, folder):
    """Standard output of a shell command; `textpipe` runs as a fork of a process that has imported TensorFlow."""
    words = shlex.split(command, comments=True)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if words[0] == "textpipe" and "|" not in words:
        stdin = b""
        if "<" in words:
            at = words.index("<")
            stdin = (folder / words[at + 1]).read_bytes()
            words = words[:at] + words[at + 2 :]
        code, out, err = forkserver.run(words[1:], folder, environment, stdin)
    else:
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=False, env=environment)
        code, out, err = done.returncode, done.stdout, done.stderr
    assert code == 0, f"$ {command}\n{err.decode()[-2000:]}"
    return out.decode()


def first_missing(printed, expected):
    """The first expected line that does not follow among the printed ones, or None."""
    lines = iter(printed.splitlines())
    for line in expected:
        pattern = ".*".join(map(re.escape, line.strip().split("...")))
        if not any(re.fullmatch(pattern, other.strip()) for other in lines):
            return line
    return None


def run(path, folder):
    """Run a tutorial in a folder, which must be the working directory; returns how many lines were compared."""
    names, compared = {}, 0
    for number, block in enumerate(blocks(path)):
        if block.startswith("$ "):
            for command, expected in sessions(block):
                printed = run_command(command, folder)
                missing = first_missing(printed, expected)
                assert missing is None, f"{path.name}: $ {command}\nexpected {missing!r}, printed:\n{printed}"
                compared += len(expected)
        else:
            test = PARSER.get_doctest(block + "\n", names, f"{path.name}, block {number}", str(path), 0)
            report = io.StringIO()
            with contextlib.redirect_stdout(report):
                runner = doctest.DocTestRunner(
                    optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST
                )
                result = runner.run(test, clear_globs=False)
            assert not result.failed, report.getvalue()
            names = test.globs
            compared += sum(bool(example.want) for example in test.examples)
    return compared


TUTORIALS = sorted((Path(__file__).parents[1] / "docs/tutorials").glob("*.md"))
