"""Statistics of ingest: stats.json and its summary for the terminal."""

import logging
from collections.abc import Mapping
from typing import Any

from textpipe.config import plugins
from textpipe.data import shards
from textpipe.data.rows import Repairs
from textpipe.data.splits import Split
from textpipe.errors import join_names

log = logging.getLogger(__name__)

REPAIRS = {
    "empty_rows": "empty rows dropped",
    "bad_rows": "malformed rows dropped",
    "filtered_rows": "rows excluded by filter",
    "too_long_rows": "rows dropped for their length",
    "cut_rows": "rows cut for their length",
    "invalid_utf8_rows": "rows with bytes that are not UTF-8",
    "invalid_utf8_bytes": "bytes that are not UTF-8",
    "nul_characters": "NUL characters removed",
    "not_finite_numbers": "non-finite numbers (NaN, infinity) read as empty",
    "rare_label_rows": "rows with labels rarer than min_count",
    "unlearned_rows": "rows excluded from valid and test because max_rows left train without their labels",
}
# Reported only if nonzero.
MAIL_REPAIRS = {
    "mended_headers": "mail headers and boundaries repaired",
    "plain_text_in_base64": "mails with plain text inside base64",
    "unknown_charsets": "mail texts with an unknown charset",
    "footers_left_out": "mailing list footers removed",
    "html_beside_plain": "HTML parts skipped in favor of plain text",
    "stray_texts": "mails without a displayable part, read from text outside their parts",
    "not_mails": "files or messages without mail headers dropped",
    "cut_mails": "mails of which only the first 8 MB were read",
    "too_deep": "mails without text, because their parts are nested too deeply",
    "duplicate_mails": "further copies of mails dropped",
    "bounces": "bounces dropped",
    "auto_replies": "automatic answers dropped",
    "invitations": "calendar invitations dropped",
    "digests": "digests of mailing lists dropped",
    "missing_starts": "answers to mails that are not in the mailbox",
    "threaded_by_subject": "answers matched by their subject, as they name no mail",
    "cycles": "cycles of mails that answer each other broken",
    "follow_ups": "answers to the writer's own mail, not counted as answers",
    "own_mails": "own mails that answer no message here dropped",
    "further_answers": "second and later answers to a message dropped",
    "unanswered_mails": "messages without an answer dropped",
}


def log_repairs(source: object, repairs: Repairs) -> None:
    """Log repairs of rows for which no stats.json is written."""
    lines = [f"{(REPAIRS | MAIL_REPAIRS)[name]}: {count:,}" for name, count in repairs.counts.items() if count]
    if lines:
        log.warning("%s: %s", source, "; ".join(lines))


def build_stats(splits: Mapping[str, Split], rows_read: Mapping[str, int], repairs: Repairs) -> dict[str, Any]:
    """Build the content of stats.json; rows_read: rows read for each split, before any were dropped."""
    names = [name for name in shards.SPLITS if name in splits]
    train = splits["train"]
    return {
        "rows_read": {name: rows_read[name] for name in names if name in rows_read},
        "repairs": {
            name: repairs.counts[name] for name in (*REPAIRS, *MAIL_REPAIRS) if name in REPAIRS or repairs.counts[name]
        },
        "splits": {name: splits[name].table() for name in names},
        "leakage": {name: splits[name].leakage(train) for name in names if name != "train"},
        "encodings": {
            path: {"encoding": encoding.name, "guessed": encoding.guessed}
            for path, encoding in sorted(repairs.encodings.items())
        },
    }


def summary(stats: Mapping[str, Any]) -> str:
    """Format stats.json for the terminal: a table of splits, a line per field, a line per kind of repair."""
    lines = [f"{'split':<7}{'rows':>11}{'duplicates':>12}{'conflicts':>11}{'in train':>10}"]
    for name, split in stats["splits"].items():
        shown = f"{stats['leakage'][name]['rows']:,}" if name in stats["leakage"] else "-"
        lines.append(f"{name:<7}{split['rows']:>11,}{split['duplicates']:>12,}{split['conflicts']:>11,}{shown:>10}")
    for name, profile in stats["splits"]["train"]["fields"].items():
        lines.append(f"{name}: {plugins.find('kinds', profile['kind']).line(profile)}")
    lines += [f"{(REPAIRS | MAIL_REPAIRS)[name]}: {count:,}" for name, count in stats["repairs"].items() if count]
    for name, split in stats["splits"].items():
        if split["leaks_dropped"]:
            others = {"train": "valid or test", "valid": "test", "test": "valid"}[name]
            lines.append(f"{name} rows dropped because their source text is in {others}: {split['leaks_dropped']:,}")
    for name, leakage in stats["leakage"].items():
        if leakage.get("held_out"):
            other = "test" if name == "valid" else "valid"
            lines.append(f"{name} rows whose source text is in {other}: {leakage['held_out']:,}")
    for path, encoding in stats.get("encodings", {}).items():
        lines.append(f"{path}: read as {encoding['encoding']}" + (" (guessed)" if encoding["guessed"] else ""))
    rare = stats.get("rare_labels")
    if rare and rare["labels"]:
        action = f"merged into {rare['merged_into']!r}" if rare["merged_into"] is not None else "dropped"
        lines.append(
            f"{num_labels(rare['labels'])} with fewer rows than {rare['min_count']} {action}: {labels_with_rows(rare['labels'])}"
        )
    for name, labels in stats.get("labels_in_train_only", {}).items():
        lines.append(f"{num_labels(labels)} too rare for {name}, only in train: {labels_with_rows(labels)}")
    return "\n".join(lines)


def num_labels(labels: Mapping[str, int]) -> str:
    """ "1 label", "2 labels"."""
    return f"{len(labels):,} label{'' if len(labels) == 1 else 's'}"


def labels_with_rows(labels: Mapping[str, int]) -> str:
    """List labels with their numbers of rows, thirty at most: "later (1), never (1) and 20 more"."""
    return join_names(f"{name} ({rows:,})" for name, rows in labels.items())
