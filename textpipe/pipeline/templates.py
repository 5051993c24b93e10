"""The tables of a new pipeline file after [ingest], with settings chosen by the size and kind of the data."""

import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from textpipe.pipeline import classifier_defaults
from textpipe.pipeline.toml_text import toml

MAIL = ["html", "mail_zones"]
MASKS = ["mask_urls", "mask_addresses", "mask_phones"]

MANY_REPLIES = 30_000  # training rows from which on a ranker needs few epochs
SENDERS = {
    "unknown": "min_senders = 5                     # number of people who must have written a reply; without a sender each row counts as one",
    "own": "min_senders = 1                     # all replies are your own",
    "kept": 'min_senders = 5                     # number of people who must have written a reply\nsender = "sender"',
}


@dataclass
class Size:
    """Size of the data. rows, valid: of the train and the valid split; characters, words: mean length of a text, by field; senders: who wrote the replies,
    "unknown", "own" (the user alone), or "kept" (in a column `sender`); classes: number of different labels, 0 if the target is none."""

    rows: int = 0
    valid: int = 0
    senders: str = "unknown"
    classes: int = 0
    characters: dict[str, float] = field(default_factory=dict)
    words: dict[str, float] = field(default_factory=dict)


def classify(size: Size, task: ModuleType, *, mail: bool) -> str:
    """The tables of a classifier."""
    many = size.classes > classifier_defaults.MANY_CLASSES
    model = classifier_defaults.model(size.valid, several_labels=False, num_classes=size.classes)
    train = classifier_defaults.train(model, several_labels=False, num_valid=size.valid, num_classes=size.classes)
    note = ""
    if many:
        note = (
            f"# Each of {size.classes:,} classes against the rest: L-BFGS on all of them would need many times the memory.\n"
            "# A list such as l2 = [1, 0.1] takes as many fits.\n"
        )
    elif size.valid < classifier_defaults.MIN_VALID:
        note = f"# Fewer than {classifier_defaults.MIN_VALID} validation rows: with more, run `textpipe new` again for an l2 chosen on them.\n"
    return f"""\
{bag_of_words_tables(size, task, mail=mail)}\
{note}\
[model]
{table_lines(model)}
[train]
{table_lines(train)}
[evaluate.require]
# accuracy = 0.9                    # below this nothing is exported
"""


def multi_label(size: Size, task: ModuleType, *, mail: bool) -> str:
    """The tables of a classifier with any number of labels per row."""
    model = classifier_defaults.model(size.valid, several_labels=True)
    train = classifier_defaults.train(model, several_labels=True)
    return f"""\
{bag_of_words_tables(size, task, mail=mail)}\
[model]
{table_lines(model)}
[train]
{table_lines(train)}
[evaluate.require]
# f1_micro = 0.8                    # below this nothing is exported
"""


COMMENTS = {
    'kind = "logistic_regression"': 'or "feed_forward"',
    'kind = "feed_forward"': 'or "logistic_regression"',
    f"l2 = {classifier_defaults.L2}": "the best value on valid is chosen; larger is smoother",
    'optimizer = "lbfgs"': 'exact and fast for logistic_regression; "adam" for feed_forward',
}


def table_lines(table: dict[str, Any]) -> str:
    """A table as lines of a pipeline file, with a comment behind those that have one."""
    lines = [f"{name} = {toml(value)}" for name, value in table.items()]
    return "".join(f"{line:<35} # {COMMENTS[line]}\n" if line in COMMENTS else f"{line}\n" for line in lines)


def bag_of_words_tables(size: Size, task: ModuleType, *, mail: bool) -> str:
    """The tables up to the features of a bag-of-words model."""
    sources = [field for field in task.FIELDS if field.side == "source" and field.has_text]
    characters = size.rows * sum(size.characters.get(field.name, 0.0) for field in sources)
    first, *other_steps = classifier_defaults.STEPS
    steps = [first, *(MAIL + MASKS if mail else []), *other_steps]
    note = "" if mail else f'# For e-mails, insert before "casefold": {quoted_list(MAIL + MASKS)}\n'
    return f"""\
[normalize]
# Applied in order, both in training and in the exported graph.
{note}steps = [{quoted_list(steps)}]

[tokenize]
codec = "none"                      # "unigram" or "bpe" when the features are subword ids

[vectorize]
# TF-IDF of word n-grams, of character n-grams inside words and, in short texts, of pairs of words; or {{ kind = "ids" }}
features = {toml(classifier_defaults.features(characters, size.rows, size.classes))}

"""


def generate(size: Size, task: ModuleType, *, mail: bool) -> str:
    """The tables of a sequence-to-sequence model."""
    source, target = (next(field.name for field in task.FIELDS if field.side == side) for side in ("source", "target"))
    plan = Plan.of(size, target)
    steps = """\
[normalize]
# Applied in order, both in training and in the exported graph.
steps = ["unicode", "whitespace"]
"""
    if mail:
        steps += f"""
[normalize.fields]
{source} = [{quoted_list(["unicode", *MAIL, *MASKS, "whitespace"])}]   # only the text that the sender wrote
"""
    return f"""\
{steps}
[tokenize]
codec = {{ kind = "unigram", vocab_size = {plan.vocab_size} }}   # subwords: no unknown words
vocabulary = "joint"                # one vocabulary for source and target; "separate" for two

[vectorize]
features = {{ kind = "ids", max_length = {plan.max_length} }}     # longer texts are truncated, and counted

# The sizes below are chosen for about {size.rows:,} training pairs of {size.words.get(target, 0):.0f} words: {plan.updates:,} updates per
# epoch, {plan.updates * plan.epochs:,} in total. With ten times the data, run `textpipe new` again.
[model]
kind = "recurrent"                  # "transformer" from about 20,000 pairs on
units = {plan.units}
embedding_size = {plan.units}
attention = "additive"              # or "dot", "general", "none"
share_embeddings = true             # needs the joint vocabulary
dropout = 0.3

[train]
epochs = {plan.epochs}
batch_tokens = {plan.batch_tokens}
optimizer = {{ kind = "adam", learning_rate = {plan.learning_rate:g} }}
schedule = {{ kind = "cosine", warmup_steps = {plan.warmup_steps}, lowest = 0.02 }}
clip_norm = 1.0
label_smoothing = 0.1
early_stopping = {{ metric = "valid_loss", patience = {plan.patience} }}

[decode]
kind = "beam"                       # or "greedy"
beam_size = 5
max_length = {plan.max_length}

[evaluate.require]
# bleu = 30                         # below this nothing is exported
"""


@dataclass(frozen=True)
class Plan:
    """Training settings of a sequence-to-sequence model for a given amount of data.

    A small data set needs small batches, many epochs and a short warm-up to reach a few thousand updates.
    """

    vocab_size: int
    max_length: int
    units: int
    batch_tokens: int
    updates: int
    epochs: int
    warmup_steps: int
    learning_rate: float
    patience: int

    @classmethod
    def of(cls, size: Size, target: str) -> "Plan":
        longest = max(size.words.values(), default=10.0)
        # With padding, a word of the longer side takes about two tokens, more with a small vocabulary.
        tokens = max(1.0, size.rows * longest * (1.8 if size.rows >= 10_000 else 2.8))
        batch_tokens = min(4096, max(512, 2 ** round(math.log2(tokens / 100))))
        updates = max(1, round(tokens / batch_tokens))
        epochs = min(60, max(8, math.ceil(4000 / updates)))
        total = updates * epochs
        return cls(
            vocab_size=min(8000, max(400, 100 * round(size.rows / 200))),
            max_length=min(256, max(50, 10 * math.ceil(0.8 * longest))),
            units=128 if size.rows < 10_000 else 256,
            batch_tokens=batch_tokens,
            updates=updates,
            epochs=epochs,
            warmup_steps=min(200, max(1, total // 20)),
            learning_rate=0.003 if size.rows < 10_000 else 0.002,
            patience=max(4, epochs // 8),
        )


def quoted_list(names: list[str]) -> str:
    """["a", "b"] as items of a TOML list: "a", "b"."""
    return ", ".join(f'"{name}"' for name in names)


def suggest(size: Size, task: ModuleType, *, mail: bool) -> str:
    """The tables of a ranker of replies."""
    sources = [field.name for field in task.FIELDS if field.side == "source" and field.has_text]
    target = next(field.name for field in task.FIELDS if field.side == "target")
    steps = ["unicode", *([*MAIL, *MASKS] if mail else []), "casefold", "whitespace"]
    lines = "".join(f"{name} = [{quoted_list(steps)}]\n" for name in sources)
    reply = ["unicode", *(MAIL if mail else []), "whitespace"]  # suggested as they leave it
    senders = SENDERS[size.senders]
    # More rows need fewer epochs and allow wider vectors; each row is trained against the replies of 127 or 511 others.
    many = size.rows >= MANY_REPLIES
    epochs, batch_rows, units, warmup = (2, 512, 512, 100) if many else (8, 128, 256, 0)
    ngrams = 'kind = "counts", min_df = 2, casefold = true, marks = true'
    return f"""\
[normalize]
# Applied in order, both in training and in the exported graph. Replies are suggested as these leave them.
steps = [{quoted_list(reply)}]

[normalize.fields]
{lines}
[tokenize]
codec = "none"

[vectorize]
features = {{ {ngrams} }}
fields = {{ {target} = {{ {ngrams} }} }}
vocabulary = "joint"                # an n-gram has one embedding, in messages as in replies

[responses]
max_size = 2000
{senders}
# intents = "intents.tsv"           # response, intent and polarity of examples: suggestions then never share an intent

[model]
kind = "dual_encoder"
embedding_size = {units}
embedding_stddev = 0.03
units = [{units}]
share_embeddings = true             # needs the joint vocabulary
initializer = "identity"            # initially a reply scores by the words it shares with the message

[train]
epochs = {epochs}
batch_rows = {batch_rows}                    # the replies of the other rows of a batch are the negatives
optimizer = {{ kind = "adam", learning_rate = 0.003 }}
schedule = {{ kind = "cosine", warmup_steps = {warmup} }}

[evaluate.require]
# mrr = 0.2                         # below this nothing is exported
"""


def pretrain(size: Size, task: ModuleType, *, mail: bool) -> str:
    """The tables of an encoder that learns from texts without labels."""
    source = next(field.name for field in task.FIELDS if field.side == "source")
    steps = ["unicode", *(MAIL if mail else []), *(MASKS if mail else []), "casefold", "whitespace"]
    longest = 8 * math.ceil(3 * max(16, size.words.get(source, 0.0)) / 8)
    return f"""\
[normalize]
# The steps, codec and max_length of the pipeline that starts from this one should be the same.
steps = [{quoted_list(steps)}]

[tokenize]
codec = {{ kind = "unigram", vocab_size = {1000 if size.rows < 2000 else 4000} }}
vocabulary = "joint"                # the text is also what is predicted

[vectorize]
features = {{ kind = "ids", max_length = {longest} }}

[model]
kind = "masked_language_model"      # or "causal_language_model", with an encoder that reads forward alone
encoder = {{ kind = "convolution", layers = 2, kernel_sizes = [3, 5] }}   # [model] encoder of the pipeline that starts from it

[train]
epochs = 20
optimizer = {{ kind = "adam", learning_rate = 0.002 }}
schedule = "cosine"
"""
