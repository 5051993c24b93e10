"""doctor names incompatible libraries."""

import pytest

from textpipe.commands import _installed_libraries

COMPATIBLE = {"tensorflow": "2.21.0", "tensorflow-text": "2.21.1", "keras": "3.15.1", "sentencepiece": "0.2.3"}


def test_compatible_versions_have_no_conflict():
    assert _installed_libraries.find_conflicts(COMPATIBLE) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tensorflow-text": "2.21.0"}, "tensorflow-text 2.21.0 is not supported: 2.21.0 fails on import"),
        ({"tensorflow-text": "2.20.0"}, "tensorflow 2.21.0 and tensorflow-text 2.20.0 are incompatible"),
        ({"keras": "3.13.2"}, "keras 3.13.2 is not supported"),
        ({"keras": None}, "keras is not installed"),
        ({"tensorflow-cpu": "2.21.0"}, "two copies"),
    ],
)
def test_a_conflict_names_both_libraries_and_the_cure(change, words):
    conflicts = _installed_libraries.find_conflicts(COMPATIBLE | change)
    assert any(words in line and "pip" in line for line in conflicts)


def test_versions_are_compared_as_numbers():
    assert _installed_libraries.version_numbers("2.21.1rc0") == (2, 21, 1)
    assert _installed_libraries.version_numbers("2.9.0") < _installed_libraries.version_numbers("2.21.0")
