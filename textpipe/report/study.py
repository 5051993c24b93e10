"""The report of a study: its best trial, how the search went, what the settings did, and all trials."""

from pathlib import Path

from textpipe.report import learning_curves, markup, page, study_charts
from textpipe.report.page import Section, metric_title
from textpipe.tuning.results import Outcome, Trial, format_value
from textpipe.version import __version__

MAX_TRIALS = 1000  # in the table, the last ones


def file_name(name: str) -> str:
    """The file name of a study's page."""
    return f"{name}_study.html"


def write(outcome: Outcome, path: Path) -> Path:
    """Write the page; returns its path."""
    page.write(path, document(outcome))
    return path


def document(outcome: Outcome) -> str:
    """The page as HTML. The same trials give the same page, but for their seconds."""
    counts = ", ".join(f"{count} {state}" for state, count in outcome.counts.items() if count) or "no trials"
    about = (
        f"{outcome.pipeline} · {counts} · {outcome.metric}, {'less' if outcome.direction == 'min' else 'more'} is better · "
        f"sampler {outcome.sampler}, pruner {outcome.pruner}, seed {outcome.seed}"
    )
    sections = [*best_section(outcome), *search_section(outcome), *settings_section(outcome), trials_section(outcome)]
    return page.document(
        f"{outcome.name}: study", about, sections, tiles=tiles(outcome), footer=f"textpipe {__version__}"
    )


def tiles(outcome: Outcome) -> list[str]:
    """The best value, the trials, the time, and the first scores of the best pipeline."""
    parts = []
    best = outcome.best
    if best is not None:
        parts.append(page.tile(f"best {outcome.metric}", markup.format_number(best.value), f"trial {best.number}"))
    parts.append(page.tile("trials", str(len(outcome.ended)), f"of {outcome.num_trials}"))
    seconds = sum(trial.seconds or 0.0 for trial in outcome.records)
    parts.append(page.tile("time of trials", learning_curves.duration(seconds)))
    if outcome.test:
        name, value = next(iter(outcome.test["metrics"].items()))
        note = f"best pipeline, {outcome.test['rows']:,} {outcome.test['split']} rows"
        parts.append(page.tile(metric_title(name), markup.format_number(value), note))
    return parts


def best_section(outcome: Outcome) -> list[Section]:
    """The settings of the best trial, and the scores of its pipeline if it was run whole."""
    best = outcome.best
    if best is None:
        return []
    rows = [[key, format_value(value)] for key, value in best.settings.items()]
    body = f'<div class="card">{markup.table(["setting", "value"], rows, texts=(0, 1), caption=f"Trial {best.number}")}</div>'
    lead = f"The best of {len(outcome.ranked()):,} complete trials by {outcome.metric} on the validation split."
    if outcome.test:
        scores = []
        for name, value in outcome.test["metrics"].items():
            low, high = outcome.test["intervals"].get(name, (None, None))
            scores.append([metric_title(name), value, low, high])
        caption = f"The best pipeline on {outcome.test['rows']:,} {outcome.test['split']} rows"
        body += f'<div class="card">{markup.table(["", "value", "95 % from", "to"], scores, caption=caption)}</div>'
        lead += " A best value on the validation split is optimistic, as it was chosen there; the scores below are not."
    return [Section("Best trial", "best", f'<div class="stack">{body}</div>', lead)]


def search_section(outcome: Outcome) -> list[Section]:
    """How the search went."""
    if len(study_charts.shown(outcome)) < 2 or outcome.best is None:
        return []
    figures = study_charts.history(outcome)
    lead = ""
    if outcome.importance:
        figures += study_charts.importance(outcome)
        lead = (
            "Importance is the share of the variance of the complete trials' values that a setting explains by itself and "
            "in its interactions (fANOVA, Hutter et al. 2014). With few trials it is rough."
        )
    return [Section("Search", "search", f'<div class="charts">{figures}</div>', lead)]


def settings_section(outcome: Outcome) -> list[Section]:
    """The values by each setting."""
    trials = study_charts.shown(outcome)
    if len(trials) < 2 or outcome.best is None:
        return []
    keys = [key for key in outcome.keys if any(key in trial.settings for trial in trials)]
    figures = "".join(study_charts.by_setting(outcome, key) for key in keys)
    body = f'<div class="charts">{figures}</div>{study_charts.parallel(outcome)}'
    return [Section("Settings", "settings", body, f"{outcome.metric} of the trials by the value of each setting.")]


def trials_section(outcome: Outcome) -> Section:
    """All trials."""
    records = outcome.records[-MAX_TRIALS:]
    breakable = [markup.Raw(markup.escape(key).replace(".", ".<wbr>")) for key in outcome.keys]
    headers = ["trial", "state", outcome.metric, *breakable, "seconds", "validations", "remark"]
    rows = [
        [
            str(trial.number), trial.state, trial.value,
            *(format_value(trial.settings.get(key)) for key in outcome.keys),
            trial.seconds, len(trial.validations), remark(trial),
        ]
        for trial in records
    ]  # fmt: skip
    texts = (0, 1, *range(3, 3 + len(outcome.keys)), len(headers) - 1)
    lead = f"The last {MAX_TRIALS:,} of {len(outcome.records):,}." if len(outcome.records) > len(records) else ""
    return Section("Trials", "trials", f'<div class="card">{markup.table(headers, rows, texts=texts)}</div>', lead)


def remark(trial: Trial) -> str:
    """Why a trial failed, or which it repeats."""
    return trial.error or (f"same as trial {trial.same_as}" if trial.same_as else "")
