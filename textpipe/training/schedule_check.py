"""What a learning-rate schedule cannot do in the updates a run has."""

from textpipe.config import plugins
from textpipe.training.settings import Settings


def warnings(settings: Settings, total_steps: int) -> list[str]:
    """What is wrong with the schedule of a run of so many updates, as sentences.

    warmup_steps = 200 and 150 updates -> ["the learning rate still rises ..."]
    """
    config = settings.schedule
    factor = plugins.find("training.schedules", config.kind).factor
    first, last = (factor(config, step, total_steps, []) for step in (max(1, total_steps - 1), total_steps))
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
