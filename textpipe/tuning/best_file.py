"""The best trial's pipeline as a TOML file: the file of the study without [tune], with the best values."""

import json
from pathlib import Path

from textpipe.cache import store
from textpipe.errors import ConfigError
from textpipe.pipeline import bundled, shell_text
from textpipe.pipeline.toml_text import key, toml
from textpipe.tuning.results import Outcome, Trial
from textpipe.tuning.space import Space

MARK = "# Written by `textpipe tune`"
TUNED = "  # tuned"


def default_path(file: Path) -> Path:
    """NAME_best.toml beside the pipeline file; for a bundled one, in the working directory."""
    folder = Path() if file.parent in bundled.FOLDERS and not file.is_relative_to(Path.cwd()) else file.parent
    return folder / f"{file.stem}_best.toml"


def check(path: Path) -> None:
    """Raises ConfigError for a file that `textpipe tune` did not write."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a directory; give --output the name of a file")
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise ConfigError(f"{path}: was not written by `textpipe tune`, so it is not replaced; give another --output")


def write(path: Path, outcome: Outcome, space: Space, trial: Trial) -> None:
    """Write the file. The same study gives the same bytes."""
    check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.explain_disk_errors(path):
        store.write_atomically(path, text(outcome, space, trial))


def text(outcome: Outcome, space: Space, trial: Trial) -> str:
    """The content of the file: comments that name the study, then the tables."""
    counts = outcome.counts
    shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [
        f"{MARK}: trial {trial.number} of {sum(counts.values())} of study {json.dumps(outcome.name)} of {shell_text.word(str(space.place))}.",
        f"# {outcome.metric} {trial.value!r}; sampler {outcome.sampler}, pruner {outcome.pruner}, seed {outcome.seed}; {shown}.",
    ]
    tables, tuned = space.apply(trial.settings), list(trial.settings)
    plain = {name: value for name, value in tables.items() if not isinstance(value, dict) or name == "task"}
    lines += [f"{name} = {toml(value)}{mark(name, tuned)}" for name, value in plain.items()]
    for name, table in tables.items():
        if name in plain:
            continue
        table_mark = TUNED if name in tuned else ""
        lines += ["", f"[{key(name)}]{table_mark}"]
        lines += [f"{key(item)} = {toml(value)}{mark(f'{name}.{item}', tuned)}" for item, value in table.items()]
    return "\n".join(lines) + "\n"


def mark(key: str, tuned: list[str]) -> str:
    """The comment behind a line that holds a setting of the study."""
    return TUNED if any(other == key or other.startswith(key + ".") for other in tuned) else ""
