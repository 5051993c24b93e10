"""The pipeline files that come with textpipe: found by their bare name where no file of that name is.

    find("mail_reply_or_not") -> .../pipelines/mail_reply_or_not.toml

In a checkout they are pipelines/ beside the package; a wheel carries a copy of that folder inside the package.
"""

from pathlib import Path

from textpipe.errors import ConfigError, suggest

HOME = Path(__file__).parents[1]
FOLDERS = (HOME / "pipelines", HOME.parent / "pipelines")


def places() -> dict[str, Path]:
    """{name: pipeline file}, sorted by name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}


def find(path: str | Path) -> Path:
    """A path as it was given, or the bundled pipeline that a bare name without a folder stands for.

    A file of that name comes first. Raises ConfigError for a name without suffix that is neither.
    """
    path = Path(path)
    if path.parent != Path() or path.is_file() or path.suffix not in ("", ".toml"):
        return path
    known = places()
    if path.stem in known:
        return known[path.stem]
    if path.suffix or path.is_dir():
        return path
    near = sorted(other.name for other in Path().glob("*.toml"))
    raise ConfigError(
        f"{path}: no such pipeline file, and no bundled pipeline of this name{suggest(path.name, [*known, *near])}"
    )


def title(path: Path) -> str:
    """What a pipeline file says of itself in its first line, which is a comment."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.removeprefix("#").strip() if first.startswith("#") else ""
