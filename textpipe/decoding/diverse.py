"""Diverse beam search: groups of hypotheses that keep away from each other's words."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.decoding import beam

OPTIONS = {"strength": "float32", **beam.OPTIONS}
BOUNDS = {"strength": 100, **beam.BOUNDS}
TEXTS = beam.TEXTS


class Config(beam.Config):
    """[decode] kind = "diverse". beam_size hypotheses stand in `groups` equal groups."""

    kind: Literal["diverse"] = "diverse"
    beam_size: int = Field(6, ge=1)  # of all groups together
    groups: int = Field(3, ge=1)  # in which hypotheses stand, each searching for itself
    strength: float = Field(0.5, ge=0)  # lambda, in nats: what a token costs for each use in an earlier group

    @model_validator(mode="after")
    def groups_fit(self):
        if self.beam_size % self.groups:
            raise ValueError(
                f"beam_size = {self.beam_size} cannot be shared by groups = {self.groups}; make it a multiple of groups"
            )
        return self


def decode(model, inputs, config, options=None, *, codec=None):
    """n_best answers for each row that differ in more than a word, best first, in graph.

    inputs {field: [B, T]} -> {"ids": [B, N, U] int32, "scores": [B, N], "log_probs": [B, N], "attention": [B, N, U, T]}

    Vijayakumar et al. (2018), Diverse Beam Search, algorithm 1 with the Hamming diversity of section 4.1: at each step
    the groups choose one after the other, by log-probability less `strength` for each living hypothesis of an earlier
    group that took the same token at this step. That decides who lives on; scores and log_probs are the model's own. The
    end is not made dearer: instead an answer that an earlier group ends at this step is not ended again, so that
    answers differ. A group that is done counts no more. With strength 0 and one group this is beam search.

    options: {name of OPTIONS: scalar tensor} and {name of TEXTS: [B] or [1] string}, in place of the config's fields;
    a beam_size that is no multiple of groups fails. codec: the target's, for texts and rules.
    """
    import tensorflow as tf

    from textpipe.decoding._beam import search
    from textpipe.decoding._search import Rules, settings, source_ids

    groups = config.groups
    config = settings(config, options, OPTIONS, TEXTS)
    rules = Rules(config.rules, codec, config.prefix)
    if options and "beam_size" in options:
        fits = tf.equal(config.beam_size % groups, 0)
        tf.debugging.Assert(
            fits, [f"option beam_size must be a multiple of groups = {groups}, found", config.beam_size]
        )
    size = config.beam_size // groups
    choice = hamming(groups, size, config.strength)
    found = search(model, inputs, config, rules, choice, beam=size, groups=groups)

    rows = tf.shape(source_ids(model, inputs))[0]
    found = {
        name: tf.reshape(part, tf.concat([[rows, groups * size], tf.shape(part)[2:]], axis=0))
        for name, part in found.items()
    }
    order = tf.argsort(found["scores"], axis=1, direction="DESCENDING", stable=True)
    return {name: tf.gather(part, order[:, : config.n_best], batch_dims=1) for name, part in found.items()}


def hamming(groups, size, strength):
    """The choice that _beam.search asks for.   Shapes: B rows, G groups, K = size, W tokens, C = 2 * K candidates."""
    import tensorflow as tf

    from textpipe.decoding._beam import NEG_INF, BestCandidates

    class Hamming(BestCandidates):
        # At most this many tokens become dearer, so that many more may have to be looked at.
        spare = size * (groups - 1)

        def choose(self, now):
            width = tf.shape(now.token)[2]

            def grouped(part):
                """[B * G, ...] -> [B, G, ...]."""
                return tf.reshape(part, tf.concat([[-1, groups], tf.shape(part)[1:]], axis=0))

            total, tokens, ids, done = grouped(now.log_probs), grouped(now.token), grouped(now.ids), grouped(now.done)
            used, ended, chosen = [], [], []
            for group in range(groups):
                token, log_probs, mine = tokens[:, group], total[:, group], ids[:, group]
                price = tf.zeros_like(log_probs)
                if group:
                    same = tf.equal(token[..., None], tf.concat(used, axis=1)[:, None, None, :])  # [B, K, W, tokens]
                    price = strength * tf.reduce_sum(tf.cast(same, tf.float32), axis=3)
                    before, over = (tf.concat(parts, axis=1) for parts in zip(*ended, strict=True))
                    again = tf.reduce_all(tf.equal(mine[:, :, None, :], before[:, None, :, :]), axis=3)
                    again = tf.reduce_any(again & over[:, None, :], axis=2)  # [B, K]
                    log_probs = tf.where(tf.equal(token, now.end_id) & again[:, :, None], NEG_INF, log_probs)
                flat = [tf.reshape(part, [-1, size * width]) for part in (log_probs - price, log_probs, token)]
                value, place = tf.math.top_k(flat[0], 2 * size)  # [B, C]
                log_probs, token = (tf.gather(part, place, batch_dims=1) for part in flat[1:])
                parent, ending = place // width, tf.equal(token, now.end_id)
                value, living = tf.math.top_k(tf.where(ending, NEG_INF, value), size)
                chosen.append((log_probs, token, parent, living))
                counts = ~done[:, group, None] & (value > NEG_INF)
                used.append(tf.where(counts, tf.gather(token, living, batch_dims=1), -1))
                finished = ending & (log_probs > NEG_INF) & ~done[:, group, None]
                ended.append((tf.gather(mine, parent, batch_dims=1), finished))
            return [
                tf.reshape(tf.stack(parts, axis=1), [-1, tf.shape(parts[0])[1]]) for parts in zip(*chosen, strict=True)
            ]

    return Hamming()
