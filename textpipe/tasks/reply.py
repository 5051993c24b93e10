"""Reply generation: answer a message with a short reply."""

from textpipe.config.fields import Field
from textpipe.tasks.translate import ANSWER, METRICS, OBJECTIVE, RANGES, TEMPLATE, metrics

FIELDS = (Field("message", "source", "text"), Field("reply", "target", "text"))
VIEW = "replies"  # the page offers the replies for selection

OF_MAIL = True  # messages are usually mails

__all__ = ["ANSWER", "FIELDS", "METRICS", "OBJECTIVE", "OF_MAIL", "RANGES", "TEMPLATE", "VIEW", "metrics"]
