"""The response set: which replies may be suggested.

Reads ingest, and the steps of normalize: a reply is suggested as they leave it. Writes responses.tsv (see
answers/_response_set.py) and stats.json: how many replies there were, and how many each filter left out.
"""

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from textpipe.config.chosen_fields import TaskName
from textpipe.config.sections import Section
from textpipe.data import catalog
from textpipe.errors import ConfigError, DataError, suggest
from textpipe.stages import _text_columns
from textpipe.stages._intents import Propagation

if TYPE_CHECKING:
    from textpipe.stages._response_learning import Learner

INPUTS = ("ingest", "normalize")
MAX_SPREAD = 100_000  # responses that intents are spread to


class Config(Section):
    """[responses]

    file: a response set to use unchanged, such as an edited responses.tsv; of the other settings, only intents and propagation then apply.
    min_senders: how many different people must have written a reply (k-anonymity).
    sender: the column that says who wrote a reply, one of [ingest] keep; without it each row counts as a person. A row where it is empty
    may be anybody's and adds no person.
    merge: which replies count as one: those with equal words ("wording"), or also those with equal lemmas, such as "Thanks, I'll check!"
    and "I will check." ("lemma", for English). Case, punctuation, dates, times, amounts, numbers and names are ignored either way; the
    wording that is suggested contains no date, time, amount, number or name.
    blocked: words and phrases that no suggestion may contain.
    intents: a file with a response, its intent and optionally its polarity (positive, negative or neutral) on each line, separated by tabs.
    No two replies of one intent are suggested together.
    propagation: how these intents spread to the other responses.
    """

    task: Annotated[TaskName, AfterValidator(_text_columns.validate_task)]
    file: Path | None = None
    max_size: int = Field(2000, ge=2, le=2_000_000)  # maximum number of responses
    min_count: int = Field(2, ge=1)  # minimum number of training rows with a reply, in any wording
    min_senders: int = Field(5, ge=1)
    sender: str | None = None
    max_words: int = Field(15, ge=1)  # maximum number of words of a response
    merge: Literal["wording", "lemma"] = "wording"
    blocked: list[str] = []
    intents: Path | None = None
    propagation: Propagation = Propagation()
    seed: int = 1

    @field_validator("intents")
    @classmethod
    def bundled_intents(cls, path: Path | None) -> Path | None:
        return path and catalog.find_bundled(path)

    @field_validator("blocked")
    @classmethod
    def phrases_hold_something(cls, phrases: list[str]) -> list[str]:
        for phrase in phrases:
            if not phrase.strip():
                raise ValueError("expected words or phrases, found an empty text; drop it")
        return phrases


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write the response set; raises DataError when none is left, or when the given file is not one."""
    from textpipe.answers import _response_set
    from textpipe.stages._response_learning import Learner

    if config.file:
        responses = _response_set.read(config.file)
        stats: dict[str, Any] = {"file": config.file.name}
    else:
        learner = Learner(config.merge)
        learn(learner, config, inputs["ingest"], inputs["normalize"])
        responses, stats = learner.chosen(
            max_size=config.max_size, min_count=config.min_count, min_senders=config.min_senders,
            max_words=config.max_words, blocked=config.blocked,
        )  # fmt: skip
        if len(responses) < 2:
            counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in stats.items())
            raise DataError(
                f"[responses] expected at least two replies that may be suggested, found {len(responses)} ({counts}); {cure(stats)}"
            )
    if config.intents and len(responses) > MAX_SPREAD:
        raise ConfigError(
            f"[responses] intents: spread to at most {MAX_SPREAD:,} responses, found {len(responses):,}; lower max_size, or leave intents "
            "out and give each response its intent in the table that file names"
        )
    if config.intents:
        from textpipe.stages._intent_propagation import spread

        responses = spread(responses, config.intents, config.propagation, seed=config.seed)
    _response_set.write(output / _response_set.FILE, responses)
    named = [response.intent for response in responses if response.intent]
    stats = {
        "responses": len(responses),
        "covered": sum(response.count for response in responses),
        "intents": len(set(named)),
        "with_intent": len(named),
        **stats,
    }
    (output / "stats.json").write_text(json.dumps(stats, indent=1, ensure_ascii=False), encoding="utf-8")


def cure(stats: dict[str, int]) -> str:
    """Advice on how to get more responses, from the number of replies that each filter removed."""
    changes = [
        f"lower {name}" for reason, name in (("rare", "min_count"), ("few_senders", "min_senders")) if stats.get(reason)
    ]
    changes += ["raise max_words"] if stats.get("long") else []
    changes += ["shorten blocked"] if stats.get("blocked") else []
    if changes:
        return ", or ".join(changes)
    if stats.get("private"):
        return "replies with a name, a number or an address are never suggested; use more mail, or set [responses] file"
    return "nearly all replies are the same; use more mail, or set [responses] file"


def learn(learner: "Learner", config: Config, folder: Path, normalize: Path) -> None:
    """Count the training rows: their replies, normalized, their senders, and the words of their other texts.

    Raises ConfigError where rows have no column of the name that [responses] sender gives.
    """
    import pyarrow as pa

    from textpipe.data import shards
    from textpipe.stages._response_keys import type_tokens
    from textpipe.stages._response_learning import LONGEST
    from textpipe.text.normalizer import Normalizer

    fields = _text_columns.fields_of(config.task)
    target = next(field.name for field in fields if field.side == "target")
    others = [field for field in fields if field.side == "source" and field.has_text]
    names = shards.schema(folder, "train").names
    sender = config.sender
    extra_columns = [name for name in names if name != "row" and name not in {field.name for field in fields}]
    if sender is not None and sender not in extra_columns:
        raise ConfigError(
            f"[responses] sender: no column {sender!r} was kept{suggest(sender, extra_columns)}; add it to [ingest] keep, or leave sender out"
        )
    clean = _text_columns.trace_text_function(functools.partial(Normalizer(normalize), target))
    mask = _text_columns.trace_text_function(type_tokens)
    columns = [name for name in names if name != "row"]
    for batch in _text_columns.batches(folder, "train", [target], columns):
        replies = batch.column(target)
        texts = _text_columns.to_arrow(clean(_text_columns.to_tensor(replies)), replies.type).to_pylist()
        # Longer replies are never responses.
        shortened = pa.array([text[:LONGEST] for text in texts], replies.type)
        typed = _text_columns.to_arrow(mask(_text_columns.to_tensor(shortened)), replies.type).to_pylist()
        senders = batch.column(sender).to_pylist() if sender else [None] * len(texts)
        learner.add(zip(texts, senders, strict=True), typed)
        for field in others:
            learner.observe(field.cells.texts(batch.column(field.name)).to_pylist())


def summary(output: Path) -> str:
    """How many responses, what share of the training replies they stand for, and what was left out."""
    stats = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    intents = f", {stats['with_intent']:,} of them with one of {stats['intents']:,} intents" if stats["intents"] else ""
    if "file" in stats:
        return f"{stats['responses']:,} responses from {stats['file']}{intents}"
    omitted = {
        name: stats[name]
        for name in ("rare", "few_senders", "long", "private", "blocked", "quoted", "beyond_max_size")
        if name in stats
    }
    share = stats["covered"] / max(1, stats["rows"])
    lines = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in omitted.items())
    return f"{stats['responses']:,} responses, which {share:.1%} of {stats['rows']:,} replies mean{intents}; left out: {lines or 'none'}"
