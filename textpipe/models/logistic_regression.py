"""Logistic regression over a bag of features: binary with one logit, multinomial otherwise.

The objective is the mean over rows of the cross-entropy, plus (l1 * sum |w| + l2 / 2 * sum w^2) / rows; the bias is not
penalized. It is scikit-learn's `LogisticRegression(C=1 / l2)`, so l2 = 1 is that library's default and
optimizer = "lbfgs" finds the same coefficients. Larger penalties are stronger; they keep their meaning when rows are added.
"""

from typing import Literal

from pydantic import Field

from textpipe.config import Section

INPUT = ("sparse", "ids")
OUTPUT = "label"


class Config(Section):
    """l1, l2: strengths of the penalties, in units of one row's loss. l1 needs an optimizer other than lbfgs."""

    kind: Literal["logistic_regression"] = "logistic_regression"
    l1: float = Field(default=0.0, ge=0)
    l2: float = Field(default=1.0, ge=0)


def build(config: Config, sizes, *, seed: int):
    """The keras.Model: sparse rows [B, D] or ids [B, T] -> logits [B, C]. All weights start at 0 whatever the seed."""
    from textpipe.layers.bag import LogisticRegression

    classes = len(sizes.target["classes"])
    dim = sizes.source["dim"] if sizes.source["kind"] == "sparse" else sizes.source["vocab_size"]
    model = LogisticRegression(dim, classes if classes > 2 else 1, l1=config.l1, l2=config.l2)
    model.build()
    return model
