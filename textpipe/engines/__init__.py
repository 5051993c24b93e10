"""Where the shards of a stage, the chunks of `bulk` and the trials of `tune` run: one module per engine.

    # engines/x.py
    class Config(Section): kind: Literal["x"] = "x"; ...
    def open(config) -> Engine          # of runtime/engine.py; starts nothing yet

    engine.map(make, items)             # make()(item) for each item, in order; at most a few items a worker are in memory
    engine.start(words, environment, log) -> Process     # a command, for the workers of a study
    engine.close()                      # stops what was started

Results are the same bytes with every engine, so [engine] is part of no cache key. The item of a worker that is killed runs again.
"""

from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Plugin, Section, override
from textpipe.errors import ConfigError
from textpipe.runtime.engine import Engine

DEFAULT = "inline"


def check(place: str, value: Any) -> Section:
    """The section of an engine from its name or its table; raises ConfigError that begins with `place`."""
    try:
        return Plugin.check("engines", value)
    except ValueError as error:
        raise ConfigError(f"{place} {error}") from None


def parse(text: str | None) -> Section:
    """The section of --engine: a name, or a table: '{ kind = "ray", workers = 8 }'; None for the default."""
    tables = override({}, (f"engine={text or DEFAULT}",))
    return check("--engine:", tables["engine"])


def open(section: Section) -> Engine:
    """The engine of a section."""
    return plugins.find("engines", section.kind).open(section)
