"""Several models that answer as one.   Shapes: B batch, T source, U target, V vocabulary, M members."""

import functools
import math

import keras
from keras import ops


class Ensemble(keras.Model):
    """A sequence-to-sequence model whose next token's probability is the mean of its members'.

    mean: "arithmetic", or "geometric" (of probabilities, renormalized: the mean of log-probabilities). The members read
    the same source ids and write the same target ids; what is inside them may differ. Logits are log-probabilities.

    Hansen and Salamon (1990), Neural Network Ensembles; for translation Sutskever et al. (2014), section 3.6.

    Two members that give a token .2 and .4: arithmetic .3, geometric .283 before it is renormalized.
    """

    def __init__(self, members, *, mean="arithmetic"):
        super().__init__(name="ensemble")
        assert members and mean in ("arithmetic", "geometric")
        self.members, self.mean = list(members), mean
        self.pad_id, self.start_id, self.end_id = members[0].pad_id, members[0].start_id, members[0].end_id
        self.built = True  # as its members are

    def call(self, inputs, target_in, training=False):
        """inputs {field: [B, T]}, target_in [B, U] with start_id first -> log-probabilities [B, U, V]."""
        return self.mixed([member(inputs, target_in, training=training) for member in self.members])

    def mixed(self, logits):
        """The members' logits [..., V] as one distribution's logarithm [..., V]."""
        logs = ops.stack([ops.log_softmax(ops.cast(part, "float32"), axis=-1) for part in logits])  # [M, ..., V]
        if self.mean == "geometric":
            return ops.log_softmax(ops.mean(logs, axis=0), axis=-1)
        return ops.logsumexp(logs, axis=0) - math.log(len(self.members))

    def encode(self, inputs):
        """inputs {field: [B, T]} -> memory: a member's own for each."""
        return tuple(member.encode(inputs) for member in self.members)

    def start(self, memory):
        """memory -> state before the first step; what no member's steps change is kept apart under "memory"."""
        states = [member.start(part) for member, part in zip(self.members, memory, strict=True)]
        return gathered(states)

    def step(self, state, ids):
        """The next token: ids [B] -> log-probabilities [B, V], state, attention [B, T].

        The attention is the mean over the members that have any.
        """
        return self.stepped([member.step for member in self.members], state, ids)

    def stepper(self):
        """`step` for a loop over steps, by the members' own where they have one."""
        steps = [member.stepper() if hasattr(member, "stepper") else member.step for member in self.members]
        return functools.partial(self.stepped, steps)

    def stepped(self, steps, state, ids):
        """One step by each member's function."""
        parts = zip(steps, state["memory"], state["members"], strict=True)
        steps = [step({**changing, **fixed}, ids) for step, fixed, changing in parts]
        logits, states, attention = zip(*steps, strict=True)
        total = sum(attention)
        share = ops.sum(total, axis=-1, keepdims=True)
        return self.mixed(logits), gathered(states), total / ops.where(share > 0, share, 1.0)


def gathered(states):
    """Members' states as one, which keeps what decoders need not reorder under "memory"."""
    fixed = tuple({"memory": state["memory"]} if "memory" in state else {} for state in states)
    return {
        "memory": fixed,
        "members": tuple({name: part for name, part in state.items() if name != "memory"} for state in states),
    }
