"""Train a sentencepiece model on a stream of lines."""

import io
import logging
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from textpipe.errors import ConfigError, DataError
from textpipe.text import existing_subwords
from textpipe.text.special_tokens import END_ID, PAD_ID, SPACE_SYMBOL, START_ID, UNK_ID

logger = logging.getLogger(__name__)

MAX_LINE_LENGTH = 1000  # characters of a training line; longer lines are split, because sentencepiece drops them
# Line breaks, tabs and U+2585 have a special meaning in the trainer, NUL ends its strings, and U+2581 is its space.
RESERVED = re.compile("[\0\t\n\r▁▅]+")
# Fixed on every machine, because the number of threads affects the last digits of the model's scores.
NUM_THREADS = 2


def learn(
    config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, model_type: str, seed: int,
    reserved: Sequence[str] = (),
) -> None:  # fmt: skip
    """Train on at most config.max_lines lines, sampled uniformly with `seed`, and write folder/name.model.

    The model does not normalize (the normalization steps did), falls back to bytes for unknown characters, and keeps
    all spaces. reserved: tokens that are one piece each where they follow a space or begin a text. If the text is too
    small for config.vocab_size pieces, the model has fewer and a warning is logged. Kudo and Richardson (2018), SentencePiece; Kudo (2018), Subword Regularization; Sennrich et al. (2016), BPE.

    With config.model, its pieces are written instead; see existing_subwords.read.

    Raises DataError when there is no text, ConfigError when vocab_size is too small for the characters of the text.
    """
    import sentencepiece

    if config.model is not None:
        existing = existing_subwords.read(config.model, name, kind=model_type, reserved=reserved)
        (folder / f"{name}.model").write_bytes(existing)
        return
    sample = reservoir_sample((chunk for line in lines() for chunk in split_line(line)), config.max_lines, seed)
    if not sample:
        raise DataError(f"[tokenize] codec {config.kind!r}: no text to learn from: every training row is empty")
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
            user_defined_symbols=[SPACE_SYMBOL + token for token in reserved],
            pad_piece="<pad>",
            minloglevel=2,
        )
    except RuntimeError as error:
        required = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if required:
            raise ConfigError(
                f"[tokenize] codec vocab_size: {config.vocab_size} is too small for the text's characters, 256 bytes and "
                f"4 special tokens; set at least {required[1]}, or lower character_coverage"
            ) from None
        raise ConfigError(
            f"[tokenize] codec {config.kind!r}: sentencepiece cannot learn from the {len(sample):,} lines of training text "
            f"({' '.join(str(error).split())[:300]}); give more text, another vocab_size, or another codec"
        ) from None
    (folder / f"{name}.model").write_bytes(model.getvalue())
    vocab_size = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
    if vocab_size < config.vocab_size:
        logger.warning(
            "[tokenize] codec vocab_size: the training text allows only %d of %d pieces; using %d",
            vocab_size,
            config.vocab_size,
            vocab_size,
        )


def split_line(line: str) -> Iterator[str]:
    """Training lines of at most MAX_LINE_LENGTH characters, split at a space where possible.

    Also splits at line breaks, so that no piece spans one.
    """
    for rest in RESERVED.split(line):
        while len(rest) > MAX_LINE_LENGTH:
            end = rest.rfind(" ", 1, MAX_LINE_LENGTH)
            end = end if end > 0 else MAX_LINE_LENGTH
            yield rest[:end]
            rest = rest[end:]
        if rest.strip():
            yield rest


def reservoir_sample(items: Iterable[str], size: int, seed: int) -> list[str]:
    """A uniform sample of at most `size` items, in one pass.   Vitter (1985), algorithm R.

    All items, in order, if there are no more than `size`.
    """
    rng = random.Random(seed)
    sample: list[str] = []
    for number, item in enumerate(items):
        if number < size:
            sample.append(item)
        elif (index := rng.randrange(number + 1)) < size:
            sample[index] = item
    return sample
