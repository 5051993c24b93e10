"""The header of a PNG or JPEG file: its size and colors, without decoding it, and whether the file is complete.

PNG: W3C Recommendation, third edition, sections 5 and 11. JPEG: ITU-T T.81, annex B.
"""

import struct
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
PNG_END = b"IEND\xaeB`\x82"  # type and checksum of the last chunk
JPEG_END = b"\xff\xd9"
MAX_BYTES = 16 << 20  # of a file
MAX_PIXELS = 24_000_000  # of a decoded picture: 96 MB in memory

# Signatures of formats that are refused by name.
OTHERS = {
    b"GIF8": "a GIF", b"BM": "a BMP", b"RIFF": "a WebP", b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"%PDF": "a PDF",
    b"<svg": "an SVG", b"<?xml": "an XML", b"\0\0\0 ftyp": "a HEIF or AVIF", b"version https://git-lfs": "a Git LFS pointer",
}  # fmt: skip
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by color type
START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


@dataclass(frozen=True)
class Header:
    """channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha (PNG) or CMYK (JPEG). bits: per channel."""

    format: str
    width: int
    height: int
    channels: int
    bits: int = 8
    animated: bool = False

    @property
    def traits(self) -> list[str]:
        """What decoding changes: ["gray", "16-bit", "transparent", "CMYK", "animated"], those that apply."""
        four = "CMYK" if self.format == "JPEG" else "transparent"
        applies = {
            "gray": self.channels < 3,
            "16-bit": self.bits == 16,
            "transparent": self.channels == 2,
            four: self.channels == 4,
            "animated": self.animated,
        }
        return [name for name, holds in applies.items() if holds]


def read(contents: bytes) -> Header:
    """The header of a complete PNG or JPEG file of acceptable size. Raises ValueError that says what it is instead."""
    if not contents:
        raise ValueError("an empty file, where a PNG or JPEG picture was expected")
    if len(contents) > MAX_BYTES:
        raise ValueError(f"a file of {len(contents):,} bytes, where at most {MAX_BYTES:,} are allowed; scale it down")
    if contents.startswith(PNG_SIGNATURE):
        header = png(contents)
    elif contents.startswith(JPEG_SIGNATURE):
        header = jpeg(contents)
    else:
        raise ValueError(f"{describe(contents)}, where a PNG or JPEG picture was expected; convert it")
    if not header.width or not header.height:
        raise ValueError(f"a {header.format} of {header.width} x {header.height} pixels; replace it")
    if header.width * header.height > MAX_PIXELS:
        raise ValueError(
            f"a {header.format} of {header.width:,} x {header.height:,} pixels, where at most {MAX_PIXELS:,} in all are allowed; "
            "scale it down"
        )
    if (PNG_END if header.format == "PNG" else JPEG_END) not in contents[-4096:]:
        raise ValueError(f"a {header.format} that ends too early, after {len(contents):,} bytes; copy it again")
    return header


def png(contents: bytes) -> Header:
    """The header of a PNG, from its first chunk; an acTL chunk before the image data marks an animation."""
    if len(contents) < 33 or contents[12:16] != b"IHDR":
        raise ValueError(f"a PNG whose header is cut off or damaged ({len(contents):,} bytes); copy it again")
    width, height, bits, color = struct.unpack(">IIBB", contents[16:26])
    if color not in PNG_CHANNELS:
        raise ValueError(f"a PNG of color type {color}, which does not exist; copy it again")
    end = contents.find(b"IDAT")
    return Header("PNG", width, height, PNG_CHANNELS[color], bits, b"acTL" in contents[: max(end, 0)])


def jpeg(contents: bytes) -> Header:
    """The header of a JPEG, from its first frame; segments before it are skipped by their lengths."""
    at = 2
    while at + 4 <= len(contents):
        if contents[at] != 0xFF:
            break
        marker = contents[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            at += 2
        elif marker in START_OF_FRAME and at + 10 <= len(contents):
            bits, height, width, channels = struct.unpack(">BHHB", contents[at + 4 : at + 10])
            return Header("JPEG", width, height, channels, bits)
        else:
            at += 2 + int.from_bytes(contents[at + 2 : at + 4], "big")
    raise ValueError(f"a JPEG whose header is cut off or damaged ({len(contents):,} bytes); copy it again")


def describe(contents: bytes) -> str:
    """What a file is that is neither PNG nor JPEG: "a GIF file", "a text file", "a file of another kind"."""
    for signature, name in OTHERS.items():
        if contents.startswith(signature):
            return f"{name} file"
    sample = contents[:512]
    try:
        sample.decode("ascii")
    except UnicodeDecodeError:
        return "a file of another kind"
    return "a file of another kind" if b"\0" in sample else "a text file"


__all__ = ["JPEG_END", "JPEG_SIGNATURE", "MAX_BYTES", "MAX_PIXELS", "PNG_END", "PNG_SIGNATURE", "Header", "read"]
