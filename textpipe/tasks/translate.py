"""A sentence of one language is answered by its translation."""

from textpipe.fields import Field

FIELDS = (Field("source", "source", "text"), Field("target", "target", "text"))
