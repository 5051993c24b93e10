"""Subword regularization: training rows are segmented differently in each epoch; validation rows are not."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError


class SubwordSampling(Section):
    """Which sides are sampled, and how far from the codec's own segmentation. Give either alpha or dropout.

    alpha: for the codec unigram; a segmentation is drawn with its probability raised to this power (Kudo, 2018). 0.1 is strong
        (rows of Multi30k become twice as long), 0.5 weak.
    dropout: for the codec bpe; the share of merges skipped at random (Provilkov et al., 2020). 0.1 is usual.
    """

    alpha: float | None = Field(default=None, ge=0)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    sides: Literal["both", "source", "target"] = "both"  # which texts are sampled

    @model_validator(mode="after")
    def exactly_one(self):
        if (self.alpha is None) == (self.dropout is None):
            raise ValueError("give either alpha (codec unigram) or dropout (codec bpe), for example { dropout = 0.1 }")
        return self


def with_samplers(rows: Any, tokenize: Path, sizes: Sizes, options: SubwordSampling, *, seed: int) -> Any:
    """The training rows (rows.Rows) with samplers for the sampled sides; see Rows.for_epoch.

    tokenize: the stage's output. Raises ConfigError if a side has no subwords, or a codec of the other kind.
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
            feature_kind = "n-grams" if size["kind"] == "sparse" else "labels"
            raise ConfigError(
                f"[train] subword_sampling.sides: expected token ids in {name!r}, found {feature_kind}; "
                + ('set [vectorize] features = "ids"' if side == "source" else 'set sides = "source"')
                + " or leave subword_sampling out"
            )
    return replace(rows, samplers=samplers, seed=seed)
