"""Linear classifiers over a bag of features: logistic regression, and with a hinge loss the linear support vector machine.

The objective is the mean over rows of the loss, plus (l1 * sum |w| + l2 / 2 * sum w^2) / rows; the bias is not penalized. With
cross-entropy, binary with one logit and multinomial otherwise, this is scikit-learn's `LogisticRegression(C=1 / l2)`: l2 = 1 is that
library's default, and optimizer = "lbfgs" finds the same coefficients. With the squared hinge it is `LinearSVC(C=1 / l2)`, but for
that library's penalty of the bias. Larger values penalize more; they keep their meaning when rows are added.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from textpipe.config.sections import Section
from textpipe.features._classes import num_logits

READS = ("sparse", "ids", "scalar")
GIVES = "logits"
# Settings of [train] that the model ignores, and why.
UNUSED = {"precision": "is the product that makes the logits, in float32", "mixup": "has no hidden layer to mix"}

Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Config(Section):
    """loss: "logistic" is the cross-entropy, whose probabilities are calibrated best. "squared_hinge" and "hinge" separate the classes
    with a margin, one class against the rest, which with many classes and character n-grams is often as accurate and faster; also set
    [train] calibration if probabilities matter. The optimizer liblinear is the fastest for both; lbfgs fits "squared_hinge" only.

    l1, l2: strengths of the penalties, in units of one row's loss. With l1, optimizer lbfgs makes the weights that do not help exactly
    0; both together are the elastic net (Zou and Hastie, 2005).

    A list for l2 is a regularization path: the values are fitted in turn, from the strongest, on the same rows in memory,
    and the one with the best validation result is kept (optimizers lbfgs and liblinear).

    l2_extensions: number of values tried below the smallest of a list, as long as the smallest tried so far is the best: each continues
    the ratio of the two before, such as 0.003 after 0.03 and 0.01.
    """

    kind: Literal["logistic_regression"] = "logistic_regression"
    loss: Literal["logistic", "hinge", "squared_hinge"] = "logistic"
    l1: float = Field(default=0.0, ge=0)
    l2: Strength | Annotated[list[Strength], Field(min_length=1)] = 1.0
    l2_extensions: int = Field(default=0, ge=0, le=20)

    @field_validator("l2")
    @classmethod
    def values_differ(cls, l2: float | list[float]) -> float | list[float]:
        if isinstance(l2, list) and len(set(l2)) < len(l2):
            raise ValueError(f"expected distinct values, found {l2}; leave repeated ones out")
        return l2

    @model_validator(mode="after")
    def extends_a_path(self) -> "Config":
        if self.l2_extensions and (len(self.l2_path) < 2 or not self.l2_path[-1]):
            raise ValueError(
                f"l2_extensions: continues a list of at least two values of l2 above 0, but l2 is {self.l2}; give such a list, or leave "
                "l2_extensions out"
            )
        return self

    @property
    def l2_path(self) -> list[float]:
        """The values of l2 to try, strongest first."""
        return sorted(self.l2, reverse=True) if isinstance(self.l2, list) else [self.l2]


def kernel_shape(config: Config, sizes) -> tuple[int, int]:
    """Rows and columns of the weights of all features."""
    from textpipe.layers.inputs import dim_of

    return sum(dim_of(size) for size in sizes.inputs.values()), num_logits(sizes.target)


def build(config: Config, sizes, *, seed: int):
    """The keras.Model: {field: sparse rows [B, D], ids [B, T] or numbers} -> logits [B, C].

    All weights start at 0; the seed has no effect.
    """
    from textpipe.layers.inputs import dim_of
    from textpipe.nets.bag import LogisticRegression

    dims = {name: dim_of(size) for name, size in sizes.inputs.items()}
    model = LogisticRegression(dims, num_logits(sizes.target), l1=config.l1, l2=config.l2_path[0])
    model.row_loss = config.loss
    model.l2_path = tuple(config.l2_path)
    model.l2_extensions = config.l2_extensions
    model.build()
    return model
