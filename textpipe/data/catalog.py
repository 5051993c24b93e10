"""Dataset cards: describe a dataset, locate or download its files, and verify their checksums.

A card is data/cards/NAME.toml:

    title, description, licence, homepage, notes = [...]
    kind = "public"                     # has URLs; or "derived" (built from public files, see recipe), or "bundled"
    recipe = "..."                      # how to build a derived file
    format = { kind = "lines" }         # same as [ingest] format
    [columns]                           # name -> description
    [splits]                            # same as [ingest] files, with paths of [[files]]
    train = { en = "multi30k/train.en.gz", de = "multi30k/train.de.gz" }
    [[files]]
    path = "multi30k/train.en.gz"       # relative to TEXTPIPE_DATA or data/downloads/multi30k
    url = "https://..."
    member = "..."                      # file inside the zip archive at the URL
    sha256 = "..."
    also = ["..."]                      # checksums of equivalent copies, for example with other line endings
    bytes = 568929

Cards are searched in ./data/cards, then among those shipped with textpipe. Uses the standard library only.
"""

import itertools
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textpipe.data.download import MIRROR, File, Progress, checksum_error, fetch
from textpipe.errors import DataError, suggest
from textpipe.runtime import small_file

DOWNLOADS = Path("data/downloads")


@dataclass(frozen=True)
class Card:
    """A dataset card; `place` is the file it was read from."""

    name: str
    place: Path
    title: str
    description: str
    licence: str
    homepage: str
    kind: str
    files: tuple[File, ...]
    splits: dict[str, Any]
    columns: dict[str, str]
    format: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    recipe: str = ""

    def file(self, path: str) -> File:
        """Return the entry of [[files]] with this path."""
        return next(file for file in self.files if file.path == path)


def card_folders() -> list[Path]:
    """Return the folders to search for cards: the working directory's first, then those shipped with textpipe."""
    package = Path(__file__).parents[1]
    return [Path("data/cards"), package.parent / "data/cards", package / "cards"]


def card_paths() -> dict[str, Path]:
    """Return {dataset name: card file}; earlier folders take precedence."""
    paths: dict[str, Path] = {}
    for folder in card_folders():
        for path in sorted(folder.glob("*.toml")):
            paths.setdefault(path.stem, path)
    return dict(sorted(paths.items()))


def dataset_names() -> list[str]:
    """Return the names of all known datasets."""
    return list(card_paths())


def load_card(name: str) -> Card:
    """Load a dataset's card. Raises DataError for an unknown name, with a suggestion, or an invalid card."""
    known = card_paths()
    if name not in known:
        raise DataError(f"unknown dataset {name!r}{suggest(name, known)}; `textpipe data list` lists all datasets")
    path = known[name]
    try:
        table = tomllib.loads(small_file.read_bytes(path).decode("utf-8"))
        files = tuple(File(**{**entry, "also": tuple(entry.get("also", ()))}) for entry in table.pop("files"))
        table["notes"] = tuple(table.get("notes", ()))
        loaded = Card(name=name, place=path, files=files, **table)
    except OSError as error:
        raise DataError(f"{path}: not a dataset card: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a valid dataset card: {error}; see textpipe/data/catalog.py for the format of a card"
        ) from None
    if loaded.kind not in ("public", "derived", "bundled"):
        raise DataError(f'{path} kind: expected "public", "derived" or "bundled", found {loaded.kind!r}')
    unlisted = set(split_paths(loaded.splits)) - {file.path for file in files}
    if unlisted:
        raise DataError(f"{path} [splits]: {', '.join(sorted(unlisted))} is not among [[files]]")
    return loaded


def split_paths(splits: Any) -> list[str]:
    """Return all paths in a card's splits."""
    if isinstance(splits, str):
        return [splits]
    children = splits.values() if isinstance(splits, dict) else splits
    return [path for child in children for path in split_paths(child)]


def bundled_files(dataset: Card) -> list[Path]:
    """Return the files of a bundled dataset, stored next to the folder of cards; [] for other datasets."""
    root = dataset.place.parent.parent
    return [root / file.path for file in dataset.files] if dataset.kind == "bundled" else []


def find_bundled(path: Path) -> Path:
    """The path itself if it exists, else the bundled data file of this name, such as "mail/intents.tsv", if there is one."""
    if path.exists() or path.is_absolute():
        return path
    return next((file for folder in card_folders() if (file := folder.parent / path).is_file()), path)


def root_folder(dataset: Card) -> Path:
    """Return the folder that the card's paths are relative to; it need not exist."""
    mirror = os.environ.get(MIRROR)
    if dataset.kind == "bundled":
        return dataset.place.parent.parent
    return Path(mirror) if mirror else DOWNLOADS / dataset.name


def common_folder(dataset: Card) -> Path:
    """Return the innermost folder that contains all files of a dataset, for example data/mail."""
    parents = [file.path.split("/")[:-1] for file in dataset.files]
    levels = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*parents, strict=False))
    common = [names[0] for names in levels]
    return root_folder(dataset).joinpath(*common)


def get(name: str, progress: Progress | None = None, only: Iterable[str] | None = None) -> Path:
    """Make a dataset's files available on disk, verify their checksums, and return the folder of their paths.

    If TEXTPIPE_DATA is set, files are read from that folder and nothing is downloaded. Otherwise they are downloaded to
    data/downloads/NAME; interrupted downloads are resumed. only: paths to get; all if None.
    progress(path, bytes received, total bytes) is called during downloads. Raises DataError.
    """
    dataset = load_card(name)
    files = [file for file in dataset.files if only is None or file.path in set(only)]
    if dataset.kind == "bundled":
        root = dataset.place.parent.parent
        for file in files:
            if not (root / file.path).is_file():
                raise DataError(
                    f"{root / file.path}: missing; it is part of the project's repository: restore it from git"
                )
            verify(root / file.path, file)
        return root
    mirror = os.environ.get(MIRROR)
    if mirror:
        root = Path(mirror)
        for file in files:
            if not (root / file.path).is_file():
                raise DataError(
                    f"{root / file.path}: no such file in the folder {MIRROR} names; add it, or unset {MIRROR}"
                )
            verify(root / file.path, file)
        return root
    root = DOWNLOADS / name
    for file in files:
        target = root / file.path
        if target.is_file():
            verify(target, file)
        elif not file.url:
            raise DataError(
                f"{target}: cannot be downloaded, because it is built from other files: {dataset.recipe or dataset.homepage} "
                f"Put it there, or set {MIRROR} to a folder that has {file.path}"
            )
        else:
            fetch(file, target, progress)
    return root


def check(name: str) -> list[tuple[Path, str]]:
    """Check a dataset's files without downloading: return (path, state) of each.

    state: "ok", "missing", or "damaged: SHA-256 ... where the card has ...".
    """
    dataset = load_card(name)
    root = root_folder(dataset)
    states = []
    for file in dataset.files:
        path = root / file.path
        state = "missing"
        if path.is_file():
            error = checksum_error(path, file)
            state = f"damaged: {error}" if error else "ok"
        states.append((path, state))
    return states


def verify(path: Path, file: File) -> None:
    """Raise DataError if a file's checksum differs from the card's."""
    error = checksum_error(path, file)
    if error:
        raise DataError(f"{path}: {error}; remove it and download it again")
