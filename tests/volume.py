"""Repetitions of the randomized tests: few in `make test`, many in `make prove`."""

import os

PROVING = os.environ.get("TEXTPIPE_PROVE") == "1"


def rounds(few: int, many: int) -> int:
    return many if PROVING else few
