"""Every model file and every decoder, each in small variants, as parameters of the conformance suite.

A new file in models/ or decoding/ is found automatically and tested with its defaults; SMALL adds variants.
"""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin

VOCABULARY, DIM, CLASSES = 13, 9, {"two": ["no", "yes"], "five": list("abcde")}
ROWS, SOURCE, TARGET = 4, 7, 6

TRANSFORMER = {"d_model": 8, "d_ff": 10, "num_heads": 2, "layers": 2}
RECURRENT = {"units": 6, "embedding_size": 4, "attention_size": 5}
IMAGE = {"kind": "image", "patch": 2, "filters": [5], "blocks": 1}
HYBRID = {"letter_units": 5, "letter_embedding_size": 3}
MEMORY = {"units": 6, "slots": 5, "slot_size": 3, "embedding_size": 4}
SMALL = {
    # The decoders are those of other models, which are tested with all their options.
    "captioner": [
        {
            "encoder": {**IMAGE, "filters": [4, 6], "activation": "gelu"},
            "decoder": {"kind": "recurrent", **RECURRENT, "cell": "lstm", "layers": 2, "attention": "dot"},
        },
        {
            "encoder": {**IMAGE, "dropout": 0.2},
            "decoder": {"kind": "transformer", **TRANSFORMER, "layers": 1, "tie_embeddings": False},
        },
    ],
    "entity_network": [{"size": 5, "slots": 3}],
    "feed_forward": [
        {"units": [6], "embedding": 4},
        {"units": [6, 5], "embedding": 4, "normalization": "batch", "activation": "tanh", "dropout": 0.0},
    ],
    "hybrid": [
        {**RECURRENT, **HYBRID},
        {**RECURRENT, **HYBRID, "cell": "lstm", "layers": 2, "letter_layers": 2, "attention": "general"},
        {**RECURRENT, **HYBRID, "attention": "dot", "tie_embeddings": False, "share_embeddings": True},
    ],
    "memory_network": [
        {"size": 5, "hops": 2, "empty_memories": 0.0},
        {"size": 4, "linear_start": 3, "empty_memories": 0.0},
    ],
    "ntm": [MEMORY],
    "pooled": [
        {"encoder": {"kind": "bag", "embedding_size": 4}, "pooling": "attention", "attention_size": 3, "dropout": 0.0},
        {"encoder": {"kind": "convolution", "embedding_size": 4, "filters": 5, "layers": 2}, "units": [5]},
        {
            "encoder": {"kind": "recurrent", "embedding_size": 4, "units": 6, "layers": 2, "cell": "lstm"},
            "pooling": "last",
        },
        {"encoder": {"kind": "transformer", **TRANSFORMER}, "pooling": "mean"},
    ],
    "query_reduction": [
        {"size": 5},
        {"size": 4, "layers": 3, "gates": "scalar", "reset": False, "bidirectional": False},
        {"size": 4, "layers": 3, "reset": "directions", "tie_layers": True, "init_stddev": 1.0},
        {"size": 4, "gates": "scalar", "reset": "directions"},
    ],
    "recurrent": [
        RECURRENT,
        {**RECURRENT, "cell": "lstm", "layers": 2, "attention": "dot", "share_embeddings": True},
        {**RECURRENT, "layers": 2, "encoder": "forward", "attention": "general", "tie_embeddings": False},
        {**RECURRENT, "cell": "lstm", "decoder_layers": 2, "encoder_units": 5},
        {**RECURRENT, "attention": "none", "dropout": 0.0, "embedding_dropout": 0.0},
        {**RECURRENT, "input_feeding": True, "coverage": True},
        {
            **RECURRENT,
            "cell": "lstm",
            "layers": 2,
            "attention": "multi_head",
            "attention_size": 6,
            "num_heads": 2,
            "input_feeding": True,
            "residual": True,
            "bridge": "copy",
        },
        {
            **RECURRENT,
            "decoder_layers": 2,
            "residual": True,
            "attention": "scaled_dot",
            "bridge": "zero",
            "dropout_kind": "variational",
            "recurrent_dropout": 0.3,
            "word_dropout": 0.2,
        },
    ],
    "transformer": [
        TRANSFORMER,
        {**TRANSFORMER, "norm": "post", "activation": "gelu", "tie_embeddings": False, "word_dropout": 0.2},
        {**TRANSFORMER, "positions": "rotary", "activation": "swiglu", "share_embeddings": True, "layers": 1},
    ],
}


class Case:
    """A model file with one set of options, one kind of source and one size of target."""

    def __init__(self, kind, options, source, target):
        self.kind, self.options, self.source, self.target = kind, options, source, target
        self.module = plugins.find("models", kind)
        self.generates = self.module.GIVES == "tokens"
        shown = [
            f"{name}={value}"
            for name, value in options.items()
            if name not in RECURRENT | TRANSFORMER | HYBRID | MEMORY
        ]
        self.name = "-".join([kind, *shown, *([] if self.generates else [source, target])])

    @property
    def config(self):
        return Plugin.check("models", {"kind": self.kind, **self.options})

    def build(self, seed=1):
        # num_words: added by the codec "hybrid"; ids from it on are letters. Models that do not spell words ignore it.
        ids = {"kind": "ids", "vocab_size": VOCABULARY, "max_length": 20, "num_words": 8}
        sources = {
            "ids": ids,
            "sparse": {"kind": "sparse", "dim": DIM},
            "scalar": {"kind": "scalar"},
            "pixels": {"kind": "pixels", "height": 6, "width": 4, "channels": 3},
        }
        source = sources[self.source]
        target = ids if self.generates else {"kind": "label", "classes": CLASSES[self.target]}
        return self.module.build(self.config, Sizes({"source": source}, "target", target), seed=seed)

    def random(self, seed=1):
        """Built, with random numbers in every weight, because weights that start at zero could hide an error."""
        model = self.build()
        random = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            variable.assign(variable.numpy() + random.normal(scale=0.5, size=variable.shape))
        return model

    def inputs(self, lengths=(7, 3, 1, 5), seed=2):
        """The positional arguments of a call: ({field: feature},), and target_in for a generator."""
        random = np.random.default_rng(seed)
        if self.source == "sparse":
            dense = random.poisson(0.7, size=(len(lengths), DIM)) * random.uniform(0.5, 1.5, size=DIM)
            return ({"source": tf.sparse.from_dense(dense.astype(keras.config.floatx()))},)
        if self.source == "scalar":
            return ({"source": tf.constant(random.normal(size=len(lengths)).astype(keras.config.floatx()))},)
        if self.source == "pixels":
            source = {"source": random.integers(1, 256, (len(lengths), 6, 4, 3)).astype("uint8")}
        else:
            source = {"source": ids_of(random, lengths, max(lengths))}
        if not self.generates:
            return (source,)
        target = ids_of(random, [TARGET] * len(lengths), TARGET)
        return source, np.concatenate([np.full((len(lengths), 1), 2, "int32"), target[:, :-1]], axis=1)


def ids_of(random, lengths, width):
    """Random tokens, end_id last, padded: [B, width] int32."""
    ids = np.zeros((len(lengths), width), "int32")
    for row, length in enumerate(lengths):
        ids[row, : length - 1] = random.integers(4, VOCABULARY, length - 1)
        ids[row, length - 1] = 3
    return ids


def cases():
    for kind in plugins.names("models"):
        module = plugins.find("models", kind)
        if module.GIVES not in ("logits", "tokens"):  # tests/test_suggest.py, tests/test_pretrain.py
            continue
        targets = ["text"] if module.GIVES == "tokens" else list(CLASSES)
        for options, source, target in itertools.product(SMALL.get(kind, [{}]), module.READS, targets):
            yield Case(kind, options, source, target)


CASES = list(cases())


def pytest_generate_tests(metafunc):
    """`case` is any model, `reader` one of ids, `generator` one that generates text, `decoder` a decoder's name."""
    chosen = {
        "case": CASES,
        "reader": [case for case in CASES if case.source == "ids"],
        "generator": [case for case in CASES if case.generates],
    }
    if {"generator", "decoder"} <= set(metafunc.fixturenames):
        pairs = list(searched(chosen.pop("generator")))
        metafunc.parametrize(("generator", "decoder"), pairs, ids=[f"{case.name}-{decoder}" for case, decoder in pairs])
    for name in chosen.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, chosen[name], ids=[case.name for case in chosen[name]])


def searched(generators):
    """Greedy and beam search over every variant of every model; the other decoders, which share their
    loops and use the same methods of a model, over one variant of each."""
    first = {case.kind: case for case in reversed(generators)}
    for case, decoder in itertools.product(generators, plugins.names("decoding")):
        if decoder in ("greedy", "beam") or case is first[case.kind]:
            yield case, decoder


@pytest.fixture
def float64():
    """Models are built and run in double precision."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])
