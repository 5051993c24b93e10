"""Convolutions over the patches of a picture: a vector for each region of a grid.

A patch embedding (Dosovitskiy et al. 2021) and residual convolutions (He et al. 2016) with layer normalization, as ConvNeXt's (Liu et
al. 2022); the regions' vectors are what captions attend to (Xu et al. 2015).
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.layers.dropout_rate import Rate

READS = ("pixels",)


class Config(Section):
    """filters: of each stage, first to last; a stage has a quarter as many regions as the one before, and the last defines the states.
    blocks: residual blocks of each stage, with two 3 x 3 convolutions each.
    shift: augmentation: in training, each picture is shifted by up to this many pixels along each axis; leave it 0 if captions mention positions.
    """

    kind: Literal["image"] = "image"
    patch: int = Field(4, ge=1, le=64)  # side of a patch, in pixels; patches are embedded by one linear map
    filters: tuple[Annotated[int, Field(ge=1)], ...] = Field((64, 128), min_length=1)
    blocks: int = Field(1, ge=0)
    activation: Literal["relu", "gelu", "silu"] = "relu"  # inside residual blocks
    dropout: Rate = 0.1  # of the states
    shift: int = Field(0, ge=0, le=64)


def build(config: Config, size: dict[str, Any], *, seed: int) -> Any:
    """The layer: pixels [B, H, W, C] uint8 -> states [B, L, D], mask [B, L]; row by row, from the top left region."""
    from textpipe.nets.image_encoder import ImageEncoder

    return ImageEncoder(config, size, seed=seed, name="encoder")
