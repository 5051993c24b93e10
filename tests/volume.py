"""How often what proves by volume is repeated: a few times in `make test`, its full number in `make prove`."""

import os

PROVING = os.environ.get("TEXTPIPE_PROVE") == "1"


def rounds(few: int, many: int) -> int:
    return many if PROVING else few
