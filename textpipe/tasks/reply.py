"""A message is answered by a short reply."""

from textpipe.fields import Field
from textpipe.tasks.translate import METRICS, TEMPLATE, metrics

FIELDS = (Field("message", "source", "text"), Field("reply", "target", "text"))

OF_MAIL = True  # messages are mails, more often than not

__all__ = ["FIELDS", "METRICS", "OF_MAIL", "TEMPLATE", "metrics"]
