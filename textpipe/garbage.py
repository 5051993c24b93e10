"""How often Python looks for garbage among millions of objects that are none.

A graph is made of many small objects that live as long as it does, and Python's collector, left alone, looks through
all of them again and again: a fifth of the time it takes to build one, and a pause of half a second in a server.
"""

import gc

THRESHOLDS = 200_000, 50, 1000  # objects made since the last look; young looks before a middle one, and before a full one


def seldom() -> None:
    """For a process that builds graphs: look when 200,000 more objects were made, not 700."""
    gc.set_threshold(*THRESHOLDS)


def settle() -> None:
    """After models were loaded or let go: look through everything once, then leave what is left alone."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
