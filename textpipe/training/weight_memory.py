"""Whether the weights of a model, and what training keeps of their size, fit into memory: told before anything is allocated.

N rows, D features, C outputs.
"""

import logging
from types import ModuleType
from typing import Any

from textpipe.errors import ConfigError
from textpipe.training.telemetry import memory

FLOAT = 4  # bytes
COPIES = 3  # of the weights, for an optimizer that does not say how many it needs
WORTH_A_LINE = 2**30  # bytes from which on the need is logged

log = logging.getLogger(__name__)


def check_model(kernel_shape: tuple[int, int], optimizer: Any, module: ModuleType) -> None:
    """Raises ConfigError if a kernel [D, C] does not fit; optimizer: its checked settings, module: its module."""
    dim, num_outputs = kernel_shape
    copies = module.copies(optimizer) if hasattr(module, "copies") else COPIES
    check(optimizer.kind, dim, num_outputs, FLOAT * dim * num_outputs * copies)


def check(optimizer: str, dim: int, num_outputs: int, needed: int, cure: str = "") -> None:
    """Raises ConfigError if `needed` bytes are more than are free; cure: another one than fewer weights."""
    free = memory.available()  # 0 if unknown
    if needed >= WORTH_A_LINE:
        log.info("%d features of %d classes: training takes about %.1f GB of memory", dim, num_outputs, needed / 2**30)
    if 0 < free < needed:
        raise ConfigError(
            f"[train] optimizer {optimizer}: {dim:,} features of {num_outputs:,} classes need {needed / 2**30:.1f} GB, and "
            f"{free / 2**30:.1f} are free; raise min_df of [vectorize] features, or count fewer kinds of n-grams{cure}"
        )
