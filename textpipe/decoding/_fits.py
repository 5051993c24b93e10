"""Settings of [decode] without effect on the model or the vocabulary of a pipeline."""

from collections.abc import Iterator
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Section


def attends(model: Section, ensemble: Any = None) -> bool:
    """Whether a model attends to the source; of an ensemble, a member may even if the pipeline's own model does not."""
    return ensemble is not None or getattr(model, "attention", "") != "none"


def conflicts(decode: Section, model: Section, ensemble: Any = None, codec: Section | None = None) -> Iterator[str]:
    """Conflicts of a decoder's Config with those of model and codec: "[decode] NAME: ..."."""
    cure = "choose a [model] attention, or leave it out"
    if not attends(model, ensemble):
        if getattr(decode, "coverage_penalty", 0):
            yield f"[decode] coverage_penalty: {model.kind} with attention = 'none' covers nothing; {cure}"
        if getattr(decode, "replace_unknown", False):
            yield f"[decode] replace_unknown: {model.kind} with attention = 'none' points to no source word; {cure}"
    wordless = codec is not None and codec.kind != "words" and codec.kind in plugins.names("text.codecs")
    if codec is not None and wordless and getattr(decode, "replace_unknown", False):
        yield (
            f"[decode] replace_unknown: codec {codec.kind!r} has no words to replace unknown ones by; set [tokenize] "
            'codec to "words", or leave replace_unknown out'
        )
