"""File formats, one module each.

    SUFFIXES: tuple[str, ...]                        # file suffixes the format is guessed from, without compression
    TAKES_ENCODING = True                            # if its files are text in the encoding that Repairs declares
    class Config(Section): kind: Literal["x"] = "x"; options...
    def read(source, config, repairs, columns) -> Iterator[Rows]

source: a Path, or {column: Path} for parallel line files. columns: the columns to read, by name or by number.
Each Rows has at most 10,000 rows, so that memory use does not grow with the file.
"""
