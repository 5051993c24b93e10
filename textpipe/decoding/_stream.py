"""Greedy search one token at a call, for whoever shows an answer while it grows.

Shapes: B rows, T source, U tokens so far, V vocabulary. What a call needs of the one before is a nest of tensors whose
first axis is B; Stream gives it a name and a shape for each tensor, so that it can leave the graph and come back.
"""

import tensorflow as tf

from textpipe.decoding import greedy
from textpipe.decoding._search import Rules, any_shape, max_lengths, next_token_mask, nothing, settings, source_ids


def greedy_config(config):
    """A decoder's settings as greedy's: limits, prefix and rules, as far as it has them."""
    shared = set(greedy.Config.model_fields) & set(type(config).model_fields) - {"kind"}
    return greedy.Config(**{name: getattr(config, name) for name in shared})


class Stream:
    """begin(inputs) -> state; advance(state) -> state with a token more."""

    def __init__(self, model, config, codec=None):
        self.model = model
        self.config = settings(greedy_config(config), None, greedy.OPTIONS, greedy.TEXTS)
        self.rules = Rules(self.config.rules, codec, self.config.prefix)
        self.structure = None

    def begin(self, inputs):
        """inputs {field: [B, T]} -> {"ids": [B, 0], "cap": [B], "state_00": ..., ...}"""
        source = source_ids(self.model, inputs)
        rows = tf.shape(source)[0]
        nest = {"model": self.model.start(self.model.encode(inputs)), "rules": self.rules.start(rows)}
        self.structure = nest
        cap = max_lengths(source, self.model.pad_id, self.config, self.rules)
        if self.config.prefix is None:  # of no text there is nothing to answer, whatever a rule has to choose from
            cap = tf.where(nothing(source, self.model.pad_id), 1, cap)
        return {"ids": tf.zeros([rows, 0], tf.int32), "cap": cap, **name_tensors(nest)}

    def specs(self):
        """The tensors of a state as `advance` takes them; to be asked for after `begin`."""
        specs = {"ids": tf.TensorSpec([None, None], tf.int32, "ids"), "cap": tf.TensorSpec([None], tf.int32, "cap")}
        ruled = len(tf.nest.flatten(self.structure["rules"]))
        parts = list(name_tensors(self.structure).items())
        for at, (name, part) in enumerate(parts):
            # A rule's state may grow in any axis; a model's keeps the sizes it knows.
            shape = any_shape(part) if at >= len(parts) - ruled else [None, *part.shape[1:]]
            specs[name] = tf.TensorSpec(shape, part.dtype, name)
        return specs

    def advance(self, given):
        """The state of `begin` or of the last call -> the same with ids [B, U + 1]; rows that have ended get padding.

        "done" [B] says which have.
        """
        model, ids = self.model, given["ids"]
        flat = [given[name] for name in sorted(given) if name.startswith("state_")]
        nest = tf.nest.pack_sequence_as(self.structure, flat)
        rows, step = tf.shape(ids)[0], tf.shape(ids)[1]
        before = tf.concat([tf.fill([rows, 1], model.start_id), ids], axis=1)
        last = before[:, -1]
        done = tf.equal(last, model.end_id) | tf.equal(last, model.pad_id)
        logits, state, _ = model.step(nest["model"], last)
        logits = tf.cast(logits, tf.float32)
        mask = next_token_mask(model, tf.shape(logits)[1], step + 1, given["cap"], self.config)
        allowed = self.rules.without(logits, nest["rules"], step + 1) + mask
        stuck = tf.reduce_all(tf.math.is_inf(allowed), axis=1)
        token = tf.argmax(tf.where(stuck[:, None], logits, allowed), axis=1, output_type=tf.int32)
        token = tf.where(done, model.pad_id, tf.where(stuck, model.end_id, token))
        after = {"model": state, "rules": self.rules.advance(nest["rules"], token)}
        return {
            "ids": tf.concat([ids, token[:, None]], axis=1),
            "cap": given["cap"],
            "done": done | tf.equal(token, model.end_id),
            **name_tensors(after),
        }


def name_tensors(nest):
    """A nest of tensors as {"state_00": ..., "state_01": ...}."""
    return {f"state_{at:02}": part for at, part in enumerate(tf.nest.flatten(nest))}
