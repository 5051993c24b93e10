"""Text and tables as HTML, safe for untrusted data.

Every string of a page goes through `escape`: markup is inert, invisible characters are shown by code point, and
right-to-left text cannot affect its surroundings.
"""

import difflib
import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

MAX_CHARACTERS = 1500  # a longer text is truncated
MAX_COMPARED_WORDS = 400  # longer texts are not compared word by word
VISIBLE_FORMATS = "\n\t\u200c\u200d"  # joiners are part of words in Persian and of joined emoji
# Private-use characters are kept: icons of a font, not control characters.
INVISIBLE = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
NONCHARACTER = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")


def is_invisible(letter: str) -> bool:
    """Whether a character is invisible: controls, bidirectional overrides, zero-width characters, lone surrogates."""
    return letter not in VISIBLE_FORMATS and unicodedata.category(letter) in INVISIBLE


def code_point(letter: str) -> str:
    """U+202E"""
    return f"U+{ord(letter):04X}"


def plain_text(text: str) -> str:
    """A text for places without markup, such as titles: invisible characters by their code points.

    "a\\u202eb<i>" -> "a[U+202E]b<i>"
    """
    return "".join(f"[{code_point(letter)}]" if is_invisible(letter) else letter for letter in text)


def attribute(text: str) -> str:
    """A text inside a quoted attribute, or in SVG."""
    return html.escape(plain_text(text), quote=True)


def escape(text: str) -> str:
    """A text as HTML, its invisible characters as small labels.

    "<b>\\0" -> "&lt;b&gt;<span class=u title=...>U+0000</span>"
    """
    if text.isprintable():  # nearly always
        return html.escape(text, quote=True)
    out = []
    for letter in text:
        if is_invisible(letter):
            about = html.escape(unicodedata.name(letter, "control character").lower())
            out.append(f'<span class="u" title="{about}">{code_point(letter)}</span>')
        else:
            out.append(html.escape(letter, quote=True))
    return "".join(out)


def text_html(text: str, *, longest: int = MAX_CHARACTERS) -> str:
    """A text of the data as HTML, truncated when very long; "empty" or "blank" when there is nothing to see."""
    if not text.strip():
        return f'<i class="quiet">{"blank" if text else "empty"}</i>'
    if len(text) <= longest:
        return escape(text)
    return escape(text[:longest]) + f'<i class="quiet"> … and {len(text) - longest:,} characters more</i>'


def mark_differences(text: str, others: str | Sequence[str]) -> str:
    """A text as HTML with the words marked that differ from another text; of several, from the most similar one.

    ("a red dog", "a dog") -> "a <mark>red</mark> dog"
    """
    other = others if isinstance(others, str) else max(others, key=lambda candidate: similarity(text, candidate))
    if not text.strip() or len(text) > MAX_CHARACTERS or len(other) > MAX_CHARACTERS:
        return text_html(text)
    tokens, other_tokens = (re.findall(r"\s+|\S+", each) for each in (text, other))
    if max(len(tokens), len(other_tokens)) > 2 * MAX_COMPARED_WORDS:
        return text_html(text)
    out = []
    for kind, start, end, _, _ in difflib.SequenceMatcher(None, tokens, other_tokens, autojunk=False).get_opcodes():
        span = "".join(tokens[start:end])
        word = span.strip()
        if kind == "equal" or not word:
            out.append(escape(span))
        else:
            before, after = span.split(word)
            out.append(f"{escape(before)}<mark>{escape(word)}</mark>{escape(after)}")
    return "".join(out)


def similarity(text: str, other: str) -> float:
    """Similarity of two texts by words: 0 to 1."""
    return difflib.SequenceMatcher(
        None, text.split()[:MAX_COMPARED_WORDS], other.split()[:MAX_COMPARED_WORDS], autojunk=False
    ).ratio()


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "", texts: Sequence[int] = (0,)
) -> str:
    """An HTML table that scrolls horizontally on narrow screens; columns in `texts` are text, the others numbers.

    Cells are escaped unless they are Raw; None is a dash.
    """
    head = "".join(
        f'<th scope="col"{"" if at in texts else " class=n"}>{cell_html(value)}</th>'
        for at, value in enumerate(headers)
    )
    body = []
    for row in rows:
        cells = []
        for at, value in enumerate(row):
            tag = "th scope=row" if at == 0 and 0 in texts else "td"
            side = ' dir="auto"' if at in texts else " class=n"
            cells.append(f"<{tag}{side}>{cell_html(value)}</{tag.split()[0]}>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    label = f' aria-label="{attribute(caption)}"' if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region"{label or " aria-label=table"}><table>{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


class Raw(str):
    """HTML that is already escaped."""


def cell_html(value: Any) -> str:
    """The HTML of a table cell."""
    if isinstance(value, Raw):
        return value
    return "–" if value is None else escape(format_number(value) if isinstance(value, int | float) else str(value))


def format_number(value: float | None, digits: int = 4) -> str:
    """Four significant digits, thousands grouped: 0.0312, 36.58, 12,345; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
