"""Decode bytes in a declared charset as mail programs and browsers do.

Labels and supersets follow the WHATWG Encoding Standard (the library webencodings): iso-8859-1 is windows-1252, gb2312 is
gbk. Added are mail charsets that the standard omits (utf-7, hz, cp850), spellings found in practice (cp-850, iso8859_15),
and characters of the standard's supersets that Python's codecs lack.
"""

import codecs
import re
from functools import lru_cache

import webencodings

# Labels that do not name a charset: the bytes are decoded as UTF-8 if valid, else as windows-1252.
UNDECLARED = frozenset(
    ("", "ascii", "us-ascii", "ansi_x3.4-1968", "iso646-us", "unknown-8bit", "x-unknown", "unknown", "default", "none",
     "binary", "7bit", "8bit", "x-user-defined", "user-defined", "charset")
)  # fmt: skip
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF16_LE, "utf-16-le"))
# Labels, without punctuation, of charsets used in mail that the standard omits or spells differently.
EXTRA_LABELS = {
    "utf7": "utf-7", "unicode11utf7": "utf-7", "xunicode20utf7": "utf-7", "utf32": "utf-32", "utf32le": "utf-32-le",
    "utf32be": "utf-32-be", "utf8mb4": "utf-8", "utf8mb3": "utf-8", "unicode": "utf-16", "hz": "hz", "hzgb2312": "hz",
    "iso2022kr": "iso2022_kr", "csiso2022kr": "iso2022_kr", "iso2022jp1": "iso-2022-jp", "iso2022jp2": "iso2022_jp_2",
    "iso2022jp3": "iso2022_jp_3", "iso2022jpext": "iso-2022-jp", "cp50220": "iso-2022-jp", "cp50221": "iso-2022-jp",
    "cp50222": "iso-2022-jp", "cp51932": "euc-jp", "eucjpms": "euc-jp", "eucjpwin": "euc-jp", "ujis": "euc-jp",
    "cp932": "cp932", "windows932": "cp932", "ms932": "cp932", "sjiswin": "cp932", "cp936": "gb18030",
    "windows936": "gb18030", "ms936": "gb18030", "euccn": "gb18030", "cp54936": "gb18030", "gb180302000": "gb18030",
    "gb180302005": "gb18030", "xeuccn": "gb18030", "cp949": "cp949", "uhc": "cp949", "ms949": "cp949",
    "johab": "johab", "ksc56011992": "cp949", "cp950": "big5hkscs", "ms950": "big5hkscs", "big5hkscs2004": "big5hkscs",
    "big5eten": "big5hkscs", "cp1361": "johab", "iso88591windows": "cp1252", "ansi": "cp1252", "msansi": "cp1252",
    "winlatin1": "cp1252", "win": "cp1252", "latin9": "iso8859-15", "latin10": "iso8859-16", "iso885916": "iso8859-16",
    "kz1048": "kz1048", "strk1048": "kz1048", "rk1048": "kz1048", "pt154": "ptcp154", "koi8t": "koi8_t",
    "macroman": "mac-roman", "xmacroman": "mac-roman", "macce": "mac-latin2", "xmacce": "mac-latin2",
    "maccentraleurope": "mac-latin2", "macgreek": "mac-greek", "macturkish": "mac-turkish", "xmacgreek": "mac-greek",
    "xmacturkish": "mac-turkish", "mactis": "cp874", "hproman8": "hp-roman8", "roman8": "hp-roman8",
}  # fmt: skip
CODE_PAGE = re.compile(r"(?:x?cp|(?:x|ms|ibm)?windows|win|ibm|dos|ms|oem|x)?0*([0-9]{3,5})(?:dos|windows|win)?")
ISO_8859 = re.compile(r"(?:x|cs)?(?:iso)?8859([0-9]{1,2})(?:e|i)?(?:19[0-9]{2})?")


def decode(data: bytes, charset: str | None) -> str:
    """Decode bytes in a declared charset; if undeclared or unknown, as UTF-8 if valid, else as windows-1252.

    A byte order mark overrides the label. Bytes that are invalid in the charset become lone surrogates, which ingest
    counts and replaces like all others.

    decode(b"It\\x92s", "iso-8859-1") -> "It’s"
    """
    for mark, name in BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, errors="surrogateescape" if name == "utf-8" else "replace")
    codec = find_codec(charset or "")
    if codec is None:
        try:
            return data.decode()
        except UnicodeDecodeError:
            codec = "cp1252"
    if codec == "iso-2022-jp":
        return decode_iso_2022_jp(data)
    errors = "textpipe.mail" if codec not in ("utf-8", "utf-7") else "surrogateescape"
    try:
        return data.decode(codec, errors=errors)
    except (UnicodeError, ValueError):
        return data.decode(codec, errors="replace")


def is_known(charset: str | None) -> bool:
    """Whether a label names a charset, or is a conventional label for an undeclared one."""
    return find_codec(charset or "") is not None or normalize_label(charset or "") in UNDECLARED


def normalize_label(charset: str) -> str:
    """Remove quotes, blanks and anything appended to a label: ' "UTF-8";' -> "utf-8"."""
    return re.split(r"[;,\s*]", charset.strip("\"' \t\r\n\f<>[]"), maxsplit=1)[0].strip("\"'").lower()


@lru_cache(maxsize=1024)
def find_codec(charset: str) -> str | None:
    """Return the Python codec for a label, or None: "KS_C_5601-1987" -> "cp949", "cp-850" -> "cp850"."""
    name = normalize_label(charset)
    if name in UNDECLARED:
        return None
    alphanumeric = re.sub(r"[^a-z0-9]", "", name)
    if alphanumeric in EXTRA_LABELS:
        return text_codec(EXTRA_LABELS[alphanumeric])
    for spelling in (
        name,
        f"iso-8859-{match[1]}" if (match := ISO_8859.fullmatch(alphanumeric)) else "",
        *spelling_variants(name),
    ):
        encoding = webencodings.lookup(spelling) if spelling.isascii() else None
        if encoding is not None and encoding.name not in ("replacement", "x-user-defined"):
            return codec_of_encoding(encoding.name, encoding.codec_info.name)
    match = CODE_PAGE.fullmatch(alphanumeric)
    if match is None:
        return None
    number = match[1].lstrip("0")
    return {"65001": "utf-8", "65000": "utf-7", "20127": None, "28591": "cp1252", "1200": "utf-16-le", "20866": "koi8-r",
            "21866": "koi8-u", "10000": "mac-roman", "819": "cp1252"}.get(number, text_codec(f"cp{number}"))  # fmt: skip


def spelling_variants(name: str) -> tuple[str, ...]:
    """Return spellings of a label to look up in the standard: "windows_1251" -> "windows-1251", "x-gbk" -> "gbk"."""
    bare = name.removeprefix("x-").removeprefix("cs")
    alphanumeric = re.sub(r"[^a-z0-9]", "", name)
    numbers = re.fullmatch(r"(?:x?cp|(?:ms)?windows|win|x)(12[0-9]{2}|874)", alphanumeric)
    return (name.replace("_", "-"), name.replace("-", "_"), bare, bare.replace("_", "-"), alphanumeric,
            f"windows-{numbers[1]}" if numbers else "")  # fmt: skip


def text_codec(name: str) -> str | None:
    """Return the name if Python has a text codec of that name, else None."""
    try:
        return name if name == "iso-2022-jp" or codecs.lookup(name)._is_text_encoding else None
    except LookupError:
        return None


def codec_of_encoding(name: str, codec: str) -> str:
    """Return the Python codec for an encoding of the standard; GBK is decoded as GB 18030."""
    if name in ("iso-2022-jp", "euc-jp"):
        return name
    return {"gbk": "gb18030", "iso8859-1": "cp1252", "utf-16": "utf-16-le"}.get(name, codec)


def handle_decode_error(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: decode characters that the standard's tables have and Python's lack."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    codec, start = error.encoding.lower().replace("_", "").replace("-", ""), error.start
    pair, byte = error.object[start : start + 2], error.object[start]
    if codec.startswith("eucjp") and len(pair) == 2 and min(pair) >= 0xA1:
        return jis_character(pair[0] - 0x80, pair[1] - 0x80) or ascii_or_surrogates(
            error.object[start : start + 1]
        ), start + 2
    if codec.startswith("big5"):
        for name in ("cp950", "big5"):
            try:
                return pair.decode(name), start + len(pair)
            except UnicodeDecodeError:
                continue
    if codec.startswith(("gb", "cp936")) and byte == 0x80:
        return "€", start + 1
    # The standard decodes bytes 128 to 159 that a code page leaves undefined as C1 controls.
    if byte < 0xA0 and codec == "charmap":
        return chr(byte), start + 1
    if codec.startswith("utf") or codec in ("hz", "iso2022kr"):
        return "\ufffd", error.end
    return ascii_or_surrogates(error.object[start : start + 1]), start + 1


codecs.register_error("textpipe.mail", handle_decode_error)


def ascii_or_surrogates(data: bytes) -> str:
    """Decode ASCII; other bytes become lone surrogates, which are counted later."""
    return data.decode("ascii", errors="surrogateescape")


def jis_character(lead: int, trail: int) -> str:
    """Return the character of JIS X 0208 with NEC and IBM extensions for two 7-bit bytes; "" if undefined.

    Shift_JIS is the same table in another order, and Python's cp932 includes those extensions.
    """
    row, cell = lead - 0x21, trail - 0x21
    if not (0 <= row < 94 and 0 <= cell < 94):
        return ""
    first = 0x81 + row // 2 + (0x40 if row >= 62 else 0)
    second = 0x9F + cell if row % 2 else 0x40 + cell + (cell >= 63)
    try:
        return bytes((first, second)).decode("cp932")
    except UnicodeDecodeError:
        return ""


ESCAPE = re.compile(rb"\x1b(\([BJI]|\$[@B]|\$\([@BD])")


def decode_iso_2022_jp(data: bytes) -> str:
    """Decode ISO-2022-JP with NEC and IBM extensions, half-width katakana and JIS X 0212, as Japanese mailers send it."""
    texts, state, start = [], b"(B", 0
    for match in [*ESCAPE.finditer(data), None]:
        run = data[start : match.start() if match else len(data)]
        if state in (b"(B", b"(J"):
            texts.append(ascii_or_surrogates(run))
        elif state == b"(I":
            texts.append("".join(chr(0xFF61 + code - 0x21) if 0x21 <= code <= 0x5F else chr(code) for code in run))
        else:
            texts.append(decode_double_bytes(run, supplement=state == b"$(D"))
        if match:
            state, start = match[1], match.end()
    return "".join(texts)


def decode_double_bytes(run: bytes, *, supplement: bool) -> str:
    """Decode a run of two-byte characters; line ends inside it, which end the run by the standard, are kept."""
    texts, at = [], 0
    while at < len(run):
        pair = run[at : at + 2]
        if pair[0] < 0x21 or len(pair) < 2 or not 0x21 <= pair[1] <= 0x7E or pair[0] > 0x7E:
            texts.append(chr(pair[0]) if pair[0] < 0x21 else "\ufffd")
            at += 1
            continue
        if supplement:
            texts.append(bytes((0x8F, pair[0] | 0x80, pair[1] | 0x80)).decode("euc_jp", errors="replace"))
        else:
            texts.append(jis_character(*pair) or "\ufffd")
        at += 2
    return "".join(texts)
