"""How often Python looks for garbage among millions of objects that are none.

A graph is made of many small objects that live as long as it does, and Python's collector, left alone, looks through
all of them again and again: a fifth of the time it takes to build one, and a pause of half a second in a server.
"""

import gc

# Objects made since the last look; young looks before one at the middle-aged, and of these before one at all.
BUILDING = 200_000, 50, 1000
SERVING = 10_000, 10, 10


def relax_gc() -> None:
    """For a process that builds graphs."""
    gc.set_threshold(*BUILDING)


def freeze_gc() -> None:
    """After models were loaded or let go: look through everything once, leave what is left alone, and look often again,
    for what requests leave behind is little to look through.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SERVING)
