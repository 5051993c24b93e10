"""A message is answered by a short reply."""

from textpipe.config.fields import Field
from textpipe.tasks.translate import ANSWER, METRICS, OBJECTIVE, TEMPLATE, metrics

FIELDS = (Field("message", "source", "text"), Field("reply", "target", "text"))
VIEW = "replies"  # the page offers them to be taken

OF_MAIL = True  # messages are mails, more often than not

__all__ = ["ANSWER", "FIELDS", "METRICS", "OBJECTIVE", "OF_MAIL", "TEMPLATE", "VIEW", "metrics"]
