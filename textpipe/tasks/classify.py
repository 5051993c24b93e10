"""A text gets one of a closed set of labels."""

from textpipe.fields import Field

FIELDS = (Field("text", "source", "text"), Field("label", "target", "label"))
