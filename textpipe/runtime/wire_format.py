"""Protocol buffers' wire format, where a message is written field by field, without its generated code."""


def varint(number: int) -> bytes:
    """An integer from 0, in as few bytes as it needs: 300 -> b"\\xac\\x02"."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, value: bytes | str) -> bytes:
    """A field of type string, bytes or message (wire type 2)."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value
