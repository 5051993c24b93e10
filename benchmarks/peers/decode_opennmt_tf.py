"""Worker: the same weights in OpenNMT-tf, pieces in, pieces out.   python decode_opennmt_tf.py FOLDER"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import functools
import json
import sys
from pathlib import Path

import numpy as np
import opennmt
import tensorflow as tf
from metronome import Metronome
from opennmt.utils import misc
from train_opennmt_tf import configuration


class FromZero(opennmt.layers.SinusoidalPositionEncoder):
    """Positions counted from 0; OpenNMT-tf counts from 1."""

    def _encode(self, positions, depth):
        return super()._encode(tf.convert_to_tensor(positions) - 1, depth)


def build(config):
    size = config["d_model"]
    return opennmt.models.Transformer(
        opennmt.inputters.WordEmbedder(embedding_size=size), opennmt.inputters.WordEmbedder(embedding_size=size),
        num_layers=config["layers"], num_units=size, num_heads=config["num_heads"], ffn_inner_dim=config["d_ff"],
        share_embeddings=opennmt.models.EmbeddingsSharingLevel.ALL, position_encoder_class=FromZero,
    )  # fmt: skip


def fill(model, weights):
    """Load the exported weights under OpenNMT-tf's parameter names."""

    def dense(layer, name):
        layer.kernel.assign(weights[f"{name}.kernel"])
        layer.bias.assign(weights[f"{name}.bias"])

    def norm(layer, name):
        layer.gamma.assign(weights[f"{name}.gain"])
        layer.beta.assign(weights[f"{name}.shift"])

    def attention(wrapper, name, place):
        norm(wrapper.input_layer_norm, place)
        for part, layer in zip(
            ("query", "key", "value", "out"),
            (
                wrapper.layer.linear_queries,
                wrapper.layer.linear_keys,
                wrapper.layer.linear_values,
                wrapper.layer.linear_output,
            ),
            strict=True,
        ):
            dense(layer, f"{name}.{part}")

    for side, part in (("encoder", model.encoder), ("decoder", model.decoder)):
        norm(part.layer_norm, f"{side}.norm")
        for number, layer in enumerate(part.layers):
            name = f"{side}.{number}"
            attention(layer.self_attention, f"{name}.self_attention", f"{name}.norms.0")
            if side == "decoder":
                attention(layer.attention[0], f"{name}.memory", f"{name}.norms.1")
            norm(layer.ffn.input_layer_norm, f"{name}.norms.{2 if side == 'decoder' else 1}")
            dense(layer.ffn.layer.inner, f"{name}.inner")
            dense(layer.ffn.layer.outer, f"{name}.outer")
    # <blank>, <s>, </s> are its first three ids, the unknown word its last.
    table = weights["table"]
    model.features_inputter.embedding.assign(np.concatenate([table[[0, 2, 3]], table[4:], table[1:2]]))


folder = Path(sys.argv[1])
setup = json.loads((folder / "decoding.json").read_text())
config = configuration(folder, {"batch_tokens": 4096}, folder)
config["params"]["maximum_decoding_length"] = setup["max_length"] - 1
config["params"]["beam_width"], config["params"]["length_penalty"] = setup["beam_size"], setup["length_penalty"]
model = build(setup["model"])
model.initialize(config["data"], params=config["params"])
model.create_variables()
fill(model, np.load(folder / "weights.npz"))
dataset = model.examples_inputter.make_inference_dataset(
    str(folder / "test.en"), setup["batch_rows"], batch_type="examples", length_bucket_width=2, prefetch_buffer_size=1
)
infer = tf.function(model.infer, input_signature=(dataset.element_spec,))
infer.get_concrete_function()
metronome = Metronome(tensorflow=tf.__version__, opennmt=opennmt.__version__)
while True:
    with open(folder / "answers.opennmt-tf", "w", encoding="utf-8") as stream:
        # Like opennmt.inference.predict_dataset, which would retrace the graph each time.
        write = functools.partial(model.print_prediction, stream=stream)
        writer = misc.OrderRestorer(lambda prediction: prediction.get("index"), write)
        count = 0
        for features in dataset:
            for prediction in misc.extract_batches(tf.nest.map_structure(lambda part: part.numpy(), infer(features))):
                writer.push(prediction)
                count += 1
    metronome.tick(sentences=count)
