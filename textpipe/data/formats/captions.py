"""Pictures and their captions: a table with several caption columns, or the layout of Flickr8k (Hodosh et al. 2013).

    format = { kind = "captions", images = "Images", captions = ["first", "second"] }
    format = { kind = "captions", images = "Flicker8k_Dataset", lists = { train = "Flickr_8k.trainImages.txt", ... } }

A table needs a header; tabs separate its columns unless its name ends in .csv. Lines of Flickr8k.token.txt are
"NAME.jpg#NUMBER<TAB>CAPTION". Each caption is a row of its own, so that a picture has as many rows as captions.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.formats import csv, tsv
from textpipe.data.rows import Repairs, Rows
from textpipe.data.shards import SPLITS
from textpipe.errors import DataError

TAKES_ENCODING = True
SUFFIXES: tuple[str, ...] = ()  # chosen by name
IMAGE, CAPTION = "image", "caption"  # columns of the rows
TOKEN_LINE = re.compile(r"([^\t#]+)#(\d+)\t")


class Config(Section):
    """format = "captions".

    images: the folder or archive of the pictures, relative to the file; by default names are relative to the file's folder.
    image: the column of the pictures' names. captions: the columns of the captions.
    split_column: a column that names each row's split. splits: the value of split_column for each split, {train = "train", test = "val"}.
    lists: for each split, a file of picture names, one per line, with its path relative to the data file; pictures in no list are left out.
    """

    kind: Literal["captions"] = "captions"
    images: str = ""
    image: str = IMAGE
    captions: tuple[str, ...] = (CAPTION,)
    split_column: str | None = None
    splits: dict[Literal["train", "valid", "test"], str] = {}
    lists: dict[Literal["train", "valid", "test"], str] = {}

    @model_validator(mode="after")
    def splits_fit(self) -> "Config":
        if (self.split_column is None) != (not self.splits):
            raise ValueError("split_column and splits must be set together: the column, and its value for each split")
        if self.splits and self.lists:
            raise ValueError("splits and lists cannot both be set; leave one out")
        if not self.captions:
            raise ValueError("captions: name at least one column")
        return self

    @property
    def keys(self) -> dict[str, str]:
        """The splits that one file holds."""
        named = {**self.splits, **self.lists}
        return {split: named[split] for split in SPLITS if split in named}


def for_split(config: Config, split: str) -> Config:
    """The options that read one split of a file that holds several."""
    tables = {"splits": config.splits, "lists": config.lists}
    return config.model_copy(
        update={key: {split: table[split]} if split in table else {} for key, table in tables.items()}
    )


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield rows of image and caption; further columns of a table are repeated for each caption."""
    first = next((line for _, lines in text_file.lines(source, None, Repairs()) for line in lines if line.strip()), "")
    tokens = TOKEN_LINE.match(first)
    captions = read_tokens(source, repairs, columns) if tokens else read_table(source, config, repairs, columns)
    names = listed(source, config)
    for rows in captions:
        image = columns.index(IMAGE) if IMAGE in columns else None
        if image is not None:
            if names is not None:
                rows = rows.keep([name in names for name in rows.columns[image]])
            if config.images:
                rows.columns[image] = [name and f"{config.images}/{name}" for name in rows.columns[image]]
        yield rows


def listed(source: Path, config: Config) -> frozenset[str] | None:
    """The names of the pictures of the one split that is read, None for all."""
    if not config.lists:
        return None
    (name,) = config.lists.values()
    return frozenset(line.strip() for _, lines in text_file.lines(source.parent / name) for line in lines)


def read_tokens(source: Path, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the rows of a file in the layout of Flickr8k.token.txt, with the columns image, number and caption."""
    indices = text_file.column_indices(str(source), [IMAGE, "number", CAPTION], columns)
    for number, lines in text_file.lines(source, None, repairs):
        rows = Rows(str(source), [], [], [[] for _ in columns])
        for at, line in enumerate(lines, number):
            match = TOKEN_LINE.match(line)
            if match is None:
                if line.strip():
                    repairs.bad_row(
                        f"{source}, line {at}", "expected NAME#NUMBER, a tab and a caption", "correct the line"
                    )
                continue
            rows.positions.append(at - 1)
            rows.lines.append(at)
            cells = (match[1], match[2], line[match.end() :].strip())
            for column, index in zip(rows.columns, indices, strict=True):
                column.append(cells[index])
        yield rows


def read_table(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the rows of a table, one for each caption that is not empty."""
    if any(isinstance(column, int) for column in columns):
        raise DataError(f"{source}: the columns of captions have names; name the column, or set format to csv or tsv")
    module = csv if text_file.strip_compression(source).endswith(".csv") else tsv
    names: list[str | int] = [config.image if name == IMAGE else name for name in columns if name != CAPTION]
    extra = [config.split_column] if config.split_column else []
    count = 0
    for rows in module.read(source, module.Config(), repairs, [*names, *config.captions, *extra]):
        if config.splits:
            (value,) = config.splits.values()
            rows = rows.keep([cell == value for cell in rows.columns[-1]])
        captions = rows.columns[len(names) : len(names) + len(config.captions)]
        expanded = Rows(rows.source, [], [], [[] for _ in columns])
        for at, texts in enumerate(zip(*captions, strict=True)):
            for text in texts if len(texts) == 1 else (text for text in texts if text.strip()):
                cells = iter([rows.columns[index][at] for index in range(len(names))])
                for name, column in zip(columns, expanded.columns, strict=True):
                    column.append(text if name == CAPTION else next(cells))
                expanded.positions.append(count)
                expanded.lines.append(rows.lines[at])
                count += 1
        yield expanded
