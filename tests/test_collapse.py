"""Warnings for answers that hardly depend on the input, and none for good answers."""

import pytest

from textpipe.metrics import collapse

TEXTS = [f"answer {number}" for number in range(40)]


@pytest.mark.parametrize(
    ("answers", "finding"),
    [
        ([""] * 30 + TEXTS[:10], "30 of 40 answers are empty"),
        ([" "] * 40, "40 of 40 answers are empty"),
        (["yes, I will"] * 25 + TEXTS[:15], "25 of 40 answers are 'yes, I will'"),
        (["x" * 100] * 40, "xxx..."),
    ],
)
def test_empty_and_identical_answers_are_reported(answers, finding):
    (warning,) = collapse.warnings(answers, TEXTS)
    assert finding in warning and "train longer" in warning


@pytest.mark.parametrize(
    ("answers", "references"),
    [
        (TEXTS, TEXTS),
        (["no"] * 36 + ["yes"] * 4, ["no"] * 35 + ["yes"] * 5),  # as one-sided as the truth
        ([""] * 40, [""] * 40),
        (["no"] * 40, ["no"] * 40),
        (["no"] * 19, TEXTS[:19]),  # too few to say anything
        ([""] * 19 + TEXTS[:21], TEXTS),
    ],
)
def test_answers_like_the_references_give_no_warning(answers, references):
    assert collapse.warnings(answers, references) == []


def test_a_single_predicted_class_is_reported():
    (warning,) = collapse.warnings(["no"] * 40, ["no"] * 20 + ["yes"] * 20)
    assert "40 of 40 answers are 'no'" in warning
