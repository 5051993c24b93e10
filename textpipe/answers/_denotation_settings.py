"""[answer] of a task that answers with a program over a table."""

from types import ModuleType

from pydantic import Field, model_validator

from textpipe.config.sections import Section


class Config(Section):
    """When a question is not answered: `answer` is then empty, `answered` false, and `program_answer` what the program gave.

    threshold: answers with a lower score are not given. Default: the one that is best on valid, where a right answer counts 1, a wrong one
        -wrong_cost, and none 0. With wrong_cost = 0 all programs that give something are answers.
    """

    threshold: float | None = Field(default=None, ge=0, le=1)
    wrong_cost: float = Field(
        default=0.25, ge=0
    )  # what a wrong answer counts against a right one when the threshold is chosen

    @model_validator(mode="after")
    def settings_fit(self) -> "Config":
        if self.threshold is not None and "wrong_cost" in self.model_fields_set:
            raise ValueError(
                "wrong_cost: is used to choose the threshold, but threshold is given; leave one of them out"
            )
        return self

    def check(self, task: ModuleType) -> None:
        """Any task that answers with a program has these settings."""
