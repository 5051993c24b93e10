"""Position encodings of a transformer.   Shapes: B batch, H heads, T positions, D model, d head."""

import math

import numpy as np
from keras import ops


def sinusoidal(positions, size: int):
    """Sines and cosines of geometrically growing wavelengths (Vaswani et al. 2017, section 3.5): [...] -> [..., D].

    The first half of the D features are sines, the second cosines; the paper interleaves them, which is a permutation.
    """
    half = size // 2
    rates = np.exp(-math.log(10_000.0) * np.arange(half) / max(half - 1, 1)).astype("float32")
    angles = ops.cast(positions, "float32")[..., None] * rates
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def rotate(heads, positions):
    """Rotary positions (Su et al. 2021, equation 34): rotate queries or keys [B, H, T, d] by their positions [T] or [B, T].

    The product of a query and a key then depends only on the distance between them. Feature i is paired with feature
    i + d / 2.
    """
    half = heads.shape[-1] // 2
    rates = np.exp(-math.log(10_000.0) * np.arange(half) / half).astype("float32")
    angles = ops.cast(positions, "float32")[..., None] * rates  # [T, d / 2] or [B, T, d / 2]
    if len(angles.shape) == 3:
        angles = angles[:, None]
    cos, sin = ops.cast(ops.cos(angles), heads.dtype), ops.cast(ops.sin(angles), heads.dtype)
    first, second = heads[..., :half], heads[..., half:]
    return ops.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
