"""The pixels of a picture at one size."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from textpipe.config.sections import Section

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "pixels"
OF = ("image",)


class Config(Section):
    """Pictures are stretched to one size, whatever their aspect ratio."""

    kind: Literal["pixels"] = "pixels"
    height: int = Field(64, ge=1, le=1024)  # in pixels, after resizing
    width: int = Field(64, ge=1, le=1024)  # in pixels, after resizing
    color: Literal["rgb", "gray"] = "rgb"  # three channels, or one

    @property
    def channels(self) -> int:
        return 3 if self.color == "rgb" else 1


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Nothing to learn."""


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] string, the bytes of PNG or JPEG files -> [N, H, W, C] uint8, 1 to 255; 0 for no picture."""
    from textpipe.features._pixels import Pixels

    return Pixels(config)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Blocks":
    """The pixels of each row, from vectorize's tables, without copying them."""
    from textpipe.data import columns

    return columns.block_column(tables, name, (size["height"], size["width"], size["channels"]))


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The size of all pictures of a split."""
    return f"{size['width']} x {size['height']} pixels, {size['channels']} channel{'s' if size['channels'] > 1 else ''}"
