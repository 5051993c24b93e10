"""Ensembles of sequence-to-sequence models.   Shapes: B batch, T source, U target, V vocabulary, M members."""

import functools
import math

import keras
from keras import ops


class Ensemble(keras.Model):
    """A sequence-to-sequence model whose probability of the next token is the mean over its members.

    mean: "arithmetic", or "geometric" (the renormalized mean of log-probabilities). The members share source and target
    vocabularies; their architectures may differ. Logits are log-probabilities.

    Hansen and Salamon (1990), Neural Network Ensembles; for translation Sutskever et al. (2014), section 3.6.

    Two members that give a token .2 and .4: arithmetic .3, geometric .283 before renormalization.
    """

    def __init__(self, members, *, mean="arithmetic"):
        super().__init__(name="ensemble")
        assert members and mean in ("arithmetic", "geometric")
        self.members, self.mean = list(members), mean
        self.pad_id, self.start_id, self.end_id = members[0].pad_id, members[0].start_id, members[0].end_id
        self.built = True  # its members are built

    def call(self, inputs, target_in, training=False):
        """inputs {field: [B, T]}, target_in [B, U] with start_id first -> log-probabilities [B, U, V]."""
        return self.mean_log_probs([member(inputs, target_in, training=training) for member in self.members])

    def mean_log_probs(self, logits):
        """The members' logits [..., V] -> log-probabilities of the mean [..., V]."""
        logs = ops.stack([ops.log_softmax(ops.cast(each, "float32"), axis=-1) for each in logits])  # [M, ..., V]
        if self.mean == "geometric":
            return ops.log_softmax(ops.mean(logs, axis=0), axis=-1)
        return ops.logsumexp(logs, axis=0) - math.log(len(self.members))

    def encode(self, inputs):
        """inputs {field: [B, T]} -> memory: a tuple of the members' memories."""
        return tuple(member.encode(inputs) for member in self.members)

    def start(self, memory):
        """memory -> state before the first step; tensors that no step changes are under "memory"."""
        return merge_states([member.start(each) for member, each in zip(self.members, memory, strict=True)])

    def step(self, state, ids):
        """The next token: ids [B] -> log-probabilities [B, V], state, attention [B, T].

        The attention is the mean over the members with attention.
        """
        return self.combined_step([member.step for member in self.members], state, ids)

    def step_function(self):
        """`step` for use in a loop, built from the members' `step_function` where they have one."""
        steps = [member.step_function() if hasattr(member, "step_function") else member.step for member in self.members]
        return functools.partial(self.combined_step, steps)

    def combined_step(self, steps, state, ids):
        """One step of all members; steps: their step functions."""
        members = zip(steps, state["memory"], state["members"], strict=True)
        results = [step({**changing, **constant}, ids) for step, constant, changing in members]
        logits, states, attention = zip(*results, strict=True)
        total = sum(attention)
        share = ops.sum(total, axis=-1, keepdims=True)
        return self.mean_log_probs(logits), merge_states(states), total / ops.where(share > 0, share, 1.0)


def merge_states(states):
    """One state from the members'; what decoders need not reorder is under "memory"."""
    constant = tuple({"memory": state["memory"]} if "memory" in state else {} for state in states)
    return {
        "memory": constant,
        "members": tuple({name: value for name, value in state.items() if name != "memory"} for state in states),
    }
