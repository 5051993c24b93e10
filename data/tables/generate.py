"""Writes train.jsonl, valid.jsonl and test.jsonl: synthetic tables and questions about them, with their answers.

    python data/tables/generate.py [FOLDER]

The same bytes on every run. Names are invented; no table of test is in train.
"""

import json
import random
import sys
from pathlib import Path

SIZES = {"train": 640, "valid": 60, "test": 60}
SEED = 20_161_108
STARTS = (
    "Al",
    "Bren",
    "Cor",
    "Dal",
    "Es",
    "Far",
    "Gol",
    "Hes",
    "Ing",
    "Kor",
    "Lim",
    "Mon",
    "Nor",
    "Os",
    "Pel",
    "Rud",
    "Sal",
    "Tor",
    "Ul",
    "Wes",
)
ENDS = ("burg", "dale", "ford", "ham", "mouth", "stad", "ton", "vik")
REGIONS = ("north", "south", "east", "west")
NOUNS = {"town": ("population", "region"), "player": ("points", "team"), "ship": ("length", "port")}


def rows_of(noun, choose):
    """The names of the columns and the rows of a table."""
    number, group = NOUNS[noun]
    names = choose.sample([start + end for start in STARTS for end in ENDS], choose.randint(4, 7))
    values = choose.sample(range(11, 999), len(names))
    return [noun, number, group], [
        [name, str(value), choose.choice(REGIONS)] for name, value in zip(names, values, strict=False)
    ]


def ask(noun, header, rows, choose):
    """A question and its answer."""
    number, group = header[1:]
    values = [int(row[1]) for row in rows]
    at = choose.randrange(len(rows))
    kind = choose.randrange(8)
    if kind == 0:
        return f"what is the {number} of {rows[at][0]}?", rows[at][1]
    if kind == 1:
        return f"which {group} does {rows[at][0]} belong to?", rows[at][2]
    if kind == 2:
        return choose.choice([f"which {noun} has the most {number}?", f"what {noun} has the highest {number}?"]), rows[
            values.index(max(values))
        ][0]
    if kind == 3:
        return choose.choice([f"which {noun} has the least {number}?", f"what {noun} has the lowest {number}?"]), rows[
            values.index(min(values))
        ][0]
    if kind == 4:
        limit = choose.choice(values) - 1
        return f"how many {noun}s have more than {limit} {number}?", str(sum(value > limit for value in values))
    if kind == 5:
        at = choose.randrange(len(rows) - 1)
        return f"which {noun} is listed after {rows[at][0]}?", rows[at + 1][0]
    if kind == 6:
        return (
            (f"what is the last {noun} listed?", rows[-1][0])
            if at % 2
            else (f"what is the first {noun} listed?", rows[0][0])
        )
    place = rows[at][2]
    return f"how many {noun}s are in the {group} {place}?", str(sum(row[2] == place for row in rows))


def main(folder):
    """Write all splits."""
    choose = random.Random(SEED)
    for split, size in SIZES.items():
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for _ in range(size):
                noun = choose.choice(sorted(NOUNS))
                header, rows = rows_of(noun, choose)
                question, answer = ask(noun, header, rows, choose)
                table = "\n".join("\t".join(row) for row in (header, *rows))
                file.write(json.dumps({"table": table, "question": question, "answer": answer}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
