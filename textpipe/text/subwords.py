"""Learn a sentencepiece model from a stream of lines."""

import io
import logging
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from textpipe.errors import ConfigError, DataError
from textpipe.text.special_tokens import END_ID, PAD_ID, START_ID, UNK_ID

logger = logging.getLogger(__name__)

MAX_LINE_LENGTH = 1000  # characters of one training line; longer ones are cut, for sentencepiece would leave them out
# A line break, a tab and U+2585 have a meaning of their own inside the trainer, NUL ends its strings, U+2581 is its
# blank.
RESERVED = re.compile("[\0\t\n\r▁▅]+")
# The learned model depends, in the last digits of its scores, on the number of threads: it is fixed, whatever the
# machine has.
NUM_THREADS = 2
MIN_COVERAGE = 0.98  # sentencepiece's own bound


def check_coverage(share: float) -> float:
    """A character coverage that sentencepiece takes; raises ValueError for others."""
    if not MIN_COVERAGE <= share <= 1:
        raise ValueError(
            f"expected a share of the characters from {MIN_COVERAGE} to 1, found {share:g}; the characters beyond "
            f"{MIN_COVERAGE} are few and cheap: for a smaller vocabulary lower vocab_size"
        )
    return share


# A larger vocabulary is a typing error, and would crash the trainer near 2**31.
VocabSize = Annotated[int, Field(gt=4, le=10_000_000)]
Coverage = Annotated[float, AfterValidator(check_coverage)]


def learn(config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, model_type: str, seed: int) -> None:
    """Write folder/name.model, learned from at most config.max_lines lines drawn evenly with `seed`.

    The model does not normalize (our steps did), falls back to bytes for characters it does not know, and keeps
    every blank. Where the text does not allow config.vocab_size pieces, the model has as many as it allows and a
    warning is logged.  Kudo and Richardson (2018), SentencePiece; Kudo (2018), Subword Regularization; Sennrich et
    al. (2016), BPE.

    Raises DataError when there is no text, ConfigError when vocab_size does not hold the characters of the text.
    """
    import sentencepiece

    sample = reservoir_sample((piece for line in lines() for piece in split_line(line)), config.max_lines, seed)
    if not sample:
        raise DataError(f"[tokenize] codec {config.kind!r}: no text to learn from; every training row is empty")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sample),
            model_writer=model,
            model_type=model_type,
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
            max_sentence_length=8 * MAX_LINE_LENGTH,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            byte_fallback=True,
            hard_vocab_limit=False,
            split_digits=config.split_digits,
            num_threads=NUM_THREADS,
            pad_id=PAD_ID,
            unk_id=UNK_ID,
            bos_id=START_ID,
            eos_id=END_ID,
            pad_piece="<pad>",
            minloglevel=2,
        )
    except RuntimeError as error:
        needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if needed:
            raise ConfigError(
                f"[tokenize] codec vocab_size: {config.vocab_size} does not hold the text's characters, 256 bytes and "
                f"4 marks; set at least {needed[1]}, or lower character_coverage"
            ) from None
        raise ConfigError(
            f"[tokenize] codec {config.kind!r}: sentencepiece cannot learn from the {len(sample):,} lines of training text "
            f"({' '.join(str(error).split())[:300]}); give more text, another vocab_size, or another codec"
        ) from None
    (folder / f"{name}.model").write_bytes(model.getvalue())
    found = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
    if found < config.vocab_size:
        logger.warning(
            "[tokenize] codec vocab_size: the training text allows %d pieces where %d were asked for; it has %d",
            found,
            config.vocab_size,
            found,
        )


def split_line(line: str) -> Iterator[str]:
    """Training lines of at most LONGEST characters, cut at a blank where there is one.

    A text of several lines gives several, so that no piece reaches over a line break.
    """
    for part in RESERVED.split(line):
        while len(part) > MAX_LINE_LENGTH:
            end = part.rfind(" ", 1, MAX_LINE_LENGTH)
            end = end if end > 0 else MAX_LINE_LENGTH
            yield part[:end]
            part = part[end:]
        if part.strip():
            yield part


def reservoir_sample(items: Iterable[str], size: int, seed: int) -> list[str]:
    """At most `size` items, each with equal chance, in one pass.   Vitter (1985), algorithm R.

    All of them, in order, when there are no more than `size`.
    """
    draw = random.Random(seed)
    kept: list[str] = []
    for number, item in enumerate(items):
        if number < size:
            kept.append(item)
        elif (place := draw.randrange(number + 1)) < size:
            kept[place] = item
    return kept
