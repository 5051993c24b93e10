"""The commands of the README's first pipeline, run as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks(heading):
    """The indented code blocks of a section."""
    section = README.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [re.sub(r"(?m)^    ", "", block) for block in re.findall(r"(?m)(?:^    .*\n)+", section)]


def test_the_first_pipeline_runs_as_written(project):
    shell, python = blocks("A first pipeline of your own")
    assert shell.count("textpipe ") >= 5 and "import textpipe" in python
    project.write(
        "mails.tsv", (project.folder / "mail.tsv").read_text().replace("message\twants_reply", "body\tanswered")
    )
    project.write("new.txt", "Please call me about the draft on Monday.\nThanks for the slides of Tuesday.\n")
    shell = f'textpipe() {{ "{sys.executable}" -m textpipe "$@"; }}\nset -euo pipefail\n{shell}'
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        ["bash", "-c", shell], cwd=project.folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "pipelines/mails.toml" and "saved_models/mails/1" in lines
    assert lines[-3].startswith("yes\t") and [line[0] for line in lines[-2:]] == ["{", "{"]
    again = subprocess.run(
        [sys.executable, "-c", python], cwd=project.folder, capture_output=True, text=True, check=False, env=environment
    )
    assert again.returncode == 0, again.stderr
