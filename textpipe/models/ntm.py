"""Neural Turing machine: a sequence-to-sequence model whose controller reads and writes an external memory (Graves et al. 2014).

The controller, an LSTM, reads the source token by token and may write at each step; then it gives the answer token by token from what it reads. In
place of attention over the encoder's states it has a head whose place in the memory moves from step to step, so that a procedure such as
copying, learned on short sequences, works on longer ones.
"""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError

READS = ("ids",)
GIVES = "tokens"


class Config(Section):
    """[model] kind = "ntm".

    heads: initial movement of the heads: "uniform", where all shifts are equally likely, or "sequential", where the write head moves by one
        slot per step and the read head stays, as copying requires (measured for a few seeds in docs/ntm.md).
    embedding: "learned" has a vector for each token; "binary" the digits of a token's number, for sequences of bit vectors.
    """

    kind: Literal["ntm"] = "ntm"
    units: int = Field(100, ge=1)  # of the controller
    slots: int = Field(128, ge=3)  # of the memory
    slot_size: int = Field(20, ge=1)  # width of a slot
    heads: Literal["uniform", "sequential"] = "uniform"
    embedding: Literal["binary", "learned"] = "learned"
    embedding_size: int = Field(32, ge=1)  # width of a learned embedding
    reads_answer: bool = True  # the controller also reads the answer so far; false in the paper's copy tasks


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    return (
        {"embedding_size": "embedding = 'binary' has one digit for each power of two"}
        if config.embedding == "binary"
        else {}
    )


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The built model; raises ConfigError when the features do not fit.

    The result is called as model({field: ids [B, T]}, target_in [B, U], training=...) -> logits [B, U, V].
    """
    _, source = sizes.single_input
    for side, size in (("source", source), ("target", sizes.target)):
        if size["kind"] != "ids":
            raise ConfigError(f"[model] ntm: needs {side} features of kind 'ids', found {size['kind']!r}")
    from textpipe.nets.ntm import NeuralTuringMachine

    model = NeuralTuringMachine(config, source["vocab_size"], sizes.target["vocab_size"], seed=seed)
    model.build()
    return model
