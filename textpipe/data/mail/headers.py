"""Mail headers: repair common mailer errors and decode encoded words (RFC 2047, 2231, 6532)."""

import base64
import binascii
import email
import email.message
import email.policy
import re
from collections import Counter
from typing import Any

from textpipe.data.mail import charsets

CONTENT_TYPE = re.compile(r"\s*([A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+)\s*(.*)", re.DOTALL)
# Also matches a parameter that follows a blank, a comma or a quoted value instead of a semicolon.
PARAMETER = re.compile(
    r"""([A-Za-z*][A-Za-z0-9_*-]*)\s*=\s*("(?:[^"\\]|\\.)*"|'[^'\s;]*'|"[^"\r\n;]*|[^\s;,"]+)[\s;,]*"""
)
WELL_FORMED = re.compile(r"""[a-z]+/[a-z0-9.+-]+(?:;\s+[a-z0-9*-]+=(?:"[^"\\]*"|[^\s;,"']+))*;?\s*""", re.IGNORECASE)
ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?(.*?)\?=", re.DOTALL)
FIELD_NAME = rb"[!-9;-~]+"
HEADER_LINE = re.compile(rb"(" + FIELD_NAME + rb")([ \t]*):")
HEADER_BLOCK = re.compile(rb"\A.*?(?:\r?\n\r?\n|\r\r|\Z)", re.DOTALL)
SPACE_BEFORE_COLON = re.compile(rb"ontent-[A-Za-z-]+[ \t]+:")
CONTENT_SPACE_BEFORE_COLON = re.compile(rb"(?<![^\r\n])(C)(ontent-[A-Za-z-]+)[ \t]+:", re.IGNORECASE)
VALID_HEADER_BLOCK = re.compile(rb"(?:[!-9;-~]+:[^\r\n]*(?:\r?\n|\Z)(?:[ \t][^\r\n]*(?:\r?\n|\Z))*)*(?:\r?\n|\Z)")
KNOWN_FIELDS = frozenset(
    b"from to cc bcc date subject sender reply-to message-id in-reply-to references received return-path mime-version "
    b"content-type content-transfer-encoding content-disposition content-language content-id delivered-to x-mailer "
    b"user-agent list-id list-unsubscribe importance status".split()
)


class LenientPolicy(email.policy.Compat32):
    """Parser policy that repairs the Content-Type header of every part before the parser uses it."""

    counts: Counter[str] | None = None

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Return (name, value) of a header's lines, with Content-Type repaired to the form of RFC 2045."""
        name, value = super().header_source_parse(sourcelines)
        if name[:1] in "cC" and name.lower() == "content-type" and not WELL_FORMED.fullmatch(value):
            repaired = repair_content_type(value)
            if self.counts is not None and value.count(";") < repaired.count(";"):
                self.counts["mended_headers"] += 1
            return name, repaired
        return name, value


def lenient_policy(counts: Counter[str]) -> LenientPolicy:
    """Create the policy; repairs are added to counts."""
    options: dict[str, Any] = {"counts": counts}
    return LenientPolicy(**options)


def parse(raw: bytes, counts: Counter[str]) -> email.message.Message:
    """Parse a raw mail as a tree of parts, repairing its headers.

    The body of a single-part mail is not split into lines, which would take most of the time. If parts are nested more deeply
    than the parser can recurse (about a thousand levels), only the headers are read, and the mail has no text.
    """
    try:
        return parse_parts(raw, counts)
    except RecursionError:
        counts["too_deep"] += 1
        block = HEADER_BLOCK.match(raw)
        message = email.message_from_bytes(block[0] if block else b"", policy=lenient_policy(Counter()))
        del message["Content-Type"]
        message["Content-Type"] = "application/octet-stream"
        message.set_payload("")
        return message


def parse_parts(raw: bytes, counts: Counter[str]) -> email.message.Message:
    """Parse a raw mail as `parse` does; raises RecursionError for parts that are nested too deeply."""
    raw = repair_header_block(raw, counts)
    head = VALID_HEADER_BLOCK.match(raw)
    if head is None:
        return email.message_from_bytes(raw, policy=lenient_policy(counts))
    end = head.end()
    head_counts: Counter[str] = Counter()
    message = email.message_from_bytes(raw[:end], policy=lenient_policy(head_counts))
    if message.get_content_maintype() == "multipart":
        return email.message_from_bytes(raw, policy=lenient_policy(counts))
    counts.update(head_counts)
    message.set_payload(raw[end:].decode("ascii", errors="surrogateescape"))
    return message


def repair_content_type(value: str) -> str:
    """Add missing semicolons and quotes to a Content-Type.

    'text/plain charset="utf-8' -> 'text/plain; charset="utf-8"'
    """
    value = re.sub(r"\r?\n[ \t]*", " ", value).strip()
    match = CONTENT_TYPE.fullmatch(value)
    if match is None:
        return value
    kind, rest = match[1], match[2]
    if not rest.strip(";, \t"):
        return kind
    parts = [kind]
    for parameter in PARAMETER.finditer(rest):
        name, text = parameter[1], parameter[2]
        quotes = '"' if name.lower() == "boundary" else "\"'"  # a boundary may contain apostrophes
        text = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in quotes else text.lstrip('"')
        parts.append(f"{name}={text}" if name.endswith("*") else f'{name}="{text}"')
    return "; ".join(parts)


def repair_header_block(raw: bytes, counts: Counter[str]) -> bytes:
    """Repair a raw mail's header block: indent unindented continuation lines, remove ">From " lines.

    A line that is not a header ends the block, unless known headers follow before the first empty line.
    """
    if raw[:1] in (b"\r", b"\n") and HEADER_LINE.match(raw.lstrip(b"\r\n")):
        raw = raw.lstrip(b"\r\n")
    if SPACE_BEFORE_COLON.search(raw):
        raw = CONTENT_SPACE_BEFORE_COLON.sub(rb"\1\2:", raw)
    if VALID_HEADER_BLOCK.match(raw):
        return raw
    match = HEADER_BLOCK.match(raw)
    assert match is not None, "matches even an empty header block"
    head = match[0]
    lines = head.splitlines(keepends=True)
    bad = [at for at, line in enumerate(lines) if is_malformed(line)]
    if not bad:
        return raw
    known = [at for at, line in enumerate(lines) if (m := HEADER_LINE.match(line)) and m[1].lower() in KNOWN_FIELDS]
    if not known or known[-1] < bad[0]:
        return raw
    for at in bad:
        line = lines[at]
        if at > known[-1]:
            break
        spaced = HEADER_LINE.match(line)
        if spaced:
            lines[at] = spaced[1] + b":" + line[spaced.end() :]
        elif line.startswith((b">From ", b"From ")) or at == 0:
            lines[at] = b""
        else:
            lines[at] = b" " + line
    counts["mended_headers"] += 1
    return b"".join(lines) + raw[len(head) :]


def is_malformed(line: bytes) -> bool:
    """Whether a line of a header block is neither a valid header, nor a continuation, nor empty."""
    if line[:1] in (b" ", b"\t", b"\r", b"\n"):
        return False
    match = HEADER_LINE.match(line)
    return match is None or bool(match[2])


def header_text(message: email.message.Message, name: str) -> str:
    """Return the first header of this name as one line, with encoded words decoded; "" if there is none."""
    lowered = name.lower()
    return value_text(next((value for key, value in message.raw_items() if key.lower() == lowered), ""))


def header_block(message: email.message.Message) -> str:
    """Return all headers in their order, a line "Name: value" each, with encoded words decoded."""
    return "\n".join(f"{name}: {value_text(value)}" for name, value in message.raw_items())


def value_text(value: str) -> str:
    """Return a header's raw value as one line, with encoded words decoded."""
    # Unfold first, because the decoder would remove the leading blank of a folded line.
    value = re.sub(r"\r?\n|\r", "", value)
    if not value.isascii():  # bytes of undeclared charset, which the parser represents as lone surrogates
        value = charsets.decode(value.encode(errors="surrogateescape"), None)
    return " ".join((decode_words(value) if "=?" in value else value).split())


def decode_words(value: str) -> str:
    """Decode encoded words; blanks between two of them are removed, and a character may be split across two.

    "=?utf-8?q?caf=C3?= =?utf-8?q?=A9_au?= lait" -> "café au lait"
    """
    texts: list[str] = []
    data, charset, end = b"", "", 0
    for match in ENCODED_WORD.finditer(value):
        between = value[end : match.start()]
        if between.strip() or not end or match[1].lower() != charset:
            texts.append(charsets.decode(data, charset) if data else "")
            texts.append("" if end and not between.strip() else between)
            data = b""
        charset, end = match[1].lower(), match.end()
        data += encoded_word_bytes(match[2], match[3])
    texts.append(charsets.decode(data, charset) if data else "")
    return "".join(texts) + value[end:]


def encoded_word_bytes(encoding: str, text: str) -> bytes:
    """Return the bytes of an encoded word's text."""
    data = text.encode("utf-8", errors="surrogateescape")
    if encoding in "qQ":
        return binascii.a2b_qp(data.replace(b" ", b"_"), header=True)
    data = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    data = data[:-1] if len(data) % 4 == 1 else data
    return base64.b64decode(data + b"=" * (-len(data) % 4))
