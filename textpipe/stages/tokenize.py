"""Learn the vocabularies, from the training texts only."""

import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator
from pydantic import Field as Limits

from textpipe.config import plugins
from textpipe.config.chosen_fields import TaskName
from textpipe.config.fields import Field
from textpipe.config.sections import Plugin, Section
from textpipe.data import shards
from textpipe.errors import ConfigError, DataError
from textpipe.runtime.engine import map_shards
from textpipe.stages import _text_columns
from textpipe.text import reserved

INPUTS = ("normalize",)

Counts = list[int]  # of rows, words, tokens, unknown tokens, rows with unknown tokens, tokens of the longest row

logger = logging.getLogger(__name__)


class Config(Section):
    """codec: how text becomes tokens ("none" when only n-grams of words and characters are used); vocabulary: one for all
    text fields ("joint") or one per field ("separate"), where a task has several.
    lexicon: learn the target word that each source word is most often aligned with, for [decode] replace_unknown.
    """

    task: Annotated[TaskName, AfterValidator(_text_columns.validate_task)]
    seed: int = 1
    codec: Plugin.of("text.codecs") = Limits("unigram", validate_default=True)
    vocabulary: Literal["joint", "separate"] = "joint"
    lexicon: bool = False

    @model_validator(mode="after")
    def lexicon_has_words(self):
        if self.lexicon and self.codec.kind != "words":
            raise ValueError(
                f"lexicon: needs a codec of words, and the codec is {self.codec.kind!r}; set codec to 'words' or leave lexicon out"
            )
        if self.lexicon and not any(
            item.side == "target" and item.has_text for item in _text_columns.fields_of(self.task)
        ):
            raise ValueError(f"lexicon: task {self.task!r} has no target text; leave lexicon out")
        return self

    @model_validator(mode="after")
    def vocabulary_applies(self):
        """Reject `vocabulary` for a task with one text field and for the codec "none"."""
        if "vocabulary" in self.model_fields_set:
            if len(_text_columns.text_fields(self.task)) < 2:
                raise ValueError(f"vocabulary: task {self.task!r} has one text field; leave vocabulary out")
            if self.codec.kind == "none":
                raise ValueError("vocabulary: the codec 'none' has no vocabulary; leave vocabulary out")
        return self

    def extra_files(self) -> list[Path]:
        """The files of other runs that the codec reads."""
        return self.codec.extra_files() if hasattr(self.codec, "extra_files") else []


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Write codecs.json {field: {"kind", "name"}}, the vocabulary files name.*, lexicon.json {source word: target word}
    if configured, and stats.json.

    stats.json: "vocabularies" {name: {"vocab_size", "asked", "reduced"}} and "splits" {split: {field: {"rows",
    "words", "tokens", "unknown", "rows_with_unknown", "longest", "tokens_per_word", "unknown_rate"}}}; words are
    separated by white space.
    """
    from textpipe.text import vectorizer

    fields = {field.name: field for field in _text_columns.fields_of(config.task) if field.has_text}
    names = tuple(fields)
    joint = config.vocabulary == "joint" and len(names) > 1
    groups = {"joint": names} if joint else {name: (name,) for name in names}
    for field in fields.values():
        require_text(inputs["normalize"], field)
    module = plugins.find("text.codecs", config.codec.kind)
    tag = reserved.read(inputs["normalize"])
    if tag is not None and not getattr(module, "RESERVES", False):
        able = [
            name
            for name in plugins.names("text.codecs")
            if getattr(plugins.find("text.codecs", name), "RESERVES", False)
        ]
        raise ConfigError(
            f"[ingest.synthetic] tag: codec {config.codec.kind!r} cannot make one token of {tag.token!r}; set [tokenize] codec to "
            f"{' or '.join(able)}, or leave tag out"
        )
    codec_options = {} if tag is None else {"reserved": [tag.token]}
    for group, members in groups.items():
        module.learn(
            config.codec,
            training_lines(inputs["normalize"], [fields[name] for name in members]),
            output,
            group,
            seed=config.seed,
            **codec_options,
        )
    stems = {name: group for group, members in groups.items() for name in members}
    codecs = {name: {"kind": config.codec.kind, "name": stems[name]} for name in names}
    (output / vectorizer.CODECS_FILE).write_text(json.dumps(codecs, indent=1, ensure_ascii=False), encoding="utf-8")
    if config.lexicon:
        from textpipe.text import lexicon

        pairs = lexicon.learn(training_words(inputs["normalize"], config.task))
        (output / vectorizer.LEXICON_FILE).write_text(json.dumps(pairs, indent=0, ensure_ascii=False), encoding="utf-8")
    stats: dict[str, Any] = {"codec": config.codec.model_dump(mode="json"), "vocabularies": {}, "splits": {}}
    if config.codec.kind != "none":
        loaded = {group: vectorizer.load_codec(output, members[0]) for group, members in groups.items()}
        for group, codec in loaded.items():
            reused = getattr(config.codec, "model", None) is not None
            requested_size = codec.vocab_size if reused else getattr(config.codec, "vocab_size", codec.vocab_size)
            stats["vocabularies"][group] = {
                "vocab_size": codec.vocab_size, "asked": requested_size, "reduced": codec.vocab_size < requested_size
            }  # fmt: skip
        work = functools.partial(shard_measurer, config.task, inputs["normalize"], output, groups)
        parts = shards.numbered(inputs["normalize"])
        counted: dict[str, list[dict[str, Counts]]] = {}
        for (split, _), counts in zip(parts, map_shards(work, parts), strict=True):
            counted.setdefault(split, []).append(counts)
        stats["splits"] = {
            split: {name: total([counts[name] for counts in parts]) for name in names}
            for split, parts in counted.items()
        }
    (output / "stats.json").write_text(json.dumps(stats, indent=1, ensure_ascii=False), encoding="utf-8")


def require_text(folder: Path, field: Field) -> None:
    """Raise DataError when the field is empty in all training rows."""
    rows = 0
    for batch in shards.read(folder, "train", (field.name,)):
        if any(field.cells.texts(batch.column(0)).to_pylist()):
            return
        rows += batch.num_rows
    raise DataError(
        f"[tokenize] train: no text to learn from: {field.name!r} is empty in all {rows:,} rows; check [ingest] columns, "
        "and whether the [normalize] steps remove everything"
    )


def training_lines(folder: Path, fields: Sequence[Field]) -> Callable[[], Iterator[str]]:
    """A function that streams the training texts of these fields from the start."""

    def lines() -> Iterator[str]:
        for batch in shards.read(folder, "train", [field.name for field in fields]):
            for field in fields:
                yield from (text for text in field.cells.texts(batch.column(field.name)).to_pylist() if text)

    return lines


def training_words(folder: Path, task: str) -> Iterator[tuple[list[str], list[str]]]:
    """The training rows as (source words, target words)."""
    from textpipe.text import words

    texts = [field for field in _text_columns.fields_of(task) if field.has_text]
    names = [next(field.name for field in texts if field.side == side) for side in ("source", "target")]
    split = _text_columns.trace_text_function(words.split)
    for batch in _text_columns.batches(folder, "train", names, names):
        columns = [split(_text_columns.to_tensor(batch.column(name))).to_list() for name in names]
        for source, target in zip(*columns, strict=True):
            yield [word.decode() for word in source], [word.decode() for word in target]


def make_measure(codec: Any) -> Callable[[Any], Any]:
    """A function from text [N] to [5] int64: words, tokens, unknown tokens, rows with unknown tokens, tokens of the longest row."""

    def measure(text: Any) -> Any:
        import tensorflow as tf

        from textpipe.text import words

        ids = codec.encode(text)
        unknown = tf.reduce_sum(tf.cast(ids == codec.unk_id, tf.int64), axis=1)  # [N]
        return tf.stack(
            [
                tf.size(words.split_whitespace(text).flat_values, tf.int64),
                tf.size(ids.flat_values, tf.int64),
                tf.reduce_sum(unknown),
                tf.math.count_nonzero(unknown),
                tf.reduce_max(tf.concat([[0], ids.row_lengths()], axis=0)),
            ]
        )

    return measure


def shard_measurer(
    task: str, source: Path, folder: Path, groups: Mapping[str, Sequence[str]]
) -> Callable[[tuple[str, int]], dict[str, Counts]]:
    """A function that counts the tokens of a shard, (split, number), and returns {field: counts}.

    folder: has the codecs; groups: the fields of each vocabulary.
    """
    from textpipe.text import vectorizer

    fields = {field.name: field for field in _text_columns.fields_of(task) if field.has_text}
    codecs = {
        name: codec
        for names in groups.values()
        for codec in [vectorizer.load_codec(folder, names[0])]
        for name in names
    }
    graphs = {name: _text_columns.trace_text_function(make_measure(codecs[name])) for name in fields}

    def measure(shard: tuple[str, int]) -> dict[str, Counts]:
        split, number = shard
        return {name: measure_field(source, split, number, field, graphs[name]) for name, field in fields.items()}

    return measure


def measure_field(folder: Path, split: str, number: int, field: Field, measure: Any) -> Counts:
    """The counts of one field of one shard."""
    counts: Counts = [0, 0, 0, 0, 0, 0]
    for batch in _text_columns.batches(folder, split, (field.name,), (field.name,), number=number):
        batch_counts = measure(_text_columns.to_tensor(field.cells.texts(batch.column(0)))).numpy().tolist()
        counts = add([counts, [batch.num_rows, *batch_counts]])
    return counts


def add(parts: Sequence[Counts]) -> Counts:
    """Sums of rows, words, tokens, unknown tokens and rows with unknown tokens, and the longest row."""
    *sums, longest = zip(*parts, strict=True)
    return [*map(sum, sums), max(longest)]


def total(parts: Sequence[Counts]) -> dict[str, float]:
    """The statistics of one field of one split, from the counts of its shards."""
    rows, words, tokens, unknown, rows_with_unknown, longest = add(parts)
    return {
        "rows": rows,
        "words": words,
        "tokens": tokens,
        "unknown": unknown,
        "rows_with_unknown": rows_with_unknown,
        "longest": longest,
        "tokens_per_word": _text_columns.ratio(tokens, words),
        "unknown_rate": _text_columns.ratio(unknown, tokens),
    }


def summary(output: Path) -> str:
    """The vocabularies; for each split and field, tokens per word and the share of unknown tokens."""
    stats = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    if stats["codec"]["kind"] == "none":
        return "no vocabulary (codec none)"
    lines = [
        f"{stats['codec']['kind']} vocabulary {name}: {table['vocab_size']:,}"
        + (f" of {table['asked']:,} configured: the training text allows no more" if table["reduced"] else "")
        for name, table in stats["vocabularies"].items()
    ]
    for split, fields in stats["splits"].items():
        for name, table in fields.items():
            lines.append(
                f"{split} {name}: {table['tokens_per_word']:.2f} tokens per word, {table['unknown_rate']:.2%} unknown, "
                f"longest row {table['longest']:,} tokens"
            )
    return "\n".join(lines)
