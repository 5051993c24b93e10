"""Attention maps of a few rows, for the report: attention.jsonl.   Shapes: T source tokens or regions, U answer tokens."""

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.text.special_tokens import PAD_ID, SPECIAL_TOKENS

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable

NAME = "attention.jsonl"
ROWS = 4
NUM_CANDIDATES = 32  # rows drawn; the first ROWS of them that fit on a page are kept
MAX_TOKENS = 40  # on either side
DECIMALS = 4
MAX_PICTURE_BYTES = 1 << 20  # of a picture in the report


def write(
    servable: "Servable", rows: Sequence[int], raw: Mapping[str, Sequence[Any]], output: Path, *, seed: int
) -> None:
    """Write a line for each of a few random rows: {"row", "source_tokens" [T], "target_tokens" [U], "weights" [U, T]}.

    Of pictures, a line has "grid", rows and columns of the regions, and the "picture" in place of source_tokens.
    Writes nothing for a classifier or a model without attention (all weights 0).
    """
    from textpipe.savedmodel import batching, model_rows, signatures

    definition = signatures.find_giving(servable.definitions, signatures.ATTENTION)
    if definition is None:
        return
    order, sources = list(range(len(rows))), servable.row_texts(raw)
    random.Random(seed).shuffle(order)
    # A token has at least one character, so very long texts can be skipped without decoding them.
    row_indices = sorted(order[:NUM_CANDIDATES], key=lambda at: len(sources[at]) > 10 * MAX_TOKENS)[: ROWS * 2]
    columns = {name: [cells[at] for at in row_indices] for name, cells in raw.items()}
    answers = batching.run_in_batches(servable.signature(definition.name), model_rows.encode_columns(columns))
    lines = []
    for at, answer in zip(row_indices, answers, strict=True):
        if "grid" in answer:
            lines += picture_line(servable, rows[at], raw, at, answer)
            continue
        source, target = strip_padding(answer["source_tokens"]), strip_padding(answer["target_tokens"])
        weights = [
            [round(weight, DECIMALS) for weight in line[: len(source)]] for line in answer["weights"][: len(target)]
        ]
        if source and target and max(len(source), len(target)) <= MAX_TOKENS and any(map(any, weights)):
            line = {"row": rows[at], "source_tokens": source, "target_tokens": target, "weights": weights}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    if lines:
        (output / NAME).write_text("".join(lines[:ROWS]), encoding="utf-8")


def picture_line(
    servable: "Servable", row: int, raw: Mapping[str, Sequence[Any]], at: int, answer: Mapping[str, Any]
) -> list[str]:
    """The line of a row whose source is a picture; none for a picture of too many bytes, or without attention."""
    from textpipe.savedmodel import model_rows

    cell, target = raw[servable.source][at], strip_padding(answer["target_tokens"])
    if len(cell) > MAX_PICTURE_BYTES or len(target) > MAX_TOKENS or not any(map(any, answer["weights"])):
        return []
    weights = [[round(weight, DECIMALS) for weight in line] for line in answer["weights"][: len(target)]]
    picture = model_rows.to_json(cell)
    line = {"row": row, "grid": answer["grid"], "picture": picture, "target_tokens": target, "weights": weights}
    return [json.dumps(line, ensure_ascii=False) + "\n"]


def strip_padding(tokens: Sequence[str]) -> list[str]:
    """Tokens up to the padding, the end token included."""
    return list(itertools.takewhile(lambda token: token not in ("", SPECIAL_TOKENS[PAD_ID]), tokens))
