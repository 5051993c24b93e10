"""Worker: the same weights in joeynmt, pieces in, pieces out.   python decode_joeynmt.py FOLDER"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from joeynmt.config import parse_global_args
from joeynmt.data import load_data
from joeynmt.model import build_model
from joeynmt.prediction import predict
from metronome import Metronome
from train_joeynmt import configuration


def fill(model, weights):
    """Load the exported weights under joeynmt's parameter names."""

    def tensor(name):
        return torch.from_numpy(weights[name])

    def dense(layer, name):
        layer.weight.copy_(tensor(f"{name}.kernel").T)
        layer.bias.copy_(tensor(f"{name}.bias"))

    def norm(layer, name):
        layer.weight.copy_(tensor(f"{name}.gain"))
        layer.bias.copy_(tensor(f"{name}.shift"))

    def attention(layer, name):
        for part, linear in zip(
            ("query", "key", "value", "out"),
            (layer.q_layer, layer.k_layer, layer.v_layer, layer.output_layer),
            strict=True,
        ):
            dense(linear, f"{name}.{part}")

    def inner(layer, name, place):
        norm(layer.layer_norm, place)
        dense(layer.pwff_layer[0], f"{name}.inner")
        dense(layer.pwff_layer[3], f"{name}.outer")

    for number, layer in enumerate(model.encoder.layers):
        name = f"encoder.{number}"
        norm(layer.layer_norm, f"{name}.norms.0")
        attention(layer.src_src_att, f"{name}.self_attention")
        inner(layer.feed_forward, name, f"{name}.norms.1")
    for number, layer in enumerate(model.decoder.layers):
        name = f"decoder.{number}"
        norm(layer.x_layer_norm, f"{name}.norms.0")
        attention(layer.trg_trg_att, f"{name}.self_attention")
        norm(layer.dec_layer_norm, f"{name}.norms.1")
        attention(layer.src_trg_att, f"{name}.memory")
        inner(layer.feed_forward, name, f"{name}.norms.2")
    norm(model.encoder.layer_norm, "encoder.norm")
    norm(model.decoder.layer_norm, "decoder.norm")
    # <unk> and <pad> have each other's ids.
    table = weights["table"]
    model.src_embed.lut.weight.copy_(torch.from_numpy(np.concatenate([table[[1, 0]], table[2:]])))
    places = torch.from_numpy(weights["places"])[None]
    model.encoder.pe.pe = model.decoder.pe.pe = places


folder = Path(sys.argv[1])
setup = json.loads((folder / "decoding.json").read_text())
torch.set_num_threads(len(os.sched_getaffinity(0)))
shapes = {"batch_tokens": 4096, "models": {"transformer": setup["model"]}}
config = configuration(folder, "transformer", shapes, folder / "joeynmt")
config["testing"] |= {
    "batch_size": setup["batch_rows"], "beam_size": setup["beam_size"], "beam_alpha": setup["length_penalty"],
    "max_output_length": setup["max_length"] - 1,
}  # fmt: skip
arguments = parse_global_args(config, rank=0, mode="train")
source, target, _, _, data = load_data(cfg=arguments.data, datasets=["test"])
model = build_model(arguments.model, src_vocab=source, trg_vocab=target)
with torch.no_grad():
    fill(model, np.load(folder / "weights.npz"))
assert model.src_embed.lut.weight is model.trg_embed.lut.weight is model.decoder.output_layer.weight
metronome = Metronome(torch=torch.__version__)
while True:
    _, _, answers, *_ = predict(
        model=model, data=data, device=arguments.device, n_gpu=0, args=arguments.test, autocast=arguments.autocast
    )
    (folder / "answers.joeynmt").write_text("\n".join(answers) + "\n", encoding="utf-8")
    metronome.tick(sentences=len(answers))
