"""[answer] of a task that answers with a program over a table."""

from types import ModuleType

from pydantic import Field, model_validator

from textpipe.config.sections import Section


class Config(Section):
    """If a question is left unanswered, `answer` is empty, `answered` is false, and `program_answer` has the program's result.

    threshold: answers with a lower score are not given. Default: the threshold that is best on valid, where a right answer counts 1, a
        wrong one -wrong_cost, and none 0. With wrong_cost = 0, every program that gives a result is an answer.
    """

    threshold: float | None = Field(default=None, ge=0, le=1)
    wrong_cost: float = Field(
        default=0.25, ge=0
    )  # cost of a wrong answer, relative to the gain of a right one, when the threshold is chosen

    @model_validator(mode="after")
    def settings_fit(self) -> "Config":
        if self.threshold is not None and "wrong_cost" in self.model_fields_set:
            raise ValueError(
                "wrong_cost: is used to choose the threshold, but threshold is given; leave one of them out"
            )
        return self

    def check(self, task: ModuleType) -> None:
        """Any task that answers with a program has these settings."""
