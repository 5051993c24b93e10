"""What the models of stories read: sentences in one field, and a question about them in another."""

from typing import NamedTuple

from textpipe.config.fields import Sizes
from textpipe.errors import ConfigError

SENTENCES = 50  # of a field that has no limit of its own


class StoryFields(NamedTuple):
    """The fields of a story and of a question, and their sizes.

    max_sentences, max_words: of the longest story and the longest sentence or question to expect.
    """

    story: str
    question: str
    vocab_size: int
    max_sentences: int
    max_words: int


def story_fields(kind: str, sizes: Sizes) -> StoryFields:
    """The fields that a model of this kind reads. A single field is its own question: a document that is read sentence by sentence.

    Raises ConfigError for more than two fields, for two of which not exactly one has sentences, and if they do not share a vocabulary.
    """
    names = list(sizes.inputs)
    stories = [name for name, size in sizes.inputs.items() if "max_sentences" in size]
    if len(names) > 2 or (len(names) == 2 and len(stories) != 1):
        raise ConfigError(
            f"[model] {kind}: expects a field of sentences and a field of text, found {', '.join(names)}, of which {len(stories)} have "
            'sentences; set task = { kind = "qa", fields = { story = "sentences", question = "text" } }'
        )
    story = stories[0] if stories else names[0]
    question = next((name for name in names if name != story), story)
    sizes_of = sizes.inputs[story], sizes.inputs[question]
    if len({size["vocab_size"] for size in sizes_of}) > 1:
        raise ConfigError(
            f'[model] {kind}: {story} and {question} need one vocabulary; set [tokenize] vocabulary = "joint"'
        )
    table = sizes_of[0]
    return StoryFields(
        story,
        question,
        table["vocab_size"],
        table.get("max_sentences", SENTENCES),
        table.get("train_words") or table["max_length"],
    )


def class_words(sizes: Sizes) -> list[int]:
    """The id of each class that is a word of the story's vocabulary, in any case; -1 for other classes."""
    tokens: list[str] = next((size["tokens"] for size in sizes.inputs.values() if "tokens" in size), [])
    known = {token: number for number, token in reversed(list(enumerate(tokens)))}
    return [known.get(name, known.get(name.casefold(), -1)) for name in sizes.target["classes"]]
