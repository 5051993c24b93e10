"""Bounds of the decoder options in requests to a served model, so that no request can exhaust the machine.

A decoder's BOUNDS are upper bounds of its OPTIONS; lower bounds are those of its Config. The pipeline's own settings are
always allowed, and [export] bounds overrides the upper bounds for a model.
"""

import math
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textpipe.config.sections import Section
from textpipe.errors import suggest

if TYPE_CHECKING:
    import tensorflow as tf

LARGEST = {"int32": 2**31 - 1, "float32": 3.4e38}  # for options without a bound
TOKENS = {"prefix": 1024, "constraints": 128}  # per row; for constraints, of all phrases together

Bounds = dict[str, list[Any]]


def bounds(
    decoder: ModuleType, config: Section, upper: Mapping[str, float] | None = None, useless: Collection[str] = ()
) -> Bounds:
    """{option: [lowest, highest]} for a decoder and its Config; `upper` overrides the decoder's own upper bounds.

    useless: options without effect on the model, which stay 0. A lower bound of 0 may stand for "none". Raises ValueError
    for the upper bound of an unknown option, or one below the lower bound or below the pipeline's own setting.
    """
    upper = dict(upper or {})
    for name in upper:
        if name not in decoder.OPTIONS:
            raise ValueError(f"bounds: {config.kind!r} has no option {name!r}{suggest(name, decoder.OPTIONS)}")
    limits = {}
    for name, dtype in decoder.OPTIONS.items():
        kind = int if dtype.startswith("int") else float
        configured = getattr(config, name) or 0
        low = lower_bound(type(config).model_fields[name])
        high = max(getattr(decoder, "BOUNDS", {}).get(name, LARGEST[dtype]), configured)
        if name in upper:
            high = upper[name]
            if not math.isfinite(high) or kind(high) != high or not low <= high <= LARGEST[dtype]:
                expected = "a whole number" if kind is int else "a number"
                raise ValueError(f"bounds: {name} expects {expected} of at least {low}, found {high!r}")
            if high < configured:
                raise ValueError(
                    f"bounds: {name} = {high!r} is less than [decode] {name} = {configured!r}; raise the bound"
                )
        limits[name] = [kind(low), kind(0 if name in useless else high)]
    return limits


def lower_bound(field: Any) -> float:
    """The lower bound of a Config field; 0 if the field may be None, for which 0 stands."""
    if field.default is None:
        return 0
    return max((getattr(bound, side, 0) or 0 for bound in field.metadata for side in ("ge", "gt")), default=0)


def check_bounds(options: Mapping[str, "tf.Tensor"], limits: Bounds) -> dict[str, "tf.Tensor"]:
    """The same options as tensors that fail in graph, with InvalidArgumentError, outside their limits or if NaN."""
    import tensorflow as tf

    checked = dict(options)
    for name, (low, high) in limits.items():
        if name in options:
            value = options[name]
            above, below = value >= tf.cast(low, value.dtype), value <= tf.cast(high, value.dtype)
            checked[name] = with_checks(
                value,
                tf.debugging.Assert(above, [f"option {name} must be at least {low}, found", value]),
                tf.debugging.Assert(below, [f"option {name} must be at most {high}, found", value]),
            )
    return checked


def check_tokens(name: str, text: "tf.Tensor", configured: "tf.Tensor", codec: Any) -> "tf.Tensor":
    """A text option [B] as a tensor that fails in graph if a row has more tokens than TOKENS and than `configured` [1]."""
    import tensorflow as tf

    def longest(text: "tf.Tensor") -> "tf.Tensor":
        lengths = codec.encode(tf.strings.regex_replace(text, r"[\r\n]+", " ")).row_lengths()
        return tf.reduce_max(tf.concat([lengths, tf.zeros([1], lengths.dtype)], axis=0))

    limit = tf.maximum(longest(configured), TOKENS[name])
    message = f"option {name} must be at most {TOKENS[name]} tokens long, found"
    return with_checks(text, tf.debugging.Assert(longest(text) <= limit, [message, longest(text)]))


def with_checks(value: "tf.Tensor", *checks: Any) -> "tf.Tensor":
    """The value, evaluated after the checks."""
    import tensorflow as tf

    with tf.control_dependencies([check for check in checks if check is not None]):  # None when run eagerly
        return tf.identity(value)
