"""Warns of a learning-rate schedule that does not fit the number of updates."""

from types import ModuleType

from textpipe.config.sections import Section


def warnings(schedule: ModuleType, config: Section, total_steps: int) -> list[str]:
    """Problems of the schedule in a run of `total_steps` updates, as sentences.

    warmup_steps = 200 and 150 updates -> ["the learning rate still rises ..."]
    """
    first, last = (schedule.factor(config, step, total_steps, []) for step in (max(1, total_steps - 1), total_steps))
    if last <= first:
        return []
    warmup = getattr(config, "warmup_steps", None)
    cure = (
        f"schedule.warmup_steps ({warmup:,}) to about {max(1, total_steps // 10):,}"
        if warmup
        else "the schedule's length"
    )
    warning = (
        f"the learning rate still rises at update {total_steps:,}, the last one, where it is at {last:.0%}: the warm-up takes "
        f"longer than the run; lower [train] {cure}, raise epochs, or make batches smaller"
    )
    return [warning]
