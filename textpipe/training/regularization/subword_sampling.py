"""Subword regularization: training rows are segmented anew for each epoch; validation is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError


class SubwordSampling(Section):
    """Which sides are drawn, and how far from the codec's own segmentation.

    alpha, of the unigram codec: segmentations have their probability to this power (Kudo, 2018); 0.1 is a strong
    setting (rows of Multi30k become twice as long), 0.5 a weak one. dropout, of BPE: the share of merges left out at
    random (Provilkov et al., 2020); 0.1 is usual. One of the two is given.
    """

    alpha: float | None = Field(default=None, ge=0)  # of the codec unigram: the power of a segmentation's probability
    dropout: float | None = Field(default=None, ge=0, lt=1)  # of the codec bpe: the share of merges left out
    sides: Literal["both", "source", "target"] = "both"  # which texts are segmented anew

    @model_validator(mode="after")
    def one(self):
        if (self.alpha is None) == (self.dropout is None):
            raise ValueError("give either alpha (codec unigram) or dropout (codec bpe), for example { dropout = 0.1 }")
        return self


def with_samplers(rows: Any, tokenize: Path, sizes: Sizes, options: SubwordSampling, *, seed: int) -> Any:
    """The training rows (rows.Rows) with samplers for the sides that are drawn: see Rows.for_epoch.

    tokenize: the stage's output. Raises ConfigError when a side has no subwords, or a codec of the other kind.
    """
    from textpipe.text import sampling

    samplers = {}
    reads_ids = any(size["kind"] == "ids" for size in sizes.inputs.values())
    for name, size in sizes.tables.items():
        side = "target" if name == sizes.target_name else "source"
        if options.sides not in ("both", side):
            continue
        if size["kind"] == "ids":
            blocks = rows.columns[name].blocks
            samplers[name] = sampling.load(
                tokenize, name, blocks, alpha=options.alpha, dropout=options.dropout, max_length=size["max_length"]
            )
        elif options.sides == side if side == "target" else not reads_ids:
            found = "n-grams" if size["kind"] == "sparse" else "labels"
            raise ConfigError(
                f"[train] subword_sampling.sides: expected token ids in {name!r}, found {found}; "
                + ('set [vectorize] features = "ids"' if side == "source" else 'set sides = "source"')
                + " or leave subword_sampling out"
            )
    return replace(rows, samplers=samplers, seed=seed)
