"""doctor names the pair of libraries that does not fit."""

import pytest

from textpipe.commands import _installed_libraries

SOUND = {"tensorflow": "2.21.0", "tensorflow-text": "2.21.1", "keras": "3.15.1", "sentencepiece": "0.2.3"}


def test_a_sound_set_has_no_fault():
    assert _installed_libraries.faults(SOUND) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tensorflow-text": "2.21.0"}, "tensorflow-text 2.21.0 does not fit: 2.21.0 fails on import"),
        ({"tensorflow-text": "2.20.0"}, "tensorflow 2.21.0 and tensorflow-text 2.20.0 do not fit each other"),
        ({"keras": "3.13.2"}, "keras 3.13.2 does not fit"),
        ({"keras": None}, "keras is not installed"),
        ({"tensorflow-cpu": "2.21.0"}, "two copies"),
    ],
)
def test_a_fault_names_both_sides_and_the_cure(change, words):
    found = _installed_libraries.faults(SOUND | change)
    assert any(words in line and "pip" in line for line in found)


def test_versions_are_read_as_numbers():
    assert _installed_libraries.numbers("2.21.1rc0") == (2, 21, 1)
    assert _installed_libraries.numbers("2.9.0") < _installed_libraries.numbers("2.21.0")
