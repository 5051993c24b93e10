"""The pipeline files that come with textpipe, found by bare name when no such file exists.

    find("mail_reply_or_not") -> .../pipelines/mail_reply_or_not.toml

In a checkout they are in pipelines/ next to the package; a wheel has a copy of that folder inside the package.
"""

from pathlib import Path

from textpipe.errors import ConfigError, suggest

HOME = Path(__file__).parents[1]
FOLDERS = (HOME / "pipelines", HOME.parent / "pipelines")


def pipelines() -> dict[str, Path]:
    """{name: pipeline file}, sorted by name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}


def find(path: str | Path) -> Path:
    """The path itself, or the bundled pipeline of that name if it is a bare name without a folder.

    An existing file comes first. Raises ConfigError for a name without suffix that is neither.
    """
    path = Path(path)
    if path.parent != Path() or path.is_file() or path.suffix not in ("", ".toml"):
        return path
    known = pipelines()
    if path.stem in known:
        return known[path.stem]
    if path.suffix or path.is_dir():
        return path
    local = sorted(file.name for file in Path().glob("*.toml"))
    raise ConfigError(f"{path}: no such pipeline file or bundled pipeline{suggest(path.name, [*known, *local])}")


def title(path: Path) -> str:
    """The title of a pipeline file: the comment in its first line, or ""."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.removeprefix("#").strip() if first.startswith("#") else ""
