"""Locate the files or dataset that rows come from, as sources per split, and read them by their format."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Plugin, Section
from textpipe.data import catalog, shards, text_file
from textpipe.data.rows import Repairs, Rows
from textpipe.errors import DataError, suggest

Source = Path | dict[str, Path]  # a file or folder, or {column: file} for parallel line files

PACKAGE = "data.formats"

log = logging.getLogger(__name__)


def infer_format(files: Any) -> str | None:
    """Guess the format from the first file's name: "mail.tsv.gz" -> "tsv"; {"en": ..., "de": ...} -> "lines".

    Returns None if the name does not tell; `locate` then raises DataError.
    """
    if isinstance(files, dict) and files and set(files) <= set(shards.SPLITS):
        return infer_format(next(iter(files.values())))
    if isinstance(files, dict) and files:
        return "lines"
    if isinstance(files, list) and files:
        return infer_format(files[0]) or ("lines" if len(files) > 1 and are_parallel(files) else None)
    if not isinstance(files, str | Path):
        return None
    path = Path(files)
    if path.is_dir():
        return "mail"
    suffix = Path(text_file.strip_compression(path)).suffix.lower()
    for name in plugins.names(PACKAGE):
        if suffix in plugins.find(PACKAGE, name).SUFFIXES:
            return name
    return None


def format_options(path: Path, form: Any, *, given: bool) -> Section:
    """Validate a format's options; given: set by the caller, not guessed from the name. Raises DataError."""
    try:
        return Plugin.check(PACKAGE, form)
    except ValueError as error:
        reason = (
            f"--format: {error}" if given else f"the format cannot be inferred from the name; give --format ({error})"
        )
        raise DataError(f"{path}: {reason}") from None


def find_mismatched_file(files: Any) -> str | None:
    """Return the first file whose name suggests another format than the first file's, or None.

    Parallel line files are not compared.
    """
    if isinstance(files, dict):
        groups = files.values() if set(files) <= set(shards.SPLITS) else ()
        paths = [path for group in groups for path in (group if isinstance(group, list) else [group])]
    else:
        paths = files if isinstance(files, list) and not are_parallel(files) else []
    kinds = [(path, infer_format(path)) for path in paths if isinstance(path, str | Path)]
    first = next((kind for _, kind in kinds if kind), None)
    return next((str(path) for path, kind in kinds if kind not in (None, first)), None)


def are_parallel(files: Sequence[Any]) -> bool:
    """Whether paths differ only in their last suffix, such as train.en.gz and train.de.gz."""
    if not all(isinstance(path, str | Path) for path in files):
        return False
    names = [Path(path).parent / text_file.strip_compression(Path(path)) for path in files]
    return len({name.with_suffix("") for name in names}) == 1 and len({name.suffix for name in names}) == len(names)


def locate(
    dataset: str | None, files: Any, options: Section | None, columns: Sequence[str | int]
) -> dict[str, list[Source]]:
    """Return {split: sources}; files without splits are train. Downloads a dataset's files for the requested columns."""
    if dataset is not None:
        files = dataset_files(dataset, columns)
    if options is None:
        first = catalog.split_paths(paths_to_strings(files))
        kinds = ", ".join(plugins.names(PACKAGE))
        raise DataError(
            f"{first[0] if first else 'files'}: the format cannot be inferred from the name; set format to one of {kinds}"
        )
    by_split = files if isinstance(files, dict) and set(files) <= set(shards.SPLITS) and files else {"train": files}
    keys = getattr(options, "keys", None)
    if by_split.keys() == {"train"} and isinstance(keys, dict) and "train" in keys:
        by_split = dict.fromkeys(keys, by_split["train"])  # one document that contains all splits
    if isinstance(files, dict) and set(files) & set(shards.SPLITS) and not set(files) <= set(shards.SPLITS):
        unknown = min(set(files) - set(shards.SPLITS))
        raise DataError(f"files.{unknown}: no such split{suggest(unknown, shards.SPLITS)}")
    origin = {split: split_sources(value, options) for split, value in by_split.items()}
    if "train" not in origin:
        raise DataError(f"files: no train split, only {', '.join(sorted(origin))}; give files.train")
    for sources in origin.values():
        for source in sources:
            for path in source.values() if isinstance(source, dict) else [source]:
                text_file.check_exists(path)
    if dataset is None:
        check_distinct(origin, options)
    return origin


def check_distinct(origin: dict[str, list[Source]], options: Section) -> None:
    """Raise DataError for a file that is read twice for a split, whose rows would count twice; warn of one that is read for two splits.

    Files that differ in one column are distinct: several translations of a text, for example. So are the splits of a format
    whose files hold several.
    """
    module = plugins.find(PACKAGE, getattr(options, "kind", ""))
    seen: dict[tuple[object, ...], str] = {}
    for split, files in origin.items():
        read_as = module.for_split(options, split).model_dump_json() if hasattr(module, "for_split") else ""
        for source in files:
            paths = list(source.values()) if isinstance(source, dict) else [source]
            mailbox = getattr(module, "ONE_SOURCE", False)
            for group in [[path] for path in paths] if mailbox else [paths]:
                key = (read_as, *(path.resolve() for path in group))
                other, name = seen.get(key), ", ".join(map(str, group))
                if other == split:
                    raise DataError(
                        f"{name}: is named twice for {split}, so that its rows would count twice; name it once"
                    )
                if other is not None:
                    result = (
                        "which measures the model on rows it was trained on"
                        if "train" in (other, split)
                        else "whose results will be the same"
                    )
                    log.warning("%s: is named for %s and for %s, %s", name, other, split, result)
                seen[key] = split


def dataset_files(name: str, columns: Sequence[str | int]) -> dict[str, Any]:
    """Return a card's splits with the paths of their files on disk."""
    card = catalog.load_card(name)
    if not card.splits:
        raise DataError(f"dataset {name!r} has no readable split: {card.recipe or card.homepage}")

    def select(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        text_file.column_indices(f"dataset {name!r}", list(value), columns)
        numbered = list(value)
        return {key: value[key] for key in (numbered[w] if isinstance(w, int) else w for w in columns)}

    splits = {split: select(value) for split, value in card.splits.items()}
    root = catalog.get(name, only=catalog.split_paths(splits))

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: resolve(item) for key, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else root / value

    return resolve(splits)


def paths_to_strings(files: Any) -> Any:
    """Convert paths to strings, as catalog.split_paths expects."""
    if isinstance(files, dict):
        return {key: paths_to_strings(value) for key, value in files.items()}
    return [paths_to_strings(value) for value in files] if isinstance(files, list) else str(files)


def split_sources(value: Any, options: Section) -> list[Source]:
    """Return the sources of one split.

    A list of line files is one source with columns named by the files' suffixes. {"en": [a, b], "de": [c, d]} gives two
    sources, the pairs (a, c) and (b, d). A format with ONE_SOURCE reads a list of files as one source, {"0": a, "1": b}.
    Raises DataError for duplicate suffixes and lists of unequal length.
    """
    kind = getattr(options, "kind", "")
    lines = kind == "lines"
    if isinstance(value, list) and getattr(plugins.find(PACKAGE, kind), "ONE_SOURCE", False):
        return [{str(number): path for number, path in enumerate(value)}]
    if isinstance(value, list) and lines and len(value) > 1:
        columns = [
            Path(text_file.strip_compression(path)).suffix.removeprefix(".") or str(k) for k, path in enumerate(value)
        ]
        duplicate = next((name for name in columns if columns.count(name) > 1), None)
        if duplicate is not None:
            raise DataError(
                f"{value[columns.index(duplicate)]}: {columns.count(duplicate)} files have the suffix .{duplicate}, which names a column "
                'of format = "lines"; name the columns: files = { COLUMN = FILE, ... }'
            )
        return [dict(zip(columns, value, strict=True))]
    if isinstance(value, dict):
        if not lines:
            raise DataError(
                f'files: {{ {", ".join(value)} }} are columns, but only format = "lines" reads columns from separate files; set format, or give one file per split'
            )
        lists = {name: paths if isinstance(paths, list) else [paths] for name, paths in value.items()}
        lengths = {name: len(paths) for name, paths in lists.items()}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise DataError(f"files: {counted}; give each column equally many files, in the same order")
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return list(value) if isinstance(value, list) else [value]


def read(
    source: Source, options: Section, repairs: Repairs, columns: Sequence[str | int], split: str
) -> Iterator[Rows]:
    """Yield the requested columns of one source; `options` determines the format."""
    kind: str = options.kind
    module = plugins.find(PACKAGE, kind)
    if hasattr(module, "for_split"):
        options = module.for_split(options, split)
    return module.read(source, options, repairs, columns)
