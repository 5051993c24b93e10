"""Tokens that no text can contain: the tag before the sources of synthetic rows.

ingest writes reserved.json, normalize changes the tag wherever a text contains it and puts it before the sources of the synthetic
shards, and tokenize gives it a piece of its own. The exported graph has the same normalization, so a caller cannot write the tag either.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

FILE = "reserved.json"


@dataclass(frozen=True)
class Tag:
    """A tag of synthetic rows. field: of the texts that have it; first_shard: of train with synthetic rows; the later ones have them too."""

    token: str
    field: str
    first_shard: int

    def applies_to(self, split: str, shard: int, field: str) -> bool:
        """Whether the texts of a field in a shard have the tag."""
        return split == "train" and shard >= self.first_shard and field == self.field

    @property
    def step(self) -> dict[str, str]:
        """The normalization step by which no text contains the tag."""
        return {"kind": "reserve", "token": self.token}


def write(folder: Path, tag: Tag) -> None:
    """Write reserved.json to a stage's output."""
    (folder / FILE).write_text(json.dumps(dataclasses.asdict(tag), ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> Tag | None:
    """The tag that ingest or normalize wrote to its output, if any."""
    path = folder / FILE
    return Tag(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
