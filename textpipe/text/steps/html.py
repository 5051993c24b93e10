"""Take HTML's tags out and turn its entities into the characters they stand for."""

import re
from functools import lru_cache
from html.entities import html5 as entities_of_html
from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps._search import contains

# Comments, markup declarations (Office's <![if !mso]> and <?xml:namespace ...> among them), and elements that no browser
# shows. A title, unlike a script, is only taken out where it ends: mails write "<title>" for a blank to fill in.
INVISIBLE = (
    r"(?is)<!--(?:-?>|.*?(?:--!?>|\z))|<script(?:[\s/][^>]*)?>.*?(?:</script\s*[^>]*>|\z)"
    r"|<style(?:[\s/][^>]*)?>.*?(?:</style\s*[^>]*>|\z)"
    r"|<!(?:[a-z]|\[)[^>]*>|<\?[a-z][^>]*>"
)
# Each by itself: a search that several unclosed elements keep open reads the rest of the text once a match.
TITLE = r"(?is)<title(?:[\s/][^>]*)?>.*?</title\s*>"
UNSHOWN = r"(?is)<(?:template|noframes|noembed|iframe)(?:[\s/][^>]*)?>.*?</(?:template|noframes|noembed|iframe)\s*>"
# In quotes that follow "=", ">" ends no tag.
ATTRIBUTES = r"(?:=\s*\"[^\"]*\"|=\s*'[^']*'|[^<>])*"
# A tag's name is followed by a blank, a slash or the end: <a@b.org> and <https://a.org> are no tags, nor is "a < b". A
# name may have a prefix (<o:p>) and hyphens (<my-card>); one with full stops could be a host's, so it needs attributes.
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
    # A tag that the end of the text cuts off.
    r"|</?[a-zA-Z][a-zA-Z0-9:\-]*\s+[a-zA-Z:\-]+\s*=[^<>]*\z"
)
# Names that HTML knows without ";" for the sake of old pages. Accented letters may stand inside a word, others not:
# "?a=1&copy=2" is seldom meant as a sign, but "&copyright" never.
BARE = tuple(sorted(name for name in entities_of_html if not name.endswith(";")))
ACCENTED = "|".join(
    name for name in BARE if re.fullmatch(r"[A-Za-z]{1,2}(?:acute|grave|circ|tilde|uml|cedil|ring|slash|lig)", name)
)
OTHERS = "|".join(name for name in BARE if not re.fullmatch(ACCENTED, name))
NUMERIC = "#[0-9]+;?|#[xX][0-9a-fA-F]+;?"
ENTITY = rf"&(?:{NUMERIC}|[A-Za-z][A-Za-z0-9]{{1,31}};|(?:{ACCENTED})|(?:{OTHERS})\b)"
# A noncharacter parts entities from text; a text that holds it spells it as an entity first, so nothing is lost.
MARK = "\ufdd1"
SPELLED = "&#64977;"
LAST_CODE = 0x10FFFF
# HTML's parsing standard reads the references 128-159 as windows-1252.
WINDOWS = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ"


class Config(Section):
    """tags: "strip" takes tags, comments, scripts and style sheets out; "keep" leaves them and unescapes alone."""

    kind: Literal["html"] = "html"
    tags: Literal["strip", "keep"] = "strip"


def apply(text, config):
    """[N] string -> [N] string: tags out (those that break a line leave one), then entities to characters.

    Tags are what a browser takes for some, Office's <o:p> and <![if !mso]> and elements of one's own among them; what
    could be an address (<a@b.org>) or arithmetic (a < b) stays. Titles, scripts, style sheets and templates go with
    what they hold. All 2,125 named entities of HTML 5 that end in ";" are known, all numeric ones, and the 106 that need
    no ";" before the end of a word, accented letters (&uuml) anywhere. An unknown name stays as it stands. Not
    idempotent by nature: "&amp;lt;" -> "&lt;". Put it before the masks, whose tokens look like tags.

    "<p>Fish &amp; chips&#33;<br/>5 &lt; 6</p>" -> "\\nFish & chips!\\n5 < 6\\n"
    """
    import tensorflow as tf

    if config.tags == "strip":
        tagged = tf.where(contains(text, "<[a-zA-Z/!?]"))  # [M, 1]
        text = tf.tensor_scatter_nd_update(text, tagged, strip_tags(tf.gather_nd(text, tagged)))
    # Few rows hold an entity: the others skip the split and the join.
    escaped = tf.where(contains(text, "&"))  # [M, 1]
    return tf.tensor_scatter_nd_update(text, escaped, unescape(tf.gather_nd(text, escaped)))


def strip_tags(text):
    """Tags out: [M] string -> [M] string."""
    import tensorflow as tf

    for pattern, replacement in ((INVISIBLE, ""), (TITLE, ""), (UNSHOWN, ""), (BREAKING, "\n"), (TAG, "")):
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text


def unescape(text):
    """Entities to characters: [M] string -> [M] string.

    ["a &lt; b"] -> ["a < b"]
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, MARK, SPELLED)
    text = tf.strings.regex_replace(text, ENTITY, MARK + r"\0" + MARK)
    parts = tf.strings.split(text, MARK)  # [M, None]
    flat = parts.flat_values
    numeric = tf.strings.regex_full_match(flat, r"&#(?:[0-9]+|[xX][0-9a-fA-F]+);?")
    spots = tf.where(numeric)
    flat = tf.tensor_scatter_nd_update(decode_named(flat), spots, decode_numeric(tf.gather_nd(flat, spots)))
    return tf.strings.reduce_join(parts.with_flat_values(flat), axis=-1)


def decode_named(entity):
    """Named entities to characters, all else unchanged: [P] string -> [P] string.

    ["&eacute;", "&nonsense;", "x"] -> ["é", "&nonsense;", "x"]
    """
    import tensorflow as tf

    names, characters, hashes = entities()
    # Constants and a binary search, not a lookup table: a table made while a graph is traced cannot be exported.
    place = tf.searchsorted(hashes, hash_names(entity))
    place = tf.minimum(place, names.shape[0] - 1)
    return tf.where(tf.gather(names, place) == entity, tf.gather(characters, place), entity)


def decode_numeric(entity):
    """Numeric references to characters, by HTML's parsing standard: [P] string -> [P] string.

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
    wrong = too_long | (code == 0) | (code > LAST_CODE) | ((code >= 0xD800) & (code <= 0xDFFF))
    windows = tf.constant([ord(character) for character in WINDOWS])
    is_windows = (code >= 128) & (code < 160)
    code = tf.where(is_windows, tf.gather(windows, tf.where(is_windows, code - 128, 0)), code)
    code = tf.where(wrong, 0xFFFD, code)
    return tf.strings.unicode_encode(code[:, None], "UTF-8")


def hash_names(name):
    """A 62-bit hash of each name: [P] string -> [P] int64."""
    import tensorflow as tf

    return tf.strings.to_hash_bucket_fast(name, 2**62)


@lru_cache(maxsize=1)
def entity_table():
    """Names, characters and hashes of all named entities as NumPy arrays, in order of their hash."""
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
    """entity_table() as constants of the graph in hand."""
    import tensorflow as tf

    return tuple(tf.constant(array) for array in entity_table())
