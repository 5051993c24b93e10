"""Word vectors of a file as first embeddings: the text formats of word2vec, fastText (.vec) and GloVe.

    2 3                 optional: number of words, number of dimensions
    the 0.1 -0.2 0.3
    cat 0.4 0.1 0.0

Only the codec `words` has whole words as tokens; a token that occurs in the file starts from its vector, and all others keep their random values.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError, DataError, suggest
from textpipe.runtime import small_file
from textpipe.training.warm_start import parameters, vocabulary_axes

log = logging.getLogger(__name__)


class Vectors(Section):
    """Word vectors that embeddings start from.

    file: vectors in the text format of word2vec, fastText or GloVe, one word a line.
    fields: the fields whose embeddings take them; by default all with whole words.
    """

    file: str
    fields: list[str] = []


class WordVectors:
    """The vectors of the words of a model's vocabularies, ready to initialize it.

    vocabulary: as vocabulary_axes.describe_vocabulary returns it. Builds models: create it before the model to train.

    Raises ConfigError for fields without whole words and a missing file, DataError for a malformed file.
    """

    def __init__(self, options: Vectors, config: Section, sizes: Sizes, tokenize: Path, vocabulary: dict[str, Any]):
        import numpy as np

        self.path, self.vocabulary = Path(options.file), vocabulary
        codecs = json.loads((tokenize / "codecs.json").read_text(encoding="utf-8"))
        self.fields = fields_of(options, vocabulary, {name: entry["kind"] for name, entry in codecs.items()})
        words = {word for name in self.fields for word in vocabulary[name]["names"]}
        self.enlarged, self.shapes = vocabulary_axes.enlarged_shapes(config, sizes)
        self.vectors: dict[str, Any] = {}
        self.size = 0
        for word, vector in read(self.path):
            self.size = len(vector)
            if word in words and word not in self.vectors:
                self.vectors[word] = np.array(vector, np.float32)
        if not self.size:
            raise DataError(
                f"{self.path}: expected a word and its vector on each line, found no line; check [train] vectors.file"
            )

    def apply(self, model: Any) -> dict[str, Any]:
        """Assigns the vectors to the embeddings of a built model and returns a report for train.json.

        {"file", "size": dimensions, "fields": {field: {"found", "of"}}, "weights": [names]}. Raises ConfigError if no embedding has this width, or no
        word occurs in the file.
        """
        import numpy as np

        weights = parameters.weights_by_name(model)
        axes = vocabulary_axes.find_axes(weights, self.enlarged, self.shapes)
        report: dict[str, Any] = {"file": str(self.path), "size": self.size, "fields": {}, "weights": []}
        tables = {name: axis[0][0] for name, axis in axes.items() if list(axis) == [0] and axis[0][0] in self.fields}
        widths = sorted({int(weights[name].shape[1]) for name in tables if len(weights[name].shape) == 2})
        for name, field in tables.items():
            weight = weights[name]
            if tuple(weight.shape[1:]) != (self.size,):
                continue
            values, num_found = np.array(weight.value), 0
            for row, word in enumerate(self.vocabulary[field]["names"]):
                if word in self.vectors:
                    values[row] = self.vectors[word]
                    num_found += 1
            weight.assign(values)
            report["weights"].append(name)
            report["fields"][field] = {"found": num_found, "of": len(values)}
        if not report["weights"]:
            found_widths = " or ".join(map(str, widths)) or "none"
            raise ConfigError(
                f"[train] vectors.file: {self.path} has vectors of {self.size} numbers, but the embeddings of {', '.join(self.fields)} have "
                f"{found_widths}; set the embedding size in [model] to {self.size}"
            )
        if not self.vectors:
            raise ConfigError(
                f"[train] vectors.file: {self.path} has none of the words of {', '.join(self.fields)}; are they of the same language and case? "
                "Words are compared after [normalize]"
            )
        for field, count in report["fields"].items():
            log.info("vectors: %d of %d tokens of %s are in %s", count["found"], count["of"], field, self.path)
        return report


def fields_of(options: Vectors, vocabulary: dict[str, Any], codecs: dict[str, str]) -> list[str]:
    """The fields whose embeddings take the vectors; raises ConfigError for those without whole words."""
    texts = [name for name, table in vocabulary.items() if table["kind"] == "ids"]
    for name in options.fields:
        if name not in texts:
            raise ConfigError(f"[train] vectors.fields: {name!r} is not a field of token ids{suggest(name, texts)}")
        if codecs.get(name) != "words":
            raise ConfigError(
                f"[train] vectors.fields: tokens of {name!r} are pieces of words (codec {codecs.get(name)!r}), which have no vectors; set [tokenize] "
                'codec = "words"'
            )
    fields = options.fields or [name for name in texts if codecs.get(name) == "words"]
    if not fields:
        raise ConfigError(
            '[train] vectors: no field has whole words as tokens; set [tokenize] codec = "words" and [vectorize] features = "ids"'
        )
    return fields


def read(path: Path) -> Iterator[tuple[str, list[float]]]:
    """The words and vectors of a file. Raises DataError with the line for anything else, ConfigError for a missing file."""
    try:
        small_file.refuse_special(path)
        file = path.open(encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise ConfigError(f"[train] vectors.file: {path}: cannot be read: {error.strerror}") from None
    with file:
        size = 0
        for number, line in enumerate(file, 1):
            word, *numbers = line.rstrip(" \r\n").split(" ")
            if number == 1 and len(numbers) == 1 and word.isdecimal() and numbers[0].isdecimal():
                size = int(numbers[0])
                continue
            if not numbers and not word:
                continue
            size = size or len(numbers)
            spaces = max(0, len(numbers) - size)  # inside the word
            word, numbers = " ".join([word, *numbers[:spaces]]), numbers[spaces:]
            try:
                vector = [float(value) for value in numbers]
            except ValueError as error:
                raise DataError(f"{path}, line {number}: expected a word and {size} numbers: {error}") from None
            if len(vector) != size or not word or not all(abs(value) < float("inf") for value in vector):
                raise DataError(
                    f"{path}, line {number}: expected a word and {size} finite numbers, found {len(vector)} after {word[:40]!r}; repair or remove the line"
                )
            yield word, vector
