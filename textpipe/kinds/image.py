"""A picture: the bytes of a PNG or JPEG file. In a table, the path of the file, or its bytes in base64.

A path is relative to the folder of the table, and may lead into a tar or zip archive: pictures.tar/cat.png.
"""

import base64
import binascii
import functools
import hashlib
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.data import image_file
from textpipe.data.profile import add_counts, distribution
from textpipe.runtime import small_file

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "a picture", "pictures"
EXAMPLE = {"b64": "iVBORw0KGgo..."}  # a cell, in a model card
FEATURE = "pixels"
OPTIONAL = False  # rows with an empty cell are dropped
ARCHIVES = (".tar", ".tgz", ".tar.gz", ".zip")
PREFIX = "data:image/"  # of a data URL, whose bytes follow in base64
BASE64_START = ("iVBORw0KGgo", "/9j/")  # a PNG and a JPEG in base64


class Picture(bytes):
    """The bytes of a picture that has been decoded once, with the result of `identity`."""

    identity: str


class ImageProfile:
    """Formats, sizes, and the pictures that decoding changes."""

    def __init__(self) -> None:
        self.formats: Counter[str] = Counter()
        self.traits: Counter[str] = Counter()
        self.sides: dict[str, Counter[int]] = {"width": Counter(), "height": Counter()}
        self.bytes = 0

    def add(self, rows: "np.ndarray", cells: "pa.BinaryArray") -> None:
        """Add a batch of pictures."""
        import numpy as np

        headers = [image_file.read(cell) for cell in cells.to_pylist()]
        self.formats.update(header.format for header in headers)
        self.traits.update(trait for header in headers for trait in header.traits)
        for side, counts in self.sides.items():
            add_counts(counts, np.array([getattr(header, side) for header in headers]))
        self.bytes += cells.nbytes

    def table(self) -> dict[str, Any]:
        """{"formats": {"PNG": 90}, "changed": {"gray": 3}, "width": {"mean": 72, ...}, "height": {...}, "bytes": 204800}"""
        return {
            "formats": dict(sorted(self.formats.items())),
            "changed": dict(sorted(self.traits.items())),
            **{side: distribution(counts) for side, counts in self.sides.items()},
            "bytes": self.bytes,
        }


profile = ImageProfile


def arrow() -> "pa.DataType":
    """binary"""
    import pyarrow as pa

    return pa.binary()


def spec() -> "tf.TensorSpec":
    """[B] string: the bytes of a PNG or JPEG file each."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


def parse(cell: str) -> bytes:
    """The bytes of a picture in the working directory or in base64; see `parser`."""
    return parser(Path())(cell)


def parser(folder: Path) -> Callable[[str], bytes]:
    """A function from a cell to the bytes of its picture, with paths relative to folder.

    It raises ValueError for a file that is missing, no complete PNG or JPEG, too large, or damaged.
    """

    def read(cell: str) -> bytes:
        contents, place = from_base64(cell), "a picture in base64"
        if contents is None:
            contents, place = read_file(folder / cell.strip()), cell.strip()
        try:
            return decoded(contents)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None

    return read


def decoded(contents: bytes) -> Picture:
    """The bytes of a picture with the identity of its pixels. Raises ValueError unless they can be decoded."""
    import tensorflow as tf

    from textpipe.data import image_ops

    header = image_file.read(contents)
    try:
        pixels = image_ops.decoded(tf.constant(contents)).numpy()
    except tf.errors.OpError:
        raise ValueError(f"a {header.format} whose pixels are damaged; copy it again") from None
    picture = Picture(contents)
    picture.identity = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).hexdigest()
    return picture


def identity(cell: bytes) -> str:
    """A text that two pictures share if their pixels are equal, however their files were written."""
    return (cell if isinstance(cell, Picture) else decoded(cell)).identity


def from_base64(cell: str) -> bytes | None:
    """The bytes of a cell in base64 or of a data URL; None for a path. Raises ValueError for damaged base64."""
    text = cell.strip()
    if text.startswith(PREFIX):
        text = text.partition(",")[2]
    elif not text.startswith(BASE64_START):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"damaged base64 ({error}); encode the file again") from None


def read_file(path: Path) -> bytes:
    """The bytes of a file, or of a member of an archive. Raises ValueError if it cannot be read."""
    archive = next((parent for parent in path.parents if parent.name.endswith(ARCHIVES) and parent.is_file()), None)
    try:
        if archive is not None:
            return read_member(archive, path.relative_to(archive).as_posix())
        if path.stat().st_size > image_file.MAX_BYTES:
            raise ValueError(f"{path}: a file of more than {image_file.MAX_BYTES:,} bytes; scale the picture down")
        return small_file.read_bytes(path, max_bytes=image_file.MAX_BYTES)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; give a path relative to the folder of the table") from None
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def read_member(archive: Path, name: str) -> bytes:
    """The bytes of a member of a tar or zip archive. Raises ValueError for one that is missing or too large."""
    opened, members = open_archive(archive, archive.stat().st_mtime_ns)
    member = members.get(name)
    if member is None:
        raise ValueError(f"{archive}: has no member {name!r}")
    if getattr(member, "size", 0) > image_file.MAX_BYTES or getattr(member, "file_size", 0) > image_file.MAX_BYTES:
        raise ValueError(f"{archive}: {name}: more than {image_file.MAX_BYTES:,} bytes; scale the picture down")
    if isinstance(opened, zipfile.ZipFile):
        return opened.read(member)
    file = opened.extractfile(member)
    if file is None:
        raise ValueError(f"{archive}: {name} is a folder or a link, where a picture was expected")
    return file.read()


@functools.lru_cache(maxsize=4)
def open_archive(path: Path, changed: int) -> tuple[Any, Mapping[str, Any]]:
    """An open archive and its members by name; changed: its modification time, so that a new file is read again."""
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        return archive, {info.filename: info for info in archive.infolist()}
    tar = tarfile.open(path)  # noqa: SIM115  kept open by the cache
    return tar, {info.name.removeprefix("./"): info for info in tar.getmembers()}


def tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column to the tensor that callers send: [N] string."""
    import tensorflow as tf

    return tf.constant(column.to_pylist(), tf.string, shape=[len(column)])


def excerpt(cell: bytes) -> str:
    """A picture where a text is shown: "PNG 72 x 72, 3,051 bytes"."""
    header = image_file.read(cell)
    return f"{header.format} {header.width} x {header.height}, {len(cell):,} bytes"


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: formats, sizes, and what decoding changes."""
    formats = ", ".join(f"{count:,} {name}" for name, count in table["formats"].items())
    sides = " x ".join(
        f"{table[side]['min']}" if table[side]["min"] == table[side]["max"] else f"{table[side]['min']} to {table[side]['max']}"
        for side in ("width", "height")
    )  # fmt: skip
    changed = ", ".join(f"{count:,} {name}" for name, count in table["changed"].items())
    return f"{formats or 'none'}; {sides} pixels" + (
        f"; decoded to 8-bit RGB before white: {changed}" if changed else ""
    )
