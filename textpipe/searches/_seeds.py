"""Seeds of the trials of a study."""

import random


def of_trial(seed: int, index: int) -> int:
    """The seed of trial number `index` of a study with this seed: 32 bits, the same in every process."""
    return random.Random(f"{seed} {index}").getrandbits(32)
