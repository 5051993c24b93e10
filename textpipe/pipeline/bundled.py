"""Pipeline files by bare name: those in ./pipelines, and those that come with textpipe, when no such file exists.

    find("mails") -> pipelines/mails.toml
    find("mail_reply_or_not") -> .../pipelines/mail_reply_or_not.toml

In a checkout they are in pipelines/ next to the package; a wheel has a copy of that folder inside the package.
"""

from pathlib import Path

from textpipe.errors import ConfigError, suggest

HOME = Path(__file__).parents[1]
LOCAL = Path("pipelines")  # in the working directory
FOLDERS = (HOME / "pipelines", HOME.parent / "pipelines")


def pipelines() -> dict[str, Path]:
    """{name: pipeline file}, sorted by name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}


def named(name: str) -> Path | None:
    """The pipeline file of a bare name, in ./pipelines or else bundled; None if there is none."""
    local = LOCAL / f"{name}.toml"
    return local if Path(name).name == name and local.is_file() else pipelines().get(name)


def find(path: str | Path) -> Path:
    """The path itself, or the local or bundled pipeline of that name if it is a bare name without a folder.

    An existing file comes first. Raises ConfigError for a name without suffix that is neither.
    """
    path = Path(path)
    if path.parent != Path() or path.is_file() or path.suffix not in ("", ".toml"):
        return path
    if (file := named(path.stem)) is not None:
        return file
    if path.suffix or path.is_dir():
        return path
    local = [*(file.name for file in Path().glob("*.toml")), *(file.stem for file in LOCAL.glob("*.toml"))]
    raise ConfigError(f"{path}: no such pipeline file or bundled pipeline{suggest(path.name, {*pipelines(), *local})}")


def title(path: Path) -> str:
    """The title of a pipeline file: the comment in its first line, or ""."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.removeprefix("#").strip() if first.startswith("#") else ""
