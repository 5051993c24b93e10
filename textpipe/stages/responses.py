"""The response set: which replies may be suggested.

Reads ingest. Writes responses.tsv (see answers/_response_set.py) and stats.json: how many replies there were, and how many each filter
left out.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from textpipe.config.chosen_fields import TaskName
from textpipe.config.sections import Section
from textpipe.errors import DataError
from textpipe.stages import _text_columns

INPUTS = ("ingest",)


class Config(Section):
    """[responses]

    file: a response set that is used as it is, such as an edited responses.tsv; the other keys then have no effect.
    min_senders: how many different people must have written a reply (k-anonymity); where rows have no sender, each row counts as a
    person. blocked: words and phrases that no suggestion may hold.
    """

    task: Annotated[TaskName, AfterValidator(_text_columns.validate_task)]
    file: Path | None = None
    max_size: int = Field(2000, ge=2, le=100_000)  # responses at most
    min_count: int = Field(2, ge=1)  # training rows that must hold a reply, in any wording
    min_senders: int = Field(5, ge=1)
    max_words: int = Field(15, ge=1)  # of a response
    blocked: list[str] = []


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write the response set; raises DataError when none is left, or when the given file is not one."""
    from textpipe.answers import _response_set
    from textpipe.stages._response_learning import Learner

    if config.file:
        responses = _response_set.read(config.file)
        stats: dict[str, Any] = {"file": config.file.name}
    else:
        learner = Learner()
        learner.add(replies(config, inputs["ingest"]))
        responses, stats = learner.chosen(
            max_size=config.max_size, min_count=config.min_count, min_senders=config.min_senders,
            max_words=config.max_words, blocked=config.blocked,
        )  # fmt: skip
        if len(responses) < 2:
            counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in stats.items())
            raise DataError(
                f"[responses] expected at least two replies that may be suggested, found {len(responses)} ({counts}); "
                "lower min_count or min_senders, or raise max_words"
            )
    _response_set.write(output / _response_set.FILE, responses)
    stats = {"responses": len(responses), "covered": sum(one.count for one in responses), **stats}
    (output / "stats.json").write_text(json.dumps(stats, indent=1, ensure_ascii=False), encoding="utf-8")


def replies(config: Config, folder: Path) -> Iterator[tuple[str, str]]:
    """(reply, sender) of each training row; the sender is "" where the rows have none."""
    from textpipe.data import shards

    target = next(field.name for field in _text_columns.fields_of(config.task) if field.side == "target")
    for batch in shards.read(folder, "train", (target,)):
        for text in batch.column(target).to_pylist():
            yield text, ""


def summary(output: Path) -> str:
    """How many responses, what share of the training replies they stand for, and what was left out."""
    stats = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    if "file" in stats:
        return f"{stats['responses']:,} responses from {stats['file']}"
    left = {
        name: stats[name]
        for name in ("rare", "few_senders", "long", "private", "blocked", "beyond_max_size")
        if name in stats
    }
    share = stats["covered"] / max(1, stats["rows"])
    lines = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in left.items())
    return f"{stats['responses']:,} responses, which {share:.1%} of {stats['rows']:,} replies mean; left out: {lines or 'none'}"
