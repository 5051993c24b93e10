"""Extract a mail's text from its MIME structure (RFC 2045, 2046, 2183, 2387).

Takes one of several alternatives and all inline parts in order; skips attachments, attached mails and machine-readable
parts.
"""

import email
import email.message
import re
from collections import Counter
from dataclasses import dataclass
from html import escape

from textpipe.data.mail import headers, payload

# Subtypes of text that mail programs offer as files instead of displaying them.
FILE_SUBTYPES = frozenset(
    [
        "calendar",
        "csv",
        "tab-separated-values",
        "css",
        "javascript",
        "ecmascript",
        "json",
        "xml",
        "xml-external-parsed-entity",
        "vcard",
        "x-vcard",
        "directory",
        "x-vcalendar",
        "x-amp-html",
        "x-watch-html",
        "rfc822-headers",
        "x-moz-deleted",
        "rtf",
        "x-log",
        "sgml",
        "dns",
        "vnd.curl",
        "x-java-source",
        "x-python",
        "x-sh",
        "x-c",
        "x-c++",
        "x-csrc",
        "x-chdr",
        "x-php",
        "x-perl",
        "x-sql",
    ]
)
MAX_DEPTH = 50  # levels of nested parts
BOUNDARY = re.compile(r"^--([^\s-][^\r\n]*?|-+[^\r\n\s-][^\r\n]*?)[ \t]*\r?$", re.MULTILINE)
# A mailing list footer in a separate part: mailman's line of underscores, a signature separator, or how to unsubscribe.
FOOTER = re.compile(
    r"\s*(?:(?:_{5,}|-{5,}|={5,}|\*{5,}|~{5,}|-- ?|--~[-~]+)[ \t]*(?:\n|\Z))|.{0,600}(?:\bunsubscribe\b|\bmailman\b|listinfo/)",
    re.DOTALL | re.IGNORECASE,
)
FOOTER_LENGTH = 1500
ENRICHED_COMMAND = re.compile(r"<(?:param>.*?</param|/?[A-Za-z-]{1,60})>", re.DOTALL | re.IGNORECASE)


@dataclass
class DisplayedPart:
    """A part that a mail program displays; kind is "plain" or "html"."""

    kind: str
    text: str

    @property
    def blank(self) -> bool:
        """Whether the part has no visible text; images in HTML do not count."""
        text = self.text
        if self.kind == "html" and len(text) < 5_000:
            text = re.sub(r"(?is)<!--.*?-->|<(head|style|script|title)\b.*?</\1\s*>|<[^>]*>|&nbsp;?|&#160;?", "", text)
        return not text.strip("\u200b\u200c\u200d\u2060\ufeff\u00ad \t\n\r\f\v\u00a0\u3000") or not text.strip()


def body(message: email.message.Message, counts: Counter[str]) -> str:
    """Return a mail's text: plain text if it has any, else HTML, else ""."""
    parts = [part for part in displayed_parts(message, counts, root=True) if not part.blank]
    if not parts:
        parts = [DisplayedPart("plain", text) for text in text_outside_parts(message, counts) if text.strip()]
    if not parts:
        return ""
    kind = parts[0].kind
    texts = [parts[0].text]
    for part in parts[1:]:
        if part.kind == "plain" and len(part.text) < FOOTER_LENGTH and FOOTER.match(part.text):
            counts["footers_left_out"] += 1
        elif part.kind == kind:
            texts.append(part.text)
        elif kind == "html":
            texts.append(f"<p>{escape(part.text, quote=False).replace(chr(10), '<br>' + chr(10))}</p>")
        else:  # HTML next to plain text repeats it
            counts["html_beside_plain"] += 1
    return "\n\n".join(texts)


def displayed_parts(
    part: email.message.Message, counts: Counter[str], *, root: bool = False, depth: int = 0
) -> list[DisplayedPart]:
    """Return the displayed parts of a part, in order; root: the part is the mail, which is never an attachment by name."""
    main, sub = part.get_content_maintype(), part.get_content_subtype()
    if is_attachment(part, root):
        return []
    if main == "multipart":
        return displayed_in_multipart(sub, part, counts, depth)
    if main == "application" and sub == "xhtml+xml":
        return [DisplayedPart("html", payload.part_text(part, counts))]
    if main != "text" or sub in FILE_SUBTYPES:
        return []
    if sub in ("html", "x-html"):
        return [DisplayedPart("html", payload.part_text(part, counts))]
    text = payload.part_text(part, counts)
    return [DisplayedPart("plain", enriched_to_plain(text) if sub in ("enriched", "richtext") else text)]


def displayed_in_multipart(
    sub: str, part: email.message.Message, counts: Counter[str], depth: int
) -> list[DisplayedPart]:
    """Return the displayed parts of a multipart by its subtype; unknown subtypes are read as mixed (RFC 2046, 5.1.3)."""
    if sub in ("digest", "encrypted") or depth > MAX_DEPTH:
        return []
    parts = subparts(part, counts)
    if sub == "signed":
        parts = parts[:1]
    if sub == "report":
        parts = parts[:1]
    if sub == "related":
        parts = [related_root(part, parts)] if parts else []
    groups = [group for part in parts if (group := displayed_parts(part, counts, depth=depth + 1))]
    if sub != "alternative":
        return [displayed for group in groups for displayed in group]
    readable = [group for group in groups if not all(displayed.blank for displayed in group)]
    plain = [group for group in readable if next(shown for shown in group if not shown.blank).kind == "plain"]
    return next(iter(plain or readable), [])


def is_attachment(part: email.message.Message, root: bool) -> bool:
    """Whether a part is an attachment: declared as one, or a text with a file name (non-text is handled by type)."""
    disposition = str(part.get("Content-Disposition", "")).strip().lower()
    if re.match(r"attachment(?![a-z-])", disposition):
        return True
    if root or part.get_content_maintype() != "text":
        return False
    return bool(part.get_filename() or re.search(r"\bfilename\b", disposition))


def subparts(part: email.message.Message, counts: Counter[str]) -> list[email.message.Message]:
    """Return a multipart's parts; if its boundary is missing or wrong, it is guessed from the lines."""
    content = part.get_payload()
    if isinstance(content, list):
        return [child for child in content if isinstance(child, email.message.Message)]
    if not isinstance(content, str):
        return []
    boundary = likely_boundary(content)
    if boundary is None:
        return []
    counts["mended_headers"] += 1
    repaired = f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n{content}'
    policy = headers.lenient_policy(counts)
    try:
        parts = email.message_from_bytes(
            repaired.encode("ascii", errors="surrogateescape"), policy=policy
        ).get_payload()
    except RecursionError:
        counts["too_deep"] += 1
        part.set_payload("")  # counted once, however often it is searched
        return []
    return [child for child in parts if isinstance(child, email.message.Message)] if isinstance(parts, list) else []


def likely_boundary(text: str) -> str | None:
    """Return the first line after "--" that is followed by a part's header or has a matching closing line."""
    for match in BOUNDARY.finditer(text):
        name = match[1]
        if name.rstrip() in ("", "-") or '"' in name or len(name) > 200:
            continue
        following = text[match.end() : match.end() + 100].lstrip("\r\n")
        if re.match(r"Content-[A-Za-z-]+[ \t]*:", following, re.IGNORECASE) or f"--{name}--" in text:
            return name.removesuffix("--") if f"--{name.removesuffix('--')}\n" in text else name
    return None


def related_root(part: email.message.Message, parts: list[email.message.Message]) -> email.message.Message:
    """Return the root of a multipart/related: the part named by the parameter `start`, else the first."""
    start = payload.parameter(part, "start").strip("<>")
    for child in parts:
        if start and str(child.get("Content-ID", "")).strip().strip("<>") == start:
            return child
    return parts[0]


def text_outside_parts(message: email.message.Message, counts: Counter[str]) -> list[str]:
    """Return the text of a multipart without displayable parts: its unparsed content, or the text before its parts."""
    if message.get_content_maintype() != "multipart" or is_attachment(message, root=True):
        return []
    content = message.get_payload()
    repeated: Counter[str] = Counter()  # displayed_parts has counted these repairs
    if isinstance(content, str) and subparts(message, repeated) == []:
        if repeated["too_deep"]:
            return []
        plain = email.message.Message()
        plain.set_payload(content)
        text = payload.part_text(plain, counts)
    else:
        text = message.preamble or ""
    if re.match(r"\s*This is an? (?:OpenPGP|S/MIME|MIME|multi-?part|cryptographically)", text, re.IGNORECASE):
        return []
    if text.strip():
        counts["stray_texts"] += 1
    return [text.strip("\r\n")]


def enriched_to_plain(text: str) -> str:
    """Convert text/enriched (RFC 1896) to plain text: drop commands, "<<" -> "<", single line break -> blank.

    "<bold>Now</bold> is\\nthe time <<3\\n\\nEnd" -> "Now is the time <3\\nEnd"
    """
    text = "<".join(ENRICHED_COMMAND.sub("", segment) for segment in text.split("<<"))
    return re.sub(r"\n+", lambda breaks: " " if len(breaks[0]) == 1 else breaks[0][1:], text)
