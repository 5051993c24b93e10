"""The neural Turing machine as a sequence-to-sequence model.   Shapes: B batch, T source, U target, E embedding, H units, N slots,
M width of a slot, V vocabulary."""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from textpipe.layers.inputs import single_feature
from textpipe.layers.memory_bank import EPSILON, MemoryBank
from textpipe.layers.memory_loop import MemoryLoop
from textpipe.layers.rnn_cells import LSTM

PAD_ID, START_ID, END_ID = 0, 2, 3
SIDES = ("source", "target")


class NeuralTuringMachine(keras.Model):
    """Controller, memory and vocabulary; see models/ntm.py for the options.

    `hidden` and `project` are the two halves of a call, so that a loss projects only the positions it counts.
    """

    pad_id, start_id, end_id = PAD_ID, START_ID, END_ID
    fixed_widths = False  # one traced training step serves batches of any width

    def __init__(self, config: Any, source_size: int, target_size: int, *, seed: int):
        super().__init__(name="ntm")
        self.config = config
        self.vocabulary_sizes = dict(zip(SIDES, (source_size, target_size), strict=True))
        self.seeds = itertools.count(seed * 100_003)
        self.controller = LSTM(config.units, seeds=self.seeds, name="controller")
        self.memory = MemoryBank(config.slots, config.slot_size, name="memory")
        self.loop = MemoryLoop(self.controller, self.memory)

    def build(self, input_shape: Any = None) -> None:
        config = self.config
        self.embeddings = {}
        for side, rows in self.vocabulary_sizes.items():
            if config.embedding == "binary":
                self.embeddings[side] = binary_codes(rows)
            else:
                normal = keras.initializers.RandomNormal(stddev=1.0, seed=next(self.seeds))
                shape = (rows, config.embedding_size)
                self.embeddings[side] = self.add_weight(shape=shape, initializer=normal, name=f"{side}_embedding")
        self.widths = {side: table.shape[1] for side, table in self.embeddings.items()}
        answer_size = self.widths["target"]
        self.read_widths = {"source": self.widths["source"], "target": answer_size if config.reads_answer else 0}
        # Two flags tell the controller which of the two sequences it is in.
        self.token_size = sum(self.read_widths.values()) + len(SIDES)
        self.controller.build((None, None, self.token_size + config.slot_size))
        self.memory.build()

        def weight(name: str, *shape: int, initializer: Any = "zeros") -> Any:
            return self.add_weight(shape=shape, initializer=initializer, name=name)

        glorot = keras.initializers.GlorotUniform
        num_outputs = self.memory.num_outputs
        self.head_kernel = weight("head_kernel", config.units, num_outputs, initializer=glorot(seed=next(self.seeds)))
        self.head_bias = weight("head_bias", num_outputs)
        if config.heads == "sequential":
            self.head_bias.assign(self.memory.sequential_bias())
        self.output_kernel = weight(
            "output_kernel", config.units + config.slot_size, answer_size, initializer=glorot(seed=next(self.seeds))
        )
        self.output_bias = weight("output_bias", answer_size)
        self.built = True

    def call(self, inputs: Any, target_in: Any, training: bool = False) -> Any:
        """inputs {field: [B, T]}, target_in [B, U] with start_id first -> logits [B, U, V]."""
        return self.project(self.hidden(inputs, target_in, training=training))

    def hidden(self, inputs: Any, target_in: Any, training: bool = False) -> Any:
        """The vectors that `project` maps to logits: inputs {field: [B, T]}, target_in [B, U] -> [B, U, H + M]."""
        carry = self.encode(inputs, training=training)["last"]
        readouts, _, _ = self.loop.run(self.gates(ops.transpose(target_in), "target"), carry, self.loop_weights())
        return ops.transpose(readouts, (1, 0, 2))

    def project(self, hidden: Any) -> Any:
        """Logits from hidden vectors: [..., H + M] -> [..., V]."""
        codes = ops.matmul(hidden, self.output_kernel) + self.output_bias
        return ops.matmul(codes, ops.transpose(ops.cast(self.embeddings["target"], codes.dtype)))

    def encode(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """inputs {field: ids [B, T]} -> "last", the carry after the source, and "written" [B, T, N], the slots that each token went to."""
        ids = ops.transpose(single_feature(inputs))
        real = ops.cast(ops.not_equal(ids, PAD_ID), self.compute_dtype)[:, :, None]  # [T, B, 1]
        first = {
            "controller": self.controller.zero_state(ops.shape(ids)[1]),
            "slots": self.memory.start(ops.shape(ids)[1]),
        }
        _, write_weights, last = self.loop.run(self.gates(ids, "source"), first, self.loop_weights(), real)
        return {"last": last, "written": ops.transpose(write_weights * real, (1, 0, 2))}

    def start(self, memory: Any) -> dict[str, Any]:
        """memory -> state before the first step. state["memory"] is constant and the same for all hypotheses of a row."""
        return {"memory": {"written": memory["written"]}, **memory["last"]}

    def step(self, state: Any, ids: Any) -> Any:
        """The next token: ids [B] -> logits [B, V], state, attention [B, T].

        Attention: how much of what is read lies where each source token was written.
        """
        carry = {name: value for name, value in state.items() if name != "memory"}
        carry, _ = self.loop.forward_step(self.gates(ids, "target"), carry, self.loop_weights())
        shares = ops.squeeze(ops.matmul(state["memory"]["written"], carry["slots"]["read"][:, :, None]), 2)
        attention = shares / (ops.sum(shares, axis=1, keepdims=True) + EPSILON)
        readout = ops.concatenate([carry["controller"][0], carry["slots"]["content"]], axis=1)
        return self.project(readout), {"memory": state["memory"], **carry}, attention

    def loop_weights(self) -> dict[str, Any]:
        """The weights used at each step, as tensors: a custom gradient must not capture variables."""
        read_kernel = self.controller.kernel[self.token_size :]
        return {
            "recurrent": ops.concatenate([read_kernel, self.controller.recurrent_kernel], axis=0),
            "heads": (ops.copy(self.head_kernel), ops.copy(self.head_bias)),
        }

    def gates(self, ids: Any, side: str) -> Any:
        """What the tokens of one side contribute to the controller's gates: ids [...] -> [..., 4 H]."""
        shape, parts = ops.shape(ids), []
        for other, width in self.read_widths.items():
            if other == side and width:
                table = ops.cast(self.embeddings[side], self.compute_dtype)
                parts.append(ops.take(table, ids, axis=0))
            else:
                parts.append(ops.zeros((*shape, width), dtype=self.compute_dtype))
        flags = ops.cast(ops.one_hot(SIDES.index(side), len(SIDES)), self.compute_dtype)
        parts.append(ops.broadcast_to(flags, (*shape, len(SIDES))))
        kernel = self.controller.kernel[: self.token_size]
        return ops.matmul(ops.concatenate(parts, axis=-1), kernel) + self.controller.bias


def binary_codes(num_tokens: int) -> np.ndarray:
    """The digits of each token's number, as 0 and 1: -> [V, E].

    With logits = codes . z a softmax over all 2^E numbers is the product of a sigmoid for each digit.
    """
    width = max(1, (num_tokens - 1).bit_length())
    return (np.arange(num_tokens)[:, None] >> np.arange(width) & 1).astype("float32")
