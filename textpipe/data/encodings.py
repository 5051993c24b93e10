"""Decode text files: declared encodings, and detection where none is declared.

UTF-16 and UTF-32 are detected by a byte order mark or by the positions of NUL bytes; otherwise a file is read as UTF-8.
At the first bytes that are not UTF-8, the lines read so far and about a megabyte more decide: if they contain non-ASCII
text in UTF-8, the file is treated as damaged UTF-8, otherwise as Windows-1252 if that is plausible. Guesses are logged.
"""

import codecs
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from textpipe.errors import DataError, suggest

log = logging.getLogger(__name__)

UTF8 = "utf-8"
BOM, MARK = codecs.BOM_UTF8, "\ufeff"
CP1252 = "cp1252"
BOMS = (  # longest first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Programs that declare "latin-1" or "gb2312" actually write these supersets (WHATWG Encoding Standard).
SUPERSETS = {
    "ascii": UTF8, "iso8859-1": CP1252, "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "utf-8-sig": UTF8,
}  # fmt: skip
COMMON = (
    UTF8,
    "utf-16",
    CP1252,
    "cp1250",
    "cp1251",
    "latin-1",
    "iso-8859-15",
    "shift_jis",
    "gb18030",
    "euc-kr",
    "big5",
)
INVALID = "textpipe.invalid"  # error handler: maps each byte to a lone surrogate, which Repairs counts and replaces
HIGH_RUN = re.compile(rb"[\x80-\xff]+")
NOT_WESTERN = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # bytes undefined in Windows-1252


def lone_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: decode each invalid byte as a lone surrogate, U+DC00 plus the byte."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(INVALID, lone_surrogates)


@dataclass(frozen=True)
class Encoding:
    """The encoding of a file: Python's name for it, whether it is a guess, and the line the guess is based on."""

    name: str
    guessed: bool = False
    line: int | None = None


def canonical_name(name: str) -> str:
    """Return Python's name for a declared encoding, or for the superset it stands for. Raises ValueError if unknown.

    "latin-1" -> "cp1252", "UTF8" -> "utf-8"
    """
    try:
        info = codecs.lookup(name)
        # Excludes bytes-to-bytes codecs such as hex, and those for domain names and source code.
        usable = getattr(info, "_is_text_encoding", True) and info.incrementaldecoder is not None
        usable = usable and info.name not in ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")
    except (LookupError, ValueError):
        usable = False
    if not usable:
        raise ValueError(f"unknown encoding {name!r}{suggest(name, COMMON)}; any text encoding of Python is accepted")
    return SUPERSETS.get(info.name, info.name)


def detect(source: object, start: bytes, declared: str | None) -> Encoding:
    """Detect the encoding from a file's first bytes; UTF-8 by default. Raises DataError if it contradicts the declared one."""
    marked = next((name for mark, name in BOMS if start.startswith(mark)), None)
    if declared is not None:
        name = canonical_name(declared)
        family = name.replace("_", "-").removesuffix("-le").removesuffix("-be")
        if marked and not marked.startswith(family):
            raise DataError(
                f'{source}: begins with the byte order mark of {marked}, but encoding = "{declared}" is declared; '
                "leave encoding out, or convert the file"
            )
        if marked is None and name in ("utf-16", "utf-32"):
            detected = detect_by_nul_bytes(start)
            marked = detected if detected and detected.startswith(name) else f"{name}-le"
        return Encoding(marked or name)
    if marked:
        return Encoding(marked)
    wide = detect_by_nul_bytes(start)
    return Encoding(wide, guessed=True, line=1) if wide else Encoding(UTF8)


def detect_by_nul_bytes(start: bytes) -> str | None:
    """Detect UTF-16 or UTF-32 without a byte order mark by the NUL bytes of ASCII characters and line ends, else None."""
    nuls = start.count(0)
    if nuls * 200 < len(start):
        return None
    for name, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        try:
            text = start[: len(start) // width * width].decode(name)
        except UnicodeDecodeError as error:
            if error.start + 8 < len(start):  # not just a character cut off at the end of `start`
                continue
            text = start[: error.start].decode(name)
        controls = sum(text.count(chr(code)) for code in range(32) if code not in (9, 10, 13))
        ascii_ends = start.count(b"\n")
        if text and not controls and text.count("\n") * 5 >= ascii_ends:
            return name
    return None


def incremental_decoder(name: str) -> codecs.IncrementalDecoder:
    """Return an incremental decoder that decodes invalid bytes as lone surrogates."""
    return codecs.getincrementaldecoder(name)(INVALID)


class Utf8LineDecoder:
    """Decodes blocks of complete lines that should be UTF-8.

    guess: whether a file without non-ASCII UTF-8 text may be treated as Windows-1252. From then on each line that is
    not UTF-8 is decoded as such. Other invalid bytes become lone surrogates.
    """

    def __init__(self, source: object, *, guess: bool):
        self.source = source
        self.guess = guess
        self.encoding = Encoding(UTF8)
        self.line = 1
        self.tail = b""  # bytes read beyond the last line end
        self._mixed = False

    def chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass through the chunks that make up the blocks, remembering the incomplete last line."""
        for chunk in chunks:
            self.tail = chunk[chunk.rfind(b"\n") + 1 :]
            yield chunk

    def text(self, block: bytes) -> str:
        """Decode a block of lines."""
        try:
            text = block.decode()
        except UnicodeDecodeError:
            text = self._decode_invalid(block)
        else:
            if self.guess and not text.isascii():
                if self.encoding.guessed:
                    offset = next(at for at, byte in enumerate(block) if byte > 127) if not self._mixed else 0
                    self._warn_mixed(self.line + block.count(b"\n", 0, offset))
                else:
                    self.guess = False
        self.line += block.count(b"\n") + 1
        return text

    def _decode_invalid(self, block: bytes) -> str:
        if not self.encoding.guessed and (not self.guess or not self._guess_cp1252(block)):
            self.guess = False
            return block.decode(errors=INVALID)
        return "\n".join(self._decode_line(line, number) for number, line in enumerate(block.split(b"\n"), self.line))

    def _decode_line(self, line: bytes, number: int) -> str:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return line.decode(CP1252, errors=INVALID)
        if not text.isascii():
            self._warn_mixed(number)
        return text

    def _guess_cp1252(self, block: bytes) -> bool:
        """Whether to read a file as Windows-1252, given its first block with bytes that are not UTF-8.

        The lines before the block are ASCII. Raises DataError if the text is clearly neither encoding.
        """
        invalid, num_valid, first = [], 0, 0
        for number, line in enumerate(block.split(b"\n"), self.line):
            if not line.isascii():
                if is_utf8(line):
                    num_valid += 1
                else:
                    invalid.append(line)
                    first = first or number
        if 4 * (num_valid + has_utf8_text(self.tail)) > len(invalid):
            return False
        runs = [run for line in invalid for run in HIGH_RUN.findall(line)]
        # Non-ASCII letters are isolated in Western languages and form runs in other scripts.
        in_long_runs = sum(len(run) for run in runs if len(run) > 2)
        if 2 * in_long_runs > sum(map(len, runs)) or any(map(NOT_WESTERN.search, invalid)):
            if 10 * len(invalid) > block.count(b"\n") + 1:
                raise DataError(
                    f"{self.source}, line {first}: the text is not UTF-8, nor does it look like Windows-1252; declare "
                    'its encoding, for example encoding = "cp1251", "shift_jis" or "gb18030", or encoding = "utf-8" to '
                    "treat such bytes as on_invalid says"
                )
            return False
        self.encoding = Encoding(CP1252, guessed=True, line=first)
        return True

    def _warn_mixed(self, number: int) -> None:
        if not self._mixed:
            self._mixed = True
            log.warning(
                "%s, line %d: is UTF-8, but line %d is not; lines of this file that are UTF-8 are read as UTF-8 and "
                "the others as %s",
                self.source, number, self.encoding.line, self.encoding.name,
            )  # fmt: skip


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are valid UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def has_utf8_text(data: bytes) -> bool:
    """Whether the bytes are UTF-8 with non-ASCII characters; the last character may be cut off."""
    try:
        return not codecs.getincrementaldecoder(UTF8)().decode(data).isascii()
    except UnicodeDecodeError:
        return False


def warn_if_utf8(source: object, name: str, chunk: bytes) -> None:
    """Log a warning if a chunk of a file declared as `name` contains non-ASCII UTF-8 text."""
    if not has_utf8_text(chunk):
        return
    log.warning(
        '%s: encoding = "%s" is declared, but the text looks like UTF-8; check that accented letters are read correctly',
        source, name,
    )  # fmt: skip
