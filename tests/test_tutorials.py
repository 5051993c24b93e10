"""Every tutorial runs as written, in an empty folder, and shows what it says."""

import pytest
import tutorial

SLOW = (
    "back_translation",
    "reply",
    "several_labels",
    "translate",
)  # their commands are those of the others, and of tests/system


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.prove] if path.stem in SLOW else [])
        for path in tutorial.TUTORIALS
    ],
)
def test_a_tutorial_runs_as_written(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tutorial.run(path, tmp_path) >= 4


def test_a_line_that_is_not_printed_fails_and_dots_stand_for_any_text(tmp_path):
    assert tutorial.first_missing("a 1\nb 2\nc 3\n", ["a ...", "c 3"]) is None
    assert tutorial.first_missing("a 1\nb 2\n", ["b 2", "a 1"]) == "a 1"
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n    $ echo one\n    two\n\nMore\n\n    >>> 1 + 1\n    2\n\n    $ true\n\nMore\n\n    not run\n"
    )
    assert tutorial.blocks(page) == ["$ echo one\ntwo", ">>> 1 + 1\n2", "$ true"]
    with pytest.raises(AssertionError, match="expected 'two', printed:\none"):
        tutorial.run(page, tmp_path)
    page.write_text("Text\n\n    >>> 1 + 1\n    3\n")
    with pytest.raises(AssertionError, match="Expected:\n    3"):
        tutorial.run(page, tmp_path)
