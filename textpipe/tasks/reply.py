"""A message is answered by a short reply."""

from textpipe.fields import Field
from textpipe.tasks.translate import ANSWER, LESS_IS_BETTER, METRICS, metrics

FIELDS = (Field("message", "source", "text"), Field("reply", "target", "text"))
VIEW = "replies"  # the page offers them to be taken

__all__ = ["ANSWER", "FIELDS", "LESS_IS_BETTER", "METRICS", "VIEW", "metrics"]
