"""The Neural Programmer: a question becomes a program of operations on a table, learned from answers alone (Neelakantan et al. 2016, 2017).

In training all operations run on all columns, weighted by their probabilities; an answer takes the most probable ones.
"""

from typing import Any, Literal

from pydantic import Field

from textpipe.config.fields import Sizes
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.layers.dropout_rate import Rate

READS = ("cells", "question")
GIVES = "program"


class Config(Section):
    """passes: operations of a program; the last one gives the answer.

    word_dropout: share of the words of a question that are hidden in training. recurrent_dropout: of the state of the question's LSTM.
    l2: weight of half the sum of squares of all weights in the loss of a row.
    """

    kind: Literal["neural_programmer"] = "neural_programmer"
    units: int = Field(default=256, ge=1)  # width of word vectors and of all layers
    passes: int = Field(default=4, ge=1, le=20)
    dropout: Rate = 0.2  # of word vectors, columns, operations and controllers
    recurrent_dropout: Rate = 0.1
    word_dropout: float = Field(default=0.1, ge=0, lt=1)
    l2: float = Field(default=1e-4, ge=0)


def build(config: Config, sizes: Sizes, *, seed: int) -> Any:
    """The keras.Model: {field: packed integers [B, T]} -> Program; see nets/neural_programmer.py.

    Raises ConfigError unless one field is a table and one a question.
    """
    names = {size["kind"]: name for name, size in sizes.inputs.items()}
    if sorted(size["kind"] for size in sizes.inputs.values()) != sorted(READS):
        kinds = ", ".join(f"{name}: {size['kind']}" for name, size in sizes.inputs.items())
        raise ConfigError(
            f'[model] neural_programmer: expects one field with cells and one with a question, found {kinds}; set task = "table_qa"'
        )
    from textpipe.nets.neural_programmer import NeuralProgrammer
    from textpipe.text import table_text

    words = {word for size in sizes.inputs.values() for word in size["words"]}
    hashes = table_text.word_hashes(table_text.texts(sorted(words))).numpy()
    cells = sizes.inputs[names["cells"]]
    model = NeuralProgrammer(config, cells, names["cells"], names["question"], sorted(set(hashes.tolist())), seed=seed)
    model.build()
    return model


def example(rows: int, *, seed: int) -> tuple[Sizes, dict[str, Any], Any]:
    """Size tables, inputs and targets of random tables and questions, for checks of gradients."""
    import numpy as np

    from textpipe.features import cells, denotation, question
    from textpipe.features._cells import Cells
    from textpipe.features._denotation import Denotation
    from textpipe.features._question import Question
    from textpipe.text import table_text

    random = np.random.default_rng(seed)
    towns = ("ayton", "beham", "ceville", "dorf", "ely", "fort")
    tables, questions, answers = [], [], []
    for row in range(rows):
        names, numbers = random.permutation(towns)[: 3 + row % 3], random.choice(90, 6, replace=False) + 10
        lines = [f"{name}\t{size}\t{towns[row % 2]}" for name, size in zip(names, numbers, strict=False)]
        tables.append("\n".join(["town\tsize\tnear", *lines]))
        questions.append(f"which town near {towns[row % 2]} is larger than {numbers[1]} or 20")
        answers.append(str(names[0]) if row % 2 else "2")
    features = {
        "table": Cells(cells.Config(), ["town", "size", "near"]),
        "question": Question(question.Config(), ["which", "town", "larger"], ["which", "is", "than", "or"]),
        "answer": Denotation(denotation.Config()),
    }
    packed = {
        name: feature(table_text.texts(texts))
        for (name, feature), texts in zip(features.items(), (tables, questions, answers), strict=True)
    }
    target = packed.pop("answer")
    tables_of_sizes = {name: feature.size for name, feature in features.items()}
    answer = tables_of_sizes.pop("answer")
    return Sizes(tables_of_sizes, "answer", answer), packed, target
