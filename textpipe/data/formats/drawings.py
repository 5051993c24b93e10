"""Drawings of simple shapes, one per line in a column of a TSV file, rendered to PNG pictures (textpipe/data/raster.py).

drawing<TAB>caption
48x48 #f4f1ea; circle 12,20 9 #d62f2f<TAB>a large red circle at the left
"""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section
from textpipe.data.formats import tsv
from textpipe.data.rows import Repairs, Rows

TAKES_ENCODING = True
SUFFIXES: tuple[str, ...] = ()  # chosen by name


class Config(Section):
    """format = "drawings", or { kind = "drawings", drawing = "scene" }."""

    kind: Literal["drawings"] = "drawings"
    drawing: str = "drawing"  # the column of the drawings; its cells become pictures in base64


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns, drawings as PNG pictures in base64."""
    from textpipe.data import raster

    for rows in tsv.read(source, tsv.Config(), repairs, columns):
        if config.drawing in columns:
            index, mask = columns.index(config.drawing), []
            for at, cell in enumerate(rows.columns[index]):
                try:
                    picture = raster.png(raster.render(raster.parse(cell)))
                    rows.columns[index][at] = base64.b64encode(picture).decode("ascii")
                    mask.append(True)
                except ValueError as error:
                    repairs.bad_row(f"{source}, line {rows.lines[at]}", str(error), "correct the drawing")
                    mask.append(False)
            rows = rows.keep(mask)
        yield rows
