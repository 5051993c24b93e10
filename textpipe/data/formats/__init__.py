"""Formats of tables, one file each.

    SUFFIXES: tuple[str, ...]                        # file names this format is guessed from, compression left out
    TAKES_ENCODING = True                            # where its files are text, in the encoding Repairs declares
    class Config(Section): kind: Literal["x"] = "x"; options...
    def read(source, config, repairs, wanted) -> Iterator[Rows]

source: a Path, or {column: Path} for line files side by side. wanted: the columns to read, by name or by number.
Rows come at most 10,000 at a time, so that memory does not grow with the file.
"""
