"""Attention layers by the value of [model] attention."""

from textpipe.layers.additive_attention import AdditiveAttention
from textpipe.layers.dot_attention import DotAttention, GeneralAttention, MultiHeadAttention, ScaledDotAttention

KINDS = {
    "dot": DotAttention,
    "scaled_dot": ScaledDotAttention,
    "general": GeneralAttention,
    "additive": AdditiveAttention,
    "multi_head": MultiHeadAttention,
}
