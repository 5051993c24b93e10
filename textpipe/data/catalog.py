"""Dataset cards: what a data set is, where its files come from, and whether those on disk are the right ones.

A card is data/cards/NAME.toml:

    title, description, licence, homepage, notes = [...]
    kind = "public"                     # has URLs; or "derived" (made from public files, see recipe), or "bundled"
    recipe = "..."                      # how a derived file is made
    format = { kind = "lines" }         # as [ingest] format
    [columns]                           # name -> what it holds
    [splits]                            # as [ingest] files, with paths of [[files]]
    train = { en = "multi30k/train.en.gz", de = "multi30k/train.de.gz" }
    [[files]]
    path = "multi30k/train.en.gz"       # below TEXTPIPE_DATA, and below data/downloads/multi30k
    url = "https://..."
    member = "..."                      # when the URL is a zip archive: the file in it
    sha256 = "..."
    also = ["..."]                      # sums of other faithful copies, for example with other line ends
    bytes = 568929

Cards are looked for in ./data/cards, then in those that come with textpipe. Only the standard library is used.
"""

import itertools
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textpipe.data.download import MIRROR, File, Progress, fetch, checksum_error
from textpipe.errors import DataError, suggest

DOWNLOADS = Path("data/downloads")


@dataclass(frozen=True)
class Card:
    """A data set's card; `place` is the file it was read from."""

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
        """The entry of a path."""
        return next(file for file in self.files if file.path == path)


def card_folders() -> list[Path]:
    """Where cards are looked for: the working directory's first, then those that come with textpipe."""
    home = Path(__file__).parents[1]
    return [Path("data/cards"), home.parent / "data/cards", home / "cards"]


def card_paths() -> dict[str, Path]:
    """{name: card file}; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for folder in card_folders():
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def names() -> list[str]:
    """Names of all known data sets."""
    return list(card_paths())


def card(name: str) -> Card:
    """The card of a data set; raises DataError with a suggestion when there is none, or the card is not sound."""
    known = card_paths()
    if name not in known:
        raise DataError(f"unknown dataset {name!r}{suggest(name, known)}; `textpipe data list` describes them")
    place = known[name]
    try:
        table = tomllib.loads(place.read_text(encoding="utf-8"))
        files = tuple(File(**{**entry, "also": tuple(entry.get("also", ()))}) for entry in table.pop("files"))
        table["notes"] = tuple(table.get("notes", ()))
        found = Card(name=name, place=place, files=files, **table)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{place}: not a sound dataset card: {error}; textpipe/data/catalog.py says what a card holds"
        ) from None
    if found.kind not in ("public", "derived", "bundled"):
        raise DataError(f'{place} kind: expected "public", "derived" or "bundled", found {found.kind!r}')
    stray = set(split_paths(found.splits)) - {file.path for file in files}
    if stray:
        raise DataError(f"{place} [splits]: {', '.join(sorted(stray))} is not among [[files]]")
    return found


def split_paths(splits: Any) -> list[str]:
    """Every path below a card's splits."""
    if isinstance(splits, str):
        return [splits]
    parts = splits.values() if isinstance(splits, dict) else splits
    return [path for part in parts for path in split_paths(part)]


def bundled(of: Card) -> list[Path]:
    """The files of a bundled data set, which lie beside the cards' folder; none of any other data set."""
    root = of.place.parent.parent
    return [root / file.path for file in of.files] if of.kind == "bundled" else []


def root_of(of: Card) -> Path:
    """The folder that the paths of a card's files are relative to, whether they are there or not."""
    mirror = os.environ.get(MIRROR)
    if of.kind == "bundled":
        return of.place.parent.parent
    return Path(mirror) if mirror else DOWNLOADS / of.name


def folder_of(of: Card) -> Path:
    """The innermost folder that holds all files of a data set: data/mail of data/mail/train.jsonl and its like."""
    parents = [file.path.split("/")[:-1] for file in of.files]
    alike = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*parents, strict=False))
    common = [names[0] for names in alike]
    return root_of(of).joinpath(*common)


def get(name: str, progress: Progress | None = None, only: Iterable[str] | None = None) -> Path:
    """Have a data set's files on disk, each with its checksum, and return the folder their paths are relative to.

    TEXTPIPE_DATA, when set, names a folder that is read in place instead of the network. Else files are downloaded to
    data/downloads/NAME; a transfer that broke off goes on where it stopped. only: paths to get, all when None.
    progress(path, bytes so far, bytes in all) is called during downloads. Raises DataError.
    """
    of = card(name)
    wanted = [file for file in of.files if only is None or file.path in set(only)]
    if of.kind == "bundled":
        root = of.place.parent.parent
        for file in wanted:
            if not (root / file.path).is_file():
                raise DataError(
                    f"{root / file.path}: missing; it comes with the project's repository: check it out again"
                )
            verify(root / file.path, file)
        return root
    mirror = os.environ.get(MIRROR)
    if mirror:
        root = Path(mirror)
        for file in wanted:
            if not (root / file.path).is_file():
                raise DataError(
                    f"{root / file.path}: no such file in the folder {MIRROR} names; add it, or unset {MIRROR}"
                )
            verify(root / file.path, file)
        return root
    root = DOWNLOADS / name
    for file in wanted:
        target = root / file.path
        if target.is_file():
            verify(target, file)
        elif not file.url:
            raise DataError(
                f"{target}: cannot be downloaded, for it is made from other files: {of.recipe or of.homepage} "
                f"Put it there, or set {MIRROR} to a folder that has {file.path}"
            )
        else:
            fetch(file, target, progress)
    return root


def check(name: str) -> list[tuple[Path, str]]:
    """(path, state) of each file of a data set, where `get` would look for it; reads only.

    state: "ok", "missing", or "damaged: SHA-256 ... where the card has ...".
    """
    of = card(name)
    root = root_of(of)
    found = []
    for file in of.files:
        path = root / file.path
        state = "missing"
        if path.is_file():
            fault = checksum_error(path, file)
            state = f"damaged: {fault}" if fault else "ok"
        found.append((path, state))
    return found


def verify(path: Path, file: File) -> None:
    """Raise DataError when a file is not the one the card means."""
    fault = checksum_error(path, file)
    if fault:
        raise DataError(f"{path}: {fault}; remove it and get it again")


__all__ = ["Card", "File", "bundled", "card", "check", "folder_of", "get", "names", "places", "root_of"]
