"""[answer] of a classifier: which rows belong to no class."""

from types import ModuleType
from typing import Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Section

COVERAGE = 0.95


class Config(Section):
    """What is answered to rows that belong to no class.

    out_of_scope: the answer to rows that belong to no class, "oos" for example. Valid and test may have rows with this label:
        [vectorize] fields = { label = { kind = "label", out_of_scope = "oos" } } keeps them out of training.
    score: how far a row is in scope: the probability of its most probable class (Hendrycks and Gimpel 2017), its largest logit (Hendrycks
        et al. 2022), or the energy log sum exp(logits) (Liu et al. 2020).
    threshold: rows with a lower score are out of scope. Default: chosen on valid, by `coverage` if that is given or valid has no rows out of
        scope, else for the best F1 of those.
    coverage: share of the valid rows with a class that stay in scope, 0.95 by default.
    """

    out_of_scope: str | None = Field(default=None, min_length=1)
    score: Literal["probability", "logit", "energy"] = "probability"
    threshold: float | None = None
    coverage: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def settings_fit(self) -> "Config":
        for name in ("score", "threshold", "coverage"):
            if self.out_of_scope is None and name in self.model_fields_set and getattr(self, name) is not None:
                raise ValueError(
                    f'{name}: has no effect without out_of_scope; give the label of such rows, "oos" for example'
                )
        if self.threshold is not None and self.coverage is not None:
            raise ValueError("coverage: is used to choose the threshold, but threshold is given; leave one of them out")
        return self

    def check(self, task: ModuleType) -> None:
        """Any task that answers with a label has these settings."""
