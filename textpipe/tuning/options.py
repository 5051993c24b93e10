"""Where a study is and how it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textpipe.pipeline.runner import ARTIFACTS, SAVED_MODELS
from textpipe.tuning.results import Outcome, Trial

OnTrial = Callable[[Outcome, Trial], None]  # called when a trial has ended
OnStage = Callable[[str, str, str], None]  # the `on_event` of runner.run


@dataclass(frozen=True)
class Options:
    """Options of a study that are not part of it.

    name: of the study, by default that of the pipeline file; storage: a database URL, by default an SQLite file in the
    store; workers: processes; output: the file of the best pipeline; test: whether the best pipeline runs whole at the end.
    """

    artifacts: Path = ARTIFACTS
    saved_models: Path = SAVED_MODELS
    name: str | None = None
    storage: str | None = None
    workers: int = 1
    output: Path | None = None
    test: bool = True
