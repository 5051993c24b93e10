"""Text and tables as HTML that nothing in the data can break out of.

Every string of a page goes through `escape`: markup is inert, what cannot be seen is named, and a right-to-left text
stays within its own place.
"""

import difflib
import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST = 1500  # characters of a text that are shown
COMPARED = 400  # words beyond which two texts are not compared word by word
KEPT = "\n\t\u200c\u200d"  # joiners are part of words in Persian and of joined emoji
# Private use is left alone: icons of a font, not marks that steer.
UNSEEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
NONCHARACTER = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")


def unseen(letter: str) -> bool:
    """Whether a character has no look of its own: controls, bidirectional overrides, zero widths, lone surrogates."""
    return letter not in KEPT and unicodedata.category(letter) in UNSEEN


def name(letter: str) -> str:
    """U+202E"""
    return f"U+{ord(letter):04X}"


def plain(text: str) -> str:
    """A text for places that hold no markup, such as titles: unseen characters by their number.

    "a\\u202eb<i>" -> "a[U+202E]b<i>"
    """
    return "".join(f"[{name(letter)}]" if unseen(letter) else letter for letter in text)


def attribute(text: str) -> str:
    """A text inside quotation marks of an attribute, or in SVG."""
    return html.escape(plain(text), quote=True)


def escape(text: str) -> str:
    """A text as HTML, its unseen characters as small labels.

    "<b>\\0" -> "&lt;b&gt;<span class=u title=...>U+0000</span>"
    """
    if text.isprintable():  # nearly always
        return html.escape(text, quote=True)
    out = []
    for letter in text:
        if unseen(letter):
            about = html.escape(unicodedata.name(letter, "control character").lower())
            out.append(f'<span class="u" title="{about}">{name(letter)}</span>')
        else:
            out.append(html.escape(letter, quote=True))
    return "".join(out)


def shown(text: str, *, longest: int = LONGEST) -> str:
    """A text of the data as HTML, cut when it is very long; an empty one is said to be so."""
    if not text.strip():
        return f'<i class="quiet">{"blank" if text else "empty"}</i>'
    if len(text) <= longest:
        return escape(text)
    return escape(text[:longest]) + f'<i class="quiet"> … and {len(text) - longest:,} characters more</i>'


def differing(text: str, others: str | Sequence[str]) -> str:
    """A text as HTML, the words that another has not in these places marked; of several others the most similar counts.

    ("a red dog", "a dog") -> "a <mark>red</mark> dog"
    """
    other = others if isinstance(others, str) else max(others, key=lambda one: likeness(text, one))
    if not text.strip() or len(text) > LONGEST or len(other) > LONGEST:
        return shown(text)
    ours, theirs = (re.findall(r"\s+|\S+", one) for one in (text, other))
    if max(len(ours), len(theirs)) > 2 * COMPARED:
        return shown(text)
    out = []
    for kind, start, end, _, _ in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        piece = "".join(ours[start:end])
        word = piece.strip()
        if kind == "equal" or not word:
            out.append(escape(piece))
        else:
            before, after = piece.split(word)
            out.append(f"{escape(before)}<mark>{escape(word)}</mark>{escape(after)}")
    return "".join(out)


def likeness(text: str, other: str) -> float:
    """How alike two texts are, word by word: 0 to 1."""
    return difflib.SequenceMatcher(None, text.split()[:COMPARED], other.split()[:COMPARED], autojunk=False).ratio()


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "", texts: Sequence[int] = (0,)
) -> str:
    """An HTML table that scrolls sideways where the screen is narrow; columns in `texts` are not figures.

    Cells are escaped unless they are Raw; None is a dash.
    """
    head = "".join(
        f'<th scope="col"{"" if at in texts else " class=n"}>{cell(value)}</th>' for at, value in enumerate(headers)
    )
    body = []
    for row in rows:
        cells = []
        for at, value in enumerate(row):
            tag = "th scope=row" if at == 0 and 0 in texts else "td"
            side = ' dir="auto"' if at in texts else " class=n"
            cells.append(f"<{tag}{side}>{cell(value)}</{tag.split()[0]}>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    label = f' aria-label="{attribute(caption)}"' if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region"{label or " aria-label=table"}><table>{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


class Raw(str):
    """HTML that is already safe."""


def cell(value: Any) -> str:
    """A table's cell."""
    if isinstance(value, Raw):
        return value
    return "–" if value is None else escape(number(value) if isinstance(value, int | float) else str(value))


def number(value: float | None, digits: int = 4) -> str:
    """Four digits, thousands grouped: 0.0312, 36.58, 12,345; a dash for a figure that is not defined."""
    if value is None:
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
