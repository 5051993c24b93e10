"""A message is answered by a short reply."""

from textpipe.fields import Field

FIELDS = (Field("message", "source", "text"), Field("reply", "target", "text"))
