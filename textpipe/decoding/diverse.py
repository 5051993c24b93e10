"""Diverse beam search: groups of hypotheses that avoid each other's tokens."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.decoding import beam

OPTIONS = {"strength": "float32", **beam.OPTIONS}
BOUNDS = {"strength": 100, **beam.BOUNDS}
TEXTS = beam.TEXTS


class Config(beam.Config):
    """[decode] kind = "diverse". beam_size hypotheses are divided into `groups` equal groups."""

    kind: Literal["diverse"] = "diverse"
    beam_size: int = Field(6, ge=1)  # hypotheses per row, of all groups together
    groups: int = Field(3, ge=1)  # number of groups
    strength: float = Field(0.5, ge=0)  # lambda: penalty in nats of a token per use in an earlier group

    @model_validator(mode="after")
    def groups_fit(self):
        if self.beam_size % self.groups:
            raise ValueError(
                f"beam_size = {self.beam_size} is not divisible by groups = {self.groups}; make it a multiple of groups"
            )
        return self


def decode(model, inputs, config, options=None, *, codec=None):
    """n_best answers for each row that differ in more than a word, best first, in graph.

    inputs {field: [B, T]} -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    Vijayakumar et al. (2018), Diverse Beam Search, algorithm 1 with the Hamming diversity of section 4.1: at each
    step the groups select in turn, by log-probability minus `strength` for each live hypothesis of an earlier group with
    the same token at this step. This decides only which hypotheses survive; scores and log_probs are those of the model.
    The end is not penalized; instead, an answer that an earlier group ends at this step is not ended again, so that
    answers differ. Groups that are done no longer count. With strength 0 and one group this is beam search.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, override the config's fields; a
    beam_size that is not a multiple of groups fails. codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding._beam import search
    from textpipe.decoding._search import Rules, source_ids, with_options

    groups = config.groups
    config = with_options(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    if options and "beam_size" in options:
        divisible = tf.equal(config.beam_size % groups, 0)
        tf.debugging.Assert(
            divisible, [f"option beam_size must be a multiple of groups = {groups}, found", config.beam_size]
        )
    size = config.beam_size // groups
    strategy = hamming(groups, size, config.strength)
    outputs = search(model, inputs, config, rules, strategy, beam=size, groups=groups)

    rows = tf.shape(source_ids(model, inputs))[0]
    outputs = {
        name: tf.reshape(part, tf.concat([[rows, groups * size], tf.shape(part)[2:]], axis=0))
        for name, part in outputs.items()
    }
    order = tf.argsort(outputs["scores"], axis=1, direction="DESCENDING", stable=True)
    return {name: tf.gather(part, order[:, : config.n_best], batch_dims=1) for name, part in outputs.items()}


def hamming(groups, size, strength):
    """The strategy for _beam.search.   Shapes: B rows, G groups, K = size, W tokens, C = 2 * K candidates."""
    import tensorflow as tf

    from textpipe.decoding._beam import NEG_INF, BestCandidates

    class Hamming(BestCandidates):
        # At most this many tokens are penalized, so that many more have to be considered.
        spare = size * (groups - 1)

        def choose(self, now):
            width = tf.shape(now.token)[2]

            def grouped(part):
                """[B * G, ...] -> [B, G, ...]."""
                return tf.reshape(part, tf.concat([[-1, groups], tf.shape(part)[1:]], axis=0))

            total, tokens, ids, done = grouped(now.log_probs), grouped(now.token), grouped(now.ids), grouped(now.done)
            used, ended, chosen = [], [], []
            for group in range(groups):
                token, log_probs, own_ids = tokens[:, group], total[:, group], ids[:, group]
                penalty = tf.zeros_like(log_probs)
                if group:
                    same = tf.equal(token[..., None], tf.concat(used, axis=1)[:, None, None, :])  # [B, K, W, tokens]
                    penalty = strength * tf.reduce_sum(tf.cast(same, tf.float32), axis=3)
                    before, over = (tf.concat(parts, axis=1) for parts in zip(*ended, strict=True))
                    again = tf.reduce_all(tf.equal(own_ids[:, :, None, :], before[:, None, :, :]), axis=3)
                    again = tf.reduce_any(again & over[:, None, :], axis=2)  # [B, K]
                    log_probs = tf.where(tf.equal(token, now.end_id) & again[:, :, None], NEG_INF, log_probs)
                flat = [tf.reshape(part, [-1, size * width]) for part in (log_probs - penalty, log_probs, token)]
                value, index = tf.math.top_k(flat[0], 2 * size)  # [B, C]
                log_probs, token = (tf.gather(part, index, batch_dims=1) for part in flat[1:])
                parent, ending = index // width, tf.equal(token, now.end_id)
                value, live = tf.math.top_k(tf.where(ending, NEG_INF, value), size)
                chosen.append((log_probs, token, parent, live))
                counts = ~done[:, group, None] & (value > NEG_INF)
                used.append(tf.where(counts, tf.gather(token, live, batch_dims=1), -1))
                finished = ending & (log_probs > NEG_INF) & ~done[:, group, None]
                ended.append((tf.gather(own_ids, parent, batch_dims=1), finished))
            return [
                tf.reshape(tf.stack(parts, axis=1), [-1, tf.shape(parts[0])[1]]) for parts in zip(*chosen, strict=True)
            ]

    return Hamming()
