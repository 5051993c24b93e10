"""`textpipe new`: write a commented pipeline file for the user's data, checked against it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.cache.store import write_atomically
from textpipe.config import plugins, sections
from textpipe.data.rows import SURROGATE
from textpipe.errors import ColumnError, ConfigError, DataError
from textpipe.pipeline import column_advice, columns_option, shell_text, templates
from textpipe.pipeline.toml_text import toml

MAX_ROWS_READ = 200_000  # rows read to estimate the size of the data
MANY_ROWS = 5_000  # from this many rows on, validate on a smaller share

SUGGEST = "suggest"  # the template of tasks whose answers are suggestions
COVERAGE = 0.2
SAVED_MODELS = Path("saved_models")
# Columns of a mailbox that are known when a mail arrives.
MAIL_FIELDS = "text=subject+body,numbers=recipients+is_reply+from_list+known_sender"

Files = Path | list[Path] | dict[str, Any]


def write(
    task: str,
    files: Files,
    columns: str,
    path: Path,
    *,
    format: str | dict[str, Any] | None = None,
    header: bool = True,
    encoding: str | None = None,
    on_bad_rows: str = "error",
    trigger: Path | None = None,
) -> None:
    """Write a pipeline file for a task and data files; never overwrites a file.

    files: a file or folder, a list of them, or either by split, as in [ingest]; parallel line files are a list of files that
    differ in their last suffix. columns: "text=message,label=wants_reply", where a field not listed is the column of its
    own name, or "text=subject+body,numbers=recipients,label=answered", which makes fields of columns
    (pipeline/columns_option.py); numbers from 0 for files without a header. Reads the rows, to reject unknown columns and
    to fit the settings to their number; a row that ingest would refuse raises its error, unless on_bad_rows is "drop". trigger: the pipeline file of the classifier that decides which messages get replies.
    Raises ConfigError and DataError.
    """
    chosen = columns_option.parse_columns(task, columns, numbers=not header)
    module, mapping = chosen.module, chosen.columns
    fields = module.FIELDS
    if path.exists():
        raise ConfigError(f"{path}: exists already; give another path with --output")
    ingest = {"files": to_plain(files), "columns": mapping}
    kind = (format["kind"] if isinstance(format, dict) else format) or guess_format(files)
    if not header:
        if kind not in ("tsv", "csv"):
            raise ConfigError(
                f"--header none: only TSV and CSV files have a header, and these are {kind or 'of an unknown format'}"
            )
        ingest["format"] = {**(format if isinstance(format, dict) else {"kind": kind}), "header": False}
    elif format:
        ingest["format"] = format
    if encoding:
        ingest["encoding"] = encoding
    if on_bad_rows != "error":
        ingest["on_bad_rows"] = on_bad_rows
    senders = senders_of(module, format)
    if senders == "kept":
        ingest["keep"] = ["sender"]
    missing = [name for name in ("valid", "test") if not (isinstance(files, dict) and name in files)]
    ingest["split"] = dict.fromkeys(missing, 0.1)
    stage = plugins.find("stages", "ingest")
    section = sections.check(str(path), {"ingest": stage.Config}, {"task": chosen.task_line, "ingest": ingest})[
        "ingest"
    ]
    try:
        measured = measure(section, fields, stage.required_columns(section, fields))
    except ColumnError as error:
        of_columns = isinstance(chosen.task, dict)
        raise column_advice.explain(error, section, fields, header=header, chosen=of_columns) from None
    size = replace(measured, senders=senders)
    labelled = next((field for field in fields if field.side == "target" and hasattr(field.cells, "names")), None)
    one_label = labelled and not hasattr(
        labelled.cells, "join"
    )  # a cell; several labels of a row may differ from those of all others
    if labelled and one_label and missing and 1 < size.classes == size.rows:
        target = labelled.name
        raise DataError(
            f"{target}: each of the {size.classes:,} rows has a label of its own in column {mapping.get(target, target)!r}, so none "
            f"can be learned; choose another column as {target} with --columns"
        )
    # With many rows, a twentieth is enough for validation.
    split = ingest["split"] = {name: 0.05 if name == "valid" and size.rows >= MANY_ROWS else 0.1 for name in missing}
    size.valid = (
        round(size.rows * split["valid"]) if "valid" in split else MANY_ROWS
    )  # a file of its own is taken to suffice
    size.rows = round(size.rows * (1 - sum(split.values())))
    write_tables = getattr(module, "template", None) or getattr(templates, module.TEMPLATE)
    tables = write_tables(size, module, mail=kind in ("mail", "threads") or getattr(module, "OF_MAIL", False))
    lines = [
        f"# textpipe run {shell_text.word(str(path))}",
        *task_lines(chosen.task, [field.name for field in fields]),
        "seed = 1",
        "",
        "[ingest]",
        *(f"{key} = {toml(value)}" for key, value in ingest.items() if value and key != "split"),
        *([] if mapping else ['# columns = { FIELD = "COLUMN" }']),
        *([f"split = {toml(split)}  # by a hash of the source text: equal texts stay together"] if split else []),
        "",
        tables,
    ]
    if trigger:
        lines += [
            "[answer]",
            f"trigger = {toml(str(SAVED_MODELS / trigger.stem))}   # first: textpipe run {shell_text.word(str(trigger))}",
            f"coverage = {COVERAGE}                      # the share of mails that get suggestions",
            "",
        ]
    text = "\n".join(lines)
    if surrogate := SURROGATE.search(text):
        line = text[: surrogate.start()].rpartition("\n")[2] + text[surrogate.start() :].partition("\n")[0]
        raise ConfigError(
            f"{line.encode(errors='backslashreplace').decode()}: a pipeline file is UTF-8, and this name is not; rename the file or column"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def suggests(task: str) -> bool:
    """Whether a task's answers are suggestions, which a trigger may withhold."""
    return plugins.find("tasks", task).TEMPLATE == SUGGEST


def senders_of(task: ModuleType, format: str | dict[str, Any] | None) -> str:
    """Who wrote the replies, as in templates.Size.senders: an address in `me` is one person, a domain may be many."""
    if task.TEMPLATE != SUGGEST or not isinstance(format, dict) or format["kind"] != "threads":
        return "unknown"
    me = format.get("me", [])
    return "own" if me and not any(address.startswith("@") for address in me) else "kept"


def task_lines(task: str | dict[str, Any], names: Sequence[str]) -> list[str]:
    """The lines of `task`, with its fields in a comment: behind a name, above a table."""
    comment = f"# a row has: {', '.join(names)}"
    return (
        [f"task = {toml(task)}                   {comment}"]
        if isinstance(task, str)
        else [comment, f"task = {toml(task)}"]
    )


def mailbox_options(
    task: str, mailbox: Sequence[Path], me: Sequence[str], columns: str, *, others: bool
) -> tuple[dict[str, Any], str]:
    """`format` of [ingest] and the columns for --mbox and --me; others: whether options of other data were given.

    A task with the fields message and reply reads only mails that were answered: the body as message, or, where it may have other
    fields, subject, body and what the headers say.
    """
    if not mailbox or others:
        problem = "--me: belongs to --mbox" if not mailbox else "--mbox: --data, --train or --format was given as well"
        raise ConfigError(f"{problem}; give a mailbox with --mbox, and nothing else to read")
    options: dict[str, Any] = {"kind": "threads", **({"me": list(me)} if me else {})}
    module = plugins.find("tasks", task)
    if {"message", "reply"} <= {field.name for field in module.FIELDS}:
        default_columns = f"{MAIL_FIELDS},reply=reply" if hasattr(module, "choose_fields") else "message=body"
        return {**options, "unanswered": "drop"}, columns or default_columns
    return options, columns


def write_trigger(mailbox: Files, me: Sequence[str], path: Path) -> None:
    """Write the pipeline file of a classifier that predicts which mails of a mailbox are answered."""
    form = {"kind": "threads", **({"me": list(me)} if me else {})}
    write("classify", mailbox, f"{MAIL_FIELDS},label=answered", path, format=form)


def arrange_files(data: Sequence[Path], train: Sequence[Path], valid: Sequence[Path], test: Sequence[Path]) -> Files:
    """`files` of [ingest] from the command line's options: all rows (data), or those of each split."""
    if bool(data) == bool(train):
        both = "both were given" if data else "neither was given"
        raise ConfigError(
            f"FILES, --train: {both}; give all rows as FILES (or --data), or the training rows with --train"
        )
    if data and not (valid or test):
        return data[0] if len(data) == 1 else list(data)
    by_split = {"train": train or data, "valid": valid, "test": test}
    return {split: paths[0] if len(paths) == 1 else list(paths) for split, paths in by_split.items() if paths}


def guess_format(files: Files) -> str | None:
    """The format of the files, guessed from their names; see sources.infer_format."""
    from textpipe.data import sources

    return sources.infer_format(to_plain(files))


def measure(section: Any, fields: Sequence[Any], columns: list[str | int]) -> templates.Size:
    """Count the training rows, up to MAX_ROWS_READ, without those that are too long, the mean length of their texts, and their labels. The first rows of other splits are
    read to check their columns. Raises DataError when a file is missing, empty or lacks a column, or has a row that ingest refuses."""
    from textpipe.data import sources
    from textpipe.data.cleaning import RareLabels

    size = templates.Size()
    names = [field.name for field in fields]
    characters, words = [0] * len(names), [0] * len(names)
    classes: set[Any] = set()
    label = next(
        (at for at, field in enumerate(fields) if field.side == "target" and hasattr(field.cells, "names")), None
    )
    reader = plugins.find("stages", "ingest").new_reader(section, RareLabels(1, None))
    reader.repairs.drop_option = "--on-bad-rows drop"
    for split, origin in sources.locate(None, section.files, section.format, columns).items():
        for source in origin:
            for rows in sources.read(source, section.format, reader.repairs, columns, split):
                reader.clean(replace(rows, columns=list(rows.columns)), open_files=False)
                if split == "train":
                    # Rows that ingest drops for their length, which would outweigh all others.
                    cells = zip(*rows.columns[: len(names)], strict=True)
                    short_rows = [
                        row for row in cells if all(len(text or "") <= section.max_characters for text in row)
                    ]
                    size.rows += len(short_rows)
                    for at, column in enumerate(zip(*short_rows, strict=True)):
                        characters[at] += sum(len(text or "") for text in column)
                        words[at] += sum(len((text or "").split()) for text in column)
                        if at == label:
                            classes.update(name for cell in column for name in class_names(fields[at], cell or ""))
                    if size.rows >= MAX_ROWS_READ:
                        break
                elif len(rows):
                    break
    size.classes = len(classes)
    count = max(1, size.rows)
    size.characters = {name: total / count for name, total in zip(names, characters, strict=True)}
    size.words = {name: total / count for name, total in zip(names, words, strict=True)}
    return size


def class_names(field: Any, cell: str) -> tuple[str, ...]:
    """The classes that a cell names; none for one that ingest refuses."""
    try:
        return tuple(field.cells.names(field.cells.parse(cell)))
    except ValueError:
        return ()


def to_plain(files: Files) -> Any:
    """Files as in a pipeline file: strings, lists and tables."""
    if isinstance(files, dict):
        return {name: to_plain(value) for name, value in files.items()}
    return [to_plain(file) for file in files] if isinstance(files, list) else str(files)
