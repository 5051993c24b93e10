"""Greedy search with one token per call, for streaming.

Shapes: B rows, T source, U tokens so far, V vocabulary. The state between calls is a nest of tensors whose first axis is
B; Stream gives each tensor a name and a shape, so that the state can leave the graph and come back.
"""

import tensorflow as tf

from textpipe.decoding import greedy
from textpipe.decoding._search import Rules, any_shape, is_empty, max_lengths, next_token_mask, source_ids, with_options


def greedy_config(config):
    """A greedy Config with the limits, prefix and rules of another decoder's Config."""
    shared = set(greedy.Config.model_fields) & set(type(config).model_fields) - {"kind"}
    return greedy.Config(**{name: getattr(config, name) for name in shared})


class Stream:
    """begin(inputs) -> state; advance(state) -> state with another token."""

    def __init__(self, model, config, codec=None):
        self.model = model
        self.config = with_options(greedy_config(config), None, greedy.OPTIONS, greedy.TEXTS)
        self.rules = Rules(self.config.rules, codec, self.config.prefix)
        self.structure = None

    def begin(self, inputs):
        """inputs {field: [B, T]} -> {"ids": [B, 0], "cap": [B], "state_00": ..., ...}"""
        source = source_ids(self.model, inputs)
        rows = tf.shape(source)[0]
        nest = {"model": self.model.start(self.model.encode(inputs)), "rules": self.rules.start(rows)}
        self.structure = nest
        max_length = max_lengths(source, self.model.pad_id, self.config, self.rules)
        if self.config.prefix is None:  # an empty text has an empty answer, whatever the rules allow
            max_length = tf.where(is_empty(source, self.model.pad_id), 1, max_length)
        return {"ids": tf.zeros([rows, 0], tf.int32), "cap": max_length, **name_tensors(nest)}

    def specs(self):
        """The specs of a state as `advance` takes it; call `begin` first."""
        specs = {"ids": tf.TensorSpec([None, None], tf.int32, "ids"), "cap": tf.TensorSpec([None], tf.int32, "cap")}
        num_rule_parts = len(tf.nest.flatten(self.structure["rules"]))
        parts = list(name_tensors(self.structure).items())
        for number, (name, part) in enumerate(parts):
            # The state of a rule may grow in any axis; static sizes in the state of a model are kept.
            shape = any_shape(part) if number >= len(parts) - num_rule_parts else [None, *part.shape[1:]]
            specs[name] = tf.TensorSpec(shape, part.dtype, name)
        return specs

    def advance(self, state):
        """The next state, with ids [B, U + 1], from that of `begin` or of the last call.

        Rows that have ended ("done" [B]) get padding.
        """
        model, ids = self.model, state["ids"]
        flat = [state[name] for name in sorted(state) if name.startswith("state_")]
        nest = tf.nest.pack_sequence_as(self.structure, flat)
        rows, step = tf.shape(ids)[0], tf.shape(ids)[1]
        before = tf.concat([tf.fill([rows, 1], model.start_id), ids], axis=1)
        last = before[:, -1]
        done = tf.equal(last, model.end_id) | tf.equal(last, model.pad_id)
        logits, model_state, _ = model.step(nest["model"], last)
        logits = tf.cast(logits, tf.float32)
        mask = next_token_mask(model, tf.shape(logits)[1], step + 1, state["cap"], self.config)
        allowed = self.rules.mask(logits, nest["rules"], step + 1) + mask
        stuck = tf.reduce_all(tf.math.is_inf(allowed), axis=1)
        token = tf.argmax(tf.where(stuck[:, None], logits, allowed), axis=1, output_type=tf.int32)
        token = tf.where(done, model.pad_id, tf.where(stuck, model.end_id, token))
        after = {"model": model_state, "rules": self.rules.advance(nest["rules"], token)}
        return {
            "ids": tf.concat([ids, token[:, None]], axis=1),
            "cap": state["cap"],
            "done": done | tf.equal(token, model.end_id),
            **name_tensors(after),
        }


def name_tensors(nest):
    """A nest of tensors as {"state_00": ..., "state_01": ...}."""
    return {f"state_{number:02}": part for number, part in enumerate(tf.nest.flatten(nest))}
