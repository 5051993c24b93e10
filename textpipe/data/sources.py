"""Where rows come from: files or a dataset card, turned into sources per split and read by their format."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Plugin, Section
from textpipe.data import catalog, shards, text_file
from textpipe.data.rows import Repairs, Rows
from textpipe.errors import DataError, suggest

Source = Path | dict[str, Path]  # a file or folder, or {column: file} for line files side by side

ROOM = "data.formats"


def guess(files: Any) -> str | None:
    """The format of files by the name of the first: "mail.tsv.gz" -> "tsv"; {"en": ..., "de": ...} -> "lines".

    None when it cannot be told; `read` then says so.
    """
    if isinstance(files, dict) and files and set(files) <= set(shards.SPLITS):
        return guess(next(iter(files.values())))
    if isinstance(files, dict) and files:
        return "lines"
    if isinstance(files, list) and files:
        return guess(files[0]) or ("lines" if len(files) > 1 and are_parallel(files) else None)
    if not isinstance(files, str | Path):
        return None
    path = Path(files)
    if path.is_dir():
        return "mail"
    suffix = Path(text_file.strip_compression(path)).suffix.lower()
    for name in plugins.names(ROOM):
        if suffix in plugins.find(ROOM, name).SUFFIXES:
            return name
    return None


def options_of(place: Path, form: Any, *, given: bool) -> Section:
    """A format of data.formats with its settings; given: by the caller, not guessed from the name. Raises DataError."""
    try:
        return Plugin.check(ROOM, form)
    except ValueError as error:
        reason = f"--format: {error}" if given else f"the format cannot be told from the name; give --format ({error})"
        raise DataError(f"{place}: {reason}") from None


def unlike(files: Any) -> str | None:
    """A file whose name tells another format than the first one's, among files that are tables of their own."""
    if isinstance(files, dict):
        parts = files.values() if set(files) <= set(shards.SPLITS) else ()
        paths = [path for part in parts for path in (part if isinstance(part, list) else [part])]
    else:
        paths = files if isinstance(files, list) and not are_parallel(files) else []
    kinds = [(path, guess(path)) for path in paths if isinstance(path, str | Path)]
    first = next((kind for _, kind in kinds if kind), None)
    return next((str(path) for path, kind in kinds if kind not in (None, first)), None)


def are_parallel(files: Sequence[Any]) -> bool:
    """Whether paths differ in their last suffix only: train.en.gz, train.de.gz."""
    if not all(isinstance(path, str | Path) for path in files):
        return False
    names = [Path(path).parent / text_file.strip_compression(Path(path)) for path in files]
    return len({name.with_suffix("") for name in names}) == 1 and len({name.suffix for name in names}) == len(names)


def locate(
    dataset: str | None, files: Any, options: Section | None, wanted: Sequence[str | int]
) -> dict[str, list[Source]]:
    """{split: sources}; files without splits are train. A dataset's files are fetched, those of wanted columns only."""
    if dataset is not None:
        files = dataset_files(dataset, wanted)
    if options is None:
        first = catalog.split_paths(paths_to_strings(files))
        kinds = ", ".join(plugins.names(ROOM))
        raise DataError(
            f"{first[0] if first else 'files'}: the format cannot be told from the name; set format to one of {kinds}"
        )
    given = files if isinstance(files, dict) and set(files) <= set(shards.SPLITS) and files else {"train": files}
    keys = getattr(options, "keys", None)
    if given.keys() == {"train"} and isinstance(keys, dict) and "train" in keys:
        given = dict.fromkeys(keys, given["train"])  # one document that holds every split
    if isinstance(files, dict) and set(files) & set(shards.SPLITS) and not set(files) <= set(shards.SPLITS):
        stray = min(set(files) - set(shards.SPLITS))
        raise DataError(f"files.{stray}: no such split{suggest(stray, shards.SPLITS)}")
    origin = {split: sources_of(value, options) for split, value in given.items()}
    if "train" not in origin:
        raise DataError(f"files: no train split, only {', '.join(sorted(origin))}; give files.train")
    for sources in origin.values():
        for source in sources:
            for path in source.values() if isinstance(source, dict) else [source]:
                text_file.must_exist(path)
    return origin


def dataset_files(name: str, wanted: Sequence[str | int]) -> dict[str, Any]:
    """A card's splits with their files on disk."""
    card = catalog.card(name)
    if not card.splits:
        raise DataError(f"dataset {name!r} has no split that can be read: {card.recipe or card.homepage}")

    def chosen(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        text_file.columns_at(f"dataset {name!r}", list(value), wanted)
        numbered = list(value)
        return {key: value[key] for key in (numbered[w] if isinstance(w, int) else w for w in wanted)}

    splits = {split: chosen(value) for split, value in card.splits.items()}
    root = catalog.get(name, only=catalog.split_paths(splits))

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(part) for key, part in value.items()}
        return [placed(part) for part in value] if isinstance(value, list) else root / value

    return placed(splits)


def paths_to_strings(files: Any) -> Any:
    """Paths as strings, as catalog.split_paths takes them."""
    if isinstance(files, dict):
        return {key: paths_to_strings(value) for key, value in files.items()}
    return [paths_to_strings(value) for value in files] if isinstance(files, list) else str(files)


def sources_of(value: Any, options: Section) -> list[Source]:
    """The sources of one split.

    A list of line files is one source, its columns named by the files' suffixes. {"en": [a, b], "de": [c, d]} is two:
    a beside c, then b beside d. Raises DataError for names and lists that do not allow this.
    """
    lines = getattr(options, "kind", "") == "lines"
    if isinstance(value, list) and lines and len(value) > 1:
        columns = [
            Path(text_file.strip_compression(path)).suffix.removeprefix(".") or str(k) for k, path in enumerate(value)
        ]
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise DataError(
                f"{value[columns.index(twice)]}: {columns.count(twice)} files have the suffix .{twice}, which names a column "
                'of format = "lines"; name the columns: files = { COLUMN = FILE, ... }'
            )
        return [dict(zip(columns, value, strict=True))]
    if isinstance(value, dict):
        if not lines:
            raise DataError(
                f'files: {{ {", ".join(value)} }} are columns, which only format = "lines" reads from files of their own'
            )
        lists = {name: part if isinstance(part, list) else [part] for name, part in value.items()}
        lengths = {name: len(part) for name, part in lists.items()}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            raise DataError(f"files: {counted}; file k of each column must be one table")
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return list(value) if isinstance(value, list) else [value]


def read(source: Source, options: Section, repairs: Repairs, wanted: Sequence[str | int], split: str) -> Iterator[Rows]:
    """The wanted columns of one source, by the format `options` belongs to."""
    kind: str = options.kind
    module = plugins.find(ROOM, kind)
    if hasattr(module, "for_split"):
        options = module.for_split(options, split)
    return module.read(source, options, repairs, wanted)
