"""Load codecs and features from the output of the tokenize and vectorize stages."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.fields import Field
from textpipe.config.sections import Plugin

CODECS_FILE = "codecs.json"  # tokenize: {field: {"kind": ..., "name": file stem}}
LEXICON_FILE = "lexicon.json"  # tokenize, optional: {source word: target word}
SIZES_FILE = "features.json"  # vectorize: {field: size table}
FEATURES_FILE = "vectorize.json"  # vectorize: {field: the feature's section}


def load_codec(tokenize: Path, field: str) -> Any:
    """The codec of a text field; raises ConfigError when the codec is "none"."""
    table = json.loads((Path(tokenize) / CODECS_FILE).read_text(encoding="utf-8"))[field]
    return plugins.find("text.codecs", table["kind"]).load(table, Path(tokenize))


def load_feature(vectorize: Path, tokenize: Path, field: str) -> Any:
    """The feature of a field, called with a tensor of cells [N, ...]; its `size` is its table in features.json."""
    table = json.loads((Path(vectorize) / FEATURES_FILE).read_text(encoding="utf-8"))[field]
    config: Any = Plugin.check("features", table)
    codec = load_codec(tokenize, field) if getattr(config, "needs_codec", False) else None
    return plugins.find("features", config.kind).load(config, Path(vectorize), field, codec=codec)


def load_lexicon(tokenize: Path) -> dict[str, str] | None:
    """The lexicon {source word: target word}, or None if tokenize did not learn one."""
    path = Path(tokenize) / LEXICON_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def load_features(vectorize: Path, tokenize: Path, fields: Sequence[Field]) -> dict[str, Any]:
    """{field: its feature}. Features of token ids have `.codec`, of labels `.ids` and `.name`."""
    return {field.name: load_feature(vectorize, tokenize, field.name) for field in fields}
