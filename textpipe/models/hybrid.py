"""Hybrid word-character sequence-to-sequence model (Luong & Manning 2016, Achieving Open Vocabulary Neural Machine
Translation with Hybrid Word-Character Models).

A word-level encoder-decoder does most of the work. A source word outside the vocabulary is represented by the last
state of a recurrent network over its letters (section 4.2); where the decoder answers <unk>, a second decoder, begun
from the attentional state on a path of its own (section 4.3, "separate-path"), writes the word letter by letter. Both
are trained together on the sum of the word loss and the letter loss (equation 6 with alpha = 1).

It reads the codec "hybrid", which spells an unknown word inside the row of ids: a man <unk> y o d e l s </unk>. From
such a row the model takes, in graph, the words and the letters of each unknown one. Its vocabulary is words and letters
together: at a place inside a spelling a word is all but impossible (its logit is nets/hybrid.py's MASKED), and a
letter elsewhere. So the loss over such rows is the paper's joint loss, and every decoder works unchanged.

Where it deviates from the paper, and why:

- Decoding is one search over words and letters, not words first and letters after: a hypothesis pays for a spelling
  before it is chosen. Decoders need no second stage, and the score is the probability of the whole text.
- Lengths (max_length, length penalty, batch_tokens) count letters as tokens.
- Gated recurrent units by default, one layer, a bidirectional encoder, where the paper has deep one-directional LSTMs:
  what 30,000 sentences on a processor can feed.
- No input feeding, as in models/recurrent.py, so that all words of a row are decoded at once in training.
- The letter networks may be narrower than the word networks, with a dense layer between.
- A source word's spelling begins with a mark of its own and ends without one.

As in the paper, the word decoder reads <unk> "as is" after a spelling, not what was spelled, which lets all spellings
of a batch be computed side by side. [train] scheduled_sampling replaces known words by known words alone.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.layers.dropout_rate import Rate

READS = ("ids",)
GIVES = "tokens"


class Config(Section):
    """[model] kind = "hybrid". letter_*: of the two networks over letters; the others are of the word level.

    letter_embedding_size: width of a letter's embedding.
    """

    kind: Literal["hybrid"] = "hybrid"
    cell: Literal["gru", "lstm"] = "gru"  # of all recurrent layers
    units: int = Field(256, ge=2)  # of the decoder; of the encoder's two directions together
    layers: int = Field(1, ge=1)  # of the encoder and of the decoder, words alone
    embedding_size: int = Field(256, ge=1)  # width of a word's embedding
    attention: Literal["dot", "general", "additive"] = "additive"  # how the decoder looks at the source
    attention_size: int = Field(128, ge=1)  # of additive attention
    letter_units: int = Field(128, ge=1)  # of the networks over letters
    letter_layers: int = Field(1, ge=1)  # of the networks over letters
    letter_embedding_size: int = Field(64, ge=1)
    dropout: Rate = 0.3  # on the readouts and between layers
    embedding_dropout: Rate = 0.3  # of words, known or spelled
    tie_embeddings: bool = True  # the target embedding of words is their softmax weight
    share_embeddings: bool = False  # source and target use one embedding; needs a joint vocabulary

    @model_validator(mode="after")
    def units_are_even(self):
        if self.units % 2:
            raise ValueError(f"units = {self.units} cannot be halved for the encoder's two directions; make it even")
        return self


def unused(config: Config) -> dict[str, str]:
    """Fields that have no effect beside the others, and why."""
    return {} if config.attention == "additive" else {"attention_size": f"attention = {config.attention!r} has none"}


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The model with all its variables; raises ConfigError when the features do not fit.

    The result is called as model({field: ids [B, T]}, target_in [B, U], training=...) -> logits [B, U, V].
    """
    _, table = sizes.one_input
    for side, size in (("source", table), ("target", sizes.target)):
        if size["kind"] != "ids" or "num_words" not in size:
            raise ConfigError(
                f"[model] hybrid: reads words and the letters of unknown ones, but the {side} has none of them; set "
                '[tokenize] codec = "hybrid" and [vectorize] features = "ids"'
            )
    if config.share_embeddings and table["vocab_size"] != sizes.target["vocab_size"]:
        raise ConfigError(
            "[model] share_embeddings: needs one vocabulary for both sides, found "
            f'{table["vocab_size"]} and {sizes.target["vocab_size"]} ids; set [tokenize] vocabulary = "joint"'
        )
    from textpipe.nets.hybrid import HybridModel

    source, target = ((size["num_words"], size["vocab_size"]) for size in (table, sizes.target))
    model = HybridModel(config, source, target, seed=seed)
    model.build()
    return model
