"""Remove HTML tags and decode entities."""

import re
from functools import lru_cache
from html.entities import html5 as entities_of_html
from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps._search import contains

# Comments, markup declarations (including Office's <![if !mso]> and <?xml:namespace ...>), and elements that browsers
# do not show. A title, unlike a script, must have an end tag: mails use "<title>" as a placeholder.
INVISIBLE = (
    r"(?is)<!--(?:-?>|.*?(?:--!?>|\z))|<script(?:[\s/][^>]*)?>.*?(?:</script\s*[^>]*>|\z)"
    r"|<style(?:[\s/][^>]*)?>.*?(?:</style\s*[^>]*>|\z)"
    r"|<!(?:[a-z]|\[)[^>]*>|<\?[a-z][^>]*>"
)
# Separate patterns: with several unclosed elements in one pattern, each match would read the rest of the text.
TITLE = r"(?is)<title(?:[\s/][^>]*)?>.*?</title\s*>"
UNSHOWN = r"(?is)<(?:template|noframes|noembed|iframe)(?:[\s/][^>]*)?>.*?</(?:template|noframes|noembed|iframe)\s*>"
# Inside quotes after "=", ">" does not end a tag.
ATTRIBUTES = r"(?:=\s*\"[^\"]*\"|=\s*'[^']*'|[^<>])*"
# A tag's name is followed by a space, a slash or the end: <a@b.org>, <https://a.org> and "a < b" are not tags. A name
# may have a prefix (<o:p>) and hyphens (<my-card>); one with dots could be a host name, so it needs attributes.
NAME = r"[a-zA-Z][a-zA-Z0-9_]*(?:-+[a-zA-Z0-9_]+)*-*(?::[a-zA-Z][a-zA-Z0-9_\-]*)?"
DOTTED = r"[a-zA-Z][a-zA-Z0-9_.:\-]*"
BREAKING = (
    r"(?i)</?(?:address|article|aside|blockquote|body|br|caption|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption"
    r"|figure|footer|form|h[1-6]|header|hgroup|hr|li|legend|main|menu|nav|ol|optgroup|option|p|pre|search|section|summary"
    r"|table|td|th|tr|ul)"
    rf"(?:\s{ATTRIBUTES}|/[^<>\s]*={ATTRIBUTES})?/?>"
)
TAG = (
    rf"</?{NAME}(?:\s{ATTRIBUTES}|/\s*[a-zA-Z\-]+={ATTRIBUTES})?/?>|</{DOTTED}\s*>|<{DOTTED}\s+[a-zA-Z:\-]+={ATTRIBUTES}>"
    # A tag cut off by the end of the text.
    r"|</?[a-zA-Z][a-zA-Z0-9:\-]*\s+[a-zA-Z:\-]+\s*=[^<>]*\z"
)
# Entities that HTML allows without ";" for old pages. Accented letters may occur inside a word, others only at its end:
# "&copy" in "?a=1&copy=2" is rarely meant as a sign, and in "&copyright" never.
BARE = tuple(sorted(name for name in entities_of_html if not name.endswith(";")))
ACCENTED = "|".join(
    name for name in BARE if re.fullmatch(r"[A-Za-z]{1,2}(?:acute|grave|circ|tilde|uml|cedil|ring|slash|lig)", name)
)
OTHERS = "|".join(name for name in BARE if not re.fullmatch(ACCENTED, name))
NUMERIC = "#[0-9]+;?|#[xX][0-9a-fA-F]+;?"
ENTITY = rf"&(?:{NUMERIC}|[A-Za-z][A-Za-z0-9]{{1,31}};|(?:{ACCENTED})|(?:{OTHERS})\b)"
# A noncharacter separates entities from text. It is first replaced by its entity where it occurs in the text.
MARK = "\ufdd1"
ESCAPED_MARK = "&#64977;"
LAST_CODE = 0x10FFFF
# HTML's parsing standard decodes the references 128-159 as windows-1252.
WINDOWS = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ"


class Config(Section):
    """tags: "strip" removes tags, comments, scripts and style sheets; "keep" only decodes entities."""

    kind: Literal["html"] = "html"
    tags: Literal["strip", "keep"] = "strip"


def apply(text, config):
    """[N] string -> [N] string: removes tags (block elements leave a line break), then decodes entities.

    Tags are recognized as in a browser, including Office's <o:p> and <![if !mso]> and custom elements; addresses
    (<a@b.org>) and arithmetic (a < b) stay. Titles, scripts, style sheets and templates are removed with their content.
    Decodes all 2,125 named entities of HTML 5 that end in ";", all numeric ones, and the 106 that need no ";", at the
    end of a word or, for accented letters (&uuml), anywhere. Unknown names stay. Not idempotent: "&amp;lt;" -> "&lt;".
    Put it before the masks, whose tokens look like tags.

    "<p>Fish &amp; chips&#33;<br/>5 &lt; 6</p>" -> "\\nFish & chips!\\n5 < 6\\n"
    """
    import tensorflow as tf

    if config.tags == "strip":
        tagged = tf.where(contains(text, "<[a-zA-Z/!?]"))  # [M, 1]
        text = tf.tensor_scatter_nd_update(text, tagged, strip_tags(tf.gather_nd(text, tagged)))
    # Few texts have an entity; the others skip the split and the join.
    escaped = tf.where(contains(text, "&"))  # [M, 1]
    return tf.tensor_scatter_nd_update(text, escaped, unescape(tf.gather_nd(text, escaped)))


def strip_tags(text):
    """Remove tags: [M] string -> [M] string."""
    import tensorflow as tf

    for pattern, replacement in ((INVISIBLE, ""), (TITLE, ""), (UNSHOWN, ""), (BREAKING, "\n"), (TAG, "")):
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text


def unescape(text):
    """Decode entities: [M] string -> [M] string.

    ["a &lt; b"] -> ["a < b"]
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, MARK, ESCAPED_MARK)
    text = tf.strings.regex_replace(text, ENTITY, MARK + r"\0" + MARK)
    parts = tf.strings.split(text, MARK)  # [M, None]
    flat = parts.flat_values
    numeric = tf.strings.regex_full_match(flat, r"&#(?:[0-9]+|[xX][0-9a-fA-F]+);?")
    indices = tf.where(numeric)
    flat = tf.tensor_scatter_nd_update(decode_named(flat), indices, decode_numeric(tf.gather_nd(flat, indices)))
    return tf.strings.reduce_join(parts.with_flat_values(flat), axis=-1)


def decode_named(entity):
    """Decode named entities and leave other strings unchanged: [P] string -> [P] string.

    ["&eacute;", "&nonsense;", "x"] -> ["é", "&nonsense;", "x"]
    """
    import tensorflow as tf

    names, characters, hashes = entities()
    # Constants and binary search, because a lookup table that is created while tracing cannot be exported.
    index = tf.searchsorted(hashes, hash_names(entity))
    index = tf.minimum(index, names.shape[0] - 1)
    return tf.where(tf.gather(names, index) == entity, tf.gather(characters, index), entity)


def decode_numeric(entity):
    """Decode numeric references as in HTML's parsing standard: [P] string -> [P] string.

    ["&#33;", "&#x1F600;", "&#150;", "&#0;"] -> ["!", "😀", "–", "\\ufffd"]
    """
    import tensorflow as tf

    base = tf.where(tf.strings.regex_full_match(entity, "&#[xX].*"), 16, 10)[:, None]
    digits = tf.strings.regex_replace(entity, "^&#[xX]?0*|;", "")
    too_long = tf.strings.length(digits) > 7
    digits = tf.strings.substr(tf.strings.join(["0000000", digits]), -7, 7)
    codes = tf.cast(tf.reshape(tf.io.decode_raw(digits, tf.uint8, fixed_length=7), [-1, 7]), tf.int32)  # [P, 7]
    values = codes - tf.where(codes < ord("A"), ord("0"), tf.where(codes < ord("a"), ord("A") - 10, ord("a") - 10))
    powers = base ** tf.range(6, -1, -1)[None]
    code = tf.reduce_sum(values * powers, axis=1)  # [P], below 16 ** 7
    invalid = too_long | (code == 0) | (code > LAST_CODE) | ((code >= 0xD800) & (code <= 0xDFFF))
    windows = tf.constant([ord(character) for character in WINDOWS])
    is_windows = (code >= 128) & (code < 160)
    code = tf.where(is_windows, tf.gather(windows, tf.where(is_windows, code - 128, 0)), code)
    code = tf.where(invalid, 0xFFFD, code)
    return tf.strings.unicode_encode(code[:, None], "UTF-8")


def hash_names(name):
    """A 62-bit hash of each name: [P] string -> [P] int64."""
    import tensorflow as tf

    return tf.strings.to_hash_bucket_fast(name, 2**62)


@lru_cache(maxsize=1)
def entity_table():
    """Names, characters and hashes of all named entities as NumPy arrays, sorted by hash."""
    import numpy as np
    import tensorflow as tf

    table = {f"&{name}": characters for name, characters in entities_of_html.items()}
    names = np.array([name.encode() for name in table], dtype=object)
    characters = np.array([value.encode() for value in table.values()], dtype=object)
    with tf.init_scope():
        hashes = hash_names(tf.constant(names)).numpy()
    order = np.argsort(hashes)
    assert len(set(hashes.tolist())) == len(names), "two entities share a hash"
    return names[order], characters[order], hashes[order]


def entities():
    """entity_table() as constants of the current graph."""
    import tensorflow as tf

    return tuple(tf.constant(array) for array in entity_table())
