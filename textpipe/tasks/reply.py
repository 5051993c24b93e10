"""A message is answered by a short reply."""

from textpipe.fields import Field
from textpipe.tasks.translate import LESS_IS_BETTER, METRICS, OBJECTIVE, metrics

FIELDS = (Field("message", "source", "text"), Field("reply", "target", "text"))

__all__ = ["FIELDS", "LESS_IS_BETTER", "METRICS", "OBJECTIVE", "metrics"]
