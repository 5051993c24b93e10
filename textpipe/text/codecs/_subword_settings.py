"""The settings of both codecs of subwords."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from textpipe.config.sections import Section
from textpipe.text import existing_subwords

MIN_COVERAGE = 0.98  # sentencepiece's limit


def check_coverage(share: float) -> float:
    """Return a character coverage that sentencepiece accepts; raises ValueError for others."""
    if not MIN_COVERAGE <= share <= 1:
        raise ValueError(
            f"expected a share of the characters from {MIN_COVERAGE} to 1, found {share:g}; "
            "for a smaller vocabulary lower vocab_size"
        )
    return share


# A larger vocabulary is a typo, and would crash the trainer near 2**31.
VocabSize = Annotated[int, Field(gt=4, le=10_000_000)]
Coverage = Annotated[float, AfterValidator(check_coverage)]


class SubwordSettings(Section):
    """The settings that the Configs of both codecs describe."""

    vocab_size: VocabSize = 8000
    character_coverage: Coverage = 0.9995
    split_digits: bool = False
    max_lines: int = Field(200_000, gt=0)
    model: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def model_excludes_other_settings(self):
        fields = type(self).model_fields
        changed = [name for name in fields if name != "model" and getattr(self, name) != fields[name].default]
        if self.model is not None and changed:
            raise ValueError(
                f"model: reuses the subwords of another run, so {', '.join(changed)} has no effect; leave out one or the other"
            )
        return self

    def extra_files(self) -> list[Path]:
        """The files of `model`."""
        return existing_subwords.files(self.model) if self.model else []
