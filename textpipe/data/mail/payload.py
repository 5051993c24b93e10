"""What a part holds: its transfer encoding undone, leniently, and format=flowed (RFC 3676) unfolded."""

import base64
import binascii
import email.message
import re
from collections import Counter

from textpipe.data.mail import charsets

BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
VALID_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]+={0,2}\s*")


def part_text(part: email.message.Message, counts: Counter[str]) -> str:
    """A text part's text with "\\n" as its line end, without line breaks around it."""
    data = decode_transfer(part, counts)
    charset = parameter(part, "charset")
    if charset and not charsets.is_known(charset):
        counts["unknown_charsets"] += 1
    found = charsets.decode(data, charset)
    found = found.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    if parameter(part, "format").lower() == "flowed" and part.get_content_subtype() == "plain":
        found = unfold_flowed(found, delete_space=parameter(part, "delsp").lower() == "yes")
    return found.strip("\n")


def parameter(part: email.message.Message, name: str) -> str:
    """A parameter of Content-Type as text; "" where there is none."""
    value = part.get_param(name, "")
    if isinstance(value, tuple):  # RFC 2231: charset, language, value
        value = value[2]
    return str(value).strip()


def transfer_encoding(part: email.message.Message) -> str:
    """The name of the encoding, as it is meant: "Base64 ;" -> "base64", "quoted printable" -> "quoted-printable"."""
    value = str(part.get("Content-Transfer-Encoding", ""))
    name = re.sub(r"\(.*?\)|[\"';,\s_-]", "", value.lower())
    return {"quotedprintable": "quoted-printable", "qp": "quoted-printable", "base64": "base64", "b64": "base64"}.get(
        name, name
    )


def payload_bytes(part: email.message.Message) -> bytes:
    """The bytes of a part as the email package reads them; nothing of a multipart."""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def decode_transfer(part: email.message.Message, counts: Counter[str]) -> bytes:
    """The bytes of a part: base64, quoted-printable and uuencode undone; anything else as it stands."""
    encoding = transfer_encoding(part)
    if encoding in ("uuencode", "xuuencode", "uue", "xuue"):
        return payload_bytes(part)
    del part["Content-Transfer-Encoding"]  # else the parser's own, stricter decoder would be asked
    data = payload_bytes(part)
    if encoding == "quoted-printable":
        # A blank that was added behind a soft line break is no text (RFC 2045, 6.7, rule 3).
        return binascii.a2b_qp(re.sub(rb"=[ \t]+(\r?\n|\Z)", rb"=\1", data))
    return decode_base64(data, counts) if encoding == "base64" else data


def decode_base64(data: bytes, counts: Counter[str]) -> bytes:
    """Base64 up to the first line that is none: mailing lists append a footer in plain text, which is no part of it.

    Each run that ends with "=" is decoded alone, and a last group that is cut short as far as it goes. Data whose
    first line is no base64 was never encoded, whatever its header says.
    """
    if VALID_BASE64.fullmatch(data):
        return decode_base64_run(b"".join(data.split()))
    runs: list[bytes] = []
    held: list[bytes] = []
    for line in data.splitlines():
        line = line.strip()
        if not line:
            continue
        if not BASE64_LINE.fullmatch(line):
            odd = len(NOT_BASE64.findall(line))
            line = NOT_BASE64.sub(b"", line)
            if odd > 2 or len(line) < 20:
                counts["plain_text_in_base64"] += 1
                if not (held or runs):
                    return data
                break
        held.append(line)
        if line.endswith(b"="):
            runs.append(b"".join(held))
            held = []
    runs.append(b"".join(held))
    return b"".join(decode_base64_run(run) for run in runs)


def decode_base64_run(run: bytes) -> bytes:
    """A run of base64 without line ends, its padding right or wrong."""
    run = run.replace(b"=", b"")
    run = run[:-1] if len(run) % 4 == 1 else run
    return base64.b64decode(run + b"=" * (-len(run) % 4))


def unfold_flowed(text: str, *, delete_space: bool) -> str:
    """Lines that format=flowed broke, joined: a line that ends with a blank goes on with the next of its quote depth.

    delete_space (DelSp=yes): the blank is the mark alone and not part of the text. The line "-- " begins a signature
    and stays. Quoted lines keep their ">".

    "We meet \\nat noon.\\n From 1 to 2.\\n> Ok? \\n> Yes" -> "We meet at noon.\\nFrom 1 to 2.\\n> Ok? Yes"
    """
    paragraphs: list[tuple[int, list[str]]] = []
    flows = False
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        signature = content == "-- "
        if not (flows and depth == paragraphs[-1][0]) or signature:
            paragraphs.append((depth, []))
        flows = content.endswith(" ") and not signature
        paragraphs[-1][1].append(content[:-1] if flows and delete_space else content)
    joined = [(depth, "".join(pieces)) for depth, pieces in paragraphs]
    return "\n".join(
        f"{'>' * depth} {content}".rstrip(" ") if depth else (content if content == "-- " else content.rstrip(" "))
        for depth, content in joined
    )
