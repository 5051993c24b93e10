"""Hybrid word-character sequence-to-sequence model (Luong & Manning 2016, Achieving Open Vocabulary Neural Machine
Translation with Hybrid Word-Character Models).

A word-level encoder-decoder does most of the work. A source word outside the vocabulary is represented by the last
state of a recurrent network over its letters (section 4.2); where the decoder predicts <unk>, a second decoder, initialized
from the attentional state by a separate transformation (section 4.3, "separate-path"), writes the word letter by letter.
Both are trained together on the sum of the word loss and the letter loss (equation 6 with alpha = 1).

It reads the codec "hybrid", which spells an unknown word inside the row of ids: a man <unk> y o d e l s </unk>. From
such a row the model extracts, in the graph, the words and the letters of each unknown one. Its vocabulary is words and
letters together: inside a spelling words are all but impossible (their logit is MASKED of nets/hybrid.py), elsewhere
letters. So the loss over such rows is the paper's joint loss, and every decoder works unchanged.

Differences from the paper, and why:

- Decoding is one search over words and letters, not two stages: the score of a hypothesis includes its spellings. Decoders
  need no second stage, and the score is the probability of the whole text.
- Lengths (max_length, length penalty, batch_tokens) count letters as tokens.
- By default one layer of gated recurrent units and a bidirectional encoder instead of deep unidirectional LSTMs: a size
  that 30,000 sentences on a CPU can train.
- No input feeding, as in models/recurrent.py, so that all words of a row are decoded at once in training.
- The letter networks may be narrower than the word networks, with a dense layer between.
- The spelling of a source word begins with <unk> and ends without </unk>.

As in the paper, the word decoder reads <unk> "as is" after a spelling, not the spelled word, so that all spellings of a
batch are computed in parallel. [train] scheduled_sampling replaces only known words, by known words.
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
    """[model] kind = "hybrid". letter_*: settings of the two networks over letters; the others are of the word level.

    letter_embedding_size: width of a letter's embedding.
    """

    kind: Literal["hybrid"] = "hybrid"
    cell: Literal["gru", "lstm"] = "gru"  # of all recurrent layers
    units: int = Field(256, ge=2)  # of the decoder, and of both directions of the encoder together
    layers: int = Field(1, ge=1)  # of the word encoder and of the word decoder
    embedding_size: int = Field(256, ge=1)  # width of a word's embedding
    attention: Literal["dot", "general", "additive"] = "additive"  # of the word decoder over the source
    attention_size: int = Field(128, ge=1)  # of additive attention
    letter_units: int = Field(128, ge=1)  # of each layer of the networks over letters
    letter_layers: int = Field(1, ge=1)  # of each network over letters
    letter_embedding_size: int = Field(64, ge=1)
    dropout: Rate = 0.3  # of the readouts and between layers
    embedding_dropout: Rate = 0.3  # of word embeddings, known or spelled
    tie_embeddings: bool = True  # use the target embedding of words as their softmax weight
    share_embeddings: bool = False  # one embedding for source and target; needs a joint vocabulary

    @model_validator(mode="after")
    def units_are_even(self):
        if self.units % 2:
            raise ValueError(f"units = {self.units} must be even for the encoder's two directions")
        return self


def unused(config: Config) -> dict[str, str]:
    """Fields without effect given the others, and why."""
    return {} if config.attention == "additive" else {"attention_size": f"attention = {config.attention!r} has none"}


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The built model; raises ConfigError when the features do not fit.

    The result is called as model({field: ids [B, T]}, target_in [B, U], training=...) -> logits [B, U, V].
    """
    _, table = sizes.single_input
    for side, size in (("source", table), ("target", sizes.target)):
        if size["kind"] != "ids" or "num_words" not in size:
            raise ConfigError(
                f"[model] hybrid: needs words, and the characters of unknown words, which the {side} features lack; set "
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
