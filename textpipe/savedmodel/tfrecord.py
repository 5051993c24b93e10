"""Read TFRecord files: each record is its length, the length's checksum, the data, and the data's checksum.

The checksum is CRC-32C, rotated and offset ("masked"): tensorflow/core/lib/hash/crc32c.h.
"""

import functools
import os
import struct
from collections.abc import Iterator
from pathlib import Path

POLYNOMIAL = 0x82F63B78  # Castagnoli's, with its bits reversed
MASK_DELTA = 0xA282EAD8
LENGTH, CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")


def read(path: Path) -> Iterator[bytes]:
    """The records of an uncompressed file; raises ValueError where it is damaged or cut off, OSError."""
    with path.open("rb") as file:
        number, file_bytes = 0, os.fstat(file.fileno()).st_size
        while head := file.read(LENGTH.size):
            length = read_checked(file.read(CHECKSUM.size), head, LENGTH.size, f"length of record {number}")
            (size,) = LENGTH.unpack(length)
            if size > file_bytes:  # or as many bytes would be allocated
                raise ValueError(f"record {number} is cut off")
            data = file.read(size)
            yield read_checked(file.read(CHECKSUM.size), data, size, f"record {number}")
            number += 1


def read_checked(checksum: bytes, data: bytes, size: int, name: str) -> bytes:
    """The data; raises ValueError unless it is of this size and has this checksum."""
    if len(data) < size or len(checksum) < CHECKSUM.size:
        raise ValueError(f"{name} is cut off")
    if CHECKSUM.unpack(checksum)[0] != masked_crc(data):
        raise ValueError(f"{name} does not have the checksum that is stored with it")
    return data


def masked_crc(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """b"123456789" -> 0xE3069283 (RFC 3720, appendix B.4)"""
    crc, remainders = 0xFFFFFFFF, table()
    for byte in data:
        crc = remainders[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def table() -> list[int]:
    """The remainder of each byte."""
    remainders = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        remainders.append(value)
    return remainders
