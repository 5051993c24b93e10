"""Worker: OpenNMT-tf's own training loop.   python train_opennmt_tf.py FOLDER transformer|gru"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import json
import sys
import tempfile
from pathlib import Path

import opennmt
import tensorflow as tf
import tensorflow_addons as tfa
from metronome import Metronome
from opennmt.training import Trainer


def build(kind, config):
    """A model of one of the benchmark's shapes."""
    share = opennmt.models.EmbeddingsSharingLevel.ALL
    dropout = config["dropout"]
    if kind == "transformer":
        size = config["d_model"]
        return opennmt.models.Transformer(
            opennmt.inputters.WordEmbedder(embedding_size=size),
            opennmt.inputters.WordEmbedder(embedding_size=size),
            num_layers=config["layers"],
            num_units=size,
            num_heads=config["num_heads"],
            ffn_inner_dim=config["d_ff"],
            dropout=dropout,
            attention_dropout=0.0,
            ffn_dropout=0.0,
            share_embeddings=share,
        )
    size, units = config["embedding_size"], config["units"]
    words = {"embedding_size": size, "dropout": config["embedding_dropout"]}
    return opennmt.models.SequenceToSequence(
        opennmt.inputters.WordEmbedder(**words),
        opennmt.inputters.WordEmbedder(**words),
        opennmt.encoders.RNNEncoder(
            1, units // 2, bidirectional=True, cell_class=tf.keras.layers.GRUCell, dropout=dropout
        ),
        opennmt.decoders.AttentionalRNNDecoder(
            1,
            units,
            bridge_class=opennmt.layers.DenseBridge,
            attention_mechanism_class=tfa.seq2seq.BahdanauAttention,
            cell_class=tf.keras.layers.GRUCell,
            dropout=dropout,
        ),
        share_embeddings=share,
    )


def configuration(folder, setup, place):
    """A complete OpenNMT-tf configuration."""
    return {
        "model_dir": str(place),
        "data": {
            "train_features_file": str(folder / "train.en"),
            "train_labels_file": str(folder / "train.de"),
            "source_sequence_controls": {
                "start": False,
                "end": True,
            },  # the other systems also append an end token to the source
            "source_vocabulary": str(folder / "opennmt.vocab"),
            "target_vocabulary": str(folder / "opennmt.vocab"),
        },
        "params": {
            "optimizer": "Adam",
            "learning_rate": 0.001,
            "label_smoothing": 0.1,
            "beam_width": 5,
            "length_penalty": 1.0,
            "maximum_decoding_length": 80,
            "optimizer_params": {"global_clipnorm": 1.0},
        },
        "train": {
            "batch_size": setup["batch_tokens"],
            "batch_type": "tokens",
            "length_bucket_width": 2,
            "max_step": 10**9,
            "maximum_features_length": 100,
            "maximum_labels_length": 100,
            "sample_buffer_size": -1,
            "save_checkpoints_steps": None,
            "save_summary_steps": 10**9,
            "effective_batch_size": None,
        },
    }


def main(folder, kind):
    setup = json.loads((folder / "setup.json").read_text())
    metronome = None
    steps = Trainer._steps

    def counted(self, dataset, accum_steps=1):
        """The loop's steps, each with its number of target words."""
        nonlocal metronome
        for loss in steps(self, dataset, accum_steps=accum_steps):
            words = int(self._training_stats._words_counters["target"].numpy())
            if metronome is None:
                parameters = int(sum(weight.shape.num_elements() for weight in self._model.trainable_weights))
                metronome = Metronome(parameters=parameters, tensorflow=tf.__version__, opennmt=opennmt.__version__)
            else:
                metronome.tick(tokens=words)
            self._training_stats._reset_words_counters()
            yield loss

    Trainer._steps = counted
    with tempfile.TemporaryDirectory() as place:
        runner = opennmt.Runner(
            build(kind, setup["models"][kind]), configuration(folder, setup, place), auto_config=False
        )
        runner.train()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
