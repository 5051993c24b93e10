"""Which results of trials stay in the store: everything of the best trials, and what running trials and other runs use.

While a study runs, the results of train and evaluate of a trial that is not among the best `keep` are deleted. Those of earlier
stages are shared by trials, and so are trained models where the study varies what is read after training, such as [decode]; they are
deleted, where no kept trial uses them, when the study has all its trials. A result
counts as the study's if one of its trials built it and no other pipeline has used it. Values, validations and errors stay in the study.
"""

import re
import shutil
from pathlib import Path

from textpipe.cache.store import Store, result_name
from textpipe.tuning.study import Study
from textpipe.tuning.trial import BUILT, PATHS

DONE = ("COMPLETE", "PRUNED", "FAIL")
KEY = re.compile("[0-9a-f]{32}")  # the folder of a result


def discard(study: Study, *, finished: bool = False) -> list[Path]:
    """Delete the results that do not stay; returns their folders. finished: those of earlier stages too."""
    trials = study.stored
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    best = sorted(complete, key=lambda trial: (study.objective.loss(trial.value), trial.number))[: study.tune.keep]
    running = [trial for trial in trials if trial.state.name == "RUNNING"]
    kept_names = {Path(path).name for trial in [*best, *running] for path in trial.user_attrs.get(PATHS, {}).values()}
    kept_names |= used_by_others(study)
    # Stages whose results no trial to come uses.
    trial_stages = ("evaluate",) if study.shares_training else ("train", "evaluate")
    deleted = []
    for trial in trials:
        if trial.state.name not in DONE:
            continue
        for stage in trial.user_attrs.get(BUILT, ()):
            name = Path(trial.user_attrs.get(PATHS, {}).get(stage, "")).name
            path = study.artifacts / stage / name
            if (
                name in kept_names
                or not KEY.fullmatch(name)
                or not (finished or stage in trial_stages)
                or not path.is_dir()
            ):
                continue
            with Store(study.artifacts).lock(path):
                shutil.rmtree(path, ignore_errors=True)
            deleted.append(path)
    return deleted


def used_by_others(study: Study) -> set[str]:
    """The results that other pipelines used last."""
    names = set()
    for file in (study.artifacts / "latest").glob("*/*.json"):
        if file.parent.name != study.run_name:
            try:
                names.add(result_name(file))
            except (OSError, ValueError):
                continue
    return names
