"""Decode the content of a MIME part: lenient transfer decoding, charset, and format=flowed (RFC 3676)."""

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
    """Return the text of a text part, with "\\n" line ends and without leading and trailing line breaks."""
    data = decode_transfer(part, counts)
    charset = parameter(part, "charset")
    if charset and not charsets.is_known(charset):
        counts["unknown_charsets"] += 1
    text = charsets.decode(data, charset)
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    if parameter(part, "format").lower() == "flowed" and part.get_content_subtype() == "plain":
        text = unfold_flowed(text, delete_space=parameter(part, "delsp").lower() == "yes")
    return text.strip("\n")


def parameter(part: email.message.Message, name: str) -> str:
    """Return a parameter of Content-Type as text; "" if absent."""
    value = part.get_param(name, "")
    if isinstance(value, tuple):  # RFC 2231: charset, language, value
        value = value[2]
    return str(value).strip()


def transfer_encoding(part: email.message.Message) -> str:
    """Return the normalized name of the encoding: "Base64 ;" -> "base64", "quoted printable" -> "quoted-printable"."""
    value = str(part.get("Content-Transfer-Encoding", ""))
    name = re.sub(r"\(.*?\)|[\"';,\s_-]", "", value.lower())
    return {"quotedprintable": "quoted-printable", "qp": "quoted-printable", "base64": "base64", "b64": "base64"}.get(
        name, name
    )


def payload_bytes(part: email.message.Message) -> bytes:
    """Return the bytes of a part as decoded by the email package; b"" for a multipart."""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def decode_transfer(part: email.message.Message, counts: Counter[str]) -> bytes:
    """Decode base64, quoted-printable and uuencode; return the bytes of other parts unchanged."""
    encoding = transfer_encoding(part)
    if encoding in ("uuencode", "xuuencode", "uue", "xuue"):
        return payload_bytes(part)
    del part["Content-Transfer-Encoding"]  # otherwise the parser's stricter decoder would be used
    data = payload_bytes(part)
    if encoding == "quoted-printable":
        # A blank after a soft line break was added in transit and is not text (RFC 2045, 6.7, rule 3).
        return binascii.a2b_qp(re.sub(rb"=[ \t]+(\r?\n|\Z)", rb"=\1", data))
    return decode_base64(data, counts) if encoding == "base64" else data


def decode_base64(data: bytes, counts: Counter[str]) -> bytes:
    """Decode base64 up to the first line that is not base64, usually a plain text footer appended by a mailing list.

    Each run that ends with "=" is decoded separately; an incomplete last group is decoded as far as possible. Data whose
    first line is not base64 is returned unchanged, whatever its header says.
    """
    if VALID_BASE64.fullmatch(data):
        return decode_base64_run(b"".join(data.split()))
    runs: list[bytes] = []
    lines: list[bytes] = []
    for line in data.splitlines():
        line = line.strip()
        if not line:
            continue
        if not BASE64_LINE.fullmatch(line):
            num_invalid = len(NOT_BASE64.findall(line))
            line = NOT_BASE64.sub(b"", line)
            if num_invalid > 2 or len(line) < 20:
                counts["plain_text_in_base64"] += 1
                if not (lines or runs):
                    return data
                break
        lines.append(line)
        if line.endswith(b"="):
            runs.append(b"".join(lines))
            lines = []
    runs.append(b"".join(lines))
    return b"".join(decode_base64_run(run) for run in runs)


def decode_base64_run(run: bytes) -> bytes:
    """Decode a run of base64 without line ends; its padding need not be correct."""
    run = run.replace(b"=", b"")
    run = run[:-1] if len(run) % 4 == 1 else run
    return base64.b64decode(run + b"=" * (-len(run) % 4))


def unfold_flowed(text: str, *, delete_space: bool) -> str:
    """Join lines broken by format=flowed: a line that ends with a blank continues on the next of the same quote depth.

    delete_space (DelSp=yes): the trailing blank is only a marker, not part of the text. The signature separator "-- "
    is kept. Quoted lines keep their ">".

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
    joined = [(depth, "".join(lines)) for depth, lines in paragraphs]
    return "\n".join(
        f"{'>' * depth} {content}".rstrip(" ") if depth else (content if content == "-- " else content.rstrip(" "))
        for depth, content in joined
    )
