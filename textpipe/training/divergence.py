"""The error message for a loss that is no longer finite."""

from textpipe.training.settings import Settings


def message(settings: Settings, epoch: int, step: int, has_checkpoint: bool) -> str:
    """The error and its cure; has_checkpoint: whether there is an earlier checkpoint."""
    learning_rate, clip = settings.optimizer.learning_rate, settings.clip_norm
    cure = f"lower optimizer.learning_rate (now {learning_rate:g})"
    cure += f" or clip_norm (now {clip:g})" if clip else " or set clip_norm, for example to 1"
    saved = "; the last good checkpoint is kept" if has_checkpoint else ""
    return (
        f"[train] epoch {epoch}, step {step}: expected a finite loss and gradient, found infinity or "
        f"not a number; {cure}{saved}"
    )
