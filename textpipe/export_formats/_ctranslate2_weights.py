"""The weights of a TransformerModel under CTranslate2's names.   Shapes: D model, K outputs."""

from typing import Any

from textpipe.text.special_tokens import SPECIAL_TOKENS, START_ID

EPSILON = 1e-6  # of layers/normalization.py


def build_spec(model: Any, num_positions: int) -> Any:
    """A CTranslate2 TransformerSpec with the model's weights and a position table of num_positions rows."""
    import ctranslate2
    import numpy as np

    from textpipe.layers.positions import sinusoidal

    config = model.config
    activations = ctranslate2.specs.Activation
    options: dict[str, Any] = {
        "pre_norm": config.norm == "pre",
        "activation": {"relu": activations.RELU, "gelu": activations.GELU, "swiglu": activations.SWISH}[
            config.activation
        ],
        "ffn_glu": config.activation == "swiglu",
    }
    if config.positions == "rotary":
        options |= {"rotary_dim": config.d_model // config.num_heads, "rotary_interleave": False}
    specs = ctranslate2.specs.transformer_spec
    encoder = specs.TransformerEncoderSpec(len(model.encoder), config.num_heads, **options)
    alignment = {"alignment_layer": max(len(model.decoder) - 2, 0), "alignment_heads": config.num_heads}
    decoder = specs.TransformerDecoderSpec(len(model.decoder), config.num_heads, **options, **alignment)
    if config.positions == "rotary":
        del encoder.position_encodings
    else:
        table = to_array(sinusoidal(np.arange(num_positions), config.d_model))
        encoder.position_encodings.encodings = decoder.position_encodings.encodings = table
    shared = to_array(model.target_embedding)
    decoder.embeddings.weight = shared
    encoder.embeddings[0].weight = shared if config.share_embeddings else to_array(model.source_embedding)
    decoder.projection.weight = shared if config.tie_embeddings else to_array(model.output_weight)
    for side, blocks, norm in (
        (encoder, model.encoder, model.encoder_norm),
        (decoder, model.decoder, model.decoder_norm),
    ):
        for layer, block in zip(side.layer, blocks, strict=True):
            fill_block(layer, block)
        if norm is not None:
            fill_norm(side.layer_norm, norm)
    spec = specs.TransformerSpec(encoder, decoder)
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = SPECIAL_TOKENS[1:]
    spec.config.decoder_start_token = SPECIAL_TOKENS[START_ID]
    spec.config.add_source_eos = True  # as in features/ids.py
    spec.config.layer_norm_epsilon = EPSILON
    return spec


def fill_block(layer: Any, block: Any) -> None:
    """Fill one block: self-attention, in a decoder cross-attention, and feed-forward, each with its normalization."""
    fill_linear(layer.self_attention.linear[0], block.self_attention.input_linear)
    fill_linear(layer.self_attention.linear[1], block.self_attention.output_linear)
    sublayers = [layer.self_attention, layer.ffn]
    if block.cross_attention is not None:
        attention = block.cross_attention
        linears = attention.input_linear, attention.memory_linear, attention.output_linear
        for spec, linear in zip(layer.attention.linear, linears, strict=True):
            fill_linear(spec, linear)
        sublayers.insert(1, layer.attention)
    for sublayer, norm in zip(sublayers, block.norms, strict=True):
        fill_norm(sublayer.layer_norm, norm)
    feed_forward = block.feed_forward
    if feed_forward.activation == "swiglu":
        fill_linear(layer.ffn.linear_0, feed_forward.inner_linear, slice(0, feed_forward.size))
        fill_linear(layer.ffn.linear_0_noact, feed_forward.inner_linear, slice(feed_forward.size, None))
    else:
        fill_linear(layer.ffn.linear_0, feed_forward.inner_linear)
    fill_linear(layer.ffn.linear_1, feed_forward.output_linear)


def fill_linear(spec: Any, linear: Any, columns: slice = slice(None)) -> None:
    """Fill in a kernel [D, K] and its bias, or some of their columns; CTranslate2 stores the transposed kernel [K, D]."""
    spec.weight, spec.bias = to_array(linear.kernel)[:, columns].T.copy(), to_array(linear.bias)[columns]


def fill_norm(spec: Any, norm: Any) -> None:
    spec.gamma, spec.beta = to_array(norm.gain), to_array(norm.shift)


def to_array(variable: Any) -> Any:
    """A variable as a float32 array."""
    import keras

    return keras.ops.convert_to_numpy(variable).astype("float32")


def vocabulary(codec: Any) -> list[str]:
    """The tokens in id order, as text for CTranslate2's vocabulary files."""
    import tensorflow as tf

    names = codec.pieces(tf.range(codec.vocab_size)[None])[0].numpy()
    return [name.decode("utf-8", errors="backslashreplace") for name in names]
