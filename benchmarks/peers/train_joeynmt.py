"""Worker: joeynmt's own training loop.   python train_joeynmt.py FOLDER transformer|gru

joeynmt has one dropout rate for all sites of a transformer, including attention weights, and fills batches to a token
budget with rows in random order.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from joeynmt.config import parse_global_args
from joeynmt.prediction import prepare
from joeynmt.training import TrainManager
from metronome import Metronome


def model_section(kind, config):
    """joeynmt's [model] section for one of the benchmark's shapes."""
    dropout = config["dropout"]
    if kind == "transformer":
        size = config["d_model"]
        part = {
            "type": "transformer",
            "num_layers": config["layers"],
            "num_heads": config["num_heads"],
            "hidden_size": size,
            "ff_size": config["d_ff"],
            "dropout": dropout,
            "layer_norm": "pre",
            "activation": "relu",
            "embeddings": {"embedding_dim": size, "scale": True, "dropout": 0.0},
        }
        encoder, decoder = part, part
    else:
        size, units = config["embedding_size"], config["units"]
        embeddings = {"embedding_dim": size, "scale": True, "dropout": config["embedding_dropout"]}
        common = {"type": "recurrent", "rnn_type": "gru", "num_layers": 1, "dropout": dropout, "embeddings": embeddings}
        encoder = {**common, "hidden_size": units // 2, "bidirectional": True}
        decoder = {
            **common,
            "hidden_size": units,
            "hidden_dropout": dropout,
            "init_hidden": "bridge",
            "input_feeding": True,
            "attention": "bahdanau",
        }
    return {
        "initializer": "xavier_uniform",
        "embed_initializer": "normal",
        "embed_init_weight": 0.06,
        "bias_initializer": "zeros",
        "tied_embeddings": True,
        "tied_softmax": True,
        "encoder": encoder,
        "decoder": decoder,
    }


def configuration(folder, kind, setup, place):
    """A complete joeynmt configuration."""
    language = {"voc_file": str(folder / "joeynmt.vocab"), "level": "word", "max_length": 100}
    return {
        "name": kind,
        "model_dir": str(place),
        "use_cuda": False,
        "random_seed": 1,
        "normalization": "tokens",
        "data": {
            "train": str(folder / "train"),
            "dev": str(folder / "valid"),
            "test": str(folder / "test"),
            "dataset_type": "plain",
            "src": {"lang": "en", **language},
            "trg": {"lang": "de", **language},
        },
        "training": {
            "normalization": "tokens",
            "label_smoothing": 0.1,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "clip_grad_norm": 1.0,
            "scheduling": "warmupinversesquareroot",
            "learning_rate_warmup": 4000,
            "batch_size": setup["batch_tokens"],
            "batch_type": "token",
            "epochs": 10_000,
            "validation_freq": 10**9,
            "logging_freq": 10**9,
            "learning_rate_min": 0.0,
        },
        "testing": {
            "batch_size": 64,
            "batch_type": "sentence",
            "beam_size": 5,
            "beam_alpha": 1.0,
            "max_output_length": 80,
        },
        "model": model_section(kind, setup["models"][kind]),
    }


def main(folder, kind):
    setup = json.loads((folder / "setup.json").read_text())
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as place:
        arguments = parse_global_args(configuration(folder, kind, setup, place), rank=0, mode="train")
        model, train_data, dev_data, _ = prepare(arguments, rank=0, mode="train")
        manager = TrainManager(
            rank=0,
            model=model,
            model_dir=arguments.model_dir,
            device=arguments.device,
            n_gpu=0,
            num_workers=0,
            autocast=arguments.autocast,
            seed=1,
            train_args=arguments.train,
            dev_args=arguments.test,
        )
        metronome = Metronome(parameters=sum(weight.numel() for weight in model.parameters()), torch=torch.__version__)
        step, before = manager._train_step, []

        def train_step(batch):
            """One training step; the previous update is complete when it starts."""
            if before:
                metronome.tick(tokens=before.pop())
            before.append(int(batch.ntokens))
            return step(batch)

        manager._train_step = train_step
        manager.train_and_validate(train_data=train_data, valid_data=dev_data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
