"""The systems of a comparison: pipeline files with overrides, results of runs, and models; and short names for them."""

import re
from collections.abc import Sequence
from pathlib import Path

from textpipe.errors import ConfigError
from textpipe.pipeline import bundled

KEY = re.compile("[0-9a-f]{32}")  # the store's keys
PREDICTIONS = "predictions.jsonl"


def short_names(systems: Sequence[str], overrides: Sequence[Sequence[str]] = ()) -> list[str]:
    """The shortest names that distinguish the systems: ["pipelines/a.toml", "saved_models/b/1"] -> ["a", "b/1"].

    Overrides follow the name: "a, model.l2=0.1".
    """
    overrides = overrides or [()] * len(systems)
    parts = [Path(system).with_suffix("") if Path(system).suffix == ".toml" else Path(system) for system in systems]
    parts = [path.parent if path.name == PREDICTIONS else path for path in parts]
    parts = [path.with_name(path.name[:8]) if KEY.fullmatch(path.name) else path for path in parts]
    for depth in range(1, max(len(path.parts) for path in parts) + 1):
        names = ["/".join(path.parts[-(depth + path.name.isdigit()) :]) for path in parts]
        distinct_paths = len(set(names)) == len(set(parts))
        names = [", ".join([name, *settings]) for name, settings in zip(names, overrides, strict=True)]
        if distinct_paths and len(set(names)) == len(names):
            return names
    return [f"{name} ({at})" for at, name in enumerate(names, 1)]


def pipeline_file(system: str) -> Path | None:
    """The path of a system that is a pipeline file or the name of one (bundled.named); None for anything else."""
    path = Path(system)
    if path.suffix == ".toml":
        return bundled.find(path)
    return None if path.exists() else bundled.named(system)


def assign_overrides(systems: Sequence[str], assignments: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Systems, and the overrides of each, from `-s [N:]KEY=VALUE`.

    N:KEY=VALUE applies to the Nth system only, KEY=VALUE to every pipeline file. A file that is given alone, or twice, is
    compared with itself: first unchanged, then with the overrides.

    (["a.toml"], ["seed=2"]) -> ["a.toml", "a.toml"], [(), ("seed=2",)]
    Raises ConfigError for a number out of range, and for overrides of a system that is not a pipeline file.
    """
    systems = [str(system) for system in systems]
    if len(systems) == 1 and assignments and pipeline_file(systems[0]):
        systems = systems * 2
    overrides: list[list[str]] = [[] for _ in systems]
    files = [pipeline_file(system) for system in systems]
    for text in assignments:
        number, colon, rest = text.partition(":")
        if colon and number.isdecimal():
            if not 1 <= int(number) <= len(systems):
                raise ConfigError(f"-s {text}: there is no system {number}; use a number from 1 to {len(systems)}")
            if files[int(number) - 1] is None:
                raise ConfigError(
                    f"-s {text}: {systems[int(number) - 1]} is not a pipeline file, so it has no settings"
                )
            overrides[int(number) - 1].append(rest)
            continue
        # The first of several equal files is left unchanged, otherwise all of them would be the same run.
        chosen = [
            at for at, file in enumerate(files) if file and not (files.count(file) > 1 and files.index(file) == at)
        ]
        if not chosen:
            raise ConfigError(
                f"-s {text}: none of the systems is a pipeline file; overrides apply only to pipeline files"
            )
        for at in chosen:
            overrides[at].append(text)
    return systems, [tuple(settings) for settings in overrides]
