"""How the bytes of text files become text: declared encodings, and what is guessed of files that declare none.

A file is UTF-16 or UTF-32 by its byte order mark or, without one, by where its NUL bytes stand; else it is UTF-8. At
the first bytes that are not UTF-8, the lines read so far and about a megabyte more decide: a file with text outside
ASCII that is UTF-8 is a damaged UTF-8 file, one without is taken for Windows-1252, if it can be. Guesses are logged.
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
BOMS = (  # longest first: UTF-32's begins as UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Labels are used loosely: programs that write "latin-1" or "gb2312" mean these supersets (WHATWG Encoding Standard).
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
INVALID = "textpipe.invalid"  # error handler: each byte a lone surrogate, which Repairs counts and mends
HIGH_RUN = re.compile(rb"[\x80-\xff]+")
NOT_WESTERN = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # bytes that Windows-1252 does not have


def lone_surrogates(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: every byte that cannot be decoded as a lone surrogate, U+DC00 plus the byte."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(INVALID, lone_surrogates)


@dataclass(frozen=True)
class Encoding:
    """The encoding of a file: Python's name of it; whether it is a guess, and the line that led to it."""

    name: str
    guessed: bool = False
    line: int | None = None


def checked(name: str) -> str:
    """Python's name of a declared encoding, or of the superset that is meant; raises ValueError for one there is not.

    "latin-1" -> "cp1252", "UTF8" -> "utf-8"
    """
    try:
        info = codecs.lookup(name)
        # Not codecs from bytes to bytes, as hex is, nor those of names and source code.
        usable = getattr(info, "_is_text_encoding", True) and info.incrementaldecoder is not None
        usable = usable and info.name not in ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")
    except (LookupError, ValueError):
        usable = False
    if not usable:
        raise ValueError(f"unknown encoding {name!r}{suggest(name, COMMON)}; any text encoding of Python can be named")
    return SUPERSETS.get(info.name, info.name)


def of_start(place: object, start: bytes, declared: str | None) -> Encoding:
    """The encoding that a file's first bytes tell, UTF-8 when they tell none; raises DataError when another is declared."""
    marked = next((name for mark, name in BOMS if start.startswith(mark)), None)
    if declared is not None:
        name = checked(declared)
        family = name.replace("_", "-").removesuffix("-le").removesuffix("-be")
        if marked and not marked.startswith(family):
            raise DataError(
                f'{place}: begins with the byte order mark of {marked} where encoding = "{declared}" is declared; '
                "leave encoding out, or convert the file"
            )
        if marked is None and name in ("utf-16", "utf-32"):
            seen = detect_by_nul_bytes(start)
            marked = seen if seen and seen.startswith(name) else f"{name}-le"
        return Encoding(marked or name)
    if marked:
        return Encoding(marked)
    wide = detect_by_nul_bytes(start)
    return Encoding(wide, guessed=True, line=1) if wide else Encoding(UTF8)


def detect_by_nul_bytes(start: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, told by NUL bytes in ASCII characters and line ends; None for others."""
    nuls = start.count(0)
    if nuls * 200 < len(start):
        return None
    for name, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        try:
            text = start[: len(start) // width * width].decode(name)
        except UnicodeDecodeError as error:
            if error.start + 8 < len(start):  # more than a character that the end of the look cuts
                continue
            text = start[: error.start].decode(name)
        controls = sum(text.count(chr(code)) for code in range(32) if code not in (9, 10, 13))
        ascii_ends = start.count(b"\n")
        if text and not controls and text.count("\n") * 5 >= ascii_ends:
            return name
    return None


def decoder(name: str) -> codecs.IncrementalDecoder:
    """A decoder of chunks of bytes whose invalid bytes come out as lone surrogates."""
    return codecs.getincrementaldecoder(name)(INVALID)


class Utf8Lines:
    """Decodes blocks of whole lines that should be UTF-8.

    guess: whether a file without UTF-8 text outside ASCII may be taken for Windows-1252. From then on each line that is
    not UTF-8 is decoded so. Other bytes that are not UTF-8 become lone surrogates.
    """

    def __init__(self, place: object, *, guess: bool):
        self.place = place
        self.guess = guess
        self.found = Encoding(UTF8)
        self.line = 1
        self.tail = b""  # what is already read of the line behind the block
        self._mixed = False

    def chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks that the blocks are made of, noting what is read ahead."""
        for chunk in chunks:
            self.tail = chunk[chunk.rfind(b"\n") + 1 :]
            yield chunk

    def text(self, block: bytes) -> str:
        """A block of lines as text."""
        try:
            text = block.decode()
        except UnicodeDecodeError:
            text = self._not_utf8(block)
        else:
            if self.guess and not text.isascii():
                if self.found.guessed:
                    odd = next(at for at, byte in enumerate(block) if byte > 127) if not self._mixed else 0
                    self._note_mixed(self.line + block.count(b"\n", 0, odd))
                else:
                    self.guess = False
        self.line += block.count(b"\n") + 1
        return text

    def _not_utf8(self, block: bytes) -> str:
        if not self.found.guessed and (not self.guess or not self._western(block)):
            self.guess = False
            return block.decode(errors=INVALID)
        return "\n".join(self._line(line, number) for number, line in enumerate(block.split(b"\n"), self.line))

    def _line(self, line: bytes, number: int) -> str:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return line.decode(CP1252, errors=INVALID)
        if not text.isascii():
            self._note_mixed(number)
        return text

    def _western(self, block: bytes) -> bool:
        """Whether a file whose lines before this block are ASCII is taken for Windows-1252; DataError when it is neither."""
        odd, sound, first = [], 0, 0
        for number, line in enumerate(block.split(b"\n"), self.line):
            if not line.isascii():
                if is_utf8(line):
                    sound += 1
                else:
                    odd.append(line)
                    first = first or number
        if 4 * (sound + has_utf8_text(self.tail)) > len(odd):
            return False
        runs = [run for line in odd for run in HIGH_RUN.findall(line)]
        # Letters of Western languages outside ASCII stand alone; those of other scripts side by side.
        strange = sum(len(run) for run in runs if len(run) > 2)
        if 2 * strange > sum(map(len, runs)) or any(map(NOT_WESTERN.search, odd)):
            if 10 * len(odd) > block.count(b"\n") + 1:
                raise DataError(
                    f"{self.place}, line {first}: the text is not UTF-8, nor does it look like Windows-1252; declare "
                    'its encoding, for example encoding = "cp1251", "shift_jis" or "gb18030", or encoding = "utf-8" to '
                    "treat such bytes as on_invalid says"
                )
            return False
        self.found = Encoding(CP1252, guessed=True, line=first)
        return True

    def _note_mixed(self, number: int) -> None:
        if not self._mixed:
            self._mixed = True
            log.warning(
                "%s, line %d: is UTF-8, where line %d is not; of this file, lines that are UTF-8 are read as UTF-8 and "
                "the others as %s",
                self.place, number, self.found.line, self.found.name,
            )  # fmt: skip


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def has_utf8_text(data: bytes) -> bool:
    """Whether bytes cut anywhere have text outside ASCII and are UTF-8."""
    try:
        return not codecs.getincrementaldecoder(UTF8)().decode(data).isascii()
    except UnicodeDecodeError:
        return False


def warn_if_utf8(place: object, name: str, chunk: bytes) -> None:
    """Log a warning when a chunk of a file declared as `name`, cut anywhere, has text outside ASCII that is UTF-8."""
    if not has_utf8_text(chunk):
        return
    log.warning(
        '%s: encoding = "%s" is declared, and the text looks like UTF-8; see whether letters with accents came out right',
        place, name,
    )  # fmt: skip
