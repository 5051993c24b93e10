"""Thresholds of Python's garbage collector, for processes with millions of long-lived objects.

A graph consists of many small objects that live as long as it does. By default Python's collector scans all of them
again and again, which takes a fifth of the time of building a graph and pauses a server for half a second.
"""

import gc

# Thresholds of generations 0, 1 and 2; see gc.set_threshold.
BUILDING = 200_000, 50, 1000
SERVING = 10_000, 10, 10


def relax_gc() -> None:
    """Collect rarely, in a process that builds graphs."""
    gc.set_threshold(*BUILDING)


def freeze_gc() -> None:
    """After models are loaded or unloaded: collect once, exclude the surviving objects from later collections, and
    collect often, because requests leave few objects to scan.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SERVING)
